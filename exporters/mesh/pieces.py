"""Connected pieces of tetrahedra or voxels: union and find, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit


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
    """Representative of the face-connected piece of equal key of each tetrahedron (m,)."""
    parent = np.arange(neighbours.shape[0])
    for t in range(neighbours.shape[0]):
        for k in range(4):
            s = neighbours[t, k]
            if s > t and keys[s] == keys[t]:
                unite(parent, s, t)
    for t in range(parent.size):
        parent[t] = find_root(parent, t)
    return parent
