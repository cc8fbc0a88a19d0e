"""From sections to the grain part of a model card: what was fitted to what, and the best of it.

Several runs with different random numbers end in different nets. Each has kept its best state;
these are scored again on twins that no choice has seen, and the best of them is the model.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FitError
from ...markers.marker_law import MarkerLaw
from ...model_card import ModelCard
from ...streams import stream
from .. import card_provenance
from ..sections.descriptors import Alignment
from ..sections.grain_model import GrainModel
from ..sections.orientations_part import OrientationsPart, orientations_part
from ..sections.section import Section
from ..sections.usable import labels_sha256, pixel_problems, twin_problems, warnings
from .comparison import BinComparison, Comparison, CountComparison
from .cutouts import FARTHEST, SIZE
from .evaluation import Evaluation
from .planar_fit import PlanarFitSettings
from .planar_tessellation import SectionTessellation
from .run import Best, GrainRun, verdicts
from .training import DISPLACEMENT_SCALE, TrainingConfig, first_state

MEAN_AREAS = (16.0, 500.0)  # of grains, pixels, that a cutout of 32 pixels can show
NEAREST = 24.0  # pixels: least of the largest distances of cutouts from the centre
DIGITS = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class GrainFit:
    """A fitted grain model.

    Parameters
    ----------
    sections, alignments
        All sections, and whether they were kept.
    planar_settings, planar
        How tessellations were fitted to the kept ones, and these.
    runs
        Of the nets, one for each seed.
    final_scores
        Of the best state of each run; infinite for a run without any.
    """

    sections: tuple[Section, ...]
    alignments: tuple[Alignment, ...]
    planar_settings: PlanarFitSettings
    planar: tuple[SectionTessellation, ...]
    runs: tuple[GrainRun, ...]
    final_scores: tuple[float, ...]

    @property
    def kept(self) -> list[Section]:
        """Sections that the model was fitted to."""
        pairs = zip(self.sections, self.alignments, strict=True)
        return [section for section, verdict in pairs if verdict.kept]

    @property
    def pixel_um(self) -> float:
        """Edge of a pixel of the kept sections, um; others may have another one."""
        return self.kept[0].pixel_um

    @property
    def reach_um(self) -> float:
        """Distance from the centre that no cutout goes beyond, um."""
        return (self.runs[self.chosen].config.farthest + SIZE) * self.pixel_um

    @property
    def chosen(self) -> int:
        """Number of the run with the least final score."""
        return int(np.argmin(self.final_scores))

    @property
    def best(self) -> Best:
        """The chosen state.

        Raises
        ------
        FitError
            If no run has any.
        """
        if (best := self.runs[self.chosen].best) is None:
            reasons = "; ".join(run.stopped or "no score yet" for run in self.runs)
            msg = f"no run has a state with a score ({reasons}); train longer, or another --seed"
            raise FitError(msg)
        return best

    @property
    def model(self) -> GrainModel:
        """The fitted law and intensity."""
        return GrainModel(self.best.net, self.best.intensity)

    @property
    def untrained(self) -> GrainModel:
        """A net with random weights at the fitted intensity: what no training is worth."""
        run = self.runs[self.chosen]
        net = first_state(run.config, stream(run.seed, 0, "fit")).generator
        law: MarkerLaw = net.marker_net(DISPLACEMENT_SCALE, run.config.intensity_factor)
        return GrainModel(law, self.best.intensity)


def require_fittable(sections: Sequence[Section]) -> None:
    """Refuse sections that no grain model can be fitted to, with all reasons.

    Raises
    ------
    FitError
        If there is none, one is given twice, pixels differ, or grains do not fit the cutouts of
        32 pixels.
    """
    if not sections:
        msg = "no section is kept, expected one or more: look at the picture of the sections"
        raise FitError(msg)
    found = [pixel_problems(sections), _size_problems(sections), twin_problems(sections)]
    if problems := [problem for one in found for problem in one]:
        msg = "the sections cannot be fitted:\n  " + "\n  ".join(problems)
        raise FitError(msg)


def _size_problems(sections: Sequence[Section]) -> list[str]:
    low, high = MEAN_AREAS
    found = []
    for section in sections:
        area = float(section.pixel_counts.mean())
        if not low <= area <= high:
            pixel = section.pixel_um * (area / 80) ** 0.5
            found.append(
                f"{section.source} has grains of {area:.3g} pixels on average, expected "
                f"{low:g} to {high:g}, which cutouts of {SIZE} pixels can show; resample it to "
                f"pixels of about {pixel:.2g} um"
            )
        if (reach := _reach(section)) < NEAREST:
            found.append(
                f"{section.source} ends {reach + SIZE:.0f} pixels from its centre, expected at "
                f"least {NEAREST + SIZE:g}: check the centre, or measure with a smaller step"
            )
    return found


def _reach(section: Section) -> float:
    """Largest distance of a cutout whose far edge is still in the section, pixels."""
    y, x = np.nonzero(np.pad(section.inside, 1) == 0)
    away = np.hypot(y - 1 - section.centre[0], x - 1 - section.centre[1])
    return float(away.min()) - SIZE


def farthest(sections: Sequence[Section]) -> float:
    """Largest distance of cutouts from the centre that all sections allow, pixels."""
    return round(min(FARTHEST, *(_reach(section) for section in sections)), 6)


def course_warnings(fit: GrainFit) -> list[str]:
    """What went wrong in the trainings, that of the chosen net first."""
    others = (run for run in fit.runs if run is not fit.runs[fit.chosen])
    return [text for run in (fit.runs[fit.chosen], *others) for text in verdicts(run)]


def fitted_card(
    fit: GrainFit,
    evaluation: Evaluation,
    base: ModelCard,
    name: str,
    phantom: str | None,
    software: str,
    weights_name: str,
) -> ModelCard:
    """Model card with the fitted grains and, where the sections have them, crystals.

    The shell, and orientations that were not measured, are those of another card.

    Parameters
    ----------
    phantom
        Name of the phantom that the sections are of, if they are not measured.
    weights_name
        Of the file that the weights are saved in; the card holds them.
    """
    fit = _by_name(fit)
    crystals = orientations_part(fit.kept, base)
    replaced = ("grains", "orientations") if crystals.fitted else ("grains",)
    card = copy.deepcopy(dict(base.document))
    card |= {"name": name, **_texts(fit, base, phantom, crystals)}
    card["assumptions"] = [
        *(a for a in card["assumptions"] if not a["field"].startswith(replaced)),
        *_assumptions(fit),
        *crystals.assumptions,
    ]
    card["orientations"] = _shortened(crystals.fields)
    weights = fit.best.net.to_bytes()
    sha256 = hashlib.sha256(weights).hexdigest()
    law = {**fit.best.net.fields(), "weights": weights_name, "weights_sha256": sha256}
    card["grains"] = {
        "pixel_um": fit.pixel_um,
        "intensity": fit.best.intensity,
        "metric": "norm",
        "elongation": 1.0,
        "offset_scale": 1.0,
        "markers": law,
        "fit": _shortened(fit_document(fit, evaluation, software)),
    }
    return ModelCard(card, base.folder, weights)


def _by_name(fit: GrainFit) -> GrainFit:
    """The fit with sections named as their files, wherever those lay."""
    sections = [replace(one, source=Path(one.source).name) for one in fit.sections]
    return replace(fit, sections=tuple(sections))


def _texts(
    fit: GrainFit, base: ModelCard, phantom: str | None, crystals: OrientationsPart
) -> dict[str, Any]:
    """Words of the card."""
    others = "shells" if crystals.fitted else "shells and orientations"
    of_crystals = f" Crystals of the same grains: {crystals.sentence}." if crystals.fitted else ""
    files = card_provenance.listed([section.source for section in fit.kept])
    n_grains = sum(section.n_grains for section in fit.kept)
    of_phantom = f" of the phantom {phantom!r}" if phantom else ""
    return {
        "title": f"Grains fitted to {files}",
        "description": (
            f"A marker net fitted to {n_grains} grains in {len(fit.kept)} sections ({files}); "
            f"{others} as in the model {base.name}."
        ),
        "fitted_on": (
            f"Grains: {n_grains} grains in {len(fit.kept)} sections{of_phantom}, {files}, pixels "
            f"of {fit.pixel_um:g} um.{of_crystals} {card_provenance.fitted_on(base, 'Shell')}"
        ),
        "limits": [
            *(f"Grains: {text}" for text in _limits(fit, phantom)),
            *(f"Grains: {text}" for text in crystals.limits),
            *card_provenance.limits(base, "Shell"),
        ],
    }


def _limits(fit: GrainFit, phantom: str | None) -> Iterator[str]:
    """What the fitted grains do not describe."""
    if phantom:
        yield (
            f"the sections are of the phantom {phantom!r}: the fit shows how well a known law is "
            "found, and is not a model of a material."
        )
    else:
        yield "measured in sections only; nothing in space could be compared."
    yield (
        "several laws in space give nearly the same sections, and the fit ends at one of them; "
        "how flat grains are across the radius is the least certain."
    )
    seen = (
        "the law follows the direction to the centre, the relative radius and the nearest seeds; "
        if fit.best.net.sees_radius
        else "one law for all places, which follows the direction to the centre and the nearest "
        "seeds; "
    )
    yield (f"{seen}beyond {fit.reach_um:.3g} um from the centre it is continued unseen.")
    if n_left_out := len(fit.sections) - len(fit.kept):
        yield (
            f"{n_left_out} of {len(fit.sections)} sections do not show radial grains through the "
            "centre, and are left out."
        )
    yield from warnings(fit.kept)
    yield from verdicts(fit.runs[fit.chosen])


def _assumptions(fit: GrainFit) -> list[dict[str, str]]:
    config = fit.runs[fit.chosen].config
    return [
        {
            "field": "grains.markers",
            "choice": f"marker net of widths {list(config.marker_widths)}",
            "reason": "The widths are lost with Fig. 5 of the paper.",
        },
        {
            "field": "grains.fit.config",
            "choice": f"configuration {config.name!r}",
            "reason": "docs/fidelity.md lists every departure from the paper.",
        },
        {
            "field": "grains.fit",
            "choice": "the state with the least distance in sections is kept",
            "reason": "The losses of the two nets say nothing about the result.",
        },
        *(_tuning_assumption() if config.tuning else ()),
    ]


def _tuning_assumption() -> Iterator[dict[str, str]]:
    yield {
        "field": "grains.fit.runs",
        "choice": "the last layer of the net is tuned to the sections after training",
        "reason": "Training hardly spreads the offsets: volumes of grains stay too much alike.",
    }


def fit_document(fit: GrainFit, evaluation: Evaluation, software: str) -> dict[str, Any]:
    """JSON values: how the model was fitted and how good it is, as model cards hold it."""
    chosen = fit.runs[fit.chosen]
    return {
        "software": software,
        "sections": _section_documents(fit),
        "planar_fit": asdict(fit.planar_settings),
        "config": config_document(chosen.config),
        "runs": [
            _run_document(run, score) for run, score in zip(fit.runs, fit.final_scores, strict=True)
        ],
        "chosen": fit.chosen,
        "distances": distances_document(evaluation),
    }


def _shortened(value: Any) -> Any:
    """JSON values with numbers of `DIGITS` digits: every recipe holds the card."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _section_documents(fit: GrainFit) -> list[dict[str, Any]]:
    planar = iter(fit.planar)
    return [
        {
            "file": section.source,
            "labels_sha256": labels_sha256(section),
            "shape": list(section.labels.shape),
            "pixel_um": section.pixel_um,
            "centre": list(section.centre),
            "n_grains": section.n_grains,
            "missing_part": section.missing_part,
            "steps": [asdict(step) for step in section.steps],
            "alignment": asdict(verdict) | {"kept": verdict.kept},
            "agreement": next(planar).agreement if verdict.kept else None,
        }
        for section, verdict in zip(fit.sections, fit.alignments, strict=True)
    ]


