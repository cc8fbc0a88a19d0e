"""Blocks share a mesh out to threads: the result is the same for any number of threads."""

import threading

import numpy as np
import pytest

from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.meshing import mesher
from cathodegrain.exporters.optimisation import blocks
from cathodegrain.exporters.optimisation.blocks import Worked, worked_in_blocks
from cathodegrain.exporters.optimisation.tet_complex import VACANT, VOLUME_MARGIN, hull_of
from cathodegrain.generator.errors import ExportError
from complexes import lattice, random_labels

SIZES = np.ones(5)


@pytest.fixture
def mesh(rng, monkeypatch):
    """A mesh of four grains in four blocks."""
    points, tets = lattice((8, 8, 8), rng)
    monkeypatch.setattr(blocks, "BLOCK", len(tets) // 4)
    labels = random_labels(points, tets, rng, 4)
    n = len(points)
    unchanged, unlimited = np.zeros(n, np.int32), np.full(n, np.inf)
    return Worked(points, tets, labels, hull_of(tets, n), unchanged, unlimited)


def volumes(mesh):
    return np.bincount(mesh.labels, signed_volumes(mesh.points, mesh.tets), len(SIZES))


def rows(mesh):
    """Tetrahedra with their labels, in an order of their own."""
    return np.unique(np.column_stack([mesh.tets, mesh.labels]), axis=0)


def test_work_that_does_nothing_leaves_the_same_mesh(mesh):
    seen = []
    same = worked_in_blocks(mesh, volumes(mesh), SIZES, 0, seen.append, 2)
    assert len(seen) == 4
    np.testing.assert_array_equal(same.points, mesh.points)
    np.testing.assert_array_equal(rows(same), rows(mesh))


def test_a_vertex_is_free_in_one_block_at_most_and_nearly_all_are_another_time(mesh):
    often = np.zeros(len(mesh.points), int)
    for done in range(8):
        moved = worked_in_blocks(mesh, volumes(mesh), SIZES, done, push, 2).points - mesh.points
        times = np.rint(moved[:, 0] / 1e-6).astype(int)
        assert set(times.tolist()) == {0, 1}
        often += times
    inner = (np.abs(mesh.points) < np.abs(mesh.points).max() - 1e-9).all(axis=1)
    assert not often[~inner].any()
    assert (often[inner] > 0).mean() > 0.95


def push(c):
    c.points[~c.fixed] += 1e-6


@pytest.mark.parametrize("error", [-0.02, 0.0, 0.02])
@pytest.mark.parametrize("side", [-1, 1])
def test_blocks_that_share_a_grain_keep_its_margin_together(error, side, mesh):
    own = volumes(mesh)
    targets, room = own / (1 + error), np.zeros(len(SIZES))

    def work(c):
        there = np.unique(c.labels[c.labels > 0])
        limits = (1 + side * VOLUME_MARGIN) * c.targets
        room[there] += (limits - c.volumes)[there]

    worked_in_blocks(mesh, targets, SIZES, 0, work, 1)
    np.testing.assert_allclose(room[1:], ((1 + side * VOLUME_MARGIN) * targets - own)[1:])


def test_what_has_changed_is_known_to_the_next_blocks_and_hulls_are_looked_at_again(mesh):
    mesh.changed[:] = np.arange(len(mesh.points)) % 3
    looked_at = []

    def work(c):
        c.round[0] += 2
        touching = c.tets[c.fixed[c.tets].any(axis=1) & (c.labels != VACANT)]
        looked_at.append({tuple(c.points[v]) for v in touching.ravel()})

    changed = worked_in_blocks(mesh, volumes(mesh), SIZES, 3, work, 1).changed
    again = np.array([tuple(p) in set.union(*looked_at) for p in mesh.points])
    np.testing.assert_array_equal(changed[again], 5)
    np.testing.assert_array_equal(changed[~again], mesh.changed[~again])
    assert 0 < again.sum() < len(again)


@pytest.mark.parametrize("error", [ExportError, KeyboardInterrupt])
def test_an_error_in_a_block_ends_the_work(mesh, error):
    running = threading.active_count()

    def work(_):
        raise error

    with pytest.raises(error):
        worked_in_blocks(mesh, volumes(mesh), SIZES, 0, work, 2)
    assert threading.active_count() == running


def test_a_mesh_does_not_depend_on_the_number_of_threads(tiny_particle, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 1_500)
    monkeypatch.setattr(blocks, "PART", 2_000)
    found, facts, counts = [], [], []
    original = blocks._blocks
    monkeypatch.setattr(
        blocks, "_blocks", lambda *a: counts.append(len(parts := original(*a))) or parts
    )
    for threads in (1, 2, 8):
        mesh = mesher.volume_mesh(tiny_particle, 0.3, threads=threads)
        found.append((mesh.points.tobytes(), mesh.tets.tobytes(), mesh.grain_ids.tobytes()))
        assert mesh.facts["certificate"]["certified"] is True
        facts.append(mesh.facts)
    assert found[0] == found[1] == found[2]
    assert facts[0] == facts[1] == facts[2]
    assert max(counts) >= 8
    assert min(counts) >= 2


def test_an_interrupt_ends_a_mesh_made_in_threads(tiny_particle, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 1_500)
    running = threading.active_count()

    def interrupt(message, part):
        if part > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mesher.volume_mesh(tiny_particle, 0.3, progress=interrupt, threads=2)
    assert threading.active_count() == running
