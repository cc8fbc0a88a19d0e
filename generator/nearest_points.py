"""The points nearest to some of many points, in an order that is the same everywhere.

Points are sorted into cubic bins, and the bins that a ball meets are searched; the ball grows until
it holds enough points. The time is proportional to the number of points where they are spread
evenly; elsewhere it is longer, and the result as exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

BIN_POINTS = 0.65  # in a bin of the box around all points, on average
RADIUS = 1.5  # of the first ball, edges of a bin
GROWTH = 1.25  # of the radius
FLATTEST = 1 / 64  # shortest edge of the box over its longest, lest bins become too many
SLACK = 1e-9  # of the edge of a bin: more than rounding moves a point


def nearest(points: NDArray[np.float64], rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The ``count`` points nearest to each of ``rows``, (m, count), nearest first.

    They are sorted by squared distance, dx dx + dy dy + dz dz in this order, and of equally far
    ones the lower index comes first. A point is not among its own neighbours.

    Parameters
    ----------
    points : (n, 3) float
        In any unit.
    rows : (m,) int
        Points whose neighbours are wanted.

    Raises
    ------
    ValueError
        If there are not more than ``count`` points.
    """
    if len(points) <= count:
        msg = f"{len(points)} points, expected more than {count}, the neighbours of each"
        raise ValueError(msg)
    inner = points - points.min(axis=0)
    span = inner.max(axis=0)
    span = np.maximum(span, (span.max() or 1.0) * FLATTEST)
    edge = float(np.cbrt(span.prod() / len(points) * BIN_POINTS))
    sides = (span // edge).astype(np.intp) + 1
    places = np.minimum((inner / edge).astype(np.intp), sides - 1)
    bins = (places[:, 0] * sides[1] + places[:, 1]) * sides[2] + places[:, 2]
    order = np.argsort(bins, kind="stable")
    begin = np.concatenate([[0], np.bincount(bins, minlength=sides.prod()).cumsum()])
    found = np.empty((len(rows), count), np.intp)
    _search(points, inner, rows, edge, sides, points[order], order, begin, found)
    return found


@njit(cache=True, nogil=True)
def _search(points, inner, rows, edge, sides, binned, order, begin, found):  # type: ignore[no-untyped-def]
    """Write the points nearest to each of ``rows`` into ``found``.

    ``inner`` are the points from the lowest corner of all bins; ``binned`` are the points in
    ``order``, bin after bin, those of bin c from ``begin[c]``.
    """
    squares, numbers = np.empty(order.size), np.empty(order.size, np.intp)
    first, last = np.empty(3, np.intp), np.empty(3, np.intp)
    for row in range(rows.size):
        i, radius, known = rows[row], RADIUS * edge, 0
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        while known < found.shape[1]:
            for a in range(3):
                first[a] = max((inner[i, a] - radius) / edge - SLACK, 0.0)
                last[a] = min((inner[i, a] + radius) / edge + SLACK, sides[a] - 1.0)
            limit, known = radius * radius, 0
            for a in range(first[0], last[0] + 1):
                for b in range(first[1], last[1] + 1):
                    line = (a * sides[1] + b) * sides[2]
                    for t in range(begin[line + first[2]], begin[line + last[2] + 1]):
                        dx, dy, dz = x - binned[t, 0], y - binned[t, 1], z - binned[t, 2]
                        square = dx * dx + dy * dy + dz * dz
                        squares[known], numbers[known] = square, order[t]
                        known += (square <= limit) & (order[t] != i)
            radius *= GROWTH
        _sort(squares, numbers, known, found[row])


@njit(cache=True, nogil=True)
def _sort(squares, numbers, n, out):  # type: ignore[no-untyped-def]
    """Write the first of n ``numbers`` by square and number, by insertion."""
    size = out.size
    for t in range(n):
        square, j, k = squares[t], numbers[t], min(t, size)
        while k > 0 and (
            square < squares[k - 1] or (square == squares[k - 1] and j < numbers[k - 1])
        ):
            if k < size:
                squares[k], numbers[k] = squares[k - 1], numbers[k - 1]
            k -= 1
        if k < size:
            squares[k], numbers[k] = square, j
    out[:] = numbers[:size]
