r"""Compiled kernels of the exact GBPD labelling: an octree with convex-dominance culling.

Scores f_i(x) = |x - s_i|_{M_i} - r_i ("norm") and |x - s_i|^2_{M_i} - r_i ("squared") are
convex in x. On a box with centre c and corners v_k,

* the tangent plane bounds f_i from below: f_i(x) >= f_i(c) + g_i . (x - c),
* the multilinear interpolant of its corner values bounds f_j from above (Jensen).

So grain i is worse than grain j by more than ``slack`` on the whole box if

.. math:: f_i(c) + \min_k \left[ g_i \cdot (v_k - c) - f_j(v_k) \right] > slack,

since linear minus multilinear is multilinear and takes its minimum at a corner. Grains
that are dominated by the best grain at the centre are dropped on the way down; a box
with one grain left is filled, a box of 4^3 voxels is evaluated. ``slack`` covers rounding
errors: it keeps more candidates and can never change a label.

The shell |x| = X(x/|x|) is decided on the way by the gradient of g(x) = |x| - X(x/|x|):
|grad g|^2 <= 1 + (G/r)^2 at the distance r from the origin, G bounding the gradient of X
on the sphere.

Every score is evaluated in one order of operations, without fused multiply-add, here, in
`brute_force` and in the torch version: equal inputs give equal bits, ties go to the
lowest index.

A *grain table* is an (n, 10) float array with the columns s_x, s_y, s_z, the upper
triangle of the Cholesky factor U of M = U^T U row by row, and r. A *shell table* is a
1-d float array, empty where there is no shell: lower and upper bound of X, G, then the
prescaled coefficients.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..shell.spherical_harmonics import radii_at, radius_at

LEAF = 4  # edge of the boxes that are evaluated voxel by voxel
LANES = LEAF**3
OUTSIDE, MIXED, INSIDE = -1, 0, 1
SHELL_HEADER = 3  # lower bound, upper bound, gradient bound


@njit(inline="always")
def quadratic(dx, dy, dz, grains, i):  # type: ignore[no-untyped-def]
    """|U (x - s)|^2 in the order of operations that everything here shares."""
    u0 = grains[i, 3] * dx + (grains[i, 4] * dy + grains[i, 5] * dz)
    u1 = grains[i, 6] * dy + grains[i, 7] * dz
    u2 = grains[i, 8] * dz
    return u0 * u0 + (u1 * u1 + u2 * u2)


@njit(inline="always")
def score(x, y, z, grains, i, squared):  # type: ignore[no-untyped-def]
    """f_i(x) of Eq. (8), or its squared variant."""
    q = quadratic(x - grains[i, 0], y - grains[i, 1], z - grains[i, 2], grains, i)
    return (q if squared else math.sqrt(q)) - grains[i, 9]


@njit(cache=True, nogil=True)
def score_gradient(x, y, z, grains, i, squared, out):  # type: ignore[no-untyped-def]
    """f_i(x); its gradient goes to ``out`` (3,), zero at the kink in the seed itself."""
    dx, dy, dz = x - grains[i, 0], y - grains[i, 1], z - grains[i, 2]
    u0 = grains[i, 3] * dx + (grains[i, 4] * dy + grains[i, 5] * dz)
    u1 = grains[i, 6] * dy + grains[i, 7] * dz
    u2 = grains[i, 8] * dz
    q = u0 * u0 + (u1 * u1 + u2 * u2)
    norm = math.sqrt(q)
    weight = 2.0
    if not squared:
        weight = 1.0 / norm if norm > 0.0 else 0.0
    out[0] = weight * (grains[i, 3] * u0)
    out[1] = weight * (grains[i, 4] * u0 + grains[i, 6] * u1)
    out[2] = weight * (grains[i, 5] * u0 + grains[i, 7] * u1 + grains[i, 8] * u2)
    return (q if squared else norm) - grains[i, 9]


@njit(cache=True, nogil=True)
def width_bound(grains, i, hx, hy, hz):  # type: ignore[no-untyped-def]
    """w_i: |h|_M is at most that for all h with |h_x| <= hx, |h_y| <= hy, |h_z| <= hz."""
    w0 = abs(grains[i, 3]) * hx + abs(grains[i, 4]) * hy + abs(grains[i, 5]) * hz
    w1 = abs(grains[i, 6]) * hy + abs(grains[i, 7]) * hz
    w2 = abs(grains[i, 8]) * hz
    return math.sqrt(w0 * w0 + w1 * w1 + w2 * w2)


@njit(cache=True, nogil=True)
def root_candidates(centre, half, grains, squared, slack):  # type: ignore[no-untyped-def]
    """Indices of the grains that a Lipschitz bound leaves on a box, ascending."""
    n = grains.shape[0]
    lower = np.empty(n)
    best = np.inf
    for i in range(n):
        q = quadratic(
            centre[0] - grains[i, 0], centre[1] - grains[i, 1], centre[2] - grains[i, 2], grains, i
        )
        norm = math.sqrt(q)
        reach = width_bound(grains, i, half[0], half[1], half[2])
        near = max(norm - reach, 0.0)
        far = norm + reach
        if squared:
            near, far = near * near, far * far
        lower[i] = near - grains[i, 9]
        best = min(best, far - grains[i, 9])
    kept = np.empty(n, np.int32)
    m = 0
    for i in range(n):
        if not lower[i] > best + slack:
            kept[m] = i
            m += 1
    return kept[:m].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def cull(source, n, target, centre, half, grains, squared, slack, work):  # type: ignore[no-untyped-def]
    """Copy to ``target`` what convex dominance leaves of ``source[:n]`` on a box; count it.

    ``work`` is (4, n) scratch: score and scaled gradient of each grain at the centre.
    """
    if n == 1:
        target[0] = source[0]
        return 1
    fs, gx, gy, gz = work[0], work[1], work[2], work[3]
    best, dominator = np.inf, -1
    for t in range(n):
        i = source[t]
        dx, dy, dz = centre[0] - grains[i, 0], centre[1] - grains[i, 1], centre[2] - grains[i, 2]
        u0 = grains[i, 3] * dx + (grains[i, 4] * dy + grains[i, 5] * dz)
        u1 = grains[i, 6] * dy + grains[i, 7] * dz
        u2 = grains[i, 8] * dz
        q = u0 * u0 + (u1 * u1 + u2 * u2)
        norm = math.sqrt(q)
        weight = 2.0 if squared else (1.0 / norm if norm > 0.0 else 0.0)
        fs[t] = (q if squared else norm) - grains[i, 9]
        gx[t] = weight * half[0] * (grains[i, 3] * u0)
        gy[t] = weight * half[1] * (grains[i, 4] * u0 + grains[i, 6] * u1)
        gz[t] = weight * half[2] * (grains[i, 5] * u0 + grains[i, 7] * u1 + grains[i, 8] * u2)
    for t in range(n):
        if fs[t] < best:
            best, dominator = fs[t], t
    i = source[dominator]
    x0, x1 = centre[0] - half[0], centre[0] + half[0]
    y0, y1 = centre[1] - half[1], centre[1] + half[1]
    z0, z1 = centre[2] - half[2], centre[2] + half[2]
    c000, c100 = score(x0, y0, z0, grains, i, squared), score(x1, y0, z0, grains, i, squared)
    c010, c110 = score(x0, y1, z0, grains, i, squared), score(x1, y1, z0, grains, i, squared)
    c001, c101 = score(x0, y0, z1, grains, i, squared), score(x1, y0, z1, grains, i, squared)
    c011, c111 = score(x0, y1, z1, grains, i, squared), score(x1, y1, z1, grains, i, squared)
    for t in range(n):
        plus, minus = gx[t] + gy[t], gx[t] - gy[t]
        low = min(min(-plus - c000, minus - c100), min(-minus - c010, plus - c110)) - gz[t]
        high = min(min(-plus - c001, minus - c101), min(-minus - c011, plus - c111)) + gz[t]
        fs[t] += min(low, high)
    fs[dominator] = -np.inf
    kept = 0
    for t in range(n):  # written always, kept if it is not dominated: no branch
        target[kept] = source[t]
        kept += not fs[t] > slack
    return kept


@njit(cache=True, nogil=True)
def shell_state(centre, half, shell, degree):  # type: ignore[no-untyped-def]
    """INSIDE or OUTSIDE if the whole box provably is, else MIXED."""
    r = math.sqrt(centre[0] * centre[0] + centre[1] * centre[1] + centre[2] * centre[2])
    reach = math.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
    tolerance = 1e-9 * shell[1]
    if r + reach < shell[0] - tolerance:
        return INSIDE
    if r - reach > shell[1] + tolerance:
        return OUTSIDE
    if r <= reach:
        return MIXED
    slope = shell[2] / (r - reach)
    spread = reach * math.sqrt(1.0 + slope * slope) + tolerance
    level = r - radius_at(centre[0], centre[1], centre[2], shell[SHELL_HEADER:], degree)
    if level + spread < 0.0:
        return INSIDE
    if level - spread > 0.0:
        return OUTSIDE
    return MIXED


@njit(cache=True, nogil=True)
def inside_shell(points, n, shell, degree, radii, inside):  # type: ignore[no-untyped-def]
    """Write |x| <= X(x/|x|) of ``points[:n]`` to ``inside``; return how many are."""
    radii_at(points[:n], shell[SHELL_HEADER:], degree, radii[:n])
    count = 0
    for t in range(n):
        x, y, z = points[t, 0], points[t, 1], points[t, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        inside[t] = distance == 0.0 or distance <= radii[t]
        count += inside[t]
    return count


@njit(cache=True, nogil=True)
def best_of_lanes(candidates, n, points, grains, squared, best, label):  # type: ignore[no-untyped-def]
    """Best grain of ``candidates[:n]``, ascending, at each of the LANES points (3, LANES)."""
    for t in range(LANES):
        best[t] = np.inf
        label[t] = -1
    for c in range(n):
        i = candidates[c]  # int32: one lane of labels is as wide as half a score
        s0, s1, s2 = grains[i, 0], grains[i, 1], grains[i, 2]
        a, b, d = grains[i, 3], grains[i, 4], grains[i, 5]
        e, f, g = grains[i, 6], grains[i, 7], grains[i, 8]
        r = grains[i, 9]
        if squared:
            for t in range(LANES):
                dx, dy, dz = points[0, t] - s0, points[1, t] - s1, points[2, t] - s2
                u0 = a * dx + (b * dy + d * dz)
                u1 = e * dy + f * dz
                u2 = g * dz
                v = u0 * u0 + (u1 * u1 + u2 * u2) - r
                better = v < best[t]
                best[t] = v if better else best[t]
                label[t] = i if better else label[t]
        else:
            for t in range(LANES):
                dx, dy, dz = points[0, t] - s0, points[1, t] - s1, points[2, t] - s2
                u0 = a * dx + (b * dy + d * dz)
                u1 = e * dy + f * dz
                u2 = g * dz
                v = math.sqrt(u0 * u0 + (u1 * u1 + u2 * u2)) - r
                better = v < best[t]
                best[t] = v if better else best[t]
                label[t] = i if better else label[t]


@njit(cache=True, nogil=True)
def _hull(x, y, z, k, j, i, size, centre, half):  # type: ignore[no-untyped-def]
    """Write centre and half widths of the hull of a block's voxel centres."""
    for a, axis, start in ((0, x, i), (1, y, j), (2, z, k)):
        first, last = axis[start], axis[min(start + size, axis.size) - 1]
        centre[a] = (first + last) / 2
        half[a] = (last - first) / 2


