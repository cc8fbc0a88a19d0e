"""Sections that a law was not fitted to, and how far it is from them.

The law is fitted to all sections but one, and the one is compared with sections of that law; so for
each. Replicates, simulated at the refits, say which distance chance explains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...progress import Progress, quiet
from .moment_fit import HELD_OUT, Arrays, Kept, MomentFit, Slopes, Target, chord_fit, nothing_kept
from .uncertainty import COVERAGE, Refits

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A section that the law was not fitted to.

    Parameters
    ----------
    number
        Of the section in the target.
    distance
        Q of its statistics.
    null : (n,) float
        Q of sections of the law.
    """

    number: int
    distance: float
    null: Floats

    @property
    def distance_95(self) -> float:
        """Q that 95 % of sections of the law are below."""
        return float(np.quantile(self.null, COVERAGE))


def held_out(
    fit: MomentFit, found: Refits, kept: Kept = nothing_kept, show: Progress = quiet
) -> list[HeldOut]:
    """Each section against the law fitted to the others; none if there is one only."""
    n = len(fit.target)
    if n < 2:
        return []
    scores = []
    for k in range(n):
        show(f"section {k + 1} of {n}", k / n)
        arrays = kept(f"held-out-{k}", partial(_score, fit, found, k))
        scores.append(HeldOut(k, float(arrays["distance"][0]), arrays["null"]))
    return scores


def _score(fit: MomentFit, found: Refits, k: int) -> Arrays:
    one, theta = fit.target.select([k]), without(fit, k)
    weights, expected = fit.weights.times(len(fit.target)), one.expected(theta)
    rows = range(fit.target.effort.held_out_replicates)
    null = [
        weights.distance(one.simulated(found.thetas[i % len(found.thetas)], HELD_OUT, i) - expected)
        for i in rows
    ]
    return {
        "distance": np.array([weights.distance(one.observed - expected)]),
        "null": np.array(null),
    }


def without(fit: MomentFit, k: int) -> Floats:
    """Parameters fitted to all sections but ``k``, by the derivatives of the fit to all."""
    n = len(fit.target)
    rest: Target = fit.target.select([i for i in range(n) if i != k])
    at: Slopes = replace(fit.slopes, information=fit.slopes.information * (n - 1) / n)
    weights = fit.weights.times(n / (n - 1))
    return chord_fit(rest, rest.observed, weights, at, fit.theta).theta
