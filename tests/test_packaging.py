"""The wheel, installed where the repository is not, makes a particle."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = """
import json, sys
from cathodegrain.exporters.cli import main
from cathodegrain.generator.model_card import shipped_cards
assert shipped_cards() == ["nmc-electrode-ct", "nmc811", "nmc811-radial"], shipped_cards()
assert main(["generate", "--seed", "7", "--set", "shell.diameter_um=1.5", "--out", "particles",
             "--export", "voxels,vti"]) == 0
assert main(["validate", "particles/p000000"]) == 0
assert main(["export", "particles/p000000", "--to", "mesh"]) == 2  # gmsh is an extra
assert main(["dataset", "fetch", "http://127.0.0.1:9", "--out", "part"]) == 2  # so are its packages
assert not {"torch", "gmsh", "matplotlib", "trimesh"} & set(sys.modules)
import xarray
assert int(xarray.open_dataset("particles/p000000/voxels.vtkhdf").grain_id.max()) > 5
"""


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment_outside_the_repository(tmp_path):
    def run(*argv, **options):
        return subprocess.run(argv, check=True, cwd=tmp_path, timeout=900, **options)

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    installed = run(python, "-m", "pip", "list", stdout=subprocess.PIPE, text=True).stdout
    assert "torch" not in installed
    assert "gmsh" not in installed
    run(python, "-I", "-c", PROGRAM)
