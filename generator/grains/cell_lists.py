r"""Compiled kernels: which grains may be best in which cells of a grid.

Let q be the distance |c - s_i|_M of a cell's centre c from a seed and w_i an upper bound of
|h|_M over the cell's points c + h. The triangle inequality puts the distance of every point
of the cell between q - w_i and q + w_i, so that, with f_i a function of the distance,

* u = min_i f_i(q + w_i) bounds the least score in the cell from above, whichever grains are
  tried: the one whose seed lies there, and those that serve the neighbours;
* grain i is never best in the cell if f_i(q - w_i) > u + slack.

The second test is made where the box round the ellipsoid {f_i <= max u} reaches. The lists
are short, about seventy grains in a cell as large as a grain: `reach_kernels` goes on from
them.

A *grid of cells* is three ascending arrays, the centres along x, y and z, and the half widths
(3,) that no cell exceeds. Arrays over cells have the shape (nz, ny, nx). ``extents`` (n, 3)
are the half widths of the boxes round the unit balls |y|_M <= 1 of the grains.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .gbpd_kernels import quadratic, width_bound

ROOM = 1.0 + 1e-9  # for the rounding of a box's half widths


@njit(cache=True, nogil=True)
def _score(distance, offset, squared):  # type: ignore[no-untyped-def]
    return (distance * distance if squared else distance) - offset


@njit(cache=True, nogil=True)
def _distance(x, y, z, grains, i):  # type: ignore[no-untyped-def]
    """|x - s_i|_M."""
    return math.sqrt(quadratic(x - grains[i, 0], y - grains[i, 1], z - grains[i, 2], grains, i))


@njit(cache=True, nogil=True)
def cell_lists(x, y, z, half, active, grains, extents, squared, slack):  # type: ignore[no-untyped-def]
    """Ascending lists of the grains that may be best in each active cell.

    Returns ``start`` (cells + 1,) and ``members``: cell (k, j, i), row-major, owns
    ``members[start[c]:start[c + 1]]``; a cell that is not ``active`` owns none.
    """
    bounds = _least_score_bounds(x, y, z, half, active, grains, squared)
    top = bounds.max()
    cells, entries = np.empty(1024, np.int32), np.empty(1024, np.int32)
    used = 0
    x0, x1, y0, y1, z0, z1 = x[0], x[-1], y[0], y[-1], z[0], z[-1]
    for g in range(grains.shape[0]):
        radius = max(top + slack + grains[g, 9], 0.0)
        radius = ROOM * (math.sqrt(radius) if squared else radius)
        reach_x = radius * extents[g, 0] + half[0]
        reach_y = radius * extents[g, 1] + half[1]
        reach_z = radius * extents[g, 2] + half[2]
        sx, sy, sz = grains[g, 0], grains[g, 1], grains[g, 2]
        if (
            max(x0 - sx, sx - x1) > reach_x
            or max(y0 - sy, sy - y1) > reach_y
            or max(z0 - sz, sz - z1) > reach_z
        ):
            continue
        i0, i1 = _range(x, grains[g, 0], reach_x)
        j0, j1 = _range(y, grains[g, 1], reach_y)
        k0, k1 = _range(z, grains[g, 2], reach_z)
        most = (i1 - i0) * (j1 - j0) * (k1 - k0)
        if used + most >= cells.size:
            cells, entries = _longer(cells, used, most), _longer(entries, used, most)
        width = width_bound(grains, g, half[0], half[1], half[2])
        a, b, d = grains[g, 3], grains[g, 4], grains[g, 5]
        e, f, c = grains[g, 6], grains[g, 7], grains[g, 8]
        for k in range(k0, k1):
            dz = z[k] - grains[g, 2]
            for j in range(j0, j1):
                dy = y[j] - grains[g, 1]
                p, u1, u2 = b * dy + d * dz, e * dy + f * dz, c * dz
                rest = u1 * u1 + u2 * u2
                first = (k * y.size + j) * x.size
                for i in range(i0, i1):  # written always, kept if it may be best: no branch
                    u0 = a * (x[i] - grains[g, 0]) + p
                    nearest = max(math.sqrt(u0 * u0 + rest) - width, 0.0)
                    cells[used], entries[used] = first + i, g
                    used += _score(nearest, grains[g, 9], squared) <= bounds[k, j, i] + slack
    return _by_cell(cells[:used], entries[:used], bounds.size)


@njit(cache=True, nogil=True)
def _range(centres, middle, reach):  # type: ignore[no-untyped-def]
    """First and one past the last of the ``centres`` within ``reach`` of ``middle``."""
    return (
        np.searchsorted(centres, middle - reach),
        np.searchsorted(centres, middle + reach, "right"),
    )


@njit(cache=True, nogil=True)
def _longer(array, used, more):  # type: ignore[no-untyped-def]
    """Copy of ``array[:used]`` with room for at least ``more`` entries."""
    out = np.empty(2 * (used + more), array.dtype)
    out[:used] = array[:used]
    return out


@njit(cache=True, nogil=True)
def _by_cell(cells, entries, n_cells):  # type: ignore[no-untyped-def]
    """Entries of each cell, in their order: compressed rows."""
    start = np.zeros(n_cells + 1, np.int64)
    for c in cells:
        start[c + 1] += 1
    for c in range(n_cells):
        start[c + 1] += start[c]
    end = start[:-1].copy()
    members = np.empty(cells.size, np.int32)
    for t in range(cells.size):
        members[end[cells[t]]] = entries[t]
        end[cells[t]] += 1
    return start, members


@njit(cache=True, nogil=True)
def _least_score_bounds(x, y, z, half, active, grains, squared):  # type: ignore[no-untyped-def]
    """Upper bound u of the least score in each active cell, -inf in the others.

    It is the largest of the bounds of the cell's eight parts: smaller boxes have tighter
    ones. Grains with a seed in the grid are tried in the part where it lies; one sweep up
    the grid and one down it carry them on, so that every part has a good one.
    """
    xs, ys, zs = _parts(x, half[0] / 2), _parts(y, half[1] / 2), _parts(z, half[2] / 2)
    bounds = np.full((zs.size, ys.size, xs.size), np.inf)
    server = np.full(bounds.shape, -1, np.int32)
    widths = np.empty(grains.shape[0])
    tried = seeds_in_grid(x, y, z, half, grains)
    if tried.size == 0:
        tried = np.arange(grains.shape[0]).astype(np.int32)
    for g in tried:
        widths[g] = width_bound(grains, g, half[0] / 2, half[1] / 2, half[2] / 2)
        k, j, i = nearest(zs, grains[g, 2]), nearest(ys, grains[g, 1]), nearest(xs, grains[g, 0])
        farthest = _distance(xs[i], ys[j], zs[k], grains, g) + widths[g]
        f = _score(farthest, grains[g, 9], squared)
        if f < bounds[k, j, i]:
            bounds[k, j, i], server[k, j, i] = f, g
    for step in (1, -1):
        _sweep(xs, ys, zs, step, active, grains, widths, squared, bounds, server)
    out = np.full((z.size, y.size, x.size), -np.inf)
    for k in range(zs.size):
        for j in range(ys.size):
            for i in range(xs.size):
                cell = k // 2, j // 2, i // 2
                if active[cell]:
                    out[cell] = max(out[cell], bounds[k, j, i])
    return out


@njit(cache=True, nogil=True)
def seeds_in_grid(x, y, z, half, grains):  # type: ignore[no-untyped-def]
    """Grains whose seeds lie in a cell of the grid."""
    x0, x1 = x[0] - half[0], x[-1] + half[0]
    y0, y1 = y[0] - half[1], y[-1] + half[1]
    z0, z1 = z[0] - half[2], z[-1] + half[2]
    found, n = np.empty(grains.shape[0], np.int32), 0
    for g in range(grains.shape[0]):
        sx, sy, sz = grains[g, 0], grains[g, 1], grains[g, 2]
        found[n] = g
        n += (x0 <= sx) & (sx <= x1) & (y0 <= sy) & (sy <= y1) & (z0 <= sz) & (sz <= z1)
    return found[:n]


@njit(cache=True, nogil=True)
def _sweep(xs, ys, zs, step, active, grains, widths, squared, bounds, server):  # type: ignore[no-untyped-def]
    """Try in each part the grains of the three neighbours that were visited before it.

    A part of a cell that is not active only hands a grain on.
    """
    nz, ny, nx = bounds.shape
    for kk in range(nz):
        k = kk if step > 0 else nz - 1 - kk
        for jj in range(ny):
            j = jj if step > 0 else ny - 1 - jj
            for ii in range(nx):
                i = ii if step > 0 else nx - 1 - ii
                for a in range(3):
                    if (kk, jj, ii)[a] == 0:
                        continue
                    g = server[k - step * (a == 0), j - step * (a == 1), i - step * (a == 2)]
                    if g < 0 or g == server[k, j, i]:
                        continue
                    if not active[k // 2, j // 2, i // 2]:
                        server[k, j, i] = g
                        continue
                    farthest = _distance(xs[i], ys[j], zs[k], grains, g) + widths[g]
                    f = _score(farthest, grains[g, 9], squared)
                    if f < bounds[k, j, i]:
                        bounds[k, j, i], server[k, j, i] = f, g


@njit(cache=True, nogil=True)
def _parts(centres, quarter):  # type: ignore[no-untyped-def]
    """Centres of the halves of intervals of half width 2 ``quarter``."""
    out = np.empty(2 * centres.size)
    out[::2] = centres - quarter
    out[1::2] = centres + quarter
    return out


@njit(cache=True, nogil=True)
def nearest(centres, value):  # type: ignore[no-untyped-def]
    """Index of the entry nearest to ``value`` where they ascend."""
    i = np.searchsorted(centres, value)
    if i == centres.size or (i > 0 and value - centres[i - 1] < centres[i] - value):
        return i - 1
    return i
