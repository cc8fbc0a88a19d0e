"""How the tetrahedra of each grain are joined: necks, contacts with itself, its surface.

A grain is its tetrahedra, joined over common faces. Where it touches itself in an edge or a
node only, the two sides count as apart, as in the closed surfaces of `exporters/surfaces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..mesh.pieces import find_root, unite
from ..mesh.tetrahedra import EDGES, FACES

if TYPE_CHECKING:
    from ..mesh.volume_mesh import VolumeMesh

NECK_SHARE = 0.02  # of a grain, behind one triangle
LISTED = 50  # rows of a list; the totals count all


@dataclass(frozen=True)
class Neck:
    """A triangle that is all that holds a part of a grain."""

    grain_id: int
    share: float  # of the grain, on the smaller side
    centroid_um: tuple[float, ...]


@dataclass(frozen=True)
class NoSphere:
    """A grain whose surface is not one sphere.

    Parameters
    ----------
    n_surfaces
        Closed surfaces that bound it: 2 if it encloses something.
    genus
        Handles of all of them: 1 for a ring.
    """

    grain_id: int
    n_surfaces: int
    genus: int


@dataclass(frozen=True)
class GrainTopology:
    """How the tetrahedra of each grain are joined.

    Parameters
    ----------
    n_necks, n_grains_with_necks
        Triangles behind which at least `NECK_SHARE` of a grain lies, joined to the rest of
        it by nothing else; grains that have one.
    largest_neck_share
        Of a grain, behind one of them; 0 if there is none.
    necks
        Those with the largest shares, at most `LISTED`.
    n_touching_nodes
        Nodes in which a grain touches itself, without an edge or a face in common there;
        each once for each such grain. `Conformity.n_touching_edges` counts the edges.
    n_tets_on_boundaries
        Tetrahedra whose four nodes all lie on grain boundaries or the outer surface.
    n_no_spheres, no_spheres
        Grains whose surface is not one sphere; the first `LISTED` by id.
    """

    n_necks: int
    n_grains_with_necks: int
    largest_neck_share: float
    necks: tuple[Neck, ...]
    n_touching_nodes: int
    n_tets_on_boundaries: int
    n_no_spheres: int
    no_spheres: tuple[NoSphere, ...]


def grain_topology(mesh: VolumeMesh) -> GrainTopology:
    """How the tetrahedra of each grain are joined; nothing is assumed of how they were made."""
    necks = _necks(mesh)
    no_spheres = _no_spheres(mesh)
    on_boundary = np.zeros(len(mesh.points), bool)
    on_boundary[mesh.facets[0]] = True
    return GrainTopology(
        n_necks=len(necks),
        n_grains_with_necks=len({neck.grain_id for neck in necks}),
        largest_neck_share=necks[0].share if necks else 0.0,
        necks=tuple(necks[:LISTED]),
        n_touching_nodes=touching_nodes(mesh),
        n_tets_on_boundaries=int(on_boundary[mesh.tets].all(axis=1).sum()),
        n_no_spheres=len(no_spheres),
        no_spheres=tuple(no_spheres[:LISTED]),
    )


def _necks(mesh: VolumeMesh) -> list[Neck]:
    """Necks, the largest share first."""
    volumes = mesh.volumes
    tets, faces, behind = bridges(mesh.neighbours, mesh.grain_ids, volumes)
    grains = mesh.grain_ids[tets]
    share = behind / np.bincount(mesh.grain_ids, volumes)[grains]
    corners = mesh.tets[tets[:, None], FACES[faces]]
    centroids = mesh.points[corners].mean(axis=1)
    order = np.lexsort((corners.min(axis=1), grains, -share))
    return [
        Neck(int(grains[i]), float(share[i]), tuple(round(float(x), 6) for x in centroids[i]))
        for i in order[share[order] >= NECK_SHARE]
    ]


@njit(cache=True, nogil=True)
def bridges(neighbours, grain_ids, volumes):  # type: ignore[no-untyped-def]
    """Faces whose removal parts the tetrahedra of a grain.

    Tarjan's bridges, by the lowest order of discovery that is reached from behind a face.

    Returns
    -------
    tets, faces : (n,) int
        A tetrahedron at each such face, and which of its `FACES`.
    behind : (n,) float
        Volume on the smaller side.
    """
    m = neighbours.shape[0]
    order, low, entered = np.full(m, -1), np.empty(m, np.int64), np.full(m, -1)
    turn, stack = np.zeros(m, np.int64), np.empty(m, np.int64)
    total = volumes.copy()  # of all that was discovered behind a tetrahedron
    tets, behind, n, clock = np.empty(m, np.int64), np.empty(m), 0, 0
    for root in range(m):
        if order[root] >= 0:
            continue
        first, depth, stack[0] = n, 0, root
        order[root] = low[root] = clock
        clock += 1
        while depth >= 0:
            t, k = stack[depth], turn[stack[depth]]
            if k < 4:
                turn[t] += 1
                s = neighbours[t, k]
                if k == entered[t] or s < 0 or grain_ids[s] != grain_ids[t]:
                    continue
                if order[s] >= 0:
                    low[t] = min(low[t], order[s])
                    continue
                order[s] = low[s] = clock
                clock += 1
                entered[s] = _place(neighbours, s, t)
                depth += 1
                stack[depth] = s
                continue
            depth -= 1
            if depth >= 0:
                before = stack[depth]
                total[before] += total[t]
                low[before] = min(low[before], low[t])
                if low[t] > order[before]:
                    tets[n], behind[n] = t, total[t]
                    n += 1
        for i in range(first, n):
            behind[i] = min(behind[i], total[root] - behind[i])
    return tets[:n], entered[tets[:n]], behind[:n]


@njit(cache=True, nogil=True)
def _place(rows, t, value):  # type: ignore[no-untyped-def]
    """Column of ``value`` in row t of four."""
    for k in range(3):
        if rows[t, k] == value:
            return k
    return 3


def touching_nodes(mesh: VolumeMesh) -> int:
    """Nodes in which a grain touches itself, without an edge or a face in common there."""
    fan = _fans(mesh.tets, mesh.neighbours, mesh.grain_ids)
    corners = mesh.tets.ravel()
    roots = np.flatnonzero(fan == np.arange(len(fan)))
    owners = np.stack([mesh.grain_ids[roots // 4], corners[roots]], axis=1)
    several = _repeated(owners)
    parted = np.zeros(len(mesh.points), bool)
    parted[owners[several, 1]] = True
    chosen = roots[several]
    row = np.zeros(len(fan), np.int64)
    row[chosen] = np.arange(len(chosen))
    joined = row[_corners_at_common_edges(mesh, parted, fan)]
    graph = coo_array((np.ones(len(joined)), tuple(joined.T)), shape=(len(chosen),) * 2)
    part = connected_components(graph, directed=False)[1]
    parts = np.unique(np.column_stack([owners[several], part]), axis=0)[:, :2]
    return len(np.unique(parts[_repeated(parts)], axis=0))


def _repeated(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows (n, 2) are there more than once."""
    _, index, count = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    repeated: NDArray[np.bool_] = count[index.ravel()] > 1
    return repeated


