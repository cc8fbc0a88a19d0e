"""Order of points and tetrahedra along a curve that fills space, so that neighbours lie near.

The curve is that of Morton (1966): the bits of the three coordinates take turns.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

BITS = 21  # of each coordinate: 63 in all
SPREADING = (  # shift, and the bits that stay: each step moves them twice as far apart
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)


def morton_codes(
    points: NDArray[np.float64], low: NDArray[np.float64], width: float
) -> NDArray[np.uint64]:
    """Place of points (n, 3) on the curve through the cube of that corner and edge.

    Examples
    --------
    >>> corners = np.array([[0.9, 0.9, 0.9], [0.0, 0.0, 0.9], [0.9, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> np.argsort(morton_codes(corners, np.zeros(3), 1.0))
    array([3, 2, 1, 0])
    """
    cells = np.clip((points - low) / width * 2**BITS, 0, 2**BITS - 1).astype(np.uint64)
    for shift, kept in SPREADING:
        cells = (cells | cells << np.uint64(shift)) & np.uint64(kept)
    return cells[:, 0] | cells[:, 1] << np.uint64(1) | cells[:, 2] << np.uint64(2)


def along_curve(
    points: NDArray[np.float64], tets: NDArray[np.int64], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """The same mesh with its tetrahedra along the curve, points as they are first met.

    Parameters
    ----------
    points : (n, 3) float
        Each of them of some tetrahedron.
    """
    low = points.min(axis=0)
    codes = morton_codes(centroids(points, tets), low, float((points.max(axis=0) - low).max()))
    order = np.argsort(codes, kind="stable")
    met, own = numbered(tets, order, len(points))
    return points[met], own, labels[order]


@njit(cache=True, nogil=True)
def centroids(points, tets):  # type: ignore[no-untyped-def]
    """Centroids of tetrahedra (m, 4): (m, 3)."""
    centroids = np.zeros((tets.shape[0], 3))
    for t in range(tets.shape[0]):
        for k in range(4):
            for i in range(3):
                centroids[t, i] += 0.25 * points[tets[t, k], i]
    return centroids


@njit(cache=True, nogil=True)
def numbered(tets, rows, n_points):  # type: ignore[no-untyped-def]
    """Vertices of some rows as they are first met, (n,), and the rows by their places there."""
    place = np.full(n_points, -1, np.int32)
    nodes, n = np.empty(n_points, np.int64), 0
    own = np.empty((rows.size, 4), np.int64)
    for r in range(rows.size):
        for k in range(4):
            v = tets[rows[r], k]
            if place[v] < 0:
                place[v] = n
                nodes[n] = v
                n += 1
            own[r, k] = place[v]
    return nodes[:n].copy(), own
