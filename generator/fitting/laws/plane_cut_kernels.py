"""Compiled kernel that labels a plane through a GBPD, block by block.

A block of pixels looks only at the seeds that may own one of its points: blocks of 32 pixels choose
from all seeds, those of 16 within them from what is left, those of 4 from that. What is left out
is proven to own nothing, so the labels are those of a search through all seeds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LARGE, MIDDLE, SMALL = 32, 16, 4  # pixels along the edge of a block
SLACK = 1e-9  # relative, far above the rounding errors of scores

Table = NDArray[
    np.float64
]  # (n, 8): x, y, A_xx, A_xy, A_yy, h, r and the root of A's largest value


@njit(cache=True)
def _norm(table: Table, k: int, x: float, y: float) -> float:
    dx, dy = x - table[k, 0], y - table[k, 1]
    q = table[k, 2] * dx * dx + 2 * table[k, 3] * dx * dy + table[k, 4] * dy * dy
    return math.sqrt(q + table[k, 5])


@njit(cache=True)
def _kept(
    table: Table, squared: bool, top: int, left: int, edge: int, rows: Any, n: int, low: Any,
    kept: Any,
) -> int:  # fmt: skip
    """Number of the first ``n`` of ``rows`` that may own a pixel of a block; they go to ``kept``.

    Norms change over the block by at most its half diagonal times the root of A's largest
    eigenvalue.
    """
    half = (edge - 1) / 2
    best = np.inf
    for i in range(n):
        k = rows[i]
        norm, change = _norm(table, k, left + half, top + half), 1.4142135624 * half * table[k, 7]
        least, most = max(norm - change, 0.0), norm + change
        if squared:
            least, most = least * least, most * most
        low[i] = least - table[k, 6]
        best = min(best, most - table[k, 6])
    limit, m = best + SLACK * (1 + abs(best)), 0
    for i in range(n):
        if low[i] <= limit:
            kept[m] = rows[i]
            m += 1
    return m


@njit(cache=True)
def _label_pixels(
    table: Table, squared: bool, inside: Any, top: int, left: int, rows: Any, n: int, labels: Any
) -> None:
    for y in range(top, min(top + SMALL, inside.shape[0])):
        for x in range(left, min(left + SMALL, inside.shape[1])):
            if not inside[y, x]:
                continue
            best = np.inf
            for i in range(n):
                k = rows[i]
                norm = _norm(table, k, x, y)
                score = (norm * norm if squared else norm) - table[k, 6]
                if score < best:
                    best = score
                    labels[y, x] = k


@njit(cache=True)
def label_plane(table: Table, squared: bool, inside: Any, labels: Any) -> None:
    """Write the row of the seed with the least score to every pixel of ``labels`` that is inside.

    Parameters
    ----------
    table : (n, 8) float
        Of each seed: centre x, y in pixels of the image, A_xx, A_xy, A_yy, h, r, and the root
        of the larger eigenvalue of A; the score is sqrt((p - c)^T A (p - c) + h) - r.
    squared
        Whether the norm is squared in it.
    inside : (ny, nx) bool
        Pixels that are labelled; others are left as they are.
    labels : (ny, nx) int32
        Written.
    """
    n, (height, width) = len(table), inside.shape
    rows = np.arange(n).astype(np.int32)
    first, second, third = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    low = np.empty(n)
    for top in range(0, height, LARGE):
        for left in range(0, width, LARGE):
            if not inside[top : top + LARGE, left : left + LARGE].any():
                continue
            n_first = _kept(table, squared, top, left, LARGE, rows, n, low, first)
            for y in range(top, min(top + LARGE, height), MIDDLE):
                for x in range(left, min(left + LARGE, width), MIDDLE):
                    n_second = _kept(table, squared, y, x, MIDDLE, first, n_first, low, second)
                    for v in range(y, min(y + MIDDLE, height), SMALL):
                        for u in range(x, min(x + MIDDLE, width), SMALL):
                            if inside[v : v + SMALL, u : u + SMALL].any():
                                n_third = _kept(
                                    table, squared, v, u, SMALL, second, n_second, low, third
                                )
                                _label_pixels(table, squared, inside, v, u, third, n_third, labels)
