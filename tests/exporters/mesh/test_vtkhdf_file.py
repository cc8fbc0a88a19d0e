import h5py
import numpy as np
import pytest

from cathodegrain.exporters.mesh import vtkhdf_file as vtu
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.reading import read_vtkhdf
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.generator.errors import ExportError
from meshes import kuhn_lattice

ARRAYS = ("points", "tets", "grain_ids", "n_grains", "wedges", "wedge_pairs", "parent", "facts")


@pytest.fixture(scope="module")
def meshes(tiny_particle):
    bonded = volume_mesh(tiny_particle, 0.2)
    cohesive = split(bonded)
    return {
        "bonded": bonded,
        "cohesive": cohesive,
        "discontinuous": cohesive.without_wedges(),
        "second order": second_order(bonded, tiny_particle),
    }


KINDS = pytest.mark.parametrize("kind", ["bonded", "cohesive", "discontinuous", "second order"])


@KINDS
def test_reading_gives_back_the_mesh(meshes, kind, tmp_path):
    mesh = meshes[kind]
    read = read_vtkhdf(vtu.write(mesh, tmp_path / "mesh.vtkhdf"))
    assert type(read) is type(mesh)
    for name in ARRAYS:
        if hasattr(mesh, name):
            np.testing.assert_array_equal(getattr(read, name), getattr(mesh, name))


@KINDS
def test_vtk_opens_the_mesh(meshes, kind, tmp_path):
    pytest.importorskip("vtkmodules")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersVerdict import vtkCellSizeFilter
    from vtkmodules.vtkIOHDF import vtkHDFReader

    mesh = meshes[kind]
    reader = vtkHDFReader()
    reader.SetFileName(str(vtu.write(mesh, tmp_path / "mesh.vtkhdf")))
    sizes = vtkCellSizeFilter()
    sizes.SetInputConnection(reader.GetOutputPort())
    sizes.Update()
    grid = sizes.GetOutput()
    assert grid.GetClassName() == "vtkUnstructuredGrid"
    np.testing.assert_array_equal(vtk_to_numpy(grid.GetPoints().GetData()), mesh.points)
    n = len(mesh.tets)
    cells = {
        grid.GetCellData().GetArrayName(i): vtk_to_numpy(grid.GetCellData().GetArray(i))
        for i in range(grid.GetCellData().GetNumberOfArrays())
    }
    np.testing.assert_array_equal(cells["grain_id"][:n], mesh.grain_ids)
    wedges = getattr(mesh, "wedges", np.empty((0, 6), int))
    assert grid.GetNumberOfCells() == n + len(wedges)
    assert not cells["grain_id"][n:].any()
    if kind == "cohesive":
        pairs = np.stack([cells["grain_low"], cells["grain_high"]], axis=1)
        np.testing.assert_array_equal(pairs[n:], mesh.wedge_pairs)
        assert not pairs[:n].any()
        nodes = vtk_to_numpy(grid.GetCells().GetConnectivityArray())[4 * n :]
        np.testing.assert_array_equal(nodes.reshape(-1, 6), wedges)
    if kind != "second order":
        volumes = signed_volumes(mesh.points, mesh.tets)
        np.testing.assert_allclose(cells["Volume"][:n], volumes, atol=1e-12)
        np.testing.assert_allclose(cells["Volume"][n:], 0, atol=1e-12)


def test_equal_meshes_give_equal_bytes(meshes, tmp_path):
    for name in ("a", "b"):
        vtu.write(meshes["cohesive"], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_thousands_of_grains_keep_their_ids(tmp_path):
    labels = 1 + np.arange(12**3).reshape(12, 12, 12)
    parts = split(kuhn_lattice((12, 12, 12), labels))
    read = read_vtkhdf(vtu.write(parts, tmp_path / "mesh.vtkhdf"))
    assert read.n_grains == 1728
    np.testing.assert_array_equal(read.wedge_pairs, parts.wedge_pairs)


def test_files_of_others_are_not_read(tmp_path):
    path = tmp_path / "mesh.vtkhdf"
    with pytest.raises(ExportError, match="cannot be read"):
        read_vtkhdf(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(ExportError, match=r"is no file of a mesh\.vtkhdf: its schema is not"):
        read_vtkhdf(path)
