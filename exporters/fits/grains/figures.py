"""Figures of a report on fitted grains: PNGs, equal for equal fits.

No name of a file is drawn but in the picture of all sections: what a user typed is text of
the page, not of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....generator.fitting.grains.comparison import BinComparison, Samples, pooled
from ....generator.fitting.grains.evaluation import Evaluation
from ....generator.fitting.grains.fit import GrainFit
from ....generator.fitting.grains.run import GrainRun
from ....generator.fitting.grains.statistics import Sample
from ....generator.fitting.sections.descriptors import theta_density
from ....generator.fitting.sections.section import Section
from ....generator.progress import Progress
from ...pictures.canvas import DPI, INK, STYLE, axes_at, new_figure
from ...sections import picture as section_report
from ...sections.drawing import draw_picture, grain_rgb
from ..page_figures import BLUE, GREEN, LAYOUT, ORANGE, page_figure, save
from .page import (
    PAIRS,
    PLANAR_PICTURE,
    PLANAR_RADIUS,
    SECTIONS,
    SPATIAL_PICTURE,
    SPATIAL_RADIUS,
    TRAINING,
)
from .words import DESCRIPTORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Floats = NDArray[np.float64]

RUN_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
CHOSEN, OTHER = 2.6, 1.1  # widths of lines
MOST_COLUMNS = 4  # of a legend
PAIR_WIDTH, PAIR_ROW, PAIR_VIEW = 1600, 800, 720  # pixels: of the page, of a row, of a picture
COLUMNS = 3  # descriptors side by side
TAILS = (0.2, 99.5)  # per cent of the values of a sample that a figure reaches from and to
LOGARITHMIC = ("area", "volume")
WIDE = 60.0  # end over end of a logarithmic axis, beyond which powers of ten do
ANGLES = ("theta", "radial_angle")
BY_RADIUS = ("area", "aspect_ratio", "theta", "volume", "elongation", "radial_angle", "sphericity")
SHORT = {"radial_angle": "axis to radius", "elongation": "longest / middle"}
APART = 0.12  # of medians of one bin, bins


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """A kept section and a generated one on its pixels.

    Parameters
    ----------
    number
        Of the section, among all sections, from 1.
    """

    number: int
    measured: Section
    generated: Section


class Kind(NamedTuple):
    """A sample that is drawn, and how."""

    name: str
    sample: Sample
    colour: str
    line: str


def write_figures(
    fit: GrainFit, evaluation: Evaluation, pairs: Sequence[Pair], folder: Path, progress: Progress
) -> None:
    """Write all figures into a folder; files that are there are replaced."""
    from matplotlib import style

    progress("picture of the sections", 0.0)
    verdict = fit.alignments[0]
    section_report.write(
        fit.sections,
        folder / SECTIONS,
        level=verdict.level,
        least_alignment=verdict.least_alignment,
    )
    progress("pictures of twins", 0.4)
    with style.context(["default", STYLE]):
        picture = draw_pairs(pairs)
        picture.savefig(folder / PAIRS, format="png", dpi=DPI, metadata={"Software": None})
    progress("figures", 0.6)
    reference = "measured" if evaluation.blocks is None else "phantom"
    with style.context(["default", STYLE, LAYOUT]):
        save(draw_training(fit.runs, fit.chosen), folder / TRAINING)
        save(draw_descriptors(evaluation.sections, reference), folder / PLANAR_PICTURE)
        save(draw_by_radius(evaluation.planar_bins, reference), folder / PLANAR_RADIUS)
        if evaluation.blocks:
            save(draw_descriptors(evaluation.blocks, reference), folder / SPATIAL_PICTURE)
            save(draw_by_radius(evaluation.spatial_bins, reference), folder / SPATIAL_RADIUS)


def draw_pairs(pairs: Sequence[Pair]) -> Figure:
    """Measured sections, left, beside generated ones on the same pixels, right."""
    figure = new_figure(PAIR_WIDTH, PAIR_ROW * len(pairs))
    left = (PAIR_WIDTH // 2 - PAIR_VIEW) // 2
    for row, pair in enumerate(pairs):
        kinds = (("measured", pair.measured), ("generated", pair.generated))
        for column, (kind, section) in enumerate(kinds):
            place = left + column * PAIR_WIDTH // 2, PAIR_ROW * row + 50
            axes = axes_at(figure, *place, PAIR_VIEW, PAIR_VIEW)
            draw_picture(axes, section, grain_rgb(section))
            axes.set_title(f"Section {pair.number}, {kind}: {section.n_grains} grains")
    return figure


def draw_training(runs: Sequence[GrainRun], chosen: int) -> Figure:
    """Losses, grains in a cutout, intensity and scores of all runs; the chosen one thick."""
    figure = page_figure(8.4)
    panels = figure.subplot_mosaic([["d", "g"], ["n", "i"], ["s", "s"]])
    for k in sorted(range(len(runs)), key=lambda k: k == chosen):  # the chosen one above all
        _draw_run(
            panels, runs[k], RUN_COLOURS[k % len(RUN_COLOURS)], CHOSEN if k == chosen else OTHER
        )
    titles = {
        "d": "Loss of the discriminator",
        "g": "Loss of the generator",
        "n": "Grains in a cutout (dashed: measured)",
        "i": "Intensity λ, Eq. (13)",
        "s": "Score: distance of generated from measured sections (circle: best state)",
    }
    labels = {
        "d": "mean of an epoch", "g": "mean of an epoch", "n": "number of grains",
        "i": "λ (10⁻³ seeds / px³)", "s": "score (dimensionless)",
    }  # fmt: skip
    for name, axes in panels.items():
        axes.set_title(titles[name])
        axes.set_ylabel(labels[name])
        axes.set_xlabel("step" if name == "s" else "epoch")
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", integer=True)
    panels["s"].set_yscale("log")
    _logarithmic(panels["s"].yaxis)
    figure.align_ylabels()
    _name_runs(figure, runs, chosen)
    return figure


def _draw_run(panels: Mapping[str, Axes], run: GrainRun, colour: str, width: float) -> None:
    curve = run.state.curve
    epochs = range(1, len(curve) + 1)
    marker = "o" if len(curve) == 1 else ""  # a line of one point is not seen
    lines = (
        ("d", "discriminator_loss", 1.0, "-"),
        ("g", "generator_loss", 1.0, "-"),
        ("n", "grains_measured", 1.0, "--"),
        ("n", "grains_generated", 1.0, "-"),
        ("i", "intensity", 1e3, "-"),
    )
    for panel, name, factor, line in lines:
        values = [factor * row[name] for row in curve]
        panels[panel].plot(epochs, values, color=colour, lw=width, ls=line, marker=marker)
    steps = [step for step, _ in run.scores]
    panels["s"].plot(steps, [score for _, score in run.scores], color=colour, lw=width)
    if run.best:
        best = run.best.step, run.best.score
        panels["s"].plot(*best, "o", color=colour, ms=9, mfc="white", mew=2)


def _logarithmic(axis: Axis, wide: float = WIDE) -> None:
    """Numbers of a logarithmic axis as they are read, and few enough of them.

    From ``wide`` on, end over end, they are powers of ten.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < wide * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _name_runs(figure: Figure, runs: Sequence[GrainRun], chosen: int) -> None:
    handles = []
    for k, run in enumerate(runs):
        colour, width = RUN_COLOURS[k % len(RUN_COLOURS)], CHOSEN if k == chosen else OTHER
        name = f"seed {run.seed}{' (chosen)' if k == chosen else ''}"
        handles += figure.axes[0].plot([], [], color=colour, lw=width, label=name)
    columns = min(len(runs), MOST_COLUMNS)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


