"""A model card whose grains follow a fitted radial law, and what it says about itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...model_card import ModelCard
from .. import card_provenance
from ..sections.orientations_part import OrientationsPart, orientations_part
from ..sections.usable import labels_sha256, warnings as section_warnings
from .law_fit import LawFit, warnings
from .law_parameters import PARAMETERS
from .statistics import bin_range
from .uncertainty import NORMAL_95, OFFSET_SPREAD_VALUES

DIGITS = 6


def fitted_card(fit: LawFit, base: ModelCard, name: str, software: str) -> ModelCard:
    """Card with the fitted law, its size, and the crystals of the sections if these have them.

    The shell, and orientations if there are no crystals, are those of another card.
    """
    fit = _by_name(fit)
    crystals = orientations_part(fit.kept, base)
    replaced = ("grains", "orientations") if crystals.fitted else ("grains",)
    card = copy.deepcopy(dict(base.document))
    card |= {"name": name, **_texts(fit, base, crystals)}
    card["assumptions"] = [
        *(a for a in card["assumptions"] if not a["field"].startswith(replaced)),
        *_assumptions(fit),
        *crystals.assumptions,
    ]
    card["orientations"] = shortened(crystals.fields)
    law = fit.moments.law
    card["grains"] = {
        "pixel_um": fit.pixel_um,
        "intensity": law.intensity,
        "metric": "norm",
        "elongation": 1.0,
        "offset_scale": 1.0,
        "markers": law.markers.fields(),
        "law_fit": fit_document(fit, software),
    }
    card["grains"] = shortened(card["grains"])
    return ModelCard(card, base.folder).with_size()


def _by_name(fit: LawFit) -> LawFit:
    """The fit with sections named as their files, wherever those lay."""
    sections = [replace(one, source=Path(one.source).name) for one in fit.sections]
    return replace(fit, sections=tuple(sections))


def _texts(fit: LawFit, base: ModelCard, crystals: OrientationsPart) -> dict[str, Any]:
    """Words of the card."""
    others = "shells" if crystals.fitted else "shells and orientations"
    of_crystals = f" Crystals of the same grains: {crystals.sentence}." if crystals.fitted else ""
    files = card_provenance.listed([section.source for section in fit.kept])
    n_grains = sum(section.n_grains for section in fit.kept)
    return {
        "title": f"Grains fitted to {files}",
        "description": (
            f"A radial law fitted to {n_grains} grains in {len(fit.kept)} sections ({files}); "
            f"{others} as in the model {base.name}."
        ),
        "fitted_on": (
            f"Grains: {n_grains} grains in {len(fit.kept)} sections, {files}, pixels of "
            f"{fit.pixel_um:g} um.{of_crystals} {card_provenance.fitted_on(base, 'Shell')}"
        ),
        "limits": [
            *(f"Grains: {text}." for text in _limits(fit)),
            *(f"Grains: {text}" for text in crystals.limits),
            *card_provenance.limits(base, "Shell"),
        ],
    }


def _limits(fit: LawFit) -> Iterator[str]:
    """What the fitted grains do not describe."""
    yield from warnings(fit)
    yield "measured in sections only; nothing in space could be compared"
    yield (
        "grains are independent of each other but for their seed points, and their law follows "
        "the relative distance from the centre only"
    )
    if unknown := fit.known.unknown:
        yield f"sections say little about: {'; '.join(unknown)}"
    yield _offset_sentence(fit)
    if left_out := [k for k in range(len(fit.sections)) if k not in fit.used]:
        yield (
            f"{len(left_out)} of {len(fit.sections)} sections are left out: they do not show "
            "radial grains through the centre, and not well enough how far from it they are"
        )
    yield from section_warnings(fit.kept)


def _offset_sentence(fit: LawFit) -> str:
    """Which spreads of r fit as well as the best."""
    low, high = offset_spread_range(fit)
    return (
        f"spreads of r of {low:g} to {high:g} mean seed distances fit as well as the best, with "
        "other spreads of D: which of the two makes sizes vary is open between them"
    )


def offset_spread_range(fit: LawFit) -> tuple[float, float]:
    """Least and largest spread of r, mean seed distances, that chance does not rule out.

    Of those that were tried, and of the fitted ones.
    """
    best = fit.moments.best
    limit = best.objective + NORMAL_95**2 * max(
        1.0, best.distance / len(fit.moments.target.observed)
    )
    fitted = np.exp(fit.moments.theta[[i for i, p in enumerate(PARAMETERS) if p.name[:3] == "s_r"]])
    tried = [
        value
        for value, one in zip(OFFSET_SPREAD_VALUES, fit.offset_spreads, strict=True)
        if one.objective <= limit
    ]
    values = [*tried, *fitted.tolist()]
    return float(f"{min(values):.2g}"), float(f"{max(values):.2g}")


def _assumptions(fit: LawFit) -> Iterator[dict[str, str]]:
    yield {
        "field": "grains.markers",
        "choice": "law radial_profile: intensity and aspect ratio by knots, normal marks",
        "reason": "Sections show how grains change from the centre to the surface.",
    }
    yield {
        "field": "grains.markers.offset",
        "choice": "0",
        "reason": "Only differences of r move boundaries.",
    }
    for one, sd in zip(PARAMETERS, fit.known.parameters, strict=True):
        if one.meaning in fit.known.unknown:
            yield {
                "field": "grains.markers",
                "choice": f"{one.meaning}: held near {one.guess:.2f} +- {one.spread:g}",
                "reason": f"The sections leave {sd / one.spread:.0%} of this spread: a guess that "
                "they hardly change.",
            }


def fit_document(fit: LawFit, software: str) -> dict[str, Any]:
    """JSON values: how the law was fitted and how good it is, as model cards hold it."""
    moments = fit.moments
    return {
        "software": software,
        "sections": [_section_document(fit, k) for k in range(len(fit.sections))],
        "seed": moments.target.seed,
        "edges": list(moments.target.edges),
        "n_statistics": len(moments.target.observed),
        "distance": moments.best.distance,
        "distance_95": fit.refits.distance_95,
        "p_value": fit.p_value,
        "n_refits": len(fit.refits.distances),
        "starts": [
            {"name": name, "distance": one.distance, "objective": one.objective}
            for name, one in moments.starts.items()
        ],
        "parameters": _parameter_documents(fit),
        "misses": [
            {
                "t": list(bin_range(moments.target.edges, one.statistic.bin)),
                "statistic": one.statistic.name,
                "deviations": one.deviations,
            }
            for one in fit.misses
        ],
        "held_out": [
            {
                "file": fit.kept[one.number].source,
                "distance": one.distance,
                "distance_95": one.distance_95,
            }
            for one in fit.held_out
        ],
        "offset_spreads": [
            {"value": value, "distance": one.distance, "objective": one.objective}
            for value, one in zip(OFFSET_SPREAD_VALUES, fit.offset_spreads, strict=True)
        ],
    }


def _section_document(fit: LawFit, k: int) -> dict[str, Any]:
    section, verdict = fit.sections[k], fit.alignments[k]
    return {
        "file": section.source,
        "labels_sha256": labels_sha256(section),
        "shape": list(section.labels.shape),
        "pixel_um": section.pixel_um,
        "centre": list(section.centre),
        "n_grains": section.n_grains,
        "missing_part": section.missing_part,
        "steps": [asdict(step) for step in section.steps],
        "alignment": asdict(verdict) | {"kept": verdict.kept},
        "height": asdict(fit.heights[k]) if k in fit.heights else None,
        "used": k in fit.used,
    }


def _parameter_documents(fit: LawFit) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "meaning": one.meaning,
            "value": float(value),
            "deviation": float(deviation),
            "guess": one.guess,
            "spread": one.spread,
        }
        for one, value, deviation in zip(
            PARAMETERS, fit.moments.theta, fit.known.parameters, strict=True
        )
    ]


def shortened(value: Any) -> Any:
    """JSON values with numbers of `DIGITS` digits: every recipe holds the card."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
