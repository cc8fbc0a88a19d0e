"""Mean size of the grains of a law in space, by labelling a ball of them.

A grain is measured whole if its seed point lies in the ball, however far it reaches out: chosen by
their seeds, large grains are neither preferred nor, as among those that a surface does not
cut, left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..markers.marker_law import CardLaw, Markers, Profile
from ..markers.point_process import MarkedPoints
from ..markers.radial_frame import frame_axes, marker_matrices
from ..rounding import rounded
from ..streams import stream
from .tessellation import Metric, Tessellation

RADIUS = 8.0  # of the ball, mean seed distances: some 2000 grains
AROUND = 2.5  # mean seed distances that grains of the ball reach out of it
MARGIN = 4.0  # and to the seed points that none of it sees
PER_DISTANCE = 8  # voxels along a mean seed distance


@dataclass(frozen=True)
class GrainSize:
    """Equivalent diameters of grains: mean and standard deviation, and how many were measured.

    Lengths are pixels of the grain frame.
    """

    mean: float
    std: float
    n_grains: int


@dataclass(frozen=True, kw_only=True)
class GrainLaws:
    """What a model card says of its grains, lengths in pixels.

    Parameters
    ----------
    law, factors
        Markers are those of the law times the factors, one row.
    intensity
        lambda, seed points per cubic pixel.
    metric
        Of the GBPD.
    tilt_deg
        Spread of the axes about the radius by the relative radius, degrees.
    """

    law: CardLaw
    factors: Markers
    intensity: float
    metric: Metric
    tilt_deg: Profile

    @property
    def intensities(self) -> tuple[float, float]:
        """Least and largest number of seed points per cubic pixel."""
        values = self.law.intensity_factor.values
        return self.intensity * min(values), self.intensity * max(values)


def grain_size(laws: GrainLaws, seed: int = 0, n_balls: int = 1) -> GrainSize:
    """Size of the grains of a law, the same whenever it is asked for.

    The sum of the voxels of a grain is its volume V, and (6 V / pi)^(1/3) its equivalent diameter;
    grains without a voxel, an eighth of a mean seed distance, are not counted.
    """
    parts = [_diameters(laws, stream(seed, ball, "sizes")) for ball in range(n_balls)]
    diameters = np.concatenate(parts)
    return GrainSize(float(diameters.mean()), float(diameters.std()), len(diameters))


def _diameters(laws: GrainLaws, rng: np.random.Generator) -> NDArray[np.float64]:
    """Equivalent diameters of the grains whose seeds lie in a ball, pixels."""
    least, most = laws.intensities
    radius, far = RADIUS * most ** (-1 / 3), least ** (-1 / 3)
    points = _points(laws, radius, radius + (AROUND + MARGIN) * far, rng)
    axes = frame_axes(points, laws.tilt_deg)
    rows = np.arange(len(points))
    markers = laws.law.rounded_markers(points, rows, laws.factors)
    matrices = marker_matrices(axes, points.angles, markers.diagonals)
    gbpd = Tessellation(points.seeds, matrices, markers.offsets, laws.metric)
    half, step = radius + AROUND * far, most ** (-1 / 3) / PER_DISTANCE
    counts = _counts(gbpd, half, step)
    inside = np.linalg.norm(points.seeds, axis=1) < radius
    volumes = step**3 * counts[inside & (counts > 0)]
    found: NDArray[np.float64] = np.cbrt(6 / np.pi * volumes)
    return found


def _points(laws: GrainLaws, radius: float, reach: float, rng: np.random.Generator) -> MarkedPoints:
    """Seed points of a cube round a ball, those of them that have arrived where they are."""
    most = laws.intensities[1]
    n = int(rng.poisson(most * (2 * reach) ** 3))
    seeds = rng.uniform(-reach, reach, (n, 3))
    points = MarkedPoints(
        seeds=seeds,
        noise=rng.random((n, 2)),
        angles=np.pi * rng.random(n),
        marks=rng.random((n, 4)),
        orientation_marks=np.empty((n, 0)),
        tilt_marks=rng.random((n, 2)),
        arrivals=most * rng.random(n),
        relative_radii=rounded(np.linalg.norm(seeds, axis=1) / radius),
        origin=np.zeros((n, 4), np.int32),
    )
    factor = laws.law.intensity_factor(points.relative_radii)
    return points.select(points.arrivals < laws.intensity * factor)


def _counts(gbpd: Tessellation, half: float, step: float) -> NDArray[np.int64]:
    """Voxels of each grain in a cube of half the edge ``half``, layer by layer."""
    axis = np.arange(-half + step / 2, half, step)
    cells = gbpd.candidate_cells(half, PER_DISTANCE * step)
    counts = np.zeros(len(gbpd), np.int64)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    for z in axis:
        layer = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, z)])
        counts += np.bincount(cells.labels(layer), minlength=len(gbpd))
    return counts
