"""Picture of sections and of where their grains point, as Fig. 2 of the paper: a PNG, 1600 wide.

a) What theta of Eq. (4) is, on a grain; its density in each section, kept ones black, rejected
ones grey. b) The kept section that is aligned best and c) the rejected one that is aligned
least, as far as there are both, coloured by grain and by theta; where crystals were measured, in a
row of its own by the angle between c-axis and radius, beside the grains of each angle. Equal
sections give equal bytes with one version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.fitting.sections.crystal_axes import crystal_axes
from ...generator.fitting.sections.descriptors import (
    LEVEL,
    Alignment,
    SectionDescriptors,
    alignment,
    section_descriptors,
    theta_density,
)
from ...generator.fitting.sections.section import Section
from ..files.atomic import replacing
from ..pictures.canvas import DPI, INK, STYLE, axes_at, new_figure
from .drawing import MARGIN, coloured, draw_picture, grain_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, PART_A, ROW = 1600, 560, 700  # pixels: of the page, of part a, of each row of part b
VIEW = 600  # edge of a picture, pixels
REJECTED = "#a9b1bb"
CUT_RGB = (212, 216, 222)
COLOURS, CRYSTAL_COLOURS = "viridis", "cividis"  # both for all kinds of colour vision
HISTOGRAM = "#0072B2"
EXAMPLE_ASPECT = 2.0  # of the grain on which theta is shown, at least


Row = Callable[["Figure", "MeasuredSection", int, str], None]  # draws it at a top, as a part


@dataclass(frozen=True, eq=False)
class MeasuredSection:
    """A section, its descriptors and whether it is kept."""

    section: Section
    descriptors: SectionDescriptors
    alignment: Alignment

    @property
    def theta(self) -> NDArray[np.float64]:
        """(m,) theta of the whole grains that have a direction, radians."""
        return self.descriptors.theta[self.descriptors.oriented]


def write(
    sections: Sequence[Section],
    path: str | Path,
    *,
    level: float = LEVEL,
    least_alignment: float = 0.0,
) -> Path:
    """Write the picture of ``sections`` as a PNG.

    Parameters
    ----------
    level, least_alignment
        When a section is kept: of `section_descriptors.alignment`.

    Raises
    ------
    ExportError
        If there is no section, or the file cannot be written.
    FitError
        If a section has no grain with a direction.
    """
    from matplotlib import style

    if not sections:
        msg = f"{path}: there are 0 sections to draw, expected at least one"
        raise ExportError(msg)
    measured = [_measured(one, level, least_alignment) for one in sections]
    with replacing(path) as temporary, style.context(["default", STYLE]):
        figure = _draw(measured)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return Path(path)


def _measured(section: Section, level: float, least_alignment: float) -> MeasuredSection:
    found = section_descriptors(section)
    verdict = alignment(found, level=level, least_alignment=least_alignment)
    return MeasuredSection(section, found, verdict)


def _draw(measured: Sequence[MeasuredSection]) -> Figure:
    shown = _examples(measured)
    rows = [(one, draw) for one in shown for draw in _rows(one)]
    figure = new_figure(WIDTH, PART_A + ROW * len(rows))
    _draw_example(axes_at(figure, 40, 70, 430, 430), shown[0])
    _draw_densities(axes_at(figure, 600, 70, 950, 410), measured)
    for row, (one, draw) in enumerate(rows):
        draw(figure, one, PART_A + ROW * row + 60, "bc"[shown.index(one)])
    return figure


def _rows(one: MeasuredSection) -> list[Row]:
    """What is drawn of a section, a row each."""
    return [_draw_shapes] if one.section.orientations is None else [_draw_shapes, _draw_crystals]


def _draw_shapes(figure: Figure, one: MeasuredSection, top: int, part: str) -> None:
    _draw_grains(axes_at(figure, 40, top, VIEW, VIEW), one, part)
    _draw_theta(figure, axes_at(figure, 80 + VIEW, top, VIEW, VIEW), one, top)


def _examples(measured: Sequence[MeasuredSection]) -> list[MeasuredSection]:
    """The kept section that is aligned best, and the rejected one that is least."""
    order = sorted(measured, key=lambda one: -one.alignment.value)
    kept = [one for one in order if one.alignment.kept]
    rejected = [one for one in order if not one.alignment.kept]
    return kept[:1] + rejected[-1:]


def _draw_example(axes: Axes, one: MeasuredSection) -> None:
    """A grain with its first principal axis, the line to the centre, and the angle between."""
    label = _example(one) + 1
    y, x = np.nonzero(one.section.labels == label)
    up, right = one.section.centre[0] - y, x - one.section.centre[1]  # y upwards
    centre = np.array([right.mean(), up.mean()])
    half = 0.75 * max(np.ptp(right), np.ptp(up)) + MARGIN
    axis = np.linalg.eigh(np.cov(right, up))[1][:, 1]
    radial = centre / np.hypot(*centre)
    axis = axis * np.sign(axis @ radial)
    window = _window(one.section, label, centre, half)
    axes.imshow(window, extent=(-half, half, -half, half), interpolation="nearest")
    for direction, colour in ((axis, "#c23b4b"), (radial, INK)):
        axes.plot(*np.outer(direction, [-0.9 * half, 0.9 * half]), color=colour, lw=2.5)
    _draw_angle(axes, radial, axis, half)
    axes.set_title("a)  θ of a grain, Eq. (4)")
    axes.set_xticks([])
    axes.set_yticks([])


def _example(one: MeasuredSection) -> int:
    """Row of the largest grain that is long and at an angle that can be drawn."""
    found = one.descriptors
    slanted = (found.theta > 0.35) & (found.theta < 1.2) & (found.aspect_ratio > EXAMPLE_ASPECT)
    for chosen in (found.oriented & slanted, found.oriented):
        if chosen.any():
            return int(np.argmax(np.where(chosen, found.pixel_count, -1)))
    return 0


def _window(
    section: Section, label: int, centre: NDArray[np.float64], half: float
) -> NDArray[np.uint8]:
    """Colours round a place (x, y) from the section's centre, y upwards; one grain stands out."""
    steps = np.linspace(-half, half, 400)
    x = np.rint(section.centre[1] + centre[0] + steps).astype(int)
    y = np.rint(section.centre[0] - centre[1] + steps).astype(int)
    ny, nx = section.labels.shape
    strength = np.where(section.labels == label, 0.7, 0.25)[..., None]
    faded = (255 - strength * (255.0 - grain_rgb(section))).astype(np.uint8)
    window = faded[np.clip(y, 0, ny - 1)][:, np.clip(x, 0, nx - 1)]
    window[((y < 0) | (y >= ny))[:, None] | ((x < 0) | (x >= nx))[None, :]] = 255
    return window


