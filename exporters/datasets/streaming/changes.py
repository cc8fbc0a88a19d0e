"""Parameters of the model that each particle of a stream draws for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any
from zlib import crc32

import numpy as np

from ....generator.errors import DatasetError
from ....generator.model_card import ModelCard
from ....generator.streams import stream

# Values or ranges of parameters, or a function that draws them.
Changes = Mapping[str, Any] | Callable[[np.random.Generator], Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class DrawnCards:
    """Model card of every particle of a series, some parameters drawn for each.

    Parameters
    ----------
    card
        What is changed.
    seed
        Seed of the series.
    changes
        A value for each parameter, or a pair of numbers (low, high) to draw from, uniform; or a
        function of a generator that returns values. Each range has random numbers of its own:
        another one beside it does not change what is drawn from it.

    Raises
    ------
    ModelCardError
        For an unknown parameter, or an end of a range that is not allowed.
    DatasetError
        For changes of another kind, or a range whose low end is above the high one.

    Examples
    --------
    >>> cards = DrawnCards(ModelCard.load("nmc811"), 7, {"grains.elongation": (0.8, 2.0)})
    >>> [round(cards.values(particle)["grains.elongation"], 3) for particle in (0, 1)]
    [1.918, 1.757]
    """

    card: ModelCard
    seed: int
    changes: Changes

    def __post_init__(self) -> None:
        if callable(self.changes):
            return
        _require_mapping(self.changes, "changes are")
        for name, value in self.changes.items():
            if _is_range(value) and not value[0] <= value[1]:
                msg = f"{name} is drawn from {value}, expected (low, high)"
                raise DatasetError(msg)
        for end in (0, 1):
            self.card.with_parameters(
                {name: v[end] if _is_range(v) else v for name, v in self.changes.items()}
            )

    def values(self, particle: int) -> dict[str, Any]:
        """Parameters that a particle has drawn."""
        if callable(self.changes):
            drawn = self.changes(stream(self.seed, particle, "changes"))
            _require_mapping(drawn, "changes returned")
            return {name: _plain(value) for name, value in drawn.items()}
        return {name: self._value(name, value, particle) for name, value in self.changes.items()}

    def changed(self, values: Mapping[str, Any]) -> ModelCard:
        """Card with the parameters that a particle has drawn."""
        return self.card.with_parameters(values) if values else self.card

    def _value(self, name: str, value: Any, particle: int) -> Any:
        if not _is_range(value):
            return _plain(value)
        low, high = map(float, value)
        rng = stream(self.seed, particle, "changes", crc32(name.encode()))
        return low + (high - low) * rng.random()  # `uniform` may round otherwise elsewhere


def _require_mapping(found: Any, what: str) -> None:
    if not isinstance(found, Mapping):
        msg = f"{what} {found!r}, expected a dictionary of parameters"
        raise DatasetError(msg)


def _is_range(value: Any) -> bool:
    is_pair = isinstance(value, tuple | list) and len(value) == 2
    return is_pair and all(isinstance(end, Real) for end in value)


def _plain(value: Any) -> Any:
    """A number or text of NumPy as one of Python, as model cards have them."""
    return value.item() if isinstance(value, np.generic) else value
