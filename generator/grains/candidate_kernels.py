"""Compiled kernels: the grains that can be best in the cells of a grid.

A cube is halved until its boxes are the cells. The list of the cube is what convex dominance
(`gbpd_kernels.cull`) leaves of all grains, the list of a box what it leaves of its parent's
list. So a list depends on the grains and on the grid and on nothing else, least of all on an
order in which cells are visited. A grain that is best at some point of a box is on the box's
list.

The eight parts of a box share its list, whose rows of the grain table are packed once: in blocks
of ``LANES`` grains, one number of all of them beside the other, which halves the time.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .gbpd_kernels import INSIDE, MIXED, OUTSIDE, score, shell_state

LANES = 16  # grains of a block
SCORE, GX, GY, GZ = 10 * LANES, 11 * LANES, 12 * LANES, 13 * LANES  # after the grain table
BLOCK = 14 * LANES


@njit(cache=True, nogil=True)
def candidate_cells(lower, cell, levels, grains, squared, slack, shell, degree):  # type: ignore[no-untyped-def]
    """Lists of the grains that can be best, or within ``slack`` of it, in cubic cells.

    The cube whose lowest corner is (lower, lower, lower) has (2^levels)^3 cells of edge
    ``cell``. Returns ``start`` (cells + 1,) and ``members``: cell (i, j, k), row-major, owns
    ``members[start[c]:start[c + 1]]``, ascending. Where there is a shell, the list of a cell
    that it provably leaves out is empty.
    """
    n_edge = 1 << levels
    first, count = np.zeros(n_edge**3, np.int64), np.zeros(n_edge**3, np.int64)
    found, used = np.empty(1024, np.int32), 0
    packed = np.empty((grains.shape[0] + LANES - 1) // LANES * BLOCK)
    pool = np.arange(grains.shape[0]).astype(np.int32)  # lists of boxes, each after its parent's
    centre, half = np.empty(3), np.empty(3)
    stack = np.empty((8 * levels + 8, 7), np.int64)  # level, i, j, k, state, begin, end
    stack[0] = (-1, 0, 0, 0, MIXED if shell.size else INSIDE, 0, pool.size)
    top = 1
    while top > 0:
        top -= 1
        level, i0, j0, k0, state0, begin, end = stack[top]
        level += 1
        half[:] = cell / 2 * (1 << (levels - level))
        pool = with_room(pool, end, 8 * (end - begin))
        source, free = pool[begin:end], end
        pack(source, grains, packed)
        for octant in range(8 if level > 0 else 1):
            i = 2 * i0 + ((octant >> 2) & 1)
            j = 2 * j0 + ((octant >> 1) & 1)
            k = 2 * k0 + (octant & 1)
            for a, t in enumerate((i, j, k)):
                centre[a] = lower + (2 * t + 1) * half[a]
            state = state0
            if state == MIXED:
                state = shell_state(centre, half, shell, degree)
                if state == OUTSIDE:
                    continue
            n = cull_packed(packed, source, pool[free:], centre, half, grains, squared, slack)
            if level < levels:
                stack[top] = (level, i, j, k, state, free, free + n)
                top += 1
                free += n
            else:
                found = with_room(found, used, n)
                c = (i * n_edge + j) * n_edge + k
                first[c], count[c] = used, n
                found[used : used + n] = pool[free : free + n]
                used += n
    return in_order_of_cells(first, count, found, used)


@njit(cache=True, nogil=True)
def with_room(array, used, more):  # type: ignore[no-untyped-def]
    """``array``, or a longer copy of its first ``used`` entries, with room for ``more``."""
    if used + more <= array.size:
        return array
    longer = np.empty(2 * (used + more), array.dtype)
    longer[:used] = array[:used]
    return longer


@njit(cache=True, nogil=True)
def in_order_of_cells(first, count, found, used):  # type: ignore[no-untyped-def]
    """``start`` and ``members`` as `candidate_cells` returns them, of lists found in any order."""
    start = np.zeros(count.size + 1, np.int64)
    members = np.empty(used, np.int32)
    for c in range(count.size):
        start[c + 1] = start[c] + count[c]
        members[start[c] : start[c + 1]] = found[first[c] : first[c] + count[c]]
    return start, members


@njit(cache=True, nogil=True)
def pack(source, grains, packed):  # type: ignore[no-untyped-def]
    """Write the rows ``source`` of the grain table to blocks; the last grain fills up."""
    n = source.size
    for block in range((n + LANES - 1) // LANES):
        own = packed[block * BLOCK : block * BLOCK + BLOCK]
        for t in range(LANES):
            row = grains[source[min(block * LANES + t, n - 1)]]
            for column in range(10):
                own[column * LANES + t] = row[column]


@njit(cache=True, nogil=True, error_model="numpy")
def cull_packed(packed, source, target, centre, half, grains, squared, slack):  # type: ignore[no-untyped-def]
    """`gbpd_kernels.cull` of packed grains: the same operations, the same grains.

    In single precision if ``packed`` is; ``slack`` is then to cover that, and grains may stay that
    double precision leaves out.
    """
    real = packed.dtype.type
    n = source.size
    blocks = (n + LANES - 1) // LANES
    best, first = np.inf, 0
    for block in range(blocks):
        own = packed[block * BLOCK : block * BLOCK + BLOCK]
        _scores_and_gradients(
            own, real(centre[0]), real(centre[1]), real(centre[2]),
            real(half[0]), real(half[1]), real(half[2]), squared,
        )  # fmt: skip
        least = _least_score(own)
        if least < best:
            best, first = least, block
    own = packed[first * BLOCK : first * BLOCK + BLOCK]
    lane = 0
    while lane < LANES - 1 and own[SCORE + lane] > best:
        lane += 1
    i = source[first * LANES + lane]
    own[SCORE + lane] = -np.inf  # the dominator stays
    x0, x1 = centre[0] - half[0], centre[0] + half[0]
    y0, y1 = centre[1] - half[1], centre[1] + half[1]
    z0, z1 = centre[2] - half[2], centre[2] + half[2]
    c000 = real(score(x0, y0, z0, grains, i, squared))
    c100 = real(score(x1, y0, z0, grains, i, squared))
    c010 = real(score(x0, y1, z0, grains, i, squared))
    c110 = real(score(x1, y1, z0, grains, i, squared))
    c001 = real(score(x0, y0, z1, grains, i, squared))
    c101 = real(score(x1, y0, z1, grains, i, squared))
    c011 = real(score(x0, y1, z1, grains, i, squared))
    c111 = real(score(x1, y1, z1, grains, i, squared))
    most = real(slack)
    kept = np.uintp(0)  # of an unsigned index the compiler need not ask whether it is negative
    for block in range(blocks):
        own = packed[block * BLOCK : block * BLOCK + BLOCK]
        for t in range(LANES):
            plus, minus = own[GX + t] + own[GY + t], own[GX + t] - own[GY + t]
            low = min(min(-plus - c000, minus - c100), min(-minus - c010, plus - c110))
            high = min(min(-plus - c001, minus - c101), min(-minus - c011, plus - c111))
            own[SCORE + t] += min(low - own[GZ + t], high + own[GZ + t])
        for t in range(min(LANES, n - block * LANES)):
            target[kept] = source[block * LANES + t]
            kept += np.uintp(not own[SCORE + t] > most)
    return np.int64(kept)


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # else not in vector instructions
def _least_score(own):  # type: ignore[no-untyped-def]
    """Least score of a block of grains."""
    least = own[SCORE]
    for t in range(1, LANES):
        least = min(least, own[SCORE + t])
    return least


@njit(cache=True, nogil=True, error_model="numpy")
def _scores_and_gradients(own, x, y, z, hx, hy, hz, squared):  # type: ignore[no-untyped-def]
    """Write score and scaled gradient at a point of a block of grains into the block."""
    zero, one, two = own.dtype.type(0.0), own.dtype.type(1.0), own.dtype.type(2.0)
    for t in range(LANES):
        dx, dy, dz = x - own[t], y - own[LANES + t], z - own[2 * LANES + t]
        a, b, d = own[3 * LANES + t], own[4 * LANES + t], own[5 * LANES + t]
        e, f, c = own[6 * LANES + t], own[7 * LANES + t], own[8 * LANES + t]
        u0 = a * dx + (b * dy + d * dz)
        u1 = e * dy + f * dz
        u2 = c * dz
        q = u0 * u0 + (u1 * u1 + u2 * u2)
        if squared:
            weight = two
        else:
            q = math.sqrt(q)
            weight = one / q if q > zero else zero
        own[SCORE + t] = q - own[9 * LANES + t]
        own[GX + t] = weight * hx * (a * u0)
        own[GY + t] = weight * hy * (b * u0 + e * u1)
        own[GZ + t] = weight * hz * (d * u0 + f * u1 + c * u2)


@njit(cache=True, nogil=True)
def best_in_cells(points, lower, cell, n_edge, start, members, grains, squared, out):  # type: ignore[no-untyped-def]
    """Index of the best grain at each point from the lists of `candidate_cells`.

    Points outside the cells are compared with every grain.
    """
    n_grains = grains.shape[0]
    for t in range(points.shape[0]):
        x, y, z = points[t, 0], points[t, 1], points[t, 2]
        i = math.floor((x - lower) / cell)
        j = math.floor((y - lower) / cell)
        k = math.floor((z - lower) / cell)
        begin, end = 0, 0
        if 0 <= i < n_edge and 0 <= j < n_edge and 0 <= k < n_edge:
            c = (int(i) * n_edge + int(j)) * n_edge + int(k)
            begin, end = start[c], start[c + 1]
        listed = end > begin
        best, label = np.inf, -1
        for q in range(begin if listed else 0, end if listed else n_grains):
            g = int(members[q]) if listed else q
            v = score(x, y, z, grains, g, squared)
            if v < best:
                best, label = v, g
        out[t] = label
