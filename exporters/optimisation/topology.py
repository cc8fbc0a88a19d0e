"""Whether a tetrahedron can change its label and all grains keep their form."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...generator.particle import OUTSIDE
from ..mesh.tetrahedra import FACES
from .tet_complex import across_face, has_vertex


@njit(cache=True, nogil=True)
def keeps_topology(c, t, to, n_grains):  # type: ignore[no-untyped-def]
    """Whether t can go to the label ``to`` and the form of both, and of the body, stays.

    So it is if t meets each of them in a disk, and what is left of its own label at its
    vertices is joined over faces. Where the other label touches itself it may become joined.
    What lies at a plane stays: labels above ``n_grains`` are beyond one.
    """
    label = c.labels[t]
    for v in c.tets[t]:
        if c.materials[v].max() > n_grains:
            return False
    if not (_meets_in_disk(c, t, label, False) and _meets_in_disk(c, t, to, False)):
        return False
    at_surface = label == OUTSIDE or to == OUTSIDE
    if at_surface and not _meets_in_disk(c, t, OUTSIDE, True):
        return False
    return not _falls_apart(c, t)


@njit(cache=True, nogil=True)
def _meets_in_disk(c, t, label, others):  # type: ignore[no-untyped-def]
    """Whether t meets the tetrahedra of a label, or all ``others``, in a disk."""
    tets, labels, members = c.tets, c.labels, c.members
    common, n_common = np.zeros(4, np.bool_), 0
    for f in range(4):
        s = across_face(c, t, tets[t, FACES[f, 0]], tets[t, FACES[f, 1]], tets[t, FACES[f, 2]])
        if s < 0:
            return False
        common[f] = (labels[s] == label) != others
        n_common += int(common[f])
    if n_common == 0 or n_common == 4:
        return False
    if n_common == 3:
        return True
    a, b = -1, -1  # vertex opposite to the one face; ends of the edge that the two have not
    for f in range(4):
        if common[f]:
            a, b = (tets[t, f], b) if a < 0 else (a, tets[t, f])
    for q in range(c.n_members[a]):
        s = members[a, q]
        if s != t and (labels[s] == label) != others and (b < 0 or has_vertex(tets, s, b)):
            return False
    return True


@njit(cache=True, nogil=True)
def _falls_apart(c, t):  # type: ignore[no-untyped-def]
    """Whether, at some vertex of t, the others of its label are not all joined over faces."""
    tets, labels, members = c.tets, c.labels, c.members
    rows = np.empty(members.shape[1], np.int64)
    for v in tets[t]:
        n = 0
        for q in range(c.n_members[v]):
            if labels[members[v, q]] == labels[t] and members[v, q] != t:
                rows[n] = members[v, q]
                n += 1
        joined, k = min(n, 1), 0  # rows[:joined] are joined; rows[:k] have no more neighbours
        while k < joined:
            for q in range(joined, n):
                if _n_common(tets, rows[q], rows[k]) == 3:
                    rows[joined], rows[q] = rows[q], rows[joined]
                    joined += 1
            k += 1
        if joined < n:
            return True
    return False


@njit(cache=True, nogil=True)
def _n_common(tets, s, t):  # type: ignore[no-untyped-def]
    n = 0
    for k in range(4):
        n += int(has_vertex(tets, s, tets[t, k]))
    return n
