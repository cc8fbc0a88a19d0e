"""The background mesh: a body-centred cubic lattice, refined where the grains ask for it.

Lattice points are given in units of the lattice step. They are dyadic fractions and so
exact in float64: edges of equal length compare equal, and every tetrahedron that
longest-edge bisection makes of a lattice belongs to one of few similarity classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from ..mesh.tetrahedra import EDGES, FACES, edge_lengths, edge_middles, edge_table

Contains = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
Needs = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.bool_]]

LAYERS = 2  # cells kept around the body: the star of each vertex on its surface is whole


def body_centred_lattice(
    contains: Contains, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Lattice tetrahedra that cover a body, with two layers of cells around it.

    Each face between two cubic cells carries four tetrahedra, made of the two cell
    centres and one edge of the face. All are congruent, their dihedral angles are 60 and
    90 degrees.

    Parameters
    ----------
    contains
        Whether points (n, 3), in units of the step, lie in the body.
    radius
        Of a ball about the origin that holds the body, in units of the step.

    Returns
    -------
    points : (n, 3) float
        In units of the step.
    tets : (m, 4) int
        Positively oriented.
    """
    half = int(np.ceil(radius)) + LAYERS + 1
    axis = np.arange(-half, half + 1)
    corners = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.concatenate([corners, corners + 0.5])
    inside = contains(points).reshape(2, *[len(axis)] * 3)
    kept = _cells_kept(inside[0], inside[1])
    tets = np.concatenate([_tets_across_faces(kept, direction) for direction in range(3)])
    used, renumbered = np.unique(tets, return_inverse=True)
    return points[used], renumbered.reshape(-1, 4)


