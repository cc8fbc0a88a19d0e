"""What all meshes of grains have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class AnyMesh(Protocol):
    """A mesh of first or second order, bonded or split: what all of them have."""

    @property
    def points(self) -> NDArray[np.float64]:
        """Nodes, (n, 3), um."""

    @property
    def tets(self) -> NDArray[np.int64]:
        """Nodes of the tetrahedra, (m, 4) or (m, 10)."""

    @property
    def grain_ids(self) -> NDArray[np.int32]:
        """Grain of each tetrahedron, (m,)."""

    @property
    def n_grains(self) -> int:
        """Number of grains of the particle."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """How the mesh was made."""

    @property
    def facets(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Triangles between materials and the pair of each."""


def wedges_of(mesh: AnyMesh) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Wedges (k, 6) of a split mesh and their pairs of grains (k, 2); none of another."""
    wedges = getattr(mesh, "wedges", np.empty((0, 6), np.int64))
    return wedges, getattr(mesh, "wedge_pairs", np.empty((0, 2), np.int32))


def parents_of(mesh: AnyMesh) -> NDArray[np.int64] | None:
    """Node of the bonded mesh that each node of a split mesh copies, (n,); None of another."""
    parents: NDArray[np.int64] | None = getattr(mesh, "parent", None)
    return parents
