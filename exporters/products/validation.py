"""What is wrong with a particle's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...generator.errors import RecipeError
from ..particles import metadata, recipe
from .particle_folder import RECIPE, ParticleFolder
from .registry import PRODUCTS

if TYPE_CHECKING:
    from ..certificate.gmsh_check import GmshCheck


def problems(folder: str | Path) -> list[str]:
    """Everything that is wrong with a particle's folder; empty if it is sound.

    Checks the metadata against its schema, every file against its hash, the recipe
    against the metadata, and that there is no product that is not listed, nor a temporary
    file of a killed process.
    """
    folder = Path(folder)
    try:
        found = ParticleFolder.read(folder)
    except RecipeError as error:
        return [str(error)]
    lines = [
        f"{entry['path']}: missing or changed since it was written"
        for entry in found.fields["products"]
        if not found.is_intact(entry)
    ]
    lines += [
        f"{name}: a product that {metadata.NAME} does not list; export it with --overwrite"
        for name in _unlisted_products(found)
    ]
    lines += [
        f"{path.name}: being written, or left by a killed process and then safe to delete"
        for path in sorted(folder.glob(".*.tmp*"))
    ]
    return lines + _recipe_problems(found)


def checked_with_gmsh(path: str | Path) -> GmshCheck:
    """What gmsh says of a mesh.msh, or of the one in a particle's folder.

    Raises
    ------
    ExportError
        As `check_with_gmsh` does.
    """
    from ..certificate.gmsh_check import check_with_gmsh

    path = Path(path)
    return check_with_gmsh(path / PRODUCTS["mesh"].file if path.is_dir() else path)


def unlisted(folder: str | Path) -> list[str]:
    """Files of a particle's folder that its metadata do not list, hidden ones left out.

    Notes of a user, results of a solver: they are nobody's fault.
    """
    root = Path(folder)
    listed = {entry["path"] for entry in metadata.read(root)["products"]} | {metadata.NAME}
    paths = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    there = [path.as_posix() for path in paths if not path.parts[0].startswith(".")]
    return [path for path in there if path not in listed]


def _unlisted_products(found: ParticleFolder) -> list[str]:
    """Files and folders of products that are there, of which nothing is listed."""
    listed = {entry["path"].partition("/")[0] for entry in found.fields["products"]}
    names = [product.file for product in PRODUCTS.values()]
    return [name for name in names if (found.path / name).exists() and name not in listed]


def _recipe_problems(found: ParticleFolder) -> list[str]:
    try:
        particle = recipe.read(found.path / RECIPE)
    except RecipeError as error:
        return [str(error)]
    lines = []
    if particle.n_grains != found.fields["n_grains"]:
        lines.append(f"n_grains: {found.fields['n_grains']}, the recipe has {particle.n_grains}")
    diameter = found.fields["shell"]["diameter"]["value"]
    if not np.isclose(particle.shell.diameter_um, diameter, rtol=1e-6):
        lines.append(f"shell.diameter: {diameter} um, the recipe has {particle.shell.diameter_um}")
    return lines
