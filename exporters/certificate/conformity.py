"""Whether the tetrahedra of a mesh fit together: what would make a solver refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...generator.particle import OUTSIDE
from ..mesh.pieces import connected_pieces

if TYPE_CHECKING:
    from ..mesh.volume_mesh import VolumeMesh


@dataclass(frozen=True)
class Conformity:
    """Defects of a mesh, and how its grains hang together.

    Parameters
    ----------
    n_crowded_faces
        Faces of more than two tetrahedra.
    n_inverted
        Tetrahedra whose volume is not positive.
    n_duplicate_nodes, n_unused_nodes
        Nodes at the place of another one; nodes without a tetrahedron.
    n_open_edges
        Edges of the outer surface without exactly two of its triangles.
    n_pinched_nodes
        Nodes of the outer surface whose triangles there form more than one fan.
    n_outer_surfaces
        Connected pieces of the outer surface: 1.
    n_fragments
        Pieces of grains, connected over faces, but the largest of each.
    n_touching_edges
        Edges along which a grain touches itself: more than two triangles of its surface.
        Solvers take them.
    pieces_are_kept
        Whether grains may be several pieces: then fragments are no defect.
    """

    n_crowded_faces: int
    n_inverted: int
    n_duplicate_nodes: int
    n_unused_nodes: int
    n_open_edges: int
    n_pinched_nodes: int
    n_outer_surfaces: int
    n_fragments: int
    n_touching_edges: int
    pieces_are_kept: bool = False

    def defects(self) -> dict[str, int]:
        """What must not be, by name, where there is any."""
        counts = {
            "faces of more than two tetrahedra": self.n_crowded_faces,
            "inverted tetrahedra": self.n_inverted,
            "duplicate nodes": self.n_duplicate_nodes,
            "unused nodes": self.n_unused_nodes,
            "open edges of the outer surface": self.n_open_edges,
            "nodes where the outer surface touches itself": self.n_pinched_nodes,
            "surplus outer surfaces": self.n_outer_surfaces - 1,
            "fragments of grains": 0 if self.pieces_are_kept else self.n_fragments,
        }
        return {name: count for name, count in counts.items() if count}


def conformity(mesh: VolumeMesh, pieces_are_kept: bool = False) -> Conformity:
    """Check a mesh; nothing is assumed of how it was made."""
    triangles, pairs = mesh.facets
    used = np.zeros(len(mesh.points), bool)
    used[mesh.tets] = True
    crowded = int((mesh.neighbours < -1).sum())
    free = triangles[pairs[:, 0] == OUTSIDE]
    pinched, surfaces = _fans_and_surfaces(free)
    return Conformity(
        n_crowded_faces=crowded,
        n_inverted=int((mesh.volumes <= 0).sum()),
        n_duplicate_nodes=len(mesh.points) - len(np.unique(mesh.points, axis=0)),
        n_unused_nodes=int((~used).sum()),
        n_open_edges=open_edges(free),
        n_pinched_nodes=pinched,
        n_outer_surfaces=surfaces,
        n_fragments=_n_fragments(mesh),
        n_touching_edges=crowded_edges(np.concatenate([triangles] * 2), pairs.T.ravel()),
        pieces_are_kept=pieces_are_kept,
    )


def _n_fragments(mesh: VolumeMesh) -> int:
    """Pieces of grains but one of each, without those at planes that parted a grain."""
    pieces = connected_pieces(mesh.neighbours, mesh.grain_ids)
    at_plane = np.zeros(len(mesh.points), bool)
    for triangles in mesh.symmetry.values():
        at_plane[triangles] = True
    on_plane = (at_plane[mesh.tets].sum(axis=1) >= 3) & (mesh.neighbours < 0).any(axis=1)
    inner = np.setdiff1d(pieces, pieces[on_plane])
    uncut = np.setdiff1d(mesh.grain_ids[inner], mesh.grain_ids[on_plane])
    return len(inner) - len(uncut)


def open_edges(triangles: NDArray[np.int64]) -> int:
    """Number of edges that do not have exactly two triangles."""
    _, count = _edge_counts(triangles, np.zeros(len(triangles), np.int64))
    return int((count != 2).sum())


def crowded_edges(triangles: NDArray[np.int64], grains: NDArray[np.int32]) -> int:
    """Number of edges with more than two triangles of one grain, 0 excepted, in ``grains``."""
    owner, count = _edge_counts(triangles, grains)
    return int((count[owner != OUTSIDE] > 2).sum())


def _edge_counts(
    triangles: NDArray[np.int64], owners: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Owner of each edge of each owner, and how many of its triangles have it."""
    following = triangles[:, [1, 2, 0]]
    n = int(triangles.max(initial=0)) + 1
    edge = (n * np.minimum(triangles, following) + np.maximum(triangles, following)).ravel()
    owner = np.repeat(owners, 3)
    order = np.lexsort((edge, owner))
    edge, owner = edge[order], owner[order]
    differs = (np.diff(edge, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0)
    first = np.flatnonzero(differs)
    return owner[first], np.diff(first, append=len(edge))


def _fans_and_surfaces(triangles: NDArray[np.int64]) -> tuple[int, int]:
    """Vertices with more than one fan of triangles, and connected pieces, of a surface.

    Corners of triangles hang together where two triangles share an edge with that vertex.
    """
    ends = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2)
    low_first = ends[:, 0] < ends[:, 1]
    low, high = ends.min(axis=1), ends.max(axis=1)
    order = np.lexsort((high, low))
    same = (np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)
    first, second = order[:-1][same], order[1:][same]

    def corner_at(sides: NDArray[np.int64], lower: bool) -> NDArray[np.int64]:
        following = sides - sides % 3 + (sides + 1) % 3
        return np.where(low_first[sides] == lower, sides, following)

    joined = [(corner_at(first, lower), corner_at(second, lower)) for lower in (True, False)]
    rows, columns = (np.concatenate(part) for part in zip(*joined, strict=True))
    fan = _components(rows, columns, triangles.size)
    fans = np.unique(np.column_stack([triangles.ravel(), fan]), axis=0)[:, 0]
    pieces = _components(first // 3, second // 3, len(triangles))
    return int((np.bincount(fans) > 1).sum()), int(pieces.max(initial=-1)) + 1


def _components(rows: NDArray[np.int64], columns: NDArray[np.int64], n: int) -> NDArray[np.integer]:
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1]
