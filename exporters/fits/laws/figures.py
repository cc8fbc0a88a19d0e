"""Figures of a report on a fitted law: PNGs, equal for equal fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pictures.canvas import DPI, STYLE, axes_at, new_figure
from ...sections.drawing import draw_picture, grain_rgb
from ..page_figures import BLUE, GREEN, LAYOUT, ORANGE, page_figure, save
from .page import DISTANCE, PAIRS, PROFILES, STATISTICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIR_WIDTH, PAIR_ROW, PAIR_VIEW = 1600, 800, 720  # pixels: of the page, of a row, of a picture
FAR = 3.0  # standard deviations

Numbers = Mapping[str, Any]


def write_figures(numbers: Numbers, pairs: Sequence[Any], folder: Path) -> None:
    """Write all figures of a report."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        picture = draw_pairs(pairs)
        picture.savefig(folder / PAIRS, format="png", dpi=DPI, metadata={"Software": None})
    with style.context(["default", STYLE, LAYOUT]):
        save(draw_profiles(numbers["profiles"]), folder / PROFILES)
        save(draw_distance(numbers), folder / DISTANCE)
        save(draw_statistics(numbers["statistics"]), folder / STATISTICS)


def draw_pairs(pairs: Sequence[Any]) -> Figure:
    """Measured sections, left, beside sections of the law on the same pixels, right."""
    figure = new_figure(PAIR_WIDTH, PAIR_ROW * len(pairs))
    left = (PAIR_WIDTH // 2 - PAIR_VIEW) // 2
    for row, pair in enumerate(pairs):
        for column, (kind, section) in enumerate(pair._asdict().items()):
            place = left + column * PAIR_WIDTH // 2, PAIR_ROW * row + 50
            axes = axes_at(figure, *place, PAIR_VIEW, PAIR_VIEW)
            draw_picture(axes, section, grain_rgb(section))
            axes.set_title(f"{kind}: {section.n_grains} grains")
    return figure


def draw_profiles(profiles: Numbers) -> Figure:
    """Intensity and aspect ratio from the centre to the surface, with 95 % bands."""
    figure = page_figure(3.6)
    panels: Sequence[Axes] = figure.subplots(1, 2)
    titles = ("Seeds per cubic micrometre", "Median aspect ratio, radial over transverse")
    for axes, name, title in zip(panels, ("intensity_um3", "aspect_ratio"), titles, strict=True):
        band = profiles[name]
        axes.fill_between(profiles["t"], band["low"], band["high"], color=BLUE, alpha=0.25, lw=0)
        axes.plot(profiles["t"], band["value"], color=BLUE, lw=2)
        axes.set_title(title)
        axes.set_xlabel("relative distance from the centre t")
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
    return figure


def draw_distance(numbers: Numbers) -> Figure:
    """Distance of the measured sections among those of the law's own."""
    fit = numbers["fit"]
    figure = page_figure(2.8)
    axes = figure.subplots()
    axes.hist(numbers["refits"], bins=20, color=BLUE, alpha=0.5, label="sections of the law")
    axes.axvline(fit["distance_95"], color=BLUE, ls="--", label="95 % of them")
    axes.axvline(fit["distance"], color=ORANGE, lw=2.5, label="measured sections")
    axes.set_xlabel("distance Q from the fitted law")
    axes.set_ylabel("number of fits")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def draw_statistics(statistics: Sequence[Numbers]) -> Figure:
    """How far every statistic is off, a row for each and a mark for each bin."""
    names = list(dict.fromkeys(one["statistic"] for one in statistics))
    bins = list(dict.fromkeys(tuple(one["t"]) for one in statistics))
    figure = page_figure(4.6)
    axes = figure.subplots()
    shades = np.linspace(0.25, 1, len(bins))
    for k, edges in enumerate(bins):
        found = [one for one in statistics if tuple(one["t"]) == edges]
        rows = [names.index(one["statistic"]) + 0.6 * (k / len(bins) - 0.4) for one in found]
        label = f"t = {edges[0]:g} to {edges[1]:g}"
        values = [one["deviations"] for one in found]
        axes.plot(values, rows, "o", color=GREEN, alpha=shades[k], ms=5, label=label)
    axes.axvspan(-FAR, FAR, color="0.5", alpha=0.12, lw=0)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("measured less simulated, standard deviations")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.grid(axis="x", alpha=0.3)
    return figure
