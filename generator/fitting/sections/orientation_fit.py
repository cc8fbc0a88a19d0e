r"""The law of the crystal orientations from sections: c-axes across the radius, or no texture.

**Is there a texture?** W is the mean of (c . r)^2 over grains, c the c-axis and r the direction of
the radius: 1/3 for random crystals, 0 for c-axes across the radius (the test of Watson for axes
near a plane whose normal is known). Where the height of a plane is not known, W is the least over
heights, of each section. Its law without texture is simulated: the same grains, random c-axes,
heights searched in the same way. A W that is too small at the level 0.05 is a texture.

**Its spread.** In the model "radial" of `markers.orientations` the c-axis stands out of the tangent
plane by a normal angle of standard deviation sigma. The angle phi in [0, pi/2] between c-axis and
tangent plane has the folded density

.. math:: f(\varphi; \sigma) = 2 \sum_k n(\varphi + k \pi; \sigma);

random crystals have cos(phi): the angle to the radius has the density of its sine. Sigma and the
unknown heights are those of the largest likelihood; the interval holds the spreads whose
likelihood, at their best heights, is not below it by more than 1.92 (95 %).

**By how much the radius is off.** The model's radius is that of the grain's seed, which lies above
or below the plane and beside the centre of the grain's pixels. Seen from the particle's centre the
two differ by an angle whose variance is added to sigma^2 for each grain: along the normal `DEPTH`,
aside `ASIDE` times the width of the section's grains (root mean square of the standard deviation
of their pixels across the radius), over the distance. The factors were measured on sections of the
shipped models (docs/fitting.md, Crystals).

**Wrong frames** of Euler angles blur a texture. If crystals that are turned as files of
microscopes may need it (`ebsd.FRAMES`) lie across the radius more nearly, by more than `CLEARLY`
standard errors of the mean of (c . r)^2, the fit says so.

**Assumed**: the crystals of grains are independent of each other and, at a place, of the grains'
sizes and shapes. Sections show large grains more often; under this assumption nothing follows
for the crystals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...streams import stream
from .crystal_axes import CrystalAxes, crystal_axes
from .radial_bins import EDGES
from .section import Section

LEVEL = 0.05  # of the test for texture
DROP = 1.920729  # of the log-likelihood at the ends of a 95 % interval: half of chi^2 of one
N_SIMULATED = 999
FEWEST = 10  # grains of a fit, and of a bin
RADII = (*EDGES[:-1], math.inf)  # relative radii: of core, middle, outside
SPREADS_DEG = (0.1, 90.0)
HEIGHTS = np.linspace(-0.5, 0.5, 41)  # that are searched, in radii of the section
DEPTH, ASIDE = 1.7, 0.7
WRAPS = np.pi * np.arange(-2, 3)
POLE = math.sin(math.radians(15.0))  # nearer to the radius densities of c-axes are as there
CLEARLY = 3.0
TURNS = {  # of crystals against the map: what leads from one frame of Euler angles to another
    "180 degrees about x": np.diag([1.0, -1.0, -1.0]),
    "180 degrees about x + y": np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]),
    "90 degrees about z": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
}
CLASSES_DEG = np.linspace(0.0, 90.0, 10)  # of angles that are counted

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlacedAxes:
    """C-axes of a section at a height.

    Parameters
    ----------
    axes
        Of the section, at that height.
    origin
        "given"; "found", from the crystals themselves; "none" where they show no texture, so
        that any height is as good: that of the centre is taken.
    error_um
        Standard error of a height that was found, um.
    """

    axes: CrystalAxes
    origin: Literal["given", "found", "none"]
    error_um: float | None = None

    @property
    def height_um(self) -> float:
        """Of the plane, from the centre of the particle, um."""
        return float(self.axes.places_um[0, 2])


@dataclass(frozen=True, eq=False)
class AngleBin:
    """Angles of the grains in a range of relative radii.

    Parameters
    ----------
    low, high
        Relative radii; high is infinite for the outermost.
    to_radius_deg, to_normal_deg, to_long_axis_deg
        (n,), (n,), (m,) angles of the c-axes, degrees; m grains are whole and have a long axis.
    errors_deg
        (n,) standard deviations of the angle between the radii of grain and seed, degrees.
    spread_deg, interval_deg
        Fitted to these grains alone; None without texture.
    """

    low: float
    high: float
    to_radius_deg: Floats
    to_normal_deg: Floats
    to_long_axis_deg: Floats
    errors_deg: Floats
    spread_deg: float | None = None
    interval_deg: tuple[float, float] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """(9,) grains whose c-axis is at 0 to 10, 10 to 20, ... degrees to the radius."""
        return np.histogram(self.to_radius_deg, CLASSES_DEG)[0]

    def density(self, to_radius_deg: Floats, spread_deg: float) -> Floats:
        """Of the angle to the radius as it is seen, 1/degree, at angles (m,)."""
        phi = np.radians(90.0 - to_radius_deg)[:, None]
        spreads = np.hypot(np.radians(spread_deg), np.radians(self.errors_deg))
        found: Floats = np.exp(log_density(phi, spreads)).mean(axis=1) * math.pi / 180
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class OrientationFit:
    """What sections say about the law of the crystal orientations.

    Parameters
    ----------
    sections
        All that were looked at.
    left_out
        Names of sections that the spread was not fitted to.
    mean_square
        W, in [0, 1].
    p_value
        Probability of so small a W without texture.
    p_along
        Probability of so large a W, its largest over heights, without texture.
    spread_deg, interval_deg
        Sigma and its 95 % interval, degrees; None without texture.
    log_likelihood_ratio
        Logarithm of the likelihood of the radial model over that of random crystals; None
        without texture.
    bins
        From the centre outwards.
    better_turn
        Key of `TURNS` if so turned crystals lie across the radius more nearly; empty otherwise.
    """

    sections: tuple[PlacedAxes, ...]
    left_out: tuple[str, ...]
    mean_square: float
    p_value: float
    p_along: float
    spread_deg: float | None
    interval_deg: tuple[float, float] | None
    log_likelihood_ratio: float | None
    bins: tuple[AngleBin, ...]
    better_turn: str

    @property
    def model(self) -> Literal["radial", "uniform"]:
        """The law that is taken."""
        return "uniform" if self.spread_deg is None else "radial"

    @property
    def n_grains(self) -> int:
        """Grains that were looked at: those with a radius."""
        return sum(len(one.to_radius_deg) for one in self.bins)

    @property
    def along_radius(self) -> bool:
        """Whether c-axes lie along the radius, which no model of cards has."""
        return self.model == "uniform" and self.p_along < LEVEL

    @property
    def sentence(self) -> str:
        """The decision and its reason."""
        facts = (
            f"{self.n_grains} grains, mean of (c . r)^2 "
            f"{self.mean_square:.3f} (1/3 without texture), p = {self.p_value:.2g}"
        )
        if self.interval_deg is not None:
            low, high = self.interval_deg
            return (
                f"radial: c-axes across the radius with a spread of {self.spread_deg:.3g} degrees "
                f"[{low:.3g}, {high:.3g}]; {facts}"
            )
        if self.along_radius:
            return (
                f"c-axes lie along the radius (p = {self.p_along:.2g}), which no model of cards "
                f"has; uniform is taken; {facts}"
            )
        return f"uniform: no texture found at the level {LEVEL:g}; {facts}"

    @property
    def warnings(self) -> list[str]:
        """What a user should know before trusting the law."""
        found = []
        if self.better_turn:
            found.append(
                f"turned by {self.better_turn} of the map, the crystals would lie across the "
                "radius more nearly: look up what the Euler angles refer to, and set the frame"
            )
        if self.along_radius:
            found.append("no model of cards has c-axes along the radius, as these sections show")
        found += [
            f"{name} is left out: its crystals place it beyond half a radius from the centre"
            for name in self.left_out
        ]
        return found


class _Grains:
    """What the fit needs of the grains of a section that have a radius."""

    def __init__(self, axes: CrystalAxes, heights: Floats) -> None:
        c, places = axes.c_axes[axes.has_radius], axes.places_um[axes.has_radius]
        self.heights = heights  # (h,), um, that are searched
        self.in_plane = np.linalg.norm(places[:, :2], axis=1)
        self.along = (c[:, :2] * places[:, :2]).sum(axis=1) / self.in_plane
        self.normal = c[:, 2]
        aside = np.clip(1 - self.along**2 - self.normal**2, 0, 1)
        width = np.sqrt((axes.across_um**2).mean())
        self.blur = width * np.sqrt((DEPTH * self.normal) ** 2 + ASIDE**2 * aside)  # (n,), um

    def __len__(self) -> int:
        return len(self.in_plane)

    def angles(self, height: float) -> tuple[Floats, Floats]:
        """(n,) angle between c-axis and tangent plane, standard deviation of its error, radians."""
        distance = np.hypot(self.in_plane, height)
        sine = np.abs(self.in_plane * self.along + height * self.normal) / distance
        return np.arcsin(np.minimum(sine, 1.0)), self.blur / distance

    def log_likelihood(self, spread: float, height: float) -> float:
        """Of a spread, radians, and a height, um, less that of random crystals."""
        phi, error = self.angles(height)
        return _log_likelihood(phi, np.hypot(spread, error))

    def best(self, spread: float) -> tuple[float, float]:
        """Height of the largest likelihood, um, and that likelihood."""
        from scipy.optimize import minimize_scalar

        middle = float(self.heights[self._first])
        if len(self.heights) == 1:
            return middle, self.log_likelihood(spread, middle)
        step = self.heights[1] - self.heights[0]
        found = minimize_scalar(
            lambda height: -self.log_likelihood(spread, height),
            bounds=(middle - 2 * step, middle + 2 * step),
            method="bounded",
            options={"xatol": 1e-3 * step},
        )
        return float(found.x), -float(found.fun)

    @cached_property
    def _first(self) -> int:
        """Row of the height at which c-axes lie across the radius most nearly."""
        return int(self.squares(self.along[None], self.normal[None])[0].argmin())

    @property
    def least_squares(self) -> Floats:
        """(n,) (c . r)^2 at that height."""
        squares: Floats = np.sin(self.angles(float(self.heights[self._first]))[0]) ** 2
        return squares

    @property
    def at_an_end(self) -> bool:
        """Whether the height runs to the end of those that are searched."""
        return len(self.heights) > 1 and self._first in (0, len(self.heights) - 1)

    def squares(self, along: Floats, normal: Floats) -> Floats:
        """(m, h) sums of (c . r)^2 at each height; of c-axes with components (m, n)."""
        inverse = 1 / (self.in_plane[:, None] ** 2 + self.heights**2)  # (n, h)
        radial = along * self.in_plane
        squares: Floats = (
            radial**2 @ inverse
            + (2 * radial * normal) @ (inverse * self.heights)
            + normal**2 @ (inverse * self.heights**2)
        )
        return squares


def log_density(phi: Floats, spread: Floats | float) -> Floats:
    """Logarithm of the folded density of angles to the tangent plane, radians; see the head."""
    shifted = (np.asarray(phi)[..., None] + WRAPS) / np.asarray(spread)[..., None]
    terms = -(shifted**2) / 2
    largest = terms.max(axis=-1)
    total = np.exp(terms - largest[..., None]).sum(axis=-1)
    found: Floats = largest + np.log(2 * total / (math.sqrt(2 * math.pi) * np.asarray(spread)))
    return found


def _log_likelihood(phi: Floats, spread: Floats) -> float:
    """Less that of random crystals, whose density is cos(phi): taken as at `POLE` beyond it."""
    return float((log_density(phi, spread) - np.log(np.maximum(np.cos(phi), POLE))).sum())


def fit_orientations(
    sections: Sequence[Section], heights_um: Sequence[float] | None = None
) -> OrientationFit:
    """Law of the crystal orientations in ``sections``.

    Parameters
    ----------
    sections
        With orientations; near the centre of particles, if their heights are not given.
    heights_um
        Of the planes from the particles' centres, along z of the maps, um. If left out, the
        crystals say where each plane lies, up to half a radius of the section from the centre.

    Raises
    ------
    FitError
        If a section has no orientations, or all have fewer than `FEWEST` grains.
    """
    axes = [crystal_axes(one) for one in sections]
    searched = _searched(axes, heights_um)
    grains = [_Grains(*pair) for pair in zip(axes, searched, strict=True)]
    if (n := sum(map(len, grains))) < FEWEST:
        msg = f"{n} grains have a c-axis and a radius, expected at least {FEWEST} for a law of them"
        raise FitError(msg)
    least, p_value, p_along = _texture(grains)
    textured = p_value < LEVEL
    far = [textured and one.at_an_end for one in grains]
    far = [False] * len(far) if all(far) else far
    pairs = [
        pair for pair, left in zip(zip(axes, grains, strict=True), far, strict=True) if not left
    ]
    spread, interval, ratio = _spread([one for _, one in pairs]) if textured else (None, None, None)
    placed = tuple(_placed(*pair, spread) for pair in pairs)
    return OrientationFit(
        sections=placed,
        left_out=tuple(one.source for one, left in zip(axes, far, strict=True) if left),
        mean_square=least,
        p_value=p_value,
        p_along=p_along,
        spread_deg=spread and math.degrees(spread),
        interval_deg=interval,
        log_likelihood_ratio=ratio,
        bins=_bins(placed, textured),
        better_turn=_better_turn(axes, searched),
    )


def _searched(axes: Sequence[CrystalAxes], heights_um: Sequence[float] | None) -> list[Floats]:
    """Heights of each section that are searched, um: one if it is given."""
    if heights_um is not None:
        return [np.array([height], np.float64) for height in heights_um]
    return [HEIGHTS * float(np.sqrt((one.rim_um**2).mean())) for one in axes]


def _texture(grains: Sequence[_Grains]) -> tuple[float, float, float]:
    """W, and the probabilities of one so small and of one so large without texture."""
    rng = stream(0, 9, "fit")
    found, random = np.zeros(2), np.zeros((N_SIMULATED, 2))
    for one in grains:
        found += _ends(one.squares(one.along[None], one.normal[None]))[0]
        c = rng.normal(size=(3, N_SIMULATED, len(one)))
        c /= np.linalg.norm(c, axis=0)
        random += _ends(one.squares(c[0], c[1]))
    above = np.array([random[:, 0] <= found[0], random[:, 1] >= found[1]])
    p_value, p_along = (1 + above.sum(axis=1)) / (1 + N_SIMULATED)
    return float(found[0] / sum(map(len, grains))), float(p_value), float(p_along)


def _better_turn(axes: Sequence[CrystalAxes], heights: Sequence[Floats]) -> str:
    """Key of the turn that brings c-axes nearest to tangents, if clearly nearer than they are."""

    def squares(turn: Floats) -> Floats:
        turned = [replace(one, c_axes=one.c_axes @ turn.T) for one in axes]
        pairs = zip(turned, heights, strict=True)
        return np.concatenate([_Grains(*pair).least_squares for pair in pairs])

    present, gains = squares(np.eye(3)), {}
    for name, turn in TURNS.items():
        gain = present - squares(turn)
        gains[name] = gain.mean() / max(gain.std() / math.sqrt(len(gain)), 1e-12)
    best = max(gains, key=lambda name: gains[name])
    return best if gains[best] > CLEARLY else ""


def _ends(squares: Floats) -> Floats:
    """(m, 2) least and largest over heights (m, h)."""
    return np.column_stack([squares.min(axis=1), squares.max(axis=1)])


def _spread(grains: Sequence[_Grains]) -> tuple[float, tuple[float, float], float]:
    """Sigma, radians, its interval, degrees, and the log-likelihood over that of random ones."""
    return _largest(lambda spread: sum(one.best(spread)[1] for one in grains))


def _largest(log_likelihood: Callable[[float], float]) -> tuple[float, tuple[float, float], float]:
    """Spread of the largest likelihood, radians, its interval, degrees, and the likelihood."""
    from scipy.optimize import brentq, minimize_scalar

    low, high = (math.log(math.radians(spread)) for spread in SPREADS_DEG)
    found = minimize_scalar(
        lambda log: -log_likelihood(math.exp(log)), bounds=(low, high), method="bounded",
        options={"xatol": 1e-3},
    )  # fmt: skip
    best, top = float(found.x), -float(found.fun)

    def above(log: float) -> float:
        return log_likelihood(math.exp(log)) - (top - DROP)

    ends = [
        end if above(end) > 0 else brentq(above, min(end, best), max(end, best), xtol=1e-3)
        for end in (low, high)
    ]
    first, last = (math.degrees(math.exp(end)) for end in ends)
    return math.exp(best), (first, last), top


def _placed(axes: CrystalAxes, grains: _Grains, spread: float | None) -> PlacedAxes:
    if len(grains.heights) == 1:
        return PlacedAxes(axes.at_height(float(grains.heights[0])), "given")
    if spread is None:
        return PlacedAxes(axes, "none")
    height, top = grains.best(spread)
    step = float(grains.heights[1] - grains.heights[0])
    beside = [grains.log_likelihood(spread, height + sign * step) for sign in (-1, 1)]
    bend = (2 * top - sum(beside)) / step**2
    error = None if bend <= 0 else 1 / math.sqrt(bend)
    return PlacedAxes(axes.at_height(height), "found", error)


def _bins(placed: Sequence[PlacedAxes], textured: bool) -> tuple[AngleBin, ...]:
    """Angles by relative radius; a range with fewer than `FEWEST` grains joins the next one."""
    columns = np.concatenate([_columns(one.axes) for one in placed])
    radii = columns[:, 0]
    edges = [RADII[0]]
    for edge in RADII[1:-1]:
        left = np.count_nonzero(radii >= edge)
        if np.count_nonzero((radii >= edges[-1]) & (radii < edge)) >= FEWEST <= left:
            edges.append(edge)
    edges.append(RADII[-1])
    return tuple(
        _bin(low, high, columns[(radii >= low) & (radii < high)], textured)
        for low, high in pairwise(edges)
    )


def _columns(axes: CrystalAxes) -> Floats:
    """(n, 5) relative radii, angles to radius, normal and long axis, errors; degrees."""
    grains, height = _Grains(axes, np.zeros(1)), float(axes.places_um[0, 2])
    angles = axes.to_radius_deg, axes.to_normal_deg, axes.to_long_axis_deg
    rows = [column[axes.has_radius] for column in (axes.relative_radii, *angles)]
    return np.column_stack([*rows, np.degrees(grains.angles(height)[1])])


def _bin(low: float, high: float, columns: Floats, textured: bool) -> AngleBin:
    _, radius, normal, long_axis, errors = columns.T
    spread, interval = None, None
    if textured:
        phi, error = np.radians(90.0 - radius), np.radians(errors)
        spread, interval, _ = _largest(lambda s: _log_likelihood(phi, np.hypot(s, error)))
    return AngleBin(
        low=low,
        high=high,
        to_radius_deg=radius,
        to_normal_deg=normal,
        to_long_axis_deg=long_axis[np.isfinite(long_axis)],
        errors_deg=errors,
        spread_deg=spread and math.degrees(spread),
        interval_deg=interval,
    )
