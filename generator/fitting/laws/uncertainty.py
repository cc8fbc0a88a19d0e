"""How good a fitted law is, and how well it is known.

Sections of the fitted law itself are fitted again, by the same objective: their distances Q say
which Q chance explains, what is left of each statistic which misses it explains, and the spread of
their parameters how well parameters are known. Refits begin at the law and go by its
derivatives; they cannot show what the guesses hide, and so the interval of a parameter is not
shorter than what the information of the sections and the guess give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ...progress import Progress, quiet
from .law_parameters import (
    INTENSITY_KNOTS,
    NAMES,
    OFFSET_SPREADS,
    PARAMETERS,
    RATIO_KNOTS,
    SPREAD,
)
from .moment_fit import (
    NULL,
    Arrays,
    Descent,
    Iterate,
    Kept,
    MomentFit,
    chord_fit,
    descended,
    nothing_kept,
)
from .statistics import Statistic, statistic_names

COVERAGE, NORMAL_95 = 0.95, 1.96
UNKNOWN = 0.7  # of the spread that is assumed beforehand: above it sections say little
OFFSET_SPREAD_VALUES = (0.1, 0.2, 0.35, 0.6)  # mean seed distances

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits to sections of the fitted law.

    Parameters
    ----------
    distances : (n,) float
        Q of each.
    thetas : (n, 16) float
        Its parameters.
    residuals : (n, m) float
        What is left of its statistics.
    """

    distances: Floats
    thetas: Floats
    residuals: Floats

    @property
    def distance_95(self) -> float:
        """Q that 95 % of the refits are below."""
        return float(np.quantile(self.distances, COVERAGE))

    def p_value(self, distance: float) -> float:
        """Part of the refits, with the fit itself, whose Q is as large or larger."""
        larger = np.count_nonzero(self.distances >= distance)
        return float((larger + 1) / (len(self.distances) + 1))

    @cached_property
    def deviations(self) -> Floats:
        """(m,) standard deviations of the residuals."""
        return self.residuals.std(axis=0, ddof=1)


def refits(fit: MomentFit, kept: Kept = nothing_kept, show: Progress = quiet) -> Refits:
    """Sets of sections of the fitted law, each as large as the measured one, fitted again."""
    rows, n = [], fit.target.effort.refits
    for k in range(n):
        show(f"refit {k + 1} of {n}", k / n)
        rows.append(kept(f"refit-{k}", partial(_refit, fit, k)))
    distances, thetas, residuals = (
        np.array([row[name] for row in rows]) for name in ("distance", "theta", "residual")
    )
    return Refits(distances.ravel(), thetas, residuals)


def _refit(fit: MomentFit, k: int) -> Arrays:
    target = fit.target
    observed = target.simulated(fit.theta, NULL, k)
    found = chord_fit(target, observed, fit.weights, fit.slopes, fit.theta)
    return {
        "distance": np.array([found.distance]),
        "theta": found.theta,
        "residual": observed - target.expected(found.theta),
    }


@dataclass(frozen=True)
class Miss:
    """A statistic that the law does not meet: measured less simulated, in standard deviations."""

    statistic: Statistic
    deviations: float


def deviations(fit: MomentFit, found: Refits) -> Floats:
    """(m,) what is left of each statistic, in standard deviations of what refits leave of it."""
    gap = fit.target.observed - fit.target.expected(fit.theta)
    return gap / found.deviations


def misses(fit: MomentFit, found: Refits) -> list[Miss]:
    """Statistics that are farther off than the farthest of any is in 95 % of the refits."""
    largest = np.abs(found.residuals / found.deviations).max(axis=1)
    limit = np.quantile(largest, COVERAGE)
    z = deviations(fit, found)
    names = statistic_names(fit.target.edges)
    order = np.argsort(-np.abs(z))
    return [Miss(names[i], float(z[i])) for i in order if abs(z[i]) > limit]


@dataclass(frozen=True, eq=False)
class Intervals:
    """How well the parameters of a fitted law are known.

    Parameters
    ----------
    covariance : (16, 16) float
        Of what sections and guesses say, linearised.
    refitted : (16, 16) float
        Over refits.
    """

    covariance: Floats
    refitted: Floats

    @classmethod
    def of(cls, fit: MomentFit, found: Refits) -> Intervals:
        """Of a fit and its refits."""
        return cls(fit.slopes.covariance, np.cov(found.thetas.T))

    def deviation(self, weights: Floats) -> Floats:
        """Standard deviations (k,) of linear combinations (k, 16): the larger of both."""
        both = [
            np.einsum("ki,ij,kj->k", weights, matrix, weights)
            for matrix in (self.covariance, self.refitted)
        ]
        return np.sqrt(np.maximum(*both))

    @property
    def parameters(self) -> Floats:
        """Standard deviations (16,) of the parameters."""
        return self.deviation(np.eye(len(NAMES)))

    @property
    def unknown(self) -> list[str]:
        """Meanings of parameters of which sections say little: the guess holds them."""
        wide = self.parameters / SPREAD > UNKNOWN
        return [one.meaning for one, w in zip(PARAMETERS, wide, strict=True) if w]


@dataclass(frozen=True, eq=False)
class Band:
    """A profile and its 95 % interval at each of some t."""

    t: Floats
    value: Floats
    low: Floats
    high: Floats


def intensity_band(fit: MomentFit, known: Intervals, t: Floats) -> Band:
    """lambda, seeds per cubic pixel."""
    return _band(fit, known, t, "lambda", INTENSITY_KNOTS, math.log(fit.target.reference))


def ratio_band(fit: MomentFit, known: Intervals, t: Floats) -> Band:
    """Median aspect ratio."""
    return _band(fit, known, t, "rho", RATIO_KNOTS, 0.0)


def _band(
    fit: MomentFit, known: Intervals, t: Floats, name: str, knots: Sequence[float], shift: float
) -> Band:
    """Of what is log-linear between knots."""
    rows = [NAMES.index(f"{name}_{knot:g}") for knot in knots]
    weights = np.zeros((len(t), len(NAMES)))
    for column, row in enumerate(rows):
        weights[:, row] = np.interp(t, knots, np.eye(len(knots))[column])
    middle, half = weights @ fit.theta + shift, NORMAL_95 * known.deviation(weights)
    return Band(t, np.exp(middle), np.exp(middle - half), np.exp(middle + half))


def offset_spread_profile(
    fit: MomentFit,
    values: Sequence[float] = OFFSET_SPREAD_VALUES,
    kept: Kept = nothing_kept,
    show: Progress = quiet,
) -> list[Iterate]:
    """The best law for each of some spreads of r, in mean seed distances, at all radii.

    Sections hardly tell a spread of r from one of D: how little the distance changes shows it.
    """
    free = np.ones(len(NAMES), bool)
    free[list(OFFSET_SPREADS)] = False
    effort = fit.target.effort
    descent = Descent(fit.target, fit.weights, effort.rough_groups, free)
    found = []
    for k, value in enumerate(values):
        show(f"spread of r {value:g}", k / len(values))
        theta = fit.theta.copy()
        theta[list(OFFSET_SPREADS)] = math.log(value)
        found.append(descended(descent, theta, effort.profile_steps, f"profile-{value:g}", kept))
    return found
