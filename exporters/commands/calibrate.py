"""Command ``cathodegrain calibrate grains``: grains that have published numbers.

Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..console.arguments import Json, Overwrite, flag, require_free
from ..console.terminal import progress_bar, tell
from ..fits.options import BASE_MODEL, CALIBRATION, CalibrationOptions as Options

if TYPE_CHECKING:
    from ..fits.laws.calibration_request import CalibrationRequest
    from ..fits.laws.calibration_result import GrainCalibrationResult


@Parameter(name="*")
@dataclass(frozen=True)
class CalibrationOptions:
    """What is printed beside the diameter, and how it was measured."""

    aspect: Annotated[float | None, Parameter(help="Mean aspect ratio of grains in sections.")] = (
        CALIBRATION.aspect
    )
    alignment: Annotated[
        float | None,
        Parameter(help="Mean of cos 2 theta: 1 radial, 0 none, -1 across.",
                  allow_leading_hyphen=True),
    ] = CALIBRATION.alignment  # fmt: skip
    pixel: Annotated[float, Parameter(help="Edge of a pixel of the measurement, um.")] = (
        CALIBRATION.pixel_um
    )
    min_pixels: Annotated[int, Parameter(help="Least number of pixels of a grain.")] = (
        CALIBRATION.min_pixels
    )
    cuts: Annotated[
        str, Parameter(help="central: through centres of particles, or random: at any height.")
    ] = CALIBRATION.cuts
    radius: Annotated[
        float | None, Parameter(help="Of the particles, um; the median of shells if left out.")
    ] = CALIBRATION.radius_um
    spread: Annotated[str, Parameter(help="What makes sizes vary: r or d.")] = CALIBRATION.spread
    source: Annotated[
        str | None, Parameter(help="Where the numbers are printed, for the card.")
    ] = CALIBRATION.source
    seed: Annotated[int, Parameter(help="Seed of the simulated sections.")] = CALIBRATION.seed

    def parsed(self) -> Options:
        """The options as calibrations take them."""
        given = asdict(self)
        return Options(pixel_um=given.pop("pixel"), radius_um=given.pop("radius"), **given)


DEFAULTS = CalibrationOptions()


def grains(
    *,
    diameter: Annotated[
        str, Parameter(help="Mean diameter and standard deviation, um, as 0.598+-0.305.")
    ],
    out: Annotated[Path, Parameter(help="Model card to write.")] = Path("calibrated-card.json"),
    name: Annotated[
        str | None, Parameter(help="Name of the model; that of the card's file if left out.")
    ] = None,
    shell: Annotated[str, Parameter(help="Model card that shells are taken from.")] = BASE_MODEL,
    options: CalibrationOptions = DEFAULTS,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Say what would be simulated; write nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Calibrate grains to published numbers of sections: a model card, and a report beside it."""
    from ...generator.model_card import ModelCard
    from ..fits import saving
    from ..fits.laws import calibration_result
    from ..fits.laws.calibration_request import CalibrationRequest

    calibration_result.require_packages()
    model, report = saving.named(name, out, flag), saving.report_folder(out)
    request = CalibrationRequest.of(diameter, options.parsed(), ModelCard.load(shell), flag)
    if dry_run:
        tell(_request_rows(request), json_output)
        return
    require_free([out, report], overwrite)
    result = calibration_result.calibrate(request, model, progress_bar)
    with progress_bar("report") as show:
        result.save(out, overwrite=overwrite, progress=show)
    files = {"card": str(out), "report": str(report / "index.html")}
    tell(_request_rows(request) | _result_rows(result) | files, json_output)


def _request_rows(request: CalibrationRequest) -> dict[str, Any]:
    """What is asked for, in lines."""
    from ..fits.laws.calibration_request import view_words, words

    return {"asked": words(request.asked), "measured on": view_words(request.view)}


def _result_rows(result: GrainCalibrationResult) -> dict[str, Any]:
    """What came out, in lines."""
    from ..fits.laws.calibration_card import open_questions
    from ..fits.laws.calibration_request import words

    found = result.calibration
    laws = [
        f"{law.name}: {'' if law.calibration.reached else 'does not meet them; '}"
        f"{words(law.calibration.fresh.numbers)}"
        for law in result.laws
    ]
    return {
        "reached": words(found.found.numbers),
        "in other sections": f"{words(found.fresh.numbers)}; {found.fresh.n_grains} grains",
        "laws": laws,
        "open": list(open_questions(found)),
    }
