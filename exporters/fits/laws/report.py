"""Report on a law of grains fitted to sections: a folder with a page, its figures, its numbers.

``index.html`` opens in any browser, without scripts and without a network. ``fit.json`` holds
every number that the page shows, by ``schemas/law_fit_report-1.0.0.schema.json``: ``fit`` as
in the ``grains.law_fit`` of a model card. Equal fits give equal bytes with one version of
matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ....generator.fitting.laws.law_card import fit_document
from ....generator.fitting.laws.law_fit import LawFit, warnings
from ....generator.fitting.laws.statistics import bin_range, statistic_names
from ....generator.fitting.laws.uncertainty import Band, deviations, intensity_band, ratio_band
from ....generator.fitting.sections.section import Section
from ....generator.fitting.sections.usable import warnings as section_warnings
from ....generator.progress import Progress, quiet
from ...files.atomic import replacing_folder, require_free
from ...files.documents import document_text
from ...files.provenance import generator_name
from ..html_page import write_text
from .figures import write_figures
from .page import page

PAGE, NUMBERS = "index.html", "fit.json"
N_PAIRS = 3  # sections that are drawn beside simulated ones
PROFILE_POINTS = 41


class Pair(NamedTuple):
    """A measured section without gaps, and a section of the law on its pixels."""

    measured: Section
    simulated: Section


def write_report(
    fit: LawFit,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the folder of a report, whole or not at all; return it.

    Raises
    ------
    ExportError
        If something is at ``folder`` and ``overwrite`` is not set, a number is not finite, or
        the folder cannot be written.
    """
    require_free([folder], overwrite, "choose another folder, or overwrite=True to replace")
    show = progress or quiet
    show("sections of the law", 0.0)
    pairs = drawn_pairs(fit)
    numbers = document(fit, pairs)
    with replacing_folder(folder) as temporary:
        write_text(temporary / NUMBERS, document_text(numbers, "law_fit_report"))
        write_text(temporary / PAGE, page(numbers))
        show("figures", 0.3)
        write_figures(numbers, pairs, temporary)
    show("report written", 1.0)
    return Path(folder)


def drawn_pairs(fit: LawFit) -> list[Pair]:
    """Some used sections, evenly spaced in their order, and a section of the law for each."""
    n = len(fit.used)
    places = ((np.arange(min(n, N_PAIRS)) + 0.5) * n / min(n, N_PAIRS)).astype(int).tolist()
    return [Pair(fit.kept[k], fit.twin(k)) for k in places]


def document(fit: LawFit, pairs: Sequence[Pair]) -> dict[str, Any]:
    """JSON values: every number of the report."""
    t = np.linspace(0, 1, PROFILE_POINTS)
    volume = fit.pixel_um**3
    return {
        "schema": "cathodegrain/law_fit_report",
        "schema_version": "1.0.0",
        "fit": fit_document(fit, generator_name()),
        "verdicts": list(_verdicts(fit)),
        "warnings": [*warnings(fit), *section_warnings(fit.kept)],
        "n_grains": sum(section.n_grains for section in fit.kept),
        "pixel_um": fit.pixel_um,
        "profiles": {
            "t": t.tolist(),
            "intensity_um3": _band(intensity_band(fit.moments, fit.known, t), volume),
            "aspect_ratio": _band(ratio_band(fit.moments, fit.known, t), 1.0),
        },
        "statistics": list(_statistics(fit)),
        "refits": fit.refits.distances.tolist(),
        "shown": [
            {
                "file": pair.measured.source,
                "n_measured": pair.measured.n_grains,
                "n_simulated": pair.simulated.n_grains,
            }
            for pair in pairs
        ],
    }


def _band(band: Band, unit: float) -> dict[str, list[float]]:
    return {name: (getattr(band, name) / unit).tolist() for name in ("value", "low", "high")}


def _verdicts(fit: LawFit) -> Iterator[str]:
    """On each section: whether and how it is used."""
    for k, verdict in enumerate(fit.alignments):
        if verdict.kept:
            yield f"taken to pass through the centre: {verdict.sentence}"
        elif k in fit.heights:
            found = fit.heights[k]
            use = "used" if k in fit.used else "left out, too uncertain"
            yield (
                f"{use}: {found.part:.2f} R from the centre by the law "
                f"[{found.low:.2f}, {found.high:.2f}]; {verdict.sentence}"
            )
        else:
            yield f"left out, not whole or too few grains: {verdict.sentence}"


def _statistics(fit: LawFit) -> Iterator[dict[str, Any]]:
    target = fit.moments.target
    expected, off = target.expected(fit.moments.theta), deviations(fit.moments, fit.refits)
    columns = (statistic_names(target.edges), target.observed, expected, off)
    for one, measured, simulated, deviation in zip(*columns, strict=True):
        yield {
            "t": list(bin_range(target.edges, one.bin)),
            "statistic": one.name,
            "measured": float(measured),
            "simulated": float(simulated),
            "deviations": float(deviation),
        }
