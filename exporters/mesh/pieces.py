"""Connected pieces of tetrahedra or voxels: union and find, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def find_root(parent, i):  # type: ignore[no-untyped-def]
    """Representative of the set that holds i; halves the path to it."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def unite(parent, i, j):  # type: ignore[no-untyped-def]
    """Join the sets that hold i and j; the lower representative stays one."""
    i, j = find_root(parent, i), find_root(parent, j)
    if i < j:
        parent[j] = i
    elif j < i:
        parent[i] = j


@njit(cache=True, nogil=True)
def connected_pieces(neighbours, keys):  # type: ignore[no-untyped-def]
    """Representative of the face-connected piece of equal key of each element (m,)."""
    parent = np.arange(neighbours.shape[0])
    for t in range(neighbours.shape[0]):
        for k in range(neighbours.shape[1]):
            s = neighbours[t, k]
            if s > t and keys[s] == keys[t]:
                unite(parent, s, t)
    for t in range(parent.size):
        parent[t] = find_root(parent, t)
    return parent


def largest_shared(
    pieces: NDArray[np.int64], labels: NDArray[Any], areas: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Pieces, ascending, and the label that each shares the largest area with.

    Parameters
    ----------
    pieces, labels, areas : (k,)
        Of each side: the piece, what is beyond it, and its area. Of equal ones the lowest
        label wins.

    Examples
    --------
    >>> largest_shared(np.array([2, 2, 1]), np.array([7, 9, 7]), np.array([1.0, 3.0, 1.0]))
    (array([1, 2]), array([7, 9]))
    """
    pairs, group = np.unique(np.stack([pieces, labels], axis=1), axis=0, return_inverse=True)
    shared = np.bincount(group.ravel(), areas)
    order = np.lexsort((-shared, pairs[:, 0]))
    best = order[np.flatnonzero(np.diff(pairs[order, 0], prepend=-1))]
    return pairs[best, 0], pairs[best, 1]
