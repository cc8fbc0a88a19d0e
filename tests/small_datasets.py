"""Datasets of a few tiny particles."""

from pathlib import Path

from cathodegrain.exporters.datasets.config import from_fields
from cathodegrain.exporters.datasets.making.build import build
from cathodegrain.exporters.datasets.making.engines import in_this_process

FIELDS = {
    "name": "tiny",
    "title": "Tiny particles",
    "version": "1.0.0",
    "year": 2026,
    "model": "nmc811-radial",
    "entropy": 7,
    "parameters": {"shell.diameter_um": 1.2, "grains.intensity": 0.002},
}


def make_dataset(root, count=4, **fields):
    """``count`` particles with voxels but for the last, which has a recipe only."""
    products = {"voxels": {"pitch_um": 0.1, "count": max(1, count - 1)}}
    given = {**FIELDS, "count": count, "products": products, **fields}
    config = from_fields({name: value for name, value in given.items() if value is not None})
    build(config, Path(root), in_this_process)
    return Path(root)


def contents(folder):
    """Bytes of all files below a folder, by name."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
