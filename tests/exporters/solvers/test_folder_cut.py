"""Decks of half and quarter particles: symmetric faces do not conduct and stay in their plane."""

import json

import numpy as np
import pytest

import cathodegrain as cg
from abaqus_deck import read_deck
from cathodegrain import schemas
from cathodegrain.exporters.solvers.exodus import read_exodus
from cathodegrain.exporters.solvers.folder import write_for
from cathodegrain.exporters.solvers.profiles import PROFILES
from solver_clients import run_calculix, run_script

EXACT = 1e-10  # relative, for programs that print all digits
SCRIPTED = [
    "fenicsx",
    "getfem",
    pytest.param("ngsolve", marks=pytest.mark.slow),
    pytest.param("mfem", marks=pytest.mark.slow),
]
SIZES = {"tets": 0.15, "hex": 0.07}


@pytest.fixture(scope="module", params=["tets", "hex"])
def mesh(request, crystals):
    size = SIZES[request.param]
    return cg.mesh(crystals[0], elements=request.param, size_um=size, cut="x")


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


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_folder_says_where_it_is_symmetric(profile, written):
    folder = written(profile)
    facts = json.loads((folder / "solver.json").read_text("ascii"))
    assert schemas.problems(facts, "solver") == []
    assert facts["symmetry"] == {"x": 0.0}
    assert [support["fixed"] for support in facts["supports"]] == ["yz", "z"]
    assert "symmetry_x: no flux, no normal" in (folder / "README.txt").read_text("utf-8")


def test_the_symmetric_face_stays_in_its_plane_and_the_half_swells(reference, mesh):
    u = np.load(reference[0] / "expansion.npy")
    on_face = np.unique(mesh.symmetry["symmetry_x"])
    assert np.abs(u[on_face, 0]).max() == 0
    assert np.abs(u[on_face, 1:]).max() > 1e-3


@pytest.mark.parametrize("profile", SCRIPTED)
def test_solvers_agree(profile, written, reference):
    folder = written(profile)
    for deck, expected in reference[1].items():
        found = run_script(profile, folder, deck)
        for name in set(expected) & {"volume", "integral", "elastic energy"}:
            assert found[name] == pytest.approx(expected[name], rel=EXACT), (deck, name)


def test_calculix_agrees_at_every_node(written, reference):
    found = run_calculix(written("calculix"), "expansion", 3)
    expected = np.load(reference[0] / "expansion.npy")
    assert np.linalg.norm(found - expected) < 2e-6 * np.linalg.norm(expected)


def test_a_half_whose_grains_swell_alike_has_no_stress(written):
    free = run_script("scikit-fem", written("scikit-fem", orientations=None), "expansion")
    assert abs(free["elastic energy"]) < 1e-9
    assert free["change of volume"] == pytest.approx(-5, rel=1e-9)


def test_abaqus_and_exodus_have_the_set(written, mesh):
    nodes = (1 + np.unique(mesh.symmetry["symmetry_x"])).tolist()
    deck = read_deck(written("abaqus") / "expansion.inp")
    assert deck.node_sets["SYMMETRY_X"] == nodes
    assert len(deck.surfaces["SYMMETRY_X"]) == len(mesh.symmetry["symmetry_x"])
    assert len(deck.surfaces["OUTER"]) == len(mesh.outer)
    (held,) = (word.data for word in deck.words if word.name == "BOUNDARY")
    assert held[-1][:3] == ["SYMMETRY_X", "1", "1"]
    exodus = read_exodus(written("moose") / "mesh.e")
    assert (1 + exodus.node_sets["symmetry_x"]).tolist() == nodes
    assert len(exodus.side_sets["symmetry_x"]) == len(mesh.symmetry["symmetry_x"])
    assert "boundary = 'symmetry_x'" in (written("moose") / "expansion.i").read_text()


def cube(cut):
    """Two halves of a cube of 8^3 voxels."""
    labels = np.ones((8, 8, 8), np.int32)
    labels[:, :, 4:] = 2
    return cg.mesh(labels, elements="hex", pitch_um=0.125, cut=cut)


@pytest.mark.parametrize("cut", ["x", "x,y", "x,y,z"])
def test_a_part_of_a_cube_diffuses_as_the_whole(cut, tmp_path):
    times = []
    for name, mesh in (("whole", cube("")), ("part", cube(cut))):
        write_for(mesh, tmp_path / name, "scikit-fem")
        results = run_script("scikit-fem", tmp_path / name, "diffusion")
        times.append(results["integral"] / results["volume"])
    assert times[1] == pytest.approx(times[0], rel=1e-9)


@pytest.mark.parametrize(("cut", "fixed"), [("x,y", ["z"]), ("x,y,z", [])])
def test_planes_leave_as_many_supports_as_there_are_motions(cut, fixed, tmp_path):
    write_for(cube(cut), tmp_path / "deck", "scikit-fem")
    facts = json.loads((tmp_path / "deck/solver.json").read_text("ascii"))
    assert [support["fixed"] for support in facts["supports"]] == fixed
    free = run_script("scikit-fem", tmp_path / "deck", "expansion")
    assert free["change of volume"] == pytest.approx(-5, rel=1e-9)
