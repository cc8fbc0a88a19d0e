import math
import threading
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.grains import checkpoints, cutouts, training
from cathodegrain.generator.fitting.grains.networks import Discriminator, TorchMarkerNet
from cathodegrain.generator.fitting.grains.planar_tessellation import (
    SectionTessellation,
    section_grains,
)
from cathodegrain.generator.fitting.grains.repeatable import repeatable
from cathodegrain.generator.fitting.grains.soft_images import soft_images
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.markers.marker_law import Profile
from cathodegrain.generator.markers.marker_net import neighbourhoods as particle_neighbourhoods
from cathodegrain.generator.markers.point_process import MarkedPoints
from cathodegrain.generator.markers.radial_frame import marker_matrices, radial_rotations
from cathodegrain.generator.streams import stream
from device_names import DEVICES

CONFIG = replace(training.DEFAULT, batch=4, epochs=3, steps=4)
FACTOR = Profile((0.2, 1.0), (1.6, 0.8), logarithmic=True)
WARM = replace(training.WARM, batch=4, epochs=3, steps=4, intensity_factor=FACTOR)
PAPER = replace(training.PAPER, batch=4, epochs=3, steps=4)
every_config = pytest.mark.parametrize(
    "config", [CONFIG, PAPER, WARM], ids=["default", "paper", "warm"]
)


@pytest.fixture(scope="module")
def sections():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        angle, radius = 2 * np.pi * rng.random(300), 113 * np.sqrt(rng.random(300))
        seeds = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        diagonals = np.stack([np.full(300, 4.0), np.full(300, 16.0)], axis=1)
        found.append(SectionTessellation(seeds, diagonals, rng.uniform(2, 9, 300), 1.0))
    return tuple(found)


def trained(sections, config, steps, state=None, device="cpu"):
    state = state or training.first_state(config, np.random.default_rng(3), device)
    for after in training.train(sections, config, state):
        if after.step == steps:
            break
    return state


def weights(state):
    return {name: tensor.clone() for name, tensor in state.generator.state_dict().items()}


def test_the_net_in_torch_is_the_net_that_generates():
    net = TorchMarkerNet((16, 8), np.random.default_rng(0))
    inputs = np.random.default_rng(1).standard_normal((40, 60)).astype(np.float32)
    with torch.no_grad():
        diagonals, offsets = net(torch.from_numpy(inputs))
    expected = net.marker_net(10.0).forward(inputs.astype(np.float64))
    np.testing.assert_allclose(diagonals.numpy(), expected[:, 1:], atol=2e-4)
    np.testing.assert_allclose(offsets.numpy(), expected[:, 0], atol=1e-4)


def test_inputs_of_cutouts_are_those_of_particles():
    rng = np.random.default_rng(2)
    n = 60
    seeds = rng.uniform(-20, 20, (n, 3)) + np.array([60.0, 0, 0])
    seeds = seeds[np.argsort(seeds[:, 0])]
    noise, angles = rng.random((n, 2)), np.pi * rng.random(n)
    rows = np.arange(n)
    starts = np.array([0, n])
    inputs, terms = np.zeros((n, 60), np.float32), np.empty((n, 3, 6), np.float32)
    cutouts._describe(
        seeds, noise - 0.5, angles, starts, rows, starts, np.array([60.0]), 10.0, inputs, terms
    )
    points = MarkedPoints(
        seeds,
        noise,
        angles,
        np.zeros((n, 4)),
        np.zeros((n, 3)),
        np.zeros((n, 0)),
        np.zeros(n),
        np.zeros(n),
        np.zeros((n, 4), np.int32),
    )
    np.testing.assert_allclose(inputs, particle_neighbourhoods(points, 10.0, 0.5), atol=1e-5)
    rotations = radial_rotations(seeds, angles)
    x, y = 3.5, -7.5
    along = np.einsum("nkj,nj->nk", rotations, np.array([60.0 + x, y, 0.0]) - seeds)
    values = terms @ np.array([x * x, x * y, y * y, x, y, 1.0])
    np.testing.assert_allclose(values, along**2, rtol=1e-3, atol=2e-3)


