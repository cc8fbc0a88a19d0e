"""Real solvers run the decks that we write, and agree with each other."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.solvers.folder import write_for
from finite_elements import conduction, solved, source
from solver_clients import need, need_program, run, run_calculix, run_script

EXACT = 1e-10  # relative, for programs that print all digits
SEVEN_DIGITS = 1e-8  # of an integral over nodal values with seven digits
SCRIPTED = [
    "fenicsx",
    "getfem",
    pytest.param("ngsolve", marks=pytest.mark.slow),
    pytest.param("mfem", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def written(crystals, tmp_path_factory):
    """Folder for a profile, with the numbers of its decks once they have run."""
    particle, mesh = crystals

    def folder(profile, **options):
        path = tmp_path_factory.mktemp(profile) / "deck"
        write_for(mesh, path, profile, **{"orientations": particle.orientations, **options})
        return path

    return folder


@pytest.fixture(scope="module")
def reference(written):
    """Results of scikit-fem."""
    folder = written("scikit-fem")
    results = {name: run_script("scikit-fem", folder, name) for name in ("diffusion", "expansion")}
    return folder, results


def test_the_reference_is_about_the_mesh_and_not_isotropic(reference, crystals, written):
    _, results = reference
    _, mesh = crystals
    assert results["diffusion"]["volume"] == pytest.approx(mesh.volumes.sum(), rel=1e-12)
    assert results["expansion"]["elastic energy"] > 0.1
    isotropic = written("scikit-fem", orientations=None)
    free = run_script("scikit-fem", isotropic, "expansion")
    assert abs(free["elastic energy"]) < 1e-9  # all grains swell alike
    assert free["change of volume"] == pytest.approx(-5, rel=1e-9)  # -(1 + 1 + 3) %


def test_a_reference_of_our_own_agrees_with_scikit_fem(reference, crystals):
    particle, mesh = crystals
    r = Rotation.from_quat(particle.orientations, scalar_first=True).as_matrix()
    tensors = np.einsum("gik,k,gjk->gij", r, [0.01, 0.01, 0.0001], r)[mesh.grain_ids - 1]
    load = source(mesh.points, mesh.tets)
    u = solved(conduction(mesh.points, mesh.tets, tensors), load, mesh.outer)
    assert reference[1]["diffusion"]["integral"] == pytest.approx(load @ u, rel=EXACT)


@pytest.mark.parametrize("profile", SCRIPTED)
def test_solvers_agree_on_diffusion(profile, written, reference):
    found = run_script(profile, written(profile), "diffusion")
    for name, value in reference[1]["diffusion"].items():
        if name != "mean time to the outer surface":  # printed with six digits
            assert found[name] == pytest.approx(value, rel=EXACT), name


@pytest.mark.parametrize("profile", SCRIPTED)
def test_solvers_agree_on_expansion(profile, written, reference):
    found = run_script(profile, written(profile), "expansion")
    expected = reference[1]["expansion"]
    assert found["elastic energy"] == pytest.approx(expected["elastic energy"], rel=EXACT)
    assert found["change of volume"] == pytest.approx(expected["change of volume"], rel=1e-5)


def test_calculix_agrees_on_diffusion(written, reference, crystals):
    _, mesh = crystals
    u = run_calculix(written("calculix"), "diffusion", 1)[:, 0]
    integral = mesh.volumes @ u[mesh.tets].mean(axis=1)
    assert integral == pytest.approx(reference[1]["diffusion"]["integral"], rel=SEVEN_DIGITS)


def test_calculix_agrees_on_the_displacements_of_expansion(written, reference):
    u = run_calculix(written("calculix"), "expansion", 3)
    expected = np.load(reference[0] / "expansion.npy")
    assert np.linalg.norm(u - expected) < 1e-6 * np.linalg.norm(expected)


def test_seconds_do_not_depend_on_the_unit_of_length(written, reference):
    folder = written("getfem", unit="m")
    for name, quantity, factor in (
        ("diffusion", "volume", 1e-18),
        ("diffusion", "integral", 1e-18),
        ("diffusion", "mean time to the outer surface", 1),
        ("expansion", "elastic energy", 1e-12),
        ("expansion", "change of volume", 1),
    ):
        value = run_script("getfem", folder, name)[quantity]
        tolerance = EXACT if factor < 1 else 1e-5
        assert value == pytest.approx(factor * reference[1][name][quantity], rel=tolerance, abs=0)


def test_calculix_takes_isotropic_grains(written):
    folder = written("calculix", orientations=None)
    points = np.array(json.loads((folder / "solver.json").read_text())["supports"][0]["point"])
    u = run_calculix(folder, "expansion", 3)
    nodes = np.loadtxt(folder / "nodes.inp", delimiter=",", comments="*")[:, 1:]
    free = -0.05 / 3 * (nodes - points)  # all grains swell alike; the first support stays
    turn = np.linalg.lstsq(_spins(nodes - points), (u - free).ravel(), rcond=None)[0]
    rest = (u - free).ravel() - _spins(nodes - points) @ turn
    assert np.abs(rest).max() < 1e-6 * np.abs(u).max()


def _spins(x):
    """Matrix from an infinitesimal rotation (3,) to the displacements of points, flat."""
    return np.stack([np.cross(axis, x).ravel() for axis in np.eye(3)], axis=1)


@pytest.mark.slow
def test_second_order_decks_agree(crystals, tmp_path):
    particle, mesh = crystals
    curved = second_order(mesh, particle)
    found = {}
    for profile in ("scikit-fem", "fenicsx", "getfem", "ngsolve", "mfem"):
        folder = tmp_path / profile
        write_for(curved, folder, profile, orientations=particle.orientations)
        for name in ("diffusion", "expansion"):
            results = run_script(profile, folder, name)
            for quantity, value in results.items():
                first = found.setdefault((name, quantity), value)
                assert value == pytest.approx(first, rel=2e-3), (profile, name, quantity)
    assert found["diffusion", "volume"] == pytest.approx(curved.volumes.sum(), rel=1e-9)
    write_for(curved, tmp_path / "calculix", "calculix", orientations=particle.orientations)
    u = run_calculix(tmp_path / "calculix", "expansion", 3)[: len(mesh.points)]
    expected = np.load(tmp_path / "scikit-fem/expansion.npy")
    assert np.linalg.norm(u - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["m", "um"])
def test_openfoam_says_that_the_mesh_is_ok_and_solves_diffusion(written, unit):
    need_program("gmshToFoam")
    folder = written("openfoam", unit=unit)
    settings = {"WM_PROJECT_DIR": "/usr/share/openfoam"}  # where Debian has its etc
    run(["gmshToFoam", "mesh.msh"], folder, **settings)
    report = run(["checkMesh"], folder, **settings)
    assert "Mesh OK." in report
    zones = json.loads((folder / "solver.json").read_text())
    n_zones = zones["n_grains"] - len(zones["grains_without_tets"])
    assert report.count("grain_0") >= n_zones
    solved = run(["laplacianFoam"], folder, **settings)
    integral = float(solved.partition("volIntegrate(region0) of T = ")[2].split()[0])
    isotropic = written("scikit-fem", orientations=None, unit=unit)
    expected = run_script("scikit-fem", isotropic, "diffusion")["integral"]
    assert integral == pytest.approx(expected, rel=0.1)  # finite volumes against elements


def test_a_missing_client_fails_where_clients_are_required(monkeypatch):
    monkeypatch.setenv("CATHODEGRAIN_CLIENTS", "required")
    with pytest.raises(pytest.fail.Exception, match="nothing is not installed"):
        need(False, "nothing")
    monkeypatch.delenv("CATHODEGRAIN_CLIENTS")
    with pytest.raises(pytest.skip.Exception):
        need(False, "nothing")