@njit(cache=True, nogil=True)
def label_block(x, y, z, k0, j0, i0, edge, grains, squared, slack, shell, degree, out):  # type: ignore[no-untyped-def]
    """Label the block of ``edge``^3 voxels at (k0, j0, i0) of ``out`` (nz, ny, nx).

    ``out`` receives the index of the grain plus one, and 0 outside the shell. ``edge`` is
    LEAF times a power of two; the block may stick out of the grid.
    """
    nz, ny, nx = out.shape
    centre, half = np.empty(3), np.empty(3)
    _hull(x, y, z, k0, j0, i0, edge, centre, half)
    has_shell = shell.size > 0
    if has_shell and shell_state(centre, half, shell, degree) == OUTSIDE:
        out[k0 : k0 + edge, j0 : j0 + edge, i0 : i0 + edge] = 0
        return
    roots = root_candidates(centre, half, grains, squared, slack)
    depth = 1
    while (edge >> (depth - 1)) > LEAF:
        depth += 1
    lists = np.empty((depth + 1, roots.size), np.int32)  # candidates of each level
    counts = np.zeros(depth + 1, np.int64)
    lists[0], counts[0] = roots, roots.size
    work = np.empty((4, roots.size))
    scratch = (
        np.empty((3, LANES)), np.empty((LANES, 3)), np.empty(LANES), np.empty(LANES, np.int32),
        np.empty(LANES), np.ones(LANES, np.bool_),
    )  # fmt: skip
    stack = np.empty((8 * depth + 8, 5), np.int64)  # level, k, j, i, shell state of the parent
    stack[0] = (1, k0, j0, i0, MIXED if has_shell else INSIDE)
    top = 1
    while top > 0:
        top -= 1
        level, k, j, i, state = stack[top]
        size = edge >> (level - 1)
        k1, j1, i1 = min(k + size, nz), min(j + size, ny), min(i + size, nx)
        _hull(x, y, z, k, j, i, size, centre, half)
        if state == MIXED:
            state = shell_state(centre, half, shell, degree)
            if state == OUTSIDE:
                out[k:k1, j:j1, i:i1] = 0
                continue
        n = cull(
            lists[level - 1], counts[level - 1], lists[level], centre, half, grains, squared,
            slack, work,
        )  # fmt: skip
        counts[level] = n
        if n == 1 and state == INSIDE:
            out[k:k1, j:j1, i:i1] = lists[level, 0] + 1
        elif size == LEAF:
            _label_leaf(
                x, y, z, k, j, i, lists[level], n, grains, squared, state, shell, degree,
                scratch, out,
            )  # fmt: skip
        else:
            size //= 2
            for octant in range(8):
                kk = k + (size if octant & 4 else 0)
                jj = j + (size if octant & 2 else 0)
                ii = i + (size if octant & 1 else 0)
                if kk < nz and jj < ny and ii < nx:
                    stack[top] = (level + 1, kk, jj, ii, state)
                    top += 1


