"""Mesh files for solvers, read back by programs that know nothing of ours."""

import ctypes
import ctypes.util
import filecmp
import re
from pathlib import Path

import numpy as np
import pytest

from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.solvers.exodus import read_exodus
from cathodegrain.exporters.solvers.folder import write_for
from cathodegrain.generator.errors import ExportError
from solver_clients import need

ORDERS = [1, 2]
SINGLE = 1e-5  # VTK's Exodus reader keeps points in single precision


@pytest.fixture(scope="module")
def meshes(crystals):
    particle, mesh = crystals
    return {1: mesh, 2: second_order(mesh, particle)}


@pytest.fixture(scope="module")
def write(meshes, crystals, tmp_path_factory):
    particle, _ = crystals

    def written(profile, order, name):
        folder = tmp_path_factory.mktemp(profile) / "deck"
        write_for(meshes[order], folder, profile, orientations=particle.orientations, unit="um")
        return folder / name

    return written


def surfaces(mesh):
    """Outer triangles and those between grains, all their nodes."""
    triangles, pairs = mesh.facets
    return triangles[pairs[:, 0] == 0], triangles[pairs[:, 0] > 0]


def as_sets(rows):
    return sorted(tuple(sorted(row)) for row in np.asarray(rows).tolist())


def area(points, triangles):
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2


@pytest.mark.parametrize("order", ORDERS)
def test_exodus_gives_back_the_mesh(order, write, meshes):
    mesh = meshes[order]
    found = read_exodus(write("moose", order, "mesh.e"))
    np.testing.assert_array_equal(found.points, mesh.points)
    np.testing.assert_array_equal(found.tets, mesh.tets)
    np.testing.assert_array_equal(found.grain_ids, mesh.grain_ids)
    assert found.blocks == {g: f"grain_{g:05d}" for g in np.unique(mesh.grain_ids).tolist()}
    sides = np.array([[0, 1, 3], [1, 2, 3], [0, 2, 3], [0, 1, 2]])  # the Exodus manual
    for name, triangles in zip(("outer", "grain_boundary"), surfaces(mesh), strict=True):
        rows, side = found.side_sets[name].T
        corners = mesh.tets[rows[:, None], sides[side - 1]]
        assert as_sets(corners) == as_sets(triangles[:, :3])
        assert found.node_sets[name].tolist() == np.unique(triangles).tolist()
    for k in (1, 2, 3):
        assert found.node_sets[f"support_{k}"][0] in mesh.tets[:, :4]
    rows = found.side_sets["grain_boundary"][:, 0]
    pairs = mesh.facets[1]
    assert sorted(mesh.grain_ids[rows]) == sorted(pairs[pairs[:, 0] > 0][:, 1])


@pytest.fixture(scope="module")
def exodus_library():
    """The library and the number of its interface, which opening a file asks for."""
    header = Path("/usr/include/exodusII.h")  # of Debian's libexodusii-dev
    path = ctypes.util.find_library("exoIIv2c")
    need(path and header.is_file(), "libexodusii-dev")
    (number,) = re.findall(r"EX_API_VERS_NODOT\s+(\d+)", header.read_text("utf-8", "replace"))
    return ctypes.CDLL(path), int(number)


def _names(library, file, kind, n):
    buffers = [ctypes.create_string_buffer(64) for _ in range(n)]
    array = (ctypes.c_char_p * n)(*(ctypes.addressof(b) for b in buffers))
    pointers = ctypes.cast(array, ctypes.POINTER(ctypes.c_char_p))
    assert library.ex_get_names(file, kind, pointers) == 0
    return [b.value.decode() for b in buffers]


