"""Figures of a report on fitted shells: PNGs that are 9.6 inches wide, equal for equal fits.

They have twice the pixels that they are shown with. Laws and families have the colours of
Okabe and Ito (2008), which differ for all kinds of colour vision, and lines of their own.
No name of a file is drawn: what a user typed is text of the page, not of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....generator.fitting.shells.coefficient_laws import Dependence, OrderFit
from ....generator.fitting.shells.comparison import DESCRIPTORS
from ....generator.fitting.shells.fit import Measured, ShellFit
from ....generator.fitting.shells.star_shape import StarShapes
from ....generator.pictures.colours import grain_colours, srgb
from ....generator.pictures.ray_casting import Camera
from ....generator.pictures.rendering import BACKDROP, FRONT, render_shell
from ....generator.progress import Progress
from ...pictures.canvas import INK, STYLE, nice_length
from ..page_figures import BLUE, DPI, GREEN, LAYOUT, ORANGE, WIDTH, page_figure, save
from .page import FAMILIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ....generator.shell.shell import Shell

Floats = NDArray[np.float64]

TILE, COLUMNS = 480, 4  # edge of the picture of a shell, pixels; pictures side by side
HEADING, CAPTION = 80, 44  # heights above a group of pictures and above each row, pixels
BINS = 41
TAIL = 1.0  # per cent of the values that a figure leaves out at an end with a long tail

BAR = "#c3ccd6"
MEASURED, GENERATED = BLUE, ORANGE
LINES = {"norm": (GREEN, ":"), "t": (BLUE, "-"), "lognorm": (ORANGE, "--")}


@dataclass(frozen=True, eq=False)
class ShownShells:
    """Shells that are drawn, with the words under each.

    Parameters
    ----------
    measured, generated
        Shells and captions.
    """

    measured: Sequence[tuple[Shell, str]]
    generated: Sequence[tuple[Shell, str]]


def write_figures(
    fit: ShellFit,
    samples: tuple[dict[str, Floats], dict[str, Floats]],
    shown: ShownShells,
    folder: Path,
    progress: Progress,
) -> None:
    """Write all figures into a folder.

    Parameters
    ----------
    fit
        What is reported on.
    samples
        Values of each of `DESCRIPTORS` of measured and of generated shells.
    shown
        Shells to draw.
    folder
        Where; files that are there are replaced.
    """
    from matplotlib import style

    with style.context(["default", STYLE, LAYOUT]):
        for k, volume in enumerate(fit.volumes, start=1):
            save(draw_section(volume, fit.settings.voxel_um), folder / f"section-{k}.png")
        save(draw_star_shapes(fit.shapes, fit.expansions.residuals), folder / "star-shapes.png")
        save(draw_laws(fit.orders, fit.expansions.coefficients), folder / "laws.png")
        save(draw_dependence(fit.dependences), folder / "dependence.png")
        save(draw_distributions(*samples), folder / "distributions.png")
        save(draw_shells(shown, progress), folder / "shells.png")


def draw_section(volume: Measured, voxel_um: float) -> Figure:
    """Middle layer of a volume: as it was read, and the particles that were found."""
    ny, nx = volume.section.shape
    figure = page_figure(min(0.5 * WIDTH * ny / nx, WIDTH) + 0.5)
    left, right = figure.subplots(1, 2)
    extent = (0, nx * voxel_um, 0, ny * voxel_um)
    low, high = np.percentile(volume.values_section, [0.1, 99.9])
    high = high if high > low else volume.values_section.max()
    left.imshow(volume.values_section, cmap="gray", vmin=low, vmax=high, extent=extent)
    left.set_title("as read")
    right.imshow(_label_colours(volume.section), extent=extent)
    right.set_title("whole particles")
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        _scale_bar(figure, axes, nx * voxel_um)
    return figure


def _label_colours(labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Colour for each particle, (ny, nx, 3); white between, dark where two of them touch."""
    colours = srgb(grain_colours(labels))
    colours[labels == 0] = 255
    for axis in (0, 1):
        one, other = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        edge = (one != other) & (one != 0) & (other != 0)
        np.moveaxis(colours, axis, 0)[:-1][edge] = 40
    return colours