def _draw_angle(
    axes: Axes, radial: NDArray[np.float64], axis: NDArray[np.float64], half: float
) -> None:
    """Arc from the radial direction to the axis, and the names of all three."""
    start, turn = np.arctan2(*radial[::-1]), float(radial[0] * axis[1] - radial[1] * axis[0])
    turn = float(np.arctan2(turn, radial @ axis))
    angles = start + np.linspace(0, turn, 40)
    axes.plot(0.5 * half * np.cos(angles), 0.5 * half * np.sin(angles), color=INK, lw=1.5)
    middle = start + turn / 2
    for text, angle, distance in (
        ("θ", middle, 0.60),
        ("$v_1$", start + turn + 0.16 * np.sign(turn), 0.85),
        ("away from\nthe centre", start - 0.30 * np.sign(turn), 0.74),
    ):
        place = distance * half * np.cos(angle), distance * half * np.sin(angle)
        size = 16 if len(text) < 6 else 11
        axes.text(*place, text, fontsize=size, ha="center", va="center")


def _draw_densities(axes: Axes, measured: Sequence[MeasuredSection]) -> None:
    """Density of theta in each section, per degree; rejected ones below the others."""
    degrees = np.linspace(0, 90, 361)
    n_kept = sum(one.alignment.kept for one in measured)
    names = {True: f"kept ({n_kept})", False: f"rejected ({len(measured) - n_kept})"}
    for one in sorted(measured, key=lambda one: one.alignment.kept):
        kept = one.alignment.kept
        density = theta_density(one.theta, np.radians(degrees)) * np.pi / 180
        colour, width = (INK, 1.8) if kept else (REJECTED, 1.8)
        axes.plot(degrees, density, color=colour, lw=width, label=names.pop(kept, None))
    axes.axhline(1 / 90, color=INK, lw=1.2, ls=":", label="no preferred orientation")
    axes.set_title("Density of θ in each section")
    axes.set_xlabel("θ (degrees): 0 points to the centre, 90 lies across")
    axes.set_ylabel("density (1/degree)")
    axes.set_xticks(range(0, 91, 15))
    axes.set_xlim(0, 90)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right")


