"""Shape and connectivity of tetrahedra: volume, quality, edges, face neighbours.

A tetrahedron (a, b, c, d) is positively oriented if ``(b - a) x (c - a) . (d - a) > 0``.
Its face k is the one opposite to its vertex k, written so that its normal points outwards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE

FACES = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]])
EDGES = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])


@njit(cache=True, nogil=True)
def signed_volumes(points, tets):  # type: ignore[no-untyped-def]
    """Volume of each tetrahedron (m,), positive where it is positively oriented."""
    volumes = np.empty(tets.shape[0])
    u, v, w = np.empty(3), np.empty(3), np.empty(3)
    for t in range(tets.shape[0]):
        for i in range(3):
            origin = points[tets[t, 0], i]
            u[i] = points[tets[t, 1], i] - origin
            v[i] = points[tets[t, 2], i] - origin
            w[i] = points[tets[t, 3], i] - origin
        normal_x, normal_y = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2]
        normal_z = u[0] * v[1] - u[1] * v[0]
        volumes[t] = (normal_x * w[0] + normal_y * w[1] + normal_z * w[2]) / 6
    return volumes


@njit(cache=True, nogil=True)
def dihedral_angles(points, tets):  # type: ignore[no-untyped-def]
    """Angles between the faces of each tetrahedron (m, 6), degrees; 0 if a face has no area."""
    angles = np.zeros((tets.shape[0], 6))
    normals = np.empty((4, 3))
    for t in range(tets.shape[0]):
        flat = False
        for k in range(4):
            flat |= not _unit_normal(points, tets, t, k, normals[k])
        if flat:
            continue
        for e in range(6):
            a, b = normals[EDGES[e, 0]], normals[EDGES[e, 1]]
            cosine = -(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])
            angles[t, e] = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    return angles


@njit(cache=True, nogil=True)
def _unit_normal(points, tets, t, k, out):  # type: ignore[no-untyped-def]
    """Write the outward normal of face k of a tetrahedron; False if it has no area."""
    a, b, c = tets[t, FACES[k, 0]], tets[t, FACES[k, 1]], tets[t, FACES[k, 2]]
    square = 0.0
    for i in range(3):
        p, q = i - 2, i - 1
        out[i] = (points[b, p] - points[a, p]) * (points[c, q] - points[a, q])
        out[i] -= (points[b, q] - points[a, q]) * (points[c, p] - points[a, p])
        square += out[i] * out[i]
    if square == 0.0:
        return False
    for i in range(3):
        out[i] /= math.sqrt(square)
    return True


def inverse_condition(points: NDArray[np.float64], tets: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""Signed inverse condition number of each tetrahedron (m,), 1 for a regular one.

    .. math:: \mathrm{SICN} = \frac{3 \det A}{\|A\|_F \, \|\operatorname{adj} A\|_F},
              \qquad A = J W^{-1},

    J the edge vectors, W those of the regular tetrahedron; gmsh calls it ``minSICN``.
    """
    a, b, c, d = (points[tets[:, k]] for k in range(4))
    regular = [[1, 0.5, 0.5], [0, math.sqrt(3) / 2, math.sqrt(3) / 6], [0, 0, math.sqrt(2 / 3)]]
    matrix = np.stack([b - a, c - a, d - a], axis=2) @ np.linalg.inv(np.array(regular))
    u, v, w = matrix[:, :, 0], matrix[:, :, 1], matrix[:, :, 2]
    adjugate = np.stack([np.cross(v, w), np.cross(w, u), np.cross(u, v)], axis=1)
    determinant = np.einsum("ij,ij->i", u, adjugate[:, 0])
    norms = np.linalg.norm(matrix, axis=(1, 2)) * np.linalg.norm(adjugate, axis=(1, 2))
    quality: NDArray[np.float64] = 3 * determinant / np.maximum(norms, np.finfo(float).tiny)
    return quality


@njit(cache=True, nogil=True)
def cubed_mean_ratio(points, a, b, c, d):  # type: ignore[no-untyped-def]
    """Cube of the mean ratio 12 (3 V)^(2/3) / (sum of squared edges), negative where inverted.

    The cube needs no root, and orders tetrahedra in the same way.
    """
    ux, uy, uz = (
        points[b, 0] - points[a, 0],
        points[b, 1] - points[a, 1],
        points[b, 2] - points[a, 2],
    )
    vx, vy, vz = (
        points[c, 0] - points[a, 0],
        points[c, 1] - points[a, 1],
        points[c, 2] - points[a, 2],
    )
    wx, wy, wz = (
        points[d, 0] - points[a, 0],
        points[d, 1] - points[a, 1],
        points[d, 2] - points[a, 2],
    )
    det = (uy * vz - uz * vy) * wx + (uz * vx - ux * vz) * wy + (ux * vy - uy * vx) * wz
    squares = (
        ux * ux + uy * uy + uz * uz + vx * vx + vy * vy + vz * vz + wx * wx + wy * wy + wz * wz
    )
    squares += (ux - vx) ** 2 + (uy - vy) ** 2 + (uz - vz) ** 2
    squares += (ux - wx) ** 2 + (uy - wy) ** 2 + (uz - wz) ** 2
    squares += (vx - wx) ** 2 + (vy - wy) ** 2 + (vz - wz) ** 2
    if det <= 0.0 or squares == 0.0:
        return min(det, 0.0)
    return 432.0 * det * det / (squares * squares * squares)


