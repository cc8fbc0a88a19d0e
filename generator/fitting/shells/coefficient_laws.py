r"""Laws of the coefficients of measured shells, Eqs. (5) and (6), by maximum likelihood.

For a_00, and for the 2l + 1 coefficients of each degree l >= 1 together, three families are
compared: normal, log-normal with a location, scaled Student t. Coefficients of degree
l >= 1 have the mean 0, since particles are isotropic: normal and t are centred.

* Student t becomes the normal law as nu grows. Where nu exceeds `NORMAL_FROM` the two
  cannot be told apart from the data, and the law is called normal.
* The likelihood of a log-normal law with a location grows without bound as the location
  comes close to the least value (Hill, J. Am. Stat. Assoc. 58, 1963, 72). The largest local
  maximum below it is taken; there is none if the data are not skewed to the right.
* The family with the largest likelihood is chosen, as in the paper; Akaike's criterion,
  which counts parameters, stands beside it.

Intervals come from the bootstrap over particles: coefficients of one are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...errors import FitError
from ...progress import Progress, quiet
from ...shell.laws import Law, LogNormal, Normal, StudentT, law_fields

NORMAL_FROM = 200.0  # degrees of freedom from which a t law is called normal
NU_LOW = 0.2  # least degrees of freedom that are looked for
LEAST_PARTICLES = 20  # of which two parameters of ten laws can be estimated at all
LOC_STEPS = 60  # of the search for the location of a log-normal law
N_BOOTSTRAP = 400

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A law with the largest likelihood of its family."""

    law: Law
    log_likelihood: float

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 k - 2 log likelihood; smaller is better."""
        return 2 * len(parameters_of(self.law)) - 2 * self.log_likelihood


@dataclass(frozen=True)
class OrderFit:
    """Law of the coefficients of one degree.

    Parameters
    ----------
    degree
        l; 0 for the size, a_00.
    candidates
        The best law of each family, by falling likelihood; the first is chosen.
    intervals
        For each parameter of the chosen law the bounds that hold the middle 99 % of the
        bootstrap.
    standard_errors
        Standard deviations of the bootstrap.
    """

    degree: int
    candidates: tuple[Candidate, ...]
    intervals: Mapping[str, tuple[float, float]]
    standard_errors: Mapping[str, float]

    @property
    def law(self) -> Law:
        """The chosen law."""
        return self.candidates[0].law


def fit_orders(
    coefficients: Values,
    rng: np.random.Generator,
    n_bootstrap: int = N_BOOTSTRAP,
    progress: Progress = quiet,
) -> tuple[OrderFit, ...]:
    """Laws of the degrees 0, 1, ... of coefficients (n, (L + 1)^2), one row per particle.

    Raises
    ------
    FitError
        If there are fewer than `LEAST_PARTICLES` particles, or all coefficients of a degree
        are equal.
    """
    n = len(coefficients)
    if n < LEAST_PARTICLES:
        msg = (
            f"{n} particles are not enough for a law of their shapes, expected at least "
            f"{LEAST_PARTICLES}: take a larger part of the scan, or several scans"
        )
        raise FitError(msg)
    draws = rng.integers(n, size=(n_bootstrap, n))
    max_degree = math.isqrt(coefficients.shape[1]) - 1
    fits = []
    for degree in range(max_degree + 1):
        progress(f"law of degree {degree}", degree / (max_degree + 1))
        block = coefficients[:, degree**2 : (degree + 1) ** 2]
        fits.append(_fit_order(degree, block, draws))
    progress("laws fitted", 1.0)
    return tuple(fits)


def _fit_order(degree: int, block: Values, draws: NDArray[np.int64]) -> OrderFit:
    _require_spread(degree, block)
    candidates = best_laws(block.ravel(), centred=degree > 0)
    law = candidates[0].law
    again = [_refit(law, block[rows].ravel(), centred=degree > 0) for rows in draws]
    intervals, errors = {}, {}
    for name in parameters_of(law):
        values = np.array([getattr(other, name) for other in again])
        low, high = np.percentile(values, [0.5, 99.5])
        intervals[name] = (float(low), float(high))
        errors[name] = float(values.std(ddof=1))
    return OrderFit(degree, candidates, intervals, errors)


def _require_spread(degree: int, block: Values) -> None:
    spread = float(block.std())
    if not spread > 1e-9 * max(1.0, float(np.abs(block).max())):  # true for NaN
        msg = (
            f"the coefficients of degree {degree} have the standard deviation {spread:.3g}, "
            "expected particles that differ: these are copies of one, or no measured data"
        )
        raise FitError(msg)


def best_laws(values: Values, centred: bool) -> tuple[Candidate, ...]:
    """The law of each family with the largest likelihood, by falling likelihood."""
    laws: list[Law] = [fit_normal(values, centred)]
    student = fit_student(values, centred)
    if student.nu < NORMAL_FROM:
        laws.append(student)
    if (skewed := fit_lognormal(values)) is not None:
        laws.append(skewed)
    candidates = [Candidate(law, float(law.log_density(values).sum())) for law in laws]
    return tuple(sorted(candidates, key=lambda candidate: -candidate.log_likelihood))


def parameters_of(law: Law) -> list[str]:
    """Names of the parameters that are fitted: the location of a centred law is not."""
    names = [field.name for field in fields(law)]
    centred = not isinstance(law, LogNormal) and law.loc == 0.0
    return [name for name in names if not (centred and name == "loc")]


def _refit(law: Law, values: Values, centred: bool) -> Law:
    """Law of the same family for other values; as it is where they allow none."""
    if isinstance(law, Normal):
        return fit_normal(values, centred)
    if isinstance(law, StudentT):
        return fit_student(values, centred, start=law)
    return fit_lognormal(values) or law


def fit_normal(values: Values, centred: bool) -> Normal:
    """Normal law with the largest likelihood; with mean 0 if ``centred``.

    Examples
    --------
    >>> fit_normal(np.array([-1.0, 1.0, 3.0, 5.0]), centred=False)
    Normal(sigma=2.23606797749979, loc=2.0)
    """
    loc = 0.0 if centred else float(values.mean())
    return Normal(loc=loc, sigma=math.sqrt(float(np.mean((values - loc) ** 2))))


def fit_student(values: Values, centred: bool, start: StudentT | None = None) -> StudentT:
    """Scaled Student t law with the largest likelihood; about 0 if ``centred``."""
    from scipy.optimize import minimize

    unit = float(np.sqrt(np.mean((values - (0.0 if centred else values.mean())) ** 2)))
    scaled = values / unit
    first = [math.log(start.nu), math.log(start.sigma / unit)] if start else [1.5, -0.3]
    bounds = [(math.log(NU_LOW), math.log(2 * NORMAL_FROM)), (-12.0, 3.0)]
    if not centred:
        first.append(start.loc / unit if start else float(np.median(scaled)))
        bounds.append((float(scaled.min()), float(scaled.max())))
    found = minimize(_student_cost, first, (scaled,), jac=True, method="L-BFGS-B", bounds=bounds)
    nu, sigma = (math.exp(value) for value in found.x[:2])
    loc = 0.0 if centred else float(found.x[2]) * unit
    return StudentT(nu=nu, sigma=sigma * unit, loc=loc)


def _student_cost(p: Values, values: Values) -> tuple[float, Values]:
    """Mean negative logarithm of the density and its gradient; p: log nu, log sigma(, loc)."""
    from scipy.special import digamma, gammaln

    nu, sigma = math.exp(p[0]), math.exp(p[1])
    z = (values - (p[2] if len(p) > 2 else 0.0)) / sigma
    z2 = z * z
    tail = np.log1p(z2 / nu)
    weight = (nu + 1) / (nu + z2)
    cost = (
        float(gammaln(nu / 2) - gammaln((nu + 1) / 2)) + 0.5 * math.log(nu * math.pi)
        + p[1] + 0.5 * (nu + 1) * float(tail.mean())
    )  # fmt: skip
    slope_nu = 0.5 * nu * (
        float(digamma(nu / 2) - digamma((nu + 1) / 2)) + 1 / nu
        + float(tail.mean()) - float((weight * z2).mean()) / nu
    )  # fmt: skip
    slope = [slope_nu, 1.0 - float((weight * z2).mean())]
    if len(p) > 2:
        slope.append(-float((weight * z).mean()) / sigma)
    return cost, np.array(slope)


def fit_lognormal(values: Values) -> LogNormal | None:
    """Log-normal law at the largest local maximum of the likelihood over its location.

    None if the likelihood has none between 0.01 and 100 standard deviations below the least
    value: data that are not skewed to the right want a location at minus infinity.
    """
    from scipy.optimize import minimize_scalar

    least, spread = float(values.min()), float(values.std())
    distances = np.linspace(math.log(0.01 * spread), math.log(100 * spread), LOC_STEPS)
    costs = [_lognormal_cost(t, values, least) for t in distances]
    inner = [k for k in range(1, LOC_STEPS - 1) if costs[k] <= min(costs[k - 1], costs[k + 1])]
    if not inner:
        return None
    best = min(inner, key=lambda k: costs[k])
    bounds = (distances[best - 1], distances[best + 1])
    found = minimize_scalar(
        _lognormal_cost, args=(values, least), bounds=bounds, method="bounded",
        options={"xatol": 1e-6},
    )  # fmt: skip
    loc = least - math.exp(found.x)
    logs = np.log(values - loc)
    return LogNormal(shape=float(logs.std()), loc=loc, scale=math.exp(float(logs.mean())))


def _lognormal_cost(log_distance: float, values: Values, least: float) -> float:
    """Mean negative logarithm of the density, shape and scale the best for the location."""
    logs = np.log(values - least + math.exp(log_distance))
    return float(logs.mean()) + math.log(float(logs.std())) + 0.5 * math.log(2 * math.pi * math.e)


@dataclass(frozen=True)
class Dependence:
    """How the coefficients of a degree depend on a_00.

    Parameters
    ----------
    degree
        l.
    edcc
        Mean over m of the empirical distance correlation coefficient of a_00 and a_lm
        (Szekely, Rizzo and Bakirov, Ann. Stat. 35, 2007, 2769).
    edcc_shuffled
        The same with the particles of a_00 shuffled: what independent data of this number
        would give, which is not 0.
    pearson
        Mean over m of the absolute value of Pearson's coefficient.
    """

    degree: int
    edcc: float
    edcc_shuffled: float
    pearson: float


def dependences(coefficients: Values, rng: np.random.Generator) -> Iterator[Dependence]:
    """Dependence of every degree l >= 1 on the size, as in Fig. 3 of the paper."""
    size = np.ascontiguousarray(coefficients[:, 0])
    shuffled = rng.permutation(size)
    for degree in range(1, math.isqrt(coefficients.shape[1])):
        columns = np.ascontiguousarray(coefficients[:, degree**2 : (degree + 1) ** 2].T)
        yield Dependence(
            degree=degree,
            edcc=float(np.mean([distance_correlation(size, column) for column in columns])),
            edcc_shuffled=float(
                np.mean([distance_correlation(shuffled, column) for column in columns])
            ),
            pearson=float(np.mean([abs(np.corrcoef(size, column)[0, 1]) for column in columns])),
        )


def distance_correlation(one: Values, other: Values) -> float:
    r"""Empirical distance correlation coefficient of two samples (n,), in [0, 1].

    With the distances :math:`a_{ij} = |x_i - x_j|`, :math:`b_{ij} = |y_i - y_j|` the squared
    distance covariance is

    .. math:: \overline{a b} + \bar a \, \bar b - 2 \, \overline{\bar a_i \bar b_i}

    (Szekely, Rizzo and Bakirov 2007, Theorem 1); memory grows with n only. Written out, since
    dcor compiles all of its kernels whenever it is imported, for ten seconds.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 5.0])
    >>> round(distance_correlation(x, 3 - 2 * x), 12)
    1.0
    """
    covariance = _distance_covariance(one, other)
    variance = _distance_covariance(one, one) * _distance_covariance(other, other)
    return math.sqrt(max(covariance, 0.0) / math.sqrt(variance)) if variance > 0 else 0.0


@njit(cache=True, nogil=True)
def _distance_covariance(one, other):  # type: ignore[no-untyped-def]
    """Squared distance covariance."""
    n = len(one)
    means, other_means = np.zeros(n), np.zeros(n)
    product = 0.0
    for i in range(n):
        for j in range(i):
            a, b = abs(one[i] - one[j]), abs(other[i] - other[j])
            product += 2 * a * b
            means[i] += a / n
            means[j] += a / n
            other_means[i] += b / n
            other_means[j] += b / n
    mixed = (means * other_means).mean()
    return product / n**2 + means.mean() * other_means.mean() - 2 * mixed


def order_document(fit: OrderFit) -> dict[str, Any]:
    """JSON values of a fit: families with likelihood and AIC, parameters with intervals."""
    return {
        "degree": fit.degree,
        "families": [
            {
                **law_fields(candidate.law),
                "log_likelihood": candidate.log_likelihood,
                "aic": candidate.aic,
            }
            for candidate in fit.candidates
        ],
        "interval_99": {name: list(bounds) for name, bounds in fit.intervals.items()},
        "standard_error": dict(fit.standard_errors),
    }
