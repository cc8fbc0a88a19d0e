r"""How alike the grains of two models are, in sections and in space, with what chance does to it.

A sample is made of units, sections or blocks: grains of one unit depend on each other, so that
the bootstrap draws units, not grains. Beside every distance stand that of two samples of the
truth (the floor: no model is nearer than that) and that of a net with random weights at the same
intensity (what is no achievement).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..sections.descriptors import section_descriptors
from ..sections.grain_model import Block
from ..sections.section import Section
from .score import LEAST_PIXELS
from .statistics import Difference, Sample, block_values, differences

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
    """One section or block of a sample.

    Parameters
    ----------
    values
        (n,) of each descriptor, of the grains that have them.
    n_grains
        Grains that are counted.
    size
        In what: pixels, or seed points expected by the intensity.
    """

    values: Sample
    n_grains: int
    size: float


def section_unit(section: Section) -> Unit:
    """Values of `PLANAR` of whole grains; counted are grains of `LEAST_PIXELS` and more."""
    found = section_descriptors(section)
    whole = found.oriented
    values = {
        "area": found.area_um2[whole],
        "aspect_ratio": found.aspect_ratio[whole],
        "theta": found.theta[whole],
        "perimeter": found.perimeter_um[whole],
        "neighbours": found.n_neighbours[whole].astype(float),
    }
    n_grains = int((found.pixel_count >= LEAST_PIXELS).sum())
    return Unit(values, n_grains, float(found.pixel_count.sum()))


def block_unit(block: Block) -> Unit:
    """Values of `grain_statistics.SPATIAL` of the measured grains of a block."""
    values = block_values(block)
    return Unit(values, len(values["volume"]), float(block.measured.sum()))


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


def comparisons(
    samples: Samples, rng: np.random.Generator, n_bootstrap: int = N_BOOTSTRAP
) -> list[Comparison]:
    """One for each descriptor of the units."""
    reference = pooled(samples.reference)
    found = differences(pooled(samples.generated), reference)
    untrained = differences(pooled(samples.untrained), reference)
    floor = differences(*map(pooled, samples.floor))
    drawn = [
        differences(_resampled(samples.generated, rng), _resampled(samples.reference, rng))
        for _ in range(n_bootstrap)
    ]
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