@njit(cache=True, nogil=True)
def _label_leaf(  # type: ignore[no-untyped-def]
    x, y, z, k, j, i, candidates, n, grains, squared, state, shell, degree, scratch, out
):  # fmt: skip
    """Evaluate the candidates at each of the LEAF^3 voxels at (k, j, i)."""
    nz, ny, nx = out.shape
    points, rows, best, label, radii, inside = scratch
    t = 0
    for dk in range(LEAF):
        pz = z[min(k + dk, nz - 1)]  # lanes beyond the grid repeat its last voxel
        for dj in range(LEAF):
            py = y[min(j + dj, ny - 1)]
            for di in range(LEAF):
                points[0, t], points[1, t], points[2, t] = x[min(i + di, nx - 1)], py, pz
                t += 1
    if state == MIXED:
        for t in range(LANES):
            rows[t, 0], rows[t, 1], rows[t, 2] = points[0, t], points[1, t], points[2, t]
        if inside_shell(rows, LANES, shell, degree, radii, inside) == 0:
            out[k : min(k + LEAF, nz), j : min(j + LEAF, ny), i : min(i + LEAF, nx)] = 0
            return
    best_of_lanes(candidates, n, points, grains, squared, best, label)
    if state == MIXED:
        for t in range(LANES):
            label[t] = label[t] if inside[t] else -1
    for kk in range(k, min(k + LEAF, nz)):
        for jj in range(j, min(j + LEAF, ny)):
            t = ((kk - k) * LEAF + (jj - j)) * LEAF
            for ii in range(i, min(i + LEAF, nx)):
                out[kk, jj, ii] = label[t + ii - i] + 1


