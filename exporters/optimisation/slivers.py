"""Give flat elements at a boundary to the material on its other side.

A flat tetrahedron with two faces towards another material is a fold of the boundary: it is
handed over, which exchanges one diagonal of the boundary for the other. One with three
faces towards it is a bump and is handed over too. Both keep the boundary a manifold.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..mesh.material_field import NONE, add_material
from ..mesh.tetrahedra import FACES
from .tet_complex import (
    MAX_AFFECTED,
    MAX_RING,
    VACANT,
    across_face,
    admitted,
    book,
    ring_around,
    tet_quality,
    tet_volume,
)

ALL = 2**31 - 1  # labels are grains


@njit(cache=True, nogil=True)
def hand_over(c, threshold, largest, n_grains=ALL):  # type: ignore[no-untyped-def]
    """Relabel elements worse than ``threshold`` and small; returns how many.

    ``largest`` is a volume as a part of the size cubed. What has a label above ``n_grains`` lies
    beyond a plane, which stays plane.
    """
    points, tets, labels = c.points, c.tets, c.labels
    volumes, materials = c.volumes, c.materials
    changed, this_round = c.changed, c.round[0]
    ring, rows = np.empty(MAX_RING, np.int64), np.empty(MAX_RING, np.int64)
    changes, affected = np.empty(MAX_AFFECTED), np.empty(MAX_AFFECTED, np.int64)
    across = np.empty(4, np.int64)
    n_changed = 0
    for t in range(tets.shape[0]):
        if labels[t] == VACANT or tet_quality(points, tets, labels, t) >= threshold:
            continue
        volume = tet_volume(points, tets, t)
        if volume > largest * c.sizes[labels[t]] ** 3 or not _labels_across(c, t, across):
            continue
        label = labels[t]
        other = _receiver(c, t, label, across, ring, rows)
        if other == NONE or max(label, other) > n_grains:
            continue
        affected[:] = NONE
        book(changes, affected, label, -volume)
        book(changes, affected, other, volume)
        if not admitted(c, changes, affected):
            continue
        volumes[label] -= volume
        volumes[other] += volume
        labels[t] = other
        for k in range(4):
            add_material(materials[tets[t, k]], other)
            changed[tets[t, k]] = this_round
        n_changed += 1
    return n_changed


@njit(cache=True, nogil=True)
def _labels_across(c, t, out):  # type: ignore[no-untyped-def]
    tets, labels = c.tets, c.labels
    for f in range(4):
        s = across_face(c, t, tets[t, FACES[f, 0]], tets[t, FACES[f, 1]], tets[t, FACES[f, 2]])
        if s < 0:
            return False
        out[f] = labels[s]
    return True


@njit(cache=True, nogil=True)
def _receiver(c, t, label, across, ring, rows):  # type: ignore[no-untyped-def]
    """Material that the element can be given to; NONE if there is none."""
    for f in range(4):
        other = across[f]
        if other == label:
            continue
        n_other, n_own, second, own = 0, 0, f, 0
        for g in range(4):
            if across[g] == other:
                n_other += 1
                second = g
            elif across[g] == label:
                n_own += 1
                own = g
        if n_other == 2 and n_own == 2 and _is_inner(c, t, f, second, label, ring, rows):
            return other
        if n_other == 3 and n_own == 1 and _is_apex(c, t, own, label):
            return other
    return NONE


@njit(cache=True, nogil=True)
def _is_inner(c, t, f, g, label, ring, rows):  # type: ignore[no-untyped-def]
    """Whether the edge opposite to the fold lies inside the material."""
    labels = c.labels
    n = ring_around(c, c.tets[t, f], c.tets[t, g], ring, rows)
    for k in range(n):
        if labels[rows[k]] != label:
            return False
    return n > 0


@njit(cache=True, nogil=True)
def _is_apex(c, t, f, label):  # type: ignore[no-untyped-def]
    """Whether the element is the only one of its material at its vertex f."""
    labels, members, v = c.labels, c.members, c.tets[t, f]
    for q in range(c.n_members[v]):
        if members[v, q] != t and labels[members[v, q]] == label:
            return False
    return True
