"""What every solver profile promises: files, headings, units, errors, nothing half-written."""

import csv
import json
import re
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cathodegrain import schemas
from cathodegrain.exporters import solvers
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.solvers import folder as folder_module
from cathodegrain.exporters.solvers.folder import MARKER, write_for
from cathodegrain.exporters.solvers.materials import MARK, Material, stiffness_matrix
from cathodegrain.exporters.solvers.profiles import PROFILES
from cathodegrain.exporters.solvers.solver_input import solver_input
from cathodegrain.exporters.solvers.units import UNIT_SYSTEMS, unit_system
from cathodegrain.generator.errors import ExportError
from places import ROOT

NAMES = [
    "abaqus", "calculix", "fenicsx", "ngsolve", "getfem", "mfem", "moose", "openfoam", "comsol",
    "scikit-fem",
]  # fmt: skip
BINARY = {".h5", ".e", ".npz"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("oriented", [True, False])
def test_a_profile_writes_the_files_that_it_lists(name, oriented, crystals, tmp_path):
    particle, mesh = crystals
    orientations = particle.orientations if oriented else None
    written = write_for(mesh, tmp_path / "deck", name, orientations=orientations)
    expected = {*PROFILES[name].files, MARKER, "README.txt"}
    expected |= {"orientations.csv"} if oriented else set()
    assert {path.relative_to(tmp_path / "deck").as_posix() for path in written} == expected
    assert written == sorted(written)
    assert [path.name for path in tmp_path.iterdir()] == ["deck"]
    assert schemas.problems(facts_of(tmp_path / "deck"), "solver") == []


def facts_of(folder):
    return json.loads((folder / MARKER).read_text("ascii"))


def test_the_facts_of_every_kind_of_mesh_follow_their_schema(crystals, tmp_path):
    particle, mesh = crystals
    parted = split(mesh)
    write_for(parted, tmp_path / "c", "abaqus", unit="m")
    write_for(second_order(mesh, particle), tmp_path / "q", "ngsolve")
    for name, order, n_wedges in (("c", 1, len(parted.wedges)), ("q", 2, 0)):
        facts = facts_of(tmp_path / name)
        assert schemas.problems(facts, "solver") == []
        assert (facts["order"], facts["n_wedges"]) == (order, n_wedges)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema_version": "2.0.0"}, "schema_version: '1.0.0' was expected"),
        ({"order": 3}, r"order: 3 is not one of \[1, 2\]"),
        ({"units": {"length": "mm"}}, "units: .* is not valid under any"),
        ({"n_tets": 0}, "n_tets: 0 is less than the minimum of 1"),
        ({"supports": []}, "supports: .* (too short|non-empty)"),
        ({"files": {"../mesh.msh": 64 * "0", "README.txt": 64 * "0"}}, "files: .* does not match"),
        ({"files": {"mesh.msh": "0", "README.txt": 64 * "0"}}, r"files.mesh.msh: '0' does not"),
        ({"author": "me"}, "document: Additional properties are not allowed"),
    ],
)
def test_facts_that_break_the_schema_are_named(change, problem, crystals, tmp_path):
    _, mesh = crystals
    write_for(mesh, tmp_path / "deck", "comsol")
    (found,) = schemas.problems(facts_of(tmp_path / "deck") | change, "solver")
    assert re.match(problem, found), found


def test_a_mesh_with_facts_that_json_cannot_hold_is_refused(crystals, tmp_path):
    _, mesh = crystals
    odd = replace(mesh, facts={"size_um": float("nan")})
    with pytest.raises(ExportError, match=r"not be valid:\s+mesh.size_um: nan is not a finite"):
        write_for(odd, tmp_path / "deck", "comsol")
    assert list(tmp_path.iterdir()) == []


def test_the_table_lists_every_solver_with_a_module_that_writes():
    assert sorted(PROFILES) == sorted(NAMES)
    for profile in PROFILES.values():
        assert callable(import_module(profile.module, solvers.__name__).write)


@pytest.mark.parametrize("name", NAMES)
def test_headings_tell_the_unit_and_the_material_is_marked_once(name, crystals, tmp_path):
    particle, mesh = crystals
    for unit in PROFILES[name].units:
        folder = tmp_path / unit
        write_for(mesh, folder, name, orientations=particle.orientations, unit=unit)
        texts = {
            path.name: path.read_text("utf-8")
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in BINARY
        }
        stated = f"coordinates in {unit}; consistent units: {unit}, kg, s,"
        for file in set(texts) - {"orientations.csv", MARKER}:
            assert stated in texts[file], file
        marked = [file for file, text in texts.items() if MARK in text]
        assert len(marked) == (2 if name == "moose" else 1), marked
        assert json.loads(texts[MARKER])["units"]["length"] == unit


