"""Sections of a laboratory's own: read, and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator.fitting.sections.section import Section


def read_section(
    path: str | Path,
    *,
    pixel_um: float | None = None,
    centre: tuple[float, float] | None = None,
    **options: Any,
) -> Section:
    """The section in an EBSD map or an image of labels, or in one that `cathodegrain section` cut.

    Parameters
    ----------
    pixel_um
        Edge of a pixel, um; needed for images that do not say, used instead of what a map says.
    centre
        (y, x) of the particle's centre, pixels; by default the centroid of the section.
    options
        Others of `generator.fitting.sections.files.read_section`: settings, phase, mask,
        dataset, frame.

    Raises
    ------
    FitError
        If the file holds no section that a model could be fitted to, with the reason.
    """
    from .exporters.sections import image
    from .generator.fitting.sections import files

    if pixel_um is None and centre is None and image.document_path(path).is_file():
        return image.read(path)
    return files.read_section(path, pixel_um, centre, **options)


def draw_sections(sections: Sequence[Section], path: str | Path) -> Path:
    """Picture of sections and of the test which of them are kept, as a PNG.

    Raises
    ------
    ExportError
        If it cannot be written.
    """
    from .exporters.sections import picture

    return picture.write(sections, path)
