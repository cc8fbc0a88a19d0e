"""Compiled kernels of the exact GBPD labelling: an octree with convex-dominance culling.

The list of a box is what convex dominance (`gbpd_kernels.cull`) leaves of the list of the box
twice as large around it, down from one around the grid; boxes are the hulls of voxel centres. A
box with one grain left is filled, a box of LEAF^3 voxels is evaluated, one outside the shell is 0.
`block_lists` goes down to blocks, `label_block` from a block to its voxels: blocks can be labelled
in any order and at the same time.

The eight parts of a box share its packed list (`candidate_kernels.pack`), which is in single
precision: twice as many grains pass at a time. ``slack`` covers that, so that a few grains more
stay; labels come from scores in double precision.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..grains.candidate_kernels import (
    BLOCK,
    LANES,
    cull_packed,
    in_order_of_cells,
    pack,
    with_room,
)
from ..grains.gbpd_kernels import INSIDE, MIXED, OUTSIDE, SHELL_HEADER, shell_state
from ..shell.spherical_harmonics import radii_at

LEAF = 4  # edge of the boxes that are evaluated voxel by voxel
VOXELS = LEAF**3


@njit(cache=True, nogil=True)
def block_lists(x, y, z, edge, grains, squared, slack, shell, degree):  # type: ignore[no-untyped-def]
    """Lists of the grains that can be best in the blocks of ``edge``^3 voxels of a grid.

    Returns ``start`` (blocks + 1,) and ``members``: block (k, j, i), row-major, owns
    ``members[start[b]:start[b + 1]]``, ascending; none where the shell provably leaves it out.
    """
    size, levels = edge, 1
    while size < max(z.size, y.size, x.size):
        size, levels = 2 * size, levels + 1
    rows, columns = (y.size + edge - 1) // edge, (x.size + edge - 1) // edge
    blocks = (z.size + edge - 1) // edge * rows * columns
    first, count = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
    found, used = np.empty(1024, np.int32), 0
    packed = np.empty((grains.shape[0] + LANES - 1) // LANES * BLOCK, np.float32)
    pool = np.arange(grains.shape[0]).astype(np.int32)  # lists of boxes, each after its parent's
    centre, half = np.empty(3), np.empty(3)
    stack = np.empty((8 * levels + 8, 7), np.int64)  # edge, k, j, i, shell state, begin, end
    stack[0] = (2 * size, 0, 0, 0, MIXED if shell.size else INSIDE, 0, pool.size)
    top = 1
    while top > 0:
        top -= 1
        size, k0, j0, i0, state0, begin, end = stack[top]
        size //= 2
        pool = with_room(pool, end, 8 * (end - begin))
        source, free = pool[begin:end], end
        pack(source, grains, packed)
        for octant in range(8):
            k, j, i = _corner(octant, size, k0, j0, i0)
            if k >= z.size or j >= y.size or i >= x.size:
                continue
            _hull(x, y, z, k, j, i, size, centre, half)
            state = state0
            if state == MIXED:
                state = shell_state(centre, half, shell, degree)
                if state == OUTSIDE:
                    continue
            n = cull_packed(packed, source, pool[free:], centre, half, grains, squared, slack)
            if size > edge:
                stack[top] = (size, k, j, i, state, free, free + n)
                top += 1
                free += n
            else:
                found = with_room(found, used, n)
                b = (k // edge * rows + j // edge) * columns + i // edge
                first[b], count[b] = used, n
                found[used : used + n] = pool[free : free + n]
                used += n
    return in_order_of_cells(first, count, found, used)


@njit(cache=True, nogil=True)
def label_block(x, y, z, k, j, i, edge, roots, grains, squared, slack, shell, degree, out):  # type: ignore[no-untyped-def]
    """Label the block of ``edge``^3 voxels at (k, j, i) of ``out`` (nz, ny, nx).

    ``out`` receives the index of the grain plus one, and 0 outside the shell. ``edge`` is
    LEAF times a power of two; the block may stick out of the grid. ``roots`` is its list.
    """
    nz, ny, nx = out.shape
    centre, half = np.empty(3), np.empty(3)
    _hull(x, y, z, k, j, i, edge, centre, half)
    state = shell_state(centre, half, shell, degree) if shell.size else INSIDE
    if state == OUTSIDE or (roots.size == 1 and state == INSIDE):
        out[k : k + edge, j : j + edge, i : i + edge] = 0 if state == OUTSIDE else roots[0] + 1
        return
    depth = 1
    while (edge >> depth) >= LEAF:
        depth += 1
    pool = np.empty((8 * depth + 1) * roots.size, np.int32)  # lists, each after its parent's
    pool[: roots.size] = roots
    packed = np.empty((roots.size + LANES - 1) // LANES * BLOCK, np.float32)
    scratch = (
        np.empty((3, VOXELS)), np.empty((VOXELS, 3)), np.empty(VOXELS), np.empty(VOXELS, np.int32),
        np.empty(VOXELS), np.ones(VOXELS, np.bool_),
    )  # fmt: skip
    stack = np.empty((8 * depth + 8, 7), np.int64)  # edge, k, j, i, shell state, begin, end
    stack[0] = (edge, k, j, i, state, 0, roots.size)
    top = 1
    while top > 0:
        top -= 1
        size, k0, j0, i0, state0, begin, end = stack[top]
        size //= 2
        source, free = pool[begin:end], end
        pack(source, grains, packed)
        for octant in range(8):
            k, j, i = _corner(octant, size, k0, j0, i0)
            if k >= nz or j >= ny or i >= nx:
                continue
            _hull(x, y, z, k, j, i, size, centre, half)
            state = state0
            if state == MIXED:
                state = shell_state(centre, half, shell, degree)
                if state == OUTSIDE:
                    out[k : k + size, j : j + size, i : i + size] = 0
                    continue
            n = cull_packed(packed, source, pool[free:], centre, half, grains, squared, slack)
            if n == 1 and state == INSIDE:
                out[k : k + size, j : j + size, i : i + size] = pool[free] + 1
            elif size == LEAF:
                _label_leaf(
                    x, y, z, k, j, i, pool[free : free + n], grains, squared, state, shell,
                    degree, scratch, out,
                )  # fmt: skip
            else:
                stack[top] = (size, k, j, i, state, free, free + n)
                top += 1
                free += n


@njit(inline="always")
def _corner(octant, size, k, j, i):  # type: ignore[no-untyped-def]
    """First voxel of an eighth, of edge ``size``, of the box at (k, j, i)."""
    return k + size * (octant >> 2), j + size * ((octant >> 1) & 1), i + size * (octant & 1)


@njit(cache=True, nogil=True)
def _hull(x, y, z, k, j, i, size, centre, half):  # type: ignore[no-untyped-def]
    """Write centre and half widths of the hull of a block's voxel centres."""
    for a, axis, start in ((0, x, i), (1, y, j), (2, z, k)):
        first, last = axis[start], axis[min(start + size, axis.size) - 1]
        centre[a] = (first + last) / 2
        half[a] = (last - first) / 2


