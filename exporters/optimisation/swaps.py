"""Exchange the edges and faces of a labelled mesh for better ones, vertices unmoved.

An edge inside one material, with up to `LONGEST_RING` tetrahedra around it, is removed: its
ring of vertices is triangulated anew, in the best of all ways. An edge between exactly two
materials is exchanged for the one between the two vertices of the ring where they meet. A
face inside one material is exchanged for an edge.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..mesh.material_field import NONE
from ..mesh.tetrahedra import EDGES, FACES
from .tet_complex import (
    MAX_AFFECTED,
    MAX_RING,
    VACANT,
    across_face,
    admitted,
    book,
    erase,
    is_first_try,
    is_settled,
    place,
    quality,
    ring_around,
    tet_quality,
    tet_volume,
    volume_of,
)

LONGEST_RING = 7
GAIN = 1.0003  # an exchange makes the worst element better by this factor at least
INTERFACE_GAIN = 1.16  # and one that moves a boundary, by this
SPLIT_ROWS = 40  # vacant rows that must be there


@njit(cache=True, nogil=True)
def swap(c, threshold):  # type: ignore[no-untyped-def]
    """Exchange edges and faces of elements worse than ``threshold``; returns how many."""
    points, tets, labels = c.points, c.tets, c.labels
    ring, rows = np.empty(MAX_RING, np.int64), np.empty(MAX_RING, np.int64)
    best = np.empty((LONGEST_RING, LONGEST_RING))
    apex = np.empty((LONGEST_RING, LONGEST_RING), np.int64)
    changes, affected = np.empty(MAX_AFFECTED), np.empty(MAX_AFFECTED, np.int64)
    n_swaps = 0
    for t in range(tets.shape[0]):
        if labels[t] == VACANT or is_settled(c, t):
            continue
        if tet_quality(points, tets, labels, t) >= threshold:
            continue
        if c.vacant[0] < SPLIT_ROWS:
            break
        done = False
        for e in range(6):
            a, b = tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]]
            if not is_first_try(c, a, b, 0):
                continue
            n = ring_around(c, a, b, ring, rows)
            if 3 <= n <= LONGEST_RING and _remove_edge(
                c, a, b, n, ring, rows, best, apex, changes, affected
            ):
                done = True
                break
        if not done:
            done = _remove_face_of(c, t)
        n_swaps += int(done)
    return n_swaps


@njit(cache=True, nogil=True)
def _remove_edge(c, a, b, n, ring, rows, best, apex, changes, affected):  # type: ignore[no-untyped-def]
    points, tets, labels = c.points, c.tets, c.labels
    first, second, n_borders = 0, 0, 0  # places in the ring where the label changes
    worst = np.inf
    for k in range(n):
        worst = min(worst, tet_quality(points, tets, labels, rows[k]))
        if labels[rows[k]] != labels[rows[k - 1 if k else n - 1]]:
            n_borders += 1
            if n_borders == 1:
                first = k
            second = k
    if n_borders == 0:
        label = labels[rows[0]]
        _triangulate(points, a, b, ring, n, 0, n, label, best, apex)
        if best[0, n - 1] <= GAIN * worst:
            return False
        return _rebuild(c, a, b, ring, rows, n, 0, n - 1, n, label, label, apex, apex)
    if n_borders != 2 or second - first < 2 or n - second + first < 2:
        return False
    return _swap_interface(c, a, b, n, ring, rows, first, second, worst, best, apex,
                           changes, affected)  # fmt: skip


@njit(cache=True, nogil=True)
def _swap_interface(  # type: ignore[no-untyped-def]
    c, a, b, n, ring, rows, first, second, worst, best, apex, changes, affected
):
    """Exchange (a, b) for the edge between the ring's vertices ``first`` and ``second``."""
    turned, turned_rows = np.empty(n, np.int64), np.empty(n, np.int64)
    for k in range(n):
        turned[k], turned_rows[k] = ring[(first + k) % n], rows[(first + k) % n]
    m = second - first  # label of rows 0..m-1, the other one of rows m..n-1
    one, other = c.labels[turned_rows[0]], c.labels[turned_rows[m]]
    other_apex = np.empty_like(apex)
    _triangulate(c.points, a, b, turned, n, 0, m + 1, one, best, apex)
    least = best[0, m]
    _triangulate(c.points, a, b, turned, n, m, n - m + 1, other, best, other_apex)
    least = min(least, best[0, n - m])
    if least <= INTERFACE_GAIN * worst:
        return False
    if not _balance(c, a, b, turned, turned_rows, n, m, one, other, apex, other_apex,
                    changes, affected):  # fmt: skip
        return False
    return _rebuild(c, a, b, turned, turned_rows, n, 0, m, n, one, other, apex, other_apex)


