from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.cohesive import SplitMesh, split
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
from cathodegrain.exporters.mesh.pieces import connected_pieces
from cathodegrain.exporters.mesh.reading import read_msh
from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.generator.errors import ExportError
from meshes import faces_of, kuhn_lattice, pieces

TIES = np.array([[0, 3], [1, 4], [2, 5]])


@pytest.fixture(scope="module")
def particle_mesh(tiny_particle):
    return volume_mesh(tiny_particle, 0.15)


def areas(points, triangles):
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def fans_by_hand(mesh):
    """Number of fans at each node, by walking from tetrahedron to tetrahedron."""
    touching = defaultdict(list)
    for rows in faces_of(mesh.tets).values():
        if len(rows) == 2 and mesh.grain_ids[rows[0]] == mesh.grain_ids[rows[1]]:
            touching[rows[0]].append(rows[1])
            touching[rows[1]].append(rows[0])
    at = defaultdict(set)
    for row, tet in enumerate(mesh.tets.tolist()):
        for node in tet:
            at[node].add(row)
    counts = np.zeros(len(mesh.points), int)
    for node, rows in at.items():
        while rows:
            counts[node] += 1
            front = [rows.pop()]
            while front:
                near = [r for r in touching[front.pop()] if r in rows]
                rows.difference_update(near)
                front += near
    return counts


def assert_split(mesh, parts):
    """All that a split mesh promises."""
    boundary = mesh.grain_boundary
    low, high = parts.wedges[:, :3], parts.wedges[:, 3:]
    # one wedge on each facet between grains, of its area, between its grains
    np.testing.assert_array_equal(parts.parent[low], boundary[:, ::-1])
    np.testing.assert_array_equal(parts.parent[high], boundary[:, ::-1])
    np.testing.assert_array_equal(parts.points[low], parts.points[high])
    assert areas(parts.points, low).sum() == pytest.approx(areas(mesh.points, boundary).sum())
    # six different nodes, each of a tetrahedron of the right grain: no orphan
    assert (np.diff(np.sort(parts.wedges, axis=1), axis=1) > 0).all()
    assert np.unique(parts.tets).tolist() == list(range(len(parts.points)))
    owner = np.zeros(len(parts.points), int)
    owner[parts.tets] = parts.grain_ids[:, None]
    assert (owner[parts.tets] == parts.grain_ids[:, None]).all()
    assert (owner[low] == parts.wedge_pairs[:, :1]).all()
    assert (owner[high] == parts.wedge_pairs[:, 1:]).all()
    assert (parts.wedge_pairs[:, 0] < parts.wedge_pairs[:, 1]).all()
    # one node for each fan
    counts = fans_by_hand(mesh)
    np.testing.assert_array_equal(np.bincount(parts.parent, minlength=len(counts)), counts)
    # the grains fall apart, and the wedges hold them together
    n_pieces = len(np.unique(connected_pieces(mesh.neighbours, mesh.grain_ids)))
    assert pieces(parts.tets, len(parts.points)) == n_pieces
    assert pieces(parts.tets, len(parts.points), parts.wedges[:, TIES].reshape(-1, 2)) == 1
    # merging gives the mesh back
    for name in ("points", "tets", "grain_ids"):
        np.testing.assert_array_equal(getattr(parts.bonded, name), getattr(mesh, name))
    assert parts.bonded.facts == mesh.facts
    np.testing.assert_array_equal(parts.parent[: len(mesh.points)], np.arange(len(mesh.points)))
    np.testing.assert_array_equal(parts.parent[parts.outer], mesh.outer)
    assert (owner[parts.outer] == parts.facets[1][:, 1:]).all()


def assert_wedges_point_up(mesh, parts):
    """The normal of the bottom points into the grain of the top, seen from both sides."""
    faces = faces_of(parts.tets)
    for side, sign in ((parts.wedges[:, :3], -1), (parts.wedges[:, 3:], 1)):
        a, b, c = (parts.points[side[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        rows = [faces[tuple(sorted(face))] for face in side.tolist()]
        assert {len(r) for r in rows} <= {1}  # the faces are free now
        centre = parts.points[parts.tets[[r[0] for r in rows]]].mean(axis=1)
        assert (sign * np.einsum("ij,ij->i", normal, centre - a) > 0).all()


def test_a_particle_is_split_into_its_grains(particle_mesh):
    parts = split(particle_mesh)
    assert_split(particle_mesh, parts)
    assert_wedges_point_up(particle_mesh, parts)
    assert parts.facts["n_wedges"] == len(particle_mesh.grain_boundary)
    assert parts.facts["interfaces"] == "cohesive"


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 3)] * 3),
    n_grains=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    per_tet=st.booleans(),
)
def test_any_labels_are_split(shape, n_grains, seed, per_tet):
    size = 6 * np.prod(shape) if per_tet else shape
    labels = np.random.default_rng(seed).integers(1, n_grains + 1, size)
    mesh = kuhn_lattice(shape, labels)
    parts = split(mesh)
    assert_split(mesh, parts)
    assert_wedges_point_up(mesh, parts)


