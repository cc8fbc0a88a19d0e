"""Report on grains calibrated to printed numbers: a page, a picture, numbers, and cards.

``index.html`` opens in any browser, without scripts and without a network. ``fit.json`` holds every
number of it, by ``schemas/grain_calibration_report-1.0.0.schema.json``; ``cards/`` a model card
of each other law that has the numbers. Equal calibrations give equal bytes with one version of
matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ....generator.fitting.laws.calibration import TOLERANCE, Calibration
from ....generator.model_card import ModelCard
from ....generator.progress import Progress, quiet
from ...files.atomic import replacing_folder, require_free
from ...files.documents import document_text
from ..html_page import write_text
from .calibration_card import measured_fields, open_questions, shortened
from .calibration_figures import write_figure
from .calibration_page import PICTURE, page

PAGE, NUMBERS, CARDS = "index.html", "fit.json", "cards"


class Law(NamedTuple):
    """A law, what is other in it than in the first one, and its card."""

    name: str
    card: ModelCard
    calibration: Calibration


def write_report(
    card: ModelCard,
    laws: Sequence[Law],
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the folder of a report, whole or not at all; return it.

    Raises
    ------
    ExportError
        If something is at ``folder`` and ``overwrite`` is not set, or it cannot be written.
    """
    require_free([folder], overwrite, "choose another folder, or overwrite=True to replace")
    show = progress or quiet
    numbers = document(card, laws)
    with replacing_folder(folder) as temporary:
        write_text(temporary / NUMBERS, document_text(numbers, "grain_calibration_report"))
        write_text(temporary / PAGE, page(numbers))
        show("sections", 0.2)
        write_figure(
            [(law.name, law.calibration) for law in laws if law.calibration.reached],
            temporary / PICTURE,
        )
        (temporary / CARDS).mkdir()
        for law in laws[1:]:
            if law.calibration.reached:
                law.card.save(temporary / CARDS / f"{law.card.name}.json")
    show("report written", 1.0)
    return Path(folder)


def document(card: ModelCard, laws: Sequence[Law]) -> dict[str, Any]:
    """JSON values: every number of the report."""
    return {
        "schema": "cathodegrain/grain_calibration_report",
        "schema_version": "1.0.0",
        "calibration": card.grains["calibration"],
        "tolerance": TOLERANCE,
        "open": list(open_questions(laws[0].calibration)),
        "laws": [_law_fields(law, k) for k, law in enumerate(laws)],
    }


def _law_fields(law: Law, k: int) -> dict[str, Any]:
    found = law.calibration
    one = found.law
    fields = {
        "name": law.name,
        "card": f"{CARDS}/{law.card.name}.json" if k and found.reached else None,
        "met": found.reached,
        "distance_um": one.distance_um,
        "spread": one.spread,
        "spread_of": one.carrier,
        "aspect_ratio": one.aspect_ratio,
        "tilt_deg": one.tilt_deg,
        "reached": measured_fields(found.found),
        "fresh_sections": measured_fields(found.fresh),
    }
    shorter: dict[str, Any] = shortened(fields)
    return shorter