def _scale_bar(figure: Figure, axes: Axes, width_um: float) -> None:
    """Bar below the right end of a picture, its length beside it."""
    from matplotlib.transforms import ScaledTranslation

    length = nice_length(0.25 * width_um)
    below = axes.get_xaxis_transform() + ScaledTranslation(0, -0.13, figure.dpi_scale_trans)
    ends = [width_um - length, width_um]
    axes.plot(ends, [0, 0], color=INK, lw=4, solid_capstyle="butt", transform=below, clip_on=False)
    left = ends[0] - 0.02 * width_um
    axes.text(left, 0, f"{length:g} µm", ha="right", va="center", transform=below)
    axes.set_xlim(0, width_um)


def draw_star_shapes(shapes: StarShapes, residuals: Floats) -> Figure:
    """Captured volumes, and what the expansions leave of the radii."""
    figure = page_figure(3.0)
    left, right = figure.subplots(1, 2)
    captured = 100 * shapes.captured
    left.hist(captured, BINS, color=BLUE, edgecolor="white", lw=0.4)
    mean = float(captured.mean())
    left.axvline(mean, color=INK, lw=1.5, label=f"mean {mean:.1f} %")
    left.axvline(90, color=ORANGE, lw=1.5, ls="--", label="90 %")
    left.set_xlabel("volume seen from the centre of mass (% of the particle's)")
    left.legend(loc="upper left")
    percent = 100 * residuals
    right.hist(percent, BINS, color=BLUE, edgecolor="white", lw=0.4)
    median = float(np.median(percent))
    right.axvline(median, color=INK, lw=1.5, label=f"median {median:.1f} %")
    right.set_xlabel("residual of the expansion (rms, % of the mean radius)")
    right.legend(loc="upper right")
    for axes in (left, right):
        axes.set_ylabel("number of particles")
    return figure


