import numpy as np
import pytest
from scipy.spatial import ConvexHull, HalfspaceIntersection, cKDTree
from scipy.spatial.transform import Rotation

from cathodegrain.generator.grains.tessellation import Tessellation, upper_factors
from cathodegrain.generator.shell.shell import Shell
from tessellations import random_tessellation

EYE = np.eye(3)


def test_labels_minimise_the_scores_of_equation_8(rng):
    for metric in ("norm", "squared"):
        gbpd = random_tessellation(40, "wild", metric)
        x = rng.uniform(-16, 16, (500, 3))
        difference = x[:, None] - gbpd.seeds  # written out in another way than the code
        q = np.einsum("pni,nij,pnj->pn", difference, gbpd.matrices, difference)
        scores = (q if metric == "squared" else np.sqrt(q)) - gbpd.offsets
        np.testing.assert_array_equal(gbpd.labels(x), scores.argmin(axis=1))
        np.testing.assert_allclose(gbpd.scores(x), scores)


@pytest.mark.parametrize("metric", ["norm", "squared"])
def test_equal_markers_give_the_voronoi_tessellation(metric, rng):
    seeds = rng.uniform(-8, 8, (60, 3))
    voronoi = Tessellation(seeds, np.stack([EYE] * 60), np.ones(60), metric)
    x = rng.uniform(-8, 8, (2000, 3))
    np.testing.assert_array_equal(voronoi.labels(x), cKDTree(seeds).query(x)[1])


def test_squared_with_unit_matrices_is_the_laguerre_tessellation_by_half_spaces(rng):
    n = 12
    seeds, weights = rng.uniform(-4, 4, (n, 3)), rng.uniform(0, 6, n)
    laguerre = Tessellation(seeds, np.stack([EYE] * n), weights, "squared")
    axis = np.linspace(-8, 8, 81)[:-1] + 0.1
    labels = laguerre.labels(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1))
    box = np.array([[*s, -8] for s in np.vstack([EYE, -EYE])])
    for i in range(n):
        # |x-s_i|^2 - w_i <= |x-s_j|^2 - w_j is the half-space 2 (s_j - s_i) x <= ...
        normals = 2 * np.delete(seeds - seeds[i], i, axis=0)
        bounds = np.delete((seeds**2).sum(1) - weights, i) - ((seeds[i] ** 2).sum() - weights[i])
        spaces = np.vstack([np.column_stack([normals, -bounds]), box])
        inside = np.argwhere(labels == i)
        if len(inside) < 200:
            continue
        centre = axis[inside].mean(axis=0)
        exact = ConvexHull(HalfspaceIntersection(spaces, centre).intersections).volume
        counted = len(inside) * 0.2**3
        surface = 6 * exact ** (2 / 3) * 1.5
        assert abs(counted - exact) < 0.2 * surface * 0.25  # a fraction of the boundary voxels


def test_labels_do_not_depend_on_rotation(rng):
    gbpd = random_tessellation(50, "long")
    r = Rotation.random(random_state=1).as_matrix()
    matrices = r @ gbpd.matrices @ r.T
    turned = Tessellation(
        gbpd.seeds @ r.T, (matrices + matrices.transpose(0, 2, 1)) / 2, gbpd.offsets
    )
    x = rng.uniform(-16, 16, (2000, 3))
    decided = np.diff(gbpd.two_best(x)[1], axis=1)[:, 0] > 1e-9
    np.testing.assert_array_equal(turned.labels(x @ r.T)[decided], gbpd.labels(x)[decided])
    assert decided.mean() > 0.99


def test_labels_do_not_depend_on_the_unit_of_length(rng):
    gbpd = random_tessellation(50, "wild")
    x = rng.uniform(-16, 16, (2000, 3))
    np.testing.assert_array_equal(gbpd.scaled(0.0625).labels(0.0625 * x), gbpd.labels(x))


def test_labels_follow_a_permutation_of_the_seeds(rng):
    gbpd = random_tessellation(50)
    x = rng.uniform(-16, 16, (1000, 3))
    order = rng.permutation(50)
    np.testing.assert_array_equal(order[gbpd.select(order).labels(x)], gbpd.labels(x))


