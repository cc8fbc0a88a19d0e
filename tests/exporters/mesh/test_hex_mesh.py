"""Grids of voxels as hexahedra: nodes, faces, contacts, and the files that hold them."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from cathodegrain.exporters.mesh.hex_mesh import (
    HEX_FACES,
    HexMesh,
    hex_neighbours,
    n_touching_nodes,
    of_voxels,
    scaled_jacobian,
)
from cathodegrain.exporters.mesh.reading import read_msh, read_vtkhdf
from cathodegrain.generator.errors import ExportError

EDGE = 0.1
CORNER = (-0.2, 0.0, 0.3)


def mesh_of(labels, **facts):
    labels = np.asarray(labels, np.int32)
    facts = {"n_grains": int(labels.max()), "size_um": EDGE, **facts}
    return of_voxels(labels, CORNER, EDGE, int(labels.max()), facts)


@pytest.fixture(scope="module")
def random_labels():
    return np.random.default_rng(11).integers(0, 4, (5, 6, 7)).astype(np.int32)


@pytest.fixture(scope="module")
def mesh(random_labels):
    return mesh_of(random_labels)


def test_every_voxel_with_a_label_is_a_cube_at_its_place(mesh, random_labels):
    z, y, x = np.nonzero(random_labels)
    assert mesh.grain_ids.tolist() == random_labels[z, y, x].tolist()
    steps = np.array(list(product((0, 1), repeat=3)))[:, ::-1]
    for row, voxel in enumerate(np.stack([x, y, z], axis=1)):
        corners = (mesh.points[mesh.hexes[row]] - CORNER) / EDGE
        expected = {tuple(corner) for corner in (voxel + steps).tolist()}
        assert {tuple(corner) for corner in corners.round(9).tolist()} == expected
    np.testing.assert_allclose(mesh.volumes, EDGE**3, rtol=1e-12)
    np.testing.assert_allclose(scaled_jacobian(mesh.points, mesh.hexes), 1, rtol=1e-12)
    counts = np.bincount(random_labels.ravel())[1:]
    np.testing.assert_allclose(mesh.grain_volumes, counts * EDGE**3, rtol=1e-12)


def test_cubes_share_the_nodes_at_one_place(mesh):
    assert len(np.unique(mesh.points.round(9), axis=0)) == len(mesh.points)
    assert len(np.unique(mesh.hexes)) == len(mesh.points)


def test_neighbours_are_those_that_share_four_nodes(mesh):
    sharing = defaultdict(list)
    for row, nodes in enumerate(mesh.hexes.tolist()):
        for face in HEX_FACES.tolist():
            sharing[frozenset(nodes[k] for k in face)].append(row)
    assert max(map(len, sharing.values())) == 2
    for row, nodes in enumerate(mesh.hexes.tolist()):
        for k, face in enumerate(HEX_FACES.tolist()):
            others = [h for h in sharing[frozenset(nodes[i] for i in face)] if h != row]
            assert mesh.neighbours[row, k] == (others[0] if others else -1)


def test_a_face_of_three_hexahedra_is_crowded():
    hexes = mesh_of([[[1, 1]]]).hexes
    neighbours = hex_neighbours(np.concatenate([hexes, hexes[:1]]), 12)
    assert (neighbours == -2).any()


def test_facets_stand_between_voxels_of_different_labels(mesh, random_labels):
    quads, pairs = mesh.facets
    padded = np.pad(random_labels, 1)
    expected = defaultdict(int)
    for axis in range(3):
        low, high = (np.moveaxis(padded, axis, 0)[part] for part in (slice(-1), slice(1, None)))
        for a, b in zip(low.ravel().tolist(), high.ravel().tolist(), strict=True):
            expected[min(a, b), max(a, b)] += a != b
    found = defaultdict(int)
    for pair in pairs.tolist():
        found[tuple(pair)] += 1
    assert found == {pair: n for pair, n in expected.items() if n}
    assert pairs.tolist() == sorted(pairs.tolist())
    assert len(mesh.outer) + len(mesh.grain_boundary) == len(quads)


def test_normals_of_facets_point_out_of_the_grain_with_the_higher_id(mesh, random_labels):
    quads, pairs = mesh.facets
    corners = mesh.points[quads]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]) / EDGE**2
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-9)
    padded = np.pad(random_labels, 1)
    for side, sign in ((0, 1), (1, -1)):  # low is where the normal points to
        places = (corners.mean(axis=1) + sign * normals * EDGE / 2 - CORNER) / EDGE
        x, y, z = np.floor(places).astype(int).T + 1
        assert padded[z, y, x].tolist() == pairs[:, side].tolist()


@pytest.mark.parametrize(
    ("labels", "touching"),
    [
        ([[[1, 1], [1, 1]], [[1, 1], [1, 1]]], 0),
        ([[[1, 1], [0, 1]]], 0),
        ([[[1, 0], [0, 1]]], 2),  # along an edge
        ([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], 1),  # at a node
        ([[[1, 0], [0, 1]], [[1, 1], [1, 1]]], 1),  # along an edge, joined at its lower end
    ],
)
def test_nodes_where_no_faces_join_what_meets_are_counted(labels, touching):
    mesh = mesh_of(labels)
    assert n_touching_nodes(mesh.hexes, mesh.neighbours, len(mesh.points)) == touching


def test_grain_ids_beyond_the_grains_are_refused(mesh):
    with pytest.raises(ValueError, match="grain_ids reach from 1 to 3, expected 1 to n_grains = 2"):
        HexMesh(mesh.points, mesh.hexes, mesh.grain_ids, 2)


def assert_same(found, mesh):
    assert type(found) is HexMesh
    for name in ("points", "hexes", "grain_ids", "n_grains", "facts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(mesh, name))


@pytest.mark.parametrize(("suffix", "read"), [(".vtkhdf", read_vtkhdf), (".msh", read_msh)])
def test_reading_gives_back_the_mesh(suffix, read, mesh, tmp_path):
    pytest.importorskip("gmsh")
    assert_same(read(mesh.save(tmp_path / f"mesh{suffix}")), mesh)


def test_gmsh_knows_the_groups_and_measures_the_cubes(mesh, tmp_path):
    gmsh = pytest.importorskip("gmsh")
    mesh.save(tmp_path / "mesh.msh")
    gmsh.initialize()
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.merge(str(tmp_path / "mesh.msh"))
        names = {gmsh.model.getPhysicalName(*g) for g in gmsh.model.getPhysicalGroups()}
        hexes, _ = gmsh.model.mesh.getElementsByType(5)
        quads, _ = gmsh.model.mesh.getElementsByType(3)
        quality = gmsh.model.mesh.getElementQualities(hexes, "minSICN")
        volumes = gmsh.model.mesh.getElementQualities(hexes, "volume")
    finally:
        gmsh.finalize()
    assert names == {"outer", "grain_boundary", *(f"grain_{g:05d}" for g in (1, 2, 3))}
    assert len(quads) == len(mesh.facets[0])
    np.testing.assert_allclose(quality, 1, rtol=1e-9)
    np.testing.assert_allclose(volumes, EDGE**3, rtol=1e-9)


@pytest.mark.parametrize("suffix", [".vtu", ".xdmf", ".inp"])
def test_meshio_gives_back_what_was_saved(suffix, mesh, tmp_path):
    meshio = pytest.importorskip("meshio")
    found = meshio.read(mesh.save(tmp_path / f"mesh{suffix}"))
    assert [block.type for block in found.cells] == ["hexahedron"]
    np.testing.assert_allclose(found.points, mesh.points, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(found.cells[0].data, mesh.hexes)
    if suffix == ".inp":
        for grain in (1, 2, 3):
            (rows,) = found.cell_sets[f"grain_{grain:05d}"]
            assert rows.tolist() == np.flatnonzero(mesh.grain_ids == grain).tolist()
    else:
        np.testing.assert_array_equal(found.cell_data["grain_id"][0], mesh.grain_ids)


def test_vtk_finds_cubes_of_that_volume(mesh, tmp_path):
    pyvista = pytest.importorskip("pyvista")
    for grid in (mesh.to_pyvista(), pyvista.read(mesh.save(tmp_path / "mesh.vtkhdf"))):
        assert set(grid.celltypes.tolist()) == {pyvista.CellType.HEXAHEDRON}
        sizes = grid.compute_cell_sizes(length=False, area=False)
        np.testing.assert_allclose(sizes.cell_data["Volume"], EDGE**3, rtol=1e-6)
        np.testing.assert_array_equal(grid.cell_data["grain_id"], mesh.grain_ids)


def test_a_mesh_says_what_it_is(mesh):
    assert repr(mesh).startswith(f"HexMesh({len(mesh.hexes)} hexahedra, ")


def test_surfaces_of_cubes_are_not_offered(mesh):
    import cathodegrain as cg

    with pytest.raises(ExportError, match="surfaces of a HexMesh, expected a bonded mesh"):
        cg.surfaces(mesh)
