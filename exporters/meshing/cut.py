"""Cut a background mesh along the grain boundaries and the shell.

Each vertex owns a set of labels (grain ids, 0 outside): a vertex inside a grain has one,
one on a boundary those of all materials that meet there. An edge whose ends share no
label crosses a boundary. If the crossing is near one end, that end takes the label from
beyond the crossing (it is moved onto the boundary later); else the crossing becomes a
new vertex with the labels of both sides. When no edge crosses any more, the label that
the four vertices of a tetrahedron share is the material it lies in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..mesh.tetrahedra import edge_lengths, edge_table
from ..optimisation.blocks import in_parts
from .lattice import split_edges

GrainAt = Callable[[NDArray[np.float64]], NDArray[np.int32]]

MAX_LABELS = 6  # of one vertex; where a seventh is called for, the centroids decide
NONE = -1
SNAP = 0.25  # a crossing this near to an end, as a part of the edge, belongs to that end
SNAP_ALL = 0.5
SPLITTING_PASSES = 4  # four grains can alternate for ever: then every crossing goes to an end
HALVINGS = 12  # of the interval that holds a crossing


def cut(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    grain_at: GrainAt,
    shortest: float,
    threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Split tetrahedra along the boundaries between labels.

    Parameters
    ----------
    points : (n, 3) float
    tets : (m, 4) int
        Conforming, positively oriented.
    grain_at
        Label of points (k, 3).
    shortest
        Edges shorter than this are not split: their crossings go to the nearer end.

    Returns
    -------
    points, tets, labels
        Conforming, positively oriented; 0 is outside.
    """
    own = grain_at(points)
    sets = np.full((len(points), MAX_LABELS), NONE, np.int32)
    sets[:, 0] = own
    finished = []
    for step in range(SPLITTING_PASSES + 1):
        edges, tet_edges = edge_table(tets, len(points))
        apart = ~_share_a_label(sets, edges)
        active = apart[tet_edges].any(axis=1)
        finished.append(tets[~active])
        tets, tet_edges = tets[active], tet_edges[active]
        length = edge_lengths(points, edges)
        last = step == SPLITTING_PASSES
        reach = np.where((length < shortest) | last, SNAP_ALL, SNAP)
        crossing, where, before, beyond = _unsnapped_crossings(
            points, edges, np.flatnonzero(apart), reach, own, sets, grain_at, threads
        )
        if len(crossing) == 0:
            break
        split = np.zeros(len(edges), bool)
        split[crossing] = True
        start, stop = points[edges[crossing, 0]], points[edges[crossing, 1]]
        new_points = start + where[:, None] * (stop - start)
        points, tets, _ = split_edges(points, tets, tet_edges, length, split, new_points)
        new_sets = np.full((len(crossing), MAX_LABELS), NONE, np.int32)
        new_sets[:, 0], new_sets[:, 1] = before, beyond
        sets = np.concatenate([sets, new_sets])
        own = np.concatenate([own, before])
    tets = np.concatenate([*finished, tets])
    labels = in_parts(
        lambda part: _tet_labels(points, tets[part], sets, grain_at), len(tets), threads
    )
    return points, tets, np.concatenate(labels)


