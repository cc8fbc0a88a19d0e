"""The wheel, installed where the repository is not, makes particles."""

import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from places import ROOT

PROGRAM = """
import json, sys
from cathodegrain.exporters.commands.main import main
from cathodegrain.generator.model_card import shipped_cards
assert shipped_cards() == [
    "nmc-electrode-ct", "nmc811", "nmc811-ebsd598", "nmc811-radial", "nmc811-rods"
], shipped_cards()
assert main(["generate", "--seed", "7", "--set", "shell.diameter_um=1.5", "--out", "particles",
             "--export", "voxels,voxels-vti,mesh", "--size", "0.3"]) == 0
assert main(["validate", "particles/p000000"]) == 0
assert main(["export", "particles/p000000", "--to", "surfaces"]) == 2  # trimesh is an extra
assert main(["validate", "particles/p000000", "--gmsh"]) == 2  # so is gmsh
assert main(["dataset", "fetch", "http://127.0.0.1:9", "--out", "part"]) == 2  # so are its packages
assert not {"torch", "gmsh", "matplotlib", "trimesh"} & set(sys.modules)
import xarray
assert int(xarray.open_dataset("particles/p000000/voxels.vtkhdf").grain_id.max()) > 5
"""
TWICE = """
import time
from pathlib import Path
from cathodegrain.exporters.commands.main import main

def files(out):
    assert main(["generate", "--seed", "7", "--set", "shell.diameter_um=1.5", "--out", out,
                 "--export", "voxels,voxels-vti,grains"]) == 0
    return {path.name: path.read_bytes() for path in Path(out, "p000000").iterdir()}

first = files("first")
time.sleep(1.5)  # times in HDF5 files are whole seconds
second = files("second")
assert len(first) == 5
assert [name for name in first if first[name] != second[name]] == []
import xarray
assert int(xarray.open_dataset("first/p000000/voxels.vtkhdf").grain_id.max()) > 5
"""
PRODUCTS = """
from pathlib import Path
from cathodegrain.exporters.commands.main import main

assert main(["generate", "--seed", "7", "--set", "shell.diameter_um=1.2", "--out", "p",
             "--export", "mesh,surfaces,interfaces,report", "--size", "0.3"]) == 0
assert main(["validate", "p/p000000", "--gmsh"]) == 0
Path("d.toml").write_text('name = "d"\\nmodel = "nmc811-radial"\\ncount = 2\\n'
                          '[parameters]\\nshell.diameter_um = 1.2\\n')
assert main(["dataset", "build", "d.toml", "--out", "d", "--jobs", "1"]) == 0
assert main(["dataset", "verify", "d", "--jobs", "1"]) == 0
assert main(["dataset", "fetch", "d", "--out", "part", "--select", "diameter_um > 1"]) == 0
"""


def run(*argv, cwd, **options):
    return subprocess.run(argv, check=True, cwd=cwd, timeout=900, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def installed(folder, *arguments):
    """Interpreter of a new virtual environment with what pip installs."""
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv/bin/python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "install", *arguments, cwd=folder)
    return python


def lowest(*extras):
    """The lowest version that pyproject.toml allows of every requirement, as pip's constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    found = [Requirement(text) for group in groups for text in group]
    bounds = {r.name: [s.version for s in r.specifier if s.operator == ">="] for r in found}
    return [f"{name}=={version}" for name, (version,) in bounds.items()]


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment_outside_the_repository(wheel, tmp_path):
    python = installed(tmp_path, wheel)
    listed = run(python, "-m", "pip", "list", cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert "torch" not in listed.stdout
    assert "gmsh" not in listed.stdout
    run(python, "-I", "-c", PROGRAM, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone of the repository")
@pytest.mark.parametrize("source", ["archive", "shallow clone"])
def test_sources_without_history_build_with_a_version(tmp_path, source):
    tree = tmp_path / "tree"
    if source == "archive":
        tree.mkdir()
        archive = run("git", "archive", "HEAD", cwd=ROOT, stdout=subprocess.PIPE).stdout
        run("tar", "-x", cwd=tree, input=archive)
    else:
        run("git", "clone", "--quiet", "--depth=1", "--no-tags", ROOT.as_uri(), tree, cwd=tmp_path)
    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", tree, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")  # made of the source distribution
    assert Version(wheel.name.split("-")[1]) >= Version("0.2.0.dev0")


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the lowest Python has the wheels")
@pytest.mark.parametrize(
    ("extras", "program"),
    [([], TWICE), (["mesh", "gmsh", "view", "dataset"], PRODUCTS)],
    ids=["core", "extras"],
)
def test_the_lowest_versions_of_all_requirements_work(wheel, tmp_path, extras, program):
    constraints = tmp_path / "lowest.txt"
    constraints.write_text("\n".join(lowest(*extras)))
    wanted = f"{wheel}[{','.join(extras)}]" if extras else wheel
    python = installed(tmp_path, "--only-binary", ":all:", "--constraint", constraints, wanted)
    run(python, "-I", "-c", program, cwd=tmp_path)