def draw_descriptors(samples: Samples, reference: str) -> Figure:
    """Distribution of each descriptor of the reference, the model and an untrained net."""
    kinds = _kinds(samples, reference)
    names = list(kinds[0].sample)
    rows = -(-len(names) // COLUMNS)
    figure = page_figure(2.6 * rows + 0.4)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for name, axes in zip(names, panels, strict=False):
        for kind in kinds:
            _draw_distribution(axes, name, kind)
        _finish(axes, name, [kind.sample[name] for kind in kinds])
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    handles = [_handle(figure, kind, names[0]) for kind in kinds]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _kinds(samples: Samples, reference: str) -> tuple[Kind, ...]:
    return (
        Kind(reference, pooled(samples.reference), BLUE, "-"),
        Kind("generated", pooled(samples.generated), ORANGE, "--"),
        Kind("untrained", pooled(samples.untrained), GREEN, ":"),
    )


def draw_by_radius(bins: Sequence[BinComparison], reference: str) -> Figure:
    """Medians by radial bin, and the distributions in each, of the descriptors `BY_RADIUS`."""
    kinds = [_kinds(one.samples, reference) for one in bins]
    names = [name for name in BY_RADIUS if name in kinds[0][0].sample]
    figure = page_figure(2.1 * (1 + len(bins)) + 0.4)
    panels = figure.subplots(1 + len(bins), len(names), squeeze=False)
    for name, column in zip(names, panels.T, strict=True):
        _draw_medians(column[0], name, bins, kinds)
        for own, one, axes in zip(kinds, bins, column[1:], strict=True):
            for kind in own:
                _draw_distribution(axes, name, kind)
            _finish(
                axes, name, [kind.sample[name] for every in kinds for kind in every], narrow=True
            )
            axes.set_title(_distance_title(one, name))
            first = f"{one.bin.name}\n" if name == names[0] else ""
            axes.set_ylabel(
                first + ("1/degree" if name == "theta" else "fraction" if first else "")
            )
    handles = [
        figure.axes[0].plot([], [], color=kind.colour, ls=kind.line, lw=2, label=kind.name)[0]
        for kind in kinds[0]
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _draw_medians(
    axes: Axes, name: str, bins: Sequence[BinComparison], kinds: Sequence[Sequence[Kind]]
) -> None:
    """Median and middle half of each sample in each bin."""
    for k, same in enumerate(zip(*kinds, strict=True)):
        values = [np.percentile(_shown(name, kind.sample[name]), (25, 50, 75)) for kind in same]
        low, middle, high = np.array(values).T
        x = np.arange(len(bins)) + (k - 1) * APART
        axes.vlines(x, low, high, color=same[0].colour, lw=1.5)
        axes.plot(x, middle, "o", color=same[0].colour, ls=same[0].line, ms=4, lw=1.5)
    axes.set_xticks(range(len(bins)), [one.bin.name.replace(" and ", "\n+ ") for one in bins])
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.set_title(_axis_label(name, short=True))
    axes.grid(alpha=0.3)


def _distance_title(one: BinComparison, name: str) -> str:
    (found,) = [two for two in one.comparisons if two.descriptor == name]
    return f"KS {found.generated.ks:.2f}, floor {found.floor.ks:.2f}"


def _shown(name: str, values: Floats) -> Floats:
    """Values as they are drawn: angles in degrees."""
    return np.degrees(values) if name in ANGLES else values


def _axis_label(name: str, short: bool = False) -> str:
    label, unit = DESCRIPTORS[name]
    label = SHORT.get(name, label) if short else label
    return f"{label} ({unit})" if unit else label


def _handle(figure: Figure, kind: Kind, name: str) -> Line2D:
    label = f"{kind.name} ({len(kind.sample[name])} grains)"
    return figure.axes[0].plot([], [], color=kind.colour, ls=kind.line, lw=2, label=label)[0]


def _draw_distribution(axes: Axes, name: str, kind: Kind) -> None:
    """Density of theta, distribution function of others; angles in degrees."""
    values = kind.sample[name]
    if name != "theta":
        axes.ecdf(_shown(name, values), color=kind.colour, ls=kind.line, lw=2)
    elif np.ptp(values) > 0:  # angles that are all the same have no density
        degrees = np.linspace(0, 90, 181)
        density = theta_density(values, np.radians(degrees)) * np.pi / 180
        axes.plot(degrees, density, color=kind.colour, ls=kind.line, lw=2)


def _finish(axes: Axes, name: str, values: Sequence[Floats], narrow: bool = False) -> None:
    """Labels and limits."""
    axes.set_xlabel(_axis_label(name, narrow))
    axes.grid(alpha=0.3)
    if name == "theta":
        axes.axhline(1 / 90, color=INK, lw=1, ls=(0, (1, 3)))
        axes.set_ylabel("density (1/degree)")
        axes.set_ylim(bottom=0)
    else:
        axes.set_ylabel("fraction not above")
        axes.set_ylim(-0.02, 1.02)
    if name in ANGLES:
        axes.set_xlim(0, 90)
        axes.set_xticks(range(0, 91, 30 if narrow else 15))
        return
    ends = np.array([np.percentile(one, TAILS) for one in values])
    if name in LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xlim(ends[:, 0].min(), ends[:, 1].max())
    if name in LOGARITHMIC:
        _logarithmic(axes.xaxis, 1.0 if narrow else WIDE)