def test_ties_go_to_the_lowest_index():
    seeds = np.zeros((3, 3))
    same = Tessellation(seeds, np.stack([EYE] * 3), np.zeros(3))
    assert same.labels(np.ones(3)) == 0


def test_the_norm_metric_is_not_the_squared_one(rng):
    norm, squared = (random_tessellation(50, "wild", m) for m in ("norm", "squared"))
    x = rng.uniform(-16, 16, (1000, 3))
    assert (norm.labels(x) != squared.labels(x)).mean() > 0.05


def test_soft_indicator_sums_to_one_and_peaks_at_the_label(rng):
    gbpd = random_tessellation(30, "long")
    x = rng.uniform(-16, 16, (200, 3))
    soft = gbpd.soft_indicator(x)
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    np.testing.assert_array_equal(soft.argmax(axis=1), gbpd.labels(x))


@pytest.mark.parametrize("metric", ["norm", "squared"])
def test_score_gradients_are_derivatives_of_the_scores(metric, rng):
    gbpd = random_tessellation(10, "wild", metric)
    x = rng.uniform(-16, 16, (50, 3))
    index = rng.integers(0, 10, 50).astype(np.int32)
    h = 1e-5
    rows = np.arange(50)
    numeric = [
        (gbpd.scores(x + h * e)[rows, index] - gbpd.scores(x - h * e)[rows, index]) / (2 * h)
        for e in EYE
    ]
    np.testing.assert_allclose(
        gbpd.score_gradients(x, index), np.transpose(numeric), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("margin", [0.0, 3.0, 15.0])
def test_candidate_cells_keep_all_grains_within_the_margin(metric, margin, rng):
    gbpd = random_tessellation(200, "long", metric)
    cells = gbpd.candidate_cells(half_width=10.0, cell=1.5, margin=margin)
    x = rng.uniform(-10, 10, (500, 3))
    np.testing.assert_array_equal(cells.labels(x), gbpd.labels(x))
    scores = gbpd.scores(x)
    near = scores <= scores.min(axis=1, keepdims=True) + margin
    index = ((x + 10) // cells.cell).astype(int) @ [cells.n_edge**2, cells.n_edge, 1]
    for row, cell in enumerate(index):
        listed = cells.members[cells.start[cell] : cells.start[cell + 1]]
        assert set(np.flatnonzero(near[row])) <= set(listed.tolist())
    assert len(cells.members) < 0.5 * 200 * cells.n_edge**3  # the lists are short


def test_points_outside_the_cells_are_compared_with_all_grains(rng):
    gbpd = random_tessellation(100, "long")
    cells = gbpd.candidate_cells(half_width=4.0, cell=1.0)
    x = rng.uniform(-16, 16, (500, 3))
    np.testing.assert_array_equal(cells.labels(x), gbpd.labels(x))


def test_sparse_soft_indicator_differs_from_the_dense_one_by_less_than_the_margin(rng):
    gbpd = random_tessellation(150, "long")
    x = rng.uniform(-8, 8, (300, 3))
    sparse = gbpd.candidate_cells(half_width=6.0, cell=1.0, margin=12.0).soft_indicator(x)
    dense = gbpd.soft_indicator(x)
    np.testing.assert_allclose(sparse.toarray(), dense, atol=150 * np.exp(-12))
    np.testing.assert_allclose(sparse.sum(axis=1), 1)
    assert sparse.nnz < dense.size  # points outside the cells have all grains


def test_factors_are_those_of_cholesky(rng):
    gbpd = random_tessellation(50, "wild")
    upper = np.linalg.cholesky(gbpd.matrices).transpose(0, 2, 1)
    np.testing.assert_allclose(
        upper_factors(gbpd.matrices), upper[:, *np.triu_indices(3)], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": np.zeros((2, 2))}, "seeds has shape"),
        ({"offsets": np.zeros(3)}, r"offsets has shape \(3,\), expected \(2,\)"),
        ({"offsets": np.array([0, np.nan])}, "not finite"),
        ({"matrices": np.stack([EYE, np.diag([1, 1, -1])])}, "matrix 1 is not symmetric positive"),
        ({"matrices": np.stack([EYE, EYE + np.eye(3, k=1)])}, "matrix 1 is not symmetric positive"),
        ({"metric": "cubed"}, "metric is 'cubed'"),
    ],
)
def test_bad_markers_are_refused(change, message):
    good = {"seeds": np.zeros((2, 3)), "matrices": np.stack([EYE] * 2), "offsets": np.zeros(2)}
    with pytest.raises(ValueError, match=message):
        Tessellation(**(good | change))


def test_arrays_are_copies_that_cannot_be_written():
    seeds = np.zeros((1, 3))
    gbpd = Tessellation(seeds, EYE[None], np.zeros(1))
    seeds[0] = 5
    assert gbpd.seeds[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        gbpd.seeds[0] = 1


def test_section_counts_under_radial_stretch_follow_the_sixth_root():
    # the number of grains in a central section scales as (d1/d2)^(1/6): docs/fidelity.md
    rng = np.random.default_rng(3)
    n, half = 8000, 128.0
    axis = np.arange(-100, 100, 0.5) + 0.25
    plane = np.stack([*np.meshgrid(axis, axis), np.zeros((400, 400))], -1)
    plane = plane[np.hypot(plane[..., 0], plane[..., 1]) < 100]
    from cathodegrain.generator.markers.radial_frame import radial_rotations

    counts = {}
    for d in ((3, 1, 1), (1, 1, 1), (1, 3, 3)):
        total = []
        for _ in range(3):
            seeds = rng.uniform(-half, half, (n, 3))
            q = radial_rotations(seeds, np.zeros(n))
            m = np.einsum("nki,k,nkj->nij", q, np.array(d, float), q)
            gbpd = Tessellation(seeds, (m + m.transpose(0, 2, 1)) / 2, np.zeros(n))
            cells = gbpd.candidate_cells(half_width=101.0, cell=8.0)
            total.append(len(np.unique(cells.labels(plane))))
        counts[d] = np.mean(total)
    one = counts[1, 1, 1]
    error = 4 * np.sqrt(2 / (3 * one))  # four standard errors of a ratio of counts
    assert abs(counts[3, 1, 1] / one - 3 ** (1 / 6)) < error * 3 ** (1 / 6)
    assert abs(counts[1, 3, 3] / one - 3 ** (-1 / 6)) < error


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", ["mild", "long", "wild"])
def test_reachable_grains_are_the_owners_of_points_inside_and_few_more(family, metric, rng):
    gbpd = random_tessellation(1500, family, metric)
    coefficients = np.zeros(16)
    coefficients[[0, 2, 7, 12]] = 8 * np.sqrt(4 * np.pi), 1.5, 1.0, -1.2
    shell = Shell(coefficients)
    x = rng.uniform(-10, 10, (400_000, 3))
    owners = np.unique(gbpd.labels(x[shell.contains(x)]))
    found = {r: gbpd.reachable(shell, resolution=r) for r in (2.0, 0.0625)}
    for reachable in found.values():
        assert np.isin(owners, reachable).all()
        assert (np.diff(reachable) > 0).all()
    assert len(owners) < len(found[0.0625]) < len(found[2.0]) < len(gbpd)
    assert len(found[0.0625]) < 1.2 * len(owners)  # slivers that the sample missed among them


def test_a_shell_inside_one_grain_reaches_that_grain_only():
    seeds = np.array([[0.0, 0, 0], [10.0, 0, 0], [0, 10.0, 0], [0, 0, -10.0]])
    gbpd = Tessellation(seeds, np.stack([EYE] * 4), np.ones(4))
    assert gbpd.reachable(Shell.sphere(2.0), resolution=0.5).tolist() == [0]
    moved = Tessellation(seeds + 30, np.stack([EYE] * 4), np.ones(4))  # no seed near the shell
    assert moved.reachable(Shell.sphere(2.0), resolution=0.1).tolist() == [3]