def _unsnapped_crossings(
    points: NDArray[np.float64],
    edges: NDArray[np.int64],
    crossing: NDArray[np.int64],
    reach: NDArray[np.float64],
    own: NDArray[np.int32],
    sets: NDArray[np.int32],
    grain_at: GrainAt,
    threads: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """Give near crossings to the ends of their edges, in ``sets``; return those that are left.

    Returns
    -------
    crossing : (k,) int
        Edges to split, ascending.
    where : (k,) float
        Place of the crossing as a part of the edge.
    before, beyond : (k,) int32
        Labels on both sides of it.
    """
    while True:
        where, before, beyond = _first_crossings(
            points, edges[crossing], own, sets, grain_at, threads
        )
        from_end = np.minimum(where, 1 - where)
        near = np.flatnonzero(from_end <= reach[crossing])
        near = near[np.argsort(from_end[near], kind="stable")]
        if _snap(sets, edges[crossing], near, where, before, beyond) == 0:
            far = from_end > reach[crossing]  # what is near and still here has no room for a label
            return crossing[far], where[far], before[far], beyond[far]
        crossing = crossing[~_share_a_label(sets, edges[crossing])]


def _first_crossings(
    points: NDArray[np.float64],
    edges: NDArray[np.int64],
    own: NDArray[np.int32],
    sets: NDArray[np.int32],
    grain_at: GrainAt,
    threads: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """Where each edge leaves the labels of its first vertex, and the labels on both sides."""
    found = in_parts(
        lambda part: _some_first_crossings(points, edges[part], own, sets, grain_at),
        len(edges),
        threads,
    )
    where, before, beyond = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return where, before, beyond


def _some_first_crossings(
    points: NDArray[np.float64],
    edges: NDArray[np.int64],
    own: NDArray[np.int32],
    sets: NDArray[np.int32],
    grain_at: GrainAt,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    low, high = np.zeros(len(edges)), np.ones(len(edges))
    before, beyond = own[edges[:, 0]], own[edges[:, 1]]
    for _ in range(HALVINGS):
        label = grain_at(_middles(points, edges, low, high))
        _halve(low, high, before, beyond, label, sets, edges)
    return (low + high) / 2, before, beyond


@njit(cache=True, nogil=True)
def _middles(points, edges, low, high):  # type: ignore[no-untyped-def]
    """Places (n, 3) in the middle of an interval of each edge."""
    middles = np.empty((edges.shape[0], 3))
    for e in range(edges.shape[0]):
        part = (low[e] + high[e]) / 2
        for i in range(3):
            start, stop = points[edges[e, 0], i], points[edges[e, 1], i]
            middles[e, i] = start + part * (stop - start)
    return middles


@njit(cache=True, nogil=True)
def _halve(low, high, before, beyond, label, sets, edges):  # type: ignore[no-untyped-def]
    """Keep the half of each interval in which the labels of the first vertex are left."""
    for e in range(edges.shape[0]):
        still = False
        for allowed in sets[edges[e, 0]]:
            still = still or allowed == label[e]
        if still:
            low[e], before[e] = (low[e] + high[e]) / 2, label[e]
        else:
            high[e], beyond[e] = (low[e] + high[e]) / 2, label[e]


@njit(cache=True, nogil=True)
def _share_a_label(sets, edges):  # type: ignore[no-untyped-def]
    shared = np.zeros(edges.shape[0], np.bool_)
    for e in range(edges.shape[0]):
        shared[e] = _common(sets, edges[e, 0], edges[e, 1])
    return shared


@njit(cache=True, nogil=True)
def _common(sets, a, b):  # type: ignore[no-untyped-def]
    found = False
    for i in range(sets.shape[1]):
        if sets[a, i] == NONE:
            break
        for j in range(sets.shape[1]):
            if sets[b, j] == NONE:
                break
            found = found or sets[a, i] == sets[b, j]
    return found


@njit(cache=True, nogil=True)
def _snap(sets, edges, near, where, before, beyond):  # type: ignore[no-untyped-def]
    """Add the label from beyond the crossing to the nearer end of each edge in ``near``.

    Edges whose ends share a label by then are passed over; returns how many were added.
    """
    added = 0
    for e in near:
        if _common(sets, edges[e, 0], edges[e, 1]):
            continue
        near_start = where[e] <= 0.5
        vertex = edges[e, 0] if near_start else edges[e, 1]
        label = beyond[e] if near_start else before[e]
        for i in range(sets.shape[1]):
            if sets[vertex, i] == label:
                break
            if sets[vertex, i] == NONE:
                sets[vertex, i] = label
                added += 1
                break
    return added


def _tet_labels(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    sets: NDArray[np.int32],
    grain_at: GrainAt,
) -> NDArray[np.int32]:
    """The one label that four vertices share; where there is not just one, that at the centroid."""
    labels, shared = _shared_by_four(sets, tets)
    doubtful = shared != 1
    labels[doubtful] = grain_at(points[tets[doubtful]].mean(axis=1))
    return labels


@njit(cache=True, nogil=True)
def _shared_by_four(sets, tets):  # type: ignore[no-untyped-def]
    """First label that the vertices of each tetrahedron share, and how many they share."""
    labels, shared = np.full(tets.shape[0], NONE, np.int32), np.zeros(tets.shape[0], np.int64)
    for t in range(tets.shape[0]):
        for i in range(sets.shape[1]):
            label = sets[tets[t, 0], i]
            everywhere = label != NONE
            for k in range(1, 4):
                here = False
                for j in range(sets.shape[1]):
                    here = here or sets[tets[t, k], j] == label
                everywhere = everywhere and here
            if everywhere:
                if shared[t] == 0:
                    labels[t] = label
                shared[t] += 1
    return labels, shared
