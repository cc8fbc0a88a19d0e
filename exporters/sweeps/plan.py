"""What a sweep is to make: its base particles, and a variant for each point of the grid.

A parameter with one value is set in all particles, the bases included; those with several span
the grid, unless none has several: then the grid has one point. The point of the grid that is the
base itself is not made twice.

The folder of a variant is called after the particle and what was changed, without the section of
the parameter: ``p000007-size_um-0.35``; of several models or seeds these come first,
``nmc811-s3-p000000-size_um-0.35``. Names hold letters, digits, dots and hyphens only, and no two
differ by case alone.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

from ...generator.errors import GenerationError, ModelCardError
from ...generator.generate import (
    generate_particle,
    regenerate,
    require_room_for_grains,
    require_same_draws,
)
from ...generator.model_card import ModelCard
from ...generator.particle import Particle
from ...generator.shell.shell import Shell
from ...generator.streams import stream
from ..products.particle_folder import load

MOST_VARIANTS = 1000
SIZES = {"grains.size_um", "grains.scale"}
PAIRED = "give a particle to vary, or --model and --seeds to draw some, not both"


@dataclass(frozen=True)
class Variant:
    """One particle of a sweep.

    Parameters
    ----------
    id
        Name of its folder.
    base
        Id of the particle that it is compared with; its own if it is a base.
    model
        Name of the model, as in the ids.
    seed, index
        Of the particle.
    source
        Number of what its base is made of: of the particle, or of the model and seed.
    values
        Of the parameters that span the grid, by their names; those of the model for a base.
    """

    id: str
    base: str
    model: str
    seed: int
    index: int
    source: int
    values: Mapping[str, Any]

    @property
    def is_base(self) -> bool:
        """Whether others are compared with it."""
        return self.id == self.base


@dataclass(frozen=True)
class SweepPlan:
    """A sweep; small, since every task of an engine carries it.

    Parameters
    ----------
    parent
        Folder of the particle that is varied; None where some are drawn.
    models
        Models to draw from, by their names in ids.
    seeds
        Of these particles, all with the index 0.
    fixed
        Parameters of all particles.
    grid
        Values of the others.
    """

    parent: str | None
    models: Mapping[str, ModelCard]
    seeds: tuple[int, ...]
    fixed: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]

    def __getstate__(self) -> dict[str, Any]:
        """What a task takes with it: no list of all variants."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def sources(self) -> list[tuple[str, int, int]]:
        """Name of the model, seed and index of each base."""
        if self.parent is not None:
            source = load(self.parent).provenance
            return [(source.card.name, source.seed, source.index)]
        return [(name, seed, 0) for name, seed in product(self.models, self.seeds)]

    @cached_property
    def cards(self) -> dict[str, ModelCard]:
        """Cards of the bases by the names of their models."""
        models = dict(self.models)
        if self.parent is not None:
            card = load(self.parent).provenance.card
            models = {card.name: card}
        return {name: card.with_parameters(self.fixed) for name, card in models.items()}

    @cached_property
    def variants(self) -> list[Variant]:
        """All particles of the sweep: each base, followed by its variants."""
        found = [v for number in range(len(self.sources)) for v in self._variants(number)]
        twice = [name for name, n in Counter(v.id.lower() for v in found).items() if n > 1]
        if twice:
            msg = f"two variants would be called {twice[0]}; give values that differ more"
            raise ModelCardError(msg)
        return found

    def _variants(self, number: int) -> Iterator[Variant]:
        name, seed, index = self.sources[number]
        base = f"p{index:06d}" if len(self.sources) == 1 else f"{name}-s{seed}-p{index:06d}"
        start = {key: self.cards[name].parameter(key) for key in self.grid}
        yield Variant(base, base, name, seed, index, number, start)
        points = product(*self.grid.values()) if self.grid else ()
        for values in (dict(zip(self.grid, point, strict=True)) for point in points):
            if values != start:
                yield Variant(_id(base, values), base, name, seed, index, number, values)

    def shell(self, variant: Variant) -> Shell:
        """Shell of a variant.

        Raises
        ------
        GenerationError
            If the draw of its base makes none.
        """
        card = self.cards[variant.model]
        if not variant.is_base:
            card = card.with_parameters(
                {key: v for key, v in variant.values.items() if key.startswith("shell.")}
            )
        draws = partial(stream, variant.seed, variant.index, "shell")
        attempt = None if self.parent is None else load(self.parent).provenance.shell_attempt
        return card.shell.sample(
            draws, first_attempt=attempt or 0, max_attempts=1000 if attempt is None else 1
        ).shell

    def base(self, source: int) -> Particle:
        """The base that others of a source are compared with.

        Raises
        ------
        CathodegrainError
            If it cannot be drawn, or its particle cannot be read.
        """
        if self.parent is None:
            name, seed, index = self.sources[source]
            return generate_particle(self.cards[name], seed, index)
        parent = load(self.parent)
        return regenerate(parent, self.fixed) if self.fixed else parent


