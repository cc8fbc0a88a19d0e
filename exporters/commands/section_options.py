"""Sections as the command line is asked to read them, and which of them are kept.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .write_products import row_names

if TYPE_CHECKING:
    from ...generator.fitting.sections.descriptors import Alignment
    from ...generator.fitting.sections.reconstruction import ReconstructionSettings
    from ...generator.fitting.sections.section import Section

EPSILON = 1e-9


@Parameter(name="*")
@dataclass(frozen=True)
class SectionOptions:
    """How sections are read, and which are kept."""

    pixel: Annotated[
        float | None, Parameter(help="Edge of a pixel, um; needed for images of labels.")
    ] = None
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
    ] = 5.0
    min_pixels: Annotated[int, Parameter(help="Grains with fewer pixels are missing.")] = 4
    gap: Annotated[float, Parameter(help="Gaps of up to twice this are closed, pixels.")] = 2.0
    phase: Annotated[str | None, Parameter(help="Phase of a map that has several.")] = None
    dataset: Annotated[str | None, Parameter(help="Array of an HDF5 file that has several.")] = None
    level: Annotated[
        float, Parameter(help="Level of the test that keeps sections with oriented grains.")
    ] = 0.01
    least_alignment: Annotated[
        float, Parameter(help="Least mean of cos(2 theta) of sections that are kept.")
    ] = 0.0
    relative_alignment: Annotated[
        float, Parameter(help="And at least this part of the best section's.")
    ] = 0.75
    all_sections: Annotated[
        bool, Parameter(negative="", help="Keep all sections, whatever the test says.")
    ] = False

    @property
    def reconstruction(self) -> ReconstructionSettings:
        """How grains and outlines are found."""
        from ...generator.fitting.sections.reconstruction import ReconstructionSettings

        return ReconstructionSettings(
            threshold_deg=self.threshold, min_pixels=self.min_pixels, gap_px=self.gap
        )


def read_all(paths: Sequence[Path], options: SectionOptions) -> list[Section]:
    """Sections of all maps.

    Raises
    ------
    FitError
        If one cannot be read, or centres or masks are not one for each map.
    """
    from ...generator.fitting.sections.files import read_section

    centres = _one_each("--centre", options.centre, paths)
    masks = _one_each("--mask", options.mask, paths)
    return [
        read_section(
            path,
            options.pixel,
            None if centre is None else _centre(centre),
            settings=options.reconstruction,
            phase=options.phase,
            mask=mask,
            dataset=options.dataset,
        )
        for path, centre, mask in zip(paths, centres, masks, strict=True)
    ]


def _one_each(option: str, given: Sequence[Any] | None, paths: Sequence[Path]) -> Sequence[Any]:
    from ...generator.errors import FitError

    if not given:
        return [None] * len(paths)
    if len(given) != len(paths):
        msg = f"{option} is given {len(given)} times for {len(paths)} maps, expected one for each"
        raise FitError(msg)
    return given


def _centre(text: str) -> tuple[float, float]:
    from ...generator.errors import FitError

    try:
        y, x = (float(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--centre is {text!r}, expected two numbers y,x in pixels, as 115,115"
        raise FitError(msg) from error
    return y, x


def verdicts_of(sections: Sequence[Section], options: SectionOptions) -> list[Alignment]:
    """Whether each section is kept."""
    from dataclasses import replace

    from ...generator.errors import FitError
    from ...generator.fitting.sections.descriptors import alignment, section_descriptors

    if not 0 <= options.relative_alignment <= 1:  # true for NaN
        msg = f"--relative-alignment is {options.relative_alignment}, expected 0 to 1"
        raise FitError(msg)
    found = [
        alignment(
            section_descriptors(section),
            level=options.level,
            least_alignment=options.least_alignment,
        )
        for section in sections
    ]
    if options.all_sections:
        return [replace(one, level=1.0 + EPSILON, least_alignment=-1.0) for one in found]
    relative = options.relative_alignment * max(one.value for one in found)
    least = max(options.least_alignment, relative)
    return [replace(one, least_alignment=least) for one in found]


def section_rows(sections: Sequence[Section], verdicts: Sequence[Alignment]) -> dict[str, Any]:
    """Grains and verdict of each section, and warnings."""
    from ...generator.fitting.grains.fit import warnings

    names = row_names([Path(section.source) for section in sections])
    rows: dict[str, Any] = {
        name: [
            f"{section.n_grains} grains, {section.missing_part:.1%} missing",
            verdict.sentence,
        ]
        for name, section, verdict in zip(names, sections, verdicts, strict=True)
    }
    kept = [s for s, verdict in zip(sections, verdicts, strict=True) if verdict.kept]
    if found := warnings(kept):
        rows["warning"] = found
    return rows