def test_the_relative_radius_of_cutouts_is_that_of_particles():
    """The last column is |s| / R, at most 1, and the others do not depend on it."""
    plain = cutouts.neighbourhoods(np.random.default_rng(2), 3, 0.0012, 10.0)
    seen = cutouts.neighbourhoods(np.random.default_rng(2), 3, 0.0012, 10.0, radius=90.0)
    np.testing.assert_array_equal(seen.inputs[:, :60], plain.inputs)
    seeds = nearest_points(seen)
    np.testing.assert_allclose(
        seen.inputs[:, 60], np.minimum(np.linalg.norm(seeds, axis=1) / 90.0, 1.0), atol=1e-4
    )
    assert 0 < (seen.inputs[:, 60] == 1).mean() < 0.9


def nearest_points(hood):
    """Seeds (n, 3): where the quadratic |x - s|^2 is least on its plane, and its value there."""
    c4, c5, c6 = hood.terms.sum(axis=1).T[3:].astype(float)  # of D = 1: c1 = c3 = 1, c2 = 0
    x, y = -c4 / 2, -c5 / 2
    z = np.sqrt(np.maximum(c6 - x * x - y * y, 0))
    middles = np.repeat(hood.middles, np.diff(hood.starts))
    return np.stack([x + middles, y, z], axis=1)


def test_seeds_of_cutouts_follow_the_factor_of_the_intensity():
    factor = Profile((0.3, 0.31), (2.0, 0.5), logarithmic=True)
    hood = cutouts.neighbourhoods(
        np.random.default_rng(2), 200, 0.0012, 10.0, radius=113.0, intensity_factor=factor
    )
    plain = cutouts.neighbourhoods(np.random.default_rng(2), 200, 0.0012, 10.0, radius=113.0)
    boxes = [(h.middles, np.linalg.norm(nearest_points(h), axis=1) / 113, h) for h in (hood, plain)]
    counts = np.array([[np.sum((t < 0.25) & near(h)), np.sum((t > 0.4) & near(h))]
                       for _, t, h in boxes])  # fmt: skip
    np.testing.assert_allclose(counts[0] / counts[1], [2.0, 0.5], rtol=0.1)


def near(hood):
    """Seeds within 12 pixels of the plane of the cutout and 20 of its middle along it."""
    seeds = nearest_points(hood)
    x = seeds[:, 0] - np.repeat(hood.middles, np.diff(hood.starts))
    return (np.abs(x) < 20) & (np.abs(seeds[:, 1]) < 20) & (seeds[:, 2] < 12)


def test_a_net_that_sees_the_radius_takes_the_weights_of_its_own_marker_net():
    net = TorchMarkerNet((16, 8), np.random.default_rng(0), sees_radius=True)
    inputs = torch.from_numpy(np.random.default_rng(1).standard_normal((9, 61)).astype(np.float32))
    found = net.marker_net(10.0)
    assert found.sees_radius
    expected = found.forward(inputs.double().numpy())
    with torch.no_grad():
        np.testing.assert_allclose(net(inputs)[1].numpy(), expected[:, 0], atol=1e-4)


def test_labels_of_a_cutout_are_those_of_the_tessellation():
    """Eqs. (8) and (16): the image of the largest grain is where its score is the least."""
    rng = np.random.default_rng(4)
    hood = cutouts.neighbourhoods(rng, 1, 0.0012, 10.0)
    n = len(hood.inputs)
    diagonals = rng.uniform(3, 20, (n, 3)).astype(np.float32)
    offsets = rng.uniform(2, 9, n).astype(np.float32)
    grains = hood.with_markers(diagonals, offsets)
    squares = np.maximum(grains.quadratics @ cutouts.PIXEL_TERMS, 0)
    scores = np.sqrt(squares + cutouts.SOFTNESS) - offsets[:, None]
    best = scores.argmin(axis=0)
    drawn = cutouts.cutouts(grains)
    assert drawn.n_grains[0] == len(np.unique(best))
    few = cutouts.cutouts(grains, least_pixels=4)
    assert few.n_grains[0] == (np.bincount(best) >= 4).sum()
    weights = np.exp(scores.min(axis=0) - scores)
    weights /= weights.sum(axis=0)
    order = np.argsort(-weights.sum(axis=1))[: cutouts.CHANNELS]
    expected = weights[order] > 0.5
    found = drawn.images[0].reshape(cutouts.CHANNELS, -1) > 0.5
    assert (found != expected).mean() < 1e-3


