"""The order of rooms: who may import whom, and what stands in each."""

import ast
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter

import pytest

from places import ROOT

# From the ground up: a module may import from its own room and from those before it.
ROOMS = [
    "schemas",
    "generator",  # errors, streams, rounding, progress, machine; and the pipeline, below
    "generator/shell",
    "generator/markers",
    "generator/grains",
    "generator/pictures",
    "generator/model_cards",
    "generator/voxels",
    "generator/measured",
    "generator/fitting",
    "generator/fitting/shells",
    "generator/fitting/sections",
    "generator/fitting/laws",
    "generator/fitting/grains",
    "exporters",
    "exporters/files",
    "exporters/particles",
    "exporters/pictures",
    "exporters/mesh",
    "exporters/certificate",
    "exporters/optimisation",
    "exporters/meshing",
    "exporters/surfaces",
    "exporters/sections",
    "exporters/fits",
    "exporters/fits/shells",
    "exporters/fits/grains",
    "exporters/fits/laws",
    "exporters/solvers",
    "exporters/labels",
    "exporters/products",
    "exporters/datasets",
    "exporters/datasets/reading",
    "exporters/datasets/describing",
    "exporters/datasets/making",
    "exporters/datasets/checking",
    "exporters/datasets/sharing",
    "exporters/datasets/streaming",
    "exporters/sweeps",
    "exporters/console",
    "exporters/commands",
    "api",
]
# Modules of generator/ that are made of its rooms: from a card to a particle.
PIPELINE = ["generator/model_card", "generator/particle", "generator/generate"]
# What programs of version 0.1.0 import, until version 0.3: it leads anywhere.
FORWARDS = ["exporters/__init__.py", "exporters/former.py"]
MOST_MODULES = 16
FILES = [
    path
    for top in ("schemas", "generator", "exporters", "api")
    for path in sorted((ROOT / top).rglob("*.py"))
    if path.parent.name != "decks"  # scripts that run in solvers
]
HEAVY = {
    "torch": [
        "api/exporting.py", "generator/devices.py", "generator/fitting/grains", "generator/grains",
        "generator/markers", "generator/voxels", "exporters/fits/grains",
        "exporters/datasets/streaming",
    ],
    "triton": ["generator/grains", "generator/voxels"],
    "gmsh": ["exporters/mesh/gmsh_session.py"],
    "meshio": ["exporters/mesh/conversions.py"],
    "pyvista": ["exporters/mesh/conversions.py", "exporters/surfaces/grain_surfaces.py"],
    "trimesh": ["exporters/surfaces"],
    "vtkmodules": ["exporters/surfaces/preview.py"],
    "matplotlib": [
        "generator/pictures/plotting.py", "exporters/pictures", "exporters/products/report.py",
        "exporters/sections", "exporters/sweeps", "exporters/fits",
    ],
    "requests": ["exporters/datasets/reading/http_files.py"],
    "pyarrow": ["exporters/datasets"],
    "distributed": ["exporters/datasets/making/engines.py"],
    "submitit": ["exporters/datasets/making/engines.py"],
    "orix": ["exporters/sections/ebsd_map.py", "generator/fitting/sections/ebsd.py"],
    "cyclopts": ["exporters/commands", "exporters/console"],
    "rich": ["exporters/commands", "exporters/console"],
}  # fmt: skip
SLOW_TO_IMPORT = {"numpy", "numba", "h5py", "scipy", "xarray", "jsonschema", *HEAVY} - {"cyclopts"}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def module_of(path):
    """Dotted name under which a file is installed."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts[1:] if parts[0] == "api" else parts
    return ".".join(["cathodegrain", *(parts[:-1] if parts[-1:] == ["__init__"] else parts)])


MODULES = {module_of(path): path for path in FILES}


def nodes(path, top_level_only):
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def imported(path, top_level_only=False):
    """Absolute dotted names that the file imports, relative ones resolved."""
    package = module_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    names = set()
    for node in nodes(path, top_level_only):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return names


def own_modules(names):
    """Files of this project among imported names."""
    for name in names:
        found = MODULES.get(name) or MODULES.get(name.rpartition(".")[0])
        if found is not None:
            yield found


def room_of(path):
    return name_of(path.parent)


def floor_of(path):
    """Place in the order; the pipeline stands above the rooms of generator/ that it uses."""
    stem = name_of(path.with_suffix(""))
    if stem in PIPELINE:
        return ROOMS.index("generator/model_cards") + (1 + PIPELINE.index(stem)) / 10
    return ROOMS.index(room_of(path))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path):
    for name in imported(path):
        assert name.split(".")[0] not in ("schemas", "generator", "exporters", "api"), name
    for other in own_modules(imported(path)) if name_of(path) not in FORWARDS else ():
        down = floor_of(other) <= floor_of(path)
        assert down, f"{name_of(path)} imports {name_of(other)}, which stands above it"


def test_there_is_no_circle_of_imports():
    paths = [path for path in FILES if name_of(path) not in FORWARDS]
    graph = {path: set(own_modules(imported(path))) - {path} for path in paths}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(map(name_of, error.args[1])))


def test_every_room_stands_in_the_order_and_is_small():
    modules = defaultdict(list)
    for path in FILES:
        modules[room_of(path)].append(path.name)
    assert set(modules) == set(ROOMS)
    for room, names in modules.items():
        assert len(names) - 1 <= MOST_MODULES, room
        first = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text("utf-8")))
        assert first, f"{room}/__init__.py does not say what lives there"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_packages_are_imported_only_where_they_are_used(path):
    for name in imported(path):
        homes = HEAVY.get(name.split(".")[0], [name_of(path)])
        at_home = any(
            name_of(path) == home or name_of(path).startswith(f"{home}/") for home in homes
        )
        assert at_home, f"{name} is imported in {name_of(path)}, expected in {homes}"


@pytest.mark.parametrize("room", ["api", "exporters/commands", "exporters/console"])
def test_neither_face_nor_commands_import_anything_heavy_before_they_are_used(room):
    for path in FILES:
        if room != "api" or path.name in ("__init__.py", "__main__.py"):
            names = {name.split(".")[0] for name in imported(path, top_level_only=True)}
            assert room_of(path) != room or not names & SLOW_TO_IMPORT, name_of(path)


def test_tests_mirror_the_rooms():
    """The tests of a module are found by its name, ``test_<module>.py`` or longer."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        room = ROOT / path.parent.relative_to(ROOT / "tests")
        if room in (ROOT, ROOT / "benchmarks"):
            continue
        modules = {p.stem for p in room.glob("*.py")} | {room.name, "face", "notebooks"}
        stem = path.stem.removeprefix("test_")
        assert any(stem == m or stem.startswith(f"{m}_") for m in modules), name_of(path)


def test_all_packages_are_listed_for_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert set(settings["packages"]) == {
        module for module, path in MODULES.items() if path.name == "__init__.py"
    }
    for top in ("schemas", "generator", "exporters", "api"):
        assert (ROOT / top / "py.typed").is_file()


def test_no_pickle_and_no_shell():
    for path in FILES:
        text = path.read_text("utf-8")
        for forbidden in ("import pickle", "allow_pickle=True", "shell=True", "os.system", "eval("):
            assert forbidden not in text.replace("_eval(", ""), f"{forbidden} in {name_of(path)}"