def _corners_at_common_edges(
    mesh: VolumeMesh, parted: NDArray[np.bool_], fan: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Pairs of fans (p, 2) of one grain that share an edge between ``parted`` nodes."""
    tets = np.flatnonzero(parted[mesh.tets].sum(axis=1) > 1)
    corners = 4 * np.repeat(tets, 6)[:, None] + np.tile(EDGES, (len(tets), 1))
    nodes = mesh.tets.ravel()[corners]
    order = np.argsort(nodes, axis=1)
    corners, nodes = (np.take_along_axis(a, order, axis=1) for a in (corners, nodes))
    rows = np.column_stack([mesh.grain_ids[corners[:, 0] // 4], nodes])
    kept = parted[nodes].all(axis=1)
    corners, rows = corners[kept], rows[kept]
    order = np.lexsort(rows.T)
    equal = (np.diff(rows[order], axis=0) == 0).all(axis=1)
    first, second = fan[corners[order[:-1][equal]]], fan[corners[order[1:][equal]]]
    return np.stack([first.ravel(), second.ravel()], axis=1)


@njit(cache=True, nogil=True)
def _fans(tets, neighbours, grain_ids):  # type: ignore[no-untyped-def]
    """For each corner 4 t + i the lowest of those that faces of its grain join at its node."""
    parent = np.arange(4 * tets.shape[0])
    for t in range(tets.shape[0]):
        for k in range(4):
            s = neighbours[t, k]
            if s > t and grain_ids[s] == grain_ids[t]:
                for i in range(4):
                    if i != k:
                        unite(parent, 4 * t + i, 4 * s + _place(tets, s, tets[t, i]))
    for corner in range(parent.size):
        parent[corner] = find_root(parent, corner)
    return parent


def _no_spheres(mesh: VolumeMesh) -> list[NoSphere]:
    """Grains whose surface is not one sphere, by Euler's characteristic."""
    other = np.where(mesh.neighbours >= 0, mesh.grain_ids[mesh.neighbours], 0)
    sides = np.stack(np.nonzero(other != mesh.grain_ids[:, None]), axis=1)
    corner, triangle = _joined_sides(mesh.tets, mesh.neighbours, mesh.grain_ids, sides)
    grain = mesh.grain_ids[sides[:, 0]]

    def number(representative: NDArray[np.int64], owner: NDArray[np.int32]) -> NDArray[np.int64]:
        own = representative == np.arange(len(representative))
        return np.bincount(owner[own], minlength=mesh.n_grains + 1)

    n_triangles = np.bincount(grain, minlength=mesh.n_grains + 1)
    euler = number(corner, np.repeat(grain, 3)) - n_triangles // 2
    n_surfaces = number(triangle, grain)
    genus = n_surfaces - euler // 2
    found = np.flatnonzero((n_triangles > 0) & ((n_surfaces != 1) | (genus != 0)))
    return [NoSphere(int(g), int(n_surfaces[g]), int(genus[g])) for g in found]


@njit(cache=True, nogil=True)
def _joined_sides(tets, neighbours, grain_ids, sides):  # type: ignore[no-untyped-def]
    """Representatives of the corners (3 n,) and of the sides (n,) that make one surface.

    From each side of a grain one turns about each of its edges, through tetrahedra of that
    grain, to the side at which the grain ends: these two are joined along the edge.
    """
    n = sides.shape[0]
    number = np.full((tets.shape[0], 4), -1)
    for i in range(n):
        number[sides[i, 0], sides[i, 1]] = i
    corner, triangle = np.arange(3 * n), np.arange(n)
    for i in range(n):
        for q in range(3):
            t, k = sides[i, 0], sides[i, 1]
            a, b = tets[t, FACES[k, q]], tets[t, FACES[k, (q + 1) % 3]]
            apex, k = tets[t, k], FACES[k, (q + 2) % 3]
            for _ in range(tets.shape[0]):  # no end only where a tetrahedron has a node twice
                s = neighbours[t, k]
                if s < 0 or grain_ids[s] != grain_ids[t]:
                    break
                k = _place(tets, s, apex)
                apex = tets[s, 0] + tets[s, 1] + tets[s, 2] + tets[s, 3] - a - b - apex
                t = s
            j = number[t, k]
            if j < 0:
                continue
            unite(triangle, i, j)
            for end, node in ((q, a), ((q + 1) % 3, b)):
                for p in range(3):
                    if tets[t, FACES[k, p]] == node:
                        unite(corner, 3 * i + end, 3 * j + p)
    for i in range(n):
        triangle[i] = find_root(triangle, i)
    for i in range(3 * n):
        corner[i] = find_root(corner, i)
    return corner, triangle
