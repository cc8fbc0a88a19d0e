"""Compiled kernel: which grains can own a point inside a shell.

Cells as large as a grain have lists (`candidate_kernels`), and each cell is halved further until
its boxes are as small as they are to be; the list of a box is what convex dominance
(`gbpd_kernels.cull`) leaves of its parent's list. The grains that can own a point are those on
the list of a smallest box that is not proven to lie outside the shell. That set depends on no
order of cells, boxes or grains.

A list holds what the lists of its parts hold, so that a box all of whose grains are found
already need not be divided: what is found, and in which order, changes the time only. The
owners of the seed points inside the shell, which are most grains, are best put in first.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .gbpd_kernels import MIXED, OUTSIDE, cull, shell_state


@njit(cache=True, nogil=True)
def mark_reachable(  # type: ignore[no-untyped-def]
    lower, cell, n_edge, start, members, levels, grains, squared, slack, shell, degree, marked
):  # fmt: skip
    """Mark the grains on the lists of the smallest boxes that may meet the shell.

    The cells are those of `candidate_kernels.candidate_cells`, each divided into
    (2^levels)^3 boxes. ``marked`` (n,) bool is read and written.
    """
    lists, counts, work = _scratch(start, levels)
    stack = np.empty((8 * levels + 8, 5), np.int64)  # level, i, j, k, state of the parent
    centre, half = np.empty(3), np.full(3, cell / 2)
    for i in range(n_edge):
        for j in range(n_edge):
            for k in range(n_edge):
                c = (i * n_edge + j) * n_edge + k
                n = start[c + 1] - start[c]
                if _any_unmarked(members[start[c] : start[c + 1]], n, marked):
                    lists[0, :n], counts[0] = members[start[c] : start[c + 1]], n
                    _centre(centre, lower, half, i, j, k)
                    state = shell_state(centre, half, shell, degree)
                    top = _push_parts(stack, 0, 0, i, j, k, state)
                    _mark_in_cell(
                        lower, cell, levels, grains, squared, slack, shell, degree, lists, counts,
                        work, stack, top, marked,
                    )  # fmt: skip


@njit(cache=True, nogil=True)
def _scratch(start, levels):  # type: ignore[no-untyped-def]
    """Candidate lists of each level, their lengths, and scratch, for a walk down any cell."""
    longest = np.int64(1)
    for c in range(start.size - 1):
        longest = max(longest, start[c + 1] - start[c])
    return (
        np.empty((levels + 1, longest), np.int32),
        np.empty(levels + 1, np.int64),
        np.empty((4, longest)),
    )


@njit(cache=True, nogil=True)
def _mark_in_cell(  # type: ignore[no-untyped-def]
    lower, cell, levels, grains, squared, slack, shell, degree, lists, counts, work, stack, top,
    marked,
):  # fmt: skip
    """Walk through the boxes on the stack, parts of one cell whose list is ``lists[0]``."""
    centre, half = np.empty(3), np.empty(3)
    while top > 0:
        top -= 1
        level, i, j, k, state = stack[top]
        half[:] = cell / 2 / (1 << level)
        _centre(centre, lower, half, i, j, k)
        if state == MIXED:
            state = shell_state(centre, half, shell, degree)
            if state == OUTSIDE:
                continue
        n = cull(lists[level - 1], counts[level - 1], lists[level], centre, half, grains, squared,
                 slack, work)  # fmt: skip
        counts[level] = n
        if level == levels:
            for t in range(n):
                marked[lists[level, t]] = True
        elif _any_unmarked(lists[level], n, marked):
            top = _push_parts(stack, top, level, i, j, k, state)


@njit(cache=True, nogil=True)
def _centre(out, lower, half, i, j, k):  # type: ignore[no-untyped-def]
    out[0] = lower + (2 * i + 1) * half[0]
    out[1] = lower + (2 * j + 1) * half[1]
    out[2] = lower + (2 * k + 1) * half[2]


@njit(cache=True, nogil=True)
def _push_parts(stack, top, level, i, j, k, state):  # type: ignore[no-untyped-def]
    """Put the eight parts of a box on the stack; its new height."""
    for octant in range(8):
        stack[top, 0] = level + 1
        stack[top, 1] = 2 * i + ((octant >> 2) & 1)
        stack[top, 2] = 2 * j + ((octant >> 1) & 1)
        stack[top, 3] = 2 * k + (octant & 1)
        stack[top, 4] = state
        top += 1
    return top


@njit(cache=True, nogil=True)
def _any_unmarked(members, n, marked):  # type: ignore[no-untyped-def]
    t = 0
    while t < n and marked[members[t]]:
        t += 1
    return t < n
