"""How clearly the best grain wins at each voxel: 0 on grain boundaries, larger inside grains."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..grains.gbpd_kernels import cull, quadratic, root_candidates
from ..grains.tessellation import Tessellation
from .labelling import extent

BLOCK, LEAF = 16, 4  # edges of the boxes that candidates are culled on, voxels


def gap_axes(
    tessellation: Tessellation,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    most: float,
) -> NDArray[np.float32]:
    """Second best score less the best at every (z, y, x), at most ``most``; dimensionless.

    Equal to the difference of the two least f_i(x) over all grains, Eq. (8), where that is
    below ``most``, and to ``most`` elsewhere: grains within ``most`` of the best are kept on the
    way down (`gbpd_kernels` has the proof). There is no shell.

    Parameters
    ----------
    x, y, z : (nx,), (ny,), (nz,) float
        Ascending coordinates; they need not be equidistant.
    """
    x, y, z = (np.ascontiguousarray(axis, np.float64) for axis in (x, y, z))
    out = np.empty((len(z), len(y), len(x)), np.float32)
    slack = tessellation.slack(extent(tessellation, (x, y, z)))
    _gaps(x, y, z, tessellation.table, tessellation.squared, float(most), slack, out)
    return out


@njit(cache=True, nogil=True)
def _gaps(x, y, z, grains, squared, most, slack, out):  # type: ignore[no-untyped-def]
    """Write the gaps (nz, ny, nx), box by box."""
    nz, ny, nx = out.shape
    centre, half = np.empty(3), np.empty(3)
    _hull(x, y, z, 0, 0, 0, max(nx, ny, nz), centre, half)
    roots = root_candidates(centre, half, grains, squared, most + slack)
    block, leaf = np.empty(roots.size, np.int32), np.empty(roots.size, np.int32)
    work = np.empty((4, roots.size))
    for k in range(0, nz, BLOCK):
        for j in range(0, ny, BLOCK):
            for i in range(0, nx, BLOCK):
                _hull(x, y, z, k, j, i, BLOCK, centre, half)
                n = cull(
                    roots, roots.size, block, centre, half, grains, squared, most + slack, work
                )
                for kk in range(k, min(k + BLOCK, nz), LEAF):
                    for jj in range(j, min(j + BLOCK, ny), LEAF):
                        for ii in range(i, min(i + BLOCK, nx), LEAF):
                            _hull(x, y, z, kk, jj, ii, LEAF, centre, half)
                            m = cull(
                                block, n, leaf, centre, half, grains, squared, most + slack, work
                            )
                            _leaf_gaps(x, y, z, kk, jj, ii, leaf, m, grains, squared, most, out)


@njit(cache=True, nogil=True)
def _leaf_gaps(x, y, z, k0, j0, i0, candidates, n, grains, squared, most, out):  # type: ignore[no-untyped-def]
    """Write the gaps of the voxels of a leaf."""
    nz, ny, nx = out.shape
    for k in range(k0, min(k0 + LEAF, nz)):
        for j in range(j0, min(j0 + LEAF, ny)):
            for i in range(i0, min(i0 + LEAF, nx)):
                first, second = np.inf, np.inf
                for t in range(n):
                    g = candidates[t]
                    q = quadratic(x[i] - grains[g, 0], y[j] - grains[g, 1], z[k] - grains[g, 2],
                                  grains, g)  # fmt: skip
                    v = (q if squared else math.sqrt(q)) - grains[g, 9]
                    second = min(second, max(first, v))
                    first = min(first, v)
                out[k, j, i] = min(second - first, most)


@njit(cache=True, nogil=True)
def _hull(x, y, z, k, j, i, size, centre, half):  # type: ignore[no-untyped-def]
    """Write centre and half widths of the hull of a block's voxel centres."""
    for a, axis, start in ((0, x, i), (1, y, j), (2, z, k)):
        first, last = axis[start], axis[min(start + size, axis.size) - 1]
        centre[a] = (first + last) / 2
        half[a] = (last - first) / 2
