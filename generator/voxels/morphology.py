"""Size, shape and alignment of the grains of a labelled volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from . import moment_kernels, shape_kernels
from .grid import Grid

MOMENTS = ("xx", "yy", "zz", "xy", "xz", "yz")

# A longest axis is one only if its second moment stands out by more than rounding.
DISTINCT = 1e-9


@dataclass(frozen=True, eq=False)
class GrainMorphology:
    """Measures of each grain of a labelled volume; row i is the grain with id i + 1.

    A grain without a voxel has a row as well: counts and lengths 0, the rest NaN.
    A grain in several pieces counts as one body.

    Parameters
    ----------
    voxel_count
        (n,) int64, number of voxels.
    volume_um3
        (n,) float, voxels times the volume of one, um^3.
    centroid_um
        (n, 3) float, centre of mass (x, y, z), um.
    equivalent_diameter_um
        (n,) float, diameter of the ball of equal volume, um.
    principal_lengths_um
        (n, 3) float, axes of the ellipsoid with the same second moments, longest first, um.
    long_axis
        (n, 3) float, unit vector of the longest of them; its component of the largest magnitude
        is positive, the first of equal ones. NaN if two are equally long.
    aspect_ratio
        (n,) float, longest over shortest principal length.
    radial_angle_deg
        (n,) float in [0, 90], angle between ``long_axis`` and the line from the centre of
        the particle to the centroid, degrees: theta of Eq. (4), in space instead of in a
        section. 0 points to the centre. NaN if either direction is undefined.
    touches_shell
        (n,) bool, whether a voxel has a face neighbour outside the particle.
    """

    voxel_count: NDArray[np.int64]
    volume_um3: NDArray[np.float64]
    centroid_um: NDArray[np.float64]
    equivalent_diameter_um: NDArray[np.float64]
    principal_lengths_um: NDArray[np.float64]
    long_axis: NDArray[np.float64]
    aspect_ratio: NDArray[np.float64]
    radial_angle_deg: NDArray[np.float64]
    touches_shell: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for field in fields(self):
            array = getattr(self, field.name)
            if len(array) != len(self.voxel_count):
                msg = f"{field.name} has {len(array)} rows, expected {len(self.voxel_count)}"
                raise ValueError(msg)
            array.flags.writeable = False

    def __len__(self) -> int:
        """Number of grains, those without a voxel included."""
        return len(self.voxel_count)


@dataclass(frozen=True, eq=False)
class GrainSums:
    """What the morphology of grains follows from: sums over their voxels, added slab by slab.

    Parameters
    ----------
    moments
        (n + 1, 10) float, row i for grain id i: number of voxels, and sums of x, y, z and of
        ``MOMENTS`` over them, in voxel indices. Whole numbers, and so exact.
    exposed
        (n + 1,) bool, whether a voxel has a face neighbour outside the particle.
    """

    moments: NDArray[np.float64]
    exposed: NDArray[np.bool_]

    @classmethod
    def zero(cls, n_grains: int) -> GrainSums:
        """Sums of no voxel yet."""
        return cls(np.zeros((n_grains + 1, 10)), np.zeros(n_grains + 1, bool))

    def add(self, labels: NDArray[np.int32], own: slice, start: int) -> None:
        """Add the voxels of some layers.

        Parameters
        ----------
        labels
            (k, ny, nx) int32, the layers and those beside them; beyond all is outside.
        own
            The layers to add.
        start
            Number of the first of them in the grid.
        """
        moment_kernels.add_moments(labels[own], start, self.moments)
        moment_kernels.mark_exposed(labels, own.start, own.stop, self.exposed)

    @property
    def voxel_count(self) -> NDArray[np.int64]:
        """(n,) int64, number of voxels of each grain."""
        return self.moments[1:, 0].astype(np.int64)

    def morphology(
        self, grid: Grid, centre_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> GrainMorphology:
        """What `grain_morphology` returns of all the layers of ``grid``."""
        return morphology_from_sums(self.moments[1:], self.exposed[1:], grid, centre_um)


def grain_morphology(
    labels: NDArray[np.int32],
    grid: Grid,
    n_grains: int | None = None,
    centre_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> GrainMorphology:
    r"""Morphology of the grains from the moments of their voxels.

    With C the covariance of the voxel centres of a grain plus that of one voxel
    (spacing^2 / 12 in every direction), the lengths are :math:`2\sqrt{5 \lambda_k}` for the
    eigenvalues of C: exact for an ellipsoid, for a box of edge a it is
    :math:`a\sqrt{5/3}`. Moments are sums of integers and therefore exact.

    Parameters
    ----------
    labels
        (nz, ny, nx) int, grain ids, 0 outside.
    grid
        Where the voxels lie.
    n_grains
        Number of rows; the largest label if not given.
    centre_um
        Point that ``radial_angle_deg`` refers to, um.

    Raises
    ------
    ValueError
        If labels and grid differ in shape, or a label is negative or above ``n_grains``.
    """
    n = _checked_count(labels, grid, n_grains)
    labels = np.ascontiguousarray(labels, np.int32)  # any other type would compile kernels anew
    sums = GrainSums.zero(n)
    sums.add(labels, slice(0, len(labels)), 0)
    return sums.morphology(grid, centre_um)


def morphology_from_sums(
    sums: NDArray[np.float64],
    touches_shell: NDArray[np.bool_],
    grid: Grid,
    centre_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> GrainMorphology:
    """What `grain_morphology` returns, from sums that were taken elsewhere.

    Parameters
    ----------
    sums
        (n, 10) whole numbers: voxels of each grain, and sums of x, y, z and of ``MOMENTS`` over
        them, in voxel indices.
    touches_shell
        (n,) bool.
    """
    count, first, second = sums[:, 0].astype(np.int64), sums[:, 1:4], sums[:, 4:]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / count[:, None]
        covariance = _matrices(second / count[:, None]) - mean[:, :, None] * mean[:, None, :]
    centroid = np.array(grid.origin) + (mean + 0.5) * grid.spacing
    lengths, axis = _principal(covariance + np.eye(3) / 12, count > 0)
    with np.errstate(invalid="ignore"):
        aspect = np.where(count > 0, lengths[:, 0], np.nan) / lengths[:, 2]
    volume = count.astype(np.float64) * grid.voxel_um3
    return GrainMorphology(
        voxel_count=count,
        volume_um3=volume,
        centroid_um=centroid,
        equivalent_diameter_um=_ball_diameters(count) * grid.spacing,
        principal_lengths_um=lengths * grid.spacing,
        long_axis=axis,
        aspect_ratio=aspect,
        radial_angle_deg=angle_between_lines_deg(axis, centroid - np.array(centre_um)),
        touches_shell=touches_shell,
    )


def angle_between_lines_deg(
    lines: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Angle in [0, 90] degrees between lines given by vectors of any length and sign, Eq. (4).

    Parameters
    ----------
    lines, others
        (n, 3) float.

    Returns
    -------
    (n,) float
        Degrees; NaN for a vector of length 0.

    Examples
    --------
    >>> angle_between_lines_deg(np.array([[2.0, 0, 0]]), np.array([[-1.0, 0, 1.0]])).round(9)
    array([45.])
    """
    lines, others = (np.ascontiguousarray(vectors, np.float64) for vectors in (lines, others))
    angles = np.empty(len(lines))
    shape_kernels.angles_between_lines(lines, others, angles)
    return angles


