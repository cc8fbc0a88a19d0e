"""Every operation on a mesh keeps the domain, its tetrahedra positive and the books exact."""

from itertools import combinations, permutations

import numpy as np
import pytest

from cathodegrain.exporters.mesh.material_field import NONE, interface_distance, particle_field
from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.meshing.outer_manifold import manifold_outside
from cathodegrain.exporters.optimisation.collapse import Collapsing, collapse
from cathodegrain.exporters.optimisation.slivers import hand_over
from cathodegrain.exporters.optimisation.smoothing import N_OFFSETS, trial_offsets
from cathodegrain.exporters.optimisation.swaps import GAIN, swap
from cathodegrain.exporters.optimisation.tet_complex import (
    MAX_RING,
    OPPOSITE,
    VACANT,
    is_settled,
    next_round,
    ring_around,
)
from complexes import Start, alive, lattice, made, manifold_case, qualities, smoothed
from meshes import ball

SEEDS = [[-0.5, 0.1, 0.2], [0.5, -0.2, 0.1], [0.1, 0.6, -0.3]]
KEEPING = Collapsing(short=1.2, bad=0.3, longest=3.0, merging=0.0)
MERGING = Collapsing(short=1.2, bad=0.3, longest=3.0, merging=0.8)


@pytest.fixture(scope="module")
def field(card):
    return particle_field(ball(card, SEEDS))


@pytest.fixture
def body_case(card):
    """Coarse lattice about a ball of three grains, labelled by them."""

    def case(seed, jitter=0.3):
        points, tets = lattice((7, 7, 7), np.random.default_rng(seed), jitter, 0.4)
        labels = ball(card, SEEDS).grain_at(points[tets].mean(axis=1))
        return made(points, tets, manifold_outside(points, tets, labels)[0], size=0.4)

    return case


def operations(field):
    return {
        "swap": lambda c: swap(c, 1.1),
        "collapse": lambda c: collapse(c, KEEPING),
        "merge": lambda c: collapse(c, MERGING),
        "hand over": lambda c: hand_over(c, 1.1, 10.0),
        "project": lambda c: smoothed(c, field),
        "climb": lambda c: smoothed(c, field, threshold=1.1, floor=1.0, relax_below=1.1),
    }


@pytest.mark.parametrize("name", operations(None))
@pytest.mark.parametrize("seed", range(4))
def test_an_operation_keeps_the_domain_and_the_books(name, seed, field):
    c = manifold_case(np.random.default_rng(seed), n_grains=3, stray=0.05 * seed, pitch=0.4)
    start = Start.of(c)
    next_round(c)
    assert operations(field)[name](c) > 0
    start.check(c)
    start.check_targets(c)


@pytest.mark.parametrize("seed", range(6))
def test_operations_in_any_order_keep_the_domain_and_the_books(seed, field, body_case):
    c, rng = body_case(seed), np.random.default_rng(seed)
    start, todo = Start.of(c), operations(field)
    for _ in range(2):
        next_round(c)
        for name in rng.permutation(list(todo)):
            todo[name](c)
            start.check(c)
            start.check_targets(c)


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_grains_come_nearer_to_targets_that_they_miss(factor, field, body_case):
    c = body_case(1)
    c.targets[:] = factor * c.volumes
    start = Start.of(c)
    for operation in operations(field).values():
        next_round(c)
        operation(c)
        start.check_targets(c)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["swap", "climb"])
def test_the_worst_element_never_gets_worse(name, seed, field, body_case):
    c = body_case(seed)
    for _ in range(3):
        worst = qualities(c).min()
        next_round(c)
        operations(field)[name](c)
        assert qualities(c).min() >= worst


def test_projection_does_not_undercut_its_floor(field, body_case):
    c = body_case(2, jitter=0.0)
    assert qualities(c).min() > 0.4
    next_round(c)
    smoothed(c, field, threshold=0.0, floor=0.2)
    assert 0.2 <= qualities(c).min() < 0.25  # it goes as far as it may


def test_vertices_that_climb_stay_within_the_tolerance_of_their_boundary(field, body_case):
    c = body_case(3)
    next_round(c)
    before = c.points.copy()
    smoothed(c, field, threshold=1.1, floor=1.0, relax_below=1.1, tolerance=0.02)
    moved = (c.points != before).any(axis=1) & ((c.materials != NONE).sum(axis=1) == 2)
    assert moved.sum() > 10
    distances = [
        interface_distance(c.points[v].copy(), c.materials[v], 0.4, field)
        for v in np.flatnonzero(moved)
    ]
    assert max(distances) < 1.05 * 2 * 0.02


