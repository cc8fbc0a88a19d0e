"""Decks with hexahedra: read back by other programs, run by solvers, compared with closed forms."""

import json
from itertools import product

import numpy as np
import pytest

import cathodegrain as cg
from abaqus_deck import read_deck
from cathodegrain import schemas
from cathodegrain.exporters.meshing.hex_mesher import hex_mesh
from cathodegrain.exporters.solvers.exodus import read_exodus
from cathodegrain.exporters.solvers.folder import write_for
from cathodegrain.exporters.solvers.profiles import PROFILES
from solver_clients import run_calculix, run_script

EXACT = 1e-10  # relative, for programs that print all digits
SEVEN_DIGITS = 1e-6  # of nodal values that CalculiX prints
SCRIPTED = [
    "fenicsx",
    "getfem",
    pytest.param("ngsolve", marks=pytest.mark.slow),
    pytest.param("mfem", marks=pytest.mark.slow),
]
ABAQUS_FACES = {1: (1, 2, 3, 4), 2: (5, 8, 7, 6), 3: (1, 5, 6, 2), 4: (2, 6, 7, 3),
                5: (3, 7, 8, 4), 6: (4, 8, 5, 1)}  # fmt: skip
EXODUS_SIDES = {1: (1, 2, 6, 5), 2: (2, 3, 7, 6), 3: (3, 4, 8, 7), 4: (1, 5, 8, 4),
                5: (1, 4, 3, 2), 6: (5, 6, 7, 8)}  # fmt: skip


@pytest.fixture(scope="module")
def mesh(crystals):
    return hex_mesh(crystals[0], 0.1)


@pytest.fixture(scope="module")
def written(mesh, crystals, tmp_path_factory):
    def folder(profile, **options):
        path = tmp_path_factory.mktemp(profile) / "deck"
        orientations = crystals[0].orientations
        write_for(mesh, path, profile, **{"orientations": orientations, **options})
        return path

    return folder


@pytest.fixture(scope="module")
def reference(written):
    """Results of scikit-fem."""
    folder = written("scikit-fem")
    results = {name: run_script("scikit-fem", folder, name) for name in ("diffusion", "expansion")}
    return folder, results


def as_sets(rows):
    return sorted(tuple(sorted(row)) for row in np.asarray(rows).tolist())


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_folder_counts_hexahedra(profile, written, mesh):
    folder = written(profile)
    facts = json.loads((folder / "solver.json").read_text("ascii"))
    assert schemas.problems(facts, "solver") == []
    assert (facts["n_hexes"], facts["order"]) == (len(mesh.hexes), 1)
    assert "n_tets" not in facts
    assert f"{len(mesh.hexes)} eight-node hexahedra" in (folder / "README.txt").read_text("utf-8")


