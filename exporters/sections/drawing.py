"""Pictures of sections: grains in colours, boundaries and missing pixels dark, a scale bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...generator.fitting.sections.section import MISSING, OUTSIDE, Section
from ...generator.pictures.colours import grain_colours, srgb
from ..pictures.canvas import INK, nice_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 3  # pixels of the section round what is shown
MISSING_RGB = (40, 44, 50)


def draw_picture(axes: Axes, section: Section, rgb: NDArray[np.uint8]) -> None:
    """Pixels of the section, its boundaries dark, centre marked, with a scale bar."""
    rows, columns = (np.flatnonzero(section.inside.any(axis=axis)) for axis in (1, 0))
    half = 1.06 * max(np.ptp(rows), np.ptp(columns)) / 2 + MARGIN
    y, x = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    axes.imshow(rgb, interpolation="nearest")
    axes.plot(section.centre[1], section.centre[0], "+", color="white", ms=16, mew=4)
    axes.plot(section.centre[1], section.centre[0], "+", color=INK, ms=14, mew=2)
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y + half, y - half)
    length = nice_length(0.35 * half * section.pixel_um)
    right, low = x + 0.97 * half, y + 0.96 * half
    axes.plot([right - length / section.pixel_um, right], [low, low], color=INK, lw=4)
    middle = right - length / section.pixel_um / 2
    axes.text(middle, low - 0.03 * half, f"{length:g} µm", ha="center", fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])


def grain_rgb(section: Section) -> NDArray[np.uint8]:
    """(ny, nx, 3) a colour for each grain."""
    ids = np.arange(1, section.n_grains + 1, dtype=np.int32)
    return coloured(section, srgb(grain_colours(ids)))


def coloured(section: Section, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(ny, nx, 3) colours of grains (n, 3), darker where a neighbour is another one."""
    labels = section.labels
    rgb: NDArray[np.uint8] = colours[np.maximum(labels, 1) - 1]
    border = np.zeros(labels.shape, bool)
    border[1:] |= labels[1:] != labels[:-1]
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    rgb[border] = (0.45 * rgb[border]).astype(np.uint8)
    rgb[labels == MISSING] = MISSING_RGB
    rgb[labels == OUTSIDE] = 255
    return rgb
