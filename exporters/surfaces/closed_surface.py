"""Make a surface watertight where it touches itself, also for readers that merge vertices.

The boundary of a solid made of tetrahedra has an even number of triangles at every edge.
Where there are four or more, the solid touches itself along that edge: the triangles are
paired such that the two of a pair bound the same wedge of the solid. Corners that hang
together over pairs are one vertex, others are copies of it at the same place. If both
ends of such an edge stay one vertex, the wedges get a copy each of its midpoint.

STL has no vertex numbers, and most readers merge vertices at one place, which glues the
wedges together again. So the first copy of a vertex moves into the solid by one `reach`, the
second by two, and so on: in any directions they are a `reach` apart at least. That is `STEPS`
steps of single precision at the largest coordinate, 0.02 nm in a particle of 10 um, whose
thinnest tetrahedra are a hundred times thicker.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...generator.errors import ExportError

STEPS = 32


def separated(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Surface in which every edge has two triangles and no two vertices are at one place.

    Parameters
    ----------
    points : (n, 3) float
    triangles : (k, 3) int
        Boundary of a solid, normals outwards.

    Returns
    -------
    points, triangles
        Vertices are where they were, but the k-th copy of one is k times `reach` away from it.

    Raises
    ------
    ExportError
        If the triangles do not bound a solid.
    """
    first, second = _paired_sides(points, triangles)
    points, triangles = _with_copies(points, triangles, first, second)
    crowded = _crowded_pairs(triangles, first, second)
    points, triangles = _with_midpoints(points, triangles, crowded)
    return _with_copies_apart(points, triangles), triangles


def reach(points: NDArray[np.float64]) -> float:
    """How far the first copy of a vertex moves, `STEPS` steps of float32."""
    return STEPS * float(np.spacing(np.float32(np.abs(points).max(initial=0.0))))


