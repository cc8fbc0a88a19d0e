"""One picture that says what a particle is: ``report.png``, 1600 pixels wide.

Outside and cut open at one scale; three sections through the centre; histograms of grain
size, of the direction of the grains, and of the crystals' c-axes (of the aspect ratio where
there are none); the figures behind them. Pictures are cast from the recipe (`rendering`),
the statistics are those of voxels of the spacing that the report names
(`generator.voxels.morphology`). Equal particles give equal bytes with one version of matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.markers.orientations import c_axes
from ...generator.pictures.ray_casting import QUARTER
from ...generator.pictures.rendering import (
    Picture,
    Plane,
    grain_length_um,
    render_section,
    render_views,
)
from ...generator.voxels.grid import Grid
from ...generator.voxels.labelling import label_grid
from ...generator.voxels.morphology import (
    GrainMorphology,
    angle_between_lines_deg,
    grain_morphology,
)
from ..files.atomic import replacing
from ..pictures.canvas import (
    ACCENT,
    DPI,
    HEIGHT,
    INK,
    INTERIOR,
    STYLE,
    SURFACE,
    WIDTH,
    axes_at,
    new_figure,
    show_picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...generator.particle import Particle

TOP, VIEW, SECTION = 110, 620, 430  # first row, edges of the pictures, pixels
PLANES: tuple[Plane, ...] = ("xy", "xz", "yz")
VOXELS_PER_GRAIN_LENGTH = 10
MAX_VOXELS = 16_000_000  # 64 MB of labels
MIN_VOXELS = 30  # grains of fewer voxels have no measured direction or shape

LEGEND = 0.68  # height of the highest bar; above it is the legend


@dataclass(frozen=True)
class Statistics:
    """Morphology of the grains and the voxels that it was measured with."""

    grains: GrainMorphology
    pitch_um: float

    @property
    def present(self) -> NDArray[np.bool_]:
        """Grains with a voxel, (n,) bool."""
        return self.grains.voxel_count > 0

    @property
    def shaped(self) -> NDArray[np.bool_]:
        """Grains with voxels enough for a direction and a shape, (n,) bool."""
        return self.grains.voxel_count >= MIN_VOXELS


def write(particle: Particle, path: str | Path, *, pitch_um: float | None = None) -> Path:
    """Write the report of ``particle`` as a PNG; equal particles give equal bytes.

    Parameters
    ----------
    particle
        What to report on; it is not changed.
    path
        File to write.
    pitch_um
        Edge of the voxels that the statistics are taken from, um; by default a tenth of
        the mean grain, or what `MAX_VOXELS` allows.

    Raises
    ------
    ExportError
        If no voxel falls inside the particle, or the file cannot be written.
    """
    from matplotlib import style

    statistics = measure(particle, pitch_um or default_pitch_um(particle))
    with replacing(path) as temporary, style.context(["default", STYLE]):
        figure = _draw(particle, statistics)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return Path(path)


def default_pitch_um(particle: Particle) -> float:
    """Voxel edge for the statistics, um, rounded up to two significant digits."""
    edge = 2 * particle.shell.radius_bounds[1]
    wanted = min(grain_length_um(particle) / VOXELS_PER_GRAIN_LENGTH, edge / 60)
    allowed = edge / (MAX_VOXELS ** (1 / 3) - 4)  # a grid has up to four voxels to spare
    digit = 10.0 ** (np.floor(np.log10(max(wanted, allowed))) - 1)
    return float(f"{np.ceil(max(wanted, allowed) / digit) * digit:.2g}")


def measure(particle: Particle, pitch_um: float) -> Statistics:
    """Morphology of the grains of ``particle`` from voxels of the given spacing."""
    grid = Grid.around(particle.shell.radius_bounds[1], pitch_um)
    labels = label_grid(particle, grid)
    if not labels.any():
        msg = (
            f"no voxel centre lies inside the particle at a spacing of {pitch_um:g} um; its "
            f"diameter is {particle.shell.diameter_um:.3g} um, choose a small part of that"
        )
        raise ExportError(msg)
    return Statistics(grain_morphology(labels, grid, particle.n_grains), pitch_um)


def _draw(particle: Particle, statistics: Statistics) -> Figure:
    figure = new_figure(WIDTH, HEIGHT)
    _draw_title(figure, particle)
    outside, cut = render_views(particle, [(), QUARTER], VIEW)
    show_picture(figure, outside, 30, TOP).set_title("Outside")
    show_picture(figure, cut, 50 + VIEW, TOP).set_title("Cut open at x = 0 and y = 0")
    _text_block(figure, _facts(particle, statistics), 85 + 2 * VIEW, TOP - 30)
    for k, plane in enumerate(PLANES):
        axes = axes_at(figure, 85 + 525 * k, 795, SECTION, SECTION)
        _draw_section(axes, render_section(particle, plane, SECTION), plane)
    histograms = (_draw_sizes, _draw_directions, _draw_c_axes)
    for k, draw in enumerate(histograms):
        draw(axes_at(figure, 85 + 525 * k, 1335, SECTION, 300), particle, statistics)
    return figure


def _draw_title(figure: Figure, particle: Particle) -> None:
    title = str(particle.provenance.card.document["title"])
    height = 1 - 50 / HEIGHT
    figure.text(30 / WIDTH, height, f"Particle {particle.id}", fontsize=22, weight="bold")
    figure.text(1 - 25 / WIDTH, height, title, fontsize=13, ha="right", alpha=0.75)


def _draw_section(axes: Axes, section: Picture, plane: str) -> None:
    half = section.pixel_um * len(section.rgb) / 2
    normal = next(axis for axis in "xyz" if axis not in plane)
    axes.imshow(section.rgb, extent=(-half, half, -half, half), interpolation="nearest")
    axes.set_title(f"Section {normal} = 0")
    axes.set_xlabel(f"{plane[0]} (µm)")
    axes.set_ylabel(f"{plane[1]} (µm)", labelpad=2)
    axes.locator_params(nbins=7)
    axes.set_yticks([tick for tick in axes.get_xticks() if abs(tick) < half])
    axes.set_xlim(-half, half)
    axes.set_ylim(-half, half)


def _draw_sizes(axes: Axes, particle: Particle, statistics: Statistics) -> None:
    """Equivalent diameters by number; the mean by volume as a line."""
    sizes, volumes = statistics.grains.equivalent_diameter_um, statistics.grains.volume_um3
    edges = np.linspace(0, 1.02 * sizes.max(), 29)
    _stacked(axes, sizes, statistics.present, statistics, edges)
    median = float(np.median(sizes[statistics.present]))
    mean = float(np.average(sizes, weights=volumes))
    axes.axvline(median, ymax=LEGEND, color=INK, lw=1.5, label=f"median {median:.2f} µm")
    axes.axvline(
        mean,
        ymax=LEGEND,
        color=ACCENT,
        lw=1.5,
        ls="--",
        label=f"volume-weighted mean {mean:.2f} µm",
    )
    _finish(axes, "Grain size", "equivalent diameter (µm)")


def _draw_directions(axes: Axes, particle: Particle, statistics: Statistics) -> None:
    """Angle between the long axis and the radius, Eq. (4) in space."""
    angles = statistics.grains.radial_angle_deg
    _angles(axes, angles, statistics.shaped & np.isfinite(angles), statistics)
    _finish(axes, "Grain direction", "angle of long axis to radius (degrees)")


def _draw_c_axes(axes: Axes, particle: Particle, statistics: Statistics) -> None:
    """Angle between c-axis and radius; the aspect ratio of a particle without orientations."""
    grains = statistics.grains
    if particle.orientations is None:
        _draw_shapes(axes, statistics)
        return
    angles = angle_between_lines_deg(c_axes(particle.orientations), grains.centroid_um)
    _angles(axes, angles, statistics.present & np.isfinite(angles), statistics)
    _finish(axes, "Crystal orientation", "angle of c-axis to radius (degrees)")


def _draw_shapes(axes: Axes, statistics: Statistics) -> None:
    """Aspect ratios; the last bar holds the few that are still larger."""
    ratios, shaped = statistics.grains.aspect_ratio, statistics.shaped
    highest = max(3.0, float(np.quantile(ratios[shaped], 0.99))) if shaped.any() else 3.0
    edges = np.linspace(1, highest, 29)
    _stacked(axes, np.minimum(ratios, highest), shaped, statistics, edges)
    _finish(axes, "Grain shape", "longest / shortest principal length (last bar: and above)")


def _angles(
    axes: Axes, angles: NDArray[np.float64], chosen: NDArray[np.bool_], statistics: Statistics
) -> None:
    """Histogram of angles to the radius beside that of random directions, density sin(theta)."""
    edges = np.linspace(0, 90, 19)
    _stacked(axes, angles, chosen, statistics, edges)
    theta = np.linspace(0, 90, 181)
    law = np.count_nonzero(chosen) * np.radians(edges[1]) * np.sin(np.radians(theta))
    axes.plot(theta, law, color=ACCENT, lw=2, label="random directions: sin θ")
    axes.set_xticks(range(0, 91, 15))


def _stacked(
    axes: Axes,
    values: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    statistics: Statistics,
    edges: NDArray[np.float64],
) -> None:
    """Stacked numbers of grains: whole ones, and those that the shell cuts."""
    cut = statistics.grains.touches_shell
    parts = [values[chosen & ~cut], values[chosen & cut]]
    labels = [f"inside ({len(parts[0])})", f"touching the shell ({len(parts[1])})"]
    axes.hist(
        parts,
        edges.tolist(),
        stacked=True,
        color=[INTERIOR, SURFACE],
        label=labels,
        edgecolor="white",
        lw=0.5,
    )
    axes.set_xlim(edges[0], edges[-1])


def _finish(axes: Axes, title: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel(label)
    axes.set_ylabel("number of grains")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(top=axes.dataLim.ymax / LEGEND)
    axes.legend(loc="upper right")


def _facts(particle: Particle, statistics: Statistics) -> list[tuple[str, str]]:
    """Name and value of each line of the text block; a line without value is a heading."""
    shell, grains, card = particle.shell, statistics.grains, particle.provenance.card
    angle, aspect, shaped = grains.radial_angle_deg, grains.aspect_ratio, statistics.shaped
    return [
        ("Model", ""),
        ("card", card.name),
        ("card sha256", f"{card.sha256[:12]}…"),
        ("seed, index", f"{particle.provenance.seed}, {particle.provenance.index}"),
        *_changes(particle),
        ("Shell", ""),
        ("volume", f"{shell.volume_um3:.1f} µm³"),
        ("surface area", f"{shell.area_um2:.1f} µm²"),
        ("equivalent diameter", f"{shell.diameter_um:.3f} µm"),
        ("sphericity", f"{shell.sphericity:.3f}"),
        ("Grains", ""),
        ("in the recipe", f"{particle.n_grains}"),
        ("with a voxel", f"{np.count_nonzero(statistics.present)}"),
        ("touching the shell", f"{np.count_nonzero(grains.touches_shell)}"),
        ("seed intensity", f"{card.intensity:g} px⁻³"),
        ("", f"= {card.intensity / card.pixel_um**3:.3g} µm⁻³"),
        ("pixel", f"{card.pixel_um:g} µm"),
        ("metric", particle.tessellation.metric),
        ("median aspect ratio", _median(aspect[shaped], "")),
        ("median angle to radius", _median(angle[shaped], "°")),
        ("  of grains inside", _median(angle[shaped & ~grains.touches_shell], "°")),
        ("  of random directions", "60.0°"),
        ("Measured on", ""),
        ("voxel edge", f"{statistics.pitch_um:g} µm"),
        ("shapes, angles from", f"≥ {MIN_VOXELS} voxels"),
    ]


def _changes(particle: Particle) -> list[tuple[str, str]]:
    """What a regenerated particle differs by; the names without their section."""
    derivation = particle.provenance.derivation
    if derivation is None or not derivation.changes:
        return []
    rows = [(key.partition(".")[2], f"{_value(old)} → {_value(new)}")
            for key, (old, new) in derivation.changes.items()]  # fmt: skip
    return [("Changed", ""), *rows]


def _value(value: Any) -> str:
    if value is None:
        return "as drawn"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _median(values: NDArray[np.float64], unit: str) -> str:
    """Median of the finite values, or a dash."""
    finite = values[np.isfinite(values)]
    return f"{np.median(finite):.1f}{unit}" if finite.size else "–"


def _text_block(figure: Figure, facts: list[tuple[str, str]], left: float, top: float) -> None:
    """Two columns, names to the left and values to the right."""
    line = min(22, (VIEW - 20) / (len(facts) + 1))  # the last one holds the note
    for name, value in facts:
        heading = not value
        top += line * (1.25 if heading else 1.0)
        height = 1 - top / HEIGHT
        weight = "bold" if heading else "normal"
        figure.text(left / WIDTH, height, name, weight=weight, fontsize=12 if heading else 11)
        figure.text(1 - 25 / WIDTH, height, value, ha="right")
    note = "Domes and grooves of the grains\noutside are drawn: the shell is smooth."
    figure.text(left / WIDTH, 1 - (TOP + VIEW) / HEIGHT, note, fontsize=9, va="bottom", alpha=0.75)