def test_offsets_fill_the_unit_ball_evenly():
    offsets = trial_offsets()
    radius = np.linalg.norm(offsets, axis=1)
    assert offsets.shape == (N_OFFSETS, 3)
    assert radius.max() <= 1
    assert np.linalg.norm(offsets.mean(axis=0)) < 0.05
    np.testing.assert_allclose(
        np.quantile(radius, [0.25, 0.5, 0.75]) ** 3, [0.25, 0.5, 0.75], atol=0.03
    )


def test_opposite_vertices_complete_an_even_permutation():
    for i, j in permutations(range(4), 2):
        order = [i, j, *OPPOSITE[i, j]]
        assert np.linalg.det(np.eye(4)[order]) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(2))
def test_rings_are_the_tetrahedra_of_an_edge_in_order(seed):
    c = manifold_case(np.random.default_rng(seed), (4, 4, 4), 2)
    swap(c, 1.1)
    tets, _ = alive(c)
    closed = 0
    for a, b in {edge for tet in tets.tolist() for edge in combinations(sorted(tet), 2)}:
        ring, rows = np.empty(MAX_RING, np.int64), np.empty(MAX_RING, np.int64)
        n = ring_around(c, a, b, ring, rows)
        around = tets[(tets == a).any(axis=1) & (tets == b).any(axis=1)]
        others, count = np.unique(around[(around != a) & (around != b)], return_counts=True)
        if (count != 2).any():
            assert n == 0  # an edge of the hull
            continue
        closed += 1
        assert n == len(around)
        assert sorted(ring[:n].tolist()) == others.tolist()
        for k in range(n):
            corners = np.array([a, b, ring[k], ring[(k + 1) % n]])
            assert signed_volumes(c.points, corners[None])[0] > 0
            assert set(c.tets[rows[k]].tolist()) == set(corners.tolist())
    assert closed > 100


def spindle(n, rng):
    """An edge (0, 1) with n tetrahedra around it, ring 2 .. n + 1, all positive."""
    angle = 2 * np.pi * (np.arange(n) + rng.uniform(-0.25, 0.25, n)) / n
    radius, height = rng.uniform(0.6, 1.4, n), rng.uniform(-0.2, 0.2, n)
    low, high = rng.uniform(0.5, 1.5, 2)
    ring = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    points = np.concatenate([[[0, 0, -low], [0, 0, high]], ring])
    tets = [[0, 1, 2 + k, 2 + (k + 1) % n] for k in range(n)]
    return points, np.array(tets)


def triangulations(i, j):
    """All triangulations of the polygon i, i + 1, ..., j."""
    if j - i < 2:
        yield []
    for k in range(i + 1, j):
        for left in triangulations(i, k):
            for right in triangulations(k, j):
                yield [*left, (i, k, j), *right]


def worst_of(points, tets):
    return qualities(made(points, np.array(tets), np.ones(len(tets), np.int32))).min()


@pytest.mark.parametrize("n", range(3, 8))
def test_a_ring_gets_the_best_of_all_its_triangulations(n):
    n_better = 0
    for seed in range(30):
        points, tets = spindle(n, np.random.default_rng(seed))
        if signed_volumes(points, tets).min() < 1e-3:
            continue
        found = [
            worst_of(points, [t for i, k, j in chosen for t in ([i, k, j, 1], [i, j, k, 0])])
            for chosen in triangulations(2, n + 1)
        ]
        before, best = worst_of(points, tets), max(found)
        c = made(points, tets, np.ones(n, np.int32))
        swap(c, 1.1)
        n_better += best > GAIN * before
        assert qualities(c).min() >= (best if best > GAIN * before else before)
        Start.of(made(points, tets, np.ones(n, np.int32))).check(c)
    assert n_better > 2


@pytest.mark.parametrize("seed", range(3))
def test_what_has_not_changed_for_a_round_is_settled(seed):
    c = manifold_case(np.random.default_rng(seed), (4, 4, 4), 2)
    rows = np.flatnonzero(c.labels != VACANT)
    next_round(c)
    assert not any(is_settled(c, t) for t in rows)
    next_round(c)
    assert all(is_settled(c, t) for t in rows)
    before = {tuple(t) for t in alive(c)[0].tolist()}
    c.changed[:] = c.round[0]
    assert swap(c, 1.1) > 0
    next_round(c)
    fresh = [
        t for t in np.flatnonzero(c.labels != VACANT) if tuple(c.tets[t].tolist()) not in before
    ]
    assert fresh
    assert not any(is_settled(c, t) for t in fresh)