def test_margins_hold_every_seed_that_owns_a_pixel():
    """A far larger box of seeds gives the same owners."""
    rng = np.random.default_rng(6)
    middle, intensity = 60.0, 0.0012
    half = np.array([80.0, 80.0, 80.0])
    seeds = (2 * rng.random((rng.poisson(intensity * 160**3), 3)) - 1) * half + [middle, 0, 0]
    angles = np.pi * rng.random(len(seeds))
    d2, d3 = rng.uniform(12, 28, (2, len(seeds)))
    d1 = (d2 + d3) / 2 / rng.uniform(1.6, 2.8, len(seeds)) ** 2
    matrices = marker_matrices(seeds, angles, np.stack([d1, d2, d3], axis=1))
    gbpd = Tessellation(seeds, matrices, rng.uniform(2, 9, len(seeds)))
    axis = np.arange(1, 33) - cutouts.MIDDLE
    x, y = np.meshgrid(axis, axis, indexing="ij")
    owners = np.unique(gbpd.labels(np.stack([middle + x, y, np.zeros_like(x)], axis=-1)))
    unit = intensity ** (-1 / 3)
    away = np.abs(seeds[owners] - [middle, 0, 0])
    assert (away[:, :2] < 16 + cutouts.SEEN_ACROSS * unit).all()
    assert (away[:, 2] < cutouts.SEEN_BELOW * unit).all()


def test_soft_images_round_to_the_drawn_ones_and_have_gradients():
    rng = np.random.default_rng(7)
    hood = cutouts.neighbourhoods(rng, 3, 0.0015, 10.0)
    net = TorchMarkerNet((16,), rng)
    diagonals, offsets = net(torch.from_numpy(hood.inputs))
    quadratics = (diagonals[:, :, None] * torch.from_numpy(hood.terms)).sum(1)
    images = soft_images(quadratics, offsets, hood.starts)
    drawn = cutouts.cutouts(hood.with_markers(diagonals.detach().numpy(), offsets.detach().numpy()))
    assert ((images.detach().numpy() > 0.5) != (drawn.images > 0.5)).mean() < 1e-3
    images[:, 0].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert sum(float(p.grad.abs().sum()) for p in net.parameters()) > 0


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_the_heaviest_channel_is_the_grain_that_owns_the_pixel(width):
    rng = np.random.default_rng(9)
    hood = cutouts.neighbourhoods(rng, 1, 0.00015, 10.0)  # all grains have a channel
    diagonals = rng.uniform(5, 30, (len(hood.inputs), 3)).astype(np.float32)
    grains = hood.with_markers(diagonals, rng.uniform(2, 9, len(diagonals)).astype(np.float32))
    quadratics, offsets = (torch.from_numpy(a) for a in grains[:2])
    heaviest = soft_images(quadratics, offsets, hood.starts, width)[0].argmax(0).numpy().ravel()
    squares = np.maximum(grains.quadratics @ cutouts.PIXEL_TERMS, 0)
    norms = np.sqrt(squares + cutouts.SOFTNESS)
    owner = (norms - grains.offsets[:, None]).argmin(0)
    pairs = np.unique(np.stack([heaviest, owner]), axis=1).T
    assert len(pairs) == len(np.unique(owner)) == len(np.unique(heaviest))


def two_grains(shift=5.0):
    """Equal isotropic grains with seeds at X = -shift and shift, both at Y = 0.5."""
    rows = [[1.0, 0, 1, -2 * x, -1.0, x * x + 0.25] for x in (-shift, shift)]
    return torch.tensor(rows), torch.zeros(2), np.array([0, 2])


