"""Make labelled voxels meshable: one body without cavities, a number for each piece of a grain.

The body is what is connected over faces of voxels. Its largest piece stays, what lies apart
is dropped; cavities are filled by the grain that they share most faces with.

Voxels of a grain are connected over faces, edges and corners. What is not, as the parts of a
grain of a periodic volume, are pieces: each is meshed as if it were a grain, so that none is
lost or given away.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...generator.particle import OUTSIDE
from ..mesh.pieces import find_root, largest_shared, unite


@dataclass(frozen=True)
class Repair:
    """What was changed, in voxels.

    Parameters
    ----------
    dropped
        Rows of (grain id, number of the piece apart that it was in, voxels); piece 1 is the
        largest.
    filled
        Rows of (grain id, voxels of cavities that it was given).
    """

    dropped: tuple[tuple[int, int, int], ...] = ()
    filled: tuple[tuple[int, int], ...] = ()

    @property
    def n_filled(self) -> int:
        """Voxels of cavities."""
        return sum(n for _, n in self.filled)

    @property
    def n_dropped(self) -> int:
        """Voxels of pieces that lay apart."""
        return sum(n for _, _, n in self.dropped)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Pieces of equal label: their labels and voxels, and the faces that they share.

    Piece 0 is the outside.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    pairs: NDArray[np.int64]  # (k, 2), each twice: (a, b) and (b, a)
    faces: NDArray[np.int64]  # (k,)


def one_body(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], Repair]:
    """Labels (nz, ny, nx) of one body without cavities, and what was changed.

    Examples
    --------
    >>> row = np.array([[[1, 1, 2, 1, 0, 3]]], dtype=np.int32)
    >>> one_body(row)[0]
    array([[[1, 1, 2, 1, 0, 0]]], dtype=int32)
    """
    padded = np.pad(labels, 1)
    number, first = _numbered(padded, _steps(padded.shape, corners=False))
    pieces = _pieces(padded, number, first)
    own, dropped = _without_islands(pieces)
    cavity = _cavities(pieces, own)
    target = _adopted(pieces, own, cavity)
    repaired = target[number][1:-1, 1:-1, 1:-1]
    grains = np.bincount(target[cavity], pieces.sizes[cavity])
    filled = tuple((int(g), int(grains[g])) for g in np.flatnonzero(grains))
    return np.ascontiguousarray(repaired), Repair(dropped, filled)


def numbered_pieces(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number of the piece of each voxel (nz, ny, nx), and the grain of each piece (k + 1,).

    The largest piece of a grain has the grain's id, all others have numbers beyond the
    largest id, in the order of grains and sizes. 0 is outside.

    Examples
    --------
    >>> row = np.array([[[1, 2, 1, 1, 0, 2]]], dtype=np.int32)
    >>> numbered_pieces(row)
    (array([[[3, 2, 1, 1, 0, 4]]], dtype=int32), array([0, 1, 2, 1, 2], dtype=int32))
    """
    padded = np.pad(labels, 1)
    number, first = _numbered(padded, _steps(padded.shape, corners=True))
    grain, sizes = padded.ravel()[first], np.bincount(number.ravel())
    order = np.lexsort((-sizes, grain))
    order = order[grain[order] != OUTSIDE]
    largest = np.diff(grain[order], prepend=OUTSIDE) != 0
    further = order[~largest]
    ids = np.arange(int(labels.max()) + 1, dtype=np.int32)
    name = np.zeros(len(first), np.int32)
    name[order[largest]] = grain[order[largest]]
    name[further] = len(ids) + np.arange(len(further))
    pieces = np.ascontiguousarray(name[number][1:-1, 1:-1, 1:-1])
    return pieces, np.concatenate([ids, grain[further]])


def _steps(shape: tuple[int, ...], corners: bool) -> NDArray[np.int64]:
    """How far back in the flat array the neighbours of a voxel are that come before it."""
    steps = [
        (z * shape[1] + y) * shape[2] + x
        for z, y, x in product((-1, 0, 1), repeat=3)
        if (z, y, x) > (0, 0, 0) and (corners or abs(z) + abs(y) + abs(x) == 1)
    ]
    return np.array(steps, np.int64)


@njit(cache=True, nogil=True)
def _numbered(labels, steps):  # type: ignore[no-untyped-def]
    """Number of the piece of each voxel, and the first voxel of each piece.

    The border of the array is outside: a step beyond a row ends there.
    """
    flat = labels.ravel()
    parent = np.arange(flat.size)
    for v in range(flat.size):
        for step in steps:
            if v >= step and flat[v - step] == flat[v]:
                unite(parent, v - step, v)
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


def _without_islands(
    pieces: _Pieces,
) -> tuple[NDArray[np.int32], tuple[tuple[int, int, int], ...]]:
    """Labels of pieces with 0 for those apart from the largest body; rows of these."""
    body = pieces.labels != OUTSIDE
    component = _components(pieces, body)
    sizes = np.bincount(component[body], pieces.sizes[body], minlength=component.max() + 1)
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    own = pieces.labels.copy()
    sums: dict[tuple[int, int], int] = {}
    for p in np.flatnonzero(body & (rank[component] > 0)).tolist():
        key = int(rank[component[p]]), int(own[p])
        sums[key] = sums.get(key, 0) + int(pieces.sizes[p])
        own[p] = OUTSIDE
    return own, tuple((grain, piece, n) for (piece, grain), n in sorted(sums.items()))


def _cavities(pieces: _Pieces, own: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pieces outside that the body encloses."""
    outside = own == OUTSIDE
    component = _components(pieces, outside)
    cavities: NDArray[np.bool_] = outside & (component != component[0])
    return cavities


def _adopted(
    pieces: _Pieces, own: NDArray[np.int32], cavity: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Label of each piece after the cavities went to the grain they share most faces with."""
    label, empty = own.copy(), cavity.copy()
    while empty.any():
        a, b = pieces.pairs.T
        touching = empty[a] & ~empty[b] & (label[b] != OUTSIDE)
        piece, target = largest_shared(a[touching], label[b[touching]], pieces.faces[touching])
        label[piece] = target
        empty[piece] = False
    return label