@njit(cache=True, nogil=True)
def _triangulate(  # type: ignore[no-untyped-def]
    points, a, b, ring, n, start, size, label, best, apex
):
    """Best triangulation of the vertices ring[start], ... (``size`` of them, cyclic).

    best[i, j] is the worst quality over the triangles between i and j, apex[i, j] the third
    vertex of the triangle at the edge (i, j) (Klincsek 1980).
    """
    for i in range(size):
        if i + 1 < size:
            best[i, i + 1] = np.inf
    for width in range(2, size):
        for i in range(size - width):
            j = i + width
            best[i, j], apex[i, j] = -np.inf, -1
            for k in range(i + 1, j):
                limit = min(best[i, k], best[k, j])
                if limit <= best[i, j]:
                    continue
                x, y, z = ring[(start + i) % n], ring[(start + k) % n], ring[(start + j) % n]
                worst = min(limit, quality(points, label, x, y, z, b))
                if worst > best[i, j]:
                    worst = min(worst, quality(points, label, x, z, y, a))
                if worst > best[i, j]:
                    best[i, j], apex[i, j] = worst, k


@njit(cache=True, nogil=True)
def _balance(  # type: ignore[no-untyped-def]
    c, a, b, ring, rows, n, m, one, other, apex, other_apex, changes, affected
):
    """Whether the exchange of a boundary's edge keeps the volumes."""
    points, tets, labels = c.points, c.tets, c.labels
    affected[:] = NONE
    for k in range(n):
        book(changes, affected, labels[rows[k]], -tet_volume(points, tets, rows[k]))
    triangles = np.empty((n, 3), np.int64)
    for side in range(2):
        start, size = (0, m + 1) if side == 0 else (m, n - m + 1)
        label = one if side == 0 else other
        count = _triangles(apex if side == 0 else other_apex, size, triangles)
        for q in range(count):
            x = ring[(start + triangles[q, 0]) % n]
            y = ring[(start + triangles[q, 1]) % n]
            z = ring[(start + triangles[q, 2]) % n]
            volume = volume_of(points, x, y, z, b) + volume_of(points, x, z, y, a)
            book(changes, affected, label, volume)
    return admitted(c, changes, affected)


@njit(cache=True, nogil=True)
def _triangles(apex, size, out):  # type: ignore[no-untyped-def]
    """Write the triangles (i, k, j) of a triangulation of 0..size-1; returns their number."""
    stack = np.empty((size + 1, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, size - 1
    top, count = 1, 0
    while top > 0:
        top -= 1
        i, j = stack[top]
        if j - i < 2:
            continue
        k = apex[i, j]
        out[count, 0], out[count, 1], out[count, 2] = i, k, j
        count += 1
        stack[top, 0], stack[top, 1] = i, k
        stack[top + 1, 0], stack[top + 1, 1] = k, j
        top += 2
    return count


@njit(cache=True, nogil=True)
def _rebuild(c, a, b, ring, rows, n, low, high, end, one, other, apex, other_apex):  # type: ignore[no-untyped-def]
    """Put the new tetrahedra in the place of those around (a, b); false without room."""
    n_members, room = c.n_members, c.members.shape[1]
    for k in range(n):
        if n_members[ring[k]] + n > room:
            return False
    triangles = np.empty((n, 3), np.int64)
    for k in range(n):
        erase(c, rows[k])
    for side in range(2):
        start, size = (low, high - low + 1) if side == 0 else (high, end - high + 1)
        if size < 3:
            continue
        label = one if side == 0 else other
        count = _triangles(apex if side == 0 else other_apex, size, triangles)
        for q in range(count):
            x = ring[(start + triangles[q, 0]) % n]
            y = ring[(start + triangles[q, 1]) % n]
            z = ring[(start + triangles[q, 2]) % n]
            place(c, label, x, y, z, b)
            place(c, label, x, z, y, a)
    return True


@njit(cache=True, nogil=True)
def _remove_face_of(c, t):  # type: ignore[no-untyped-def]
    """Exchange a face of the element for an edge: two tetrahedra become three."""
    points, tets, labels = c.points, c.tets, c.labels
    n_members, room = c.n_members, c.members.shape[1]
    label = labels[t]
    own = tet_quality(points, tets, labels, t)
    for f in range(4):
        x, y, z = tets[t, FACES[f, 0]], tets[t, FACES[f, 1]], tets[t, FACES[f, 2]]
        s = across_face(c, t, x, y, z)
        if s < 0 or labels[s] != label:
            continue
        d, e = tets[t, f], 0
        for k in range(4):
            v = tets[s, k]
            if v != x and v != y and v != z:
                e = v
        limit = GAIN * min(own, tet_quality(points, tets, labels, s))
        if (
            quality(points, label, x, y, d, e) <= limit
            or quality(points, label, y, z, d, e) <= limit
            or quality(points, label, z, x, d, e) <= limit
        ):
            continue
        if max(n_members[d], n_members[e]) + 2 > room:
            continue
        erase(c, t)
        erase(c, s)
        place(c, label, x, y, d, e)
        place(c, label, y, z, d, e)
        place(c, label, z, x, d, e)
        return True
    return False
