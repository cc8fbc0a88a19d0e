"""Meshes and surfaces in meshio, pyvista, trimesh and scikit-fem, and in the files they read."""

from dataclasses import replace

import numpy as np
import pytest

meshio = pytest.importorskip("meshio")
pyvista = pytest.importorskip("pyvista")
trimesh = pytest.importorskip("trimesh")

from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.reading import read_msh, read_vtkhdf
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.surfaces.grain_surfaces import grain_surfaces
from cathodegrain.generator import requirements
from cathodegrain.generator.errors import ExportError
from meshes import kuhn_lattice

LINEAR = ["bonded", "cohesive", "discontinuous"]
KINDS = [*LINEAR, "second order"]
MIRRORED = [0, 2, 1, 3, 5, 4]  # how meshio turns wedges for VTK
EDGES_OF_TEN_NODES = [(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)]  # VTK's, nodes 4 to 9


@pytest.fixture(scope="module")
def meshes(tiny_particle):
    bonded = volume_mesh(tiny_particle, 0.3)
    cohesive = split(bonded)
    return {
        "bonded": bonded,
        "cohesive": cohesive,
        "discontinuous": cohesive.without_wedges(),
        "second order": second_order(bonded, tiny_particle),
    }


def wedges_of(mesh):
    return getattr(mesh, "wedges", np.empty((0, 6), int))


def require_same_meshio(found, mesh):
    """Points, tetrahedra, wedges, grains of each, to the bit."""
    wedges, n = wedges_of(mesh), len(mesh.tets)
    kind = "tetra" if mesh.tets.shape[1] == 4 else "tetra10"
    assert [block.type for block in found.cells] == [kind, "wedge"][: 1 + bool(len(wedges))]
    np.testing.assert_array_equal(found.points, mesh.points)
    np.testing.assert_array_equal(found.cells[0].data, mesh.tets)
    np.testing.assert_array_equal(found.cell_data["grain_id"][0], mesh.grain_ids)
    if len(wedges):
        np.testing.assert_array_equal(found.cells[1].data, wedges)
        require_wedge_data(
            {name: np.concatenate(values) for name, values in found.cell_data.items()}, mesh, n
        )
    if hasattr(mesh, "parent"):
        np.testing.assert_array_equal(found.point_data["parent"], mesh.parent)


def require_wedge_data(data, mesh, n):
    assert not data["grain_id"][n:].any()
    pairs = np.stack([data["grain_low"], data["grain_high"]], axis=1)
    assert not pairs[:n].any()
    np.testing.assert_array_equal(pairs[n:], mesh.wedge_pairs)


