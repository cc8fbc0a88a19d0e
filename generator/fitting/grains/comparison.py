r"""How alike the grains of two models are, in sections and in space, with what chance does to it.

A sample is made of units, sections or blocks: grains of one unit depend on each other, so that
the bootstrap draws units, not grains. Beside every distance stand that of two samples of the
truth (the floor: no model is nearer than that) and that of a net with random weights at the same
intensity (what is no achievement). A unit has parts, its grains by radial bins: what holds for all
grains together may hold for none of the bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..sections.descriptors import SectionDescriptors, pixel_radii, section_descriptors
from ..sections.grain_model import Block
from ..sections.radial_bins import NAMES, RadialBin, bin_numbers, merged_bins
from ..sections.section import Section
from .score import COMPARED, LEAST_PIXELS, PlanarSample, score
from .statistics import Difference, Sample, block_grains, differences

PLANAR = {
    "area": "area (um^2)",
    "aspect_ratio": "aspect ratio",
    "theta": "theta (rad)",
    "perimeter": "perimeter (um)",
    "neighbours": "neighbours",
}
COUNT = "grains per area"
N_BOOTSTRAP = 200
INTERVAL = (2.5, 97.5)  # per cent


@dataclass(frozen=True, eq=False)
class Unit:
    """One section of a sample, or blocks at several distances from the centre.

    Parameters
    ----------
    values
        (n,) of each descriptor, of the grains that have them.
    n_grains
        Grains that are counted.
    size
        In what: pixels, or seed points expected by the intensity.
    parts
        The unit by radial bins, one for each of `radial_bins.NAMES`.
    """

    values: Sample
    n_grains: int
    size: float
    parts: tuple[Unit, ...] = ()

    @property
    def n_described(self) -> int:
        """Grains that have values."""
        return len(next(iter(self.values.values())))


def section_unit(section: Section) -> Unit:
    """Values of `PLANAR` of whole grains; counted are grains of `LEAST_PIXELS` and more."""
    found = section_descriptors(section)
    number = bin_numbers(found.relative_radius)
    pixels = bin_numbers(pixel_radii(section)[section.labels > 0])
    parts = [
        _section_part(found, number == k, float((pixels == k).sum())) for k in range(len(NAMES))
    ]
    return united(parts, parts)


def _section_part(found: SectionDescriptors, own: NDArray[np.bool_], size: float) -> Unit:
    whole = found.oriented & own
    values = {
        "area": found.area_um2[whole],
        "aspect_ratio": found.aspect_ratio[whole],
        "theta": found.theta[whole],
        "perimeter": found.perimeter_um[whole],
        "neighbours": found.n_neighbours[whole].astype(float),
    }
    return Unit(values, int((found.pixel_count[own] >= LEAST_PIXELS).sum()), size)


def block_unit(blocks: Sequence[Block]) -> Unit:
    """Values of `grain_statistics.SPATIAL` of the measured grains of some blocks."""
    found = [_block_parts(block) for block in blocks]
    parts = [united([one[k] for one in found]) for k in range(len(NAMES))]
    return united(parts, parts)


def _block_parts(block: Block) -> list[Unit]:
    grains = block_grains(block)
    number = bin_numbers(grains.relative_radii)
    seeds = bin_numbers(block.relative_radii[block.measured])
    return [
        Unit(
            {name: values[number == k] for name, values in grains.values.items()},
            int((number == k).sum()),
            float((seeds == k).sum()),
        )
        for k in range(len(NAMES))
    ]


def united(units: Sequence[Unit], parts: Sequence[Unit] = ()) -> Unit:
    """All grains of some units as one unit, with ``parts``."""
    n_grains, size = sum(one.n_grains for one in units), sum(one.size for one in units)
    return Unit(pooled(units), n_grains, size, tuple(parts))


def pooled(units: Sequence[Unit]) -> Sample:
    """Values of all units together."""
    names = units[0].values
    return {name: np.concatenate([unit.values[name] for unit in units]) for name in names}


def density(units: Sequence[Unit]) -> float:
    """Grains for each unit of size."""
    return sum(unit.n_grains for unit in units) / sum(unit.size for unit in units)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One descriptor of generated grains against the reference.

    Parameters
    ----------
    generated
        Of the fitted model.
    intervals
        Middle 95 % of each number of ``generated``, over bootstrap samples of units. Such
        samples lie farther apart than the samples themselves.
    floor
        Of two samples of one law.
    untrained
        Of a net with random weights at the same intensity.
    """

    descriptor: str
    generated: Difference
    intervals: dict[str, tuple[float, float]]
    floor: Difference
    untrained: Difference


