"""Figure of a sweep: ``sweep.png``. Cut particles at one scale, and curves of what was measured.

For one parameter the particles stand in the order of its values, the base among them; for two the
columns are values of the first one and the rows of the second. Of further parameters, models and
seeds the pictures show the first; curves show all: a line for each model and combination of other
values, the mean over the seeds. Bars of diameters are the standard deviation of the grains, other
bars reach from the least to the largest seed. A dotted line stands where the base is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...generator.pictures.rendering import Picture
from ..files.atomic import replacing
from ..pictures.canvas import (
    ACCENT,
    DPI,
    INK,
    INTERIOR,
    STYLE,
    axes_at,
    new_figure,
    nice_length,
)
from .plan import SweepPlan, Variant
from .table import Row, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS, MOST_ROWS = 7, 6
WIDTH, EDGE, GAP, TOP, LABEL = 1600, 300, 8, 70, 30  # pixels; EDGE at most
CURVES = {  # what is drawn: title, unit, and the column of a bar to either side
    "diameter_mean_um": ("Diameter ± std, grains inside", "µm", "diameter_std_um"),
    "aspect_ratio_mean": ("Aspect ratio, grains inside", "", None),
    "radial_alignment": ("Alignment with the radius", "", None),
    "boundary_area_per_volume_per_um": ("Boundary area per volume", "1/µm", None),
}
PANEL = (310, 240)  # width and height of a panel, pixels
COLOURS = (INTERIOR, ACCENT, "#5b8c5a", "#8f6fb0", "#c98b2c", "#4aa3a2", INK)


def shown(plan: SweepPlan) -> list[Variant]:
    """Variants whose pictures are shown, row by row."""
    return [variant for row in _layout(plan) for variant in row]


def _layout(plan: SweepPlan) -> list[list[Variant]]:
    """Rows of pictures."""
    if not plan.grid:
        bases = [v for v in plan.variants if v.is_base]
        return _in_rows(_some(bases, MOST_COLUMNS * 2))
    names = list(plan.grid)
    first = [v for v in plan.variants if v.source == 0]
    base = next(v for v in first if v.is_base)
    for name in names[2:]:
        first = [v for v in first if v.values[name] == plan.grid[name][0]]
    if len(names) == 1:
        return _in_rows(_some(_sorted(first, names[0]), MOST_COLUMNS * 2))
    grid = defaultdict(list)
    for variant in first:
        if variant is not base or _on_grid(plan, variant):
            grid[_key(variant.values[names[1]])].append(variant)
    rows = [_some(_sorted(row, names[0]), MOST_COLUMNS) for _, row in sorted(grid.items())]
    return _some(rows, MOST_ROWS)


def _in_rows(variants: list[Variant]) -> list[list[Variant]]:
    n = -(-len(variants) // MOST_COLUMNS)
    per_row = -(-len(variants) // n)
    return [variants[k : k + per_row] for k in range(0, len(variants), per_row)]


def _on_grid(plan: SweepPlan, variant: Variant) -> bool:
    return all(variant.values[name] in values for name, values in plan.grid.items())


def _sorted(variants: Sequence[Variant], name: str) -> list[Variant]:
    return sorted(variants, key=lambda v: _key(v.values[name]))


def _key(value: Any) -> tuple[int, float, str]:
    """Order of values: numbers, then words."""
    if _is_number(value):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _some(items: list[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread."""
    if len(items) <= most:
        return items
    return [items[k] for k in np.linspace(0, len(items) - 1, most).round().astype(int)]