def config_document(config: TrainingConfig) -> dict[str, Any]:
    """JSON values of a configuration."""
    found = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return found | {"intensity_factor": config.intensity_factor.fields()}


def _run_document(run: GrainRun, final: float) -> dict[str, Any]:
    best = run.best
    return {
        "entropy": run.seed,
        "steps": run.state.step,
        "stopped": run.stopped,
        "best_step": best.step if best else None,
        "best_score": best.score if best else None,
        "final_score": final if np.isfinite(final) else None,
        "intensity": best.intensity if best else None,
        "tuning": asdict(best.tuning) if best and best.tuning else None,
    }


def distances_document(evaluation: Evaluation) -> dict[str, Any]:
    """JSON values of all distances."""
    return {
        "reference": "sections" if evaluation.blocks is None else "phantom",
        "n_planar_grains": sum(unit.n_grains for unit in evaluation.sections.generated),
        "n_spatial_grains": (
            sum(unit.n_grains for unit in evaluation.blocks.generated) if evaluation.blocks else 0
        ),
        "grains_per_area": _count(evaluation.count),
        "planar": [_comparison(one) for one in evaluation.planar],
        "spatial": [_comparison(one) for one in evaluation.spatial],
        "scores": asdict(evaluation.scores),
        "by_radius": {
            "planar": [_bin(one) for one in evaluation.planar_bins],
            "spatial": [_bin(one) for one in evaluation.spatial_bins],
        },
    }


def _bin(one: BinComparison) -> dict[str, Any]:
    samples = one.samples
    return {
        "bin": one.bin.name,
        "parts": list(one.bin.parts),
        "t": list(one.bin.bounds),
        "n_generated": sum(unit.n_described for unit in samples.generated),
        "n_reference": sum(unit.n_described for unit in samples.reference),
        "grains_per_area": _count(one.count) if one.count else None,
        "scores": asdict(one.scores) if one.scores else None,
        "comparisons": [_comparison(two) for two in one.comparisons],
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "descriptor": one.descriptor,
        "generated": _numbers(one.generated),
        "interval_95": {name: list(pair) for name, pair in one.intervals.items()},
        "floor": _numbers(one.floor),
        "untrained": _numbers(one.untrained),
    }


def _numbers(difference: Any) -> dict[str, float]:
    return {k: v for k, v in asdict(difference).items() if k != "descriptor"}


def _count(one: CountComparison) -> dict[str, Any]:
    return {
        "generated": one.generated,
        "interval_95": list(one.interval),
        "floor": one.floor,
        "untrained": one.untrained,
    }