@dataclass(frozen=True, kw_only=True)
class CountComparison:
    """Grains per area over those of the reference; numbers as in `Comparison`."""

    generated: float
    interval: tuple[float, float]
    floor: float
    untrained: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """`score.score` of samples of sections against the reference; names as in `Comparison`."""

    generated: float
    floor: float
    untrained: float


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What is compared: units of the fitted model, of the reference and of what is beside.

    Parameters
    ----------
    floor
        Two samples of one law: of which the first is compared with the second.
    """

    generated: Sequence[Unit]
    reference: Sequence[Unit]
    floor: tuple[Sequence[Unit], Sequence[Unit]]
    untrained: Sequence[Unit]

    @property
    def every(self) -> tuple[Sequence[Unit], ...]:
        """Every sample."""
        return self.generated, self.reference, *self.floor, self.untrained

    def within(self, chosen: RadialBin) -> Samples:
        """Samples of the grains of a radial bin."""

        def own(units: Sequence[Unit]) -> list[Unit]:
            return [united([unit.parts[k] for k in chosen.numbers]) for unit in units]

        first, second = self.floor
        return Samples(
            generated=own(self.generated),
            reference=own(self.reference),
            floor=(own(first), own(second)),
            untrained=own(self.untrained),
        )


@dataclass(frozen=True, kw_only=True)
class BinComparison:
    """The grains of a radial bin against those of the reference there.

    Parameters
    ----------
    bin
        Which grains.
    samples
        What is compared.
    comparisons
        One for each descriptor.
    count, scores
        Of sections; None in space.
    """

    bin: RadialBin
    samples: Samples
    comparisons: tuple[Comparison, ...]
    count: CountComparison | None = None
    scores: Scores | None = None


def comparisons(
    samples: Samples, rng: np.random.Generator, n_bootstrap: int = N_BOOTSTRAP
) -> list[Comparison]:
    """One for each descriptor of the units.

    Intervals leave out bootstrap samples in which a descriptor does not vary: nothing can be
    measured by its standard deviation.
    """
    reference = pooled(samples.reference)
    found = differences(pooled(samples.generated), reference)
    untrained = differences(pooled(samples.untrained), reference)
    floor = differences(*map(pooled, samples.floor))
    pairs = [
        (_resampled(samples.generated, rng), _resampled(samples.reference, rng))
        for _ in range(n_bootstrap)
    ]
    drawn = [differences(*pair) for pair in pairs if all(map(_varies, pair))]
    return [
        Comparison(
            descriptor=one.descriptor,
            generated=one,
            intervals=_intervals([row[k] for row in drawn]),
            floor=floor[k],
            untrained=untrained[k],
        )
        for k, one in enumerate(found)
    ]


def count_comparison(
    samples: Samples, rng: np.random.Generator, n_bootstrap: int = N_BOOTSTRAP
) -> CountComparison:
    """Grains per area of the units."""
    expected = density(samples.reference)
    drawn = [
        density(_drawn(samples.generated, rng)) / density(_drawn(samples.reference, rng))
        for _ in range(n_bootstrap)
    ]
    return CountComparison(
        generated=density(samples.generated) / expected,
        interval=_middle(np.array(drawn)),
        floor=density(samples.floor[0]) / density(samples.floor[1]),
        untrained=density(samples.untrained) / expected,
    )


def scores(samples: Samples) -> Scores:
    """Scores of the units, which are sections."""
    first, second = map(_planar, samples.floor)
    reference = _planar(samples.reference)
    return Scores(
        generated=score(_planar(samples.generated), reference),
        floor=score(first, second),
        untrained=score(_planar(samples.untrained), reference),
    )


def radial_score(generated: Sequence[Unit], measured: Sequence[Unit]) -> float:
    """Mean score of sections over the radial bins in which there are measured grains enough."""

    def part(units: Sequence[Unit], own: RadialBin) -> PlanarSample:
        return _planar([unit.parts[k] for unit in units for k in own.numbers])

    counts = [sum(unit.parts[k].n_described for unit in measured) for k in range(len(NAMES))]
    bins = merged_bins([counts])
    return float(np.mean([score(part(generated, own), part(measured, own)) for own in bins]))


def _planar(units: Sequence[Unit]) -> PlanarSample:
    one = united(units)
    return PlanarSample({name: one.values[name] for name in COMPARED}, one.n_grains, int(one.size))


def _varies(sample: Sample) -> bool:
    return all(len(values) and np.ptp(values) > 0 for values in sample.values())


def _drawn(units: Sequence[Unit], rng: np.random.Generator) -> list[Unit]:
    return [units[k] for k in rng.integers(len(units), size=len(units))]


def _resampled(units: Sequence[Unit], rng: np.random.Generator) -> Sample:
    return pooled(_drawn(units, rng))


def _intervals(found: Sequence[Difference]) -> dict[str, tuple[float, float]]:
    names = [field.name for field in fields(Difference) if field.name != "descriptor"]
    return {name: _middle(np.array([getattr(one, name) for one in found])) for name in names}


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
