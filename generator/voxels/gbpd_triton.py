# mypy: allow-untyped-defs, allow-incomplete-defs
r"""GPU kernels of the exact GBPD labelling: the algorithm of `label_kernels`, level by level.

A *batch* holds windows of voxels of one or more particles, of one metric. What a program of each
kernel does:

* `cull`: one tile of a level. Whether the shell cuts the tile; convex dominance among the
  candidates of its parent; the survivors, ascending, go into a list of ``cap`` entries. If there
  are more, the tile reads its parent's list instead: exact, slower, and memory stays bounded.
  Nothing comes back to the host on the way.
* `label`: one tile of the last level: every candidate at every voxel, ascending, strict <, so that
  ties go to the lowest id; the shell voxel by voxel only where it may cut the tile.
* `moments`: one tile: ten integer sums of each of its candidates.
* `boundary`: voxels with a face neighbour of another label, and grains with one of label 0.

All windows share each launch: grid (tiles of the largest window, windows). Scores are those of
`score_triton`, which says how kernels are to be launched.

The rows of a batch, one for each window:

* integers (13): 0 first row of its grain table, 1 grains, 2 to 4 first coordinate of x, y, z,
  5 to 7 nx, ny, nz, 8 first voxel, 9 first coefficient of its shell, 10 the degree or -1, 11 layers
  below the window (which `moments` counts z from), 12 first row of its sums;
* numbers (4): 0 slack, 1 and 2 lower and upper bound of X, 3 bound of its gradient.

Axes are padded to whole tiles of the first level by repeating their last coordinate. Lists are
read by one launch and written by another, never by one.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..grains.score_triton import left_on_box, radius_at, shell_state


@triton.jit
def _tiles(row, EDGE: tl.constexpr):
    """Number of tiles along x, y, z."""
    nx, ny, nz = tl.load(row + 5), tl.load(row + 6), tl.load(row + 7)
    return (nx + EDGE - 1) // EDGE, (ny + EDGE - 1) // EDGE, (nz + EDGE - 1) // EDGE


@triton.jit
def _tile(row, EDGE: tl.constexpr):
    """Place of this program's tile along x, y, z, and whether there is one."""
    mx, my, mz = _tiles(row, EDGE)
    t = tl.program_id(0).to(tl.int64)
    return t % mx, t // mx % my, t // (mx * my), t < mx * my * mz


@triton.jit
def _hull(axis, first, edge):
    """Centre and half width of a tile's voxel centres along one axis."""
    low = tl.load(axis + first)
    high = tl.load(axis + first + (edge - 1))
    return (low + high) / 2, (high - low) / 2


