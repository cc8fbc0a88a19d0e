"""Make every grain of a labelled mesh one connected piece.

A cell of a GBPD can be disconnected, the shell can cut off slivers, and a grain can be too
small for the mesh. Solvers need connected grains, so each grain keeps its largest piece.
The others, and grains below a volume, go to the neighbour with which they share the
largest face. Of a body that keeps pieces only those go that are below the volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..mesh.pieces import connected_pieces, largest_shared
from ..mesh.tetrahedra import FACES, face_neighbours, signed_volumes

MAX_ROUNDS = 50
KEPT = -1
ALL = np.iinfo(np.int32).max  # labels are grains


@dataclass(frozen=True)
class Moved:
    """Pieces that changed their grain: volumes in um^3 of (from, to)."""

    volumes: dict[tuple[int, int], float]

    @classmethod
    def joined(cls, first: Moved, second: Moved) -> Moved:
        """What both moved."""
        sums = dict(first.volumes)
        for pair, volume in second.volumes.items():
            sums[pair] = sums.get(pair, 0.0) + volume
        return cls(sums)

    def rows(self) -> list[list[float]]:
        """Rows of (from, to, um^3), ascending."""
        return [[*pair, float(f"{volume:.6g}")] for pair, volume in sorted(self.volumes.items())]

    def net(self, n_grains: int) -> NDArray[np.float64]:
        """Net volume that each label gained, (n_grains + 1,), um^3."""
        net = np.zeros(n_grains + 1)
        for (source, target), volume in self.volumes.items():
            net[source] -= volume
            net[target] += volume
        return net


def whole_grains(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    smallest: float | NDArray[np.float64],
    n_grains: int = ALL,
    keeps_pieces: bool = False,
    neighbours: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int32], Moved]:
    """Labels with which every grain is one piece of at least the volume ``smallest``.

    Pieces of that volume at a plane that the body is cut along stay: the whole grain is one.

    Parameters
    ----------
    labels : (m,) int32
        Grain ids, 0 outside, above ``n_grains`` beyond a plane; these two are left as they are.
    smallest : float or (n_grains + 1,) float
        Of all grains, or of each label.
    keeps_pieces
        Keep the largest piece of a grain in any case, and all that are not too small.
    neighbours
        Of `face_neighbours`, where they are known.
    """
    if neighbours is None:
        neighbours = face_neighbours(tets, len(points))
    volumes = signed_volumes(points, tets)
    whole = labels.copy()
    for _ in range(MAX_ROUNDS):
        stray = _stray(neighbours, whole, volumes, smallest, n_grains, keeps_pieces)
        if not stray.any():
            break
        whole = _adopted(points, tets, neighbours, whole, stray, n_grains)
    changed = np.flatnonzero(whole != labels)
    moved: dict[tuple[int, int], float] = {}
    for t in changed.tolist():
        key = (int(labels[t]), int(whole[t]))
        moved[key] = moved.get(key, 0.0) + float(volumes[t])
    return whole, Moved(moved)


def _stray(
    neighbours: NDArray[np.int64],
    labels: NDArray[np.int32],
    volumes: NDArray[np.float64],
    smallest: float | NDArray[np.float64],
    n_grains: int,
    keeps_pieces: bool,
) -> NDArray[np.int64]:
    """Piece of each tetrahedron that has to change its grain, counted from 1; 0 for the rest."""
    piece = connected_pieces(neighbours, labels)
    is_root = piece == np.arange(len(piece))
    roots, index = np.flatnonzero(is_root), (np.cumsum(is_root) - 1)[piece]
    size = np.bincount(index, volumes)
    order = np.lexsort((-size, labels[roots]))
    first = np.flatnonzero(np.diff(labels[roots][order], prepend=-1))
    largest = np.zeros(len(roots), bool)
    largest[order[first]] = True
    large = size >= (smallest[labels[roots]] if isinstance(smallest, np.ndarray) else smallest)
    kept = largest | large if keeps_pieces else largest & large
    rows, _ = np.nonzero((neighbours >= 0) & (labels[neighbours] > n_grains))
    at_plane = np.unique(index[rows])
    kept[at_plane] |= large[at_plane]
    kept[(labels[roots] == OUTSIDE) | (labels[roots] > n_grains)] = True
    stray: NDArray[np.int64] = np.where(kept, 0, 1 + np.arange(len(roots)))[index]
    return stray


def _adopted(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    labels: NDArray[np.int32],
    stray: NDArray[np.int64],
    n_grains: int,
) -> NDArray[np.int32]:
    """Labels after stray pieces went to the grain that they share the largest face with.

    Only those go that touch a grain which stays; if there are none, all that touch the
    outside go there.
    """
    rows, faces = np.nonzero((stray[:, None] > 0) & (neighbours >= 0))
    beyond = neighbours[rows, faces]
    for outside in (False, True):
        fit = (stray[beyond] == 0) & ((labels[beyond] == OUTSIDE) == outside)
        fit &= labels[beyond] <= n_grains
        if fit.any():
            break
    rows, faces, beyond = rows[fit], faces[fit], beyond[fit]
    a, b, c = (points[tets[rows, FACES[faces, k]]] for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    piece, label = largest_shared(stray[rows], labels[beyond], areas)
    target = np.full(stray.max() + 1, KEPT, np.int32)
    target[piece] = label
    return np.where(target[stray] == KEPT, labels, target[stray])