def test_with_a_boundary_width_weights_follow_the_distance_from_the_boundary():
    """Between the seeds the distance from the bisector is exact."""
    images = soft_images(*two_grains(), boundary_width=0.5).numpy()[0]
    x, y = cutouts.PIXEL_TERMS[3], cutouts.PIXEL_TERMS[4]
    between = (y == 0.5) & (np.abs(x) < 4.9)
    flat = images.reshape(cutouts.CHANNELS, -1)[:, between]
    weights = flat[0] if flat[0][0] > 0.5 else flat[1]  # of the grain at X = -5
    np.testing.assert_allclose(weights, 1 / (1 + np.exp(2 * x[between])), atol=1e-3)


@pytest.mark.parametrize("c", [0.5, 3.0])
def test_with_a_boundary_width_the_scale_of_the_markers_does_not_matter(c):
    """(c^2 D, c r) has the grains of (D, r); Eq. (11) has other images of them."""
    rng = np.random.default_rng(5)
    hood = cutouts.neighbourhoods(rng, 2, 0.0012, 10.0)
    diagonals, offsets = (
        rng.uniform(5, 30, (len(hood.inputs), 3)),
        rng.uniform(2, 9, len(hood.inputs)),
    )

    def images(c, width):
        quadratics = np.einsum("nk,nkt->nt", c * c * diagonals, hood.terms)
        return soft_images(
            torch.from_numpy(quadratics).float(), torch.from_numpy(c * offsets).float(),
            hood.starts, width,
        )  # fmt: skip

    np.testing.assert_allclose(images(c, 0.5), images(1.0, 0.5), atol=0.01)
    assert float((images(c, 0.0) - images(1.0, 0.0)).abs().max()) > 0.2


def test_few_grains_leave_channels_empty():
    quadratics = torch.tensor([[1.0, 0, 1, 0, 0, 0], [1.0, 0, 1, 20, 0, 100]])
    images = soft_images(quadratics, torch.zeros(2), np.array([0, 2]))
    assert images.shape == (1, cutouts.CHANNELS, cutouts.SIZE, cutouts.SIZE)
    assert float(images[:, 2:].abs().max()) == 0
    np.testing.assert_allclose(images.sum(1).numpy(), 1, atol=1e-5)


def test_a_cutout_of_a_section_is_its_tessellation_turned(sections):
    """Eqs. (14), (15), without augmentation, against the labels of the plane."""
    rng = np.random.default_rng(8)
    twin = np.random.default_rng(8)
    grains = section_grains(sections, rng, 1, 0.0)
    section = sections[int(twin.integers(len(sections), size=1)[0])]
    middle = cutouts.distances(twin, 1)[0]
    turn = 2 * math.pi * twin.random(1)[0]
    x, y = cutouts.PIXEL_TERMS[3] + middle, cutouts.PIXEL_TERMS[4]
    place = np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y], 1)
    away = place[:, None] - section.seeds
    square = np.einsum("pni,nij,pnj->pn", away, section.matrices, away)
    areas = np.bincount((np.sqrt(square) - section.offsets).argmin(axis=1))
    squares = np.maximum(grains.quadratics @ cutouts.PIXEL_TERMS, 0)
    owners = (np.sqrt(squares) - grains.offsets[:, None]).argmin(axis=0)
    np.testing.assert_array_equal(np.sort(np.bincount(owners))[-10:], np.sort(areas)[-10:])


def test_the_discriminator_halves_the_image_with_each_convolution():
    net = Discriminator((4, 8), 16, "batch", np.random.default_rng(0))
    assert net(torch.zeros(5, 12, 32, 32)).shape == (5,)


@pytest.mark.parametrize("device", DEVICES)
def test_equal_seeds_give_equal_weights(sections, device):
    with repeatable(device):
        one, other = (trained(sections, CONFIG, 6, device=device) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values(),
                                                 strict=True))  # fmt: skip
    assert one.intensity == other.intensity