def test_two_tetrahedra_are_held_by_one_wedge():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]])
    mesh = VolumeMesh(points, [[0, 1, 2, 3], [0, 2, 1, 4]], [5, 2], 5)  # 2 below, 5 above
    parts = split(mesh)
    assert parts.tets.tolist() == [[0, 1, 2, 3], [5, 7, 6, 4]]
    assert parts.parent.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert parts.wedge_pairs.tolist() == [[2, 5]]
    bottom, top = parts.wedges[0, :3], parts.wedges[0, 3:]
    assert sorted(bottom.tolist()) == [5, 6, 7]
    assert sorted(top.tolist()) == [0, 1, 2]
    a, b, c = parts.points[bottom]
    assert np.cross(b - a, c - a).tolist() == [0, 0, 1]  # upwards: from 2 to 5


CHECKERED = 1 + np.indices((2, 2, 2)).sum(axis=0) % 2
OPPOSITE = np.full((2, 2, 2), 2)
OPPOSITE[0, 0, 0] = OPPOSITE[1, 1, 1] = 1
COLUMNS = np.repeat([[[1], [2]], [[3], [2]]], 2, axis=2)


@pytest.mark.parametrize(
    ("labels", "centre", "line", "n_wedges"),
    [
        (np.repeat([1, 2], 4).reshape(2, 2, 2), 2, 2, 8),
        (COLUMNS, 3, 3, 12),
        (1 + np.arange(8).reshape(2, 2, 2), 8, 4, 24),
        (CHECKERED, 8, 4, 24),  # two grains, each in four pieces there
        (OPPOSITE, 3, 2, 12),  # grain 1 touches the centre twice
    ],
    ids=["plane", "line", "eight", "checkered", "two fans"],
)
def test_a_node_has_a_copy_for_each_fan(labels, centre, line, n_wedges):
    parts = split(kuhn_lattice((2, 2, 2), labels))
    copies = np.bincount(parts.parent).reshape(3, 3, 3)
    assert copies[1, 1, 1] == centre
    assert copies[1, 1, 0] == line
    assert copies[0, 0, 0] == 1
    assert len(parts.wedges) == n_wedges
    assert areas(parts.points, parts.wedges[:, :3]).sum() == n_wedges / 2


def test_a_single_grain_stays_as_it_is():
    mesh = kuhn_lattice((2, 1, 1))
    parts = split(mesh)
    assert parts.wedges.shape == (0, 6)
    np.testing.assert_array_equal(parts.tets, mesh.tets)


def test_without_wedges_the_grains_are_not_tied(particle_mesh):
    parts = split(particle_mesh)
    loose = parts.without_wedges()
    np.testing.assert_array_equal(loose.tets, parts.tets)
    np.testing.assert_array_equal(loose.outer, parts.outer)
    assert loose.wedges.shape == (0, 6)
    assert loose.facts == {**parts.facts, "interfaces": "discontinuous", "n_wedges": 0}
    np.testing.assert_array_equal(loose.bonded.tets, particle_mesh.tets)


def test_a_crowded_face_has_no_sides():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 2], [0, 0, -1]])
    mesh = VolumeMesh(points, [[0, 1, 2, 3], [0, 1, 2, 4], [0, 2, 1, 5]], [1, 2, 3], 3)
    with pytest.raises(ExportError, match="3 tetrahedra have a face that more than two share"):
        split(mesh)


def test_ten_node_tetrahedra_are_refused(particle_mesh, tiny_particle):
    from cathodegrain.exporters.mesh.second_order import second_order

    with pytest.raises(ExportError, match=r"have 10 nodes, expected 4: .* split the first-order"):
        split(second_order(particle_mesh, tiny_particle))


def test_arrays_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"wedges has shape \(1, 5\), expected \(1, 6\)"):
        SplitMesh(np.eye(4, 3), [[0, 1, 2, 3]], [1], 1, [[0] * 5], [[1, 2]], range(4))


# The mechanics: springs of growing stiffness on the wedges approach the bonded body.


def gradients(points, tets):
    """Gradients of the barycentric coordinates, (m, 4, 3)."""
    corners = points[tets]
    inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1])  # columns: gradients of 1, 2, 3
    return np.concatenate([-inverse.sum(axis=2)[:, None], inverse.transpose(0, 2, 1)], axis=1)


