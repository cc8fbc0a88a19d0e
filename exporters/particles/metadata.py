"""particle.json: what a particle is, what it was made from, which files belong to it.

The document follows ``schemas/particle-1.0.0.schema.json``. It is written last: its
presence says that the folder is complete.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from ... import schemas
from ...generator.errors import RecipeError
from ...generator.particle import Particle
from ...generator.shell.shell import Shell
from ..files.atomic import replacing
from ..files.provenance import generator_name, sha256, version
from . import renamed
from .recipe import derivation_fields

NAME = "particle.json"
PACKAGES = ("numpy", "scipy", "numba", "h5py")


def document(particle: Particle) -> dict[str, Any]:
    """Content of particle.json, without products."""
    source = particle.provenance
    return {
        "schema": "cathodegrain/particle",
        "schema_version": "1.0.0",
        "id": particle.id,
        "length_unit": "um",
        "n_grains": particle.n_grains,
        "shell": _shell_fields(particle.shell),
        "provenance": {
            "generator": generator_name(),
            "model": source.card.name,
            "model_sha256": source.card.sha256,
            "draws": source.draws,
            "entropy": source.seed,
            "index": source.index,
            "bit_generator": "Philox",
            "shell_attempt": source.shell_attempt,
            "shells_rejected": dict(source.shells_rejected),
            "versions": {"python": platform.python_version()} | _versions(),
            "platform": f"{platform.system()} {platform.machine()}",
            "wasDerivedFrom": source.derivation and derivation_fields(source.derivation),
        },
        "products": [],
        "model_card": dict(source.card.document),
    }


def _shell_fields(shell: Shell) -> dict[str, Any]:
    quantities = {
        "diameter": (shell.diameter_um, "um"),
        "volume": (shell.volume_um3, "um^3"),
        "area": (shell.area_um2, "um^2"),
        "sphericity": (shell.sphericity, "1"),
        "max_radius": (shell.radius_bounds[1], "um"),
    }
    return {
        name: {"value": float(f"{value:.9g}"), "unit": unit}
        for name, (value, unit) in quantities.items()
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def product(folder: Path, path: Path, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Entry of one file of ``folder`` in particle.json."""
    return {
        "path": path.relative_to(folder).as_posix(),
        "format": name,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "options": options,
    }


def write(fields: dict[str, Any], folder: Path) -> Path:
    """Write particle.json into ``folder``, replacing an older one at once."""
    text = json.dumps(fields, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with replacing(folder / NAME) as temporary:
        Path(temporary).write_text(text, "utf-8")
    return folder / NAME


def read(folder: str | Path) -> dict[str, Any]:
    """Validated particle.json of a particle's folder.

    Raises
    ------
    RecipeError
        If it is missing, or lists every way in which it is not valid.
    """
    path = Path(folder) / NAME
    if Path(folder).is_file():
        msg = f"{folder} is a file, expected the folder of a particle, for example p000000"
        raise RecipeError(msg)
    try:
        fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        msg = f"{folder} holds no {NAME}; expected the folder of a particle, for example p000000"
        raise RecipeError(msg) from error
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path} cannot be read ({error}); generate the particle again"
        raise RecipeError(msg) from error
    if problems := schemas.problems(fields, "particle"):
        msg = f"{path} is not valid:\n  " + "\n  ".join(problems)
        raise RecipeError(msg)
    return fields | {"products": list(map(_renamed, fields["products"]))}


def _renamed(product: dict[str, Any]) -> dict[str, Any]:
    """Entry of a product under the names of today."""
    options = {renamed.OPTIONS.get(k, k): value for k, value in product["options"].items()}
    name = renamed.PRODUCTS.get(product["format"], product["format"])
    return product | {"format": name, "options": options}
