"""From printed numbers of grains to model cards whose sections have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ....generator.errors import FitError
from ....generator.fitting.laws.calibration import (
    CARRIERS,
    TOLERANCE,
    Calibration,
    calibration,
    others,
)
from ....generator.model_card import ModelCard
from ....generator.progress import Progress, Stages
from ....generator.requirements import require
from ...files.provenance import generator_name
from .. import saving
from .calibration_card import calibrated_card
from .calibration_report import Law, write_report
from .calibration_request import CalibrationRequest, words

PACKAGES = ("matplotlib",)


@dataclass(frozen=True, eq=False, repr=False)
class GrainCalibrationResult:
    """A model card whose grains have printed numbers, and other laws that have them too.

    Parameters
    ----------
    card
        Takes shells and orientations from another card.
    calibration
        Numbers asked for and reached.
    laws
        That of the card, then others, each with its own card; those with ``reached`` have the
        numbers.
    """

    card: ModelCard
    calibration: Calibration
    laws: tuple[Law, ...]

    def __repr__(self) -> str:
        fresh = self.calibration.fresh
        return (
            f"GrainCalibrationResult(card {self.card.name!r}: {words(fresh.numbers)} in "
            f"{fresh.n_grains} grains; {self.n_laws} laws)"
        )

    @property
    def n_laws(self) -> int:
        """How many laws have the numbers."""
        return sum(law.calibration.reached for law in self.laws)

    def save(
        self, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the card, and a report beside it that holds the cards of the other laws.

        Returns the path of the card; the report is the folder ``<name of the card>-report``.

        Raises
        ------
        ExportError
            If something is in the way and ``overwrite`` is not set, or a file cannot be written.
        """

        def report(folder: Path) -> Path:
            return write_report(
                self.card, self.laws, folder, overwrite=overwrite, progress=progress
            )

        return saving.save(self.card, path, report, overwrite=overwrite)


def require_packages() -> None:
    """Raise `FitError` if a package that the report needs is missing."""
    require("view", *PACKAGES, purpose="reports", error=FitError)


def calibrate(request: CalibrationRequest, name: str, stages: Stages) -> GrainCalibrationResult:
    """Card ``name`` whose grains have the numbers, and other laws.

    Raises
    ------
    FitError
        If no law has them; names the nearest.
    """
    with stages("calibration") as progress:
        first = calibration(
            request.asked, request.view, request.carrier, seed=request.seed, progress=progress
        )
    if not first.reached:
        raise FitError(_out_of_reach(first))
    software = generator_name()
    card = calibrated_card(first, request, name, software)
    laws = [Law("this card", card, first)]
    for what, found in others(first, request.seed, stages):
        own = calibrated_card(found, request, _named(name, len(laws)), software)
        laws.append(Law(what, own, found))
    return GrainCalibrationResult(card, first, tuple(laws))


def _named(name: str, k: int) -> str:
    """Name of the k-th other law, no longer than cards allow."""
    return f"{name[:60]}-{k}"


def _out_of_reach(found: Calibration) -> str:
    asked, carrier = found.asked, found.law.carrier
    other = next(one for one in CARRIERS if one != carrier)
    return (
        f"out of reach with the spread carried by {carrier}, in {found.view.cuts} sections: "
        f"{words(asked)}; the nearest that a law has is {words(found.found.numbers, asked)} "
        f"(expected within {TOLERANCE:.0%}, of the alignment within {TOLERANCE:g}); ask for that, "
        f"or try the spread carried by {other}"
    )
