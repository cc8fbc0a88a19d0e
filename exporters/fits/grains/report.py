"""Report on grains fitted to sections: a folder with a page, its figures and its numbers.

``index.html`` opens in any browser, without scripts and without a network; the figures are
files beside it, and the folder is what is sent on. ``fit.json`` holds every number that the
page shows, by ``schemas/grain_fit_report-1.0.0.schema.json``: ``fit`` as in the ``grains.fit``
of a model card, with it the course of the training, the sizes of the samples, the distances
that are far above their floors, and which sections are drawn. Equal fits give equal bytes with
one version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....generator.fitting.grains.comparison import BinComparison, Comparison, Samples, Unit
from ....generator.fitting.grains.evaluation import Evaluation
from ....generator.fitting.grains.fit import (
    GrainFit,
    config_document,
    course_warnings,
    fit_document,
)
from ....generator.fitting.grains.run import GrainRun
from ....generator.fitting.grains.score import twin
from ....generator.fitting.grains.training import INTENSITIES, PAPER
from ....generator.fitting.sections.orientations_part import (
    measured_orientations,
    orientation_document,
)
from ....generator.fitting.sections.radial_bins import LEAST_GRAINS
from ....generator.fitting.sections.section import MISSING
from ....generator.fitting.sections.usable import warnings
from ....generator.progress import Progress, quiet
from ....generator.streams import stream
from ...files.atomic import replacing_folder, require_free
from ...files.documents import document_text
from ...files.provenance import generator_name
from ..html_page import write_text
from .crystals import write_crystals
from .figures import Pair, write_figures
from .page import page

PAGE, NUMBERS = "index.html", "fit.json"
N_PAIRS = 3  # kept sections that are drawn beside generated ones
FAR = 2.0  # times the floor above which a distance is called far
MEASURES = ("ks", "wasserstein")


def write_report(
    fit: GrainFit,
    evaluation: Evaluation,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    cost: Mapping[str, float] | None = None,
) -> Path:
    """Write the folder of a report, whole or not at all; return it.

    Parameters
    ----------
    fit, evaluation
        What is reported on.
    folder
        Where; missing parents are made.
    overwrite
        Whether what is there may be replaced.
    cost
        Seconds that the parts of the fit took, by name, if they were measured.

    Raises
    ------
    ExportError
        If something is at ``folder`` and ``overwrite`` is not set, a number is not finite, or
        the folder cannot be written.
    FitError
        If no run has a state with a score.
    """
    require_free([folder], overwrite, "choose another folder, or overwrite=True to replace")
    show = progress or quiet
    show("generated twins", 0.0)
    pairs = twins(fit)
    numbers = document(fit, evaluation, pairs, cost)
    with replacing_folder(folder) as temporary:
        write_text(temporary / NUMBERS, document_text(numbers, "grain_fit_report"))
        write_text(temporary / PAGE, page(numbers))
        write_figures(
            fit, evaluation, pairs, temporary, lambda text, part: show(text, 0.2 + 0.8 * part)
        )
        if (crystals := measured_orientations(fit.kept)) is not None:
            write_crystals(crystals, temporary)
    show("report written", 1.0)
    return Path(folder)


def twins(fit: GrainFit, n: int = N_PAIRS) -> list[Pair]:
    """Some kept sections, evenly spaced in their order, and a generated twin of each."""
    kept = [k for k, verdict in enumerate(fit.alignments) if verdict.kept]
    places = (np.arange(min(n, len(kept))) + 0.5) * len(kept) / min(n, len(kept))
    return [_pair(fit, kept[k] + 1, k) for k in places.astype(int).tolist()]


def _pair(fit: GrainFit, number: int, k: int) -> Pair:
    """The kept section ``k``, which is ``number`` among all, and its twin."""
    section, seed = fit.kept[k], fit.runs[fit.chosen].seed
    generated = twin(fit.model, section, stream(seed, 5, "fit", k))
    return Pair(number=number, measured=section, generated=generated)


def document(
    fit: GrainFit,
    evaluation: Evaluation,
    pairs: Sequence[Pair],
    cost: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """JSON values: every number of the report."""
    return {
        "schema": "cathodegrain/grain_fit_report",
        "schema_version": "1.0.0",
        "fit": fit_document(fit, evaluation, generator_name()),
        "paper_config": config_document(PAPER),
        "n_kept": len(fit.kept),
        "n_grains": sum(section.n_grains for section in fit.kept),
        "n_pixels": sum(int((section.labels > 0).sum()) for section in fit.kept),
        "n_missing": sum(int((section.labels == MISSING).sum()) for section in fit.kept),
        "verdicts": [verdict.sentence for verdict in fit.alignments],
        "warnings": [*warnings(fit.kept), *course_warnings(fit), *_bound_warnings(fit)],
        "intensity": _intensity(fit),
        "reach_um": fit.reach_um,
        "training": [_course(run) for run in fit.runs],
        "samples": {
            "planar": _samples(evaluation.sections),
            "spatial": _samples(evaluation.blocks) if evaluation.blocks else None,
        },
        "far_factor": FAR,
        "far": [
            *_far("planar", evaluation.planar),
            *_far("spatial", evaluation.spatial),
        ],
        "far_by_radius": [
            *_far_in_bins("planar", evaluation.planar_bins),
            *_far_in_bins("spatial", evaluation.spatial_bins),
        ],
        "least_grains_of_a_bin": LEAST_GRAINS,
        "shown": [
            {
                "section": pair.number,
                "n_measured": pair.measured.n_grains,
                "n_generated": pair.generated.n_grains,
            }
            for pair in pairs
        ],
        **_crystals(fit),
        "cost_s": dict(cost) if cost is not None else None,
    }


def _crystals(fit: GrainFit) -> dict[str, Any]:
    """What the kept sections say about crystals; nothing if they have none."""
    found = measured_orientations(fit.kept)
    if found is None:
        return {"crystals": None}
    return {
        "crystals": orientation_document(found),
        "crystals_sentence": found.sentence,
        "crystals_warnings": found.warnings,
    }


def _bound_warnings(fit: GrainFit) -> Iterator[str]:
    """What is wrong if the intensity ended at a bound."""
    if fit.best.intensity in INTENSITIES:
        low, high = INTENSITIES
        yield (
            f"the intensity ended at a bound, {fit.best.intensity:g} seeds per cubic pixel, "
            f"expected between {low:g} and {high:g}: the sections show another number of grains "
            "than the model; resample them, or train longer"
        )


def _intensity(fit: GrainFit) -> dict[str, Any]:
    """The fitted lambda in several units."""
    pixel, intensity = fit.pixel_um, fit.best.intensity
    return {
        "per_cubic_pixel": intensity,
        "per_cubic_um": intensity / pixel**3,
        "volume_um3": pixel**3 / intensity,
        "first": fit.runs[fit.chosen].config.intensity,
        "bounds": list(INTENSITIES),
    }


def _course(run: GrainRun) -> dict[str, Any]:
    """What a run went through; null for a score that is infinite, of a section without grains."""
    return {
        "entropy": run.seed,
        "planned_steps": run.config.epochs * run.config.steps,
        "curve": run.state.curve,
        "scores": [
            {"step": step, "score": score if np.isfinite(score) else None}
            for step, score in run.scores
        ],
    }


def _samples(samples: Samples) -> dict[str, dict[str, int]]:
    return {
        "generated": _size(samples.generated),
        "reference": _size(samples.reference),
        "floor": _size(samples.floor[0]),
        "floor_reference": _size(samples.floor[1]),
        "untrained": _size(samples.untrained),
    }


def _size(units: Sequence[Unit]) -> dict[str, int]:
    """Number of sections or blocks, of grains that are counted and of those with values."""
    return {
        "units": len(units),
        "grains": sum(unit.n_grains for unit in units),
        "described": sum(unit.n_described for unit in units),
    }


def _far(space: str, comparisons: Sequence[Comparison]) -> Iterator[dict[str, Any]]:
    """Distances that are more than `FAR` times their floors; null for a floor of zero."""
    for one in comparisons:
        for measure in MEASURES:
            distance, floor = getattr(one.generated, measure), getattr(one.floor, measure)
            if distance > FAR * floor:
                yield {
                    "space": space,
                    "descriptor": one.descriptor,
                    "measure": measure,
                    "ratio": distance / floor if floor else None,
                }


def _far_in_bins(space: str, bins: Sequence[BinComparison]) -> Iterator[dict[str, Any]]:
    """`_far` of the distances in radial bins."""
    for one in bins:
        for found in _far(space, one.comparisons):
            yield {**found, "bin": one.bin.name}
