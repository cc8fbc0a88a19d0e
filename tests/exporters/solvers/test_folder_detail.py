"""Decks of coarse and medium meshes, and of one with a fine surface, in real solvers."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cathodegrain as cg
from abaqus_deck import read_deck
from cathodegrain.exporters.solvers.exodus import read_exodus
from cathodegrain.exporters.solvers.folder import write_for
from finite_elements import conduction, solved, source
from solver_clients import run_calculix, run_script

EXACT = 1e-10  # relative, for programs that print all digits
SEVEN_DIGITS = 1e-6  # of nodal values that CalculiX prints
SCRIPTED = [
    "fenicsx",
    "getfem",
    pytest.param("ngsolve", marks=pytest.mark.slow),
    pytest.param("mfem", marks=pytest.mark.slow),
]
ASKED = {
    "coarse": {"detail": "coarse"},
    "medium": {"detail": "medium"},
    "fine surface": {"detail": "coarse", "surface_size_um": 0.12},
}


@pytest.fixture(scope="module", params=ASKED)
def mesh(request, crystals):
    return cg.mesh(crystals[0], **ASKED[request.param])


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


def conductance(mesh, particle):
    r = Rotation.from_quat(particle.orientations, scalar_first=True).as_matrix()
    tensors = np.einsum("gik,k,gjk->gij", r, [0.01, 0.01, 0.0001], r)[mesh.grain_ids - 1]
    return conduction(mesh.points, mesh.tets, tensors)


def test_what_is_made_inside_leaves_through_the_outer_surface(reference, mesh, crystals):
    load = source(mesh.points, mesh.tets)
    u = np.load(reference[0] / "diffusion.npy")
    leaving = load - conductance(mesh, crystals[0]) @ u
    held = np.unique(mesh.outer)
    assert np.abs(np.delete(leaving, held)).max() < 1e-9 * np.abs(load).max()
    assert leaving[held].sum() == pytest.approx(mesh.volumes.sum(), rel=1e-9)
    assert reference[1]["diffusion"]["integral"] == pytest.approx(load @ u, rel=EXACT)


def test_a_linear_field_is_found_exactly(mesh):
    slope = np.array([0.3, -1.2, 0.7])
    matrix = conduction(mesh.points, mesh.tets, np.broadcast_to(np.eye(3), (len(mesh.tets), 3, 3)))
    exact = mesh.points @ slope
    held = np.unique(mesh.outer)
    inner = np.setdiff1d(np.arange(len(exact)), held)
    given = np.zeros(len(exact))
    given[held] = exact[held]
    found = given + solved(matrix, -(matrix @ given), held)
    assert np.abs(found - exact)[inner].max() < 1e-11 * np.abs(exact).max()


def test_grains_that_swell_alike_have_no_stress(written):
    free = run_script("scikit-fem", written("scikit-fem", orientations=None), "expansion")
    assert abs(free["elastic energy"]) < 1e-9
    assert free["change of volume"] == pytest.approx(-5, rel=1e-9)


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


def test_abaqus_and_moose_have_every_element_and_the_outer_sides(written, mesh):
    found = read_deck(written("abaqus") / "expansion.inp")
    assert [found.elements[e][1] for e in range(1, len(mesh.tets) + 1)] == (1 + mesh.tets).tolist()
    assert found.node_sets["OUTER"] == (1 + np.unique(mesh.outer)).tolist()
    exodus = read_exodus(written("moose") / "mesh.e")
    np.testing.assert_array_equal(exodus.grain_ids, mesh.grain_ids)
    assert len(exodus.side_sets["outer"]) == len(mesh.outer)