def _checked_count(labels: NDArray[np.int32], grid: Grid, n_grains: int | None) -> int:
    if labels.shape != grid.shape:
        msg = f"labels have the shape {labels.shape}, expected that of the grid, {grid.shape}"
        raise ValueError(msg)
    lowest, highest = int(labels.min()), int(labels.max())
    n = highest if n_grains is None else n_grains
    if lowest < 0 or highest > n:
        msg = f"labels run from {lowest} to {highest}, expected 0 (outside) to {n} (n_grains)"
        raise ValueError(msg)
    return n


def _matrices(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric matrices (n, 3, 3) of the columns ``MOMENTS``."""
    order = [MOMENTS.index(name) for name in ("xx", "xy", "xz", "xy", "yy", "yz", "xz", "yz", "zz")]
    return moments[:, order].reshape(-1, 3, 3)


def _principal(
    covariance: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal lengths, longest first, and the longest axis; 0 and NaN for absent grains."""
    lengths, axis = np.zeros((len(present), 3)), np.full((len(present), 3), np.nan)
    values, longest = np.empty((2, np.count_nonzero(present), 3))
    shape_kernels.principal(covariance[present], values, longest)
    lengths[present] = 2 * np.sqrt(5 * values)
    distinct = values[:, 0] - values[:, 1] > DISTINCT * values[:, 0]
    axis[present] = np.where(distinct[:, None], longest, np.nan)
    return lengths, axis


def _ball_diameters(volumes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Diameters of balls of some volumes."""
    diameters = np.empty(len(volumes))
    shape_kernels.cube_roots(6 * volumes / np.pi, diameters)
    return diameters


def sphericity(mask: NDArray[np.bool_]) -> float:
    r"""Sphericity :math:`\pi^{1/3} (6V)^{2/3} / A` of the body of voxels, Wadell's.

    V counts voxels, A is the area of the triangles of marching cubes between them. That
    area is 8 % too large for a large ball, whose sphericity is 0.93 by it, and too small for
    bodies one voxel thick.
    """
    from skimage.measure import marching_cubes, mesh_surface_area

    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)
    area = float(mesh_surface_area(vertices, faces))
    return float(math.pi ** (1 / 3) * (6 * np.count_nonzero(mask)) ** (2 / 3) / area)