@njit(cache=True, nogil=True)
def brute_force(x, y, z, grains, squared, out):  # type: ignore[no-untyped-def]
    """Index of the best grain plus one at every voxel: each score evaluated, no culling."""
    best, label = np.empty(x.size), np.empty(x.size, np.int32)
    for k in range(z.size):
        for j in range(y.size):
            best[:] = np.inf
            label[:] = -1
            for i in range(grains.shape[0]):
                dy, dz = y[j] - grains[i, 1], z[k] - grains[i, 2]
                s, a, r = grains[i, 0], grains[i, 3], grains[i, 9]
                p = grains[i, 4] * dy + grains[i, 5] * dz
                u1 = grains[i, 6] * dy + grains[i, 7] * dz
                u2 = grains[i, 8] * dz
                rest = u1 * u1 + u2 * u2
                own = np.int32(i)
                if squared:
                    for t in range(x.size):
                        u0 = a * (x[t] - s) + p
                        v = u0 * u0 + rest - r
                        better = v < best[t]
                        best[t] = v if better else best[t]
                        label[t] = own if better else label[t]
                else:
                    for t in range(x.size):
                        u0 = a * (x[t] - s) + p
                        v = math.sqrt(u0 * u0 + rest) - r
                        better = v < best[t]
                        best[t] = v if better else best[t]
                        label[t] = own if better else label[t]
            for t in range(x.size):
                out[k, j, t] = label[t] + 1


@njit(cache=True, nogil=True)
def two_best(points, grains, squared, index, scores):  # type: ignore[no-untyped-def]
    """Best and second best grain at each point, all grains evaluated.

    ``index`` (n, 2) and ``scores`` (n, 2) are written; without a second grain they are
    -1 and infinity.
    """
    for t in range(points.shape[0]):
        first, second = np.inf, np.inf
        i1, i2 = -1, -1
        for i in range(grains.shape[0]):
            v = score(points[t, 0], points[t, 1], points[t, 2], grains, i, squared)
            if v < first:
                second, i2 = first, i1
                first, i1 = v, i
            elif v < second:
                second, i2 = v, i
        index[t, 0], index[t, 1] = i1, i2
        scores[t, 0], scores[t, 1] = first, second