def test_coordinates_are_in_the_unit_asked_for(crystals):
    _, mesh = crystals
    content = solver_input(mesh, unit_system("m"))
    np.testing.assert_allclose(content.points, 1e-6 * mesh.points, rtol=1e-15)


def test_orientations_of_all_grains_stand_in_a_table(crystals, tmp_path):
    particle, mesh = crystals
    write_for(mesh, tmp_path / "deck", "getfem", orientations=particle.orientations)
    lines = (tmp_path / "deck/orientations.csv").read_text().splitlines()
    assert "v_crystal = Q v_sample" in lines[1]
    rows = list(csv.DictReader(line for line in lines if line[0] != "#"))
    assert [int(row["grain_id"]) for row in rows] == list(range(1, particle.n_grains + 1))
    for row, q in zip(rows, particle.orientations, strict=True):
        np.testing.assert_array_equal([float(row[c]) for c in "wxyz"], q)
        rotation = Rotation.from_quat(q, scalar_first=True)
        for k, axis in enumerate("abc"):
            found = [float(row[f"{axis}_{c}"]) for c in "xyz"]
            np.testing.assert_allclose(found, rotation.apply(np.eye(3)[k]), atol=1e-12)


def test_the_sides_are_the_facets_of_the_mesh(crystals):
    particle, mesh = crystals
    for each in (mesh, second_order(mesh, particle)):
        content = solver_input(each, unit_system("um"))
        triangles, pairs = each.facets
        np.testing.assert_array_equal(content.outer, triangles[pairs[:, 0] == 0])
        np.testing.assert_array_equal(content.grain_boundary, triangles[pairs[:, 0] > 0])
        np.testing.assert_array_equal(content.boundary_pairs, pairs[pairs[:, 0] > 0])


def test_supports_stop_rigid_motion_and_no_more(crystals):
    _, mesh = crystals
    supports = solver_input(mesh, unit_system("um")).supports
    rows = []
    for node, fixed in supports:
        x, y, z = mesh.points[node] / np.abs(mesh.points).max()
        motion = np.hstack([np.eye(3), [[0, z, -y], [-z, 0, x], [y, -x, 0]]])
        rows += [motion["xyz".index(c)] for c in fixed]
    assert np.array(rows).shape == (6, 6)
    assert np.linalg.cond(np.array(rows)) < 100


@pytest.mark.parametrize("unit", UNIT_SYSTEMS)
def test_units_are_consistent(unit):
    system = unit_system(unit)
    kilogram = 1.0
    force = kilogram * system.per_metre  # of one newton = 1 kg m / s^2
    assert system.per_pascal == pytest.approx(force / system.per_metre**2)
    material, scaled = Material(), Material().in_units(system)
    assert scaled.diffusivity[0] == pytest.approx(material.diffusivity[0] * system.per_metre**2)
    opening = 2 * material.toughness / material.strength  # m
    assert 2 * scaled.toughness / scaled.strength == pytest.approx(opening * system.per_metre)
    onset = material.strength / material.stiffness
    assert scaled.strength / scaled.stiffness == pytest.approx(onset * system.per_metre)
    assert 0 < onset < opening


def test_the_placeholder_is_a_material():
    for material in (Material(), Material().isotropic()):
        stiffness = stiffness_matrix(material)
        assert np.linalg.eigvalsh(stiffness).min() > 0
        compliance = np.linalg.inv(stiffness)
        np.testing.assert_allclose(np.diag(compliance)[:3], 1 / np.array(material.young))
    assert stiffness[0, 0] - stiffness[0, 1] == pytest.approx(2 * stiffness[5, 5])


@pytest.mark.parametrize("name", [n for n in NAMES if "material.py" in PROFILES[n].files])
def test_scripts_know_the_material_of_the_table(name, crystals, tmp_path, monkeypatch):
    particle, mesh = crystals
    write_for(mesh, tmp_path / "deck", name, orientations=particle.orientations, unit="m")
    monkeypatch.syspath_prepend(tmp_path / "deck")
    monkeypatch.delitem(sys.modules, "material", raising=False)
    found = import_module("material")
    placeholder = Material().in_units(unit_system("m"))
    assert placeholder.diffusivity == found.DIFFUSIVITY
    assert placeholder.young + placeholder.poisson == found.YOUNG + found.POISSON
    assert placeholder.shear + placeholder.swelling == found.SHEAR + found.SWELLING
    identity = np.eye(3)[None]
    monkeypatch.setattr(found, "crystal_axes", lambda ids: identity)
    np.testing.assert_allclose(
        found.voigt(found.stiffnesses([1]))[0], stiffness_matrix(placeholder)
    )
    monkeypatch.delitem(sys.modules, "material")


