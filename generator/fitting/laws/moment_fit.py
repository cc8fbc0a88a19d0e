r"""Fit of a radial law to sections by simulated moments.

Let s be the statistics of the measured sections and m(theta) their means over sections of the law
on the same pixels, both of `statistics.binned_statistics`. The fit looks for the least of

.. math::
    Q(\theta) + \sum_i \left(\frac{\theta_i - g_i}{\sigma_i}\right)^2, \qquad
    Q(\theta) = (s - m)^\top C^{-1} (s - m)

by damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963). C is the covariance of s over
replicates of the law, its correlations shrunk (Schaefer and Strimmer 2005), and larger by 1/groups
for what m is uncertain by. Guesses g and their spreads hold what sections do not show. Means are
over sections of fixed random numbers (`common_seeds`), and derivatives over wide central steps:
narrow ones see the jumps of single pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ...progress import Progress, quiet
from ..sections.section import Section
from .common_seeds import section_grains
from .law_parameters import GUESS, NAMES, SPREAD, STEP, RadialLaw, radial_law
from .section_frames import SectionFrame
from .statistics import (
    Edges,
    PlaneGrains,
    bin_areas,
    binned_statistics,
    measured_grains,
    merged_edges,
)

# What random numbers are for: the first number of their keys.
FITTED, REPLICATES, SLOPES, NULL, HELD_OUT, HEIGHTS, TWINS = range(7)

GRAINS_PER_AREA = 1.4  # over lambda^(2/3): a rough count for the first guess of lambda
LONGEST = 0.8  # change of a parameter in a step
ATTEMPTS, FIRST_DAMPING, LEAST_DAMPING, DAMPING_FACTOR = 4, 0.1, 1e-3, 6.0
ENOUGH = 1.0  # decrease of the objective below which steps end
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a fit simulates.

    Parameters
    ----------
    rough_groups, groups, slope_groups
        Simulated sections for each measured one: far from the law, near it, and for derivatives.
    rough_replicates, replicates
        For covariances.
    rough_steps, steps, chords, profile_steps
        At most: far from the law, near it, with fixed derivatives, and with a spread of r held.
    refits
        Fits to sections of the law.
    held_out_replicates
        Of a section that is left out.
    """

    rough_groups: int = 3
    groups: int = 6
    slope_groups: int = 12
    rough_replicates: int = 40
    replicates: int = 120
    rough_steps: int = 6
    steps: int = 6
    chords: int = 6
    profile_steps: int = 3
    refits: int = 40
    held_out_replicates: int = 60


EFFORT = Effort()

Floats = NDArray[np.float64]
Arrays = dict[str, Floats]
Kept = Callable[[str, Callable[[], Arrays]], Arrays]  # what was computed before, or is now


