"""The part of a model card on crystals: fitted to sections that have them, or another card's.

``orientations.fit`` of a card holds what was found in which sections, as
``schemas/model_card-1.0.0.schema.json`` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import FitError
from ...model_card import ModelCard
from .orientation_fit import LEVEL, AngleBin, OrientationFit, PlacedAxes, fit_orientations
from .section import Section


@dataclass(frozen=True, eq=False)
class OrientationsPart:
    """What a card says of crystals.

    Parameters
    ----------
    fields
        ``orientations`` of the card, JSON values.
    sentence
        Where they come from, and why.
    fitted
        Whether they were fitted to the sections.
    limits
        What the fitted law does not describe; none if it is another card's.
    assumptions
        That were made in fitting.
    """

    fields: dict[str, Any]
    sentence: str
    fitted: bool = False
    limits: tuple[str, ...] = ()
    assumptions: tuple[dict[str, str], ...] = ()


def measured_orientations(sections: Sequence[Section]) -> OrientationFit | None:
    """The law of the crystals in ``sections``; None if one has none, or there are too few."""
    try:
        return fit_orientations(sections)
    except FitError:
        return None


def orientations_part(sections: Sequence[Section], base: ModelCard) -> OrientationsPart:
    """The part on crystals of a card that is fitted to ``sections``.

    That of ``base``, as it is, where a section has no orientations or there are too few grains.
    """
    try:
        fit = fit_orientations(sections)
    except FitError as error:
        sentence = f"orientations as in the model {base.name}: {error}"
        return OrientationsPart(dict(base.orientations), sentence)
    spread = base.orientations["spread_deg"] if fit.spread_deg is None else fit.spread_deg
    return OrientationsPart(
        fields={"model": fit.model, "spread_deg": spread, "fit": orientation_document(fit)},
        sentence=fit.sentence,
        fitted=True,
        limits=_limits(fit),
        assumptions=_assumptions(fit),
    )


def _limits(fit: OrientationFit) -> tuple[str, ...]:
    law = (
        "the c-axis follows the radius of the grain's seed with one spread for all places, and "
        "not the grain's long axis; rotations about it are uniform."
        if fit.model == "radial"
        else "crystals are random: a texture too weak for these sections is not excluded."
    )
    return law, "crystals of neighbouring grains are independent.", *fit.warnings


def _assumptions(fit: OrientationFit) -> tuple[dict[str, str], ...]:
    crystals = {
        "field": "orientations",
        "choice": "crystals are independent of the sizes and shapes of grains at their place",
        "reason": "Sections show large grains more often; then nothing follows for the crystals.",
    }
    heights = {
        "field": "orientations.fit.sections",
        "choice": "each plane lies where its c-axes fit the law best",
        "reason": "How far a section misses the centre is not measured.",
    }
    found = any(one.origin == "found" for one in fit.sections)
    return (crystals, heights) if found else (crystals,)


def orientation_document(fit: OrientationFit) -> dict[str, Any]:
    """JSON values of a fit."""
    return {
        "model": fit.model,
        "level": LEVEL,
        "n_grains": fit.n_grains,
        "mean_square": fit.mean_square,
        "p_value": fit.p_value,
        "p_along": fit.p_along,
        "spread_deg": fit.spread_deg,
        "interval_95": fit.interval_deg and list(fit.interval_deg),
        "log_likelihood_ratio": fit.log_likelihood_ratio,
        "sections": [_section(one) for one in fit.sections],
        "left_out": list(fit.left_out),
        "better_turn": fit.better_turn,
        "bins": [_bin(one) for one in fit.bins],
    }


def _section(one: PlacedAxes) -> dict[str, Any]:
    return {
        "file": one.axes.source,
        "n_grains": int(np.count_nonzero(one.axes.has_radius)),
        "height": one.origin,
        "height_um": None if one.origin == "none" else one.height_um,
        "height_error_um": one.error_um,
    }


def _bin(one: AngleBin) -> dict[str, Any]:
    long_axis = one.to_long_axis_deg
    return {
        "relative_radii": [one.low, one.high if math.isfinite(one.high) else None],
        "n_grains": len(one.to_radius_deg),
        "to_radius_deg": float(one.to_radius_deg.mean()),
        "to_normal_deg": float(one.to_normal_deg.mean()),
        "n_with_long_axis": len(long_axis),
        "to_long_axis_deg": float(long_axis.mean()) if len(long_axis) else None,
        "spread_deg": one.spread_deg,
        "interval_95": one.interval_deg and list(one.interval_deg),
        "counts": one.counts.tolist(),
    }