@pytest.mark.parametrize("device", DEVICES)
@every_config
def test_training_goes_on_from_a_file_to_the_bit(sections, config, device, tmp_path):
    path = tmp_path / "check.safetensors"
    with repeatable(device):
        whole = trained(sections, config, 9, device=device)
        half = trained(sections, config, 5, device=device)
        checkpoints.write(checkpoints.Checkpoint(config, half, {"score": 0.5}), path)
        found = checkpoints.read(path, device)
        again = trained(sections, config, 9, found.state)
    assert found.config == config
    assert found.notes == {"score": 0.5}
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # others may read it as well
    for a, b in zip(weights(whole).values(), weights(again).values(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.discriminator.state_dict().values(),
                    again.discriminator.state_dict().values(), strict=True):  # fmt: skip
        assert torch.equal(a, b)
    assert (whole.step, whole.intensity, whole.curve) == (again.step, again.intensity, again.curve)


def test_a_file_of_another_kind_or_version_is_refused(sections, tmp_path, monkeypatch):
    path = tmp_path / "check.safetensors"
    state = training.first_state(CONFIG, np.random.default_rng(0))
    monkeypatch.setattr(checkpoints, "VERSION", "0.9.0")
    checkpoints.write(checkpoints.Checkpoint(CONFIG, state, {}), path)
    monkeypatch.undo()
    with pytest.raises(FitError, match=r"version 0.9.0, expected .* version 1.0.0: train again"):
        checkpoints.read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FitError, match="cannot be used"):
        checkpoints.read(path)
    with pytest.raises(FitError, match="cannot be used"):
        checkpoints.read(tmp_path / "none.safetensors")
    net = TorchMarkerNet((4,), np.random.default_rng(0)).marker_net(10.0)
    (tmp_path / "net.safetensors").write_bytes(net.to_bytes())
    with pytest.raises(FitError, match="is no checkpoint"):
        checkpoints.read(tmp_path / "net.safetensors")


@every_config
def test_random_numbers_are_drawn_in_the_order_of_the_steps(sections, config):
    """A state holds those of its own step, though the next one is drawn already."""
    rng = np.random.default_rng(3)
    state = training.first_state(config, rng)
    expected = np.random.default_rng()
    expected.bit_generator.state = rng.bit_generator.state
    intensity = config.intensity
    for after in training.train(sections, config, state):
        section_grains(sections, expected, config.batch, config.augmentation, config.farthest)
        for _ in range(1 if config.shared else 2):
            training.generated_neighbourhoods(expected, config.batch, config, intensity)
        assert after.rng.bit_generator.state == expected.bit_generator.state
        intensity = after.intensity
    assert after.step == 12


def drawing_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("cutouts")]


def test_no_thread_is_left_whatever_ends_training(sections, monkeypatch):
    steps = training.train(sections, CONFIG, training.first_state(CONFIG, stream(0, 0, "fit")))
    next(steps)
    assert len(drawing_threads()) == 1
    steps.close()
    assert drawing_threads() == []

    steps = training.train(sections, CONFIG, training.first_state(CONFIG, stream(0, 0, "fit")))
    next(steps)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt)
    assert drawing_threads() == []

    state = training.first_state(CONFIG, stream(0, 0, "fit"))
    with torch.no_grad():
        state.discriminator.layers[-1].bias.fill_(math.nan)
    with pytest.raises(training.TrainingStopped):
        next(training.train(sections, CONFIG, state))
    assert drawing_threads() == []

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(training, "section_grains", no_memory)
    with pytest.raises(MemoryError):
        next(training.train(sections, CONFIG, training.first_state(CONFIG, stream(0, 0, "fit"))))
    assert drawing_threads() == []


