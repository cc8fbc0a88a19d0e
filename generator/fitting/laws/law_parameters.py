r"""The parameters that a fit looks for, and the law of a model card that they stand for.

With t the relative radius, l(t) the mean seed distance lambda(t)^(-1/3) and rho(t) the median
aspect ratio, the transverse scale follows both,

.. math::
    \log d_t = \tfrac{2}{3} \log \lambda + \tfrac{2}{3} \log \rho + k (t - \tfrac{1}{2}),

so that grains of equal r have the volume of their share of space: what is left free of it is
k. Only differences of r count, and (d, r) -> (c^2 d, c r) changes no grain: r has the mean 0, and
c is chosen for a d_t of `TRANSVERSE` half-way out, which fits the digits that recipes keep.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...markers.marker_law import Profile
from ...markers.radial_profile import RadialProfileMarkers

TRANSVERSE = 16.0  # 1 / pixel^2
MOST_TILT_DEG = 90.0

INTENSITY_KNOTS = (0.0, 0.5, 1.0)
RATIO_KNOTS = (0.0, 0.33, 0.67, 1.0)
ENDS = (0.0, 1.0)
KNOTS = tuple(sorted({*INTENSITY_KNOTS, *RATIO_KNOTS}))

Floats = NDArray[np.float64]


class Parameter(NamedTuple):
    """A number that is fitted.

    Parameters
    ----------
    name
        Short, for tables and files.
    meaning
        In words.
    guess, spread
        Mean and standard deviation of what is assumed before the sections are seen.
    step
        Of finite differences: the less a number shows, the wider.
    """

    name: str
    meaning: str
    guess: float
    spread: float
    step: float


PARAMETERS = (
    *(
        Parameter(f"lambda_{t:g}", f"log of the intensity at t = {t:g}, over a rough count",
                  0.0, 0.7, 0.1)
        for t in INTENSITY_KNOTS
    ),
    *(
        Parameter(f"rho_{t:g}", f"log of the median aspect ratio at t = {t:g}", 0.3, 0.7, 0.1)
        for t in RATIO_KNOTS
    ),
    Parameter("s_rho", "log of the spread of log rho", math.log(0.2), 0.7, 0.25),
    Parameter("s_d", "log of the spread of log d", math.log(0.3), 0.7, 0.25),
    Parameter("s_a", "log of the spread of log (d2 / d3)", math.log(0.3), 0.7, 0.25),
    Parameter("s_r_0", "log of the spread of r in mean seed distances, centre",
              math.log(0.25), 0.7, 0.2),
    Parameter("s_r_1", "log of the spread of r in mean seed distances, surface",
              math.log(0.25), 0.7, 0.2),
    Parameter("c", "inverse hyperbolic tangent of the correlation of r and log d", 0.0, 0.7, 0.25),
    Parameter("tau_0", "log of the tilt in radians, centre", math.log(0.15), 1.0, 0.35),
    Parameter("tau_1", "log of the tilt in radians, surface", math.log(0.15), 1.0, 0.35),
    Parameter("k", "rise of log d beyond that of the seed distance", 0.0, 0.3, 0.25),
)  # fmt: skip
NAMES = tuple(one.name for one in PARAMETERS)
GUESS = np.array([one.guess for one in PARAMETERS])
SPREAD = np.array([one.spread for one in PARAMETERS])
STEP = np.array([one.step for one in PARAMETERS])
OFFSET_SPREADS = (NAMES.index("s_r_0"), NAMES.index("s_r_1"))


class RadialLaw(NamedTuple):
    """Laws of seeds and markers in the metric "norm", as a model card holds them."""

    markers: RadialProfileMarkers
    intensity: float  # mean over the volume of a ball, per cubic pixel


def radial_law(theta: Floats, reference: float) -> RadialLaw:
    """Law of the parameters (16,).

    Parameters
    ----------
    reference
        Intensity that the first parameters are relative to, per cubic pixel.
    """
    p = dict(zip(NAMES, theta.tolist(), strict=True))
    log_lambda = _values(p, "lambda", INTENSITY_KNOTS) + math.log(reference)
    log_rho = _values(p, "rho", RATIO_KNOTS)
    log_d = (
        2 / 3 * np.interp(KNOTS, INTENSITY_KNOTS, log_lambda)
        + 2 / 3 * np.interp(KNOTS, RATIO_KNOTS, log_rho)
        + p["k"] * (np.array(KNOTS) - 0.5)
    )  # fmt: skip
    gauge = math.log(TRANSVERSE) - float(np.interp(0.5, KNOTS, log_d))
    mean = mean_over_ball(INTENSITY_KNOTS, log_lambda)
    sizes = np.exp([p["s_r_0"] - p["k"] / 4 + gauge / 2, p["s_r_1"] + p["k"] / 4 + gauge / 2])
    tilts = np.degrees(np.exp(_values(p, "tau", ENDS))).clip(max=MOST_TILT_DEG)
    markers = RadialProfileMarkers(
        intensity_factor=_profile(INTENSITY_KNOTS, np.exp(log_lambda) / mean),
        aspect_ratio=_profile(RATIO_KNOTS, np.exp(log_rho)),
        transverse=_profile(KNOTS, np.exp(log_d + gauge)),
        aspect_spread=_constant(math.exp(p["s_rho"])),
        transverse_spread=_constant(math.exp(p["s_d"])),
        flatness_spread=_constant(math.exp(p["s_a"])),
        offset_spread=_profile(ENDS, sizes),
        correlation=_constant(math.tanh(p["c"])),
        tilt_deg=_profile(ENDS, tilts),
    )
    return RadialLaw(markers, mean)


def mean_over_ball(knots: tuple[float, ...], logarithms: Floats) -> float:
    """Mean over the volume of a ball of what is log-linear between knots in t."""
    t = (np.arange(1000) + 0.5) / 1000
    return float(np.average(np.exp(np.interp(t, knots, logarithms)), weights=t * t))


def _values(p: dict[str, float], name: str, knots: tuple[float, ...]) -> Floats:
    return np.array([p[f"{name}_{t:g}"] for t in knots])


def _profile(knots: tuple[float, ...], values: Floats) -> Profile:
    return Profile(knots, tuple(float(v) for v in values))


def _constant(value: float) -> Profile:
    return Profile((0.0,), (value,))
