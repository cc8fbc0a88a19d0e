"""Make the surface of the labelled tetrahedra one closed manifold.

Where tetrahedra of the particle meet only in a vertex or an edge, its surface touches
itself. Seen from a vertex of the surface, the surface is a disk if and only if the
tetrahedra inside around it hang together over faces, and those outside do too. Each such
group is called a fan. Where there are more fans than two, the smaller ones change sides.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..mesh.pieces import connected_pieces, find_root, unite
from ..mesh.tetrahedra import face_neighbours, signed_volumes

MAX_ROUNDS = 20


def manifold_outside(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    neighbours: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int32], int]:
    """Labels with which the surface between 0 and the rest is one closed manifold.

    Parameters
    ----------
    labels : (m,) int32
        Grain ids, 0 outside. All neighbours of the tetrahedra inside must be there.
    neighbours
        Of `face_neighbours`, where they are known.

    Returns
    -------
    labels : (m,) int32
    n_changed : int
        Number of tetrahedra that went outside or were given to a neighbouring grain. If
        `MAX_ROUNDS` do not do, defects are left: count them in the result.
    """
    if neighbours is None:
        neighbours = face_neighbours(tets, len(points))
    volumes = signed_volumes(points, tets)
    repaired = labels.copy()
    for _ in range(MAX_ROUNDS):
        inside = repaired != OUTSIDE
        stray, adopted = _stray_pieces(neighbours, repaired, inside, volumes)
        if not stray.any():
            stray, adopted = _stray_fans(tets, neighbours, repaired, inside, volumes, len(points))
        dropped = stray & inside
        filled = stray & ~inside & (adopted != OUTSIDE)
        if dropped.any():
            repaired[dropped] = OUTSIDE
        elif filled.any():
            repaired[filled] = adopted[filled]
        else:
            break
    return repaired, int((repaired != labels).sum())


@njit(cache=True, nogil=True)
def _stray_pieces(neighbours, labels, inside, volumes):  # type: ignore[no-untyped-def]
    """Tetrahedra of all pieces inside and outside but the largest, and a label for each."""
    n = labels.size
    piece = connected_pieces(neighbours, inside)
    size = np.zeros(n)
    for t in range(n):
        size[piece[t]] += volumes[t]
    largest = np.full(2, -1)
    for t in range(n):
        side = int(inside[t])
        if piece[t] == t and (largest[side] < 0 or size[t] > size[largest[side]]):
            largest[side] = t
    stray = np.zeros(n, np.bool_)
    adopted = np.zeros(n, labels.dtype)
    for t in range(n):
        stray[t] = piece[t] != largest[int(inside[t])]
        if stray[t]:
            for k in range(4):
                s = neighbours[t, k]
                if s >= 0 and inside[s] != inside[t]:
                    adopted[piece[t]] = max(adopted[piece[t]], labels[s])
    for t in range(n):
        if stray[t]:
            adopted[t] = adopted[piece[t]]
    return stray, adopted


@njit(cache=True, nogil=True)
def _stray_fans(tets, neighbours, labels, inside, volumes, n_points):  # type: ignore[no-untyped-def]
    """Tetrahedra of all fans at a vertex but the largest of its side, and a label for each."""
    n = labels.size
    surface = _surface_vertices(tets, inside, n_points)
    fan = _corner_fans(tets, neighbours, inside, surface)
    size = np.zeros(4 * n)
    label = np.zeros(4 * n, labels.dtype)  # of the tetrahedra across the faces of a fan
    for t in range(n):
        for i in range(4):
            if not surface[tets[t, i]]:
                continue
            root = fan[4 * t + i]
            size[root] += volumes[t]
            for k in range(4):
                s = neighbours[t, k]
                if k != i and s >= 0 and inside[s] != inside[t]:
                    label[root] = max(label[root], labels[s])
    largest = np.full((n_points, 2), -1)
    for t in range(n):
        for i in range(4):
            v, side, root = tets[t, i], int(inside[t]), fan[4 * t + i]
            if not surface[v]:
                continue
            if largest[v, side] < 0 or size[root] > size[largest[v, side]]:
                largest[v, side] = root
    stray = np.zeros(n, np.bool_)
    adopted = np.zeros(n, labels.dtype)
    for t in range(n):
        for i in range(4):
            root = fan[4 * t + i]
            if surface[tets[t, i]] and root != largest[tets[t, i], int(inside[t])]:
                stray[t] = True
                adopted[t] = max(adopted[t], label[root])
    return stray, adopted


@njit(cache=True, nogil=True)
def _surface_vertices(tets, inside, n_points):  # type: ignore[no-untyped-def]
    """Whether each vertex has tetrahedra on both sides: the others have one fan."""
    sides = np.zeros((n_points, 2), np.bool_)
    for t in range(tets.shape[0]):
        for i in range(4):
            sides[tets[t, i], int(inside[t])] = True
    return sides[:, 0] & sides[:, 1]


@njit(cache=True, nogil=True)
def _corner_fans(tets, neighbours, keys, surface):  # type: ignore[no-untyped-def]
    """Representative of the fan that each corner 4 t + i at the surface belongs to."""
    parent = np.arange(4 * tets.shape[0])
    for t in range(tets.shape[0]):
        for k in range(4):
            s = neighbours[t, k]
            if s > t and keys[s] == keys[t]:
                for i in range(4):
                    if i != k and surface[tets[t, i]]:
                        for j in range(4):
                            if tets[s, j] == tets[t, i]:
                                unite(parent, 4 * t + i, 4 * s + j)
    for corner in range(parent.size):
        parent[corner] = find_root(parent, corner)
    return parent


def manifold_part(
    points: NDArray[np.float64], tets: NDArray[np.int64], labels: NDArray[np.int32], n_grains: int
) -> NDArray[np.int32]:
    """Labels with which the surface of the grains alone is one closed manifold.

    What has a label above ``n_grains``, beyond a plane, counts as outside; a tetrahedron that a
    grain loses becomes what is next to it there.
    """
    apart = np.where(labels > n_grains, np.int32(OUTSIDE), labels)
    repaired, n_changed = manifold_outside(points, tets, apart)
    if not n_changed:
        return labels
    lost = (repaired == OUTSIDE) & (apart != OUTSIDE)
    found = np.where((repaired != apart) & ~lost, repaired, labels)
    neighbours = face_neighbours(tets, len(points))
    for _ in range(MAX_ROUNDS):
        if not lost.any():
            break
        for t in np.flatnonzero(lost):
            beside = neighbours[t][neighbours[t] >= 0]
            beside = beside[
                ~lost[beside] & ((found[beside] == OUTSIDE) | (found[beside] > n_grains))
            ]
            if len(beside):
                found[t], lost[t] = found[beside].max(), False
    return found