def write(sweep: Sweep, plan: SweepPlan, pictures: Mapping[str, Picture], path: Path) -> None:
    """Draw the figure; particles that failed have an empty place."""
    from matplotlib import style

    with replacing(path) as temporary, style.context(["default", STYLE]):
        figure = _draw(sweep, plan, pictures)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _draw(sweep: Sweep, plan: SweepPlan, pictures: Mapping[str, Picture]) -> Figure:
    layout = _layout(plan)
    columns = max(map(len, layout))
    edge = min(EDGE, (WIDTH - 60 - GAP * (columns - 1)) // columns)
    height = edge + LABEL
    below = TOP + height * len(layout) + 50
    figure = new_figure(WIDTH, below + PANEL[1] + 80)
    total = below + PANEL[1] + 80
    figure.text(30 / WIDTH, 1 - 40 / total, _title(plan), fontsize=18, weight="bold")
    half = max((_half(p) for p in pictures.values()), default=1.0)
    left = (WIDTH - columns * edge - (columns - 1) * GAP) / 2
    for j, row in enumerate(layout):
        for i, variant in enumerate(row):
            axes = axes_at(figure, left + i * (edge + GAP), TOP + j * height, edge, edge)
            _show(axes, pictures.get(variant.id), half, first=i == j == 0)
            axes.set_title(_label(plan, variant), y=0, pad=-18, loc="center", fontsize=11)
    for k, column in enumerate(CURVES):
        _curve(axes_at(figure, 70 + 388 * k, below, *PANEL), sweep.rows, plan, column)
    return figure


def _title(plan: SweepPlan) -> str:
    base = plan.variants[0]
    names = " and ".join(plan.grid) or "models and seeds"
    shown = f"{base.model}, seed {base.seed}"
    if not plan.grid:
        return f"Comparison of {names}"
    return f"Sweep over {names}; {'pictures: ' if len(plan.sources) > 1 else ''}{shown}"


def _label(plan: SweepPlan, variant: Variant) -> str:
    values = [f"{name.partition('.')[2]} {_text(v)}" for name, v in variant.values.items()]
    text = ", ".join(values[:2]) if plan.grid else f"{variant.model}, seed {variant.seed}"
    return f"{text} (base)" if variant.is_base and plan.grid else text


def _text(value: Any) -> str:
    if value is None:
        return "as drawn"
    return f"{value:g}" if _is_number(value) else str(value)


def _half(picture: Picture) -> float:
    return picture.pixel_um * len(picture.rgb) / 2


def _show(axes: Axes, picture: Picture | None, half: float, *, first: bool) -> None:
    """A picture in the middle of axes whose edges are 2 ``half`` long, um."""
    axes.set_facecolor("black")
    axes.set(xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[])
    if picture is None:
        axes.text(0, 0, "failed", color="white", ha="center")
        return
    own = _half(picture)
    axes.imshow(picture.rgb, extent=(-own, own, -own, own), interpolation="antialiased")
    axes.set(xlim=(-half, half), ylim=(-half, half))
    if first:
        length = nice_length(0.6 * half)
        end = 0.92 * half
        axes.plot([end - length, end], [-end, -end], color="white", lw=4, solid_capstyle="butt")
        label = f"{length:g} µm"
        axes.text(end - length / 2, -0.88 * half, label, color="white", ha="center", fontsize=11)


def _curve(axes: Axes, rows: Sequence[Row], plan: SweepPlan, column: str) -> None:
    title, unit, spread = CURVES[column]
    axes.set_title(title, fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    if unit:
        axes.set_ylabel(unit)
    if not plan.grid:
        _bars(axes, rows, column)
        return
    name = next(iter(plan.grid))
    places = _places(plan, name)
    lines = _lines(rows, plan, column, spread)
    for k, (label, points) in enumerate(lines.items()):
        x, y, low, high = _series(points, places)
        colour = COLOURS[k % len(COLOURS)]
        axes.errorbar(x, y, [low, high], marker="o", ms=4, lw=1.5, capsize=3, color=colour,
                      label=label)  # fmt: skip
    for value in {v.values[name] for v in plan.variants if v.is_base} - {None}:
        axes.axvline(places[value], color=INK, lw=1, ls=":", zorder=0)
    axes.set_xlabel(name)
    if not all(_is_number(value) for value in places):
        axes.set_xticks(list(places.values()), [_text(value) for value in places])
    axes.set_ylim(*_widened(axes.get_ylim()))
    if 1 < len(lines) <= len(COLOURS):
        axes.legend(fontsize=8)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits at least a twentieth of their size apart: what is equal looks equal."""
    low, high = limits
    more = max(0.0, 0.05 * max(abs(low), abs(high)) - (high - low)) / 2
    return low - more, high + more


def _places(plan: SweepPlan, name: str) -> dict[Any, float]:
    """Places of the values along the axis: numbers where they are, words one after the other."""
    values = sorted({v.values[name] for v in plan.variants} - {None}, key=_key)
    if all(map(_is_number, values)):
        return {value: float(value) for value in values}
    return {value: float(k) for k, value in enumerate(values)}


def _lines(
    rows: Sequence[Row], plan: SweepPlan, column: str, spread: str | None
) -> dict[str, dict[Any, list[tuple[float, float]]]]:
    """Values and spreads at each value of the first parameter, line by line.

    A base that is off the grid in other parameters stands in no line.
    """
    first, *others = plan.grid
    found: dict[tuple[Any, ...], dict[Any, list[tuple[float, float]]]] = {}
    for row in rows:
        v, measures = row.variant, row.measures
        off = any(v.values[name] not in plan.grid[name] for name in others)
        if measures is None or measures[column] is None or off or v.values[first] is None:
            continue
        line = found.setdefault((v.model, *(v.values[name] for name in others)), {})
        bar = (measures[spread] or 0.0) if spread else 0.0
        line.setdefault(v.values[first], []).append((measures[column], bar))
    several = len(plan.cards) > 1
    ordered = sorted(found, key=lambda line: (line[0], [_key(value) for value in line[1:]]))
    return {_line_label(line, others, several): found[line] for line in ordered}


def _line_label(line: tuple[Any, ...], names: Sequence[str], several: bool) -> str:
    model, *values = line
    parts = [f"{n.partition('.')[2]} {_text(v)}" for n, v in zip(names, values, strict=True)]
    return ", ".join([model, *parts] if several else parts)


def _series(
    points: Mapping[Any, list[tuple[float, float]]], places: Mapping[Any, float]
) -> tuple[list[float], list[float], list[float], list[float]]:
    """x, y and the bars below and above: the mean of the spreads, or from least to largest."""
    x, y, low, high = [], [], [], []
    for value in sorted(points, key=lambda value: places[value]):
        values, spreads = np.array(points[value]).T
        mean, spread = float(values.mean()), float(spreads.mean())
        x.append(places[value])
        y.append(mean)
        low.append(spread or mean - float(values.min()))
        high.append(spread or float(values.max()) - mean)
    return x, y, low, high


def _bars(axes: Axes, rows: Sequence[Row], column: str) -> None:
    """A bar for each model, the mean over the seeds, with a point for each of them."""
    values = defaultdict(list)
    for row in rows:
        if row.measures is not None and row.measures[column] is not None:
            values[row.variant.model].append(row.measures[column])
    for k, found in enumerate(values.values()):
        axes.bar(k, np.mean(found), color=COLOURS[k % len(COLOURS)], alpha=0.6)
        axes.plot([k] * len(found), found, "o", ms=4, color=INK)
    axes.set_xticks(range(len(values)), list(values), rotation=15)