class OtherDevice(TorchDispatchMode):
    """Makes "meta" a device apart, as a GPU is.

    Tensors of two devices meet in transfers only. What comes back from it is 5, single numbers
    are 1; both are noted.
    """

    def __init__(self):
        super().__init__()
        self.sent, self.returned, self.on_the_host = [], [], set()

    def __torch_dispatch__(self, operation, types, args=(), options=None):
        options = options or {}
        name = operation.name().partition(".")[0].removeprefix("aten::")
        tensors = [t for t in tree_leaves((args, options)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in tensors if t.dim()}
        if name == "_local_scalar_dense" and args[0].is_meta:
            self.returned.append(())
            return 1.0
        if name == "_to_copy":
            return self._moved(operation, args, options)
        assert len(devices) < 2 or name == "copy_", f"{name} of tensors on {devices}"
        if devices == {"cpu"}:
            self.on_the_host.add(name)
        return operation(*args, **options)

    def _moved(self, operation, args, options):
        source, target = args[0].device.type, torch.device(options.get("device", args[0].device))
        if source == "meta" and target.type == "cpu":
            self.returned.append(tuple(args[0].shape))
            return torch.full(args[0].shape, 5.0)
        if source == "cpu" and target.type == "meta":
            self.sent.append(tuple(args[0].shape))
        return operation(*args, **options)


@every_config
def test_all_that_a_step_computes_with_tensors_is_on_the_device(sections, config):
    """Markers for the drawing of generated cutouts come back, and single numbers; no more."""
    state = training.first_state(config, np.random.default_rng(3), "meta")
    with OtherDevice() as seen:
        assert trained(sections, config, 6, state).step == 6
    assert seen.on_the_host <= {"lift_fresh", "detach"}  # around transfers
    of_markers = [shape for shape in seen.returned if shape]
    kinds = 1 if config.shared else 2
    assert len(of_markers) == 6 * 2 * kinds
    assert {shape[1:] for shape in of_markers} == {(3,), ()}
    assert (8, 12, 32, 32) in seen.sent


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@every_config
def test_a_state_of_the_cpu_goes_on_on_another_device(sections, config, tmp_path):
    path = tmp_path / "check.safetensors"
    half = trained(sections, config, 5)
    checkpoints.write(checkpoints.Checkpoint(config, half, {}), path)
    state = checkpoints.read(path, "meta").state
    moments = [m for o in (state.generator_optimiser, state.discriminator_optimiser)
               for m in o.state.values()]  # fmt: skip
    assert {m["step"].device.type for m in moments} == {"cpu"}  # where Adam wants it
    assert {m["exp_avg_sq"].device.type for m in moments} == {"meta"}
    with OtherDevice():
        assert trained(sections, config, 9, state).step == 9


def test_a_state_of_another_device_is_written(sections, tmp_path):
    path = tmp_path / "check.safetensors"
    with OtherDevice():
        state = training.first_state(CONFIG, np.random.default_rng(3), "meta")
        trained(sections, CONFIG, 2, state)
        checkpoints.write(checkpoints.Checkpoint(CONFIG, state, {}), path)
    found = checkpoints.read(path).state
    assert found.step == 2
    assert {float(value) for value in weights(found)["layers.0.bias"]} == {5.0}


@pytest.mark.parametrize("device", DEVICES)
def test_a_state_of_a_device_goes_on_on_the_cpu(sections, device, tmp_path):
    path = tmp_path / "check.safetensors"
    half = trained(sections, CONFIG, 5, device=device)
    checkpoints.write(checkpoints.Checkpoint(CONFIG, half, {}), path)
    found = checkpoints.read(path).state
    for a, b in zip(weights(half).values(), weights(found).values(), strict=True):
        assert torch.equal(a.cpu(), b)
    assert trained(sections, CONFIG, 9, found).step == 9


@pytest.mark.parametrize("device", DEVICES)
def test_soft_images_of_a_device_are_those_of_the_cpu(device):
    rng = np.random.default_rng(5)
    hood = cutouts.neighbourhoods(rng, 3, 0.0012, 10.0)
    diagonals = rng.uniform(5, 30, (len(hood.inputs), 3)).astype(np.float32)
    offsets = rng.uniform(2, 9, len(diagonals)).astype(np.float32)
    quadratics, offsets, starts, _ = hood.with_markers(diagonals, offsets)
    arrays = torch.from_numpy(quadratics), torch.from_numpy(offsets)
    expected = soft_images(*arrays, starts, 0.5)
    with repeatable(device):
        found = soft_images(*(a.to(device) for a in arrays), starts, 0.5)
    assert found.device.type == device
    np.testing.assert_allclose(found.cpu(), expected, atol=1e-3)


def test_the_intensity_follows_the_number_of_grains(sections):
    """Eq. (13), after an epoch."""
    state = trained(sections, CONFIG, 4)
    row = state.curve[0]
    ratio = row["grains_measured"] / row["grains_generated"]
    assert row["intensity"] == pytest.approx(CONFIG.intensity * (0.5 + 0.5 * ratio))


def test_gradients_are_divided_by_their_common_norm():
    net = TorchMarkerNet((8,), np.random.default_rng(0))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    training._normalise(net)
    total = sum(float((p.grad**2).sum()) for p in net.parameters())
    assert total == pytest.approx(1.0)


def test_larger_gradients_are_cut_and_smaller_ones_left():
    net = TorchMarkerNet((8,), np.random.default_rng(0))
    config = replace(CONFIG, largest_gradient=2.0)
    for size, expected in ((3.0, 2.0), (1e-3, None)):
        for parameter in net.parameters():
            parameter.grad = torch.full_like(parameter, size)
        before = math.sqrt(sum(float((p.grad**2).sum()) for p in net.parameters()))
        training._limit(net, config)
        after = math.sqrt(sum(float((p.grad**2).sum()) for p in net.parameters()))
        assert after == pytest.approx(expected or before, rel=1e-5)


def test_the_penalty_is_the_mean_squared_gradient_at_the_images():
    weight = torch.arange(1.0, 4.0)
    images = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    answers = (images * weight).sum(1)
    assert float(training._squared_slope(answers[:2], images)) == pytest.approx(14.0)


def test_the_discriminator_is_told_the_distance_from_the_centre():
    config = replace(CONFIG, sees_place=True, radius=100.0)
    images = training._with_place(torch.zeros(2, 12, 32, 32), np.array([25.0, 80.0]), config)
    assert images.shape == (2, 13, 32, 32)
    assert images[:, 12].amin((1, 2)).tolist() == pytest.approx([0.25, 0.8])
    assert images[:, 12].amax((1, 2)).tolist() == pytest.approx([0.25, 0.8])


def test_with_group_norm_an_answer_does_not_depend_on_the_other_images():
    net = Discriminator((16, 32), 16, "group", np.random.default_rng(0)).train()
    images = torch.rand(3, 12, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(net(images)[:1], net(images[:1]), atol=1e-6)


@pytest.mark.parametrize("rounded", [False, True])
def test_the_generator_learns_from_rounded_images_if_it_is_asked_to(sections, rounded):
    config = replace(CONFIG, straight_through=rounded)
    state = training.first_state(config, np.random.default_rng(3))
    seen, before = [], weights(state)
    state.discriminator.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
    trained(sections, config, 1, state)
    soft = (seen[-1] > 0) & (seen[-1] < 1)  # the last ones are the generator's
    assert bool(soft.any()) != rounded
    assert not torch.equal(before["layers.0.weight"], weights(state)["layers.0.weight"])


def test_the_discriminator_rests_while_it_is_right(sections):
    config = replace(CONFIG, skip_below=100.0)
    state = training.first_state(config, stream(0, 0, "fit"))
    before = [p.clone() for p in state.discriminator.parameters()]
    trained(sections, config, 3, state)
    assert all(torch.equal(a, b) for a, b in zip(before, state.discriminator.parameters(),
                                                 strict=True))  # fmt: skip


def test_training_stops_at_a_loss_that_is_no_number(sections):
    state = training.first_state(CONFIG, np.random.default_rng(0))
    with torch.no_grad():
        state.discriminator.layers[-1].bias.fill_(math.nan)
    with pytest.raises(training.TrainingStopped, match="losses of step 0 are nan"):
        trained(sections, CONFIG, 2, state)


def test_the_paper_is_the_paper():
    paper = training.PAPER
    assert (paper.epochs, paper.steps, paper.batch) == (200, 100, 64)
    assert (paper.generator_rate, paper.discriminator_rate) == (1e-4, 1e-4)
    assert (paper.intensity, paper.skip_below, paper.augmentation) == (0.0018, 0.32, 0.2)
    off = (paper.relative_radius, paper.sees_place, paper.straight_through, paper.group_norm,
           paper.gradient_penalty, paper.largest_gradient)  # fmt: skip
    assert not any(off)
