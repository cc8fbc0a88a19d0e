"""Picture of a calibration: central sections of laws that have the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ....generator.fitting.laws.calibration import Calibration
from ....generator.fitting.laws.published_numbers import central_section
from ...pictures.canvas import DPI, STYLE, axes_at, new_figure
from ...sections.drawing import draw_picture, grain_rgb

VIEW, GAP, TITLE, COLUMNS = 720, 30, 50, 2  # pixels


def write_figure(laws: Sequence[tuple[str, Calibration]], path: Path) -> None:
    """Write a PNG with a section of each law."""
    from matplotlib import style

    rows = -(-len(laws) // COLUMNS)
    with style.context(["default", STYLE]):
        figure = new_figure(COLUMNS * (VIEW + GAP) + GAP, rows * (VIEW + TITLE) + GAP)
        for k, (name, found) in enumerate(laws):
            row, column = divmod(k, COLUMNS)
            place = GAP + column * (VIEW + GAP), TITLE + row * (VIEW + TITLE)
            axes = axes_at(figure, *place, VIEW, VIEW)
            section = central_section(found.law.radial_law, found.view, found.asked.mean_um)
            draw_picture(axes, section, grain_rgb(section))
            axes.set_title(name[0].upper() + name[1:])
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
