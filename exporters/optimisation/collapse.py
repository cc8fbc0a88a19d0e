"""Remove vertices of a labelled mesh by collapsing edges, boundaries and topology kept.

A vertex a may go into its neighbour b if every material at a is at b and around the edge
between them: then a slides along the boundary that it lies on. Very short edges may also
merge two vertices of different materials. In both cases

* the edge's ring holds all common neighbours of a and b (link condition), and no two
  boundaries that meet in a and b only become one;
* no grain loses its last element at the vertex, or more of its volume than is allowed;
* the new elements are good enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ...generator.particle import OUTSIDE
from ..mesh.material_field import NONE, add_material, has_material, n_materials
from ..mesh.tetrahedra import EDGES
from .tet_complex import (
    MAX_AFFECTED,
    MAX_RING,
    VACANT,
    admitted,
    book,
    erase,
    has_vertex,
    is_first_try,
    is_settled,
    place,
    quality,
    ring_around,
    star_quality,
    tet_quality,
    tet_volume,
    volume_of,
)

MERGED_MATERIALS = 6  # at a vertex made of two of different materials, at most
GOOD = 0.35**3  # a star that is better than this may get worse, down to
FAIR = 0.2**3  # this, to be rid of a short edge
GAIN = 1.0003  # otherwise it must get better by this factor


class Collapsing(NamedTuple):
    """Which edges are collapsed; lengths are parts of the size at the edge."""

    short: float  # edges below this length, and
    bad: float  # those of elements below this quality
    longest: float  # no edge becomes longer than this
    merging: float  # length below which vertices of different materials are merged; 0: never


@njit(cache=True, nogil=True)
def collapse(c, settings):  # type: ignore[no-untyped-def]
    """Collapse short edges and edges of bad elements; returns how many vertices are gone."""
    points, tets, labels, size_at = c.points, c.tets, c.labels, c.size_at
    ring, rows = np.empty(MAX_RING, np.int64), np.empty(MAX_RING, np.int64)
    changes, affected = np.empty(MAX_AFFECTED), np.empty(MAX_AFFECTED, np.int64)
    n_gone = 0
    for t in range(tets.shape[0]):
        if labels[t] == VACANT or is_settled(c, t):
            continue
        own = tet_quality(points, tets, labels, t)
        for e in range(6):
            if labels[t] == VACANT:
                break
            a, b = tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]]
            length = np.sqrt(_squared(points, a, b)) / min(size_at[a], size_at[b])
            bad = own < settings.bad
            if not (bad or length < settings.short) or not is_first_try(c, a, b, 1):
                continue
            least = (1.2 * own ** (1.0 / 3.0) + 0.02) ** 3 if bad else -1.0
            for _ in range(2):
                if _collapse_into(c, a, b, length, least, settings, ring, rows,
                                  changes, affected):  # fmt: skip
                    n_gone += 1
                    break
                a, b = b, a
    return n_gone


@njit(cache=True, nogil=True)
def _squared(points, a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(3):
        total += (points[a, i] - points[b, i]) ** 2
    return total


@njit(cache=True, nogil=True)
def _collapse_into(  # type: ignore[no-untyped-def]
    c, a, b, length, least, settings, ring, rows, changes, affected
):
    """Let vertex a go into b if all conditions hold."""
    if c.fixed[a] or c.n_members[a] + c.n_members[b] > c.members.shape[1]:
        return False
    slides = _all_at(c.materials[a], c.materials[b])
    if not slides and length > settings.merging:
        return False
    n = ring_around(c, a, b, ring, rows)
    if n == 0:
        return False
    if slides and n_materials(c.materials[a]) > 1:
        slides = _all_around(c.labels, c.materials[a], rows, n)
    if not slides and not _may_merge(c, a, b, length, settings.merging, rows, n):
        return False
    required = _required_quality(c, a, b, least)
    return (
        _elements_allow(c, a, b, required, settings.longest)
        and _link_condition(c, a, b, ring, n)
        and _boundaries_stay_apart(c, a, b, ring, rows, n)
        and _grains_stay(c, a, b, rows, n)
        and _volumes_allow(c, a, b, changes, affected)
        and _carry_out(c, a, b)
    )


@njit(cache=True, nogil=True)
def _all_at(these, those):  # type: ignore[no-untyped-def]
    found = True
    for k in range(n_materials(these)):
        found = found and has_material(those, these[k])
    return found


@njit(cache=True, nogil=True)
def _all_around(labels, materials, rows, n):  # type: ignore[no-untyped-def]
    """Whether every one of the materials has a tetrahedron among ``rows``."""
    for k in range(n_materials(materials)):
        found = False
        for q in range(n):
            found = found or labels[rows[q]] == materials[k]
        if not found:
            return False
    return True


@njit(cache=True, nogil=True)
def _may_merge(c, a, b, length, merging, rows, n):  # type: ignore[no-untyped-def]
    if length > merging:
        return False
    labels, at_a, at_b = c.labels, c.materials[a], c.materials[b]
    total = n_materials(at_b)
    for k in range(n_materials(at_a)):
        total += int(not has_material(at_b, at_a[k]))
    if total > MERGED_MATERIALS:
        return False
    if has_material(at_a, OUTSIDE):  # the shell's vertices stay on it
        if not has_material(at_b, OUTSIDE):
            return False
        outside, inside = False, False
        for k in range(n):
            outside = outside or labels[rows[k]] == OUTSIDE
            inside = inside or labels[rows[k]] != OUTSIDE
        return outside and inside
    return True


@njit(cache=True, nogil=True)
def _required_quality(c, a, b, least):  # type: ignore[no-untyped-def]
    """What the new elements must be: better than ``least``, or fair if that is negative."""
    worst = min(star_quality(c, a, -np.inf), star_quality(c, b, -np.inf))
    return max(GAIN * worst, least) if least >= 0.0 else max(min(worst, GOOD), FAIR)


@njit(cache=True, nogil=True)
def _elements_allow(c, a, b, required, longest):  # type: ignore[no-untyped-def]
    points, tets, labels, members, size_at = c.points, c.tets, c.labels, c.members, c.size_at
    for q in range(c.n_members[a]):
        t = members[a, q]
        if has_vertex(tets, t, b):
            continue
        i, j, k, m = _replaced(tets, t, a, b)
        if quality(points, labels[t], i, j, k, m) < required:
            return False
        for v in (i, j, k, m):
            size = min(size_at[v], size_at[b])
            if v != b and _squared(points, v, b) > (longest * size) ** 2:
                return False
    return True


@njit(cache=True, nogil=True)
def _replaced(tets, t, a, b):  # type: ignore[no-untyped-def]
    """Vertices of row t with b for a."""
    i, j, k, m = tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3]
    return (
        b if i == a else i,
        b if j == a else j,
        b if k == a else k,
        b if m == a else m,
    )


@njit(cache=True, nogil=True)
def _link_condition(c, a, b, ring, n):  # type: ignore[no-untyped-def]
    """Whether all common neighbours of a and b are in the ring of their edge."""
    tets, members, n_members = c.tets, c.members, c.n_members
    for q in range(n_members[a]):
        t = members[a, q]
        if has_vertex(tets, t, b):
            continue
        for k in range(4):
            w = tets[t, k]
            if w == a:
                continue
            inside = False
            for r in range(n):
                inside = inside or ring[r] == w
            if inside:
                continue
            for r in range(n_members[b]):
                if has_vertex(tets, members[b, r], w):
                    return False
    return True


@njit(cache=True, nogil=True)
def _boundaries_stay_apart(c, a, b, ring, rows, n):  # type: ignore[no-untyped-def]
    """Whether no boundaries at (a, w) and (b, w) are joined that have no face (a, b, w)."""
    labels = c.labels
    for k in range(n):
        before = rows[k - 1 if k else n - 1]
        if (
            labels[rows[k]] == labels[before]
            and _on_boundary(c, a, ring[k])
            and _on_boundary(c, b, ring[k])
        ):
            return False
    return True


@njit(cache=True, nogil=True)
def _on_boundary(c, v, w):  # type: ignore[no-untyped-def]
    """Whether tetrahedra of different labels meet at the edge (v, w)."""
    tets, labels, members = c.tets, c.labels, c.members
    label = NONE
    for q in range(c.n_members[v]):
        t = members[v, q]
        if has_vertex(tets, t, w):
            if label != NONE and labels[t] != label:
                return True
            label = labels[t]
    return False


@njit(cache=True, nogil=True)
def _grains_stay(c, a, b, rows, n):  # type: ignore[no-untyped-def]
    """Whether each label of the edge's tetrahedra keeps one at b."""
    tets, labels, members, n_members = c.tets, c.labels, c.members, c.n_members
    for k in range(n):
        found = False
        for q in range(n_members[b]):
            t = members[b, q]
            found = found or (labels[t] == labels[rows[k]] and not has_vertex(tets, t, a))
        if not found:
            return False
    return True


@njit(cache=True, nogil=True)
def _volumes_allow(c, a, b, changes, affected):  # type: ignore[no-untyped-def]
    points, tets, labels, members = c.points, c.tets, c.labels, c.members
    affected[:] = NONE
    fits = True
    for q in range(c.n_members[a]):
        t = members[a, q]
        fits = fits and book(changes, affected, labels[t], -tet_volume(points, tets, t))
        if not has_vertex(tets, t, b):
            i, j, k, m = _replaced(tets, t, a, b)
            fits = fits and book(changes, affected, labels[t], volume_of(points, i, j, k, m))
    return fits and admitted(c, changes, affected)


@njit(cache=True, nogil=True)
def _carry_out(c, a, b):  # type: ignore[no-untyped-def]
    tets, labels, members, n_members = c.tets, c.labels, c.members, c.n_members
    while n_members[a] > 0:
        t = members[a, n_members[a] - 1]
        kept = not has_vertex(tets, t, b)
        label = labels[t]
        i, j, k, m = _replaced(tets, t, a, b)
        erase(c, t)
        if kept:
            place(c, label, i, j, k, m)
    at_a, at_b = c.materials[a], c.materials[b]
    for k in range(n_materials(at_a)):
        add_material(at_b, at_a[k])
    return True