@triton.jit(do_not_specialize=["first_slot", "cap"])
def cull(
    integers, numbers, axes, table, shells,
    parent_first, parent_start, parent_count, parent_state,
    first_slot, cap, own_first,
    members, start, count, state,
    EDGE: tl.constexpr, ROOT: tl.constexpr, CHUNK: tl.constexpr, SQUARED: tl.constexpr,
):  # fmt: skip
    """Write list, its length and the shell's state of each tile of a level.

    ``parent_first`` and ``own_first`` are the first tile of each window in the arrays of the parent
    level and of this one; the lists of this level begin at ``first_slot`` of ``members``. A root
    has its window for a parent, whose list is all grains.
    """
    b = tl.program_id(1)
    row = integers + b * 13
    ti, tj, tk, exists = _tile(row, EDGE)
    if exists:
        parent = b.to(tl.int64)
        if not ROOT:
            mx, my, _ = _tiles(row, 2 * EDGE)
            parent = tl.load(parent_first + b) + ((tk // 2) * my + tj // 2) * mx + ti // 2
        t = tl.load(own_first + b) + tl.program_id(0)
        _cull_tile(
            row, numbers + b * 4, t, ti * EDGE, tj * EDGE, tk * EDGE, parent, axes, table, shells,
            parent_start, parent_count, parent_state, first_slot, cap, members, start, count,
            state, EDGE, CHUNK, SQUARED,
        )  # fmt: skip


@triton.jit
def _cull_tile(
    row, reals, t, i, j, k, parent, axes, table, shells,
    parent_start, parent_count, parent_state, first_slot, cap, members, start, count, state,
    EDGE: tl.constexpr, CHUNK: tl.constexpr, SQUARED: tl.constexpr,
):  # fmt: skip
    cx, hx = _hull(axes + tl.load(row + 2), i, EDGE)
    cy, hy = _hull(axes + tl.load(row + 3), j, EDGE)
    cz, hz = _hull(axes + tl.load(row + 4), k, EDGE)
    own = tl.load(parent_state + parent)
    if own == 0:
        own, _ = shell_state(
            cx, cy, cz, hx, hy, hz, tl.load(reals + 1), tl.load(reals + 2), tl.load(reals + 3),
            shells + tl.load(row + 9), tl.load(row + 10).to(tl.int32),
        )  # fmt: skip
    n = tl.load(parent_count + parent)
    first = tl.load(parent_start + parent)
    if own >= 0:
        slack = tl.load(reals)
        grains = table + tl.load(row) * 10
        slot = first_slot + t.to(tl.int64) * cap
        used, _ = left_on_box(
            cx, cy, cz, hx, hy, hz, grains, members + first, n, slack, members + slot, cap,
            CHUNK, SQUARED,
        )  # fmt: skip
        if used <= cap:
            first = slot
            n = used
    tl.store(start + t, first)
    tl.store(count + t, n)
    tl.store(state + t, own)


@triton.jit
def label(
    integers, axes, table, shells, own_first, members, start, count, state,
    labels, gaps, margin,
    EDGE: tl.constexpr, SQUARED: tl.constexpr, GAP: tl.constexpr,
):  # fmt: skip
    """Write grain ids, and with GAP the second best score less the best, ``margin`` at most.

    Voxels outside the shell are left as they are, 0.
    """
    b = tl.program_id(1)
    row = integers + b * 13
    ti, tj, tk, exists = _tile(row, EDGE)
    own = -1
    t = tl.load(own_first + b) + tl.program_id(0)
    if exists:
        own = tl.load(state + t)
    if own >= 0:
        i, j, k = ti * EDGE, tj * EDGE, tk * EDGE
        along = tl.arange(0, EDGE)
        across = tl.arange(0, EDGE * EDGE)
        x = tl.load(axes + tl.load(row + 2) + i + along)
        y = tl.load(axes + tl.load(row + 3) + j + across % EDGE)
        z = tl.load(axes + tl.load(row + 4) + k + across // EDGE)
        grains = table + tl.load(row) * 10
        first = tl.load(start + t)
        best = tl.full((EDGE * EDGE, EDGE), float("inf"), tl.float64)
        second = best
        winner = tl.zeros((EDGE * EDGE, EDGE), tl.int32)
        for c in range(tl.load(count + t)):
            g = tl.load(members + first + c)
            p = grains + g.to(tl.int64) * 10
            dx = x - tl.load(p)
            dy = y - tl.load(p + 1)
            dz = z - tl.load(p + 2)
            part = tl.load(p + 4) * dy + tl.load(p + 5) * dz
            u1 = tl.load(p + 6) * dy + tl.load(p + 7) * dz
            u2 = tl.load(p + 8) * dz
            rest = u1 * u1 + u2 * u2
            u0 = (tl.load(p + 3) * dx)[None, :] + part[:, None]
            v = u0 * u0 + rest[:, None]
            if not SQUARED:
                v = tl.sqrt(v)
            v = v - tl.load(p + 9)
            better = v < best
            if GAP:
                second = tl.where(better, best, tl.minimum(second, v))
            best = tl.where(better, v, best)
            winner = tl.where(better, g + 1, winner)
        if own == 0:
            flat = tl.zeros((EDGE * EDGE, EDGE), tl.float64)
            px, py, pz = x[None, :] + flat, y[:, None] + flat, z[:, None] + flat
            distance = tl.sqrt(px * px + py * py + pz * pz)
            radius = radius_at(
                px, py, pz, shells + tl.load(row + 9), tl.load(row + 10).to(tl.int32)
            )
            winner = tl.where((distance == 0.0) | (distance <= radius), winner, 0)
        nx, ny, nz = tl.load(row + 5), tl.load(row + 6), tl.load(row + 7)
        ii, jj, kk = i + along, j + across % EDGE, k + across // EDGE
        place = tl.load(row + 8) + ((kk * ny + jj) * nx)[:, None] + ii[None, :]
        within = ((kk < nz) & (jj < ny))[:, None] & (ii < nx)[None, :]
        tl.store(labels + place, winner, within)
        if GAP:
            gap = tl.minimum(second - best, tl.load(margin))
            tl.store(gaps + place, tl.where(winner > 0, gap, 0.0).to(tl.float32), within)


@triton.jit
def moments(
    integers, own_first, members, start, count, state, labels, sums, EDGE: tl.constexpr
):  # fmt: skip
    """Add voxels and sums of x, y, z, xx, yy, zz, xy, xz, yz of each grain, (grains, 10) int64."""
    b = tl.program_id(1)
    row = integers + b * 13
    ti, tj, tk, exists = _tile(row, EDGE)
    own_state = -1
    t = tl.load(own_first + b) + tl.program_id(0)
    if exists:
        own_state = tl.load(state + t)
    if own_state >= 0:
        i, j, k = ti * EDGE, tj * EDGE, tk * EDGE
        lane = tl.arange(0, EDGE * EDGE * EDGE)
        dx, dy, dz = lane % EDGE, lane // EDGE % EDGE, lane // (EDGE * EDGE)
        nx, ny, nz = tl.load(row + 5), tl.load(row + 6), tl.load(row + 7)
        within = (k + dz < nz) & (j + dy < ny) & (i + dx < nx)
        place = ((k + dz) * ny + j + dy) * nx + i + dx
        found = tl.load(labels + tl.load(row + 8) + place, within, 0)
        first = tl.load(start + t)
        k += tl.load(row + 11)
        for c in range(tl.load(count + t)):
            g = tl.load(members + first + c)
            own = (found == g + 1).to(tl.int32)
            n = tl.sum(own, 0).to(tl.int64)
            if n > 0:
                sx = tl.sum(own * dx, 0).to(tl.int64)
                sy = tl.sum(own * dy, 0).to(tl.int64)
                sz = tl.sum(own * dz, 0).to(tl.int64)
                p = sums + (tl.load(row + 12) + g.to(tl.int64)) * 10
                tl.atomic_add(p, n)
                tl.atomic_add(p + 1, sx + n * i)
                tl.atomic_add(p + 2, sy + n * j)
                tl.atomic_add(p + 3, sz + n * k)
                tl.atomic_add(p + 4, tl.sum(own * dx * dx, 0) + 2 * i * sx + n * i * i)
                tl.atomic_add(p + 5, tl.sum(own * dy * dy, 0) + 2 * j * sy + n * j * j)
                tl.atomic_add(p + 6, tl.sum(own * dz * dz, 0) + 2 * k * sz + n * k * k)
                tl.atomic_add(p + 7, tl.sum(own * dx * dy, 0) + i * sy + j * sx + n * i * j)
                tl.atomic_add(p + 8, tl.sum(own * dx * dz, 0) + i * sz + k * sx + n * i * k)
                tl.atomic_add(p + 9, tl.sum(own * dy * dz, 0) + j * sz + k * sy + n * j * k)


@triton.jit
def boundary(integers, labels, flags, exposed, LANES: tl.constexpr):
    """Flag (int8) labelled voxels with a face neighbour of another label; outside all is 0.

    ``exposed`` (grains,) int8 receives 1 for each grain with a face neighbour of label 0.
    """
    b = tl.program_id(1)
    row = integers + b * 13
    nx, ny, nz = tl.load(row + 5), tl.load(row + 6), tl.load(row + 7)
    place = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    there = place < nx * ny * nz
    x, y, z = place % nx, place // nx % ny, place // (nx * ny)
    here = labels + tl.load(row + 8) + place
    own = tl.load(here, there, 0)
    left = tl.load(here - 1, there & (x > 0), 0)
    right = tl.load(here + 1, there & (x + 1 < nx), 0)
    front = tl.load(here - nx, there & (y > 0), 0)
    back = tl.load(here + nx, there & (y + 1 < ny), 0)
    below = tl.load(here - nx * ny, there & (z > 0), 0)
    above = tl.load(here + nx * ny, there & (z + 1 < nz), 0)
    differs = (own != left) | (own != right) | (own != front)
    differs |= (own != back) | (own != below) | (own != above)
    tl.store(flags + tl.load(row + 8) + place, (differs & (own > 0)).to(tl.int8), there)
    meets = (left == 0) | (right == 0) | (front == 0) | (back == 0) | (below == 0) | (above == 0)
    tl.store(exposed + tl.load(row + 12) + own - 1, 1, there & meets & (own > 0))
