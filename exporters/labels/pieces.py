"""Make labelled voxels meshable: one body without cavities, every grain in one piece.

Pieces hang together over faces of voxels. The largest piece of the body stays, what lies
apart is dropped; cavities are filled; of each grain the largest piece stays. A cavity and a
fragment go to the grain that they share most faces with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...generator.particle import OUTSIDE
from ..mesh.pieces import find_root, largest_shared, unite

Rows = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Repair:
    """What was changed, in voxels.

    Parameters
    ----------
    dropped
        Rows of (grain id, number of the piece apart that it was in, voxels); piece 1 is the
        largest.
    moved
        Rows of (from, to, voxels); cavities come from 0.
    """

    dropped: Rows = ()
    moved: Rows = ()

    def joined(self, later: Repair) -> Repair:
        """Both, one after the other."""
        return Repair(self.dropped + later.dropped, _summed(self.moved + later.moved))

    @property
    def n_filled(self) -> int:
        """Voxels of cavities."""
        return sum(n for source, _, n in self.moved if source == OUTSIDE)

    @property
    def n_dropped(self) -> int:
        """Voxels of pieces that lay apart."""
        return sum(n for _, _, n in self.dropped)


def _summed(rows: Rows) -> Rows:
    sums: dict[tuple[int, int], int] = {}
    for source, target, n in rows:
        sums[source, target] = sums.get((source, target), 0) + n
    return tuple((*pair, n) for pair, n in sorted(sums.items()))


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Pieces of equal label: their labels and voxels, and the faces that they share.

    Piece 0 is the outside.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    pairs: NDArray[np.int64]  # (k, 2), each twice: (a, b) and (b, a)
    faces: NDArray[np.int64]  # (k,)


def in_one_piece(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], Repair]:
    """Labels (nz, ny, nx) of one body without cavities and of connected grains, and changes.

    Examples
    --------
    >>> row = np.array([[[1, 1, 2, 1, 0, 3]]], dtype=np.int32)
    >>> in_one_piece(row)[0]
    array([[[1, 1, 2, 2, 0, 0]]], dtype=int32)
    """
    padded = np.pad(labels, 1)
    number, first = _numbered_pieces(padded)
    pieces = _pieces(padded, number, first)
    own, dropped = _without_islands(pieces)
    stray = _strays(pieces, own)
    target = _adopted(pieces, own, stray)
    changed = np.flatnonzero(stray)
    moved = zip(
        own[changed].tolist(), target[changed].tolist(), pieces.sizes[changed].tolist(), strict=True
    )
    repaired = target[number][1:-1, 1:-1, 1:-1]
    return np.ascontiguousarray(repaired), Repair(dropped, _summed(tuple(moved)))


@njit(cache=True, nogil=True)
def _numbered_pieces(labels):  # type: ignore[no-untyped-def]
    """Number of the piece of each voxel, and the first voxel of each piece."""
    nz, ny, nx = labels.shape
    flat = labels.ravel()
    parent = np.arange(flat.size)
    for k in range(nz):
        for j in range(ny):
            for i in range(nx):
                v = (k * ny + j) * nx + i
                if i > 0 and flat[v - 1] == flat[v]:
                    unite(parent, v - 1, v)
                if j > 0 and flat[v - nx] == flat[v]:
                    unite(parent, v - nx, v)
                if k > 0 and flat[v - nx * ny] == flat[v]:
                    unite(parent, v - nx * ny, v)
    n = 0
    for v in range(flat.size):
        n += int(parent[v] == v)
    number, first = np.empty(flat.size, np.int32), np.empty(n, np.int64)
    n = 0
    for v in range(flat.size):  # a representative is the first voxel of its piece
        if parent[v] == v:
            number[v], first[n] = n, v
            n += 1
        else:
            number[v] = number[find_root(parent, v)]
    return number.reshape(labels.shape), first


def _pieces(
    labels: NDArray[np.int32], number: NDArray[np.int32], first: NDArray[np.int64]
) -> _Pieces:
    n = len(first)
    keys = []
    for axis in range(3):
        moved = np.moveaxis(number, axis, 0)
        differ = moved[1:] != moved[:-1]
        keys.append(moved[1:][differ].astype(np.int64) * n + moved[:-1][differ])
    found, faces = np.unique(np.concatenate(keys), return_counts=True)
    pairs = np.stack([found // n, found % n], axis=1)
    return _Pieces(
        labels.ravel()[first],
        np.bincount(number.ravel(), minlength=n),
        np.concatenate([pairs, pairs[:, ::-1]]),
        np.concatenate([faces, faces]),
    )


def _components(pieces: _Pieces, chosen: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Component of each piece, over faces between two chosen ones."""
    rows, columns = pieces.pairs[chosen[pieces.pairs].all(axis=1)].T
    n = len(chosen)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _without_islands(pieces: _Pieces) -> tuple[NDArray[np.int32], Rows]:
    """Labels of pieces with 0 for those apart from the largest body; rows of these."""
    body = pieces.labels != OUTSIDE
    component = _components(pieces, body)
    sizes = np.bincount(component[body], pieces.sizes[body], minlength=component.max() + 1)
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    apart = np.flatnonzero(body & (rank[component] > 0))
    rows = sorted(
        (int(rank[component[p]]), int(pieces.labels[p]), int(pieces.sizes[p])) for p in apart
    )
    own = pieces.labels.copy()
    own[apart] = OUTSIDE
    return own, tuple((grain, piece, n) for piece, grain, n in rows)


def _strays(pieces: _Pieces, own: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Cavities, and all pieces of a grain but the largest."""
    component = _components(pieces, own == OUTSIDE)
    cavity = (own == OUTSIDE) & (component != component[0])
    order = np.lexsort((-pieces.sizes, own))
    largest = order[np.flatnonzero(np.diff(own[order], prepend=-1))]
    stray = own != OUTSIDE
    stray[largest] = False
    return stray | cavity


def _adopted(
    pieces: _Pieces, own: NDArray[np.int32], stray: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Label of each piece after the stray ones went to the grain they share most faces with."""
    label, homeless = own.copy(), stray.copy()
    while homeless.any():
        a, b = pieces.pairs.T
        touching = homeless[a] & ~homeless[b] & (label[b] != OUTSIDE)
        piece, target = largest_shared(a[touching], label[b[touching]], pieces.faces[touching])
        label[piece] = target
        homeless[piece] = False
    return label
