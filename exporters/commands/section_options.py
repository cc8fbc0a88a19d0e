"""Options of sections on the command line, and what is said about sections.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..fits.options import SECTIONS, SectionOptions as Options
from .write_products import row_names

if TYPE_CHECKING:
    from ...generator.fitting.sections.descriptors import Alignment
    from ...generator.fitting.sections.section import Section


@Parameter(name="*")
@dataclass(frozen=True)
class SectionOptions:
    """How sections are read, and which are kept."""

    pixel: Annotated[
        float | None, Parameter(help="Edge of a pixel, um; needed for images of labels.")
    ] = SECTIONS.pixel_um
    centre: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="Centre of the particle as y,x in pixels, one for each map; by default the "
            "centroid of the section.",
        ),
    ] = None
    mask: Annotated[
        list[Path] | None,
        Parameter(negative="", help="Image that is 0 outside the section, one for each map."),
    ] = None
    threshold: Annotated[
        float, Parameter(help="Disorientation between grains of an EBSD map, degrees.")
    ] = SECTIONS.threshold
    min_pixels: Annotated[int, Parameter(help="Grains with fewer pixels are missing.")] = (
        SECTIONS.min_pixels
    )
    gap: Annotated[float, Parameter(help="Gaps of up to twice this are closed, pixels.")] = (
        SECTIONS.gap
    )
    phase: Annotated[str | None, Parameter(help="Phase of a map that has several.")] = (
        SECTIONS.phase
    )
    dataset: Annotated[str | None, Parameter(help="Array of an HDF5 file that has several.")] = (
        SECTIONS.dataset
    )
    frame: Annotated[
        str,
        Parameter(
            help="Axes that Euler angles refer to: those of the map, or these turned by 180 "
            "degrees about x, y, x+y or x-y."
        ),
    ] = SECTIONS.frame
    level: Annotated[
        float, Parameter(help="Level of the test that keeps sections with oriented grains.")
    ] = SECTIONS.level
    least_alignment: Annotated[
        float, Parameter(help="Least mean of cos(2 theta) of sections that are kept.")
    ] = SECTIONS.least_alignment
    relative_alignment: Annotated[
        float, Parameter(help="And at least this part of the best section's.")
    ] = SECTIONS.relative_alignment
    all_sections: Annotated[
        bool, Parameter(negative="", help="Keep all sections, whatever the test says.")
    ] = SECTIONS.all_sections

    def parsed(self) -> Options:
        """The options as fits take them."""
        centre = None if self.centre is None else [_centre(text) for text in self.centre]
        given = asdict(self) | {"centre": centre, "pixel_um": self.pixel}
        del given["pixel"]
        return Options(**given)


def _centre(text: str) -> tuple[float, float]:
    from ...generator.errors import FitError

    try:
        y, x = (float(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--centre is {text!r}, expected two numbers y,x in pixels, as 115,115"
        raise FitError(msg) from error
    return y, x


def section_rows(sections: Sequence[Section], verdicts: Sequence[Alignment]) -> dict[str, Any]:
    """Grains and verdict of each section, the law of the crystals, and warnings."""
    from ...generator.fitting.sections.orientations_part import measured_orientations
    from ...generator.fitting.sections.usable import warnings

    names = row_names([Path(section.source) for section in sections])
    rows: dict[str, Any] = {
        name: [
            f"{section.n_grains} grains, {section.missing_part:.1%} missing"
            f"{'' if section.orientations is None else ', with crystal orientations'}",
            verdict.sentence,
        ]
        for name, section, verdict in zip(names, sections, verdicts, strict=True)
    }
    kept = [s for s, verdict in zip(sections, verdicts, strict=True) if verdict.kept]
    found = warnings(kept)
    if (crystals := measured_orientations(kept)) is not None:
        rows["crystals"] = crystals.sentence
        found += crystals.warnings
    if found:
        rows["warning"] = found
    return rows
