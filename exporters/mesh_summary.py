"""What a volume mesh is like: size, quality, defects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..generator.particle import OUTSIDE
from .outer_manifold import connected_pieces
from .tetrahedra import dihedral_angles, inverse_condition

if TYPE_CHECKING:
    from .volume_mesh import VolumeMesh


@dataclass(frozen=True)
class MeshSummary:
    """What a mesh is like.

    Parameters
    ----------
    n_points, n_tets
        Size.
    n_grains
        Grains of the particle.
    absent_grains
        Ids of grains without a tetrahedron: too small for the mesh, or without a point
        inside the shell at all.
    n_fragmented_grains
        Grains whose tetrahedra fall into several pieces, connected over faces.
    n_fragments, fragments_um3
        Number and volume of their pieces but the largest of each.
    n_touching_edges
        Edges along which a grain touches itself: more than two triangles of its surface.
    n_open_edges
        Edges of the outer surface without exactly two of its triangles: 0 for a closed
        manifold.
    volume_um3
        Sum over all tetrahedra.
    min_sicn, low_sicn
        Smallest inverse condition number, and its 5th percentile.
    min_dihedral_deg, max_dihedral_deg
        Extreme angles between faces.
    """

    n_points: int
    n_tets: int
    n_grains: int
    absent_grains: tuple[int, ...]
    n_fragmented_grains: int
    n_fragments: int
    fragments_um3: float
    n_touching_edges: int
    n_open_edges: int
    volume_um3: float
    min_sicn: float
    low_sicn: float
    min_dihedral_deg: float
    max_dihedral_deg: float


def summarised(mesh: VolumeMesh) -> MeshSummary:
    """Size, quality and defects of a mesh."""
    piece = connected_pieces(mesh.neighbours, mesh.grain_ids)
    pieces, index = np.unique(piece, return_inverse=True)
    n_pieces = np.bincount(mesh.grain_ids[pieces], minlength=mesh.n_grains + 1)[1:]
    sizes, largest = np.zeros(len(pieces)), np.zeros(mesh.n_grains + 1)
    np.add.at(sizes, index, mesh.volumes)
    np.maximum.at(largest, mesh.grain_ids[pieces], sizes)
    triangles, pairs = mesh.facets
    sicn = inverse_condition(mesh.points, mesh.tets)
    angles = dihedral_angles(mesh.points, mesh.tets)
    return MeshSummary(
        n_points=len(mesh.points),
        n_tets=len(mesh.tets),
        n_grains=mesh.n_grains,
        absent_grains=tuple((1 + np.flatnonzero(n_pieces == 0)).tolist()),
        n_fragmented_grains=int((n_pieces > 1).sum()),
        n_fragments=int(np.maximum(n_pieces - 1, 0).sum()),
        fragments_um3=max(0.0, float(sizes.sum() - largest.sum())),
        n_touching_edges=crowded_edges(np.concatenate([triangles] * 2), pairs.T.ravel()),
        n_open_edges=open_edges(mesh.outer),
        volume_um3=math.fsum(mesh.volumes),
        min_sicn=float(sicn.min()),
        low_sicn=float(np.percentile(sicn, 5)),
        min_dihedral_deg=float(angles.min()),
        max_dihedral_deg=float(angles.max()),
    )


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
    ends = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    owner = np.repeat(owners, 3)
    order = np.lexsort((ends[:, 1], ends[:, 0], owner))
    rows = np.column_stack([owner, ends])[order]
    first = np.flatnonzero(np.diff(rows, axis=0, prepend=-1).any(axis=1))
    return rows[first, 0], np.diff(first, append=len(rows))
