"""Random field of the outer shell: the law of the coefficients, and drawing valid shells.

Eqs. (5) to (7): a_00 is log-normal, the 2l + 1 coefficients of each degree l >= 1 share a
scaled Student t law, all are independent. The laws are in CT voxels; shells are in um.

Student t laws with about two degrees of freedom have heavy tails, so that some draws are
no shells. They are rejected, with the reason counted; nothing is clipped or repaired.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GenerationError
from ..rounding import rounded
from .laws import Law, law_from_fields, require_positive
from .shell import Shell

NOT_STAR_SHAPED = "not star-shaped"
NOT_STAR_SHAPED_ABOUT_CENTROID = "not star-shaped about its centroid"
SPHERICITY = "sphericity"
TOO_LARGE = "too large"

REMEDIES = {
    NOT_STAR_SHAPED: "lower roughness or max_degree, or raise size_scale",
    NOT_STAR_SHAPED_ABOUT_CENTROID: "lower roughness, min_radius_um or max_degree",
    SPHERICITY: "lower min_sphericity or roughness",
    TOO_LARGE: "raise max_radius_um, or lower size_scale or diameter_um",
}


@dataclass(frozen=True, kw_only=True)
class ShellDraw:
    """An accepted shell and what came before it.

    Parameters
    ----------
    shell
        The shell, about its centroid, um.
    attempt
        Index of the stream it was drawn from.
    rejected
        Number of earlier attempts that failed, by reason.
    """

    shell: Shell
    attempt: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class ShellModel:
    """Law of random shells, Eqs. (5) to (7), and which draws are accepted.

    Parameters
    ----------
    voxel_um
        Edge of a CT voxel, um.
    size
        Law of a_00, CT voxels.
    orders
        Laws of the coefficients of the degrees 1, 2, ..., CT voxels.
    min_sphericity
        Smallest sphericity accepted.
    min_radius_um
        The radius must be proven to exceed this everywhere, um. Not below the size of the
        finest detail one means to resolve; 50 nm is one pixel of the grain model.
    max_radius_um
        Largest proven upper bound of the radius accepted, um.
    max_degree
        Degrees above this are left out. They are drawn all the same, so that the lower
        ones do not depend on it.
    size_scale
        Factor of all coefficients.
    roughness
        Factor of the coefficients of degree 2 and above.
    diameter_um
        Volume-equivalent diameter to which each shell is scaled, um; None leaves the size
        as drawn.

    Raises
    ------
    ValueError
        For a value out of its range, or degrees that are not 1, 2, 3, ...
    """

    voxel_um: float
    size: Law
    orders: tuple[Law, ...]
    min_sphericity: float = 0.5
    min_radius_um: float = 0.05
    max_radius_um: float = 16.0
    max_degree: int = 9
    size_scale: float = 1.0
    roughness: float = 1.0
    diameter_um: float | None = None

    def __post_init__(self) -> None:
        require_positive(self, "voxel_um", "max_radius_um", "size_scale")
        for name in ("min_radius_um", "roughness"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                msg = f"{name} is {getattr(self, name)}, expected a number not below 0"
                raise ValueError(msg)
        if self.diameter_um is not None:
            require_positive(self, "diameter_um")
        if not 0 <= self.min_sphericity < 1:
            msg = f"min_sphericity is {self.min_sphericity}, expected at least 0 and below 1"
            raise ValueError(msg)
        if self.max_degree not in range(len(self.orders) + 1):
            msg = f"max_degree is {self.max_degree}, expected 0 to {len(self.orders)}"
            raise ValueError(msg)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ShellModel:
        """Model from the "shell" object of a model card; what tells of its fit is left out.

        Raises
        ------
        ValueError
            For a family that is not known, or degrees that are not 1, 2, 3, ...
        """
        known = {name: value for name, value in fields.items() if name != "fit"}
        orders = [dict(order) for order in fields["orders"]]
        degrees = [order.pop("degree") for order in orders]
        if degrees != list(range(1, len(degrees) + 1)):
            msg = f"orders are for the degrees {degrees}, expected 1, 2, 3, ... without a gap"
            raise ValueError(msg)
        laws = {
            "size": law_from_fields(fields["size"]),
            "orders": tuple(map(law_from_fields, orders)),
            "max_degree": int(fields.get("max_degree", cls.max_degree)),  # 9.0 is JSON's 9
        }
        return cls(**{**known, **laws})

    @property
    def median_radius_um(self) -> float:
        """Radius of the ball that the median of a_00 alone is, um; or half of ``diameter_um``."""
        if self.diameter_um is not None:
            return self.diameter_um / 2
        return self.voxel_um * self.size_scale * self.size.median / math.sqrt(4 * math.pi)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the coefficients of one random field, Eq. (7), before any knob.

        Parameters
        ----------
        rng
            Source of the random numbers.

        Returns
        -------
        ((L + 1)^2,) float
            a_lm up to the highest degree of ``orders``, CT voxels, multiples of 2^-20.
        """
        coefficients = [self.size.draw(rng, 1)]
        for degree, law in enumerate(self.orders, start=1):
            coefficients.append(law.draw(rng, 2 * degree + 1))
        return rounded(np.concatenate(coefficients))

    def sample(
        self,
        stream: Callable[[int], np.random.Generator],
        first_attempt: int = 0,
        max_attempts: int = 1000,
    ) -> ShellDraw:
        """Draw shells until one is accepted.

        Attempt k uses the numbers of ``stream(k)`` and of nothing else: what attempt k
        draws does not depend on any field but ``size`` and ``orders``, so a changed knob
        acts on the same random shell, unless that changes which attempt is accepted.

        Parameters
        ----------
        stream
            Generator of the attempt k; independent of those of other attempts.
        first_attempt
            Index of the attempt to begin with.
        max_attempts
            Number of attempts after which to give up.

        Raises
        ------
        GenerationError
            If no attempt is accepted.
        """
        rejected: Counter[str] = Counter()
        for attempt in range(first_attempt, first_attempt + max_attempts):
            outcome = self.accept(self.draw(stream(attempt)))
            if isinstance(outcome, Shell):
                return ShellDraw(shell=outcome, attempt=attempt, rejected=dict(rejected))
            rejected[outcome] += 1
        raise GenerationError(_failure(rejected, max_attempts))

    def accept(self, coefficients: NDArray[np.float64]) -> Shell | str:
        """Return the shell that a draw leads to, or the reason for which it is rejected.

        The knobs are applied; the radius is proven positive; the shell is recentred on its
        centroid, scaled to ``diameter_um``, rounded to multiples of 2^-20 CT voxels and
        multiplied by ``voxel_um``. Sphericity and both bounds of the radius are those of
        this last shell: the proof holds for what is returned.

        Parameters
        ----------
        coefficients
            What ``draw`` returns.
        """
        raw = self._with_knobs(coefficients)
        if raw[0] <= 0 or Shell(raw).weak_direction() is not None:
            return NOT_STAR_SHAPED
        try:
            centred = Shell(raw).recentred()
        except GenerationError:
            return NOT_STAR_SHAPED_ABOUT_CENTROID
        shell = self._in_um(centred)
        if shell.weak_direction(self.min_radius_um) is not None:
            return NOT_STAR_SHAPED_ABOUT_CENTROID
        if shell.sphericity < self.min_sphericity:
            return SPHERICITY
        if shell.radius_bounds[1] > self.max_radius_um:
            return TOO_LARGE
        return shell

    def _with_knobs(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coefficients up to ``max_degree``, CT voxels, scaled by size and roughness."""
        kept = coefficients[: (self.max_degree + 1) ** 2] * self.size_scale
        kept[4:] *= self.roughness
        return kept

    def _in_um(self, shell: Shell) -> Shell:
        """Shell in um from one in CT voxels, with the diameter asked for."""
        factor = 1.0
        if self.diameter_um is not None:
            factor = self.diameter_um / (self.voxel_um * shell.diameter_um)
        return Shell(rounded(shell.coefficients * factor) * self.voxel_um)


def _failure(rejected: Mapping[str, int], attempts: int) -> str:
    """Message for a model that yields no shell."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(rejected.items()))
    remedy = REMEDIES[max(rejected, key=lambda reason: rejected[reason])] if rejected else ""
    return (
        f"none of {attempts} drawn shells was accepted ({reasons or 'no attempt was made'}), "
        f"expected about 95 % with the values of the paper; {remedy or 'raise max_attempts'}"
    )
