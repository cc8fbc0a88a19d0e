"""Marker laws: what turns marked seed points into the markers (D_i, r_i) of the GBPD.

Two laws share one interface, ``markers(points) -> Markers``: `RadialMarkers`, drawn from
stated distributions, and `cathodegrain.generator.grains.marker_net.MarkerNet`, the fitted
network of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
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


class MarkerLaw(Protocol):
    """What draws markers."""

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """Markers of all points, or of ``rows``; may look at the neighbours of each."""

    def fields(self) -> dict[str, Any]:
        """Its object in the model card."""


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
