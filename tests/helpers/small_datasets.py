"""Datasets of a few tiny particles, and their bytes."""

from pathlib import Path

from cathodegrain.exporters.datasets.config import from_fields
from cathodegrain.exporters.datasets.making.build import build
from cathodegrain.exporters.datasets.making.engines import in_this_process

FIELDS = {
    "name": "small",
    "model": "nmc811",
    "seed": 7,
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
DESCRIBED = {
    "name": "tiny",
    "title": "Tiny particles",
    "version": "1.0.0",
    "year": 2026,
    "model": "nmc811-radial",
    "seed": 7,
    "parameters": {"shell.diameter_um": 1.2, "grains.intensity": 0.002},
}


def made(folder, fields=FIELDS, **options):
    """Report of the build of a dataset into ``folder``."""
    engine = options.pop("engine", in_this_process)
    return build(from_fields(fields), Path(folder), engine, **options)


def make_dataset(root, count=4, **fields):
    """Folder of ``count`` particles with voxels but for the last, which has a recipe only."""
    products = {"voxels": {"pitch_um": 0.1, "count": max(1, count - 1)}}
    given = {**DESCRIBED, "count": count, "products": products, **fields}
    made(root, {name: value for name, value in given.items() if value is not None})
    return Path(root)


def contents(folder):
    """Bytes of all files below a folder, by name, sorted."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
