"""Necks, contacts and surfaces of grains are those that slow references count."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cathodegrain.exporters.certificate.grain_topology import (
    LISTED,
    NECK_SHARE,
    NoSphere,
    grain_topology,
)
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.surfaces.closed_surface import separated
from complexes import lattice
from meshes import faces_of, kuhn_lattice

RING = np.array([[2, 2, 2], [2, 1, 2], [2, 2, 2]])[:, :, None]  # a ring of cubes round another


def random_mesh(seed, shape=(4, 4, 4), n_grains=3):
    """Tetrahedra with random grains: all that can go wrong with a grain's shape does."""
    rng = np.random.default_rng(seed)
    points, tets = lattice(shape, rng)
    ids = rng.integers(1, n_grains + 1, len(tets))
    return VolumeMesh(points, tets, ids, n_grains)


def parts(pairs, n):
    """Component of each of n things that pairs join."""
    rows = np.array(sorted(pairs), int).reshape(-1, 2).T
    return connected_components(coo_array((np.ones(rows.shape[1]), tuple(rows)), shape=(n, n)))[1]


def inner_faces(mesh):
    """Pairs of tetrahedra of one grain that share a face, with its nodes."""
    pairs = {tuple(rows): face for face, rows in faces_of(mesh.tets).items() if len(rows) == 2}
    return {(a, b): f for (a, b), f in pairs.items() if mesh.grain_ids[a] == mesh.grain_ids[b]}


def slow_necks(mesh):
    """(grain, share) of every face without which a grain has a piece more."""
    faces = inner_faces(mesh)
    whole = parts(faces, len(mesh.tets))
    for pair in faces:
        parted = parts(set(faces) - {pair}, len(mesh.tets))
        if parted[pair[0]] != parted[pair[1]]:
            piece = whole == whole[pair[0]]
            behind = mesh.volumes[parted == parted[pair[0]]].sum()
            grain = int(mesh.grain_ids[pair[0]])
            smaller = min(behind, mesh.volumes[piece].sum() - behind)
            yield grain, smaller / mesh.grain_volumes[grain - 1]


@pytest.mark.parametrize("seed", range(4))
def test_necks_are_the_faces_that_part_a_grain(seed):
    mesh = random_mesh(seed, (3, 2, 2), n_grains=2)
    found = grain_topology(mesh)
    expected = [row for row in slow_necks(mesh) if row[1] >= NECK_SHARE]
    assert len(expected) > 3
    assert found.n_necks == len(expected)
    assert found.n_grains_with_necks == len({grain for grain, _ in expected})
    shares = sorted((share for _, share in expected), reverse=True)
    assert found.largest_neck_share == pytest.approx(shares[0])
    np.testing.assert_allclose([neck.share for neck in found.necks], shares[:LISTED])


def test_a_neck_names_its_grain_its_share_and_its_place():
    mesh = kuhn_lattice((2, 1, 1))
    faces = {f: rows for f, rows in faces_of(mesh.tets).items() if len(rows) == 2}
    face, beyond = next((f, max(r)) for f, r in faces.items() if min(r) < 6 <= max(r))
    ids = np.where(np.arange(12) < 6, 1, 2)  # two cubes
    ids[beyond] = 1
    found = grain_topology(VolumeMesh(mesh.points, mesh.tets, ids, 2))
    (neck,) = (neck for neck in found.necks if neck.grain_id == 1)
    assert neck.share == pytest.approx(1 / 7)
    np.testing.assert_allclose(neck.centroid_um, mesh.points[list(face)].mean(axis=0), atol=1e-6)


def slow_touching_nodes(mesh):
    """Numbers of (grain, node) whose tetrahedra fall apart if joined over edges at the node."""
    around = defaultdict(list)
    for tet, grain in zip(mesh.tets.tolist(), mesh.grain_ids.tolist(), strict=True):
        for node in tet:
            around[grain, node].append({*tet} - {node})
    count = 0
    for links in around.values():
        pairs = [(i, j) for (i, a), (j, b) in combinations(enumerate(links), 2) if a & b]
        count += int(parts(pairs, len(links)).max() > 0)
    return count


