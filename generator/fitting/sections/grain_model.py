"""Sections and blocks of a grain model without a shell: what fits are compared by.

Seeds are drawn in a box round what is looked at, with a margin in mean seed distances, as
they would be in a particle: the centre of the particle is the origin, markers are radial
about it. Lengths are pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...grains.tessellation import Metric, Tessellation
from ...markers.marker_law import MarkerLaw
from ...markers.point_process import MarkedPoints
from ...markers.radial_frame import marker_matrices

SEEN = 2.6  # mean seed distances from a point to the seeds that may own it
NEIGHBOURS_WITHIN = 1.6  # and beyond these to their neighbours
CELL_SEEDS = 0.7  # edge of the cells that share a list of grains, mean seed distances


@dataclass(frozen=True, eq=False)
class GrainModel:
    """Laws of seeds and markers.

    Parameters
    ----------
    law
        Turns marked seeds into markers.
    intensity
        lambda, seeds per cubic pixel.
    metric
        Of the GBPD.
    """

    law: MarkerLaw
    intensity: float
    metric: Metric = "norm"

    def tessellation(
        self, low: NDArray[np.float64], high: NDArray[np.float64], rng: np.random.Generator
    ) -> Tessellation:
        """GBPD whose labels are right in the box from ``low`` to ``high``, (3,) each."""
        unit = self.intensity ** (-1 / 3)
        margin = (SEEN + NEIGHBOURS_WITHIN) * unit
        points = _points(self.intensity, low - margin, high + margin, rng)
        seen = ((points.seeds > low - SEEN * unit) & (points.seeds < high + SEEN * unit)).all(
            axis=1
        )
        markers = self.law.markers(points)
        points = points.select(seen)
        matrices = marker_matrices(points.seeds, points.angles, markers.diagonals[seen])
        return Tessellation(points.seeds, matrices, markers.offsets[seen], self.metric)

    def section(
        self, half_width: int, rng: np.random.Generator, offset: float = 0.0
    ) -> NDArray[np.int32]:
        """Labels 0, 1, ... on the plane z = ``offset``, (n, n) rows y, columns x.

        n is 2 ``half_width`` + 1, and the middle pixel lies above the centre.
        """
        half = np.array([half_width, half_width, 0.0])
        shift = np.array([0.0, 0.0, offset])
        gbpd = self.tessellation(shift - half, shift + half, rng)
        axis = np.arange(-half_width, half_width + 1.0)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        return gbpd.labels(np.stack([x, y, np.full_like(x, offset)], axis=-1))


def _points(
    intensity: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    rng: np.random.Generator,
) -> MarkedPoints:
    """Marked Poisson points of a box."""
    n = int(rng.poisson(intensity * float(np.prod(high - low))))
    return MarkedPoints(
        seeds=low + (high - low) * rng.random((n, 3)),
        noise=rng.random((n, 2)),
        angles=np.pi * rng.random(n),
        marks=rng.random((n, 4)),
        orientation_marks=rng.random((n, 3)),
        tilt_marks=np.empty((n, 0)),
        arrivals=np.full(n, np.nan),
        relative_radii=np.full(n, np.nan),
        origin=np.zeros((n, 4), np.int32),
    )


@dataclass(frozen=True, eq=False)
class Block:
    """Labels of a cube of voxels of one pixel, and which grains are to be measured.

    Parameters
    ----------
    labels
        (n, n, n) int32, z, y, x; 1, 2, ... for the grains of the tessellation.
    origin
        Lower corner of the cube, (x, y, z), pixels about the particle's centre.
    measured
        (n_grains,) bool: seed points in the inner cube. Chosen by their seeds, large grains
        are not preferred.
    """

    labels: NDArray[np.int32]
    origin: tuple[float, float, float]
    measured: NDArray[np.bool_]


def block(
    model: GrainModel,
    rng: np.random.Generator,
    centre: tuple[float, float, float] = (50.0, 0.0, 0.0),
    inner: float = 24.0,
    margin: float = 26.0,
) -> Block:
    """Cube of voxels about ``centre``; ``inner`` and ``margin`` are half edges, pixels."""
    half = inner + margin
    middle = np.array(centre)
    gbpd = model.tessellation(middle - half, middle + half, rng)
    moved = Tessellation(gbpd.seeds - middle, gbpd.matrices, gbpd.offsets, gbpd.metric)
    axis = np.arange(-half + 0.5, half)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    cells = moved.candidate_cells(half, CELL_SEEDS * model.intensity ** (-1 / 3))
    points = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
    labels = cells.labels(points).reshape(x.shape) + np.int32(1)
    low = middle - half
    measured = np.abs(moved.seeds).max(axis=1) < inner
    return Block(labels, (low[0], low[1], low[2]), measured)