def test_results_and_changes_of_the_user_are_not_overwritten(crystals, tmp_path):
    _, mesh = crystals
    folder = tmp_path / "deck"
    write_for(mesh, folder, "calculix")
    write_for(mesh, folder, "ngsolve")  # untouched: replaced
    assert not (folder / "nodes.inp").exists()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/material.cpython-311.pyc").write_bytes(b"compiled")
    write_for(mesh, folder, "calculix")
    (folder / "diffusion.dat").write_text("result")
    with pytest.raises(ExportError, match=r"diffusion\.dat.* would be lost; move them"):
        write_for(mesh, folder, "calculix")
    (folder / "diffusion.dat").unlink()
    text = (folder / "material.inp").read_text()
    (folder / "material.inp").write_text(text.replace("0.0067", "0.5"))
    with pytest.raises(ExportError, match=r"material\.inp"):
        write_for(mesh, folder, "calculix")
    assert "0.5" in (folder / "material.inp").read_text()


def test_other_folders_are_not_touched(crystals, tmp_path):
    _, mesh = crystals
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(ExportError, match=f"not a folder with a {MARKER}; choose another name"):
        write_for(mesh, mine, "ngsolve")
    (mine / MARKER).write_text("{}")
    with pytest.raises(ExportError, match="is not one of this package; choose another name"):
        write_for(mesh, mine, "ngsolve")
    assert (mine / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
def test_nothing_is_left_when_writing_fails(error, crystals, tmp_path, monkeypatch):
    _, mesh = crystals

    def fail(*arguments):
        raise error

    monkeypatch.setattr(folder_module, "_write_readme", fail)
    with pytest.raises(ExportError if isinstance(error, OSError) else KeyboardInterrupt):
        write_for(mesh, tmp_path / "deck", "ngsolve")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_with_what_to_do(crystals, tmp_path):
    particle, mesh = crystals
    q = particle.orientations
    empty = VolumeMesh(np.empty((0, 3)), np.empty((0, 4)), np.empty(0), n_grains=3)
    cases = [
        (mesh, "ansys", {}, "unknown solver 'ansys'; choose from .*'abaqus'"),
        (mesh, "abaqus", {"unit": "mm"}, r"unknown unit 'mm'; choose one of \['um', 'm'\]"),
        (mesh, "calculix", {"unit": "m"}, "Jacobian is below 1e-20; choose one of"),
        (second_order(mesh, particle), "openfoam", {}, "four-node tetrahedra only; write order 1"),
        (mesh, "abaqus", {"orientations": q[1:]}, rf"expected \({len(q)}, 4\): a unit quaternion"),
        (mesh, "abaqus", {"orientations": 2 * q}, "has norm 2, expected 1"),
        (mesh, "abaqus", {"orientations": np.nan * q}, "has norm nan, expected 1"),
        (empty, "abaqus", {}, "no element; make it with a smaller size_um"),
    ]
    for given, name, options, message in cases:
        with pytest.raises(ExportError, match=message):
            write_for(given, tmp_path / "deck", name, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be written"):
        write_for(mesh, tmp_path / "file" / "deck", "abaqus")
    (tmp_path / "file").unlink()
    assert list(tmp_path.iterdir()) == []


def test_the_mesh_is_not_changed(crystals, tmp_path):
    particle, mesh = crystals
    before = mesh.points.copy(), particle.orientations.copy()
    for name in NAMES:
        write_for(mesh, tmp_path / name, name, orientations=particle.orientations)
    np.testing.assert_array_equal(mesh.points, before[0])
    np.testing.assert_array_equal(particle.orientations, before[1])


def test_every_solver_is_documented_and_every_number_of_the_placeholder():
    text = (ROOT / "docs/solvers.md").read_text("utf-8")
    for name in NAMES:
        assert f"`{name}`" in text
    for units in UNIT_SYSTEMS.values():
        material = Material().in_units(units)
        for value in (
            *material.diffusivity, *material.young, *material.poisson, *material.shear,
            *material.swelling, material.stiffness, material.strength, material.toughness,
        ):  # fmt: skip
            assert f"{value:g}" in text, value