@njit(cache=True, nogil=True)
def _label_leaf(  # type: ignore[no-untyped-def]
    x, y, z, k, j, i, candidates, grains, squared, state, shell, degree, scratch, out
):  # fmt: skip
    """Evaluate the candidates at each of the LEAF^3 voxels at (k, j, i)."""
    nz, ny, nx = out.shape
    points, rows, best, label, radii, inside = scratch
    t = 0
    for dk in range(LEAF):
        pz = z[min(k + dk, nz - 1)]  # voxels beyond the grid repeat its last
        for dj in range(LEAF):
            py = y[min(j + dj, ny - 1)]
            for di in range(LEAF):
                points[0, t], points[1, t], points[2, t] = x[min(i + di, nx - 1)], py, pz
                t += 1
    if state == MIXED:
        for t in range(VOXELS):
            rows[t, 0], rows[t, 1], rows[t, 2] = points[0, t], points[1, t], points[2, t]
        if _inside_shell(rows, shell, degree, radii, inside) == 0:
            out[k : min(k + LEAF, nz), j : min(j + LEAF, ny), i : min(i + LEAF, nx)] = 0
            return
    _best_of_voxels(candidates, points, grains, squared, best, label)
    if state == MIXED:
        for t in range(VOXELS):
            label[t] = label[t] if inside[t] else -1
    for dk in range(min(LEAF, nz - k)):
        for dj in range(min(LEAF, ny - j)):
            line = out[k + dk, j + dj, i : i + LEAF]
            own = label[(dk * LEAF + dj) * LEAF :]
            for di in range(line.size):
                line[di] = own[di] + 1


@njit(cache=True, nogil=True)
def _inside_shell(points, shell, degree, radii, inside):  # type: ignore[no-untyped-def]
    """Write |x| <= X(x/|x|) of ``points`` (n, 3) to ``inside``; return how many are."""
    radii_at(points, shell[SHELL_HEADER:], degree, radii)
    count = 0
    for t in range(points.shape[0]):
        x, y, z = points[t, 0], points[t, 1], points[t, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        inside[t] = distance == 0.0 or distance <= radii[t]
        count += inside[t]
    return count


@njit(cache=True, nogil=True)
def _best_of_voxels(candidates, points, grains, squared, best, label):  # type: ignore[no-untyped-def]
    """Best grain of ``candidates``, ascending, at each of the points (3, VOXELS)."""
    for t in range(VOXELS):
        best[t] = np.inf
        label[t] = -1
    for c in range(candidates.size):
        i = candidates[c]  # int32: a lane of labels is as wide as half a score
        s0, s1, s2 = grains[i, 0], grains[i, 1], grains[i, 2]
        a, b, d = grains[i, 3], grains[i, 4], grains[i, 5]
        e, f, g = grains[i, 6], grains[i, 7], grains[i, 8]
        r = grains[i, 9]
        if squared:
            for t in range(VOXELS):
                dx, dy, dz = points[0, t] - s0, points[1, t] - s1, points[2, t] - s2
                u0 = a * dx + (b * dy + d * dz)
                u1 = e * dy + f * dz
                u2 = g * dz
                v = u0 * u0 + (u1 * u1 + u2 * u2) - r
                better = v < best[t]
                best[t] = v if better else best[t]
                label[t] = i if better else label[t]
        else:
            for t in range(VOXELS):
                dx, dy, dz = points[0, t] - s0, points[1, t] - s1, points[2, t] - s2
                u0 = a * dx + (b * dy + d * dz)
                u1 = e * dy + f * dz
                u2 = g * dz
                v = math.sqrt(u0 * u0 + (u1 * u1 + u2 * u2)) - r
                better = v < best[t]
                best[t] = v if better else best[t]
                label[t] = i if better else label[t]
