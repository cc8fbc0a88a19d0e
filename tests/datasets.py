"""Small datasets that several test files build, and their bytes."""

from pathlib import Path

from cathodegrain.exporters.datasets import config
from cathodegrain.exporters.datasets.making import build
from cathodegrain.exporters.datasets.making.engines import in_this_process

FIELDS = {
    "name": "small",
    "model": "nmc811",
    "entropy": 7,
    "count": 5,
    "parameters": {"shell": {"diameter_um": 1.2}},
    "products": {"voxels": {"pitch_um": 0.1}},
}
TOML = """
name = "small"
model = "nmc811"
seed = 7
count = 5
[parameters]
shell.diameter_um = 1.2
[products.voxels]
pitch_um = 0.1
"""
# about half of the particles hold no voxel of this size
FAILING = {
    "name": "failing",
    "model": "nmc811",
    "count": 8,
    "parameters": {"grains": {"intensity": 0.00005}},
    "products": {"voxels": {"pitch_um": 6.0}},
}


def made(folder, fields=FIELDS, **options):
    """Folder of a dataset, and the report of its build."""
    plan = config.from_fields(fields)
    return build.build(plan, Path(folder), options.pop("engine", in_this_process), **options)


def contents(folder):
    """Every file below a folder, by name."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
