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

from .candidate_kernels import BLOCK, LANES, cull_packed, pack
from .gbpd_kernels import MIXED, OUTSIDE, shell_state


@njit(cache=True, nogil=True)
def mark_reachable(  # type: ignore[no-untyped-def]
    lower, cell, n_edge, start, members, levels, grains, squared, slack, shell, degree, marked
):  # fmt: skip
    """Mark the grains on the lists of the smallest boxes that may meet the shell.

    The cells are those of `candidate_kernels.candidate_cells`, each divided into
    (2^levels)^3 boxes. ``marked`` (n,) bool is read and written.
    """
    longest = np.int64(1)
    for c in range(start.size - 1):
        longest = max(longest, start[c + 1] - start[c])
    pool = np.empty((8 * levels + 1) * longest, np.int32)  # lists, each after its parent's
    packed = np.empty((longest + LANES - 1) // LANES * BLOCK)
    stack = np.empty((8 * levels + 8, 7), np.int64)  # level, i, j, k, state, begin, end
    centre, half = np.empty(3), np.full(3, cell / 2)
    for i in range(n_edge):
        for j in range(n_edge):
            for k in range(n_edge):
                c = (i * n_edge + j) * n_edge + k
                n = start[c + 1] - start[c]
                if _any_unmarked(members[start[c] : start[c + 1]], marked):
                    pool[:n] = members[start[c] : start[c + 1]]
                    _centre(centre, lower, half, i, j, k)
                    stack[0] = (0, i, j, k, shell_state(centre, half, shell, degree), 0, n)
                    _mark_in_cell(
                        lower, cell, levels, grains, squared, slack, shell, degree, pool, packed,
                        stack, marked,
                    )  # fmt: skip


@njit(cache=True, nogil=True)
def _mark_in_cell(  # type: ignore[no-untyped-def]
    lower, cell, levels, grains, squared, slack, shell, degree, pool, packed, stack, marked
):
    """Divide the cell at the bottom of the stack as long as a list has grains to be found."""
    centre, half = np.empty(3), np.empty(3)
    top = 1
    while top > 0:
        top -= 1
        level, i, j, k, state0, begin, end = stack[top]
        source, free = pool[begin:end], end
        if not _any_unmarked(source, marked):
            continue
        level += 1
        half[:] = cell / 2 / (1 << level)
        pack(source, grains, packed)
        for octant in range(8):
            ii = 2 * i + ((octant >> 2) & 1)
            jj = 2 * j + ((octant >> 1) & 1)
            kk = 2 * k + (octant & 1)
            _centre(centre, lower, half, ii, jj, kk)
            state = state0
            if state == MIXED:
                state = shell_state(centre, half, shell, degree)
                if state == OUTSIDE:
                    continue
            n = cull_packed(packed, source, pool[free:], centre, half, grains, squared, slack)
            if level == levels:
                for t in range(n):
                    marked[pool[free + t]] = True
            else:
                stack[top] = (level, ii, jj, kk, state, free, free + n)
                top += 1
                free += n


@njit(cache=True, nogil=True)
def _centre(out, lower, half, i, j, k):  # type: ignore[no-untyped-def]
    out[0] = lower + (2 * i + 1) * half[0]
    out[1] = lower + (2 * j + 1) * half[1]
    out[2] = lower + (2 * k + 1) * half[2]


@njit(cache=True, nogil=True)
def _any_unmarked(members, marked):  # type: ignore[no-untyped-def]
    t = 0
    while t < members.size and marked[members[t]]:
        t += 1
    return t < members.size
