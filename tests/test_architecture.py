import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["schemas", "generator", "exporters"]  # each may import itself and its left
FILES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
HEAVY = {
    "torch": {
        "generator/voxels/labelling_torch.py",
        "exporters/fits/grains/folder.py",
        "generator/fitting/grains/checkpoints.py",
        "generator/fitting/grains/networks.py",
        "generator/fitting/grains/soft_images.py",
        "generator/fitting/grains/planar_fit.py",
        "generator/fitting/grains/training.py",
    },
    "gmsh": {"exporters/mesh/msh_file.py"},
    "trimesh": {"exporters/surfaces/grain_surfaces.py", "exporters/surfaces/closed_files.py"},
    "matplotlib": {
        "exporters/fits/grains/figures.py",
        "exporters/fits/page_figures.py",
        "exporters/products/report.py",
        "exporters/sections/drawing.py",
        "exporters/sections/picture.py",
        "exporters/fits/shells/figures.py",
    },
    "requests": {"exporters/datasets/reading/http_files.py"},
    "pyarrow": {"exporters/datasets/columns.py", "exporters/datasets/making/index.py"},
    "distributed": {"exporters/datasets/making/engines.py"},
    "submitit": {"exporters/datasets/making/engines.py"},
    "orix": {"exporters/sections/ebsd_map.py", "generator/fitting/sections/ebsd.py"},
}


def imported(path, top_level_only=False):
    """Absolute dotted names that the file imports, relative ones resolved."""
    package = ["cathodegrain", *path.relative_to(ROOT).parent.parts]
    tree = ast.parse(path.read_text("utf-8"))
    names = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return names


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_left(path):
    own = LAYERS.index(path.relative_to(ROOT).parts[0])
    for name in imported(path):
        assert name.split(".")[0] not in LAYERS, f"write cathodegrain.{name}"
        for right in LAYERS[own + 1 :]:
            assert not name.startswith(f"cathodegrain.{right}"), f"{LAYERS[own]} imports {right}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_packages_are_imported_only_where_they_are_used(path):
    for name in imported(path):
        package = name.split(".")[0]
        assert name_of(path) in HEAVY.get(package, {name_of(path)}), f"{package} imported here"


def test_command_line_imports_nothing_heavy_before_a_command_runs():
    names = set()
    for module in (
        "__init__", "cli", "products", "settings", "fit_commands", "section_commands",
        "grain_fit_commands", "section_input", "dataset_commands", "dataset_delivery_commands",
    ):  # fmt: skip
        names |= imported(ROOT / "exporters" / f"{module}.py", top_level_only=True)
    heavy = {"numpy", "numba", "h5py", "scipy", "xarray", "jsonschema", *HEAVY}
    assert not {name.split(".")[0] for name in names} & heavy


def test_all_packages_are_listed_for_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    found = {
        ".".join(["cathodegrain", *path.relative_to(ROOT).parent.parts])
        for path in FILES
        if path.name == "__init__.py"
    }
    assert set(settings["packages"]) == found
    assert all((ROOT / layer / "py.typed").is_file() for layer in LAYERS)


def test_no_pickle_and_no_shell():
    for path in FILES:
        text = path.read_text("utf-8")
        for forbidden in ("import pickle", "allow_pickle=True", "shell=True", "os.system", "eval("):
            assert forbidden not in text.replace("_eval(", ""), f"{forbidden} in {name_of(path)}"
