r"""Compiled kernels: which grains own a point inside a shell, one grain after the other.

A grain is settled by a witness, a point inside the shell at which its score is the least, or by a
proof that there is none. Both are looked for in the cells on whose lists the grain is
(`candidate_kernels`), and in ever smaller parts of them. In a box with centre c, half edges h and
corners v, with q = x - c,

* f_i(x) >= f_i(c) + g_i . q, since f_i is convex;
* f_j(x) <= f_j(c) + g_j . q + e_j, e_j the largest f_j(v) - f_j(c) - g_j . (v - c): a convex
  function less its tangent plane is largest at a corner;
* F(x) = X(x/\|x\|) <= F(c) + grad F(c) . q + K \|h\|^2 / (2 (\|c\| - \|h\|)^2), K that of
  `Shell.bend_bound`, and \|x\| >= c . x / \|c\|.

So a_j + b_j . q bounds f_i - f_j from below, and one more such plane bounds \|x\| - F(x), which is
positive outside. Weights w_j >= 0 that sum to one prove that grain i owns no point of the box if

.. math:: \sum_j w_j a_j - \sum_k h_k \left| \sum_j w_j b_{jk} \right| > slack.

What such a proof misses is of the second order in h. One plane alone, as in `gbpd_kernels.cull`,
misses by the first order where two grains, or a grain and the outside, share the box.

Points are looked for from the seed and from the centres of boxes by projection, in turn, onto the
shell and onto the half-space in which the score of grain i is below that of the owner.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..shell.spherical_harmonics import radius_and_gradient_at, radius_at
from .gbpd_kernels import SHELL_HEADER, score, score_gradient

NONE, OWNS, OPEN = 0, 1, 2
PROJECTIONS = 5  # of a point before it is given up
FURTHER = 1.2  # they go than to the half-space, to end inside it
MIXTURES = 4  # planes that a proof adds to the first, at most
MOST_BOXES = 2**15  # of a grain at once


@njit(cache=True, nogil=True)
def settle(  # type: ignore[no-untyped-def]
    doubtful, first, cells, lower, cell, n_edge, start, members, levels,
    grains, squared, slack, shell, degree, bend, found, witnesses,
):  # fmt: skip
    """Write OWNS, NONE or, where the smallest boxes leave it open, OPEN to ``found`` (n,) int8.

    Where it is OWNS, ``witnesses`` (n, 3) get a point that the grain owns.
    Grain i of ``doubtful`` is on the lists of ``cells[first[i] : first[i + 1]]``, lists of
    `candidate_kernels.candidate_cells`. The smallest boxes are cells halved ``levels`` times.
    """
    boxes, parts = np.empty((8 * MOST_BOXES, 4), np.int64), np.empty((8 * MOST_BOXES, 4), np.int64)
    longest = 0
    for c in range(start.size - 1):
        longest = max(longest, start[c + 1] - start[c])
    planes = np.empty((longest + 1, 4))
    for t in range(doubtful.size):
        i = doubtful[t]
        if first[i + 1] - first[i] > MOST_BOXES:
            found[i] = OPEN
            continue
        n = 0
        for q in range(first[i], first[i + 1]):
            c = cells[q]
            boxes[n, 0], boxes[n, 1] = c, c // (n_edge * n_edge)
            boxes[n, 2], boxes[n, 3] = c // n_edge % n_edge, c % n_edge
            n += 1
        found[i] = _settled(
            i, boxes, parts, n, lower, cell, n_edge, start, members, levels,
            grains, squared, slack, shell, degree, bend, planes, witnesses[i],
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _settled(  # type: ignore[no-untyped-def]
    i, boxes, parts, n, lower, cell, n_edge, start, members, levels,
    grains, squared, slack, shell, degree, bend, planes, centre,
):  # fmt: skip
    """State of grain i, looked for in ``boxes[:n]``: a cell, and the place among its level.

    ``centre`` (3,) is where it is looked for, and in the end its witness.
    """
    gradient, h = np.empty(3), cell / 2
    for b in range(-1, n):  # most grains that own a point own one near the seed
        for a in range(3):
            centre[a] = grains[i, a] if b < 0 else lower + (2 * boxes[b, 1 + a] + 1) * h
        if _leads_to_witness(
            i, centre, lower, cell, n_edge, start, members, grains, squared, shell, degree, gradient
        ):  # fmt: skip
            return OWNS
    for level in range(levels + 1):
        m = 0
        for b in range(n):
            c = boxes[b, 0]
            for a in range(3):
                centre[a] = lower + (2 * boxes[b, 1 + a] + 1) * h
            used = _planes(
                i, members[start[c] : start[c + 1]], centre, h, grains, squared, slack, shell,
                degree, bend, planes, gradient,
            )  # fmt: skip
            if used < 0:
                continue
            if level > 0:  # in whole cells neither is worth its time
                if _mixture_proves(planes, used, slack):
                    continue
                if _leads_to_witness(
                    i, centre, lower, cell, n_edge, start, members, grains, squared, shell,
                    degree, gradient,
                ):  # fmt: skip
                    return OWNS
            if m > 8 * MOST_BOXES - 8:
                return OPEN
            m = _add_parts(parts, m, boxes, b, planes, used, slack)
        if m == 0:
            return NONE
        if m > MOST_BOXES:
            return OPEN
        boxes, parts, n, h = parts, boxes, m, h / 2
    return OPEN


@njit(cache=True, nogil=True, error_model="numpy")
def _planes(  # type: ignore[no-untyped-def]
    i, own, centre, h, grains, squared, slack, shell, degree, bend, planes, gradient
):
    """Write the planes (a, h b) of a cubic box that can help a proof; count them.

    -1 if one of them is a proof alone.
    """
    x, y, z = centre[0], centre[1], centre[2]
    n = 0
    r, reach = math.sqrt(x * x + y * y + z * z), math.sqrt(3.0) * h
    if r > reach and r + reach > shell[0]:
        radius = radius_and_gradient_at(x, y, z, shell[SHELL_HEADER:], degree, gradient)
        part = reach / (r - reach)
        planes[0, 0] = r - radius - 0.5 * bend * part * part - 1e-9 * shell[1]
        planes[0, 1] = h / r * (x - gradient[0])
        planes[0, 2] = h / r * (y - gradient[1])
        planes[0, 3] = h / r * (z - gradient[2])
        if planes[0, 0] - _spread(planes, 0) > slack:
            return -1
        n = 1
    nearest, least = 0, np.inf
    for t in range(own.size):
        v = score(x, y, z, grains, own[t], squared)
        if v < least and own[t] != i:
            nearest, least = t, v
    f = score_gradient(x, y, z, grains, i, squared, gradient)
    gx, gy, gz = h * gradient[0], h * gradient[1], h * gradient[2]
    for s in range(own.size):  # the strongest first: mostly it is a proof
        j = own[(nearest + s) % own.size]
        if j == i:
            continue
        v = score_gradient(x, y, z, grains, j, squared, gradient)
        tx, ty, tz = h * gradient[0], h * gradient[1], h * gradient[2]
        planes[n, 1], planes[n, 2], planes[n, 3] = gx - tx, gy - ty, gz - tz
        spread = _spread(planes, n)
        if f - v + spread < slack:
            continue
        e = 0.0
        for corner in range(8):
            sx = 1.0 if corner & 1 else -1.0
            sy = 1.0 if corner & 2 else -1.0
            sz = 1.0 if corner & 4 else -1.0
            at = score(x + sx * h, y + sy * h, z + sz * h, grains, j, squared)
            e = max(e, at - v - (sx * tx + sy * ty + sz * tz))
        planes[n, 0] = f - v - e
        if planes[n, 0] - spread > slack:
            return -1
        if planes[n, 0] + spread > slack:
            n += 1
    return n


@njit(inline="always")
def _spread(planes, t):  # type: ignore[no-untyped-def]
    return abs(planes[t, 1]) + abs(planes[t, 2]) + abs(planes[t, 3])


@njit(cache=True, nogil=True, error_model="numpy")
def _mixture_proves(planes, n, slack):  # type: ignore[no-untyped-def]
    """Whether weights of the planes are found that prove.

    From the plane that proves most, one plane after the other is mixed in, by the weight that makes
    one of the three components vanish: whichever adds most.
    """
    if n == 0:
        return False
    first, best = 0, -np.inf
    for t in range(n):
        value = planes[t, 0] - _spread(planes, t)
        if value > best:
            first, best = t, value
    a, bx, by, bz = planes[first, 0], planes[first, 1], planes[first, 2], planes[first, 3]
    for _ in range(MIXTURES):
        other, weight = -1, 0.0
        for t in range(n):
            for axis in range(3):
                p = bx if axis == 0 else (by if axis == 1 else bz)
                q = planes[t, 1 + axis]
                if (p < 0.0) == (q < 0.0):
                    continue
                w = p / (p - q)
                u = 1.0 - w
                value = u * a + w * planes[t, 0] - (
                    abs(u * bx + w * planes[t, 1])
                    + abs(u * by + w * planes[t, 2])
                    + abs(u * bz + w * planes[t, 3])
                )  # fmt: skip
                if value > best:
                    best, weight, other = value, w, t
        if best > slack:
            return True
        if other < 0:
            return False
        u, w = 1.0 - weight, weight
        a = u * a + w * planes[other, 0]
        bx = u * bx + w * planes[other, 1]
        by = u * by + w * planes[other, 2]
        bz = u * bz + w * planes[other, 3]
    return False


@njit(cache=True, nogil=True)
def _add_parts(parts, m, boxes, b, planes, n, slack):  # type: ignore[no-untyped-def]
    """Append the eighths of box b that no plane of the whole rules out; the new number of parts."""
    for octant in range(8):
        sx = 0.5 if octant & 4 else -0.5
        sy = 0.5 if octant & 2 else -0.5
        sz = 0.5 if octant & 1 else -0.5
        t = 0
        while t < n and not (
            planes[t, 0] + (sx * planes[t, 1] + sy * planes[t, 2] + sz * planes[t, 3])
            - 0.5 * _spread(planes, t) > slack
        ):  # fmt: skip
            t += 1
        if t == n:
            parts[m, 0] = boxes[b, 0]
            parts[m, 1] = 2 * boxes[b, 1] + (octant >> 2)
            parts[m, 2] = 2 * boxes[b, 2] + ((octant >> 1) & 1)
            parts[m, 3] = 2 * boxes[b, 3] + (octant & 1)
            m += 1
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def _leads_to_witness(  # type: ignore[no-untyped-def]
    i, point, lower, cell, n_edge, start, members, grains, squared, shell, degree, gradient
):
    """Whether projections of ``point``, which moves, end where grain i owns it inside the shell."""
    tolerance = 1e-9 * shell[1]
    for _ in range(PROJECTIONS):
        x, y, z = point[0], point[1], point[2]
        r = math.sqrt(x * x + y * y + z * z)
        if not r > 0.0:
            return False
        most = radius_at(x, y, z, shell[SHELL_HEADER:], degree) - 2.0 * tolerance
        if r > most:
            x, y, z = x * (most / r), y * (most / r), z * (most / r)
        j = _owner(x, y, z, lower, cell, n_edge, start, members, grains, squared)
        if j == i:
            point[0], point[1], point[2] = x, y, z
            return True
        if j < 0:
            return False
        f = score_gradient(x, y, z, grains, i, squared, gradient)
        gx, gy, gz = gradient[0], gradient[1], gradient[2]
        gap = f - score_gradient(x, y, z, grains, j, squared, gradient)
        gx, gy, gz = gx - gradient[0], gy - gradient[1], gz - gradient[2]
        square = gx * gx + gy * gy + gz * gz
        if not square > 0.0:
            return False
        step = FURTHER * gap / square
        point[0], point[1], point[2] = x - step * gx, y - step * gy, z - step * gz
    return False


@njit(cache=True, nogil=True)
def _owner(x, y, z, lower, cell, n_edge, start, members, grains, squared):  # type: ignore[no-untyped-def]
    """Grain that owns a point, by the list of its cell; -1 where there is no list."""
    i = math.floor((x - lower) / cell)
    j = math.floor((y - lower) / cell)
    k = math.floor((z - lower) / cell)
    if min(i, j, k) < 0 or max(i, j, k) >= n_edge:
        return -1
    best, owner = np.inf, -1
    c = (i * n_edge + j) * n_edge + k
    for q in range(start[c], start[c + 1]):
        v = score(x, y, z, grains, members[q], squared)
        if v < best:
            best, owner = v, int(members[q])
    return owner
