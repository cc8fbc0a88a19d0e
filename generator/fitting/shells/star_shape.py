r"""Radius functions of voxel particles, Eq. (1), and their spherical harmonics, Eq. (3).

The star point c is the centre of mass. A ray from c passes through the voxels nearest to
its points. Eq. (1) is where it leaves the particle for the last time; the paper also says
that the representation is a subset of the particle, and that holds for where the ray leaves
it for the first time. Both are the same for a star-shaped particle. The radius function is
Eq. (1) as printed; how far the two differ says how star-shaped a particle is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...shell.spherical_harmonics import real_spherical_harmonics

SUBDIVISIONS = 3  # of the icosahedron: 642 directions, as in the paper


@dataclass(frozen=True, eq=False)
class StarShapes:
    """Radius functions of particles.

    Parameters
    ----------
    radii
        (n, d) float, where rays leave the particles for the last time, Eq. (1).
    first_radii
        (n, d) float, where they leave them for the first time.
    volumes
        (n,) float, volumes of the particles.
    """

    radii: NDArray[np.float64]
    first_radii: NDArray[np.float64]
    volumes: NDArray[np.float64]

    @property
    def captured(self) -> NDArray[np.float64]:
        """(n,) part of each particle that is seen from its star point."""
        return _volume(self.first_radii) / self.volumes

    @property
    def covered(self) -> NDArray[np.float64]:
        """(n,) volume within Eq. (1) over that of the particle."""
        return _volume(self.radii) / self.volumes


def _volume(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume within radii in near-equidistant directions."""
    volume: NDArray[np.float64] = 4 * math.pi / 3 * (radii**3).mean(axis=1)
    return volume


@cache
def directions() -> NDArray[np.float64]:
    """The 642 vertices of an icosahedron subdivided three times, (642, 3), unit vectors.

    Examples
    --------
    >>> directions().shape
    (642, 3)
    """
    golden = (1 + math.sqrt(5)) / 2
    corners = [(0.0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    points = np.array([np.roll(p, k) for p in corners for k in range(3)])
    for _ in range(SUBDIVISIONS):
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        points = np.vstack([points, _edge_middles(points)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points.flags.writeable = False
    return points


def _edge_middles(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Middles of the edges of the triangulation of the sphere: its convex hull."""
    from scipy.spatial import ConvexHull

    triangles = ConvexHull(points).simplices
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    middles: NDArray[np.float64] = points[np.unique(edges, axis=0)].mean(axis=1)
    return middles


def star_radii(
    mask: NDArray[np.bool_], rays: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where rays from the centre of mass leave a particle for the last and the first time.

    Parameters
    ----------
    mask
        (nz, ny, nx) bool.
    rays
        (d, 3) float, unit vectors (x, y, z).

    Returns
    -------
    (d,) float, (d,) float
        Voxels. 0 where a ray does not meet the particle, or does not begin in it.
    """
    centre = np.argwhere(mask).mean(axis=0)
    last, first = np.zeros(len(rays)), np.zeros(len(rays))
    _fill_radii(mask, centre, np.ascontiguousarray(rays[:, ::-1]), last, first)
    return last, first


@njit(cache=True, nogil=True)
def _fill_radii(mask, centre, rays, last, first):  # type: ignore[no-untyped-def]
    """Walk along each ray from voxel to voxel, to the end of the mask."""
    cell, step = np.empty(3, np.int64), np.empty(3, np.int64)
    leaves, across = np.empty(3), np.empty(3)
    for k in range(len(rays)):
        for i in range(3):
            u = rays[k, i]
            cell[i] = math.floor(centre[i] + 0.5)
            step[i] = 1 if u > 0 else -1
            face = cell[i] + 0.5 * step[i]
            leaves[i] = (face - centre[i]) / u if u != 0 else np.inf
            across[i] = abs(1 / u) if u != 0 else np.inf
        unbroken = True
        while (
            0 <= cell[0] < mask.shape[0]
            and 0 <= cell[1] < mask.shape[1]
            and 0 <= cell[2] < mask.shape[2]
        ):
            axis = 0
            for i in range(1, 3):
                if leaves[i] < leaves[axis]:
                    axis = i
            if mask[cell[0], cell[1], cell[2]]:
                last[k] = leaves[axis]
                if unbroken:
                    first[k] = leaves[axis]
            else:
                unbroken = False
            cell[axis] += step[axis]
            leaves[axis] += across[axis]


def random_rotations(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, 3, 3) rotation matrices, uniformly distributed."""
    from scipy.spatial.transform import Rotation

    matrices: NDArray[np.float64] = Rotation.from_quat(rng.standard_normal((n, 4))).as_matrix()
    return matrices.reshape(n, 3, 3)


@dataclass(frozen=True, eq=False)
class Expansions:
    """Spherical harmonics of radius functions, Eq. (3).

    Parameters
    ----------
    coefficients
        (n, (L + 1)^2) float, a_lm at l^2 + l + m, of the rotated particles.
    residuals
        (n,) float, root mean square of what the expansions leave of the radii, over their
        mean.
    """

    coefficients: NDArray[np.float64]
    residuals: NDArray[np.float64]


def expansions(radii: NDArray[np.float64], max_degree: int) -> Expansions:
    """Least-squares expansions of radii (n, 642) in `directions`."""
    harmonics = real_spherical_harmonics(directions(), max_degree)
    coefficients = radii @ np.linalg.pinv(harmonics).T
    rest = coefficients @ harmonics.T - radii
    residuals = np.sqrt((rest**2).mean(axis=1)) / radii.mean(axis=1)
    return Expansions(coefficients, residuals)
