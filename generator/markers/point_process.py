"""Homogeneous Poisson seed points with their marks, drawn cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

CELL = 64  # edge of a cell of the window, pixels; [-128, 128]^3 is 4 x 4 x 4 cells
BLOCK = 64  # points drawn at a time; part of every published particle
MARKS = frozenset(
    {"noise", "markers", "orientations", "tilts"}
)  # stages that not every model looks at

Stream = Callable[..., np.random.Generator]  # (stage, *cell) -> generator


@dataclass(frozen=True, eq=False)
class MarkedPoints:
    """One realisation of the marked point process that the marker law sees.

    Marks that were not drawn have the shape (n, 0).

    Parameters
    ----------
    seeds : (n, 3) float
        Seed points s_i, pixels.
    noise : (n, 2) float
        n_i, uniform in [0, 1]^2: what makes the marker net random.
    angles : (n,) float
        gamma_i, uniform in [0, pi], radians: rotation about the radial direction.
    marks : (n, 4) float
        Uniform in [0, 1]^4: what an analytic marker law turns into D_i and r_i.
    orientation_marks : (n, 3) float
        Uniform in [0, 1]^3: what an orientation model turns into a crystal orientation.
    tilt_marks : (n, 2) float
        Uniform in [0, 1]^2: what turns the axis of a grain out of the radial direction.
    arrivals : (n,) float
        Where the point arrives on the intensity axis, per cubic pixel: a smaller intensity
        lacks it.
    relative_radii : (n,) float
        t_i, distance from the centre over the radius of the shell in the same direction;
        NaN where no shell is known.
    origin : (n, 4) int
        Cell (i, j, k) of the window and rank in it: the same point in every particle
        that shares seed and index, whatever the intensity and the window.
    """

    seeds: NDArray[np.float64]
    noise: NDArray[np.float64]
    angles: NDArray[np.float64]
    marks: NDArray[np.float64]
    orientation_marks: NDArray[np.float64]
    tilt_marks: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    relative_radii: NDArray[np.float64]
    origin: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of points."""
        return len(self.seeds)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> MarkedPoints:
        """Copy with some of the points."""
        return MarkedPoints(*(getattr(self, field.name)[rows] for field in fields(self)))


def sample_poisson(
    intensity: float,
    half_width: int,
    stream: Stream,
    reach: float = math.inf,
    marks: Set[str] = MARKS,
) -> MarkedPoints:
    """Points of a homogeneous Poisson process in the cube W = [-half_width, half_width]^3.

    Every cell of the window has streams of its own, and in a cell the points arrive in
    order of a mark that is itself Poisson on the intensity axis. Therefore a smaller
    ``intensity`` keeps a subset of the same points, a larger one adds to them, and a
    larger window moves none.

    Parameters
    ----------
    intensity
        lambda, seed points per cubic pixel.
    half_width
        Half the edge of W, pixels, a multiple of ``CELL``.
    stream
        ``stream(stage, i, j, k)`` gives the generator of a stage in a cell.
    reach
        Points farther than that from the origin are left out, pixels.
    marks
        Stages among ``MARKS`` that are drawn; the others change nothing in these.

    Raises
    ------
    ValueError
        If ``intensity`` is not positive or ``half_width`` not a multiple of ``CELL``.
    """
    if not (np.isfinite(intensity) and intensity > 0):
        msg = f"intensity is {intensity}, expected a positive number of points per cubic pixel"
        raise ValueError(msg)
    if half_width <= 0 or half_width % CELL:
        msg = f"half_width is {half_width} pixels, expected a positive multiple of {CELL}"
        raise ValueError(msg)
    n = half_width // CELL
    edge = range(-n, n)
    cells = [
        _cell_points(intensity, cell, stream, marks)
        for cell in product(edge, edge, edge)
        if _distance(cell) <= reach
    ]
    points = MarkedPoints(
        *(np.concatenate([getattr(c, field.name) for c in cells]) for field in fields(MarkedPoints))
    )
    return points.select(np.linalg.norm(points.seeds, axis=1) <= reach)


def _distance(cell: tuple[int, ...]) -> float:
    """Distance of a cell from the origin, pixels."""
    return CELL * math.hypot(*(max(k, -1 - k, 0) for k in cell))


def _cell_points(
    intensity: float, cell: tuple[int, int, int], stream: Stream, marks: Set[str]
) -> MarkedPoints:
    """Points of one cell, in order of arrival on the intensity axis."""

    def drawn(stage: str, columns: int) -> NDArray[np.float64]:
        return stream(stage, *cell).random((n, columns)) if stage in marks else np.empty((n, 0))

    arrived = np.concatenate(list(_arrivals(intensity, stream("points", *cell))))
    n = len(arrived)
    origin = np.empty((n, 4), np.int32)
    origin[:, :3], origin[:, 3] = cell, np.arange(n)
    return MarkedPoints(
        seeds=CELL * (np.array(cell) + arrived[:, :3]),
        noise=drawn("noise", 2),
        angles=np.pi * stream("angles", *cell).random(n),
        marks=drawn("markers", 4),
        orientation_marks=drawn("orientations", 3),
        tilt_marks=drawn("tilts", 2),
        arrivals=arrived[:, 3],
        relative_radii=np.full(n, np.nan),
        origin=origin,
    )


def _arrivals(intensity: float, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Positions in the unit cube and arrival marks below ``intensity``, (n, 4), block by block.

    The marks are a Poisson process of rate CELL^3 on the intensity axis: sums of
    exponential gaps. A point keeps its position however many points follow it.
    """
    mark = 0.0
    while True:
        gaps = rng.standard_exponential(BLOCK) / CELL**3
        positions = rng.random((BLOCK, 3))
        marks = mark + gaps.cumsum()
        mark = float(marks[-1])
        block = np.column_stack([positions, marks])
        if mark >= intensity:
            yield block[marks < intensity]
            return
        yield block
