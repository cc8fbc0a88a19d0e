r"""Laws of grains calibrated to printed numbers of sections.

A stationary law has four numbers: the mean seed distance l, the aspect ratio rho of grains, the
spread s of r (in l) or of log d, and the tilt tau of the axes out of the radial direction. With

.. math:: \log d = -2 \log l + \tfrac{2}{3} \log \rho + s_d z_1, \qquad r = s_r z_4

(`radial_profile`) they are solved for a printed mean, standard deviation, aspect ratio and
alignment; a number that is not printed leaves one of them open, and it is assumed.

The numbers of a law are those of simulated sections of fixed random numbers. Steps are those of
Gauss and Newton within bounds, with derivatives by Broyden (1965): a size scales nearly everything,
so that its derivatives are known, and differences give the other ones once, on few sections.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from ...markers.marker_law import Profile
from ...markers.radial_profile import RadialProfileMarkers
from ...progress import Progress, Stages, quiet
from .law_parameters import TRANSVERSE, RadialLaw
from .published_numbers import Measured, Numbers, SectionView, measured

Carrier = Literal["r", "d"]
CARRIERS: tuple[Carrier, ...] = get_args(Carrier)

# Assumed where nothing printed tells.
ASPECT_RATIO, TILT_DEG = 1.6, 15.0
ASPECT_SPREAD, FLATNESS_SPREAD = 0.15, 0.0
SPREADS: dict[Carrier, float] = {"r": 0.35, "d": 0.6}

OTHER_RATIOS, OTHER_TILTS_DEG = (1.25, 2.2), (5.0, 30.0)

TOLERANCE = 0.01  # relative; absolute for the alignment
CLOSE, NEAR = 0.4, 0.6  # of the tolerance, at which steps end: on many sections, on few
FAR = 3.0  # of the tolerance, from which more sections do not help
SHORTEST = 1 / 64  # of the longest step, at which a search ends
FEW_GRAINS, OTHER_GRAINS, MANY_GRAINS = 5_000, 10_000, 20_000
STEPS, LAST_STEPS = 12, 8

FITTED, FRESH = 16, 17  # of the random numbers of `common_seeds`

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StationaryLaw:
    """A law that is the same at every distance from the centre.

    Parameters
    ----------
    distance_um
        l, mean distance of seeds: lambda^(-1/3), um.
    spread
        Standard deviation of r in l, or of log d.
    carrier
        Which of the two.
    aspect_ratio
        rho, median.
    tilt_deg
        tau, degrees.
    """

    distance_um: float
    spread: float
    carrier: Carrier
    aspect_ratio: float
    tilt_deg: float

    def radial_law(self, pixel_um: float) -> RadialLaw:
        """Its markers and intensity in pixels: d and r are multiplied so that d is 16."""
        distance = self.distance_um / pixel_um
        unit = math.sqrt(TRANSVERSE) * distance * self.aspect_ratio ** (-1 / 3)
        r, d = (self.spread if self.carrier == one else 0.0 for one in CARRIERS)
        markers = RadialProfileMarkers(
            aspect_ratio=_constant(self.aspect_ratio),
            transverse=_constant(TRANSVERSE),
            aspect_spread=_constant(ASPECT_SPREAD),
            transverse_spread=_constant(d),
            flatness_spread=_constant(FLATNESS_SPREAD),
            offset_spread=_constant(unit * r),
            tilt_deg=_constant(self.tilt_deg),
        )
        return RadialLaw(markers, distance**-3)


def _constant(value: float) -> Profile:
    return Profile((0.0,), (value,))


LOG_DISTANCE, SPREAD, LOG_RATIO, TILT = range(4)  # what is solved for; the tilt in radians
LOW = np.array([-math.inf, 0.0, math.log(0.3), 0.0])
HIGH: dict[Carrier, Floats] = {
    "r": np.array([math.inf, 1.2, math.log(6.0), 1.0]),
    "d": np.array([math.inf, 1.4, math.log(6.0), 1.0]),
}
STEP = np.array([0.05, 0.1, 0.1, 0.1])  # of differences
LONGEST = np.array([0.5, 0.4, 0.4, 0.4])  # change in a step
LEAST_CHANGE = 1e-5


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """A law, and how near it comes to what was asked for.

    Parameters
    ----------
    asked
        Printed numbers.
    view
        How they were measured.
    law
        Their law.
    found, fresh
        Numbers of the sections that the law was solved on, and of as many others.
    n_simulated
        Sections that were simulated for it.
    """

    asked: Numbers
    view: SectionView
    law: StationaryLaw
    found: Measured
    fresh: Measured
    n_simulated: int

    @property
    def reached(self) -> bool:
        """Whether every number is met within `TOLERANCE`."""
        return bool(np.abs(misses(self.found.numbers, self.asked)).max() <= 1)


def calibration(
    asked: Numbers,
    view: SectionView,
    carrier: Carrier,
    start: StationaryLaw | None = None,
    *,
    seed: int = 0,
    n_grains: int | None = None,
    progress: Progress = quiet,
) -> Calibration:
    """The law that meets the printed numbers, or comes nearest to them.

    Parameters
    ----------
    asked
        Printed numbers.
    view
        How they were measured.
    carrier
        What spreads the sizes.
    start
        Law to begin with; what nothing printed tells stays as it is there.
    seed
        Entropy of the sections.
    n_grains
        In the sections that the law is solved on at last, and in those that test it; 20,000 if
        left out.
    """
    n_grains = n_grains or MANY_GRAINS
    task = _Task(asked, view, start or first_guess(asked, carrier), seed)
    progress("few sections", 0.0)
    few = _solved(task, task.start, None, FEW_GRAINS, NEAR, STEPS)
    progress("many sections", 0.5)
    near = np.abs(misses(few.found.numbers, asked)).max() <= FAR
    many = _solved(task, few.place, few.slopes, n_grains, CLOSE, LAST_STEPS if near else 0)
    progress("other sections", 0.9)
    fresh = task.measured(many.place, n_grains, FRESH)
    law = task.law(many.place)
    n = few.n_simulated + many.n_simulated
    return Calibration(
        asked=asked, view=view, law=law, found=many.found, fresh=fresh, n_simulated=n
    )


def first_guess(asked: Numbers, carrier: Carrier) -> StationaryLaw:
    """Where a search begins, and what is assumed of what nothing printed tells."""
    return StationaryLaw(
        distance_um=asked.mean_um,
        spread=SPREADS[carrier],
        carrier=carrier,
        aspect_ratio=ASPECT_RATIO,
        tilt_deg=TILT_DEG,
    )


def others(first: Calibration, seed: int, stages: Stages) -> Iterator[tuple[str, Calibration]]:
    """Other laws of the same numbers, and what is other in each."""
    for name, start in _variants(first):
        with stages(name) as progress:
            yield name, calibration(
                first.asked, first.view, start.carrier, start,
                seed=seed, n_grains=OTHER_GRAINS, progress=progress,
            )  # fmt: skip


def _variants(first: Calibration) -> Iterator[tuple[str, StationaryLaw]]:
    law, asked = first.law, first.asked
    if asked.std_um is None:
        for factor in (0.5, 2.0):
            spread = factor * law.spread
            yield f"spread of {law.carrier} {spread:.3g}", replace(law, spread=spread)
        return
    carrier = next(one for one in CARRIERS if one != law.carrier)
    yield f"spread carried by {carrier}", replace(law, carrier=carrier, spread=SPREADS[carrier])
    shapes = (asked.aspect_ratio, asked.alignment)
    if shapes == (None, None):
        for ratio in OTHER_RATIOS:
            yield f"aspect ratio {ratio:g}", replace(law, aspect_ratio=ratio)
    elif None in shapes:
        for tilt in OTHER_TILTS_DEG:
            yield f"tilt {tilt:g} degrees", replace(law, tilt_deg=tilt)


def misses(found: Numbers, asked: Numbers) -> Floats:
    """By how many times `TOLERANCE` the numbers that were asked for are missed."""
    pairs = [(name, getattr(found, name), wanted) for name, wanted in asked._asdict().items()]
    differences = [
        value - wanted if name == "alignment" else math.log(value / wanted)
        for name, value, wanted in pairs
        if wanted is not None
    ]
    return np.array(differences) / TOLERANCE


@dataclass(frozen=True, eq=False)
class _Task:
    """What is solved: numbers asked for, and the law that a search begins with."""

    asked: Numbers
    view: SectionView
    law_before: StationaryLaw
    seed: int

    @property
    def free(self) -> list[int]:
        """What is solved for: as many as are asked for."""
        asked = self.asked
        shapes = (asked.aspect_ratio is not None) + (asked.alignment is not None)
        found = [LOG_DISTANCE, SPREAD] if asked.std_um is not None else [LOG_DISTANCE]
        return found + [LOG_RATIO, TILT][:shapes]

    @property
    def start(self) -> Floats:
        """Place of the first law."""
        law = self.law_before
        values = (math.log(law.distance_um), law.spread, math.log(law.aspect_ratio))
        return np.array([*values, math.radians(law.tilt_deg)])[self.free]

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Least and largest values."""
        low, high = LOW.copy(), HIGH[self.law_before.carrier]
        if self.asked.alignment is None:
            low[LOG_RATIO] = 0.0  # the aspect ratio does not tell long grains from flat ones
        return low[self.free], high[self.free]

    def law(self, place: Floats) -> StationaryLaw:
        """Law of the values that are solved for."""
        found = dict(zip(self.free, place.tolist(), strict=True))
        law = replace(self.law_before, distance_um=math.exp(found[LOG_DISTANCE]))
        if SPREAD in found:
            law = replace(law, spread=found[SPREAD])
        if LOG_RATIO in found:
            law = replace(law, aspect_ratio=math.exp(found[LOG_RATIO]))
        return replace(law, tilt_deg=math.degrees(found[TILT])) if TILT in found else law

    def measured(self, place: Floats, n_grains: int, stage: int = FITTED) -> Measured:
        """Numbers of a law in sections of about ``n_grains`` whole grains."""
        pixel = self.view.simulated_pixel_um(self.asked.mean_um)
        law, n = self.law(place).radial_law(pixel), self.view.n_sections(self.asked, n_grains)
        return measured(law, self.view, self.asked.mean_um, n, self.seed, stage)

    def slopes(self, place: Floats, found: Measured, n_grains: int) -> Floats:
        """Derivatives (m, m) of `misses` by what is solved for: the first by similarity."""
        high = self.bounds[1]
        here = misses(found.numbers, self.asked)
        columns = [_similarity(self.asked)]
        for k, one in enumerate(self.free[1:], start=1):
            step = np.zeros(len(place))
            step[k] = STEP[one] if place[k] + STEP[one] < high[k] else -STEP[one]
            there = self.measured(place + step, n_grains)
            columns.append((misses(there.numbers, self.asked) - here) / step[k])
        return np.column_stack(columns)


