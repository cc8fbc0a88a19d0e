"""Making of a sweep: bases first, then their variants; the tables and the figure at the end.

An interrupted sweep leaves whole particles and the rows that were known: the same command makes
what is missing. Particles that are there and right are kept, and are measured again only if their
row is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...generator.pictures.rendering import Picture
from ...generator.requirements import missing
from ..datasets.making.engines import Engine
from ..files.lock import locked
from ..products.particle_folder import load
from ..products.product import Product
from . import figure, table
from .measures import Grains, Measured, differences, measured, paired
from .plan import SweepPlan, Variant
from .table import Row, Sweep
from .variant_task import Outcome, VariantTask

Show = Callable[[str, float], None]  # (what is going on, part of the work that is done)
WAIT_S = 1.0  # for another sweep of the same folder


def run(
    plan: SweepPlan,
    folder: Path,
    engine: Engine,
    *,
    products: Sequence[Product] = (),
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    show: Show | None = None,
) -> Sweep:
    """Make the particles of a sweep that are not there yet, its tables and its figure.

    Raises
    ------
    ExportError
        If something else is in the way and ``overwrite`` is not set, a product needs a package
        that is not installed, another command makes a sweep there, or files cannot be written.
    """
    for product in products:
        product.require()
    before = table.require_own(folder, plan, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait_s=WAIT_S):
        made = _Making(plan, folder, before)
        task = made.task(tuple(p.name for p in products), options or {}, overwrite)
        try:
            made.run(task, engine, show or _quiet)
        finally:
            sweep = Sweep(folder, made.rows)
            if made.outcomes:
                table.write(sweep, plan)
        if made.draws:
            figure.write(sweep, plan, made.pictures, folder / table.PICTURE)
        return sweep


def _quiet(message: str, part: float) -> None:
    pass


@dataclass(eq=False)
class _Making:
    """A sweep while it is made."""

    plan: SweepPlan
    folder: Path
    before: Mapping[str, Mapping[str, Any]]  # rows of an earlier run by their ids
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    grains: dict[str, Grains] = field(default_factory=dict)  # of bases
    pictures: dict[str, Picture] = field(default_factory=dict)

    @property
    def draws(self) -> bool:
        """Whether there is a figure."""
        return not missing("matplotlib")

    def task(
        self, products: tuple[str, ...], options: Mapping[str, Any], overwrite: bool
    ) -> VariantTask:
        """What makes a particle."""
        drawn = figure.shown(self.plan) if self.draws else []
        return VariantTask(
            folder=str(self.folder.resolve()),
            plan=self.plan,
            products=products,
            options=options,
            overwrite=overwrite,
            known={i: row["recipe_sha256"] for i, row in self._known().items()},
            drawn=frozenset(variant.id for variant in drawn),
        )

    def _known(self) -> dict[str, Mapping[str, Any]]:
        """Rows that need no measuring if their recipes are as they were: whole families of them.

        A variant that is new needs the grains of its base.
        """
        ids = [variant.id for variant in self.plan.variants]
        rows = {i: row for i, row in self.before.items() if row["measures"] is not None}
        incomplete = {v.base for v in self.plan.variants if v.id in set(ids) - rows.keys()}
        return {i: row for i, row in rows.items() if i not in incomplete}

    def run(self, task: VariantTask, engine: Engine, show: Show) -> None:
        """Make the bases, then their variants."""
        variants = self.plan.variants
        bases = [k for k, variant in enumerate(variants) if variant.is_base]
        others = [k for k, variant in enumerate(variants) if not variant.is_base]
        self._take(engine(task, bases), show)
        for k in others:
            base = self.outcomes[variants[k].base]
            if not base.recipe_sha256:
                self.outcomes[variants[k].id] = task.failed(k, f"its base failed: {base.error}")
        left = [k for k in others if variants[k].id not in self.outcomes]
        if left:
            self._take(engine(task, left), show)

    def _take(self, outcomes: Iterable[Outcome], show: Show) -> None:
        for outcome in outcomes:
            variant = self.plan.variants[outcome.number]
            self.outcomes[variant.id] = outcome
            if outcome.picture is not None:
                self.pictures[variant.id] = outcome.picture
            if outcome.recipe_sha256:
                self.measures[variant.id] = self._compared(variant, outcome.measured)
            done, n = len(self.outcomes), len(self.plan.variants)
            show(f"particle {done} of {n}", done / n)

    def _compared(self, variant: Variant, found: Measured | None) -> dict[str, Any]:
        """Measures of a particle, and what they differ by from those of its base."""
        if found is None:
            return dict(self.before[variant.id]["measures"])
        if variant.is_base:
            self.grains[variant.id] = found.grains
        elif variant.base not in self.grains:
            base = load(self.folder / variant.base)
            self.grains[variant.base] = measured(base).grains
        return {
            **found.measures,
            **differences(self.measures.get(variant.base, found.measures), found.measures),
            **paired(self.grains[variant.base], found.grains),
        }

    @property
    def rows(self) -> list[Row]:
        """What is known of each particle."""
        return [self._row(variant) for variant in self.plan.variants]

    def _row(self, variant: Variant) -> Row:
        outcome = self.outcomes.get(variant.id)
        if outcome is None:  # interrupted: what an earlier run has found stays
            old = self.before.get(variant.id)
            recipe = (old and old["recipe_sha256"]) or ""
            return Row(variant, "pending", "", recipe, old and old["measures"])
        measures = self.measures.get(variant.id)
        return Row(variant, outcome.state, outcome.error, outcome.recipe_sha256, measures)
