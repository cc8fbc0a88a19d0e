"""Folders of particles: made whole or not at all, never overwritten unasked, checkable."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...generator.errors import ExportError, RecipeError
from ...generator.particle import Particle
from ...generator.progress import Progress
from ..files.atomic import reason, replacing_folder
from ..files.provenance import sha256
from ..particles import metadata, recipe
from .registry import FORMATS, MESH_SIZES, export

if TYPE_CHECKING:
    from ..mesh.volume_mesh import VolumeMesh
    from .voxels import Voxels

RECIPE = recipe.NAME


def create(particle: Particle, out: str | Path, *, overwrite: bool = False) -> Path:
    """Folder ``out/<id>`` with recipe and metadata of ``particle``.

    A folder that already holds this very particle is left as it is.

    Raises
    ------
    ExportError
        If the folder holds something else and ``overwrite`` is not set, or cannot be
        written.
    """
    folder = Path(out) / particle.id
    if holds(folder, particle):
        return folder
    if folder.exists() and not overwrite:
        msg = (
            f"{folder} already holds a different particle or other files; choose another "
            "--out, or --overwrite to replace it"
        )
        raise ExportError(msg)
    with replacing_folder(folder) as temporary:
        fill(particle, temporary)
    return folder


def fill(particle: Particle, folder: Path) -> None:
    """Write recipe and metadata of ``particle`` into an empty folder."""
    path = recipe.write(particle, folder / RECIPE)
    fields = metadata.document(particle)
    fields["products"] = [metadata.product(folder, path, "recipe", {})]
    metadata.write(fields, folder)


def holds(folder: Path, particle: Particle) -> bool:
    """Whether ``folder`` is complete and holds exactly this particle, its recipe undamaged."""
    if not (folder / metadata.NAME).is_file():
        return False
    try:
        found = metadata.read(folder)
    except RecipeError:
        return False
    expected = metadata.document(particle)
    keys = ("model_sha256", "entropy", "index", "shell_attempt", "wasDerivedFrom")
    same = all(found["provenance"][k] == expected["provenance"][k] for k in keys)
    same = same and found["n_grains"] == expected["n_grains"]
    return same and _has_own_recipe(folder, found)


def load(folder: str | Path) -> Particle:
    """Particle of a folder, or of a recipe file named directly.

    Raises
    ------
    RecipeError
        If there is no recipe, it cannot be read, or it is not the one that the folder's
        metadata lists.
    """
    path = Path(folder)
    if not path.is_dir():
        return recipe.read(path)
    particle = recipe.read(path / RECIPE)
    if (path / metadata.NAME).is_file() and not _has_own_recipe(path, metadata.read(path)):
        msg = (
            f"{path / RECIPE} was changed since it was written, expected the sha256 that "
            f"{metadata.NAME} lists; generate the particle again"
        )
        raise RecipeError(msg)
    return particle


def _has_own_recipe(folder: Path, fields: dict[str, Any]) -> bool:
    """Whether the recipe is there as the metadata list it."""
    recipes = [p for p in fields["products"] if p["path"] == RECIPE]
    return bool(recipes) and all(_intact(folder, p) for p in recipes)


def add(
    folder: str | Path,
    name: str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    particle: Particle | None = None,
    **options: Any,
) -> Path:
    """Write one product into a particle's folder and list it in particle.json.

    A product that is there already, made with the same options and unchanged since, is
    left as it is. ``particle`` is the one of the folder, if it is at hand.

    Raises
    ------
    ExportError
        If another file is in the way and ``overwrite`` is not set, or the export fails.
    """
    folder = Path(folder)
    fields = metadata.read(folder)
    listed = [p for p in fields["products"] if p["format"] == name]
    if name in FORMATS and (target := folder / FORMATS[name].file).exists() and not overwrite:
        intact = bool(listed) and all(_intact(folder, p) for p in listed)
        if intact and all(p["options"] == options for p in listed):
            return target
        made = f"made with {listed[0]['options']}" if intact else f"not as {metadata.NAME} lists it"
        msg = f"{target} exists, {made}; --overwrite to replace it"
        raise ExportError(msg)
    try:
        mesh = _mesh_at_hand(folder, fields, name, options)
        voxels = _voxels_at_hand(folder, fields, name, options)
        particle = particle or load(folder)
        target = export(
            particle, folder, name, progress=progress, mesh=mesh, voxels=voxels, **options
        )
    except OSError as error:
        msg = (
            f"{name} cannot be written into {folder} ({reason(error)}); is it writable, is there "
            "space?"
        )
        raise ExportError(msg) from error
    files = sorted(p for p in target.rglob("*") if p.is_file()) if target.is_dir() else [target]
    entries = [metadata.product(folder, path, name, options) for path in files]
    if FORMATS[name].summarised:
        module = import_module(FORMATS[name].module, "cathodegrain.exporters")
        entries[0]["summary"] = module.summary(target)
    others = [p for p in fields["products"] if p["format"] != name]
    metadata.write(fields | {"products": _in_order([*others, *entries])}, folder)
    return target


def _in_order(products: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The recipe, then the others by name: the same whichever was made first."""
    return sorted(products, key=lambda p: (p["path"] != RECIPE, p["format"], p["path"]))


