"""Laws of the coefficients of random shells: log-normal, scaled Student t, normal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class LogNormal:
    """loc + scale exp(shape N), N standard normal.

    Parameters
    ----------
    shape
        Standard deviation of the logarithm, positive.
    loc
        Shift, CT voxels.
    scale
        Median of the value less ``loc``, CT voxels, positive.
    """

    family: ClassVar[str] = "lognorm"

    shape: float
    loc: float
    scale: float

    def __post_init__(self) -> None:
        require_positive(self, "shape", "scale")
        _require_finite(self, "loc")

    @property
    def median(self) -> float:
        """Value that half of the draws exceed, CT voxels."""
        return self.loc + self.scale

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """``n`` independent values, CT voxels."""
        normal = rng.standard_normal(n)
        return np.array([self.loc + self.scale * math.exp(self.shape * x) for x in normal])

    def log_density(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the density, Eq. (5)."""
        from scipy.stats import lognorm

        return np.asarray(lognorm.logpdf(values, self.shape, self.loc, self.scale))


@dataclass(frozen=True, kw_only=True)
class StudentT:
    """loc + sigma T, T Student t.

    Parameters
    ----------
    nu
        Degrees of freedom of T, positive.
    sigma
        Scale, CT voxels, positive.
    loc
        Centre, CT voxels.
    """

    family: ClassVar[str] = "t"

    nu: float
    sigma: float
    loc: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "nu", "sigma")
        _require_finite(self, "loc")

    @property
    def median(self) -> float:
        """Value that half of the draws exceed, CT voxels."""
        return self.loc

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """``n`` independent values, CT voxels."""
        values: NDArray[np.float64] = self.loc + self.sigma * rng.standard_t(self.nu, n)
        return values

    def log_density(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the density, Eq. (6) with a scale."""
        from scipy.stats import t

        return np.asarray(t.logpdf(values, self.nu, self.loc, self.sigma))


@dataclass(frozen=True, kw_only=True)
class Normal:
    """loc + sigma N, N standard normal: a Student t law with infinite nu.

    Parameters
    ----------
    sigma
        Standard deviation, CT voxels, positive.
    loc
        Mean, CT voxels.
    """

    family: ClassVar[str] = "norm"

    sigma: float
    loc: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "sigma")
        _require_finite(self, "loc")

    @property
    def median(self) -> float:
        """Value that half of the draws exceed, CT voxels."""
        return self.loc

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """``n`` independent values, CT voxels."""
        values: NDArray[np.float64] = self.loc + self.sigma * rng.standard_normal(n)
        return values

    def log_density(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the density."""
        from scipy.stats import norm

        return np.asarray(norm.logpdf(values, self.loc, self.sigma))


Law = LogNormal | StudentT | Normal
FAMILIES: dict[str, type[Law]] = {law.family: law for law in (LogNormal, StudentT, Normal)}


def law_fields(law: Law) -> dict[str, Any]:
    """Fields of a law as a model card has them."""
    return {"family": law.family, **asdict(law)}


def law_from_fields(fields: Mapping[str, Any]) -> Law:
    """Law from its fields.

    Raises
    ------
    ValueError
        For a family that is not one of ``FAMILIES``, or a value out of its range.
    """
    family = fields.get("family")
    if family not in FAMILIES:
        msg = f"the law is of the family {family!r}, expected one of {sorted(FAMILIES)}"
        raise ValueError(msg)
    return FAMILIES[family](**{name: value for name, value in fields.items() if name != "family"})


def require_positive(instance: object, *names: str) -> None:
    """Raise ValueError for a field that is not a positive number."""
    for name in names:
        value = getattr(instance, name)
        if not (math.isfinite(value) and value > 0):
            msg = f"{name} is {value}, expected a positive number"
            raise ValueError(msg)


def _require_finite(instance: object, *names: str) -> None:
    for name in names:
        value = getattr(instance, name)
        if not math.isfinite(value):
            msg = f"{name} is {value}, expected a finite number"
            raise ValueError(msg)
