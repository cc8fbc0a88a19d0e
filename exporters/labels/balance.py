"""Weights with which smoothed grains keep the volume of their voxels.

Smoothing takes volume from what is small or thin: a thread or a single voxel vanishes in a
larger grain. The weight of such a piece is the one with which the points where its indicator
wins fill as much volume as its voxels.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from ...generator.particle import OUTSIDE
from ..mesh.material_field import indicators_at, voxel_at, voxel_field

KEPT = 0.98  # a piece that keeps this part of its volume has the weight 1
SWEEPS = 3  # neighbours take volume from each other
HEAVIEST = 100.0
COUNTED = 2  # points along each axis of a voxel by which volumes are counted
RANKED = 27  # points in a voxel by which a weight is found


def balanced_weights(pieces: NDArray[np.int32]) -> NDArray[np.float64]:
    """Weights (largest number + 1,) of the indicators of pieces (nz, ny, nx), 0 outside."""
    weights = np.ones(int(pieces.max()) + 1)
    given = np.bincount(pieces.ravel(), minlength=len(weights))
    field = voxel_field(pieces, (0.0, 0.0, 0.0), 1.0, weights)
    light = (given > 0) & (_smooth_volumes(field) < KEPT * given)
    light[OUTSIDE] = False
    boxes = ndimage.find_objects(pieces)
    for _ in range(SWEEPS):
        for p in np.flatnonzero(light).tolist():
            low, high = np.array([(side.start, side.stop) for side in boxes[p - 1]]).T
            weights[p] = _weight(p, low, high, int(given[p]), field)
    return weights


@njit(cache=True, nogil=True)
def _smooth_volumes(field):  # type: ignore[no-untyped-def]
    """Volume of each piece inside its smooth boundaries, in voxels, by samples."""
    voxels = field.voxels
    nz, ny, nx = voxels.shape
    volumes = np.zeros(field.weights.size)
    weights, first = np.empty((3, 2, 4)), np.empty(3, np.int64)
    labels, sums, x = np.empty(64, np.int32), np.empty(64), np.empty(3)
    for k in range(-1, nz + 1):
        for j in range(-1, ny + 1):
            for i in range(-1, nx + 1):
                own = voxel_at(i, j, k, voxels)
                if _is_inner(i, j, k, own, voxels):
                    volumes[own] += 1.0
                    continue
                for s in range(COUNTED**3):
                    x[0] = i + (s % COUNTED + 0.5) / COUNTED
                    x[1] = j + (s // COUNTED % COUNTED + 0.5) / COUNTED
                    x[2] = k + (s // COUNTED**2 + 0.5) / COUNTED
                    n = indicators_at(x, field, weights, first, labels, sums)
                    volumes[_winner(labels, sums, n)] += 1.0 / COUNTED**3
    return volumes


@njit(cache=True, nogil=True)
def _winner(labels, sums, n):  # type: ignore[no-untyped-def]
    best, outside, inside = -1, 0.0, 0.0
    for k in range(n):
        if labels[k] == OUTSIDE:
            outside = sums[k]
        else:
            inside += sums[k]
            if best < 0 or sums[k] > sums[best]:
                best = k
    return np.int32(OUTSIDE) if outside >= inside else labels[best]


@njit(cache=True, nogil=True)
def _is_inner(i, j, k, own, voxels):  # type: ignore[no-untyped-def]
    """Whether all neighbours of a voxel have its label."""
    for c in range(k - 1, k + 2):
        for b in range(j - 1, j + 2):
            for a in range(i - 1, i + 2):
                if voxel_at(a, b, c, voxels) != own:
                    return False
    return True


@njit(cache=True, nogil=True)
def _is_near(i, j, k, own, voxels):  # type: ignore[no-untyped-def]
    """Whether a voxel or one of its neighbours has that label."""
    for c in range(k - 1, k + 2):
        for b in range(j - 1, j + 2):
            for a in range(i - 1, i + 2):
                if voxel_at(a, b, c, voxels) == own:
                    return True
    return False


@njit(cache=True, nogil=True)
def _spread(i, j, k, s, out):  # type: ignore[no-untyped-def]
    """Write point s of the `RANKED` in a voxel to ``out``: no planes of points, as of a grid."""
    number = s + RANKED * (i + 131 * j + 17161 * k)
    out[0] = i + (number * 0.8191725133961645) % 1.0  # R3 sequence
    out[1] = j + (number * 0.6710436067037893) % 1.0
    out[2] = k + (number * 0.5497004779019703) % 1.0


@njit(cache=True, nogil=True)
def _weight(own, low, high, given, field):  # type: ignore[no-untyped-def]
    """Weight with which a piece wins ``given`` voxels of the samples in and around it."""
    voxels = field.voxels
    weights, first = np.empty((3, 2, 4)), np.empty(3, np.int64)
    labels, sums, x = np.empty(64, np.int32), np.empty(64), np.empty(3)
    needed = np.empty(0)
    for fill in range(2):
        count = 0
        for k in range(low[0] - 1, high[0] + 1):
            for j in range(low[1] - 1, high[1] + 1):
                for i in range(low[2] - 1, high[2] + 1):
                    if not _is_near(i, j, k, own, voxels):
                        continue
                    if fill:
                        for s in range(RANKED):
                            _spread(i, j, k, s, x)
                            n = indicators_at(x, field, weights, first, labels, sums)
                            needed[count + s] = _needed(own, labels, sums, n)
                    count += RANKED
        if not fill:
            needed = np.empty(count)
    rank = min(given * RANKED, needed.size - 1)
    found = np.partition(needed, rank)[rank] * field.weights[own]
    return min(max(found, 1.0), HEAVIEST)


@njit(cache=True, nogil=True)
def _needed(own, labels, sums, n):  # type: ignore[no-untyped-def]
    """Factor on the indicator of a piece with which it would just win."""
    mine, best, outside, others = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        if labels[k] == own:
            mine = sums[k]
        elif labels[k] == OUTSIDE:
            outside = sums[k]
        else:
            others += sums[k]
            best = max(best, sums[k])
    return max(best, outside - others) / mine if mine > 0.0 else np.inf