def _cells_kept(
    corner_inside: NDArray[np.bool_], centre_inside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Cells (i, j, k) with a point in the body, and `LAYERS` of cells around them."""
    touched = centre_inside.copy()
    for shift in np.ndindex(2, 2, 2):  # the corners of cell (i, j, k) are i..i+1, j..j+1, k..k+1
        cells = tuple(slice(0, -1) if s else slice(None) for s in shift)
        corners = tuple(slice(s, None) for s in shift)
        touched[cells] |= corner_inside[corners]
    kept: NDArray[np.bool_] = ndimage.binary_dilation(touched, np.ones((3, 3, 3), bool), LAYERS)
    return kept


def _tets_across_faces(kept: NDArray[np.bool_], direction: int) -> NDArray[np.int64]:
    """Four tetrahedra for each face between two kept cells along one axis."""
    n = len(kept)
    step = np.array([n * n, n, 1])
    along, u, v = np.roll(step, -direction)
    first = tuple(slice(0, -1) if axis == direction else slice(None) for axis in range(3))
    second = tuple(slice(1, None) if axis == direction else slice(None) for axis in range(3))
    pair = np.zeros_like(kept)
    pair[first] = kept[first] & kept[second]
    cell = np.flatnonzero(pair)
    ring = [cell + along, cell + along + u, cell + along + u + v, cell + along + v]
    centre, beyond = cell + n**3, cell + along + n**3
    tets = [np.stack([centre, beyond, ring[k], ring[(k + 1) % 4]], axis=1) for k in range(4)]
    return np.concatenate(tets)


def refined(
    points: NDArray[np.float64], tets: NDArray[np.int64], needs: Needs
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Bisect the longest edges of all tetrahedra that ``needs`` names until none is left.

    ``needs(points, tets)`` is asked once per tetrahedron; it must refuse below some size.
    The mesh stays conforming: a face with a split edge also has its longest edge split.
    """
    fresh = np.ones(len(tets), bool)
    while True:
        wanted = np.zeros(len(tets), bool)
        wanted[fresh] = needs(points, tets[fresh])
        if not wanted.any():
            return points, tets
        points, tets, fresh = _bisected(points, tets, wanted)


def _bisected(
    points: NDArray[np.float64], tets: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Points and tetrahedra with the wanted ones bisected, and which are new.

    Only those around vertices that splits come near to are looked at.
    """
    near = np.zeros(len(points), bool)
    near[tets[wanted]] = True
    while True:
        looked_at = _touching(tets, near)
        some = tets[looked_at]
        edges, tet_edges = edge_table(some, len(points))
        length = edge_lengths(points, edges)
        split = closed_marks(tet_edges, length, wanted[looked_at])
        if near[edges[split]].any(axis=1).all():  # all tetrahedra at these edges were looked at
            break
        near[edges[split]] = True
    middles = edge_middles(points, edges[split])
    points, children, parents = split_edges(points, some, tet_edges, length, split, middles)
    return points, *_replaced(tets, looked_at, children, parents)


@njit(cache=True, nogil=True)
def _replaced(tets, looked_at, children, parents):  # type: ignore[no-untyped-def]
    """Tetrahedra with the children of those looked at in their places, and which are new."""
    n = tets.shape[0] - looked_at.sum() + children.shape[0]
    result, fresh = np.empty((n, 4), np.int64), np.zeros(n, np.bool_)
    row, child, parent = 0, 0, 0
    for t in range(tets.shape[0]):
        if not looked_at[t]:
            for k in range(4):
                result[row, k] = tets[t, k]
            row += 1
            continue
        first = row
        while child < parents.size and parents[child] == parent:
            for k in range(4):
                result[row, k] = children[child, k]
            child, row = child + 1, row + 1
        if row - first > 1:
            fresh[first:row] = True
        parent += 1
    return result, fresh


@njit(cache=True, nogil=True)
def _touching(tets, near):  # type: ignore[no-untyped-def]
    """Whether each tetrahedron has a vertex that is near."""
    touching = np.zeros(tets.shape[0], np.bool_)
    for t in range(tets.shape[0]):
        for k in range(4):
            touching[t] |= near[tets[t, k]]
    return touching


def split_edges(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    tet_edges: NDArray[np.int64],
    length: NDArray[np.float64],
    split: NDArray[np.bool_],
    new_points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Put one new point into each ``split`` edge; in each tetrahedron the longest edge first.

    The order is the same on both sides of a face, so that a conforming mesh stays one.

    Returns
    -------
    points, tets
        Of the new mesh; old points keep their numbers, orientation is kept.
    parents : (m,) int
        The old tetrahedron that each new one lies in.
    """
    inserted = np.full(len(split), -1)
    inserted[split] = len(points) + np.arange(len(new_points))
    nothing = np.empty((0, 4), np.int64)
    n_children = _subdivide(tets, tet_edges, length, inserted, nothing, nothing[:, 0])
    children, parents = np.empty((n_children, 4), np.int64), np.empty(n_children, np.int64)
    _subdivide(tets, tet_edges, length, inserted, children, parents)
    return np.concatenate([points, new_points]), children, parents


@njit(cache=True, nogil=True)
def _longer(length, e, f):  # type: ignore[no-untyped-def]
    """Whether edge e comes before edge f: the longer, of equal ones the lower index."""
    return length[e] > length[f] or (length[e] == length[f] and e < f)


@njit(cache=True, nogil=True)
def closed_marks(tet_edges, length, wanted):  # type: ignore[no-untyped-def]
    """Mark the longest edge of each wanted tetrahedron and of each face with a marked edge."""
    marked = np.zeros(length.size, np.bool_)
    for tet in np.flatnonzero(wanted):
        longest = tet_edges[tet, 0]
        for k in range(1, 6):
            if _longer(length, tet_edges[tet, k], longest):
                longest = tet_edges[tet, k]
        marked[longest] = True
    changed = True
    while changed:
        changed = False
        for t in range(tet_edges.shape[0]):
            for k in range(4):
                e, f, g = _face_edges(tet_edges, t, k)
                if marked[e] or marked[f] or marked[g]:
                    longest = e
                    if _longer(length, f, longest):
                        longest = f
                    if _longer(length, g, longest):
                        longest = g
                    if not marked[longest]:
                        marked[longest] = True
                        changed = True
    return marked


EDGE_BETWEEN = np.full((4, 4), -1)
EDGE_BETWEEN[EDGES[:, 0], EDGES[:, 1]] = EDGE_BETWEEN[EDGES[:, 1], EDGES[:, 0]] = np.arange(6)


@njit(cache=True, nogil=True)
def _face_edges(tet_edges, t, k):  # type: ignore[no-untyped-def]
    a, b, c = FACES[k, 0], FACES[k, 1], FACES[k, 2]
    return (
        tet_edges[t, EDGE_BETWEEN[a, b]],
        tet_edges[t, EDGE_BETWEEN[b, c]],
        tet_edges[t, EDGE_BETWEEN[a, c]],
    )


@njit(cache=True, nogil=True)
def _subdivide(tets, tet_edges, length, inserted, children, parents):  # type: ignore[no-untyped-def]
    """Write the children of all tetrahedra if ``children`` has room; return their number."""
    count = 0
    stack = np.empty((16, 4), np.int64)  # vertices 0..3 of the parent, 4 + e in its edge e
    for t in range(tets.shape[0]):
        top = 1
        for k in range(4):
            stack[0, k] = k
        while top > 0:
            top -= 1
            chosen, p, q = -1, 0, 0
            for i in range(3):
                for j in range(i + 1, 4):
                    if stack[top, i] < 4 and stack[top, j] < 4:
                        e = EDGE_BETWEEN[stack[top, i], stack[top, j]]
                        edge = tet_edges[t, e]
                        if inserted[edge] >= 0 and (
                            chosen < 0 or _longer(length, edge, tet_edges[t, chosen])
                        ):
                            chosen, p, q = e, i, j
            if chosen >= 0:
                for k in range(4):
                    stack[top + 1, k] = stack[top, k]
                stack[top, p] = 4 + chosen
                stack[top + 1, q] = 4 + chosen
                top += 2
                continue
            if count < parents.size:
                for k in range(4):
                    local = stack[top, k]
                    if local < 4:
                        children[count, k] = tets[t, local]
                    else:
                        children[count, k] = inserted[tet_edges[t, local - 4]]
                parents[count] = t
            count += 1
    return count
