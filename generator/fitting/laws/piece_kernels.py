"""Compiled kernels on images of labels: pieces, gaps, sums over the pixels of each grain.

They do what `reconstruction.pieces`, `Section.without_gaps` and `section_descriptors` do, for
sections that are made by the thousand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

OUTSIDE, MISSING = 0, -1


@njit(cache=True)
def pieces(labels: Any) -> tuple[Any, Any]:
    """Pieces 1 ... n, connected through edges, of each label above 0, and their pixels (n + 1,).

    Numbers are in the order of first pixels; the other labels stay.
    """
    height, width = labels.shape
    found = np.where(labels > 0, np.int32(0), labels)
    stack = np.empty((height * width, 2), np.int64)
    counts = np.zeros(height * width + 1, np.int64)
    n = 0
    for row in range(height):
        for column in range(width):
            if labels[row, column] <= 0 or found[row, column] > 0:
                continue
            n += 1
            label, top = labels[row, column], 1
            stack[0, 0], stack[0, 1] = row, column
            found[row, column] = n
            while top > 0:
                top -= 1
                y, x = stack[top, 0], stack[top, 1]
                counts[n] += 1
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    within = 0 <= v < height and 0 <= u < width
                    if within and labels[v, u] == label and found[v, u] <= 0:
                        found[v, u] = n
                        stack[top, 0], stack[top, 1] = v, u
                        top += 1
    return found, counts[: n + 1]


@njit(cache=True)
def fill(labels: Any, steps: Any) -> Any:
    """Labels in which a missing pixel has that of the nearest one that is not; see ``steps``.

    Parameters
    ----------
    steps : (m, 2) int
        Displacements y, x in the order of their lengths: how far is looked.
    """
    height, width = labels.shape
    filled = labels.copy()
    for y in range(height):
        for x in range(width):
            if labels[y, x] != MISSING:
                continue
            for k in range(len(steps)):
                v, u = y + steps[k, 0], x + steps[k, 1]
                if 0 <= v < height and 0 <= u < width and labels[v, u] != MISSING:
                    filled[y, x] = labels[v, u]
                    break
    return filled


@njit(cache=True)
def sums(labels: Any, n: int, centre_y: float, centre_x: float) -> tuple[Any, Any]:
    """Sums (n, 6) of 1, y, x, yy, xx, xy about a centre over each grain, and which are cut (n,).

    A grain is cut if a pixel of it shares an edge with the outside or lies at the border.
    """
    height, width = labels.shape
    found, cut = np.zeros((n, 6)), np.zeros(n, np.bool_)
    for row in range(height):
        for column in range(width):
            g = labels[row, column] - 1
            if g < 0:
                continue
            y, x = row - centre_y, column - centre_x
            found[g, 0] += 1
            found[g, 1] += y
            found[g, 2] += x
            found[g, 3] += y * y
            found[g, 4] += x * x
            found[g, 5] += x * y
            for v, u in (
                (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1),
            ):  # fmt: skip
                if not (0 <= v < height and 0 <= u < width) or labels[v, u] == OUTSIDE:
                    cut[g] = True
    return found, cut