def assembled(blocks, dofs, n):
    rows, columns = np.broadcast_arrays(dofs[:, :, None], dofs[:, None, :])
    return coo_array((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=(n, n)).tocsr()


def diffusion(points, tets):
    """Matrix of (grad u, grad v)."""
    slopes = gradients(points, tets)
    blocks = signed_volumes(points, tets)[:, None, None] * (slopes @ slopes.transpose(0, 2, 1))
    return assembled(blocks, tets, len(points))


def elasticity(points, tets, lame=1.0, shear=0.7):
    """Matrix of lame div u div v + 2 shear e(u) : e(v); unknowns 3 node + direction."""
    g, volume = gradients(points, tets), signed_volumes(points, tets)
    outer = np.einsum("tai,tbj->taibj", g, g)
    blocks = lame * outer + shear * np.einsum("taibj->tajbi", outer)
    blocks += shear * np.einsum("tak,tbk,ij->taibj", g, g, np.eye(3))
    dofs = (3 * tets[:, :, None] + np.arange(3)).reshape(-1, 12)
    return assembled(volume[:, None, None] * blocks.reshape(-1, 12, 12), dofs, 3 * len(points))


def springs(parts):
    """Matrix of [u][v] on the wedges."""
    mass = (1 + np.eye(3)) / 12
    block = np.block([[mass, -mass], [-mass, mass]])
    size = areas(parts.points, parts.wedges[:, :3])
    return assembled(size[:, None, None] * block, parts.wedges, len(parts.points))


def solution(matrix, load, free):
    u = np.zeros(len(load))
    u[free] = spsolve(matrix[free][:, free].tocsc(), load[free])
    return u


@pytest.fixture(scope="module")
def blocks():
    """Cube of 5^3 cells, nine grains around random points."""
    rng = np.random.default_rng(5)
    centres = 0.5 + np.array(list(np.ndindex(5, 5, 5)))
    seeds = rng.uniform(0, 5, (9, 3))
    labels = 1 + np.linalg.norm(centres[:, None] - seeds, axis=2).argmin(axis=1)
    mesh = kuhn_lattice((5, 5, 5), labels.reshape(5, 5, 5))
    return mesh, split(mesh)


def assert_falls_as_one_over_k(errors):
    """``errors`` for k = 1e3, 1e4, 1e5, 1e6."""
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 10, rtol=0.02)
    assert errors[-1] < 1e-4


def test_diffusion_across_stiff_wedges_is_that_of_the_bonded_mesh(blocks):
    mesh, parts = blocks

    def solve(points, tets, outer, extra):
        load = np.zeros(len(points))
        np.add.at(load, tets, signed_volumes(points, tets)[:, None] / 4)
        free = np.setdiff1d(np.arange(len(points)), outer)
        return solution(diffusion(points, tets) + extra, load, free)

    bonded = solve(mesh.points, mesh.tets, mesh.outer, 0 * diffusion(mesh.points, mesh.tets))
    ties = springs(parts)
    fixed = np.flatnonzero(np.isin(parts.parent, mesh.outer))
    errors = []
    for k in (1e3, 1e4, 1e5, 1e6):
        u = solve(parts.points, parts.tets, fixed, k * ties)
        errors.append(np.linalg.norm(u - bonded[parts.parent]) / np.linalg.norm(u))
    assert_falls_as_one_over_k(errors)


def test_springs_on_the_wedges_make_the_body_elastic_as_a_whole(blocks):
    """Pulled at the top: zero-thickness springs of stiffness k approach the bonded body."""
    mesh, parts = blocks

    def solve(points, tets, extra):
        matrix = elasticity(points, tets) + extra
        height = points[:, 2]
        pull = np.zeros((len(points), 3))
        pull[height == 5, 2] = 0.1
        held = (3 * np.flatnonzero((height == 0) | (height == 5))[:, None] + np.arange(3)).ravel()
        free = np.setdiff1d(np.arange(pull.size), held)
        return pull.ravel() + solution(matrix, -(matrix @ pull.ravel()), free)

    bonded = solve(mesh.points, mesh.tets, 0 * elasticity(mesh.points, mesh.tets))
    expected = bonded.reshape(-1, 3)[parts.parent].ravel()
    scalar = springs(parts).tocoo()
    ties = sum(
        coo_array((scalar.data, (3 * scalar.row + i, 3 * scalar.col + i)),
                  shape=(3 * len(parts.points),) * 2) for i in range(3)
    ).tocsr()  # fmt: skip
    errors = []
    for k in (1e3, 1e4, 1e5, 1e6):
        u = solve(parts.points, parts.tets, k * ties)
        errors.append(np.linalg.norm(u - expected) / np.linalg.norm(expected))
    assert_falls_as_one_over_k(errors)


# gmsh


@pytest.fixture(scope="module")
def split_file(particle_mesh, tmp_path_factory):
    pytest.importorskip("gmsh")
    return msh_file.write(split(particle_mesh), tmp_path_factory.mktemp("msh") / "mesh.msh")


