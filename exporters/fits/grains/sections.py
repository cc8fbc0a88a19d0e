"""Sections as fits of grains take them: read as asked, and those with radial grains kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ....generator.errors import FitError
from ....generator.fitting.sections.descriptors import Alignment, alignment, section_descriptors
from ....generator.fitting.sections.ebsd import MAPS
from ....generator.fitting.sections.files import read_section
from ....generator.fitting.sections.reconstruction import ReconstructionSettings
from ....generator.fitting.sections.section import Section
from ....generator.requirements import missing, require
from ..options import SectionOptions, Spelling

PACKAGES = {"skimage": "fit", "tifffile": "fit", "matplotlib": "view"}
EPSILON = 1e-9
Given = TypeVar("Given")


def require_packages(maps: Sequence[Path], family: str) -> None:
    """Raise `FitError` if a package that the fit, its report or these maps need is missing."""
    needed = PACKAGES | ({"torch": "torch"} if family == "net" else {})
    if any(path.suffix.lower() in MAPS for path in maps):
        needed["orix"] = "ebsd"
    extras = ",".join(sorted({needed[name] for name in missing(*needed)}))
    require(extras, *needed, purpose="fits of grains", error=FitError)


def read_sections(
    paths: Sequence[Path], options: SectionOptions, option: Spelling = str
) -> list[Section]:
    """Sections of all maps.

    Raises
    ------
    FitError
        If one cannot be read, or centres or masks are not one for each map.
    """
    centres = _one_each(option("centre"), options.centre, paths)
    masks = _one_each(option("mask"), options.mask, paths)
    settings = ReconstructionSettings(
        threshold_deg=options.threshold, min_pixels=options.min_pixels, gap_px=options.gap
    )
    return [
        read_section(
            path,
            options.pixel_um,
            centre,
            settings=settings,
            phase=options.phase,
            mask=mask,
            dataset=options.dataset,
            frame=options.frame,
        )
        for path, centre, mask in zip(paths, centres, masks, strict=True)
    ]


def _one_each(
    option: str, given: Sequence[Given] | None, paths: Sequence[Path]
) -> Sequence[Given | None]:
    if not given:
        return [None] * len(paths)
    if len(given) != len(paths):
        msg = f"{option} is given {len(given)} times for {len(paths)} maps, expected one for each"
        raise FitError(msg)
    return given


def alignments(
    sections: Sequence[Section], options: SectionOptions, option: Spelling = str
) -> list[Alignment]:
    """Whether each section is kept."""
    if not 0 <= options.relative_alignment <= 1:  # true for NaN
        name = option("relative_alignment")
        msg = f"{name} is {options.relative_alignment}, expected 0 to 1"
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
