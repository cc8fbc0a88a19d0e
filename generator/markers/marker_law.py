"""Marker laws: what turns marked seed points into the markers (D_i, r_i) of the GBPD.

Two laws share one interface, ``markers(points) -> Markers``: `RadialMarkers`, drawn from
stated distributions, and `cathodegrain.generator.markers.marker_net.MarkerNet`, the fitted
network of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..rounding import rounded
from .point_process import MarkedPoints


class Markers(NamedTuple):
    """Markers of n grains in their radial frames; the first axis of D is the radial one."""

    diagonals: NDArray[np.float64]  # (n, 3), D_i, 1 / pixel^2
    offsets: NDArray[np.float64]  # (n,), r_i, dimensionless

    def elongated(self, factor: float) -> Markers:
        """Copy with the radial length of every unit ball multiplied, its volume kept.

        A unit ball of D has half axes d^(-1/2): the radial one grows by ``factor``, the
        two others shrink by its square root.

        Examples
        --------
        >>> markers = Markers(np.array([[1.0, 1.0, 1.0]]), np.zeros(1))
        >>> markers.elongated(2.0).diagonals
        array([[0.25, 2.  , 2.  ]])
        """
        return self._replace(diagonals=self.diagonals * [factor**-2, factor, factor])

    def with_offsets_scaled(self, factor: float) -> Markers:
        """Copy with every r_i multiplied by ``factor``."""
        return self._replace(offsets=self.offsets * factor)

    def times(self, factors: Markers) -> Markers:
        """Copy with every number multiplied by that of ``factors``, which has one row."""
        return Markers(self.diagonals * factors.diagonals, self.offsets * factors.offsets)

    def rounded(self) -> Markers:
        """Copy on the multiples of 2^-20 that every CPU agrees on."""
        return Markers(rounded(self.diagonals), rounded(self.offsets))


@dataclass(frozen=True)
class Profile:
    """A parameter as a function of the relative radius, by its values at knots.

    Parameters
    ----------
    t
        Relative radii of the knots, increasing; below the first and above the last one the
        parameter is constant.
    values
        At the knots.
    logarithmic
        Whether the logarithm is interpolated linearly, not the value itself.

    Raises
    ------
    ValueError
        If knots do not increase from 0 or more, their number differs from that of the values,
        or a logarithm is asked for that does not exist.

    Examples
    --------
    >>> Profile((0.0, 1.0), (1.0, 4.0), logarithmic=True)(np.array([0.5, 2.0]))
    array([2., 4.])
    """

    t: tuple[float, ...]
    values: tuple[float, ...]
    logarithmic: bool = False

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.t)) and self.t[:1] >= (0.0,)
        if not (rising and len(self.t) == len(self.values)):
            msg = (
                f"knots {self.t} with {self.values}, expected rising ones from 0 with a value each"
            )
            raise ValueError(msg)
        if self.logarithmic and not min(self.values) > 0:
            msg = f"values {self.values}, expected positive ones"
            raise ValueError(msg)

    def __call__(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at relative radii of any shape."""
        if self.logarithmic:
            return np.exp(np.interp(t, self.t, np.log(self.values)))
        return np.interp(t, self.t, self.values)

    def with_contrast(self, factor: float) -> Profile:
        """Copy that differs ``factor`` times as much from its mean over a ball's volume."""
        t = (np.arange(1000) + 0.5) / 1000
        back, values = (np.exp, np.log(self.values)) if self.logarithmic else (_same, self.values)
        mean = np.average(np.interp(t, self.t, values), weights=t * t)
        changed = back(mean + factor * (np.asarray(values) - mean))
        return replace(self, values=tuple(changed.tolist()))

    def fields(self) -> dict[str, list[float]]:
        """Its object in the model card."""
        return {"t": list(self.t), "value": list(self.values)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Sequence[float]]) -> Profile:
        """Profile described by a validated object of a model card."""
        return cls(tuple(map(float, fields["t"])), tuple(map(float, fields["value"])))


CONSTANT = Profile((0.0,), (1.0,), logarithmic=True)
ZERO = Profile((0.0,), (0.0,))


def _same(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values


class MarkerLaw(Protocol):
    """What draws markers."""

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """Markers of all points, or of ``rows``; may look at the neighbours of each."""

    def fields(self) -> dict[str, Any]:
        """Its object in the model card."""

    @property
    def intensity_factor(self) -> Profile:
        """Of the intensity, by the relative radius."""

    @property
    def tilt_deg(self) -> Profile:
        """Spread of the axes about the radius, degrees, by the relative radius."""


class CardLaw(MarkerLaw, Protocol):
    """What a model card's ``grains.markers`` becomes."""

    stage: ClassVar[str]  # of the random marks that it looks at

    def rounded_markers(
        self, points: MarkedPoints, rows: NDArray[np.intp], factors: Markers
    ) -> Markers:
        """Markers of ``rows`` times ``factors`` (of one row), rounded: equal on every device."""


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution on [low, high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            msg = f"uniform distribution from {self.low} to {self.high}: expected low <= high"
            raise ValueError(msg)

    def quantile(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Value below which lies the share ``u`` of the distribution."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True, kw_only=True)
class RadialMarkers:
    """Independent markers drawn from stated distributions: the phantom law.

    d_2 and d_3 are drawn independently from ``transverse``, the aspect ratio rho (radial
    over transverse length) from ``aspect_ratio``, and r from ``offset``; the radial
    entry is d_1 = (d_2 + d_3) / (2 rho^2).

    Parameters
    ----------
    transverse
        Law of d_2 and d_3, 1 / pixel^2.
    aspect_ratio
        Law of rho, dimensionless.
    offset
        Law of r_i, dimensionless.
    """

    stage: ClassVar[str] = "markers"
    intensity_factor: ClassVar[Profile] = CONSTANT
    tilt_deg: ClassVar[Profile] = ZERO

    transverse: Uniform
    aspect_ratio: Uniform
    offset: Uniform

    def __post_init__(self) -> None:
        for name in ("transverse", "aspect_ratio"):
            if not (low := getattr(self, name).low) > 0:
                msg = f"{name} starts at {low}, expected a positive number"
                raise ValueError(msg)

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """One row per point, or per one of ``rows``, from its four uniform marks."""
        marks = points.marks if rows is None else points.marks[rows]
        d2, d3 = (self.transverse.quantile(marks[:, k]) for k in (0, 1))
        rho = self.aspect_ratio.quantile(marks[:, 2])
        d1 = (d2 + d3) / (2 * rho * rho)
        return Markers(np.column_stack([d1, d2, d3]), self.offset.quantile(marks[:, 3]))

    def rounded_markers(
        self, points: MarkedPoints, rows: NDArray[np.intp], factors: Markers
    ) -> Markers:
        """Markers of ``rows`` times ``factors``, rounded: IEEE 754 defines every operation."""
        return self.markers(points, rows).times(factors).rounded()

    def fields(self) -> dict[str, Any]:
        """Its object in the model card."""
        names = ("transverse", "aspect_ratio", "offset")
        laws = {name: getattr(self, name) for name in names}
        return {"law": "radial"} | {
            name: {"family": "uniform", "low": law.low, "high": law.high}
            for name, law in laws.items()
        }

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> RadialMarkers:
        """Law described by a validated object of a model card."""
        names = ("transverse", "aspect_ratio", "offset")
        return cls(**{n: Uniform(fields[n]["low"], fields[n]["high"]) for n in names})
