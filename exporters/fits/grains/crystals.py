"""Crystals in a report on fitted grains: their part of the page, and its figure.

The page shows numbers of ``fit.json`` only; the figure is drawn of the fit itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....generator.fitting.sections.orientation_fit import CLASSES_DEG, AngleBin, OrientationFit
from ...pictures.canvas import STYLE
from ..html_page import Row, figure, paragraph, table, warning
from ..page_figures import BLUE, LAYOUT, ORANGE, page_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = "crystals.png"
ORIGINS = {
    "given": "as given",
    "found": "found from the crystals",
    "none": "not found: no texture",
}

Numbers = Mapping[str, Any]


def crystal_parts(numbers: Numbers) -> Iterator[str]:
    """HTML of what the sections say about crystals.

    Parameters
    ----------
    numbers
        JSON values of a report with crystals.
    """
    found = numbers["crystals"]
    yield from map(warning, numbers["crystals_warnings"])
    sentence = numbers["crystals_sentence"]
    yield paragraph(f"{sentence[0].upper()}{sentence[1:]}.")
    yield figure(
        PICTURE,
        "Angle between c-axis and radius by distance from the centre: measured grains, random "
        "crystals (sine of the angle) and, with texture, the fitted law as the sections show it.",
    )
    yield table(
        "C-axes by distance from the centre (mean angles, degrees)",
        [
            "from the centre", "grains", "to the radius", "to the plane's normal",
            "to the long axis", "of grains", "spread", "95 % interval",
        ],
        [_bin_row(one) for one in found["bins"]],
        numeric=range(1, 8),
    )  # fmt: skip
    yield paragraph(
        "Random crystals have a mean angle of 57.3 degrees to any axis. Distances are parts of "
        "that of the surface. The long axis is that of a whole grain in the section."
    )
    yield table(
        "Planes",
        ["section", "grains", "height above the centre (µm)", "standard error", ""],
        [_section_row(one) for one in found["sections"]],
        numeric=(1, 2, 3),
    )
    yield paragraph(
        "In a plane through the centre the radius lies in the plane, and its angle with the c-axis "
        "is exact. Elsewhere it depends on the height of the plane, which c-axes with a texture "
        "show themselves. The law follows the radius of the grain's seed, which a section does not "
        "show: by how much the two differ was taken out of the spread."
    )


def _bin_row(one: Numbers) -> Row:
    low, high = one["relative_radii"]
    place = f"{low:.2f} to {high:.2f}" if high is not None else f"{low:.2f} to the surface"
    interval = one["interval_95"]
    return (
        place,
        str(one["n_grains"]),
        f"{one['to_radius_deg']:.1f}",
        f"{one['to_normal_deg']:.1f}",
        "–" if one["to_long_axis_deg"] is None else f"{one['to_long_axis_deg']:.1f}",
        str(one["n_with_long_axis"]),
        "–" if one["spread_deg"] is None else f"{one['spread_deg']:.1f}",
        "–" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}",
    )


def _section_row(one: Numbers) -> Row:
    height, error = one["height_um"], one["height_error_um"]
    return (
        one["file"],
        str(one["n_grains"]),
        "–" if height is None else f"{height:.2f}",
        "–" if error is None else f"{error:.2f}",
        ORIGINS[one["height"]],
    )


def write_crystals(fit: OrientationFit, folder: Path) -> None:
    """Write the figure into a folder."""
    from matplotlib import style

    with style.context(["default", STYLE, LAYOUT]):
        save(draw_crystals(fit), folder / PICTURE)


def draw_crystals(fit: OrientationFit) -> Figure:
    """Angles between c-axis and radius in each range of distances, side by side."""
    drawn = page_figure(3.2)
    panels = drawn.subplots(1, len(fit.bins), squeeze=False, sharey=True).ravel()
    for axes, one in zip(panels, fit.bins, strict=True):
        _draw_bin(axes, one, fit.spread_deg)
    panels[0].set_ylabel("density (1/degree)")
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=len(names))
    return drawn


def _draw_bin(axes: Axes, one: AngleBin, spread_deg: float | None) -> None:
    width = np.diff(CLASSES_DEG)
    heights = one.counts / (one.counts.sum() * width)
    axes.bar(
        CLASSES_DEG[:-1], heights, width, align="edge", color=BLUE, alpha=0.45, edgecolor="white",
        label="measured",
    )  # fmt: skip
    grid = np.linspace(0, 90, 181)
    random = np.sin(np.radians(grid)) * math.pi / 180
    axes.plot(grid, random, color="#22272e", ls=":", lw=2, label="random crystals")
    if spread_deg is not None:
        law = one.density(grid, spread_deg)
        axes.plot(grid, law, color=ORANGE, ls="-", lw=2, label="fitted law")
    end = f"{one.high:.2f}" if math.isfinite(one.high) else "the surface"
    axes.set_title(f"{one.low:.2f} to {end}: {len(one.to_radius_deg)} grains")
    axes.set_xlabel("c-axis to radius (degrees)")
    axes.set_xlim(0, 90)
    axes.set_xticks(range(0, 91, 30))
    axes.set_ylim(bottom=0)
