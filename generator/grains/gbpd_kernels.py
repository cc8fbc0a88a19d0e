r"""Compiled kernels of the exact GBPD: scores, convex dominance on boxes, which side of a shell.

Scores f_i(x) = |x - s_i|_{M_i} - r_i ("norm") and |x - s_i|^2_{M_i} - r_i ("squared") are
convex in x. On a box with centre c and corners v_k,

* the tangent plane bounds f_i from below: f_i(x) >= f_i(c) + g_i . (x - c),
* the multilinear interpolant of its corner values bounds f_j from above (Jensen).

So grain i is worse than grain j by more than ``slack`` on the whole box if

.. math:: f_i(c) + \min_k \left[ g_i \cdot (v_k - c) - f_j(v_k) \right] > slack,

since linear minus multilinear is multilinear and takes its minimum at a corner. Grains
that are dominated by the best grain at the centre are dropped. ``slack`` covers rounding
errors: it keeps more candidates and can never change which grain is best.

The shell |x| = X(x/|x|) is decided on the way by the gradient of g(x) = |x| - X(x/|x|):
|grad g|^2 <= 1 + (G/r)^2 at the distance r from the origin, G bounding the gradient of X
on the sphere.

Every score is evaluated in one order of operations, without fused multiply-add, here, in
`label_kernels` and in the torch version: equal inputs give equal bits, ties go to the
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

from ..shell.spherical_harmonics import radius_at

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
