"""Zero-thickness cohesive elements between grains, and whether they fit a split mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ..mesh.tetrahedra import FACES

if TYPE_CHECKING:
    from ..mesh.any_mesh import AnyMesh


@dataclass(frozen=True, eq=False)
class Wedges:
    """Zero-thickness elements between grains.

    Parameters
    ----------
    nodes : (k, 6) int
        Three nodes of the grain with the lower id, their normal pointing out of it, then
        the three of the other at the same places.
    pairs : (k, 2) int
        Ids of the two grains, the lower first.
    """

    nodes: NDArray[np.int64]
    pairs: NDArray[np.int32]


def check_wedges(wedges: Wedges | None, mesh: AnyMesh) -> None:
    """Check shapes, ranges and thickness.

    Raises
    ------
    ExportError
        If they do not fit the mesh.
    """
    if wedges is None:
        return
    if mesh.cells.shape[1] != 4:
        msg = "six-node cohesive elements do not fit ten-node tetrahedra; give the linear mesh"
        raise ExportError(msg)
    k, n = len(wedges.nodes), len(mesh.points)
    if wedges.nodes.shape != (k, 6) or wedges.pairs.shape != (k, 2):
        msg = (
            f"wedges and wedge_pairs have shapes {wedges.nodes.shape} and "
            f"{wedges.pairs.shape}, expected (k, 6) and (k, 2)"
        )
        raise ExportError(msg)
    if k and (wedges.nodes.min() < 0 or wedges.nodes.max() >= n):
        msg = f"wedges name nodes up to {wedges.nodes.max()}, expected 0 to {n - 1}"
        raise ExportError(msg)
    if not (wedges.pairs[:, 0] < wedges.pairs[:, 1]).all():
        msg = "wedge_pairs must have the lower grain id first, as the nodes of wedges have"
        raise ExportError(msg)
    low, high = mesh.points[wedges.nodes[:, :3]], mesh.points[wedges.nodes[:, 3:]]
    thick = np.flatnonzero((low != high).any(axis=(1, 2)))
    if len(thick):
        msg = (
            f"wedge {thick[0]} has its nodes 1 to 3 and 4 to 6 at different places; expected "
            "zero thickness: a node above each node"
        )
        raise ExportError(msg)


def without_cracks(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    sides: NDArray[np.int64],
    pairs: NDArray[np.int32],
    wedges: Wedges,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Sides and pairs where a free face that a wedge covers counts as a grain boundary.

    Parameters
    ----------
    sides : (s, 2) int
        Row of a tetrahedron and which of its `FACES`.
    pairs : (s, 2) int32
        Grains across each side, (0, own) where it is free.

    Raises
    ------
    ExportError
        If a wedge does not lie between free faces of its two grains, or is upside down.
    """
    faces = tets[sides[:, :1], FACES[sides[:, 1]]]
    low = _places(faces, pairs, wedges.nodes[:, :3], wedges.pairs[:, 0])
    high = _places(faces, pairs, wedges.nodes[:, 3:], wedges.pairs[:, 1])
    outwards = _normals(points, faces[low])
    upside_down = (outwards * _normals(points, wedges.nodes[:, :3])).sum(axis=1) <= 0
    if upside_down.any():
        msg = (
            f"the normal of nodes 1 to 3 of wedge {upside_down.argmax()} points into the grain "
            "with the lower id, expected out of it; exchange nodes 1 and 2, and 4 and 5"
        )
        raise ExportError(msg)
    pairs = pairs.copy()
    pairs[high] = wedges.pairs
    kept = np.delete(np.arange(len(sides)), low)
    return sides[kept], pairs[kept]


def _places(
    faces: NDArray[np.int64],
    pairs: NDArray[np.int32],
    triangles: NDArray[np.int64],
    grains: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Row in ``faces`` of each triangle, which must be a free face of its grain."""
    keys, wanted = _keys(faces), _keys(triangles)
    order = np.argsort(keys)
    found = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    free = (pairs[found, 0] == 0) & (pairs[found, 1] == grains)
    wrong = (keys[found] != wanted) | ~free
    if wrong.any():
        first = wrong.argmax()
        msg = (
            f"nodes {triangles[first].tolist()} of wedge {first} are not a free face of grain "
            f"{grains[first]}; give the mesh that was split with the wedges"
        )
        raise ExportError(msg)
    return found


def _normals(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _keys(triangles: NDArray[np.int64]) -> NDArray[Any]:
    """One comparable value for the three nodes of each triangle, in any order."""
    rows = np.ascontiguousarray(np.sort(triangles, axis=1))
    return rows.view([("", rows.dtype)] * 3).ravel()
