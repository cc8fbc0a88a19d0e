"""Figures of fixed size, what every picture shares: style, axes, scale bars, the PNG written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...generator.pictures.rendering import (
    Picture,
)
from ..files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDTH, HEIGHT, DPI = 1600, 1710, 100  # pixels, pixels, pixels per inch
INK, INTERIOR, SURFACE, ACCENT = "#22272e", "#4c78a8", "#c8cfd8", "#d1495b"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


class SavablePicture(Picture):
    """A picture that can be written, and that notebooks show."""

    def save(self, path: str | Path) -> Path:
        """Write it as a PNG with a scale bar; needs matplotlib."""
        return write_picture(self, path)

    def _repr_png_(self) -> bytes:
        return png_bytes(self)


def write_picture(picture: Picture, path: str | Path) -> Path:
    """Write a rendered picture with a scale bar as a PNG, one pixel for each of its pixels.

    Examples
    --------
    ``write_picture(render_outside(particle, pixels=900), "outside.png")``
    """
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(picture))
    return Path(path)


def png_bytes(picture: Picture) -> bytes:
    """PNG of a picture with its scale bar."""
    from matplotlib import style

    height, width = picture.rgb.shape[:2]
    content = io.BytesIO()
    with style.context(["default", STYLE]):
        figure = new_figure(width, height)
        show_picture(figure, picture, 0, 0)
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def new_figure(width: int, height: int) -> Figure:
    """White page with an Agg canvas of its own, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels from the upper left corner."""
    across, down = figure.get_size_inches() * DPI
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    return figure.add_axes(place)


def show_picture(figure: Figure, picture: Picture, left: int, top: int) -> Axes:
    """Place a picture pixel by pixel, with a scale bar."""
    height, width = picture.rgb.shape[:2]
    axes = axes_at(figure, left, top, width, height)
    axes.imshow(picture.rgb, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    length = nice_length(0.3 * width * picture.pixel_um)
    bar, margin = length / picture.pixel_um, 0.035 * width
    right, bottom = width - margin, height - margin
    axes.plot([right - bar, right], [bottom, bottom], color="white", lw=4, solid_capstyle="butt")
    label = f"{length:g} µm"
    axes.text(
        right - bar / 2, bottom - 0.012 * height, label, color="white", ha="center", fontsize=13
    )
    return axes


def nice_length(longest: float) -> float:
    """Largest of 1, 2, 5 times a power of ten that is not above ``longest``.

    Examples
    --------
    >>> nice_length(7.3), nice_length(0.39), nice_length(2.0)
    (5.0, 0.2, 2.0)
    """
    power = 10.0 ** np.floor(np.log10(longest))
    digit = max(d for d in (1, 2, 5) if d * power <= longest * (1 + 1e-9))
    return float(f"{digit * power:.1g}")