def cube_labels(n):
    labels = np.zeros((n, n, n), np.int32)
    labels[:] = 1 + (np.arange(n) >= n // 2)
    return labels


def mean_time_of_a_cube(edge, diffusivity):
    """Of -D lap u = 1, u = 0 outside, as a series of sines."""
    odd = range(1, 60, 2)
    terms = (1 / ((i * j * k) ** 2 * (i * i + j * j + k * k)) for i, j, k in product(odd, repeat=3))
    return 512 / np.pi**8 * sum(terms) * edge**2 / diffusivity


def test_the_mean_time_in_a_cube_comes_nearer_to_the_series_with_the_square_of_the_edge(tmp_path):
    diffusivity = (0.01 + 0.01 + 0.0001) / 3  # isotropic: the mean
    errors = []
    for n in (8, 16):
        mesh = cg.mesh(cube_labels(n), elements="hex", pitch_um=1.0 / n)
        write_for(mesh, tmp_path / str(n), "scikit-fem")
        found = run_script("scikit-fem", tmp_path / str(n), "diffusion")
        assert found["volume"] == pytest.approx(1, rel=1e-12)
        errors.append(1 - found["integral"] / mean_time_of_a_cube(1.0, diffusivity))
    assert 0 < errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_isotropic_grains_swell_freely_without_stress(written):
    free = run_script("scikit-fem", written("scikit-fem", orientations=None), "expansion")
    assert abs(free["elastic energy"]) < 1e-9
    assert free["change of volume"] == pytest.approx(-5, rel=1e-9)


def test_the_mean_time_comes_nearer_to_that_of_tetrahedra_with_the_edge(mesh, crystals, tmp_path):
    particle, tets = crystals
    times = []
    for k, each in enumerate((tets, mesh, hex_mesh(particle, 0.05))):
        write_for(each, tmp_path / str(k), "scikit-fem")
        results = run_script("scikit-fem", tmp_path / str(k), "diffusion")
        times.append(results["mean time to the outer surface"])
    short = 1 - np.array(times[1:]) / times[0]
    assert 0 < short[1] < 0.15
    assert short[0] / short[1] == pytest.approx(2, rel=0.1)  # staircases: of first order only


@pytest.mark.parametrize("profile", SCRIPTED)
def test_solvers_agree(profile, written, reference):
    folder = written(profile)
    for deck, expected in reference[1].items():
        found = run_script(profile, folder, deck)
        for name in set(expected) & {"volume", "integral", "elastic energy"}:
            assert found[name] == pytest.approx(expected[name], rel=EXACT), (deck, name)


def test_calculix_agrees_with_scikit_fem_at_every_node(written, reference):
    folder = written("calculix")
    for deck, columns in (("diffusion", 1), ("expansion", 3)):
        found = run_calculix(folder, deck, columns)
        expected = np.load(reference[0] / f"{deck}.npy").reshape(found.shape)
        assert np.linalg.norm(found - expected) < SEVEN_DIGITS * np.linalg.norm(expected)


@pytest.mark.parametrize(("deck", "kind"), [("diffusion", "DC3D8"), ("expansion", "C3D8")])
def test_abaqus_decks_have_bricks_and_their_sides(deck, kind, written, mesh):
    found = read_deck(written("abaqus") / f"{deck}.inp")
    assert [found.elements[e] for e in range(1, len(mesh.hexes) + 1)] == [
        (kind, [n + 1 for n in nodes]) for nodes in mesh.hexes.tolist()
    ]
    for name, quads in (("OUTER", mesh.outer), ("GRAIN_BOUNDARY", mesh.grain_boundary)):
        faces = []
        for element, face in found.surfaces[name]:
            nodes = found.elements[element][1]
            faces.append([nodes[k - 1] for k in ABAQUS_FACES[face]])
        assert as_sets(faces) == as_sets(1 + quads)
        assert found.node_sets[name] == (1 + np.unique(quads)).tolist()


def test_exodus_gives_back_the_mesh_and_its_sides(written, mesh):
    found = read_exodus(written("moose") / "mesh.e")
    np.testing.assert_array_equal(found.points, mesh.points)
    np.testing.assert_array_equal(found.cells, mesh.hexes)
    np.testing.assert_array_equal(found.grain_ids, mesh.grain_ids)
    for name, quads in (("outer", mesh.outer), ("grain_boundary", mesh.grain_boundary)):
        sides = found.side_sets[name].tolist()
        faces = [mesh.hexes[row][np.array(EXODUS_SIDES[side]) - 1] for row, side in sides]
        assert as_sets(faces) == as_sets(quads)


def test_vtk_reads_exodus_bricks_of_that_volume(written, mesh):
    vtk_exodus = pytest.importorskip("vtkmodules.vtkIOExodus")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersVerdict import vtkCellSizeFilter

    reader = vtk_exodus.vtkExodusIIReader()
    reader.SetFileName(str(written("moose") / "mesh.e"))
    reader.UpdateInformation()
    reader.SetSideSetArrayStatus("outer", 1)
    reader.Update()
    blocks = reader.GetOutput().GetBlock(0)
    assert blocks.GetNumberOfBlocks() == len(np.unique(mesh.grain_ids))
    size = vtkCellSizeFilter()
    size.SetInputData(blocks.GetBlock(0))
    size.Update()
    volumes = vtk_to_numpy(size.GetOutput().GetCellData().GetArray("Volume"))
    np.testing.assert_allclose(volumes, 0.001, rtol=1e-5)  # single precision
    assert reader.GetOutput().GetBlock(4).GetBlock(0).GetNumberOfCells() == len(mesh.outer)


@pytest.mark.parametrize(("profile", "file"), [("mfem", "mesh.msh"), ("comsol", "mesh.bdf")])
def test_gmsh_reads_bricks_and_quadrilaterals(profile, file, written, mesh):
    gmsh = pytest.importorskip("gmsh")
    gmsh.initialize()
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.merge(str(written(profile) / file))
        n = mesh.n_grains
        for tag, quads in ((n + 1, mesh.outer), (n + 2, mesh.grain_boundary)):
            _, nodes = gmsh.model.mesh.getElementsByType(3, tag)
            np.testing.assert_array_equal(nodes.reshape(-1, 4) - 1, quads)
        for grain in np.unique(mesh.grain_ids).tolist():
            _, nodes = gmsh.model.mesh.getElementsByType(5, grain)
            np.testing.assert_array_equal(
                nodes.reshape(-1, 8) - 1, mesh.hexes[mesh.grain_ids == grain]
            )
    finally:
        gmsh.finalize()


def test_meshio_reads_xdmf(written, mesh):
    meshio = pytest.importorskip("meshio")
    folder = written("fenicsx")
    read, facets = (meshio.read(folder / f"{name}.xdmf") for name in ("mesh", "facets"))
    np.testing.assert_array_equal(read.cells_dict["hexahedron"], mesh.hexes)
    np.testing.assert_array_equal(np.ravel(read.cell_data["grain_id"]), mesh.grain_ids)
    expected = np.concatenate([mesh.outer, mesh.grain_boundary])
    np.testing.assert_array_equal(facets.cells_dict["quad"], expected)