def _mesh_at_hand(
    folder: Path, fields: dict[str, Any], name: str, options: dict[str, Any]
) -> VolumeMesh | None:
    """The folder's own ``mesh.msh``, if ``name`` is made of a mesh and it has the right sizes."""
    if name == "mesh" or name not in FORMATS or not FORMATS[name].meshed:
        return None
    plain = {"order": 1, "interfaces": "bonded"}
    for product in fields["products"]:
        made = product["options"]
        same = all(made.get(key) == options.get(key) for key in MESH_SIZES)
        same &= all(made.get(key, value) == value for key, value in plain.items())
        if product["format"] == "mesh" and same and _intact(folder, product):
            from .mesh import read

            return read(folder / product["path"])
    return None


def _voxels_at_hand(
    folder: Path, fields: dict[str, Any], name: str, options: dict[str, Any]
) -> Voxels | None:
    """The folder's own voxels, if ``name`` is made of labels and they have its spacing."""
    if name not in FORMATS or not FORMATS[name].labelled:
        return None
    for product in fields["products"]:
        same = product["options"].get("spacing_um") == options.get("spacing_um")
        if product["format"] == "voxels" and same and _intact(folder, product):
            from .voxels import read

            return read(folder / product["path"])
    return None


def _intact(folder: Path, product: dict[str, Any]) -> bool:
    path = folder / product["path"]
    return path.is_file() and sha256(path) == product["sha256"]


def problems(folder: str | Path) -> list[str]:
    """Everything that is wrong with a particle's folder; empty if it is sound.

    Checks the metadata against its schema, every file against its hash, the recipe
    against the metadata, and that no killed process left a temporary file.
    """
    folder = Path(folder)
    try:
        fields = metadata.read(folder)
    except RecipeError as error:
        return [str(error)]
    found = [
        f"{product['path']}: missing or changed since it was written"
        for product in fields["products"]
        if not _intact(folder, product)
    ]
    found += [
        f"{path.name}: being written, or left by a killed process and then safe to delete"
        for path in sorted(folder.glob(".*.tmp*"))
    ]
    try:
        particle = recipe.read(folder / RECIPE)
    except RecipeError as error:
        return [*found, str(error)]
    if particle.n_grains != fields["n_grains"]:
        found.append(f"n_grains: {fields['n_grains']}, the recipe has {particle.n_grains}")
    diameter = fields["shell"]["diameter"]["value"]
    if not np.isclose(particle.shell.diameter_um, diameter, rtol=1e-6):
        found.append(f"shell.diameter: {diameter} um, the recipe has {particle.shell.diameter_um}")
    return found
