"""Datasets of a few tiny particles."""

import json
from pathlib import Path

import pandas as pd

from cathodegrain.exporters.datasets import layout, manifest
from cathodegrain.exporters.particle_folder import add, create
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard

PARAMETERS = {"shell.diameter_um": 1.2, "grains.intensity": 0.002}


def make_dataset(root, count=4):
    """``count`` particles with voxels but for the last, which has a recipe only."""
    root = Path(root)
    card = ModelCard.load("nmc811").with_parameters(PARAMETERS)
    rows = []
    for index in range(count):
        folder = create(
            generate_particle(card, 7, index), root / layout.particle_path(index) / ".."
        )
        if index < count - 1:
            add(folder, "voxels", spacing_um=0.1)
        fields = json.loads((folder / "particle.json").read_text("utf-8"))
        shell = fields["shell"]
        rows.append({
            "id": fields["id"],
            "n_grains": fields["n_grains"],
            "diameter_um": shell["diameter"]["value"],
            "sphericity": shell["sphericity"]["value"],
        })  # fmt: skip
    (root / "index").mkdir()
    pd.DataFrame(rows).to_parquet(root / layout.PARTICLE_INDEX)
    (root / layout.DATASET).write_text('{"name": "tiny"}\n', "utf-8")
    (root / layout.README).write_text("# Tiny\n", "utf-8")
    manifest.write(manifest.hashes(root), root)
    return root


def contents(folder):
    """Bytes of all files below a folder, by name."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
