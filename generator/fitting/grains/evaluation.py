"""A fitted grain model against what it was fitted to, and against the truth where it is known.

Measured sections are compared with generated twins on the same pixels; what is in space is
not known then. The sections and blocks of a phantom are compared with others of its law, not
with those of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...progress import Progress
from ...streams import stream
from ..sections.grain_model import GrainModel, block
from ..sections.phantom import phantom_section
from ..sections.section import Section
from .comparison import (
    Comparison,
    CountComparison,
    Samples,
    Unit,
    block_unit,
    comparisons,
    count_comparison,
    section_unit,
)
from .score import twin

LEAST_GRAINS = 4000  # in the sections that are generated
MOST_REPEATS = 12  # twins of each measured section
N_SECTIONS, N_REFERENCE_SECTIONS = 8, 20  # of phantoms: of each model, of the reference
N_BLOCKS, N_REFERENCE_BLOCKS = 6, 12


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """Distances of a fitted model, and the samples that they are of.

    Parameters
    ----------
    planar
        In sections, for each of `grain_comparison.PLANAR`.
    count
        Grains per area.
    sections
        The samples of both.
    spatial, blocks
        In space, for each of `grain_statistics.SPATIAL`; empty and None if the truth is not
        known.
    """

    planar: tuple[Comparison, ...]
    count: CountComparison
    sections: Samples
    spatial: tuple[Comparison, ...] = ()
    blocks: Samples | None = None


def against_sections(
    model: GrainModel,
    untrained: GrainModel,
    sections: Sequence[Section],
    seed: int,
    progress: Progress,
) -> Evaluation:
    """Against measured sections, by twins; the floor is that of two samples of the model."""
    measured = [section_unit(section) for section in sections]
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
    """Against sections and blocks of a known law."""

    def sections(law: GrainModel, n: int, name: str, part: float) -> list[Unit]:
        progress(f"{name} sections", part)
        return [section_unit(phantom_section(law, rng)) for rng in _streams(seed, name, n)]

    def blocks(law: GrainModel, n: int, name: str, part: float) -> list[Unit]:
        progress(f"{name} blocks", part)
        return [block_unit(block(law, rng)) for rng in _streams(seed, f"{name} blocks", n)]

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
        sections=planar,
        spatial=tuple(comparisons(spatial, rng)) if spatial else (),
        blocks=spatial,
    )