def nothing_kept(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Compute; nothing is kept."""
    return make()


@dataclass(frozen=True, eq=False)
class Target:
    """What a law is fitted to.

    Parameters
    ----------
    frames
        Of the sections.
    grains
        Of each section.
    numbers
        Of the sections: what their random numbers depend on.
    edges
        Of the bins.
    reference
        Intensity that parameters are relative to, per cubic pixel.
    seed
        Entropy of all random numbers.
    effort
        How much is simulated.
    """

    frames: tuple[SectionFrame, ...]
    grains: tuple[PlaneGrains, ...]
    numbers: tuple[int, ...]
    edges: Edges
    reference: float
    seed: int
    effort: Effort

    @classmethod
    def of(cls, sections: Sequence[Section], heights: Sequence[float], seed: int) -> Target:
        """Sections at distances from the centre, pixels."""
        frames = tuple(SectionFrame.of(s, h) for s, h in zip(sections, heights, strict=True))
        pairs = zip(sections, frames, strict=True)
        grains = tuple(measured_grains(section, frame) for section, frame in pairs)
        joined = PlaneGrains.joined(grains)
        area = sum(np.count_nonzero(frame.inside) for frame in frames)
        reference = (len(joined) / area / GRAINS_PER_AREA) ** 1.5
        numbers = tuple(range(len(frames)))
        return cls(frames, grains, numbers, merged_edges(joined), reference, seed, EFFORT)

    def __len__(self) -> int:
        """Number of sections."""
        return len(self.frames)

    @cached_property
    def areas(self) -> Floats:
        """Pixels of the bins."""
        return bin_areas(self.frames, self.edges)

    @cached_property
    def observed(self) -> Floats:
        """Statistics of the measured sections."""
        return binned_statistics(PlaneGrains.joined(self.grains), self.areas, self.edges)

    def select(self, rows: Sequence[int]) -> Target:
        """Some of the sections, in the same bins."""
        return replace(
            self,
            frames=tuple(self.frames[k] for k in rows),
            grains=tuple(self.grains[k] for k in rows),
            numbers=tuple(self.numbers[k] for k in rows),
        )

    def law(self, theta: Floats) -> RadialLaw:
        """Law of parameters."""
        return radial_law(theta, self.reference)

    def simulated(self, theta: Floats, *key: int) -> Floats:
        """Statistics of one section of the law for each measured one."""
        law = self.law(theta)
        pairs = zip(self.frames, self.numbers, strict=True)
        found = [section_grains(law, f, self.seed, (*key, number)) for f, number in pairs]
        return binned_statistics(PlaneGrains.joined(found), self.areas, self.edges)

    def expected(self, theta: Floats, groups: int | None = None) -> Floats:
        """Means of statistics over some sections for each measured one, `Effort.groups` of them."""
        rows = range(groups or self.effort.groups)
        return np.mean([self.simulated(theta, FITTED, g) for g in rows], axis=0)


@dataclass(frozen=True, eq=False)
class Weights:
    """How statistics are compared: their covariance over replicates of a law."""

    covariance: Floats

    @cached_property
    def root(self) -> Floats:
        """L^-1 with C = L L^T: what makes statistics independent, of variance 1."""
        return np.linalg.inv(np.linalg.cholesky(self.covariance))

    def distance(self, difference: Floats) -> float:
        """Q of a difference of statistics."""
        return float(((self.root @ difference) ** 2).sum())

    def times(self, factor: float) -> Weights:
        """With all covariances multiplied."""
        return Weights(self.covariance * factor)


def replicate_weights(target: Target, theta: Floats, n: int) -> Weights:
    """Covariance over ``n`` replicates at a law, with its correlations shrunk towards none."""
    sample = np.array([target.simulated(theta, REPLICATES, k) for k in range(n)])
    return Weights(shrunk_covariance(sample) * (1 + 1 / target.effort.groups))


def shrunk_covariance(sample: Floats) -> Floats:
    """Covariance (m, m) of rows (n, m) whose correlations are shrunk towards none.

    By the part that has the least expected error (Schaefer and Strimmer, Statistical Applications
    in Genetics and Molecular Biology 4, 32, 2005).
    """
    n, m = sample.shape
    deviation = np.sqrt(np.maximum(sample.var(axis=0, ddof=1), LEAST_VARIANCE))
    z = (sample - sample.mean(axis=0)) / deviation
    correlation = z.T @ z / (n - 1)
    products = np.einsum("ki,kj->kij", z, z)
    variance = products.var(axis=0) * n * n / (n - 1) ** 3
    off = ~np.eye(m, dtype=bool)
    total = (correlation[off] ** 2).sum()
    shrinkage = min(1.0, variance[off].sum() / total) if total > 0 else 1.0
    correlation = np.where(off, (1 - shrinkage) * correlation, 1.0)
    return np.outer(deviation, deviation) * correlation


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where a fit stands.

    Parameters
    ----------
    theta : (16,) float
    distance
        Q.
    damping
        Of the next step, relative to the diagonal of the information.
    ended
        Whether a further step gains nothing.
    """

    theta: Floats
    distance: float
    damping: float
    ended: bool

    @property
    def objective(self) -> float:
        """Q and the distance from the guess."""
        return self.distance + penalty(self.theta)

    @property
    def arrays(self) -> Arrays:
        """What is kept."""
        rest = np.array([self.distance, self.damping, float(self.ended)])
        return {"theta": self.theta, "rest": rest}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Iterate:
        """What was kept."""
        distance, damping, ended = arrays["rest"].tolist()
        return cls(arrays["theta"], distance, damping, bool(ended))


def penalty(theta: Floats) -> float:
    """Squared distance from the guess, in its spreads."""
    return float((((theta - GUESS) / SPREAD) ** 2).sum())


@dataclass(frozen=True, eq=False)
class Descent:
    """Steps to the least objective, each from simulated derivatives.

    Parameters
    ----------
    free : (16,) bool
        Parameters that change.
    """

    target: Target
    weights: Weights
    groups: int
    free: NDArray[np.bool_]

    def first(self, theta: Floats) -> Iterate:
        """Before any step."""
        distance = self._distance(self.target.expected(theta, self.groups))
        return Iterate(theta, distance, FIRST_DAMPING, ended=False)

    def step(self, now: Iterate) -> Iterate:
        """One damped step, the first of some attempts that gains."""
        expected = self.target.expected(now.theta, self.groups)
        information, slope = self._linear(now.theta, expected)
        damping = now.damping
        for _ in range(ATTEMPTS):
            theta = now.theta + self._change(information, slope, damping)
            distance = self._distance(self.target.expected(theta, self.groups))
            found = Iterate(theta, distance, max(damping / DAMPING_FACTOR, LEAST_DAMPING), False)
            gain = now.objective - found.objective
            if gain > 0:
                return Iterate(theta, distance, found.damping, ended=gain < ENOUGH)
            damping *= DAMPING_FACTOR
        return Iterate(now.theta, now.distance, damping, ended=True)

    def _distance(self, expected: Floats) -> float:
        return self.weights.distance(self.target.observed - expected)

    def _linear(self, theta: Floats, expected: Floats) -> tuple[Floats, Floats]:
        """Information matrix and downhill slope of the free parameters, guess included."""
        free = np.flatnonzero(self.free)
        columns = [self._derivative(theta, int(i)) for i in free]
        root = self.weights.root
        jacobian = root @ np.column_stack(columns)
        gap = root @ (self.target.observed - expected)
        prior = 1 / SPREAD[free] ** 2
        slope = jacobian.T @ gap - (theta - GUESS)[free] * prior
        return jacobian.T @ jacobian + np.diag(prior), slope

    def _derivative(self, theta: Floats, i: int) -> Floats:
        return central_difference(partial(self.target.expected, groups=self.groups), theta, i)

    def _change(self, information: Floats, slope: Floats, damping: float) -> Floats:
        damped = information + damping * np.diag(np.diag(information))
        found = np.linalg.solve(damped, slope)
        change = np.zeros(len(self.free))
        change[self.free] = found * min(1.0, LONGEST / np.abs(found).max())
        return change


def central_difference(function: Callable[[Floats], Floats], theta: Floats, i: int) -> Floats:
    """Derivative of statistics by the parameter ``i``, over a wide step."""
    step = np.zeros(len(theta))
    step[i] = STEP[i]
    return (function(theta + step) - function(theta - step)) / (2 * STEP[i])


def descended(
    descent: Descent, theta: Floats, most: int, name: str, kept: Kept, show: Progress = quiet
) -> Iterate:
    """The last of at most ``most`` steps; each is kept."""
    now = Iterate.from_arrays(kept(f"{name}-0", lambda: descent.first(theta).arrays))
    for k in range(1, most + 1):
        if now.ended:
            break
        show(f"step {k}, distance {now.distance:.0f}", (k - 1) / most)
        make = partial(_step, descent, now)
        now = Iterate.from_arrays(kept(f"{name}-{k}", make))
    return now


def _step(descent: Descent, now: Iterate) -> Arrays:
    return descent.step(now).arrays


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of statistics at a law, and what the sections say about its parameters.

    Parameters
    ----------
    jacobian : (m, 16) float
        Mean over independent groups.
    information : (16, 16) float
        J^T C^-1 J without the bias that the noise of J gives it: of products of different groups.
    """

    jacobian: Floats
    information: Floats

    @cached_property
    def covariance(self) -> Floats:
        """(16, 16) of the parameters, given sections and guesses."""
        return np.asarray(np.linalg.inv(self.information + np.diag(1 / SPREAD**2)), np.float64)


def slopes(
    target: Target, weights: Weights, theta: Floats, name: str = "slopes", kept: Kept = nothing_kept
) -> Slopes:
    """Derivatives from independent groups of sections."""

    def one(group: int) -> Arrays:
        function = partial(_replicate, target, SLOPES, group)
        columns = [central_difference(function, theta, i) for i in range(len(theta))]
        return {"jacobian": np.column_stack(columns)}

    parts = [
        kept(f"{name}-{g}", partial(one, g))["jacobian"] for g in range(target.effort.slope_groups)
    ]
    return Slopes(np.mean(parts, axis=0), unbiased_information(np.array(parts), weights))


def _replicate(target: Target, purpose: int, number: int, theta: Floats) -> Floats:
    return target.simulated(theta, purpose, number)


def unbiased_information(jacobians: Floats, weights: Weights) -> Floats:
    """J^T C^-1 J from noisy J (groups, m, p): the mean over pairs of different groups.

    What is left below zero by chance is zero.
    """
    n, root = len(jacobians), weights.root
    white = np.einsum("ij,gjk->gik", root, jacobians)
    total = white.sum(axis=0)
    same = np.einsum("gji,gjk->ik", white, white)
    found = (total.T @ total - same) / (n * (n - 1))
    values, vectors = np.linalg.eigh((found + found.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def chord_fit(
    target: Target, observed: Floats, weights: Weights, at: Slopes, theta: Floats
) -> Iterate:
    """Fit to statistics near a law by steps with the same derivatives: cheap, for many refits.

    Every step simulates `Effort.groups` sections for each measured one, whatever the parameters.
    """
    inverse = np.linalg.inv(weights.covariance)
    expected = target.expected(theta)
    now = Iterate(theta, weights.distance(observed - expected), 1.0, ended=False)
    for _ in range(target.effort.chords):
        pull = (now.theta - GUESS) / SPREAD**2
        slope = at.jacobian.T @ inverse @ (observed - expected) - pull
        change = at.covariance @ slope
        change *= min(1.0, LONGEST / max(np.abs(change).max(), 1e-12))
        found = _shortened(target, observed, weights, now, change)
        if found is None:
            break
        gain = now.objective - found[0].objective
        now, expected = found
        if gain < ENOUGH / 10:
            break
    return now


def _shortened(
    target: Target, observed: Floats, weights: Weights, now: Iterate, change: Floats
) -> tuple[Iterate, Floats] | None:
    """The first of a step, its half and its quarter that gains, and its statistics."""
    for part in (1.0, 0.5, 0.25):
        theta = now.theta + part * change
        expected = target.expected(theta)
        found = Iterate(theta, weights.distance(observed - expected), 1.0, ended=False)
        if found.objective < now.objective:
            return found, expected
    return None


STARTS = {
    "guess": {},
    "long grains outside": {
        "lambda_0": 0.3, "lambda_1": -0.3, "rho_0": 0.1, "rho_0.33": 0.4, "rho_0.67": 0.8,
        "rho_1": 0.9,
    },
    "tilted": {
        "rho_0": 0.7, "rho_0.33": 0.7, "rho_0.67": 0.7, "rho_1": 0.7, "tau_0": math.log(0.4),
        "tau_1": math.log(0.4), "s_r_0": math.log(0.5), "s_r_1": math.log(0.5),
    },
}  # fmt: skip


def start(name: str) -> Floats:
    """Parameters (16,) of one of `STARTS`."""
    theta = GUESS.copy()
    for parameter, value in STARTS[name].items():
        theta[NAMES.index(parameter)] = value
    return theta


@dataclass(frozen=True, eq=False)
class MomentFit:
    """A fitted law.

    Parameters
    ----------
    target
        What it was fitted to.
    weights
        Of its statistics, at the law.
    slopes
        At the law.
    best
        The law, and Q.
    starts
        Where the fit came to from each of `STARTS`, by the same weights, in their order.
    """

    target: Target
    weights: Weights
    slopes: Slopes
    best: Iterate
    starts: dict[str, Iterate]

    @property
    def theta(self) -> Floats:
        """Parameters (16,)."""
        return self.best.theta

    @property
    def law(self) -> RadialLaw:
        """The law."""
        return self.target.law(self.theta)


EVERY = np.ones(len(NAMES), bool)


def moment_fit(target: Target, kept: Kept = nothing_kept, show: Progress = quiet) -> MomentFit:
    """Law with the least objective from several starts."""
    first = _rough(target, kept, _part(show, 0.0, 0.25))
    weights = _weights(target, first.theta, "weights", kept)
    ends = {"guess": first}
    for k, name in enumerate(STARTS):
        descent = Descent(target, weights, target.effort.rough_groups, EVERY)
        where = first.theta if name == "guess" else start(name)
        shown = _part(show, 0.25 + 0.15 * k, 0.4 + 0.15 * k)
        ends[name] = descended(descent, where, target.effort.rough_steps, f"start-{k}", kept, shown)
    best = min(ends.values(), key=_objective)
    found = _finished(target, best.theta, ends, "final", kept, _part(show, 0.7, 1.0))
    return _compared(found, kept)


def _compared(fit: MomentFit, kept: Kept) -> MomentFit:
    """The fit with the ends of all starts by the same weights, and the best of all."""
    ends = {}
    for k, (name, end) in enumerate(fit.starts.items()):
        make = partial(_chord, fit.target, fit.weights, fit.slopes, end.theta)
        ends[name] = Iterate.from_arrays(kept(f"start-{k}-end", make))
    return replace(fit, best=min([fit.best, *ends.values()], key=_objective), starts=ends)


def _objective(one: Iterate) -> float:
    return one.objective


def _chord(target: Target, weights: Weights, at: Slopes, theta: Floats) -> Arrays:
    return chord_fit(target, target.observed, weights, at, theta).arrays


def refined_fit(
    target: Target, first: MomentFit, kept: Kept = nothing_kept, show: Progress = quiet
) -> MomentFit:
    """Fit to other sections that begins at the law of a fit."""
    return _finished(target, first.theta, first.starts, "refined", kept, show)


def _finished(
    target: Target, theta: Floats, starts: dict[str, Iterate], name: str, kept: Kept, show: Progress
) -> MomentFit:
    """Fit from near its end, with all that is known about it."""
    weights = _weights(target, theta, f"{name}-weights", kept)
    descent = Descent(target, weights, target.effort.groups, EVERY)
    found = descended(descent, theta, target.effort.steps, name, kept, _part(show, 0.0, 0.7))
    show("derivatives", 0.7)
    at = slopes(target, weights, found.theta, f"{name}-slopes", kept)

    make = partial(_chord, target, weights, at, found.theta)
    best = Iterate.from_arrays(kept(f"{name}-end", make))
    return MomentFit(target, weights, at, best, starts)


def _rough(target: Target, kept: Kept, show: Progress) -> Iterate:
    """From the guess by variances alone: far from the law correlations mislead."""
    n = target.effort.rough_replicates
    full = _weights(target, GUESS, "first-weights", kept, n).covariance
    weights = Weights(np.diag(np.diag(full)))
    descent = Descent(target, weights, target.effort.rough_groups, EVERY)
    return descended(descent, GUESS, target.effort.rough_steps, "rough", kept, show)


def _weights(target: Target, theta: Floats, name: str, kept: Kept, n: int | None = None) -> Weights:
    def make() -> Arrays:
        return {
            "covariance": replicate_weights(target, theta, n or target.effort.replicates).covariance
        }

    return Weights(kept(name, make)["covariance"])


def _part(show: Progress, low: float, high: float) -> Progress:
    return lambda text, part: show(text, low + (high - low) * part)
