"""Inputs at the edge of what the mesh operations must bear, each as small as it can be."""

import json

import numpy as np
import pytest
from scipy.spatial import Delaunay

from cathodegrain.exporters.certificate import certificate as mesh_certificate
from cathodegrain.exporters.certificate.element_shape import element_shape
from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.meshing import mesher
from cathodegrain.exporters.optimisation.collapse import Collapsing, collapse
from cathodegrain.exporters.optimisation.swaps import swap
from cathodegrain.exporters.optimisation.tet_complex import next_round
from complexes import Start, alive, euler, made, n_pieces, outer_faces, whole_cubes
from meshes import ball, edge_counts, kuhn_lattice, umbrellas


def surface(c):
    return outer_faces(*alive(c))


def test_a_vertex_of_the_shell_stays_on_it_when_edges_are_merged():
    big = np.zeros((7, 7, 7), int)
    big[2:5, 2:5, 2:5] = 1
    mesh = kuhn_lattice(big.shape)
    ids = np.repeat(big.ravel(), 6).astype(np.int32)
    index = np.arange(512).reshape(8, 8, 8)
    points = mesh.points.copy()
    points[index[3, 3, 6], 2] -= 0.75  # a vertex outside, on no boundary, near the shell
    assert signed_volumes(points, mesh.tets).min() > 0
    tets = mesh.tets
    c = made(points, tets, ids, targets=np.array([0.0, 28.0]))
    before = {tuple(c.points[v].tolist()) for v in np.unique(surface(c))}
    next_round(c)
    assert collapse(c, Collapsing(short=0.3, bad=0.0, longest=9.0, merging=0.3)) > 0
    after = {tuple(c.points[v].tolist()) for v in np.unique(surface(c))}
    assert after <= before, after - before


def test_a_narrow_gap_outside_is_not_closed_by_merging():
    labels = np.zeros((5, 5, 5), int)
    labels[1:4, 1:4, 1], labels[1, 1:4, 1:4], labels[3, 1:4, 1:4] = 1, 1, 1  # a U
    mesh = kuhn_lattice(labels.shape)
    points = mesh.points.copy()
    points[:, 0] = np.interp(points[:, 0], [0, 2, 3, 5], [0, 2, 2.25, 4])
    ids = np.repeat(labels.ravel(), 6).astype(np.int32)
    c = made(points, mesh.tets, ids, targets=np.array([0.0, 20.0]))
    assert set(edge_counts(surface(c)).values()) == {2}
    next_round(c)
    collapse(c, Collapsing(short=0.3, bad=0.0, longest=9.0, merging=0.3))
    assert set(edge_counts(surface(c)).values()) == {2}
    assert set(umbrellas(surface(c)).values()) == {1}
    assert euler(surface(c)) == 2


def test_a_vertex_of_many_tetrahedra_keeps_the_books_right():
    rng = np.random.default_rng(5)
    inner, outer = rng.normal(size=(80, 3)), rng.normal(size=(60, 3))
    inner /= np.linalg.norm(inner, axis=1)[:, None]
    outer /= np.linalg.norm(outer, axis=1)[:, None] / 3
    points = np.concatenate([[[0.0, 0, 0]], inner, outer])
    tets = Delaunay(points).simplices.astype(np.int64)
    volumes = signed_volumes(points, tets)
    tets[volumes < 0] = tets[volumes < 0][:, [0, 2, 1, 3]]
    c = made(points, tets, np.ones(len(tets), np.int32))
    start = Start.of(c)
    next_round(c)
    swap(c, 1.1)
    collapse(c, Collapsing(0.1, 0.3, 3.0, 0.0))
    start.check(c)


def test_an_element_with_two_vertices_at_one_place_has_angles():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    shape = element_shape(points, np.array([[1, 4, 2, 3]]), np.array([1]))
    assert shape.dihedral_deg.least < 5
    json.dumps(shape.dihedral_deg.least, allow_nan=False)


@pytest.fixture
def forced(card, monkeypatch):
    for module in (mesh_certificate, mesher):
        monkeypatch.setattr(module, "LEAST_SICN", 0.999)
    monkeypatch.setattr(mesher, "FINER", 0.95)
    seen = []
    mesh = mesher.volume_mesh(
        ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]]),
        0.45,
        progress=lambda message, part: seen.append((part, message)),
        force=True,
    )
    return mesh, seen


def test_progress_ends_at_one_after_further_attempts(forced):
    assert forced[1][-1] == (1.0, "done")
    assert not any(message.startswith("again: again") for _, message in forced[1])


def test_there_is_a_repair_for_each_further_attempt(forced):
    assert len(forced[0].facts["repairs"]) == 2


def test_an_island_of_two_fragments_becomes_whole():
    labels = np.zeros((10, 3, 3), int)
    labels[1:5, 1, 1], labels[6:8, 1, 1] = [1, 1, 2, 2], [1, 2]
    found, _ = whole_cubes(labels)
    mesh = kuhn_lattice(labels.shape)
    ids = np.repeat(found.ravel(), 6)
    assert [n_pieces(mesh.tets[ids == g]) for g in (1, 2)] == [1, 1]