def _paired_sides(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sides 3 t + i, from corner i of triangle t to the next, that are glued: (s,), (s,)."""
    start, stop = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    order = np.lexsort((start != low, high, low))
    key = low[order] * len(points) + high[order]
    begin = np.flatnonzero(np.diff(key, prepend=-1))
    count = np.diff(begin, append=len(key))
    forward = start[order] == low[order]
    half = np.add.reduceat(forward, begin)
    if (2 * half != count).any():
        msg = f"{int((2 * half != count).sum())} edges of a surface are open: it bounds no solid"
        raise ExportError(msg)
    plain = begin[count == 2]
    pairs = [np.stack([order[plain], order[plain + 1]], axis=1)]
    for b, n in zip(begin[count > 2].tolist(), count[count > 2].tolist(), strict=True):
        pairs.append(_paired_round_edge(points, triangles, order[b : b + n]))
    glued = np.concatenate(pairs)
    return glued[:, 0], glued[:, 1]


def _paired_round_edge(
    points: NDArray[np.float64], triangles: NDArray[np.int64], sides: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Pairs of sides (p, 2) at one edge whose triangles bound the same wedge of the solid.

    The first half of ``sides`` run along the edge, the others against it. Turning round
    the edge by the right hand, the solid begins at a triangle whose side runs against it
    and ends at one whose side runs along it.
    """
    t, i = np.divmod(sides, 3)
    a, b = triangles[t[0], i[0]], triangles[t[0], (i[0] + 1) % 3]
    axis = points[b] - points[a]
    axis /= np.linalg.norm(axis)
    arms = points[triangles[t, (i + 2) % 3]] - points[a]
    arms -= (arms @ axis)[:, None] * axis
    angle = np.arctan2(arms @ np.cross(axis, arms[0]), arms @ arms[0])
    turn = np.argsort(np.mod(angle, 2 * np.pi), kind="stable")
    along = triangles[t, i] == a
    if (along[turn] == along[np.roll(turn, -1)]).any():
        msg = f"triangles overlap at the edge from {points[a]} to {points[b]}: they bound no solid"
        raise ExportError(msg)
    begins = np.flatnonzero(~along[turn])
    return np.stack([sides[turn[begins]], sides[np.roll(turn, -1)[begins]]], axis=1)


def _with_copies(
    points: NDArray[np.float64],
    triangles: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One vertex for each set of corners that hang together over glued sides."""
    n = triangles.size
    ends = _next_corner(first), _next_corner(second)  # glued sides run in opposite directions
    rows, columns = np.concatenate([first, ends[0]]), np.concatenate([ends[1], second])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    n_vertices, vertex = connected_components(graph, directed=False)
    origin = np.empty(n_vertices, np.int64)
    origin[vertex] = triangles.ravel()
    return points[origin], vertex.reshape(-1, 3).astype(np.int64)


def _next_corner(sides: NDArray[np.int64]) -> NDArray[np.int64]:
    return sides - sides % 3 + (sides + 1) % 3


def _crowded_pairs(
    triangles: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Pairs of sides whose edge still has another pair."""
    corners = triangles.ravel()
    ends = np.sort(np.stack([corners[first], corners[_next_corner(first)]], axis=1), axis=1)
    _, index, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    crowded = np.flatnonzero(count[index.ravel()] > 1)
    return list(zip(first[crowded].tolist(), second[crowded].tolist(), strict=True))


def _with_midpoints(
    points: NDArray[np.float64], triangles: NDArray[np.int64], crowded: list[tuple[int, int]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Split both triangles of each pair at a midpoint of their own."""
    middles: dict[int, dict[int, int]] = {}  # triangle -> side -> new vertex
    added = []
    for pair in crowded:
        t, i = divmod(pair[0], 3)
        added.append((points[triangles[t, i]] + points[triangles[t, (i + 1) % 3]]) / 2)
        for side in pair:
            middles.setdefault(side // 3, {})[side % 3] = len(points) + len(added) - 1
    if not crowded:
        return points, triangles
    pieces = [
        piece for t, own in middles.items() for piece in _split_triangle(triangles[t].tolist(), own)
    ]
    kept = np.delete(triangles, list(middles), axis=0)
    return np.concatenate([points, added]), np.concatenate([kept, np.array(pieces, np.int64)])


def _split_triangle(corners: list[int], middles: dict[int, int]) -> list[list[int]]:
    """Triangles (a, b, c) whose sides i have a vertex ``middles[i]``, orientation kept."""
    if len(middles) == 3:
        inner = [middles[i] for i in range(3)]
        return [inner, *([corners[i], inner[i], inner[i - 1]] for i in range(3))]
    i = min(middles)
    a, b, c = (corners[(i + k) % 3] for k in range(3))
    m = middles[i]
    rest = {(side - i) % 3: vertex for side, vertex in middles.items() if side != i}
    if 1 in rest:  # side b-c
        return [[a, m, c], [m, b, rest[1]], [m, rest[1], c]]
    if 2 in rest:  # side c-a
        return [[m, b, c], [a, m, rest[2]], [m, c, rest[2]]]
    return [[a, m, c], [m, b, c]]


def _with_copies_apart(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Points of which the copies of one moved against the normals of their triangles."""
    order = np.lexsort(points.T)
    same = (np.diff(points[order], axis=0) == 0).all(axis=1)
    place = np.concatenate([[0], np.cumsum(~same)])
    copy = np.empty(len(points))  # 0 for the vertex itself
    copy[order] = np.arange(len(points)) - np.searchsorted(place, place)
    near = triangles[(copy > 0)[triangles].any(axis=1)]
    inwards = -_summed_normals(points, near)
    length = np.linalg.norm(inwards, axis=1)
    inwards[length == 0] = [1.0, 0.0, 0.0]
    length[length == 0] = 1.0
    moved: NDArray[np.float64] = points + (reach(points) * copy / length)[:, None] * inwards
    return moved


def _summed_normals(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sum of the unit normals of the triangles at each point, weighted by their angles there."""
    corners = points[triangles]
    sides = np.roll(corners, -1, axis=1) - corners
    sides /= np.linalg.norm(sides, axis=2, keepdims=True)
    normals = np.cross(sides[:, 0], sides[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cosines = -np.einsum("tij,tij->ti", sides, np.roll(sides, 1, axis=1))
    angles = np.arccos(np.clip(cosines, -1, 1))
    sums = np.zeros_like(points)
    np.add.at(sums, triangles, angles[:, :, None] * normals[:, None])
    return sums