@njit(cache=True, nogil=True)
def edge_table(tets, n_points):  # type: ignore[no-untyped-def]
    """Edges (n, 2), lower vertex first, and the six edges of each tetrahedron (m, 6)."""
    first = np.zeros(n_points + 1, np.int64)
    for t in range(tets.shape[0]):
        for e in range(6):
            first[min(tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]]) + 1] += 1
    for v in range(n_points):
        first[v + 1] += first[v]
    upper = np.empty(first[n_points], np.int32)  # edges of the lower vertex v from first[v] on
    count = np.zeros(n_points, np.int64)
    tet_edges = np.empty((tets.shape[0], 6), np.int32)
    for t in range(tets.shape[0]):
        for e in range(6):
            a, b = tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]]
            if a > b:
                a, b = b, a
            k = 0
            while k < count[a] and upper[first[a] + k] != b:
                k += 1
            if k == count[a]:
                upper[first[a] + k] = b
                count[a] += 1
            tet_edges[t, e] = k
    packed = np.zeros(n_points + 1, np.int64)
    for v in range(n_points):
        packed[v + 1] = packed[v] + count[v]
    edges = np.empty((packed[n_points], 2), np.int64)
    for v in range(n_points):
        for k in range(count[v]):
            edges[packed[v] + k, 0] = v
            edges[packed[v] + k, 1] = upper[first[v] + k]
    for t in range(tets.shape[0]):
        for e in range(6):
            tet_edges[t, e] += packed[min(tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]])]
    return edges, tet_edges


@njit(cache=True, nogil=True)
def edge_lengths(points, edges):  # type: ignore[no-untyped-def]
    """Lengths of edges (n, 2): (n,)."""
    lengths = np.empty(edges.shape[0])
    for e in range(edges.shape[0]):
        squared = 0.0
        for i in range(3):
            squared += (points[edges[e, 0], i] - points[edges[e, 1], i]) ** 2
        lengths[e] = math.sqrt(squared)
    return lengths


@njit(cache=True, nogil=True)
def edge_middles(points, edges):  # type: ignore[no-untyped-def]
    """Middles of edges (n, 2): (n, 3)."""
    middles = np.empty((edges.shape[0], 3))
    for e in range(edges.shape[0]):
        for i in range(3):
            middles[e, i] = (points[edges[e, 0], i] + points[edges[e, 1], i]) / 2
    return middles


@njit(cache=True, nogil=True)
def face_neighbours(tets, n_points):  # type: ignore[no-untyped-def]
    """Tetrahedron across each face (m, 4): -1 at a free face, -2 if more than two share it."""
    first = np.zeros(n_points + 1, np.int64)
    for t in range(tets.shape[0]):
        for k in range(4):
            first[_sorted_face(tets, t, k)[0] + 1] += 1
    for v in range(n_points):
        first[v + 1] += first[v]
    stored = np.empty(first[n_points], np.int32)  # 4 t + k of the faces seen with lowest vertex v
    others = np.empty((first[n_points], 2), np.int32)  # and their other vertices, ascending
    count = np.zeros(n_points, np.int64)
    neighbours = np.full((tets.shape[0], 4), -1)
    for t in range(tets.shape[0]):
        for k in range(4):
            a, b, c = _sorted_face(tets, t, k)
            for q in range(first[a], first[a] + count[a]):
                if others[q, 0] == b and others[q, 1] == c:
                    s, j = stored[q] // 4, stored[q] % 4
                    free = neighbours[s, j] == -1 and neighbours[t, k] == -1
                    neighbours[s, j] = t if free else -2
                    neighbours[t, k] = s if free else -2
            stored[first[a] + count[a]] = 4 * t + k
            others[first[a] + count[a], 0], others[first[a] + count[a], 1] = b, c
            count[a] += 1
    return neighbours


@njit(cache=True, nogil=True)
def _sorted_face(tets, t, k):  # type: ignore[no-untyped-def]
    a, b, c = tets[t, FACES[k, 0]], tets[t, FACES[k, 1]], tets[t, FACES[k, 2]]
    if a > b:
        a, b = b, a
    if b > c:
        b, c = c, b
    if a > b:
        a, b = b, a
    return a, b, c


def compacted(
    points: NDArray[np.float64], tets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Copy without the points that no tetrahedron uses; the order stays."""
    used = np.zeros(len(points), bool)
    used[tets] = True
    renumbered = np.cumsum(used) - 1
    return points[used], renumbered[tets]


def material_sides(
    grain_ids: NDArray[np.int32], neighbours: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Sides between materials, each once, as those of the higher grain, sorted by pair.

    Parameters
    ----------
    neighbours : (m, 4) or (m, 6) int
        Of `face_neighbours`, or of `hexahedra.hex_neighbours`.

    Returns
    -------
    rows, faces : (s,) int
        Element of each side, and which of its `FACES` or `HEX_FACES`.
    pairs : (s, 2) int32
        Grains (low, high) on its two sides, low 0 where there is none.
    """
    own = np.repeat(grain_ids[:, None], neighbours.shape[1], axis=1)
    other = np.where(neighbours >= 0, grain_ids[neighbours], OUTSIDE)
    rows, faces = np.nonzero(own > other)
    pairs = np.stack([other[rows, faces], own[rows, faces]], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return rows[order], faces[order], pairs[order]


def grouped(keys: NDArray[Any]) -> list[tuple[int, NDArray[np.int64]]]:
    """Each key with the rows that have it, both ascending.

    Examples
    --------
    >>> grouped(np.array([7, 3, 7]))
    [(3, array([1])), (7, array([0, 2]))]
    """
    order = np.argsort(keys, kind="stable")
    found, start = np.unique(keys[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, start)[1:], strict=True))
