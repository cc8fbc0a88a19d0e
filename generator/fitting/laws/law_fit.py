"""From sections to a radial law: which of them are used, what was found, and how good it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import FitError
from ...progress import Stages, stages as stages_of
from ..sections.descriptors import Alignment
from ..sections.section import Section
from ..sections.usable import pixel_problems, twin_problems
from . import section_heights
from .common_seeds import section_labels
from .held_out import HeldOut, held_out
from .law_parameters import GUESS, OFFSET_SPREADS, PARAMETERS
from .moment_fit import (
    STARTS,
    TWINS,
    Effort,
    Iterate,
    Kept,
    MomentFit,
    Target,
    moment_fit,
    nothing_kept,
    refined_fit,
)
from .section_heights import SectionHeight, section_height
from .statistics import EDGES, Edges, bin_range
from .uncertainty import (
    OFFSET_SPREAD_VALUES,
    Intervals,
    Miss,
    Refits,
    misses,
    offset_spread_profile,
    refits,
)

LEAST_GRAINS = 50  # of all sections: fewer say nothing about a law
FEW_SECTIONS = 3
MOST_BORDER = 0.25  # of an image that may be particle: beyond, neither centre nor radius are known
WIDEST = 0.3  # of R, 95 % interval of the height of a section that is used

SILENT = stages_of(None)
STUCK = 15.0  # difference of objectives beyond what chance makes of Q


@dataclass(frozen=True, eq=False, kw_only=True)
class LawFit:
    """A law fitted to sections, and what is known about it.

    Parameters
    ----------
    sections, alignments
        All sections, and whether they show radial grains through the centre.
    heights
        Of the others, by their rows: how far they are from the centre.
    used
        Rows of the sections that the law was fitted to.
    first
        The fit to sections through the centre alone; ``moments`` if there are no others.
    moments
        The fit.
    refits, known, misses, offset_spreads, held_out
        How good it is and how well it is known.
    """

    sections: tuple[Section, ...]
    alignments: tuple[Alignment, ...]
    heights: Mapping[int, SectionHeight]
    used: tuple[int, ...]
    first: MomentFit
    moments: MomentFit
    refits: Refits
    known: Intervals
    misses: Sequence[Miss]
    offset_spreads: Sequence[Iterate]
    held_out: Sequence[HeldOut]

    @property
    def kept(self) -> list[Section]:
        """Sections that the law was fitted to."""
        return [self.sections[k] for k in self.used]

    @property
    def pixel_um(self) -> float:
        """Edge of a pixel of the sections, um."""
        return self.kept[0].pixel_um

    @property
    def p_value(self) -> float:
        """Probability of a distance as large from sections of the law itself."""
        return self.refits.p_value(self.moments.best.distance)

    @property
    def is_met(self) -> bool:
        """Whether the sections are no farther from the law than chance explains."""
        return self.moments.best.distance <= self.refits.distance_95

    def twin(self, k: int) -> Section:
        """A section of the law on the pixels of the used section ``k``, without gaps."""
        target, section = self.moments.target, self.kept[k]
        key = (TWINS, target.numbers[k])
        labels = section_labels(self.moments.law, target.frames[k], target.seed, key)
        name = f"twin of {section.source}"
        return replace(section, labels=labels, source=name, steps=(), orientations=None)


def require_usable(sections: Sequence[Section]) -> None:
    """Refuse sections that no law can be fitted to, with all reasons.

    Raises
    ------
    FitError
        If there are too few grains, one is given twice, pixels differ, or a section shows so
        little of the outside that neither centre nor radius of the particle are known.
    """
    problems = [*pixel_problems(sections), *twin_problems(sections)]
    for section in sections:
        if (part := section.border_part) > MOST_BORDER:
            problems.append(
                f"{section.source}: {part:.0%} of the image's border is particle, expected at most "
                f"{MOST_BORDER:.0%}: neither the centre nor the radius of the particle are known; "
                "measure the whole section, or leave it out"
            )
    if (n := sum(section.n_grains for section in sections)) < LEAST_GRAINS:
        problems.append(
            f"{n} grains in all are too few to fit a law to, expected hundreds, at least "
            f"{LEAST_GRAINS}; measure more sections"
        )
    if problems:
        msg = "no law can be fitted to the sections:\n  " + "\n  ".join(problems)
        raise FitError(msg)


def fit_law(
    sections: Sequence[Section],
    alignments: Sequence[Alignment],
    seed: int,
    kept: Kept = nothing_kept,
    stages: Stages = SILENT,
) -> LawFit:
    """The radial law whose sections are nearest to the measured ones.

    Sections that are not kept by their alignment are not thrown away: a law is fitted to the
    others, the distance of each from the centre follows from it, and those that tell it well
    enough are fitted with the others.

    Raises
    ------
    FitError
        As `require_usable`.
    """
    central = [k for k, verdict in enumerate(alignments) if verdict.kept]
    require_usable([sections[k] for k in central])
    with stages("law") as show:
        target = Target.of([sections[k] for k in central], [0.0] * len(central), seed)
        first = moment_fit(target, kept, show)
    heights = _heights(sections, central, first, kept, stages)
    off = [k for k, found in heights.items() if found.high - found.low <= WIDEST]
    used, moments = tuple(sorted([*central, *off])), first
    if off:
        moments = _with_heights(sections, heights, used, first, kept, stages)
    with stages("refits") as show:
        again = refits(moments, kept=kept, show=show)
    with stages("spread of r") as show:
        spreads = offset_spread_profile(moments, OFFSET_SPREAD_VALUES, kept, show)
    with stages("held-out sections") as show:
        scores = held_out(moments, again, kept, show)
    return LawFit(
        sections=tuple(sections), alignments=tuple(alignments), heights=heights, used=used,
        first=first, moments=moments, refits=again, known=Intervals.of(moments, again),
        misses=misses(moments, again), offset_spreads=spreads, held_out=scores,
    )  # fmt: skip


def _heights(
    sections: Sequence[Section],
    central: Sequence[int],
    first: MomentFit,
    kept: Kept,
    stages: Stages,
) -> dict[int, SectionHeight]:
    """Of the sections that are not taken to pass through the centre."""
    others = [k for k in range(len(sections)) if k not in central and _is_whole(sections[k])]
    found = {}
    with stages("heights of sections") as show:
        for n, k in enumerate(others):
            show(sections[k].source, n / len(others))
            found[k] = section_height(sections[k], first, k, kept)
    return found


def _is_whole(section: Section) -> bool:
    return section.border_part <= MOST_BORDER and section.n_grains >= LEAST_GRAINS


def _with_heights(
    sections: Sequence[Section],
    heights: Mapping[int, SectionHeight],
    used: Sequence[int],
    first: MomentFit,
    kept: Kept,
    stages: Stages,
) -> MomentFit:
    """The law fitted to all sections that are used."""
    require_usable([sections[k] for k in used])
    places = [heights[k].height(sections[k]) if k in heights else 0.0 for k in used]
    target = replace(
        Target.of([sections[k] for k in used], places, first.target.seed),
        reference=first.target.reference,
    )
    with stages("law with all sections") as show:
        return refined_fit(target, first, kept, show)


def planned_sections(effort: Effort, n_central: int, n_others: int) -> int:
    """Simulated sections of a fit, at most: what its time is made of."""
    step, n = 2 * len(PARAMETERS) + 2, n_central + n_others
    rough = effort.rough_replicates + effort.replicates
    rough += (1 + len(STARTS)) * effort.rough_steps * step * effort.rough_groups
    finish = effort.replicates + effort.steps * step * effort.groups + step * effort.slope_groups
    finish += len(STARTS) * effort.chords * effort.groups
    after = effort.refits * (1 + effort.chords * effort.groups)
    after += len(OFFSET_SPREAD_VALUES) * effort.profile_steps * step * effort.rough_groups
    after += effort.held_out_replicates + effort.chords * effort.groups
    heights = n_others * len(section_heights.PARTS) * section_heights.N_REPLICATES
    again = n * finish if n_others else 0
    return n_central * (rough + finish) + n * after + heights + again


def warnings(fit: LawFit) -> Iterator[str]:
    """What a user should know before trusting the law, the gravest first."""
    best = fit.moments.best
    if np.array_equal(fit.first.theta, GUESS):
        yield "no step of the fit gained anything: the law is the guess that it began with"
    if not fit.is_met:
        yield (
            f"the law does not meet the sections: their distance from it is {best.distance:.0f}, "
            f"95 % of sections of the law itself are below {fit.refits.distance_95:.0f}; "
            f"{_missed(fit)}"
        )
    ends, least = fit.first.starts, fit.first.best.objective
    worse = [
        f"{name} by {one.objective - least:.0f}"
        for name, one in ends.items()
        if one.objective - least > STUCK
    ]
    if worse:
        yield (
            f"the fit ended elsewhere from {len(worse)} of its {len(ends)} starts, with a larger "
            f"distance ({', '.join(worse)}); the best is taken, but a better one may exist"
        )
    nearest = min(fit.offset_spreads, key=lambda one: one.objective)
    if best.objective - nearest.objective > STUCK:
        spread = math.exp(nearest.theta[OFFSET_SPREADS[0]])
        yield (
            f"a law with the spread of r held at {spread:.2g} mean seed distances is nearer by "
            f"{best.objective - nearest.objective:.0f}: the fit is stuck; give another --seed"
        )
    if len(fit.used) < FEW_SECTIONS:
        yield (
            f"{len(fit.used)} sections are few, expected {FEW_SECTIONS} or more: they may be of "
            "one particle that is not like the others"
        )
    edges = fit.moments.target.edges
    if len(edges) < len(EDGES):
        yield (
            f"too few grains at some distances from the centre: {len(EDGES) - 1} bins are merged "
            f"to {len(edges) - 1}, with edges at t = {', '.join(f'{e:g}' for e in edges)}"
        )
    yield from _held_out_warnings(fit)


def _missed(fit: LawFit) -> str:
    """Which statistics miss, in words."""
    if not fit.misses:
        return "no single number stands out"
    edges = fit.moments.target.edges
    return "; ".join(
        f"{one.statistic.name} at t = {_range(edges, one.statistic.bin)} off by "
        f"{one.deviations:+.1f} standard deviations"
        for one in fit.misses[:5]
    )


def _range(edges: Edges, k: int) -> str:
    low, high = bin_range(edges, k)
    return f"{low:g} to {high:g}"


def _held_out_warnings(fit: LawFit) -> Iterator[str]:
    for one in fit.held_out:
        if one.distance > one.distance_95:
            source = fit.kept[one.number].source
            yield (
                f"{source} is farther from the law of the other sections "
                f"({one.distance:.0f}) than 95 % of sections of that law ({one.distance_95:.0f})"
            )
