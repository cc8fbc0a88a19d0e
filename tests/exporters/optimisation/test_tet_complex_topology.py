"""Collapses, exchanges and hand-overs keep the shape of grains and of the outer surface."""

import numpy as np
import pytest

from cathodegrain.exporters.meshing.grain_pieces import whole_grains
from cathodegrain.exporters.meshing.outer_manifold import manifold_outside
from cathodegrain.exporters.optimisation.collapse import Collapsing, collapse
from cathodegrain.exporters.optimisation.slivers import hand_over
from cathodegrain.exporters.optimisation.swaps import swap
from cathodegrain.exporters.optimisation.tet_complex import next_round
from complexes import (
    Start,
    alive,
    euler,
    lattice,
    made,
    manifold_case,
    n_pieces,
    outer_faces,
    random_labels,
)
from meshes import edge_counts, kuhn_lattice, umbrellas

SEEDS = range(6)
KEEPING = Collapsing(short=1.2, bad=0.3, longest=3.0, merging=0.0)

RUTHLESS = Collapsing(short=3.0, bad=0.0, longest=9.0, merging=0.0)


def whole_case(seed, stray=0.1):
    """Complex of grains of one piece each, as the mesher begins with."""
    rng = np.random.default_rng(seed)
    points, tets = lattice((6, 6, 6), rng, 0.3)
    labels = random_labels(points, tets, rng, 4, stray)
    labels, _ = whole_grains(points, tets, labels, 0.0)
    return made(points, tets, manifold_outside(points, tets, labels)[0])


def assert_manifold(c):
    """The outer surface is one ball's: closed, without a pinched vertex."""
    surface = outer_faces(*alive(c))
    assert set(edge_counts(surface).values()) == {2}
    assert set(umbrellas(surface).values()) == {1}
    return euler(surface)


def grain_shapes(c):
    """Euler characteristic and number of pieces of each label."""
    tets, labels = alive(c)
    return {
        g: (euler(tets[labels == g]), n_pieces(tets[labels == g])) for g in set(labels.tolist())
    }


def test_references_know_a_ball_a_ring_and_two_pieces():
    ring = np.ones((3, 3, 1), int)
    ring[1, 1, 0] = 2
    mesh = kuhn_lattice(ring.shape, ring)
    assert [euler(mesh.tets[mesh.grain_ids == g]) for g in (1, 2)] == [0, 1]
    assert euler(mesh.outer) == 2
    corners = kuhn_lattice((2, 2, 1), np.array([[[1], [2]], [[2], [1]]]))
    assert n_pieces(corners.tets[corners.grain_ids == 1]) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_sliding_collapses_keep_every_grain_and_the_surface(seed):
    c = whole_case(seed, stray=0.05 * seed)
    shapes, surface = grain_shapes(c), assert_manifold(c)
    next_round(c)
    assert collapse(c, KEEPING) > 10
    assert grain_shapes(c) == shapes
    assert assert_manifold(c) == surface
    assert euler(alive(c)[0]) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_exchanges_keep_every_grain_and_the_surface(seed):
    c = whole_case(seed, stray=0.05 * seed)
    shapes, surface = grain_shapes(c), assert_manifold(c)
    next_round(c)
    assert swap(c, 1.1) > 0
    assert grain_shapes(c) == shapes
    assert assert_manifold(c) == surface


@pytest.mark.parametrize("seed", SEEDS)
def test_handing_over_keeps_the_surface_and_breaks_no_grain(seed):
    c = manifold_case(np.random.default_rng(seed), n_grains=4, stray=0.05 * seed)
    before, surface = grain_shapes(c), assert_manifold(c)
    c.targets[:] = np.linspace(0.5, 1.5, len(c.targets)) * c.volumes
    next_round(c)
    assert hand_over(c, 1.1, 10.0) > 0
    assert assert_manifold(c) == surface
    after = grain_shapes(c)
    assert after.keys() == before.keys()
    assert all(after[g][1] <= before[g][1] for g in before)


def slab(labels):
    """Complex of a kuhn lattice with a label for each cube."""
    mesh = kuhn_lattice(labels.shape)
    return made(mesh.points, mesh.tets, np.repeat(labels.ravel(), 6).astype(np.int32))


def test_a_grain_of_one_tetrahedron_is_not_collapsed_away():
    labels = np.zeros((5, 5, 5), int)
    labels[1:4, 1:4, 1:4] = 1
    c = slab(labels)
    tets, found = alive(c)
    found[np.argmin(np.linalg.norm(c.points[tets].mean(axis=1) - 2.5, axis=1))] = 2
    c = made(c.points, tets, found, targets=np.array([0.0, 100.0, 1e-9]))
    next_round(c)
    assert collapse(c, RUTHLESS) > 0
    assert (alive(c)[1] == 2).sum() >= 1


def test_sheets_of_a_boundary_are_not_joined():
    """A plate of one grain, one cube thick, between two halves of another keeps them apart."""
    labels = np.ones((5, 5, 5), int)
    labels[:, :, 2] = 2
    c = slab(labels)
    start = Start.of(c)
    c.targets[:] = [0.0, 200.0, 1e-9]  # nothing but the topology holds the plate
    next_round(c)
    assert collapse(c, RUTHLESS) > 0
    assert grain_shapes(c)[1] == (2, 2)
    start.check(c)
