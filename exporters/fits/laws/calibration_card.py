"""Model card of grains that are calibrated to printed numbers, and what it says about itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ....generator.fitting import card_provenance
from ....generator.fitting.laws.calibration import (
    ASPECT_SPREAD,
    FLATNESS_SPREAD,
    Calibration,
)
from ....generator.fitting.laws.published_numbers import Measured, Numbers
from ....generator.model_card import ModelCard
from .calibration_request import CalibrationRequest, view_words, words

PIXELS_ACROSS = (3.0, 60.0)  # of the grain frame, across a mean grain
USUAL_ACROSS = 10.0
DIGITS = 6
LINKS = {"r": "offset r", "d": "transverse scale d"}


def calibrated_card(
    found: Calibration, request: CalibrationRequest, name: str, software: str
) -> ModelCard:
    """Card with the grains of a law, and shells and orientations of another card."""
    base = request.base
    document = copy.deepcopy(dict(base.document))
    document |= {"name": name, **_texts(found, request)}
    document["assumptions"] = [
        *(a for a in document["assumptions"] if not a["field"].startswith("grains")),
        *_assumptions(found),
    ]
    pixel = _pixel_um(base, found.asked.mean_um)
    law = found.law.radial_law(pixel)
    document["grains"] = {
        "pixel_um": pixel,
        "intensity": shortened(law.intensity),
        "metric": "norm",
        "elongation": 1.0,
        "offset_scale": 1.0,
        "markers": shortened(law.markers.fields()),
        "calibration": shortened(document_of(found, request, software)),
    }
    return ModelCard(document, base.folder).with_size()


def _pixel_um(base: ModelCard, mean_um: float) -> float:
    """Pixel of the grain frame: that of the other card, unless grains are far from its size."""
    pixel = float(base.grains["pixel_um"])
    low, high = PIXELS_ACROSS
    return pixel if low <= mean_um / pixel <= high else float(f"{mean_um / USUAL_ACROSS:.2g}")


def _texts(found: Calibration, request: CalibrationRequest) -> dict[str, Any]:
    asked, base = words(found.asked), request.base
    printed = f" ({request.source})" if request.source else ""
    return {
        "title": f"Grains calibrated to published numbers: {asked}",
        "description": (
            "A stationary law of grains whose sections have published numbers; shells and "
            f"orientations as in the model {base.name}."
        ),
        "fitted_on": (
            f"Grains: calibrated to published numbers: {asked}{printed}, taken to be of "
            f"{view_words(found.view)}; simulated sections have {words(found.fresh.numbers)}. "
            f"{card_provenance.fitted_on(base, 'Shell')}"
        ),
        "limits": [
            *(f"Grains: {text}." for text in open_questions(found)),
            *card_provenance.limits(base, "Shell"),
        ],
        "references": list(
            dict.fromkeys(
                [*([request.source] if request.source else []), *base.document["references"]]
            )
        ),
    }


def open_questions(found: Calibration) -> Iterator[str]:
    """What the numbers do not tell, a sentence each without its full stop."""
    asked, law = found.asked, found.law
    if asked.std_um is None:
        yield f"nothing tells the spread of sizes; that of {law.carrier} is assumed"
    yield (
        "sizes may vary by the offsets r or by the scales d of grains: the numbers do not tell "
        f"which, and the law has {LINKS[law.carrier]}"
    )
    if asked.aspect_ratio is None and asked.alignment is None:
        yield (
            "mean and spread say nothing about elongation or alignment: the aspect ratio "
            f"{law.aspect_ratio:g} and the tilt of {law.tilt_deg:g} degrees are assumed"
        )
    elif asked.aspect_ratio is None or asked.alignment is None:
        yield (
            "aspect ratio and tilt cannot be told apart by one number: the tilt of "
            f"{law.tilt_deg:g} degrees is assumed"
        )
    yield (
        "the law is the same at every distance from the centre, grains depend on each "
        "other through their seed points only, and nothing is known of crystal orientations"
    )
    yield (
        "cut planes, size of particles and least grain are assumed as stated; other ones move the "
        "numbers by several per cent"
    )


def _assumptions(found: Calibration) -> Iterator[dict[str, str]]:
    law, asked = found.law, found.asked
    yield _assumption(
        "grains.calibration.view", view_words(found.view),
        "A printed number depends on how it was measured; taken as given to the calibration.",
    )  # fmt: skip
    yield _assumption(
        "grains.markers.offset_spread, transverse_spread",
        f"sizes vary by {LINKS[law.carrier]} alone, correlation 0",
        "Printed numbers do not tell which of the two makes sizes vary.",
    )
    if asked.std_um is None:
        yield _assumption(
            "grains.markers", f"spread of {law.carrier} {law.spread:g}", "No spread is printed."
        )
    if asked.aspect_ratio is None and asked.alignment is None:
        yield _assumption(
            "grains.markers.aspect_ratio", f"median {law.aspect_ratio:g}, radial over transverse",
            "Neither aspect ratio nor alignment is given; the report has laws of other ratios.",
        )  # fmt: skip
    if asked.aspect_ratio is None or asked.alignment is None:
        yield _assumption(
            "grains.markers.tilt_deg", f"{law.tilt_deg:g} degrees",
            "Needs aspect ratio and alignment together.",
        )  # fmt: skip
    yield _assumption(
        "grains.markers.aspect_spread, flatness_spread",
        f"{ASPECT_SPREAD:g} and {FLATNESS_SPREAD:g}",
        "Nothing printed tells them: grains are round across the radius, of similar shapes.",
    )
    yield _assumption(
        "grains.markers", "profiles are constant", "Nothing printed tells a dependence on radius."
    )


def _assumption(field: str, choice: str, reason: str) -> dict[str, str]:
    return {"field": field, "choice": choice, "reason": reason}


def document_of(found: Calibration, request: CalibrationRequest, software: str) -> dict[str, Any]:
    """JSON values: what was asked for and what came out, as model cards hold it."""
    view = found.view
    return {
        "software": software,
        "source": request.source,
        "asked": numbers_fields(found.asked),
        "view": {
            "pixel_um": view.pixel_um,
            "min_pixels": view.min_pixels,
            "cuts": view.cuts,
            "radius_um": view.radius_um,
        },
        "spread": found.law.carrier,
        "seed": request.seed,
        "reached": measured_fields(found.found),
        "fresh_sections": measured_fields(found.fresh),
    }


def numbers_fields(numbers: Numbers) -> dict[str, float | None]:
    """Numbers by their names."""
    return dict(numbers._asdict())


def measured_fields(found: Measured) -> dict[str, Any]:
    """Numbers with their sampling errors and counts."""
    return {
        **numbers_fields(found.numbers),
        "standard_errors": numbers_fields(found.errors),
        "n_grains": found.n_grains,
        "n_sections": found.n_sections,
    }


def shortened(value: Any) -> Any:
    """The same JSON values with numbers of `DIGITS` digits."""
    if isinstance(value, dict):
        return {name: shortened(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