def require_same_grid(grid, mesh, wedge_order=range(6)):
    """What VTK holds is the mesh; its own volumes are ours where edges are straight."""
    n = len(mesh.tets)
    wedges = wedges_of(mesh)
    assert grid.n_cells == n + len(wedges)
    np.testing.assert_array_equal(grid.points, mesh.points)
    nodes = np.asarray(grid.cell_connectivity)
    np.testing.assert_array_equal(nodes[: mesh.tets.size].reshape(n, -1), mesh.tets)
    found = nodes[mesh.tets.size :].reshape(-1, 6)
    np.testing.assert_array_equal(found, wedges[:, list(wedge_order)])
    data = {name: np.asarray(grid.cell_data[name]) for name in grid.cell_data}
    np.testing.assert_array_equal(data["grain_id"][:n], mesh.grain_ids)
    if len(wedges):
        require_wedge_data(data, mesh, n)
    if mesh.tets.shape[1] == 4:
        own = getattr(mesh, "bonded", mesh).volumes
        sizes = grid.compute_cell_sizes()["Volume"]
        np.testing.assert_allclose(sizes[:n], own, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(sizes[n:], 0, atol=1e-12)
        assert grid.volume == pytest.approx(own.sum(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_meshio_gets_the_cells_and_their_grains(meshes, kind):
    require_same_meshio(meshes[kind].to_meshio(), meshes[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_pyvista_gets_the_cells_and_their_grains_and_finds_our_volumes(meshes, kind):
    grid = meshes[kind].to_pyvista()
    require_same_grid(grid, meshes[kind])
    assert list(grid.field_data["length_unit"]) == ["um"]


def test_what_others_do_to_a_conversion_does_not_reach_the_mesh(meshes):
    for mesh in meshes.values():
        before = mesh.points.copy(), mesh.tets.copy(), mesh.grain_ids.copy()
        grid, other = mesh.to_pyvista(), mesh.to_meshio()
        grid.points *= 2
        grid.cell_data["grain_id"][:] = 7
        other.points *= 2
        other.cells[0].data[:] = 0
        other.cell_data["grain_id"][0][:] = 7
        for array, expected in zip((mesh.points, mesh.tets, mesh.grain_ids), before, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_vtk_finds_the_volume_of_ten_node_tetrahedra_with_straight_edges(meshes):
    curved = meshes["second order"]
    points = curved.points.copy()
    for node, ends in enumerate(EDGES_OF_TEN_NODES, start=4):
        points[curved.tets[:, node]] = points[curved.tets[:, ends]].mean(axis=1)
    sizes = replace(curved, points=points).to_pyvista().compute_cell_sizes()["Volume"]
    np.testing.assert_allclose(sizes, curved.linear.volumes, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("suffix", [".vtu", ".xdmf"])
def test_scikit_fem_integrates_our_volume_of_curved_tetrahedra(meshes, suffix, tmp_path):
    skfem = pytest.importorskip("skfem")
    from skfem.io.meshio import from_meshio

    mesh = meshes["second order"]
    read = from_meshio(meshio.read(mesh.save(tmp_path / f"mesh{suffix}")))
    basis = skfem.Basis(read, skfem.ElementTetP0(), intorder=3)  # the degree of the determinant
    volumes = basis.dx.sum(axis=1)
    assert (volumes > 0).all()
    np.testing.assert_allclose(volumes, mesh.volumes, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".vtu", ".xdmf"])
def test_a_saved_mesh_is_one_file_that_meshio_reads_to_the_bit(meshes, kind, suffix, tmp_path):
    path = meshes[kind].save(tmp_path / f"mesh{suffix}")
    assert list(tmp_path.iterdir()) == [path]
    require_same_meshio(meshio.read(path), meshes[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".vtu", ".vtkhdf", ".xdmf"])
def test_vtk_opens_a_saved_mesh(meshes, kind, suffix, tmp_path):
    path = meshes[kind].save(tmp_path / f"mesh{suffix}")
    grid = vtk_grid(path)
    require_same_grid(grid, meshes[kind], MIRRORED if suffix == ".vtu" else range(6))


def vtk_grid(path):
    if path.suffix != ".xdmf":
        return pyvista.read(path)
    from vtkmodules.vtkIOXdmf2 import vtkXdmfReader

    reader = vtkXdmfReader()  # pyvista's own asks for time steps
    reader.SetFileName(str(path))
    reader.Update()
    return pyvista.wrap(reader.GetOutputDataObject(0))


@pytest.mark.parametrize("kind", KINDS)
def test_vtkhdf_and_msh_files_are_those_of_the_products(meshes, kind, tmp_path):
    mesh = meshes[kind]
    found = [read_vtkhdf(mesh.save(tmp_path / "mesh.vtkhdf"))]
    if kind in LINEAR:
        pytest.importorskip("gmsh")
        found.append(read_msh(mesh.save(str(tmp_path / "mesh.msh"))))
    for read in found:
        np.testing.assert_array_equal(read.points, mesh.points)
        np.testing.assert_array_equal(read.tets, mesh.tets)
        np.testing.assert_array_equal(read.grain_ids, mesh.grain_ids)


@pytest.mark.parametrize("kind", ["bonded", "second order", "cohesive", "discontinuous"])
def test_msh_2_has_the_nodes_elements_and_groups_of_msh_4(meshes, kind, tmp_path):
    """As meshio reads both."""
    mesh = meshes[kind]
    new = meshio.read(mesh.save(tmp_path / "new.msh"))
    path = mesh.save(tmp_path / "old.msh", msh_version="2.2")
    assert path.read_text("ascii").startswith("$MeshFormat\n2.2 0 8\n")
    old = meshio.read(path)
    assert {name: tag.tolist() for name, tag in old.field_data.items()} == {
        name: tag.tolist() for name, tag in new.field_data.items()
    }
    np.testing.assert_array_equal(old.points, mesh.points)
    assert elements_of(old) == elements_of(new)


def elements_of(read):
    """Kind, places of the nodes and physical group of every element."""
    return {
        (block.type, read.points[nodes].tobytes(), int(tag))
        for block, tags in zip(read.cells, read.cell_data["gmsh:physical"], strict=True)
        for nodes, tag in zip(block.data, tags, strict=True)
    }


def test_a_version_of_msh_that_there_is_not_is_refused(tmp_path):
    mesh = kuhn_lattice((1, 1, 1))
    with pytest.raises(ExportError, match=r"msh_version is '3', expected one of \['4.1', '2.2'\]"):
        mesh.save(tmp_path / "mesh.msh", msh_version="3")
    with pytest.raises(ExportError, match=r"has no version 2.2 of MSH; give it the suffix \.msh"):
        mesh.save(tmp_path / "mesh.vtu", msh_version="2.2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["bonded", "discontinuous", "second order"])
def test_an_inp_file_has_a_set_for_each_grain(meshes, kind, tmp_path):
    mesh = meshes[kind]
    read = meshio.read(mesh.save(tmp_path / "mesh.inp"))
    np.testing.assert_array_equal(read.cells[0].data, mesh.tets)
    np.testing.assert_array_equal(read.points, mesh.points)
    found = {name: rows[0] for name, rows in read.cell_sets.items()}
    assert set(found) == {f"grain_{g:05d}" for g in np.unique(mesh.grain_ids)}
    for name, rows in found.items():
        np.testing.assert_array_equal(rows, np.flatnonzero(mesh.grain_ids == int(name[6:])))


def test_wedges_are_not_written_as_solid_elements(meshes, tmp_path):
    with pytest.raises(ExportError, match=r"no volume; save mesh\.without_wedges\(\), or export"):
        meshes["cohesive"].save(tmp_path / "mesh.inp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".vtu", ".xdmf", ".inp", ".vtkhdf"])
def test_nothing_is_overwritten_unless_asked(suffix, tmp_path):
    path = tmp_path / f"mesh{suffix}"
    path.write_text("mine")
    mesh = kuhn_lattice((1, 1, 2), [[[1, 2]]])
    with pytest.raises(ExportError, match="exists; choose another name, or overwrite=True"):
        mesh.save(path)
    assert path.read_text() == "mine"
    mesh.save(path, overwrite=True)
    assert path.read_bytes() == mesh.save(tmp_path / f"other{suffix}").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(monkeypatch, tmp_path):
    path = tmp_path / "mesh.vtu"
    path.write_text("mine")

    def fill_the_disk(mesh, name, **options):
        name.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(meshio.Mesh, "write", fill_the_disk)
    with pytest.raises(ExportError, match="No space left"):
        kuhn_lattice((1, 1, 1)).save(path, overwrite=True)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"mesh.vtu": "mine"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mesh.vtuu", r"did you mean '\.vtu'"), ("mesh.stl", "hoose from"), ("mesh", "hoose from")],
)
def test_an_unknown_suffix_is_answered_with_those_there_are(tmp_path, name, hint):
    with pytest.raises(ExportError, match=hint) as caught:
        kuhn_lattice((1, 1, 1)).save(tmp_path / name)
    for known in (".msh", ".vtkhdf", ".vtu", ".xdmf", ".inp"):
        assert repr(known) in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "extra"),
    [
        (lambda mesh: mesh.to_meshio(), "mesh"),
        (lambda mesh: mesh.save("mesh.vtu"), "mesh"),
        (lambda mesh: mesh.to_pyvista(), "pyvista"),
        (lambda mesh: grain_surfaces(mesh).to_pyvista(), "pyvista"),
        (lambda mesh: grain_surfaces(mesh).to_trimesh(), "mesh"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path, method, extra):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(ExportError) as caught:
        method(kuhn_lattice((1, 1, 1)))
    assert requirements.install_command(extra) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_closed_surfaces_for_trimesh_hold_the_volumes_of_the_mesh(meshes):
    mesh = meshes["bonded"]
    surfaces = grain_surfaces(mesh)
    whole = surfaces.to_trimesh()
    assert isinstance(whole, trimesh.Trimesh)
    assert whole.is_watertight
    assert whole.volume == pytest.approx(mesh.volumes.sum(), rel=1e-9)
    for grain in surfaces.grain_ids.tolist():
        surface = surfaces.to_trimesh(grain)
        assert surface.is_watertight
        assert surface.volume == pytest.approx(mesh.grain_volumes[grain - 1], rel=1e-6)


def test_the_complex_for_pyvista_has_the_grains_on_both_sides(meshes):
    surfaces = grain_surfaces(meshes["bonded"])
    found = surfaces.to_pyvista()
    np.testing.assert_array_equal(found.regular_faces, surfaces.triangles)
    np.testing.assert_array_equal(found.points, surfaces.points)
    np.testing.assert_array_equal(found["grain_low"], surfaces.pairs[:, 0])
    np.testing.assert_array_equal(found["grain_high"], surfaces.pairs[:, 1])
    outer = found.extract_cells(found["grain_low"] == 0)
    assert outer.area == pytest.approx(surfaces.to_trimesh().area, rel=1e-9)


def test_a_mesh_says_what_it_is_in_a_line(meshes):
    n, k = len(meshes["bonded"].tets), len(meshes["cohesive"].wedges)
    grains = f"{len(np.unique(meshes['bonded'].grain_ids))} of {meshes['bonded'].n_grains} grains"
    for name, start in {
        "bonded": f"VolumeMesh({n:,} tetrahedra, ",
        "second order": f"SecondOrderMesh({n:,} ten-node tetrahedra, ",
        "cohesive": f"SplitMesh({n:,} tetrahedra, {k:,} wedges, ",
        "discontinuous": f"SplitMesh({n:,} tetrahedra, ",
    }.items():
        nodes = f"{len(meshes[name].points):,} nodes"
        assert repr(meshes[name]) == f"{start}{nodes}, {grains}, edges up to 0.3 um, certified)"
    facts = meshes["bonded"].facts
    failed = {**facts, "certificate": {**facts["certificate"], "certified": False}}
    assert repr(replace(meshes["bonded"], facts=failed)).endswith(", NOT certified)")
    assert repr(kuhn_lattice((1, 1, 1))) == "VolumeMesh(6 tetrahedra, 8 nodes, 1 of 1 grains)"
