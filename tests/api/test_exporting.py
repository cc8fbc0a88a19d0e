"""Voxels in memory: of any window, on any device."""

import numpy as np
import pytest

import cathodegrain as cg
from kernel_device import KERNEL_DEVICE, take_for_a_gpu

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

PITCH_UM = 0.2
WINDOW = (np.array([-0.2, -0.15, 0.3]), np.linspace(-0.5, 0.5, 4), np.array([0.0, 0.1]))


@pytest.fixture(scope="module")
def particles():
    changes = {"shell.diameter_um": 1.2}
    return [cg.generate("nmc811-radial", seed=7, index=i, parameters=changes) for i in range(2)]


@pytest.fixture
def gpu(monkeypatch):
    take_for_a_gpu(monkeypatch)
    with np.errstate(all="ignore"):  # the interpreter computes with NumPy
        yield "cuda"


def test_a_tensor_holds_the_labels_of_the_dataset(particles):
    wanted = cg.voxels(particles[0], pitch_um=PITCH_UM)["grain_id"].to_numpy()
    found = cg.voxels(particles[0], pitch_um=PITCH_UM, device="cpu")
    assert (found.dtype, found.device.type) == (torch.int32, "cpu")
    assert (found.numpy() == wanted).all()


def test_a_window_is_what_the_particle_is_there(particles):
    grains, shell = particles[0].tessellation, particles[0].shell
    window = cg.voxels(particles[0], axes=WINDOW)
    assert window["grain_id"].dims == ("z", "y", "x")
    for k, z in enumerate(WINDOW[2]):
        for j, y in enumerate(WINDOW[1]):
            for i, x in enumerate(WINDOW[0]):
                point = np.array([x, y, z])
                label = grains.labels(point) + 1 if shell.contains(point[None])[0] else 0
                assert window["grain_id"][k, j, i] == label
    assert window["grain_id"].sel(x=0.3, z=0.1, y=-0.5).ndim == 0
    inside = window["grain_id"].to_numpy()
    assert window["grain_voxels"].sum() == np.count_nonzero(inside)
    assert "grain_volume" not in window
    assert (cg.voxels(particles[0], axes=WINDOW, device="cpu").numpy() == inside).all()


@pytest.mark.parametrize("device", ["device-kernels"])
def test_the_kernels_give_the_same_voxels_and_morphology(particles, gpu, device):
    found = cg.labels_of(particles, pitch_um=PITCH_UM, device=gpu)
    for particle, labels in zip(particles, found, strict=True):
        assert str(labels.device) == KERNEL_DEVICE
        own = cg.voxels(particle, pitch_um=PITCH_UM)["grain_id"]
        assert (labels.cpu().numpy() == own.to_numpy()).all()
    wanted, grains = (
        cg.morphology(particles[0], pitch_um=PITCH_UM, device=d) for d in ("cpu", gpu)
    )
    for name in vars(wanted):
        same = np.array_equal(getattr(grains, name), getattr(wanted, name), equal_nan=True)
        assert same, name


def test_axes_are_for_all_particles_or_for_each(particles):
    other = (WINDOW[0] + 0.1, WINDOW[1], WINDOW[2])
    shared = cg.labels_of(particles, axes=WINDOW, device="cpu")
    own = cg.labels_of(particles, axes=[WINDOW, other], device="cpu")
    assert torch.equal(own[0], shared[0])
    assert torch.equal(own[1], cg.voxels(particles[1], axes=other, device="cpu"))
    with pytest.raises(cg.CathodegrainError, match="axes of 1 particles are given, expected 2"):
        cg.labels_of(particles, axes=[WINDOW], device="cpu")


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        (WINDOW[:2], "has 2 arrays, expected three"),
        ((WINDOW[0][::-1], *WINDOW[1:]), r"axis x of shape \(3,\) is not a list of ascending"),
        ((WINDOW[0], [0.0, np.nan], [0.0]), r"axis y of shape \(2,\)"),
        ((WINDOW[0], WINDOW[1], []), r"axis z of shape \(0,\)"),
        ((WINDOW[0], WINDOW[1], np.zeros((2, 2))), r"axis z of shape \(2, 2\)"),
    ],
)
def test_axes_that_are_no_coordinates_are_refused(particles, axes, reason):
    with pytest.raises(cg.CathodegrainError, match=reason):
        cg.voxels(particles[0], axes=axes)


def test_an_unknown_device_is_refused_before_anything_is_read():
    for function in (cg.voxels, cg.morphology):
        with pytest.raises(cg.CathodegrainError, match="device is 'gpu', expected cpu, cuda"):
            function("no such folder", device="gpu")
    with pytest.raises(cg.CathodegrainError, match="device is 'gpu'"):
        cg.labels_of(["no such folder"], device="gpu")


@pytest.mark.parametrize("device", ["device-kernels"])
def test_files_do_not_depend_on_the_device(particles, gpu, device, tmp_path):
    folders = {}
    for name in ("cpu", gpu):
        folders[name] = cg.save(particles[0], tmp_path / name)
        for products in (["grain-table"], ["voxels", "voxels-vti"]):  # summed alone, and written
            cg.export(folders[name], products, pitch_um=PITCH_UM, device=name)
    for path in folders["cpu"].iterdir():
        assert path.read_bytes() == (folders[gpu] / path.name).read_bytes(), path.name
    assert len(list(folders[gpu].iterdir())) == 5
    assert '"device' not in (folders[gpu] / "particle.json").read_text()