def _draw_grains(axes: Axes, one: MeasuredSection, part: str) -> None:
    """Section coloured by grain, with the verdict and a scale bar."""
    draw_picture(axes, one.section, grain_rgb(one.section))
    verdict = one.alignment.sentence
    axes.set_title(f"{part})  {verdict[0].upper()}{verdict[1:]}", fontsize=12)
    name = Path(one.section.source).name.encode("utf-8", "backslashreplace").decode()
    # a name is no formula, whatever signs are in it
    axes.set_xlabel(f"{name}; dark pixels are missing", parse_math=False)


def _draw_theta(figure: Figure, axes: Axes, one: MeasuredSection, top: int) -> None:
    """Section coloured by theta; grains that have none in grey."""
    found = one.descriptors
    theta = np.where(found.oriented, np.degrees(found.theta), np.nan)
    _draw_angles(axes, one.section, theta, COLOURS)
    axes.set_xlabel("light grey: cut off or too small")
    _draw_scale(figure, 100 + 2 * VIEW, top, COLOURS, "θ (degrees)")


def _draw_crystals(figure: Figure, one: MeasuredSection, top: int, part: str) -> None:
    """Section coloured by the angle between c-axis and radius, and how many grains have which."""
    angles = crystal_axes(one.section).to_radius_deg
    axes = axes_at(figure, 40, top, VIEW, VIEW)
    _draw_angles(axes, one.section, angles, CRYSTAL_COLOURS)
    axes.set_title(f"{part})  Crystals: angle of the c-axis to the radius", fontsize=12)
    axes.set_xlabel("light grey: at the centre. The plane is taken to hold the centre")
    _draw_scale(figure, 60 + VIEW, top, CRYSTAL_COLOURS, "c-axis to radius (degrees)")
    counts = axes_at(figure, 260 + VIEW, top, WIDTH - 310 - VIEW, VIEW - 60)
    known = angles[np.isfinite(angles)]
    counts.hist(known, list(range(0, 91, 10)), color=HISTOGRAM, edgecolor="white")
    grid = np.linspace(0, 90, 181)
    random = len(known) * 10 * np.sin(np.radians(grid)) * np.pi / 180
    counts.plot(grid, random, color=INK, lw=1.5, ls=":", label="random crystals: sine of the angle")
    counts.set_xlabel("angle between c-axis and radius (degrees): 90 lies across")
    counts.set_ylabel("grains in 10 degrees")
    counts.set_xlim(0, 90)
    counts.set_xticks(range(0, 91, 15))
    counts.spines[["top", "right"]].set_visible(False)
    counts.legend(loc="upper left")


def _draw_angles(axes: Axes, section: Section, degrees: NDArray[np.float64], colours: str) -> None:
    """Section coloured by an angle (n,) of each grain; grains that have none in grey."""
    from matplotlib import colormaps

    known = np.isfinite(degrees)
    shown = colormaps[colours](np.where(known, degrees, 0.0) / 90)[:, :3]
    rgb = (255 * shown).round().astype(np.uint8)
    rgb[~known] = CUT_RGB
    draw_picture(axes, section, coloured(section, rgb))


def _draw_scale(figure: Figure, left: int, top: int, colours: str, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = axes_at(figure, left, top, 24, VIEW)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 90), colours), cax=scale)
    bar.set_label(label)
    bar.set_ticks(list(range(0, 91, 15)))
