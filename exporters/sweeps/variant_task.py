"""One particle of a sweep: made or found finished, with its products; measured, and drawn."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...generator.errors import CathodegrainError, RecipeError
from ...generator.generate import regenerate
from ...generator.particle import Particle
from ...generator.pictures.rendering import Picture, render_cut
from ...generator.streams import DRAWS
from ..files.atomic import is_abandoned
from ..particles import metadata
from ..products import particle_folder
from .measures import Measured, measured
from .plan import SweepPlan, Variant

PIXELS = 300  # edge of the picture of the largest particle

State = Literal["made", "present", "failed", "pending"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a particle of a sweep.

    Parameters
    ----------
    number
        Of the variant in the plan.
    state
        "made" now, "present" before, or "failed".
    error
        Why it, or a product of it, could not be made.
    recipe_sha256
        Of its recipe, "" if it could not be made.
    measured, picture
        Where they were asked for.
    """

    number: int
    state: State
    error: str = ""
    recipe_sha256: str = ""
    measured: Measured | None = None
    picture: Picture | None = None


@dataclass(frozen=True)
class VariantTask:
    """Make a particle of a sweep, unless it is there; a task of any engine.

    Parameters
    ----------
    folder
        Of the sweep.
    plan
        What it makes.
    products, options
        Names of the products of every particle, and options of these.
    overwrite
        Whether what is in the way is replaced.
    known
        Ids of particles that have been measured, by the hash of their recipe.
    drawn
        Ids of those that the figure shows.
    """

    folder: str
    plan: SweepPlan
    products: tuple[str, ...]
    options: Mapping[str, Any]
    overwrite: bool
    known: Mapping[str, str]
    drawn: frozenset[str]

    def __call__(self, number: int) -> Outcome:
        """Make the particle with this number in the plan.

        Raises
        ------
        ExportError
            If another particle is in the way: that is no property of this one.
        """
        variant = self.plan.variants[number]
        folder = Path(self.folder, variant.id)
        self.sweep(number)
        try:
            particle = self._present(variant, folder)
            state: State = "made" if particle is None else "present"
            particle = particle or self._particle(variant)
        except (CathodegrainError, MemoryError) as error:
            return self.failed(number, _words(error))
        particle_folder.create_at(particle, folder, overwrite=self.overwrite)
        missing = self._products_error(folder)
        try:
            return self._looked_at(variant, particle, Outcome(number, state, missing))
        except (CathodegrainError, MemoryError) as other:
            return self.failed(number, _words(other))

    def _products_error(self, folder: Path) -> str:
        """Why products could not be written; "" if they are there."""
        try:
            if self.products:
                particle_folder.write_all(
                    folder, self.products, self.options, overwrite=self.overwrite
                )
        except (CathodegrainError, MemoryError) as error:
            return _words(error)
        return ""

    def _looked_at(self, variant: Variant, particle: Particle, outcome: Outcome) -> Outcome:
        recipe = recipe_sha256(Path(self.folder, variant.id))
        known = self.known.get(variant.id) == recipe
        return replace(
            outcome,
            state="failed" if outcome.error else outcome.state,
            recipe_sha256=recipe,
            measured=None if known else measured(particle),
            picture=render_cut(particle, PIXELS) if variant.id in self.drawn else None,
        )

    def _particle(self, variant: Variant) -> Particle:
        if variant.is_base:
            return self.plan.base(variant.source)
        base = particle_folder.load(Path(self.folder, variant.base))
        return regenerate(base, variant.values)

    def _present(self, variant: Variant, folder: Path) -> Particle | None:
        """The particle of the folder, if it is the one that belongs there."""
        card = self.plan.cards[variant.model]
        if not variant.is_base:
            card = card.with_parameters(variant.values)
        try:
            source = metadata.read(folder)["provenance"]
            found = [source[key] for key in ("model_sha256", "entropy", "index", "draws")]
            right = found == [card.sha256, variant.seed, variant.index, DRAWS]
            return particle_folder.load(folder) if right else None
        except RecipeError:
            return None

    def failed(self, number: int, why: str) -> Outcome:
        """Outcome of a particle that could not be made."""
        return Outcome(number, "failed", why)

    def sweep(self, number: int) -> None:
        """Remove what a killed process left of a particle."""
        folder = Path(self.folder, self.plan.variants[number].id)
        for path in folder.parent.glob(f".{folder.name}-*"):
            if is_abandoned(path.name):
                shutil.rmtree(path, ignore_errors=True)


def recipe_sha256(folder: Path) -> str:
    """Hash of the recipe of a particle's folder, as its metadata list it."""
    products = metadata.read(folder)["products"]
    return next(str(p["sha256"]) for p in products if p["path"] == particle_folder.RECIPE)


def _words(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"memory does not suffice ({error})"
    return str(error)
