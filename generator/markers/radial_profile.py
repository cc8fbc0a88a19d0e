r"""Marker law whose parameters run from the centre of a particle to its surface.

At a seed point s the relative radius is t = |s| / X(s/|s|), the distance from the centre over
that of the shell in the same direction: 0 at the centre, 1 on the shell; beyond it everything
stays as on the shell. Every parameter is a `Profile`, a function of t given by knots. With
independent standard normal z_1 ... z_4 of each seed point

.. math::
    \log d = \log d_t(t) + \sigma_d z_1, \quad
    \log \rho = \log \rho(t) + \sigma_\rho z_2, \quad
    a = \sigma_a z_3,

    d_2 = d e^{a/2}, \quad d_3 = d e^{-a/2}, \quad d_1 = d / \rho^2, \quad
    r = r(t) + \sigma_r \left(c z_1 + \sqrt{1 - c^2} z_4\right),

and the axis that belongs to d_1 is turned out of the radial direction by sigma_tau times two more
of them (`radial_frame.tilted`). The seed points are a Poisson process of the intensity lambda f(t).

Not in the paper, whose net sees the nearest seeds and no distance from the centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .marker_law import CONSTANT, ZERO, Markers, Profile
from .orientations import normal_quantiles
from .point_process import MarkedPoints

POSITIVE = ("intensity_factor", "transverse", "aspect_ratio")  # interpolated by their logarithms


@dataclass(frozen=True, kw_only=True)
class RadialProfileMarkers:
    """Markers whose laws change with the relative radius t; symbols at the head of the module.

    Parameters
    ----------
    intensity_factor
        f, of the intensity lambda of the card, dimensionless, positive.
    aspect_ratio
        Median of rho, radial over transverse length, positive.
    transverse
        d_t, median of the geometric mean of d_2 and d_3, 1 / pixel^2, positive.
    offset
        Mean of r.
    aspect_spread, transverse_spread, flatness_spread
        sigma_rho, sigma_d and sigma_a: standard deviations of the logarithms of rho, of d and
        of d_2 / d_3.
    offset_spread
        sigma_r, standard deviation of r.
    correlation
        c, of r and log d, from -1 to 1.
    tilt_deg
        sigma_tau, standard deviation of the angle between axis and radius in each of two
        transverse directions, degrees.
    core_radius
        Relative radius at which the core is said to end: what `with_core` moves.
    """

    stage: ClassVar[str] = "markers"

    intensity_factor: Profile = CONSTANT
    aspect_ratio: Profile
    transverse: Profile
    offset: Profile = ZERO
    aspect_spread: Profile = ZERO
    transverse_spread: Profile = ZERO
    flatness_spread: Profile = ZERO
    offset_spread: Profile = ZERO
    correlation: Profile = ZERO
    tilt_deg: Profile = ZERO
    core_radius: float | None = None

    def __post_init__(self) -> None:
        for name in POSITIVE:
            object.__setattr__(self, name, replace(getattr(self, name), logarithmic=True))
        if problems := self.problems():
            raise ValueError("; ".join(problems))

    def problems(self) -> list[str]:
        """What is wrong with the values of the knots, a sentence each."""
        bounds = {name: (0.0, math.inf) for name in self.profiles if name != "offset"}
        bounds |= {"correlation": (-1.0, 1.0), "tilt_deg": (0.0, 90.0)}
        return [
            f"{name} is {value:g} at t = {t:g}, expected {low:g} to {high:g}"
            for name, (low, high) in bounds.items()
            for t, value in zip(self.profiles[name].t, self.profiles[name].values, strict=True)
            if not low <= value <= high
        ]

    @property
    def profiles(self) -> dict[str, Profile]:
        """All profiles by their names."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Profile)}

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """One row per point, or per one of ``rows``, from its four uniform marks and its t.

        Raises
        ------
        ValueError
            If the relative radii of the points are not known.
        """
        marks, t = (points.marks, points.relative_radii)
        marks, t = (marks, t) if rows is None else (marks[rows], t[rows])
        if np.isnan(t).any():
            msg = "the relative radii of the points are not known, expected t of each"
            raise ValueError(msg)
        return self.markers_of(normal_quantiles(marks), t)

    def markers_of(self, z: NDArray[np.float64], t: NDArray[np.float64]) -> Markers:
        """One row per point, from its standard normal numbers z (n, 4) and relative radius t."""
        log_d = np.log(self.transverse(t)) + self.transverse_spread(t) * z[:, 0]
        log_rho = np.log(self.aspect_ratio(t)) + self.aspect_spread(t) * z[:, 1]
        half = self.flatness_spread(t) * z[:, 2] / 2
        c = self.correlation(t)
        r = self.offset_spread(t) * (c * z[:, 0] + np.sqrt(1 - c * c) * z[:, 3])
        diagonals = np.column_stack([log_d - 2 * log_rho, log_d + half, log_d - half])
        return Markers(np.exp(diagonals), self.offset(t) + r)

    def rounded_markers(
        self, points: MarkedPoints, rows: NDArray[np.intp], factors: Markers
    ) -> Markers:
        """Markers of ``rows`` times ``factors``, rounded: exponentials differ in last bits only."""
        return self.markers(points, rows).times(factors).rounded()

    def with_core(self, radius: float) -> RadialProfileMarkers:
        """Copy whose core ends at the relative radius ``radius`` instead of `core_radius`.

        Knots within the core and those outside move in proportion; beyond the shell they stay.

        Raises
        ------
        ValueError
            If the law does not say where its core ends, or ``radius`` is not between 0 and 1.
        """
        if self.core_radius is None or not 0 < radius < 1:
            msg = f"the core is to end at {radius}, expected 0 to 1 and a law that has a core"
            raise ValueError(msg)
        knots, moved = [0.0, self.core_radius, 1.0, 2.0], [0.0, radius, 1.0, 2.0]
        changed: dict[str, Any] = {
            name: replace(profile, t=tuple(np.interp(profile.t, knots, moved).tolist()))
            for name, profile in self.profiles.items()
        }
        return replace(self, **changed, core_radius=radius)

    def with_gradient(self, factor: float) -> RadialProfileMarkers:
        """Copy whose profiles differ ``factor`` times as much from their means over the volume.

        0 is the same law everywhere; means are those of logarithms where these are interpolated.
        """
        changed: dict[str, Any] = {
            name: p.with_contrast(factor) for name, p in self.profiles.items()
        }
        return replace(self, **changed)

    def fields(self) -> dict[str, Any]:
        """Its object in the model card."""
        core = {} if self.core_radius is None else {"core_radius": self.core_radius}
        return {
            "law": "radial_profile",
            **{name: profile.fields() for name, profile in self.profiles.items()},
            **core,
        }

    @classmethod
    def from_fields(cls, document: dict[str, Any]) -> RadialProfileMarkers:
        """Law described by a validated object of a model card."""
        names = [field.name for field in fields(cls) if field.name != "core_radius"]
        found = {n: Profile.from_fields(document[n]) for n in names if n in document}
        return cls(**found, core_radius=document.get("core_radius"))