def _similarity(asked: Numbers) -> Floats:
    """Derivatives by log l if all lengths grow alike: those of the logarithms of lengths are 1."""
    lengths = [
        name in ("mean_um", "std_um") for name, v in asked._asdict().items() if v is not None
    ]
    return np.array(lengths, float) / TOLERANCE


class _Solved(NamedTuple):
    """The best place, its numbers, and the derivatives there."""

    place: Floats
    found: Measured
    slopes: Floats
    n_simulated: int


def _solved(
    task: _Task, place: Floats, slopes: Floats | None, n_grains: int, enough: float, steps: int
) -> _Solved:
    """Damped Gauss-Newton steps within bounds until no number is missed by more than ``enough``.

    Where steps no longer help, differences give the derivatives once more.
    """
    found = task.measured(place, n_grains)
    n_evaluations, reach, renewals = 1, 1.0, 1
    if slopes is None:
        slopes = task.slopes(place, found, n_grains)
        n_evaluations += len(place) - 1
    missed = misses(found.numbers, task.asked)
    for _ in range(steps):
        if np.abs(missed).max() <= enough:
            break
        if reach < SHORTEST:
            if not renewals or np.abs(missed).max() <= 1:
                break
            slopes, reach, renewals = task.slopes(place, found, n_grains), 1.0, renewals - 1
            n_evaluations += len(place) - 1
        step = _step(task, place, missed, slopes, reach)
        if np.abs(step).max() < LEAST_CHANGE:
            break
        tried = task.measured(place + step, n_grains)
        n_evaluations += 1
        there = misses(tried.numbers, task.asked)
        slopes = slopes + np.outer(there - missed - slopes @ step, step) / (step @ step)
        if there @ there < missed @ missed:
            place, found, missed, reach = place + step, tried, there, min(1.0, 2 * reach)
        else:
            reach /= 8
    return _Solved(place, found, slopes, n_evaluations * found.n_sections)


def _step(task: _Task, place: Floats, missed: Floats, slopes: Floats, reach: float) -> Floats:
    """Step to the least squares of the linear problem, no longer than allowed."""
    low, high = task.bounds
    longest = reach * LONGEST[task.free]
    limits = np.maximum(low - place, -longest), np.minimum(high - place, longest)
    step: Floats = lsq_linear(slopes, -missed, limits).x
    return step