@pytest.mark.parametrize("seed", range(4))
def test_touching_nodes_have_no_edge_in_common_there(seed):
    mesh = random_mesh(seed, n_grains=5)
    expected = slow_touching_nodes(mesh)
    assert expected > 10
    assert grain_topology(mesh).n_touching_nodes == expected


def test_cubes_touch_in_a_corner_but_not_where_they_share_an_edge():
    cubes = np.ones((2, 2, 2), int)
    cubes[0, 0, 0] = cubes[1, 1, 1] = 2
    assert grain_topology(kuhn_lattice((2, 2, 2), cubes)).n_touching_nodes == 1
    cubes = np.array([[1, 2], [2, 1]])[:, :, None]
    assert grain_topology(kuhn_lattice((2, 2, 1), cubes)).n_touching_nodes == 0


def slow_surfaces(mesh, grain):
    """Number and summed genus of the closed surfaces of a grain, made manifold before."""
    triangles, pairs = mesh.facets
    own = triangles[pairs[:, 1] == grain]
    turned = triangles[pairs[:, 0] == grain][:, ::-1]
    points, triangles = separated(mesh.points, np.concatenate([own, turned]))
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    used = np.unique(triangles)
    n_surfaces = len(np.unique(parts(edges.tolist(), len(points))[used]))
    euler = len(used) - len(edges) + len(triangles)
    return n_surfaces, n_surfaces - euler // 2


@pytest.mark.parametrize("seed", range(4))
def test_surfaces_are_counted_as_those_of_the_closed_files(seed):
    mesh = random_mesh(seed, n_grains=4)
    mesh = VolumeMesh(mesh.points, mesh.tets, np.minimum(mesh.grain_ids, 2), 2)  # 1 in 4
    expected = [NoSphere(g, *slow_surfaces(mesh, g)) for g in (1, 2)]
    assert any(grain.genus > 0 for grain in expected)
    assert any(grain.n_surfaces > 1 for grain in expected)
    assert grain_topology(mesh).no_spheres == tuple(expected)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.ones((2, 1, 1), int), []),
        (RING, [NoSphere(2, 1, 1)]),
        (np.pad(np.ones((1, 1, 1), int), 1, constant_values=2), [NoSphere(2, 2, 0)]),
    ],
    ids=["block", "ring", "hollow"],
)
def test_a_ring_has_a_handle_and_a_hollow_grain_two_surfaces(labels, expected):
    found = grain_topology(kuhn_lattice(labels.shape, labels))
    assert list(found.no_spheres) == expected
    assert found.n_no_spheres == len(expected)


def test_elements_on_boundaries_have_no_node_inside():
    mesh = kuhn_lattice((3, 3, 3))
    inside = ((mesh.points > 0) & (mesh.points < 3)).all(axis=1)
    expected = (~inside[mesh.tets]).all(axis=1).sum()
    assert 0 < expected < len(mesh.tets)
    assert grain_topology(mesh).n_tets_on_boundaries == expected
    cubes = kuhn_lattice((3, 3, 3), np.arange(1, 28).reshape(3, 3, 3))
    assert grain_topology(cubes).n_tets_on_boundaries == len(cubes.tets)


def test_lists_end_and_totals_do_not():
    """Grains of two bipyramids each, which are two tetrahedra with a face in common."""
    n = LISTED + 10
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]])
    points = np.concatenate([corners + np.array([3.0 * k, 0, 0]) for k in range(2 * n)])
    tets = np.concatenate([5 * k + np.array([[0, 1, 2, 3], [0, 2, 1, 4]]) for k in range(2 * n)])
    found = grain_topology(VolumeMesh(points, tets, np.repeat(np.arange(1, n + 1), 4), n))
    assert (found.n_necks, found.n_grains_with_necks, len(found.necks)) == (2 * n, n, LISTED)
    assert found.largest_neck_share == pytest.approx(1 / 4)
    assert (found.n_no_spheres, len(found.no_spheres)) == (n, LISTED)
    assert found.no_spheres[-1] == NoSphere(LISTED, 2, 0)


def test_a_tetrahedron_with_a_node_twice_ends_the_search():
    mesh = kuhn_lattice((2, 2, 2))
    tets = mesh.tets.copy()
    tets[::5, 3] = tets[::5, 2]
    assert grain_topology(VolumeMesh(mesh.points, tets, mesh.grain_ids, 1)).n_necks >= 0