@pytest.mark.parametrize("order", ORDERS)
def test_libexodus_reads_blocks_and_side_sets(order, write, meshes, exodus_library):
    mesh, (library, interface) = meshes[order], exodus_library
    element_block, node_set, side_set = 1, 2, 3  # ex_entity_type
    word, stored, version = ctypes.c_int(8), ctypes.c_int(0), ctypes.c_float()
    path = str(write("moose", order, "mesh.e")).encode()
    file = library.ex_open_int(
        path, 0, ctypes.byref(word), ctypes.byref(stored), ctypes.byref(version), interface
    )
    assert file >= 0
    assert stored.value == 8
    title, sizes = ctypes.create_string_buffer(128), [ctypes.c_int() for _ in range(6)]
    assert library.ex_get_init(file, title, *map(ctypes.byref, sizes)) == 0
    grains = np.unique(mesh.grain_ids).tolist()
    expected = [3, len(mesh.points), len(mesh.tets), len(grains), 5, 2]
    assert [size.value for size in sizes] == expected
    names = _names(library, file, element_block, len(grains))
    assert names == [f"grain_{g:05d}" for g in grains]
    assert _names(library, file, side_set, 2) == ["outer", "grain_boundary"]
    assert _names(library, file, node_set, 5)[:2] == ["outer", "grain_boundary"]
    for number, triangles in enumerate(surfaces(mesh), start=1):
        counts = (ctypes.c_int * len(triangles))()
        nodes = (ctypes.c_int * triangles.size)()
        library.ex_get_side_set_node_list.argtypes = [
            ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        assert library.ex_get_side_set_node_list(file, number, counts, nodes) == 0
        assert set(counts) == {triangles.shape[1]}
        found = np.array(nodes).reshape(triangles.shape) - 1
        assert as_sets(found) == as_sets(triangles)  # the middles of the edges too
    assert library.ex_close(file) == 0


@pytest.mark.parametrize("order", ORDERS)
def test_vtk_reads_exodus_with_equal_volume_and_areas(order, write, meshes):
    vtk_exodus = pytest.importorskip("vtkmodules.vtkIOExodus")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersVerdict import vtkCellSizeFilter

    mesh = meshes[order]
    reader = vtk_exodus.vtkExodusIIReader()
    reader.SetFileName(str(write("moose", order, "mesh.e")))
    reader.UpdateInformation()
    for name in ("outer", "grain_boundary"):
        reader.SetSideSetArrayStatus(name, 1)
    reader.Update()
    blocks, sides = reader.GetOutput().GetBlock(0), reader.GetOutput().GetBlock(4)
    grains = np.unique(mesh.grain_ids).tolist()
    assert blocks.GetNumberOfBlocks() == len(grains)
    volumes = np.bincount(mesh.grain_ids, mesh.volumes)
    for k, grain in enumerate(grains):
        assert reader.GetElementBlockArrayName(k) == f"grain_{grain:05d}"
        block = blocks.GetBlock(k)
        assert vtk_to_numpy(block.GetCellData().GetArray("ObjectId")).tolist() == [grain] * sum(
            mesh.grain_ids == grain
        )
        if order == 1:
            size = vtkCellSizeFilter()
            size.SetInputData(block)
            size.Update()
            found = vtk_to_numpy(size.GetOutput().GetCellData().GetArray("Volume")).sum()
            assert found == pytest.approx(volumes[grain], rel=SINGLE)
    for k, triangles in enumerate(surfaces(mesh)):
        block = sides.GetBlock(k)
        cells = vtk_to_numpy(block.GetCells().GetConnectivityArray()).reshape(triangles.shape)
        points = vtk_to_numpy(block.GetPoints().GetData())
        assert area(points, cells) == pytest.approx(area(mesh.points, triangles), rel=SINGLE)


def test_a_file_that_is_not_exodus_is_refused(tmp_path):
    path = tmp_path / "mesh.e"
    path.write_bytes(b"CDF\x01 and nothing else")
    with pytest.raises(ExportError, match="expected an Exodus file of this package"):
        read_exodus(path)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("profile", ["ngsolve", "getfem", "mfem"])
def test_gmsh_reads_msh_2_with_a_group_for_each_grain(order, profile, write, meshes):
    mesh = meshes[order]
    n = mesh.n_grains
    with gmsh_model() as gmsh:
        gmsh.merge(str(write(profile, order, "mesh.msh")))
        model = gmsh.model
        groups = {t: model.getPhysicalName(d, t) for d, t in model.getPhysicalGroups()}
        grains = np.unique(mesh.grain_ids).tolist()
        assert groups == {g: f"grain_{g:05d}" for g in grains} | {
            n + 1: "outer",
            n + 2: "grain_boundary",
        }
        tags, coordinates, _ = model.mesh.getNodes()
        np.testing.assert_array_equal(coordinates.reshape(-1, 3)[np.argsort(tags)], mesh.points)
        kind = msh_file.ELEMENTS[3, mesh.tets.shape[1]]
        for grain in grains:
            _, nodes = model.mesh.getElementsByType(kind, grain)
            rows = nodes.astype(int).reshape(-1, mesh.tets.shape[1]) - 1
            if order == 2:
                rows = rows[:, msh_file.LAST_TWO_SWAPPED]
            np.testing.assert_array_equal(rows, mesh.tets[mesh.grain_ids == grain])
        elements = model.mesh.getElementsByType(kind)[0]
        assert min(model.mesh.getElementQualities(elements, "minDetJac")) > 0
        kind = msh_file.ELEMENTS[2, 3 * order]
        for tag, triangles in zip((n + 1, n + 2), surfaces(mesh), strict=True):
            _, nodes = model.mesh.getElementsByType(kind, tag)
            found = nodes.astype(int).reshape(-1, 3 * order) - 1
            np.testing.assert_array_equal(found, triangles)


@pytest.mark.parametrize("order", ORDERS)
def test_meshio_reads_xdmf(order, write, meshes):
    meshio = pytest.importorskip("meshio")
    mesh = meshes[order]
    folder = write("fenicsx", order, "mesh.xdmf").parent
    read = meshio.read(folder / "mesh.xdmf")
    np.testing.assert_array_equal(read.points, mesh.points)
    np.testing.assert_array_equal(read.cells[0].data, mesh.tets)
    np.testing.assert_array_equal(np.ravel(read.cell_data["grain_id"]), mesh.grain_ids)
    facets = meshio.read(folder / "facets.xdmf")
    outer, between = surfaces(mesh)
    np.testing.assert_array_equal(facets.points, mesh.points)
    np.testing.assert_array_equal(facets.cells[0].data, np.concatenate([outer, between]))
    tags = mesh.n_grains + np.repeat([1, 2], [len(outer), len(between)])
    np.testing.assert_array_equal(np.ravel(facets.cell_data["surface"]), tags)


@pytest.mark.parametrize("order", ORDERS)
def test_gmsh_reads_nastran_with_a_property_for_each_grain(order, write, meshes):
    mesh = meshes[order]
    with gmsh_model() as gmsh:
        gmsh.merge(str(write("comsol", order, "mesh.bdf")))
        model = gmsh.model
        tags, coordinates, _ = model.mesh.getNodes()
        points = coordinates.reshape(-1, 3)[np.argsort(tags)]
        np.testing.assert_allclose(points, mesh.points, rtol=1e-9, atol=1e-15)
        kind = msh_file.ELEMENTS[3, mesh.tets.shape[1]]
        found = {}
        for _, entity in model.getEntities(3):
            elements, _ = model.mesh.getElementsByType(kind, entity)
            found[entity] = len(elements)
        counts = np.bincount(mesh.grain_ids)
        assert found == {g: counts[g] for g in np.unique(mesh.grain_ids).tolist()}
        n = mesh.n_grains
        for tag, triangles in zip((n + 1, n + 2), surfaces(mesh), strict=True):
            _, nodes = model.mesh.getElementsByType(msh_file.ELEMENTS[2, 3 * order], tag)
            rows = nodes.astype(int).reshape(-1, 3 * order) - 1
            np.testing.assert_array_equal(rows[:, :3], triangles[:, :3])


def test_meshio_reads_nastran(write, meshes):
    meshio = pytest.importorskip("meshio")
    mesh = meshes[1]
    read = meshio.read(write("comsol", 1, "mesh.bdf"))
    tets, grains = [], []
    for block, ids in zip(read.cells, read.cell_data["nastran:ref"], strict=True):
        if block.type == "tetra":
            tets.append(block.data)
            grains.append(ids)
    np.testing.assert_array_equal(np.concatenate(tets), mesh.tets)
    np.testing.assert_array_equal(np.concatenate(grains), mesh.grain_ids)


def test_a_particle_of_one_grain_has_no_grain_boundary(tmp_path):
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    mesh = VolumeMesh(points, np.array([[0, 1, 2, 3]]), np.array([2]), n_grains=3)
    for profile in ("moose", "ngsolve", "fenicsx", "comsol", "abaqus", "scikit-fem"):
        write_for(mesh, tmp_path / profile, profile)
    found = read_exodus(tmp_path / "moose/mesh.e")
    assert found.blocks == {2: "grain_00002"}
    assert set(found.side_sets) == {"outer"}
    assert "grain_boundary" not in (tmp_path / "ngsolve/mesh.msh").read_text()
    assert "GRAIN_BOUNDARY" not in (tmp_path / "abaqus/sets.inp").read_text()


@pytest.mark.parametrize("profile", ["abaqus", "fenicsx", "moose", "scikit-fem", "comsol"])
def test_equal_meshes_give_equal_files(profile, meshes, tmp_path):
    for name in ("first", "second"):
        write_for(meshes[1], tmp_path / name, profile)
    names = [
        p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*") if p.is_file()
    ]
    _, differ, missing = filecmp.cmpfiles(
        tmp_path / "first", tmp_path / "second", names, shallow=False
    )
    assert not differ
    assert not missing
