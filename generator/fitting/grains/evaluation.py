"""A fitted grain model against what it was fitted to, and against the truth where it is known.

Measured sections are compared with generated twins on the same pixels; what is in space is
not known then. The sections and blocks of a phantom are compared with others of its law, not
with those of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...progress import Progress
from ...streams import stream
from ..sections.grain_model import GrainModel, block
from ..sections.phantom import phantom_section
from ..sections.radial_bins import NAMES, merged_bins
from ..sections.section import Section
from .comparison import (
    BinComparison,
    Comparison,
    CountComparison,
    Samples,
    Scores,
    Unit,
    block_unit,
    comparisons,
    count_comparison,
    scores,
    section_unit,
    united,
)
from .score import closed, twin

LEAST_GRAINS = 4000  # in the sections that are generated
MOST_REPEATS = 12  # twins of each measured section
N_SECTIONS, N_REFERENCE_SECTIONS = 8, 20  # of phantoms: of each model, of the reference
N_BLOCKS, N_REFERENCE_BLOCKS = 6, 12  # at each of these distances from the centre
CENTRES = (0.0, 50.0, 91.0)  # pixels: in the core, in the middle, outside


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """Distances of a fitted model, and the samples that they are of.

    Parameters
    ----------
    planar
        In sections, for each of `grain_comparison.PLANAR`.
    count
        Grains per area.
    scores
        What training compares sections by.
    sections
        The samples of all three.
    planar_bins
        The same by radial bins.
    spatial, spatial_bins, blocks
        In space, for each of `grain_statistics.SPATIAL`; empty and None if the truth is not
        known.
    """

    planar: tuple[Comparison, ...]
    count: CountComparison
    scores: Scores
    sections: Samples
    planar_bins: tuple[BinComparison, ...]
    spatial: tuple[Comparison, ...] = ()
    spatial_bins: tuple[BinComparison, ...] = ()
    blocks: Samples | None = None


def against_sections(
    model: GrainModel,
    untrained: GrainModel,
    sections: Sequence[Section],
    seed: int,
    progress: Progress,
) -> Evaluation:
    """Against measured sections, by twins; the floor is that of two samples of the model."""
    measured = [section_unit(closed(section)) for section in sections]
    n_grains = sum(unit.n_grains for unit in measured)
    repeats = min(MOST_REPEATS, max(1, math.ceil(LEAST_GRAINS / n_grains)))

    def twins(law: GrainModel, number: int, name: str, part: float) -> list[Unit]:
        places = [section for _ in range(number) for section in sections]
        rngs = _streams(seed, name, len(places))
        progress(f"{name} sections", part)
        return [section_unit(twin(law, s, rng)) for s, rng in zip(places, rngs, strict=True)]

    generated = twins(model, repeats, "generated", 0.0)
    samples = Samples(
        generated=generated,
        reference=measured,
        floor=(twins(model, 1, "floor", 0.4), generated),
        untrained=twins(untrained, repeats, "untrained", 0.5),
    )
    return _evaluation(samples, None, seed, progress)


def against_truth(
    model: GrainModel,
    untrained: GrainModel,
    truth: GrainModel,
    seed: int,
    progress: Progress,
) -> Evaluation:
    """Against sections and blocks of a known law, in particles of its size."""
    model, untrained = (replace(law, radius=truth.radius) for law in (model, untrained))

    def sections(law: GrainModel, n: int, name: str, part: float) -> list[Unit]:
        progress(f"{name} sections", part)
        rngs = _streams(seed, name, n)
        return [section_unit(closed(phantom_section(law, rng))) for rng in rngs]

    def blocks(law: GrainModel, n: int, name: str, part: float) -> list[Unit]:
        progress(f"{name} blocks", part)
        rngs = _streams(seed, f"{name} blocks", n)
        return [block_unit([block(law, rng, (x, 0.0, 0.0)) for x in CENTRES]) for rng in rngs]

    reference = sections(truth, N_REFERENCE_SECTIONS, "reference", 0.0)
    planar = Samples(
        generated=sections(model, N_SECTIONS, "generated", 0.1),
        reference=reference,
        floor=(sections(truth, N_SECTIONS, "floor", 0.15), reference),
        untrained=sections(untrained, N_SECTIONS, "untrained", 0.2),
    )
    reference = blocks(truth, N_REFERENCE_BLOCKS, "reference", 0.25)
    spatial = Samples(
        generated=blocks(model, N_BLOCKS, "generated", 0.5),
        reference=reference,
        floor=(blocks(truth, N_BLOCKS, "floor", 0.6), reference),
        untrained=blocks(untrained, N_BLOCKS, "untrained", 0.75),
    )
    return _evaluation(planar, spatial, seed, progress)


STREAMS = ("reference", "generated", "floor", "untrained")


def _streams(seed: int, name: str, n: int) -> Iterator[np.random.Generator]:
    """One for each unit of a sample; those of blocks are others than those of sections."""
    sample, _, kind = name.partition(" ")
    for k in range(n):
        yield stream(seed, 3, "fit", STREAMS.index(sample), int(bool(kind)), k)


def _evaluation(
    planar: Samples, spatial: Samples | None, seed: int, progress: Progress
) -> Evaluation:
    progress("bootstrap", 0.85)
    rng = stream(seed, 4, "fit")
    return Evaluation(
        planar=tuple(comparisons(planar, rng)),
        count=count_comparison(planar, rng),
        scores=scores(planar),
        sections=planar,
        spatial=tuple(comparisons(spatial, rng)) if spatial else (),
        blocks=spatial,
        planar_bins=tuple(_section_bins(planar, rng)),
        spatial_bins=tuple(_bins(spatial, rng)) if spatial else (),
    )


def _section_bins(samples: Samples, rng: np.random.Generator) -> Iterator[BinComparison]:
    for own in _bins(samples, rng):
        count = count_comparison(own.samples, rng)
        yield replace(own, count=count, scores=scores(own.samples))


def _bins(samples: Samples, rng: np.random.Generator) -> Iterator[BinComparison]:
    """Comparison of each radial bin that has grains enough in every sample."""
    counts = [
        [united([unit.parts[k] for unit in units]).n_described for k in range(len(NAMES))]
        for units in samples.every
    ]
    for one in merged_bins(counts):
        own = samples.within(one)
        yield BinComparison(bin=one, samples=own, comparisons=tuple(comparisons(own, rng)))
