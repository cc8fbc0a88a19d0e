"""Mend necks: single triangles by which a part of a grain holds on to the rest.

What is small and hangs on its grain by one triangle goes to the grain that has more in common
with it. A larger part is held better: its grain gets what parts the two beside the triangle.
Neither changes the form of a grain or of the body (`keeps_topology`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ...generator.particle import OUTSIDE
from ..certificate.grain_topology import bridges
from ..mesh.material_field import NONE
from ..mesh.tetrahedra import FACES, face_neighbours, signed_volumes
from .slivers import ALL
from .tet_complex import (
    MAX_AFFECTED,
    MAX_RING,
    TetComplex,
    across_face,
    admitted,
    book,
    relabel,
    ring_around,
    tet_volume,
)
from .topology import keeps_topology

SMALL = 0.01  # of a grain, behind one triangle
MAX_SMALL = 32  # tetrahedra of that
WIDEST = 3  # tetrahedra that a grain gets beside a neck
ROUNDS = 2


def mend_necks(c: TetComplex, n_grains: int = ALL) -> None:
    """Give small appendages of grains away and widen necks, where that is possible.

    An appendage is what a grain has behind one triangle; it is small below `SMALL` of the
    grain. Necks are the triangles that hold more. Labels above ``n_grains`` are no grains.
    """
    rows = np.flatnonzero((c.labels > OUTSIDE) & (c.labels <= n_grains))
    tets = c.tets[rows]
    neighbours, volumes = face_neighbours(tets, len(c.points)), signed_volumes(c.points, tets)
    for _ in range(ROUNDS):
        labels = c.labels[rows]
        found, faces, behind = bridges(neighbours, labels, volumes)
        shares = behind / c.volumes[labels[found]]
        order = np.argsort(-shares, kind="stable")
        _mend(c, rows[found[order]], faces[order], shares[order], n_grains)


@njit(cache=True, nogil=True)
def _mend(c, rows, faces, shares, n_grains):  # type: ignore[no-untyped-def]
    labels = c.labels
    for i in range(rows.size):
        t, f = rows[i], faces[i]
        s = _across(c, t, f)
        if labels[s] != labels[t]:
            continue
        if shares[i] >= SMALL:
            _widen(c, t, f, s, n_grains)
        elif not _give_away(c, t, s, n_grains):
            _give_away(c, s, t, n_grains)


@njit(cache=True, nogil=True)
def _across(c, t, f):  # type: ignore[no-untyped-def]
    tets = c.tets
    return across_face(c, t, tets[t, FACES[f, 0]], tets[t, FACES[f, 1]], tets[t, FACES[f, 2]])


@njit(cache=True, nogil=True)
def _widen(c, t, f, s, n_grains):  # type: ignore[no-untyped-def]
    """Whether the grain was given what parts it on one side of the neck between t and s.

    That is up to `WIDEST` tetrahedra around an edge of the neck, less than `SMALL` of the grain;
    the fewest are taken.
    """
    path = np.empty(WIDEST, np.int64)
    for n in range(1, WIDEST + 1):
        for e in range(3):
            a, b = c.tets[t, FACES[f, e]], c.tets[t, FACES[f, (e + 1) % 3]]
            if (
                _gap(c, a, b, t, s, path) == n
                and _volume(c, path[:n]) < SMALL * c.targets[c.labels[t]]
                and _all_go(c, path[:n], c.labels[t], n_grains)
            ):
                return True
    return False


@njit(cache=True, nogil=True)
def _volume(c, rows):  # type: ignore[no-untyped-def]
    total = 0.0
    for t in rows:
        total += tet_volume(c.points, c.tets, t)
    return total


@njit(cache=True, nogil=True)
def _gap(c, a, b, t, s, path):  # type: ignore[no-untyped-def]
    """Write the tetrahedra around (a, b) that part s from its grain on the side without t.

    Returns their number; 0 if there are none, too many, or some outside.
    """
    labels = c.labels
    ring, rows = np.empty(MAX_RING, np.int64), np.empty(MAX_RING, np.int64)
    n, at, size = ring_around(c, a, b, ring, rows), 0, 0
    for k in range(n):
        at = k if rows[k] == s else at
    step = -1 if n > 0 and rows[(at + 1) % n] == t else 1
    for k in range(1, n):
        x = rows[(at + k * step) % n]
        if labels[x] == labels[s]:
            if size > 0:
                return size
        elif labels[x] == OUTSIDE or size == path.size:
            return 0
        else:
            path[size] = x
            size += 1
    return 0


@njit(cache=True, nogil=True)
def _give_away(c, t, s, n_grains):  # type: ignore[no-untyped-def]
    """Whether the part of a grain that hangs on s by t went to the grain around it."""
    labels, piece, n, k = c.labels, np.empty(MAX_SMALL, np.int64), 1, 0
    piece[0] = t
    while k < n:
        for f in range(4):
            x = _across(c, piece[k], f)
            if labels[x] != labels[t] or (x == s and k == 0) or (piece[:n] == x).any():
                continue
            if x == s or n == MAX_SMALL:
                return False
            piece[n] = x
            n += 1
        k += 1
    to = _embracing(c, piece[:n], s)
    return to != NONE and _all_go(c, piece[:n], to, n_grains)


@njit(cache=True, nogil=True)
def _embracing(c, piece, s):  # type: ignore[no-untyped-def]
    """Grain with the largest boundary with a piece that is larger than the neck; NONE without."""
    labels = c.labels
    others, areas = np.full(MAX_AFFECTED, NONE, np.int64), np.zeros(MAX_AFFECTED)
    largest, best = 0.0, NONE
    for t in piece:
        for f in range(4):
            x = _across(c, t, f)
            if x == s and t == piece[0]:
                largest = _area(c, t, f)
            elif labels[x] != labels[t] and labels[x] != OUTSIDE:
                book(areas, others, labels[x], _area(c, t, f))
    for k in range(MAX_AFFECTED):
        if others[k] != NONE and areas[k] > largest:
            best, largest = others[k], areas[k]
    return best


@njit(cache=True, nogil=True)
def _area(c, t, f):  # type: ignore[no-untyped-def]
    i, j, k = c.tets[t, FACES[f, 0]], c.tets[t, FACES[f, 1]], c.tets[t, FACES[f, 2]]
    u, v = c.points[j] - c.points[i], c.points[k] - c.points[i]
    x, y, z = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
    return math.sqrt(x * x + y * y + z * z) / 2


@njit(cache=True, nogil=True)
def _all_go(c, rows, to, n_grains):  # type: ignore[no-untyped-def]
    """Give all of some tetrahedra to a label, one after the other; none if one cannot go."""
    changes, affected = np.empty(MAX_AFFECTED), np.full(MAX_AFFECTED, NONE, np.int64)
    before = c.labels[rows].copy()
    for t in rows:
        volume = tet_volume(c.points, c.tets, t)
        book(changes, affected, c.labels[t], -volume)
        book(changes, affected, to, volume)
    if not admitted(c, changes, affected):
        return False
    left = rows.size
    for _ in range(rows.size):
        for t in rows:
            if c.labels[t] != to and keeps_topology(c, t, to, n_grains):
                relabel(c, t, to)
                left -= 1
    if left > 0:
        for k in range(rows.size):
            if c.labels[rows[k]] != before[k]:
                relabel(c, rows[k], before[k])
    return left == 0
