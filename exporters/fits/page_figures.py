"""Figures of pages: PNGs that are 9.6 inches wide, with twice the pixels that they are shown with.

Colours are those of Okabe and Ito (2008), which differ for all kinds of colour vision.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, DPI = 9.6, 200  # inches, pixels per inch

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
LAYOUT = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def page_figure(height: float) -> Figure:
    """White figure, inches high, with an Agg canvas of its own, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG: equal figures give equal bytes with one version of matplotlib."""
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
