"""Compiled kernels: which grains can own a point inside a shell.

Most do, and their own seed points prove it. For the others, those with a seed outside above
all, the cells of `cell_lists` are divided until convex dominance (`gbpd_kernels`) leaves out a
grain everywhere, or the boxes are as small as they are to be.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..shell.spherical_harmonics import radius_at
from .cell_lists import cell_lists, nearest, seeds_in_grid
from .gbpd_kernels import MIXED, OUTSIDE, SHELL_HEADER, cull, score, shell_state

MOST_CELLS = 32  # along an edge of the grids that are looked at together: memory


@njit(cache=True, nogil=True)
def mark_reachable(  # type: ignore[no-untyped-def]
    half_width, n_edge, levels, grains, extents, squared, slack, shell, degree, marked
):  # fmt: skip
    """Mark the grains that cannot be proven to own no point of the shell's interior.

    The cube [-half_width, half_width]^3 has n_edge^3 cells, each divided into (2^levels)^3
    boxes; what is still a candidate in a box that may meet the shell is marked. ``marked``
    (n,) bool is read and written.
    """
    half = np.full(3, half_width / n_edge)
    centres = (2 * np.arange(n_edge) + 1) * half[0] - half_width
    for k in range(0, n_edge, MOST_CELLS):
        for j in range(0, n_edge, MOST_CELLS):
            for i in range(0, n_edge, MOST_CELLS):
                _mark_in_cells(
                    centres[i : i + MOST_CELLS], centres[j : j + MOST_CELLS],
                    centres[k : k + MOST_CELLS], half, levels, grains, extents, squared, slack,
                    shell, degree, marked,
                )  # fmt: skip


@njit(cache=True, nogil=True)
def _mark_in_cells(  # type: ignore[no-untyped-def]
    x, y, z, half, levels, grains, extents, squared, slack, shell, degree, marked
):  # fmt: skip
    """Mark what `mark_reachable` marks in a grid of cells, each divided ``levels`` times."""
    states = _cell_states(x, y, z, half, shell, degree)
    if states.max() == OUTSIDE:
        return
    start, members = cell_lists(x, y, z, half, states > OUTSIDE, grains, extents, squared, slack)
    _mark_owners_of_seeds(
        x, y, z, half, start, members, states, grains, squared, shell, degree, marked
    )
    lists, counts, work = _scratch(start, levels + 1)
    stack = np.empty((8 * levels + 8, 5), np.int64)
    centre = np.empty(3)
    for k in range(z.size):
        for j in range(y.size):
            for i in range(x.size):
                c = (k * y.size + j) * x.size + i
                n = start[c + 1] - start[c]
                if _any_unmarked(members[start[c] : start[c + 1]], n, marked):
                    lists[0, :n], counts[0] = members[start[c] : start[c + 1]], n
                    centre[:] = x[i], y[j], z[k]
                    stack[0] = (0, 0, 0, 0, np.int64(states[k, j, i]))
                    _mark_in_cell(
                        centre, half, levels, grains, squared, slack, shell, degree, lists,
                        counts, work, stack, marked,
                    )  # fmt: skip


@njit(cache=True, nogil=True)
def _scratch(start, depth):  # type: ignore[no-untyped-def]
    """Candidate lists of each level, their lengths, and scratch, for a walk down any cell."""
    longest = 1
    for c in range(start.size - 1):
        longest = max(longest, start[c + 1] - start[c])
    return (
        np.empty((depth + 1, longest), np.int32),
        np.empty(depth + 1, np.int64),
        np.empty((4, longest)),
    )


@njit(cache=True, nogil=True)
def _cell_states(x, y, z, half, shell, degree):  # type: ignore[no-untyped-def]
    """State of each cell with respect to the shell, (nz, ny, nx) int8."""
    states = np.empty((z.size, y.size, x.size), np.int8)
    centre = np.empty(3)
    for k in range(z.size):
        for j in range(y.size):
            for i in range(x.size):
                centre[:] = x[i], y[j], z[k]
                states[k, j, i] = shell_state(centre, half, shell, degree)
    return states


@njit(cache=True, nogil=True)
def _mark_owners_of_seeds(  # type: ignore[no-untyped-def]
    x, y, z, half, start, members, states, grains, squared, shell, degree, marked
):  # fmt: skip
    """Mark the owners of the seed points inside the shell: most grains, at little cost."""
    for g in seeds_in_grid(x, y, z, half, grains):
        sx, sy, sz = grains[g, 0], grains[g, 1], grains[g, 2]
        k, j, i = nearest(z, sz), nearest(y, sy), nearest(x, sx)
        if states[k, j, i] == OUTSIDE:
            continue
        if states[k, j, i] == MIXED:
            r = math.sqrt(sx * sx + sy * sy + sz * sz)
            if r > 0.0 and r > radius_at(sx, sy, sz, shell[SHELL_HEADER:], degree):
                continue
        c = (k * y.size + j) * x.size + i
        best, owner = np.inf, -1
        for t in range(start[c], start[c + 1]):
            f = score(sx, sy, sz, grains, members[t], squared)
            if f < best:
                best, owner = f, members[t]
        marked[owner] = True


@njit(cache=True, nogil=True)
def _mark_in_cell(  # type: ignore[no-untyped-def]
    cell, half_cell, levels, grains, squared, slack, shell, degree, lists, counts, work, stack,
    marked,
):  # fmt: skip
    """Divide one cell, the candidates ``lists[0]`` and ``stack[0]``; leave what is marked."""
    centre, half = np.empty(3), np.empty(3)
    top = 1
    while top > 0:
        top -= 1
        level, i, j, k, state = stack[top]
        for a, t in enumerate((i, j, k)):
            half[a] = half_cell[a] / (1 << level)
            centre[a] = cell[a] - half_cell[a] + (2 * t + 1) * half[a]
        if state == MIXED:
            state = shell_state(centre, half, shell, degree)
            if state == OUTSIDE:
                continue
        n = cull(lists[level], counts[level], lists[level + 1], centre, half, grains, squared,
                 slack, work)  # fmt: skip
        counts[level + 1] = n
        if not _any_unmarked(lists[level + 1], n, marked):
            continue
        if level < levels:
            for octant in range(8):
                stack[top, 0] = level + 1
                stack[top, 1] = 2 * i + ((octant >> 2) & 1)
                stack[top, 2] = 2 * j + ((octant >> 1) & 1)
                stack[top, 3] = 2 * k + (octant & 1)
                stack[top, 4] = state
                top += 1
        else:
            for t in range(n):
                marked[lists[level + 1, t]] = True


@njit(cache=True, nogil=True)
def _any_unmarked(members, n, marked):  # type: ignore[no-untyped-def]
    t = 0
    while t < n and marked[members[t]]:
        t += 1
    return t < n