def draw_laws(orders: Sequence[OrderFit], coefficients: Floats) -> Figure:
    """Histograms of the coefficients of each degree with the candidate laws, as Fig. 4."""
    columns = 3
    rows = -(-len(orders) // columns)
    figure = page_figure(2.1 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for order, axes in zip(orders, panels, strict=False):
        d = order.degree
        _draw_law(axes, order, coefficients[:, d * d : (d + 1) * (d + 1)].ravel())
    for axes in panels[len(orders) :]:
        axes.set_visible(False)
    for row in panels.reshape(rows, columns):
        row[0].set_ylabel("density (1 / voxel)")
    handles = [
        figure.axes[0].plot([], [], color=colour, ls=line, lw=2, label=FAMILIES[family])[0]
        for family, (colour, line) in LINES.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    figure.align_ylabels()
    return figure


def _draw_law(axes: Axes, order: OrderFit, values: Floats) -> None:
    """Histogram and densities; the chosen one is thick and named in the title."""
    low, high = np.percentile(values, [TAIL, 100 - TAIL])
    edges = np.linspace(low, high, BINS)
    weights = np.full(len(values), 1 / (len(values) * (edges[1] - edges[0])))
    axes.hist(values, edges.tolist(), weights=weights, color=BAR, edgecolor="white", lw=0.3)
    at = np.linspace(low, high, 400)
    for k, candidate in reversed(list(enumerate(order.candidates))):
        colour, line = LINES[candidate.law.family]
        density = np.exp(candidate.law.log_density(at))
        axes.plot(at, density, color=colour, ls=line, lw=1.2 if k else 2.8)
    name = f"degree {order.degree}" if order.degree else "$a_{00}$, the size"
    axes.set_title(f"{name}: {FAMILIES[order.law.family]}", weight="normal")
    axes.set_xlabel("coefficient (voxels)")
    axes.locator_params(nbins=5)
    axes.set_xlim(low, high)


def draw_dependence(dependences: Sequence[Dependence]) -> Figure:
    """Dependence of the coefficients of each degree on a_00, as Fig. 3."""
    figure = page_figure(3.0)
    axes = figure.subplots()
    degrees = [d.degree for d in dependences]
    lines = (
        ("distance correlation (EDCC)", [d.edcc for d in dependences], BLUE, "o", "-"),
        ("EDCC, particles shuffled", [d.edcc_shuffled for d in dependences], ORANGE, "s", "--"),
        ("|Pearson|", [d.pearson for d in dependences], GREEN, "^", ":"),
    )
    for label, values, colour, marker, line in lines:
        axes.plot(degrees, values, color=colour, marker=marker, ls=line, label=label)
    axes.set_xticks(degrees)
    axes.set_xlabel("degree l of the spherical harmonics")
    axes.set_ylabel("mean over m (dimensionless)")
    axes.set_ylim(0, 1.3 * max(max(d.edcc, d.edcc_shuffled, d.pearson) for d in dependences))
    axes.legend(loc="upper right", ncols=3)
    return figure


def draw_distributions(measured: dict[str, Floats], generated: dict[str, Floats]) -> Figure:
    """Distribution functions of the descriptors; their largest distance is the KS statistic."""
    figure = page_figure(5.6)
    for axes, (name, label) in zip(figure.subplots(2, 2).ravel(), DESCRIPTORS.items(), strict=True):
        one, other = measured[name], generated[name]
        axes.ecdf(one, color=MEASURED, lw=2, label=f"measured ({len(one)})")
        axes.ecdf(other, color=GENERATED, lw=2, ls="--", label=f"generated ({len(other)})")
        if name in ("volume_um3", "area_um2"):
            axes.set_xscale("log")
        if name == "elongation":
            ends = [np.percentile(values, 100 - TAIL) for values in (one, other)]
            axes.set_xlim(1, 1.05 * max(ends))
        axes.set_xlabel(label.replace("um^2", "µm²").replace("um^3", "µm³"))
        axes.set_ylabel("fraction not above")
        axes.set_ylim(-0.02, 1.02)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(loc="upper left")
    return figure


def draw_shells(shown: ShownShells, progress: Progress) -> Figure:
    """Pictures of measured and of generated shells, all at one scale."""
    groups = (("Measured", shown.measured), ("Generated", shown.generated))
    shells = [shell for _, group in groups for shell, _ in group]
    half_width = max(Camera.framing(shell, FRONT, 2).half_width_um for shell in shells)
    tiles: list[NDArray[np.uint8]] = []
    for shell in shells:
        progress("pictures of shells", len(tiles) / len(shells))
        tiles.append(render_shell(shell, half_width, TILE).rgb)
    n = len(shown.measured)
    mosaics = (_mosaic(tiles[:n]), _mosaic(tiles[n:]))
    return _framed(groups, mosaics, half_width)


def _mosaic(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles in rows of `COLUMNS`, above each the height of a caption, all as dark as behind."""
    rows = -(-len(tiles) // COLUMNS)
    shape = (rows * (TILE + CAPTION), COLUMNS * TILE, 3)
    mosaic = np.broadcast_to(srgb(np.full(3, BACKDROP)), shape).copy()
    for k, tile in enumerate(tiles):
        x, y = _place(k)
        mosaic[y : y + TILE, x : x + TILE] = tile
    return mosaic


def _place(k: int) -> tuple[int, int]:
    """Upper left corner (x, y) of a tile, below its caption, pixels."""
    row, column = divmod(k, COLUMNS)
    return column * TILE, row * (TILE + CAPTION) + CAPTION


def _framed(
    groups: Sequence[tuple[str, Sequence[tuple[Shell, str]]]],
    mosaics: Sequence[NDArray[np.uint8]],
    half_width: float,
) -> Figure:
    """Mosaics below each other, pixel by pixel, with titles, captions and scale bars."""
    height, width = sum(len(mosaic) + HEADING for mosaic in mosaics), COLUMNS * TILE
    figure = page_figure(height / DPI)
    figure.set_layout_engine("none")
    length = nice_length(half_width)
    bar, top = length / (2 * half_width) * TILE, 0
    for (title, group), mosaic in zip(groups, mosaics, strict=True):
        top += HEADING
        axes = figure.add_axes((0, 1 - (top + len(mosaic)) / height, 1, len(mosaic) / height))
        axes.imshow(mosaic, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.text(0, -0.5 * HEADING, title, weight="bold", size=12, va="center")
        middle = [-0.5 * HEADING] * 2
        axes.plot(
            [width - bar, width], middle, color=INK, lw=4, solid_capstyle="butt", clip_on=False
        )
        axes.text(width - bar - 16, middle[0], f"{length:g} µm", ha="right", va="center")
        for k, (_, caption) in enumerate(group):
            x, y = _place(k)
            axes.text(x + 16, y - 0.35 * CAPTION, caption, color="white", va="center", size=9)
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(len(mosaic) - 0.5, -0.5)
        top += len(mosaic)
    return figure
