"""What all meshes of grains have in common, and the symmetric faces of those that were cut.

The fact ``cut`` of a mesh is the coordinate, um, of the plane that it was cut along across each
axis, by its name. All nodes of a symmetric face have exactly that coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE

CUT = "cut"
AXES = "xyz"


class AnyMesh(Protocol):
    """Tetrahedra of first or second order, bonded or split, or hexahedra: what all of them have."""

    @property
    def points(self) -> NDArray[np.float64]:
        """Nodes, (n, 3), um."""

    @property
    def cells(self) -> NDArray[np.int64]:
        """Nodes of the tetrahedra, (m, 4) or (m, 10), or of the hexahedra, (m, 8)."""

    @property
    def grain_ids(self) -> NDArray[np.int32]:
        """Grain of each cell, (m,)."""

    @property
    def n_grains(self) -> int:
        """Number of grains of the particle."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """How the mesh was made."""

    @property
    def facets(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Triangles or quadrilaterals between materials, and the pair of each."""


def wedges_of(mesh: AnyMesh) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Wedges (k, 6) of a split mesh and their pairs of grains (k, 2); none of another."""
    wedges = getattr(mesh, "wedges", np.empty((0, 6), np.int64))
    return wedges, getattr(mesh, "wedge_pairs", np.empty((0, 2), np.int32))


def parents_of(mesh: AnyMesh) -> NDArray[np.int64] | None:
    """Node of the bonded mesh that each node of a split mesh copies, (n,); None of another."""
    parents: NDArray[np.int64] | None = getattr(mesh, "parent", None)
    return parents


def planes_of(mesh: AnyMesh) -> dict[str, float]:
    """Coordinate of the plane across each axis that the mesh was cut along, by its name."""
    return dict(mesh.facts.get(CUT, {}))


def symmetry_name(axis: str) -> str:
    """Name of the symmetric faces across an axis: ``symmetry_x``."""
    return f"symmetry_{axis}"


def symmetric(mesh: AnyMesh) -> NDArray[np.int64]:
    """Which plane each of the mesh's facets lies on: 1, 2, 3 for x, y, z, 0 for none, (k,)."""
    facets, pairs = mesh.facets
    found = np.zeros(len(facets), np.int64)
    free = pairs[:, 0] == OUTSIDE
    for axis, place in planes_of(mesh).items():
        k = AXES.index(axis)
        on_plane = (mesh.points[facets, k] == place).all(axis=1)
        found[free & on_plane & (found == 0)] = k + 1
    return found


def outer_of(mesh: AnyMesh) -> NDArray[np.int64]:
    """Facets of the outer surface, without symmetric faces."""
    facets, pairs = mesh.facets
    return facets[(pairs[:, 0] == OUTSIDE) & (symmetric(mesh) == 0)]


def symmetry_of(mesh: AnyMesh) -> dict[str, NDArray[np.int64]]:
    """Facets on each plane, normals outwards, by the name of the set."""
    facets, on_plane = mesh.facets[0], symmetric(mesh)
    return {
        symmetry_name(axis): facets[on_plane == AXES.index(axis) + 1] for axis in planes_of(mesh)
    }
