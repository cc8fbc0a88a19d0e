from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.shell.spherical_harmonics import radii_at
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_axes, label_brute_force, label_grid
from tessellations import FAMILIES, STRESS, random_tessellation, stressed, voxel_axis

torch = pytest.importorskip("torch")
labelling_torch = import_module("cathodegrain.generator.voxels.labelling_torch")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PRECISIONS = ["float64", "mixed"]
METRICS = ["norm", "squared"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bumpy():
    """Shell of mean radius 12 that cuts most blocks of a window from -16 to 16."""
    coefficients = np.random.default_rng(3).normal(scale=0.4, size=100)
    coefficients[0] = 12 * np.sqrt(4 * np.pi)
    return Shell(coefficients)


def ragged_axes():
    """Axes x, y, z of 45, 22 and 37 voxels, not equidistant."""
    rng = np.random.default_rng(8)
    return tuple(np.sort(rng.uniform(-16, 16, n)) for n in (45, 22, 37))


def assert_same(gbpd, axes, shell=None, **options):
    labels = labelling_torch.label_axes(gbpd, *axes, shell=shell, **options)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, label_axes(gbpd, *axes, shell=shell, threads=1))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 400])
def test_labels_equal_compiled_ones_with_and_without_a_shell(
    n, family, metric, precision, device, bumpy
):
    gbpd, axes = random_tessellation(n, family, metric), ragged_axes()
    for shell in (None, bumpy):
        assert_same(gbpd, axes, shell, precision=precision, device=device)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", STRESS)
def test_labels_equal_brute_force_under_stress(name, metric, precision):
    gbpd, axis = stressed(name, metric), voxel_axis(20)
    labels = labelling_torch.label_axes(gbpd, axis, axis, axis, precision=precision)
    np.testing.assert_array_equal(labels, label_brute_force(gbpd, axis, axis, axis))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factor", [1e-60, 1e60])
def test_lengths_beyond_the_range_of_float32_do_no_harm(factor, metric, precision):
    gbpd, axis = random_tessellation(60, "wild", metric).scaled(factor), voxel_axis(16) * factor
    labels = labelling_torch.label_axes(gbpd, axis, axis, axis, precision=precision)
    np.testing.assert_array_equal(labels, label_brute_force(gbpd, axis, axis, axis))


@pytest.mark.parametrize(("metric", "offset"), [("norm", 1e20), ("squared", 1e40)])
def test_scores_beyond_the_range_of_float32_do_no_harm(metric, offset):
    seeds, matrices = np.array([[0.0, 0, 0], [100, 0, 0]]), np.stack([1e36 * np.eye(3)] * 2)
    gbpd, axis = Tessellation(seeds, matrices, np.array([0, offset]), metric), voxel_axis(16)
    labels = labelling_torch.label_axes(gbpd, axis, axis, axis, precision="mixed")
    np.testing.assert_array_equal(labels, label_brute_force(gbpd, axis, axis, axis))
    assert 2 in labels  # whose squared norm overflows in float32


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 37)] * 3),
    corner=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.floats(1e-3, 3),
    n=st.integers(1, 60),
    family=st.sampled_from(list(FAMILIES)),
    metric=st.sampled_from(METRICS),
    precision=st.sampled_from(PRECISIONS),
    seed=st.integers(0, 2**32 - 1),
)
def test_labels_equal_brute_force_on_any_grid(
    shape, corner, spacing, n, family, metric, precision, seed
):
    gbpd, grid = random_tessellation(n, family, metric, seed=seed), Grid(corner, spacing, shape)
    axes = [grid.axis(a) for a in "xyz"]
    labels = labelling_torch.label_axes(gbpd, *axes, precision=precision)
    np.testing.assert_array_equal(labels, label_brute_force(gbpd, *axes))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_of_root_blocks_join_without_a_seam(precision):
    axes = (voxel_axis(11), voxel_axis(9), voxel_axis(300))  # blocks of 64
    assert_same(random_tessellation(300, "long"), axes, precision=precision)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_particle_labels_equal_compiled_ones(small_particle, precision, device):
    grid = Grid.around(small_particle.shell.radius_bounds[1], 0.06)
    labels = labelling_torch.label_axes(
        small_particle.tessellation, *(grid.axis(a) for a in "xyz"),
        shell=small_particle.shell, precision=precision, device=device,
    )  # fmt: skip
    np.testing.assert_array_equal(labels, label_grid(small_particle, grid, threads=1))


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES)
def test_labels_equal_compiled_ones_on_128_cubed(family, metric, precision):
    axis = voxel_axis(128, half=128)
    gbpd = random_tessellation(8000, family, metric, half=128)
    assert_same(gbpd, (axis, axis, axis), precision=precision)


@pytest.mark.parametrize("budget", [1, 60, 5000])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_pairs_stay_within_the_budget_and_labels_the_same(budget, precision, bumpy, monkeypatch):
    gbpd, axes = random_tessellation(200, "long"), [a[::2] for a in ragged_axes()]
    met = []
    for name in ("_culled", "_best_in_float64", "_best_in_mixed_precision"):
        original = getattr(labelling_torch, name)

        def recorded(layer, blocks, *rest, original=original):
            met.append((len(blocks.seeds), len(blocks.counts)))
            return original(layer, blocks, *rest)

        monkeypatch.setattr(labelling_torch, name, recorded)
    assert_same(gbpd, axes, bumpy, precision=precision, pair_budget=budget)
    assert all(pairs <= budget or blocks == 1 for pairs, blocks in met)
    assert max(pairs for pairs, _ in met) <= max(budget, 200)
    assert max(pairs for pairs, _ in met) > min(budget, 150) // 2  # the budget is made use of


