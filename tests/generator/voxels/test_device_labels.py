"""Labels by the kernels of a GPU; without one Triton's interpreter runs them."""

from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("triton")
torch = pytest.importorskip("torch")

from hypothesis import given, settings, strategies as st

from cathodegrain.exporters.products.voxels import boundary
from cathodegrain.generator.devices import CPU
from cathodegrain.generator.errors import DeviceError
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.voxels import device_batch, device_labels
from cathodegrain.generator.voxels.device_labels import label_windows, labels_of, moments_of
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_axes, label_brute_force
from cathodegrain.generator.voxels.morphology import grain_morphology, morphology_from_sums
from cathodegrain.generator.voxels.window import Window
from kernel_device import KERNEL_DEVICE
from tessellations import FAMILIES, STRESS, random_tessellation, stressed, voxel_axis

pytestmark = pytest.mark.parametrize("device", [KERNEL_DEVICE], ids=lambda name: f"device-{name}")
METRICS = ["norm", "squared"]


@pytest.fixture(autouse=True)
def as_quiet_as_a_gpu():
    """The interpreter computes with NumPy, which warns of a division by 0 in an unused lane."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="module")
def bumpy():
    """Shell of degree 9 that bulges out of a cube of half width 16 here and there."""
    coefficients = np.random.default_rng(3).normal(scale=0.4, size=100)
    coefficients[0] = 12 * np.sqrt(4 * np.pi)
    return Shell(coefficients)


def ball(radius):
    return Shell(np.array([radius * np.sqrt(4 * np.pi)]))


def cube(n):
    return (voxel_axis(n),) * 3


def ragged(*sizes, seed=8):
    rng = np.random.default_rng(seed)
    return tuple(np.sort(rng.uniform(-16, 16, n)) for n in sizes)


class Case(NamedTuple):
    """What is to be labelled."""

    tessellation: Any
    shell: Any
    axes: Any


def labelled(cases, device, **options):
    return label_windows([Window.of(*case) for case in cases], device, **options)


def expected(case):
    return label_axes(case.tessellation, *case.axes, shell=case.shell, threads=1)


def differing(cases, device, **options):
    """Number of voxels whose labels are not those of the compiled kernels."""
    found = labelled(cases, device, **options).volumes()
    return [int((v.cpu().numpy() != expected(c)).sum()) for v, c in zip(found, cases, strict=True)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", STRESS)
def test_labels_equal_brute_force_where_arithmetic_is_hard(name, metric, device):
    gbpd, axes = stressed(name, metric), cube(8)
    found = labelled([Case(gbpd, None, axes)], device).volumes()[0]
    assert (found.cpu().numpy() == label_brute_force(gbpd, *axes)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_particles_of_a_batch_get_their_own_labels(metric, bumpy, device):
    cases = [
        Case(random_tessellation(60, "long", metric), bumpy, ragged(9, 4, 13)),
        Case(random_tessellation(1, "mild", metric), None, ragged(5, 7, 3)),
        Case(random_tessellation(2, "wild", metric), bumpy, cube(6)),
    ]
    assert differing(cases, device) == [0, 0, 0]


def test_metrics_may_be_mixed_in_a_batch(device):
    cases = [Case(random_tessellation(9, "mild", metric), None, cube(5)) for metric in METRICS * 2]
    assert differing(cases, device) == [0, 0, 0, 0]


def test_voxels_exactly_on_the_shell_are_inside(device):
    axis = np.arange(-6.0, 7.0)
    case = Case(random_tessellation(20), ball(5.0), (axis,) * 3)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    assert np.count_nonzero(x * x + y * y + z * z == 25) == 30
    assert differing([case], device) == [0]


def test_a_shell_that_holds_no_voxel_leaves_labels_of_0(device):
    case = Case(random_tessellation(20), ball(0.1), (np.arange(1.0, 5.0),) * 3)
    assert not labelled([case], device).labels.any()


@pytest.mark.parametrize("room", [1, 2])
def test_lists_that_overflow_change_no_label(room, monkeypatch, bumpy, device):
    monkeypatch.setattr(device_batch, "_cap", lambda edge, width, most: room)
    cases = [
        Case(random_tessellation(40, "mild"), bumpy, cube(9)),
        Case(random_tessellation(30, "long"), None, cube(6)),
    ]
    assert differing(cases, device) == [0, 0]


def test_what_does_not_fit_is_labelled_in_layers_and_measured_as_a_whole(
    monkeypatch, bumpy, device
):
    monkeypatch.setattr(device_batch, "CHUNK", {8: 64, 4: 32})  # tiles of 8: more layers
    cases = [
        Case(random_tessellation(40, "mild"), bumpy, ragged(6, 9, 33)),
        Case(random_tessellation(20, "long"), None, cube(8)),
    ]
    windows = [Window.of(*case) for case in cases]
    levels = device_batch.Levels.of(windows)
    one_layer = levels.list_bytes(windows[0].layers(0, 8))
    monkeypatch.setattr(device_labels, "free_bytes", lambda device: 1e6)
    monkeypatch.setattr(device_labels, "LISTS_PART", 1.25e-6 * one_layer)
    cut = list(device_batch.parts(windows, levels, 1.25 * one_layer))
    assert [piece.below for batch in cut for n, piece in batch if n == 0] == [0, 8, 16, 24, 32]
    assert differing(cases, device) == [0, 0]
    sums, _ = moments_of(labelled(cases, device, moments=True))
    for case, own in zip(cases, sums, strict=True):
        assert (own == slow_sums(expected(case), len(case.tessellation))).all()


def slow_sums(labels, n):
    z, y, x = np.indices(labels.shape)
    terms = [np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z]
    return np.array(
        [np.bincount(labels.ravel(), term.ravel(), n + 1)[1:] for term in terms]
    ).T  # whole numbers


def test_moments_are_those_of_the_labels(bumpy, device):
    cases = [
        Case(random_tessellation(30, "mild"), bumpy, cube(11)),
        Case(random_tessellation(7, "wild"), None, ragged(3, 9, 5)),
    ]
    found = labelled(cases, device, moments=True)
    for case, sums in zip(cases, moments_of(found)[0], strict=True):
        assert (sums == slow_sums(expected(case), len(case.tessellation))).all()


def test_boundaries_are_those_of_the_voxel_file(bumpy, device):
    cases = [
        Case(random_tessellation(30, "mild"), bumpy, cube(11)),
        Case(random_tessellation(7, "wild"), None, ragged(3, 9, 5)),
    ]
    found = labelled(cases, device)
    for case, flags in zip(cases, found.boundaries()[0], strict=True):
        labels = expected(case)
        assert (flags.cpu().numpy() == boundary(labels, slice(0, len(labels)))).all()


def test_the_table_of_grains_is_that_of_the_compiled_kernels(tiny_particle, device):
    grid = Grid.around(tiny_particle.shell.radius_bounds[1], 0.12)
    axes = tuple(grid.axis(a) for a in "xyz")
    case = Case(tiny_particle.tessellation, tiny_particle.shell, axes)
    (sums,), (exposed,) = moments_of(labelled([case], device, moments=True))
    found = morphology_from_sums(sums, exposed, grid)
    wanted = grain_morphology(expected(case), grid, tiny_particle.n_grains)
    for name in vars(wanted):
        assert np.array_equal(getattr(found, name), getattr(wanted, name), equal_nan=True), name


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", [0.3, 1e6])
def test_gaps_are_second_best_scores_less_the_best(margin, metric, bumpy, device):
    gbpd, axes = random_tessellation(25, "mild", metric), cube(7)
    case = Case(gbpd, bumpy, axes)
    found = labelled([case], device, margin=margin)
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    scores = np.sort(gbpd.scores(np.stack([x, y, z], axis=-1)), axis=-1)
    inside = expected(case) > 0
    wanted = np.where(inside, np.minimum(scores[..., 1] - scores[..., 0], margin), 0)
    gaps = found.gap_volumes()[0].cpu().numpy()
    assert gaps.dtype == np.float32
    assert np.allclose(gaps, wanted, rtol=1e-6, atol=1e-6 * np.abs(scores).max())
    assert (found.volumes()[0].cpu().numpy() == expected(case)).all()


def test_windows_of_one_particle_share_its_tables_and_keep_their_own_sums(bumpy, device):
    gbpd = random_tessellation(30, "mild")
    cases = [
        Case(gbpd, bumpy, ragged(5, 6, 4)),
        Case(random_tessellation(3, "wild"), bumpy, cube(4)),
        Case(gbpd, bumpy, ragged(5, 6, 4, seed=3)),
    ]
    windows = [Window.of(*case) for case in cases]
    levels = device_batch.Levels.of(windows)
    assert len(device_batch.packed(windows, [0, 120, 184], levels, device).table) == 33
    found = labelled(cases, device, moments=True)
    assert differing(cases, device) == [0, 0, 0]
    sums, exposed = moments_of(found)
    for case, own, meets in zip(cases, sums, exposed, strict=True):
        labels = expected(case)
        assert (own == slow_sums(labels, len(case.tessellation))).all()
        assert (meets == slow_exposed(labels, len(case.tessellation))).all()


def slow_exposed(labels, n):
    """Grains with a face neighbour 0; beyond the array all is 0."""
    padded, inner = np.pad(labels, 1), slice(1, -1)
    meets = np.zeros(labels.shape, bool)
    for axis in range(3):
        for step in (1, -1):
            meets |= np.roll(padded, step, axis)[inner, inner, inner] == 0
    return np.isin(np.arange(1, n + 1), labels[meets])


def test_a_single_grain_is_nowhere_near_another(device):
    found = labelled([Case(random_tessellation(1), None, cube(4))], device, margin=2.5)
    assert (found.gaps == 2.5).all()


def test_labels_that_do_not_fit_are_refused_with_what_is_free(monkeypatch, device):
    case = Case(random_tessellation(40), None, cube(8))
    monkeypatch.setattr(device_labels, "free_bytes", lambda device: 100.0)
    with pytest.raises(DeviceError, match=r"labels need 2 kB, 100 B are free; take a larger pitch"):
        labelled([case], device)
    monkeypatch.setattr(device_labels, "free_bytes", lambda device: 2100.0)
    with pytest.raises(DeviceError, match=r"lists of candidates of 32 layers .* larger pitch"):
        labelled([case], device)


def test_the_processor_s_labels_are_those_of_the_device(tiny_particle, device):
    axes = [tuple(np.linspace(-r, r, 6) for r in (0.3, 0.5, 0.7))] * 2
    particles = [tiny_particle] * 2
    cases = [Case(p.tessellation, p.shell, xyz) for p, xyz in zip(particles, axes, strict=True)]
    own = labelled(cases, device).volumes()
    for compiled, kernel in zip(labels_of(particles, axes, CPU), own, strict=True):
        assert compiled.dtype == torch.int32
        assert torch.equal(compiled, kernel.cpu())
        assert compiled.any()


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    family=st.sampled_from(list(FAMILIES)), metric=st.sampled_from(METRICS),
    n=st.integers(1, 50), seed=st.integers(0, 99), shape=st.tuples(*[st.integers(1, 10)] * 3),
)  # fmt: skip
def test_any_grid_of_any_tessellation_is_labelled_as_by_brute_force(
    device, family, metric, n, seed, shape
):
    gbpd = random_tessellation(n, family, metric, seed=seed)
    axes = ragged(*shape, seed=seed)
    found = labelled([Case(gbpd, None, axes)], device).volumes()[0]
    assert (found.cpu().numpy() == label_brute_force(gbpd, *axes)).all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES)
def test_labels_equal_the_compiled_ones_in_all_families(family, metric, bumpy, device):
    cases = [
        Case(random_tessellation(n, family, metric), shell, ragged(21, 10, 13))
        for n in (2, 60, 400)
        for shell in (None, bumpy)
    ]
    assert differing(cases, device) == [0] * 6