def planned(
    parent: str | Path | None,
    parameters: Mapping[str, Sequence[Any]],
    models: Sequence[str | Path | ModelCard] | None = None,
    seeds: Sequence[int] | None = None,
) -> SweepPlan:
    """Sweep over the values of parameters; everything that can be is checked.

    Raises
    ------
    ModelCardError
        For an unknown parameter, a value that is not allowed, none, or one that stands twice; if
        two models have one name, or there are too many variants.
    GenerationError
        If nothing is varied, both a particle and models are given, or a particle is of draws that
        this program does not make.
    RecipeError
        If there is no such particle.
    """
    several = {key: tuple(values) for key, values in parameters.items()}
    for key, values in several.items():
        _require_values(key, values)
    grid = {k: v for k, v in several.items() if len(v) > 1} or several
    fixed = {k: v[0] for k, v in several.items() if k not in grid}
    if parent is not None:
        if models is not None or seeds is not None:
            raise GenerationError(PAIRED)
        require_same_draws(load(parent))
    plan = SweepPlan(
        None if parent is None else str(parent),
        _named(["nmc811"] if models is None else models) if parent is None else {},
        tuple(seeds if seeds is not None else (0,)),
        fixed,
        grid,
    )
    if not grid and len(plan.sources) < 2:
        msg = (
            "nothing is varied; give --set NAME=VALUE,VALUE,... or, without a particle, several "
            "--model or --seeds"
        )
        raise GenerationError(msg)
    _require_few(plan)
    for card in plan.cards.values():
        _require_allowed(card, grid)
    _require_room(plan)
    return plan


def _named(models: Sequence[str | Path | ModelCard]) -> dict[str, ModelCard]:
    """Cards by the names that ids have."""
    found: dict[str, ModelCard] = {}
    for model in models:
        card = model if isinstance(model, ModelCard) else ModelCard.load(model)
        name = card.name if isinstance(model, ModelCard) else _safe(Path(model).stem)
        if name in found:
            msg = f"two models are called {name!r}; give each once, or rename a file"
            raise ModelCardError(msg)
        found[name] = card
    return found


def _require_values(key: str, values: tuple[Any, ...]) -> None:
    if not values:
        msg = f"{key} has no value, expected some, for example {key}=0.2,0.5"
        raise ModelCardError(msg)
    texts = [json.dumps(value) for value in values]
    if twice := [text for text, n in Counter(texts).items() if n > 1]:
        msg = f"{key}: {twice[0]} stands twice, expected different values"
        raise ModelCardError(msg)


def _require_few(plan: SweepPlan) -> None:
    points = math.prod(map(len, plan.grid.values())) if plan.grid else 1
    n = points * len(plan.sources)
    if n > MOST_VARIANTS:
        factors = [f"{len(values)} values of {key}" for key, values in plan.grid.items()]
        factors += [f"{len(plan.sources)} particles"] if len(plan.sources) > 1 else []
        msg = (
            f"{' x '.join(factors)} make {n} variants, expected at most {MOST_VARIANTS}; give "
            "fewer values, or build datasets"
        )
        raise ModelCardError(msg)


def _require_allowed(card: ModelCard, grid: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse values that are not allowed by themselves; what is not together fails when made."""
    if {"grains.size_um", "grains.scale"} <= grid.keys():
        card.with_parameters({key: values[0] for key, values in grid.items()})  # says so
    if "grains.size_um" in grid and "size" not in card.grains:
        card = card.with_size()  # once, not for every value
    for key, values in grid.items():
        for value in values:
            card.with_parameters({key: value})


def _require_room(plan: SweepPlan) -> None:
    """Refuse grains larger than a base's shell, unless shells are varied as well."""
    largest = {key: max(plan.grid[key]) for key in SIZES & plan.grid.keys()}
    if not largest or any(key.startswith("shell.") for key in plan.grid):
        return
    for base in (variant for variant in plan.variants if variant.is_base):
        card = plan.cards[base.model]
        try:
            shell = plan.shell(base)
        except GenerationError:  # said when the base is made
            continue
        if "size" in card.grains:
            require_room_for_grains(card.with_parameters(largest), shell)


def _id(base: str, values: Mapping[str, Any]) -> str:
    changes = [f"{key.partition('.')[2]}-{_safe(_text(value))}" for key, value in values.items()]
    return "-".join([base, *changes])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text)