def test_runs_cover_all_blocks_in_order():
    counts = torch.tensor([5, 1, 1, 9, 2, 2, 2, 1])
    runs = list(labelling_torch._runs(counts, 6))
    assert [(r.start, r.stop) for r in runs] == [(0, 2), (2, 3), (3, 4), (4, 7), (7, 8)]


@pytest.mark.parametrize("radius", [3.0, 5.0, np.sqrt(50.0)])
def test_voxels_on_the_surface_are_decided_as_by_the_compiled_test(radius):
    axis = np.arange(-8.0, 9.0)  # (3, 4, 0), (0, 5, 0), (3, 4, 5) and more lie on the surface
    gbpd = random_tessellation(20, half=8)
    for factor in (1.0, 1.0 - 2.0**-52, 1.0 + 2.0**-52):
        assert_same(gbpd, (axis, axis, axis), Shell.sphere(radius * factor, max_degree=4))


@pytest.mark.parametrize("device", DEVICES)
def test_radii_equal_compiled_ones_to_the_bit(bumpy, device):
    points = np.random.default_rng(4).normal(size=(5000, 3))
    expected = np.empty(len(points))
    radii_at(points, bumpy.scaled_coefficients, bumpy.max_degree, expected)
    radii = labelling_torch._radii(*torch.tensor(points.T.copy(), device=device), bumpy)
    np.testing.assert_array_equal(radii.cpu().numpy(), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", METRICS)
def test_scores_equal_compiled_ones_to_the_bit(metric, device):
    gbpd = random_tessellation(1, "wild", metric)
    points = np.random.default_rng(7).uniform(-16, 16, (100_000, 3))
    x, y, z = torch.tensor(points.T.copy(), device=device)
    grain = torch.tensor(gbpd.table[0], device=device)
    scores = labelling_torch._scores((x, y, z), grain, gbpd.squared)
    np.testing.assert_array_equal(scores.cpu().numpy(), gbpd.two_best(points)[1][:, 0])


def twins(metric):
    """Thirty pairs of thin plates with seeds 1e-6 apart: float32 mistakes one for the other."""
    rng = np.random.default_rng(6)
    q = np.linalg.qr(rng.normal(size=(30, 3, 3)))[0]
    matrices = np.einsum("nki,k,nkj->nij", q, [1.0, 1.0, 1e4], q)
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
    rows = np.repeat(np.arange(30), 2)
    seeds = rng.uniform(-16, 16, (30, 3))[rows] + rng.normal(scale=1e-6, size=(60, 3))
    return Tessellation(seeds, matrices[rows], np.zeros(60), metric)


@pytest.mark.parametrize("metric", METRICS)
def test_near_ties_are_right_by_the_error_bound_and_wrong_without(metric, monkeypatch):
    gbpd, axis = twins(metric), voxel_axis(24)
    assert_same(gbpd, (axis, axis, axis), precision="mixed")
    monkeypatch.setattr(labelling_torch, "FLOAT32_ERROR", 0.0)
    rash = labelling_torch.label_axes(gbpd, axis, axis, axis, precision="mixed")
    assert (rash != label_axes(gbpd, axis, axis, axis, threads=1)).sum() > 10


@pytest.mark.parametrize("family", FAMILIES)
def test_few_leaves_are_evaluated_twice(family, monkeypatch):
    leaves = {"_best_in_mixed_precision": 0, "_best_in_float64": 0}
    for name in leaves:
        original = getattr(labelling_torch, name)

        def counted(layer, blocks, points, name=name, original=original):
            leaves[name] += len(blocks.counts)
            return original(layer, blocks, points)

        monkeypatch.setattr(labelling_torch, name, counted)
    axis = voxel_axis(64)
    assert_same(random_tessellation(500, family), (axis, axis, axis), precision="mixed")
    assert leaves["_best_in_mixed_precision"] > 1000
    assert leaves["_best_in_float64"] < 0.01 * leaves["_best_in_mixed_precision"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", [*FAMILIES, "ill-conditioned", "huge offsets", "far seeds"])
def test_float32_scores_err_by_less_than_half_the_bound(name, metric):
    gbpd = random_tessellation(2000, name, metric) if name in FAMILIES else stressed(name, metric)
    half = torch.tensor([[0.5], [0.7], [0.3]], dtype=torch.float64)
    points = half * torch.tensor(np.random.default_rng(1).uniform(-1, 1, (200, 3, 1)))
    grains = torch.tensor(gbpd.table.T.copy())
    grains[9] -= grains[9, 0].clone()
    owners = torch.arange(grains.shape[1])  # each grain in a leaf of its own
    layer = SimpleNamespace(squared=gbpd.squared, slack=0.0)
    bound = labelling_torch._float32_error(layer, half.expand(3, len(owners)), grains, owners)
    exact = labelling_torch._scores(points.unbind(1), grains, gbpd.squared)
    rounded = [p.float() for p in points.unbind(1)]
    error = labelling_torch._scores(rounded, grains.float(), gbpd.squared).double() - exact
    share = (error.abs() / bound).amax(0)
    assert share.max() < 0.5
    assert share.max() > 0.01  # the bound is not idle either


@pytest.mark.parametrize("options", [{"precision": "float32"}, {"pair_budget": 0}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match=r"expected .*float64.*mixed.* >= 1"):
        labelling_torch.label_axes(random_tessellation(3), *ragged_axes(), **options)