def physical_groups(gmsh):
    """Name, tag and counts of element types of each physical group, by (dimension, tag)."""
    groups = {}
    for dimension, tag in gmsh.model.getPhysicalGroups():
        counts = defaultdict(int)
        for entity in gmsh.model.getEntitiesForPhysicalGroup(dimension, tag):
            kinds, elements, _ = gmsh.model.mesh.getElements(dimension, entity)
            for kind, tags in zip(kinds, elements, strict=True):
                counts[int(kind)] += len(tags)
        groups[dimension, tag] = (gmsh.model.getPhysicalName(dimension, tag), dict(counts))
    return groups


def test_gmsh_counts_every_element_in_one_group(split_file, particle_mesh):
    with gmsh_model() as gmsh:
        gmsh.merge(str(split_file))
        groups = physical_groups(gmsh)
        kinds, elements, _ = gmsh.model.mesh.getElements()
        total = sum(map(len, elements))
        wedges = gmsh.model.mesh.getElementsByType(6)[0]
        np.testing.assert_allclose(
            gmsh.model.mesh.getElementQualities(wedges, "volume"), 0, atol=1e-12
        )
    n, ids = particle_mesh.n_grains, particle_mesh.grain_ids
    expected = {(3, g): (f"grain_{g:05d}", {4: int((ids == g).sum())}) for g in np.unique(ids)}
    expected[2, n + 1] = ("outer", {2: len(particle_mesh.outer)})
    expected[3, n + 3] = ("cohesive", {6: len(particle_mesh.grain_boundary)})
    assert groups == expected
    assert sorted(kinds) == [2, 4, 6]
    assert total == sum(sum(counts.values()) for _, counts in groups.values())


@pytest.mark.parametrize("loose", [False, True])
def test_reading_gives_back_the_split_mesh(particle_mesh, loose, tmp_path):
    pytest.importorskip("gmsh")
    parts = split(particle_mesh)
    parts = parts.without_wedges() if loose else parts
    read = read_msh(msh_file.write(parts, tmp_path / "mesh.msh"))
    for name in ("points", "tets", "grain_ids", "n_grains", "wedges", "wedge_pairs", "parent"):
        np.testing.assert_array_equal(getattr(read, name), getattr(parts, name))
    assert read.facts == parts.facts


def test_a_thick_wedge_has_a_positive_volume_in_gmsh(tmp_path):
    """Opened by moving the top: gmsh's prism is oriented as ours."""
    pytest.importorskip("gmsh")
    parts = split(kuhn_lattice((1, 1, 2), np.array([[[1, 2]]])))
    points = parts.points.copy()
    points[np.unique(parts.wedges[:, 3:])] += [0, 0, 0.1]
    path = msh_file.write(replace(parts, points=points), tmp_path / "mesh.msh")
    with gmsh_model() as gmsh:
        gmsh.merge(str(path))
        wedges = gmsh.model.mesh.getElementsByType(6)[0]
        volumes = gmsh.model.mesh.getElementQualities(wedges, "volume")
        assert (gmsh.model.mesh.getElementQualities(wedges, "minDetJac") > 0).all()
    np.testing.assert_allclose(volumes, 0.05)


def test_meshio_sees_the_wedges(split_file, particle_mesh):
    meshio = pytest.importorskip("meshio")
    mesh = meshio.read(split_file)
    counts = defaultdict(int)
    for block, tags in zip(mesh.cells, mesh.cell_data["gmsh:physical"], strict=True):
        counts[block.type] += len(block.data)
        if block.type == "wedge":
            assert set(tags) == {particle_mesh.n_grains + 3}
    assert counts == {
        "triangle": len(particle_mesh.outer),
        "tetra": len(particle_mesh.tets),
        "wedge": len(particle_mesh.grain_boundary),
    }


def test_many_pairs_do_not_make_an_empty_group(tmp_path, monkeypatch):
    pytest.importorskip("gmsh")
    monkeypatch.setattr(msh_file, "MAX_PAIR_ENTITIES", 3)
    parts = split(kuhn_lattice((2, 2, 2), 1 + np.arange(8).reshape(2, 2, 2)))
    path = msh_file.write(parts, tmp_path / "mesh.msh")
    with gmsh_model() as gmsh:
        gmsh.merge(str(path))
        assert [tag for _, tag in gmsh.model.getEntities(2)] == [1]
        assert len(gmsh.model.mesh.getElementsByType(2)[0]) == 48
    np.testing.assert_array_equal(read_msh(path).wedges, parts.wedges)


def test_split_and_bonded_files_are_told_apart(split_file, particle_mesh, tmp_path):
    assert type(read_msh(split_file)).__name__ == "SplitMesh"
    bonded = msh_file.write(particle_mesh, tmp_path / "mesh.msh")
    assert type(read_msh(bonded)).__name__ == "VolumeMesh"
