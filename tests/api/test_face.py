"""import cathodegrain as cg: every command has its function, and importing it costs nothing."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import xarray

import cathodegrain as cg
from cathodegrain.exporters.commands.app import app
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.commands.write_products import ProductOptions
from places import ROOT

README = (ROOT / "README.md").read_text("utf-8")
SMALL = {"shell.diameter_um": 1.2}

# Options of the command line that are something else in Python: other functions, Python itself.
PRINTED = {"json", "dry_run"}
ELSEWHERE = {
    "generate": {
        "first": "index",
        "count": "index",
        "set": "parameters",
        "out": "save",
        "overwrite": "save",
    },
    "regenerate": {"set": "parameters", "out": "save", "overwrite": "save"},
    "sweep": {"set": "parameters"},
    "export": {"to": "products", "for": "products"},
    "mesh": {"out": "save of the mesh", "overwrite": "save of the mesh"},
    "section": dict.fromkeys(("out", "format", "overwrite"), "save of the cut"),
    "fit shell": dict.fromkeys(("out", "overwrite"), "save of the fit"),
    "calibrate grains": dict.fromkeys(("out", "overwrite"), "save of the calibration"),
    "fit grains": dict.fromkeys(("out", "overwrite"), "save of the fit"),
    "dataset build": {"from": "parent", "set": "parameters"},
}
# Options of products, of commands that also write some: `cg.export` takes them.
PRODUCTS = {"export"} | {field.name for field in fields(ProductOptions)}


def commands(group=app, prefix=""):
    """Name and function of every command."""
    for name in group:
        if name.startswith("-"):
            continue
        found = group[name]
        if found.default_command is None:
            yield from commands(found, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", found


def function_of(command):
    """Name of the function of a command."""
    verb, _, rest = command.partition(" ")
    if verb == "dataset":
        return f"{rest}_dataset"
    return command.replace(" ", "_")


COMMANDS = dict(commands())


def all_names(command):
    """Every option of a command, without hyphens."""
    found = COMMANDS[command].assemble_argument_collection()
    return {n.removeprefix("--").replace("-", "_") for argument in found for n in argument.names}


def test_every_command_has_a_function_that_the_readme_names():
    assert len(COMMANDS) == 21
    for command in COMMANDS:
        assert function_of(command) in cg.__all__, command
        assert f"cg.{function_of(command)}" in README, command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_a_parameter_of_its_function(command):
    parameters = inspect.signature(getattr(cg, function_of(command))).parameters
    takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    elsewhere = ELSEWHERE.get(command, {})
    for argument in COMMANDS[command].assemble_argument_collection():
        names = {name.removeprefix("--").replace("-", "_") for name in argument.names}
        shown = argument.parameter.show is not False
        products = PRODUCTS if "export" in all_names(command) else set()
        if not shown or names & (PRINTED | products | set(elsewhere)):
            continue
        known = {n for name in names for n in (name, f"{name}_um")} & set(parameters)
        positional = not any(name.startswith("--") for name in argument.names)
        assert known or takes_more or positional, f"{command}: {sorted(argument.names)}"


def test_all_names_are_there_and_documented():
    assert sorted(cg.__all__) == cg.__all__
    assert set(dir(cg)) == {*cg.__all__, "__version__"}
    for name in cg.__all__:
        assert inspect.getdoc(getattr(cg, name)), name
    assert re.match(r"\d+\.\d+\.\d+", cg.__version__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cg.nothing  # noqa: B018


def test_import_loads_nothing_of_our_own_and_nothing_heavy():
    program = (
        "import sys; before = set(sys.modules); import cathodegrain; "
        "new = set(sys.modules) - before; "
        "assert {n for n in new if n.startswith('cathodegrain')} == {'cathodegrain'}, new; "
        "assert not {'numpy', 'numba', 'h5py', 'xarray', 'jsonschema'} & new, new"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def particle():
    return cg.generate("nmc811-radial", seed=7, parameters=SMALL)


def test_python_and_the_command_line_make_the_same_recipe(particle, tmp_path):
    folder = cg.save(particle, tmp_path / "python")
    command = ["generate", "--model", "nmc811-radial", "--seed", "7", "--set"]
    assert main([*command, "shell.diameter_um=1.2", "--out", str(tmp_path / "shell")]) == 0
    ours, theirs = (p / "recipe.h5" for p in (folder, tmp_path / "shell/p000000"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert cg.save(particle, tmp_path / "one.h5").read_bytes() == ours.read_bytes()
    assert cg.load(tmp_path / "one.h5").n_grains == cg.load(folder).n_grains == particle.n_grains
    with pytest.raises(cg.CathodegrainError, match="exists"):
        cg.save(particle, tmp_path / "one.h5")


def test_several_particles_are_those_that_are_made_one_by_one(particle):
    several = cg.generate_particles("nmc811-radial", seed=7, indices=[3, 0], parameters=SMALL)
    assert [one.id for one in several] == ["p000003", "p000000"]
    np.testing.assert_array_equal(several[1].tessellation.table, particle.tessellation.table)
    with pytest.raises(cg.CathodegrainError, match="device is 'gpu', expected cpu, cuda"):
        cg.generate_particles("no-such-model", indices=[0], device="gpu")


def test_voxels_in_memory_are_those_of_the_file(particle, tmp_path):
    folder = cg.save(particle, tmp_path)
    path = cg.export(folder, "voxels", pitch_um=0.08)
    here = cg.voxels(particle, pitch_um=0.08)
    with xarray.open_dataset(path) as there:
        for name in ("grain_id", "grain_boundary", "grain_voxels", "grain_volume", "x", "z"):
            np.testing.assert_array_equal(here[name], there[name])
            assert here[name].dtype == there[name].dtype
            assert here[name].attrs["units"] == there[name].attrs["units"]


def test_a_variant_keeps_the_draws(particle):
    longer = cg.regenerate(particle, {"grains.elongation": 1.5})
    assert longer.provenance.derivation.changes == {"grains.elongation": (1.0, 1.5)}
    assert longer.shell.diameter_um == particle.shell.diameter_um


def test_meshes_surfaces_and_interfaces_belong_together(particle):
    mesh = cg.mesh(particle, size_um=0.24)
    assert mesh.facts["certificate"]["certified"]
    surfaces = cg.surfaces(mesh)
    table = cg.interfaces(particle, mesh)
    between = surfaces.pairs[:, 0] > 0
    assert table.n_facets.sum() == between.sum()
    split = cg.mesh(particle, size_um=0.24, boundaries="cohesive")
    assert len(split.wedges) == between.sum()
    with pytest.raises(cg.CathodegrainError, match="expected a bonded mesh"):
        cg.surfaces(split)


def test_labels_of_ones_own_are_meshed_from_memory():
    axis = np.arange(-9.5, 10)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    labels = np.where(x * x + y * y + z * z < 64, 1 + (x > 0), 0)
    with pytest.raises(cg.CathodegrainError, match="give pitch_um"):
        cg.mesh(labels)
    mesh = cg.mesh(labels, pitch_um=0.1, size_um=0.2)
    assert mesh.n_grains == 2
    assert mesh.volumes.sum() == pytest.approx(
        (labels > 0).sum() * 1e-3, rel=0.05
    )  # edges are rounded
    with pytest.raises(cg.CathodegrainError, match="order is 2, expected 1"):
        cg.mesh(labels, pitch_um=0.1, order=2)


def test_exports_take_options_that_concern_them_and_keep_the_mesh(particle, tmp_path):
    folder = cg.save(particle, tmp_path)
    paths = cg.export(folder, ["calculix", "grain-table"], size_um=0.24, pitch_um=0.1)
    assert set(paths) == {"calculix", "grain-table"}
    assert {p["format"] for p in cg.info(folder)["products"]} == {
        "recipe", "calculix", "grain-table", "mesh-vtkhdf",
    }  # fmt: skip
    assert cg.validate(folder) == []
    with pytest.raises(cg.CathodegrainError, match="did you mean 'size_um'"):
        cg.export(folder, "calculix", siz_um=0.24)
    with pytest.raises(cg.CathodegrainError, match="overwrite"):
        cg.export(folder, "calculix", size_um=0.2)


def test_former_names_work_with_a_warning(particle, tmp_path):
    with pytest.warns(DeprecationWarning, match=r"use|cg\."):
        from cathodegrain.exporters import export
    path = export(particle, tmp_path, "grains", spacing_um=0.1)
    assert path.name == "grain_table.h5"
    folder = cg.save(particle, tmp_path)
    with pytest.warns(FutureWarning, match="'vti' is now 'voxels-vti'"):
        cg.export(folder, "vti")


def test_sections_are_read_back_as_they_were_cut(particle, tmp_path):
    cut = cg.section(particle, normal=(1, 1, 0), offset_um=0.1)
    folder = cg.save(particle, tmp_path)
    out = tmp_path / "section.tif"
    command = ["section", str(folder), "--normal", "1,1,0", "--offset", "0.1", "--out", str(out)]
    assert main(command) == 0
    assert json.loads((tmp_path / "section.tif.json").read_text())["pixel_um"] == cut.pixel_um
    assert cg.read_section(out).n_grains > 3


def test_parameters_and_formats_are_those_of_the_commands(capsys):
    assert main(["parameters", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(cg.parameters())
    assert main(["formats", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(cg.formats())
    assert cg.parameters("nmc811-radial")["grains.metric"] == "norm"
