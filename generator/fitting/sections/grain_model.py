"""Sections and blocks of a grain model without a shell: what fits are compared by.

Seeds are drawn in a box round what is looked at, with a margin in mean seed distances, as
they would be in a particle: the centre of the particle is the origin, markers are radial
about it. The particle is a ball: relative radii are distances from its centre over its radius.
Lengths are pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...grains.tessellation import Metric, Tessellation
from ...markers.marker_law import MarkerLaw
from ...markers.point_process import MarkedPoints
from ...markers.radial_frame import frame_axes, marker_matrices

RADIUS = 113.0  # of the particle: the farthest corner of a cutout lies 112.5 pixels from its centre
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
        lambda, seeds per cubic pixel, times the law's factor at each relative radius.
    metric
        Of the GBPD.
    radius
        R of the particle, pixels: seeds at s have the relative radius |s| / R.
    """

    law: MarkerLaw
    intensity: float
    metric: Metric = "norm"
    radius: float = RADIUS

    @property
    def spacing(self) -> float:
        """Mean seed distance where it is largest, pixels."""
        least = self.intensity * min(self.law.intensity_factor.values)
        return float(least ** (-1 / 3))

    def tessellation(
        self, low: NDArray[np.float64], high: NDArray[np.float64], rng: np.random.Generator
    ) -> Tessellation:
        """GBPD whose labels are right in the box from ``low`` to ``high``, (3,) each."""
        seen, margin = SEEN * self.spacing, (SEEN + NEIGHBOURS_WITHIN) * self.spacing
        points = self.points(low - margin, high + margin, rng)
        inside = (points.seeds > low - seen) & (points.seeds < high + seen)
        near = np.flatnonzero(inside.all(axis=1))
        markers = self.law.markers(points)
        points = points.select(near)
        axes = frame_axes(points, self.law.tilt_deg)
        matrices = marker_matrices(axes, points.angles, markers.diagonals[near])
        return Tessellation(points.seeds, matrices, markers.offsets[near], self.metric)

    def points(
        self, low: NDArray[np.float64], high: NDArray[np.float64], rng: np.random.Generator
    ) -> MarkedPoints:
        """Marked Poisson points of a box; arrivals and tilts only for laws that look at them."""
        factor, tilt = self.law.intensity_factor, self.law.tilt_deg
        most = self.intensity * max(factor.values)
        n = int(rng.poisson(most * float(np.prod(high - low))))
        seeds = low + (high - low) * rng.random((n, 3))
        points = MarkedPoints(
            seeds=seeds,
            noise=rng.random((n, 2)),
            angles=np.pi * rng.random(n),
            marks=rng.random((n, 4)),
            orientation_marks=rng.random((n, 3)),
            tilt_marks=rng.random((n, 2)) if max(tilt.values) > 0 else np.empty((n, 0)),
            arrivals=most * rng.random(n) if len(factor.values) > 1 else np.zeros(n),
            relative_radii=np.linalg.norm(seeds, axis=1) / self.radius,
            origin=np.zeros((n, 4), np.int32),
        )
        arrived = points.arrivals < self.intensity * factor(points.relative_radii)
        return points.select(arrived)

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
        (n_grains,) bool: seed points in the inner cube and in the particle. Chosen by their
        seeds, large grains are not preferred.
    relative_radii
        (n_grains,) float, t = |s| / R of the seed points.
    """

    labels: NDArray[np.int32]
    origin: tuple[float, float, float]
    measured: NDArray[np.bool_]
    relative_radii: NDArray[np.float64]


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
    cells = moved.candidate_cells(half, CELL_SEEDS * model.spacing)
    points = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
    labels = cells.labels(points).reshape(x.shape) + np.int32(1)
    low = middle - half
    t = np.linalg.norm(gbpd.seeds, axis=1) / model.radius
    measured = (np.abs(moved.seeds).max(axis=1) < inner) & (t < 1)
    return Block(labels, (low[0], low[1], low[2]), measured, t)
