"""Conforming tetrahedra, every one in exactly one grain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..files.array_fields import take_arrays
from .any_mesh import outer_of, symmetry_of
from .conversions import Convertible
from .tetrahedra import FACES, face_neighbours, material_sides, signed_volumes


@dataclass(frozen=True, eq=False, repr=False)
class VolumeMesh(Convertible):
    """Conforming tetrahedra of a particle, each in one grain.

    Parameters
    ----------
    points : (n, 3) float
        um.
    tets : (m, 4) int
        Positively oriented.
    grain_ids : (m,) int32
        1..n_grains.
    n_grains
        Number of grains of the particle; some may have no tetrahedron.
    facts
        How the mesh was made: numbers and texts by name, kept in the file.
    """

    points: NDArray[np.float64]
    tets: NDArray[np.int64]
    grain_ids: NDArray[np.int32]
    n_grains: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        m = len(self.tets)
        take_arrays(
            self,
            points=(np.float64, (len(self.points), 3)),
            tets=(np.int64, (m, 4)),
            grain_ids=(np.int32, (m,)),
        )
        if m and not (self.grain_ids.min() >= 1 and self.grain_ids.max() <= self.n_grains):
            msg = (
                f"grain_ids reach from {self.grain_ids.min()} to {self.grain_ids.max()}, "
                f"expected 1 to n_grains = {self.n_grains}"
            )
            raise ValueError(msg)

    @property
    def cells(self) -> NDArray[np.int64]:
        """The tetrahedra."""
        return self.tets

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """Tetrahedron across the face opposite to each vertex, (m, 4); -1 at the shell."""
        neighbours: NDArray[np.int64] = face_neighbours(self.tets, len(self.points))
        return neighbours

    @cached_property
    def facets(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Triangles (k, 3) between materials, and the pair (low, high) of each, (k, 2).

        Low is 0 where high meets the outside. Normals point out of high into low. They
        are sorted by pair.
        """
        rows, faces, pairs = material_sides(self.grain_ids, self.neighbours)
        return self.tets[rows[:, None], FACES[faces]], pairs

    @property
    def outer(self) -> NDArray[np.int64]:
        """Triangles of the outer surface, normals outwards, (k, 3); no symmetric faces."""
        return outer_of(self)

    @property
    def symmetry(self) -> dict[str, NDArray[np.int64]]:
        """Triangles on the planes that the mesh was cut along, (k, 3), by names: symmetry_x."""
        return symmetry_of(self)

    @property
    def grain_boundary(self) -> NDArray[np.int64]:
        """Triangles between two grains, each once, (k, 3)."""
        triangles, pairs = self.facets
        return triangles[pairs[:, 0] != OUTSIDE]

    @cached_property
    def volumes(self) -> NDArray[np.float64]:
        """Volume of each tetrahedron, (m,), um^3."""
        return signed_volumes(self.points, self.tets)

    @property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of each grain, (n_grains,), um^3; grain id g is row g - 1."""
        totals = np.zeros(self.n_grains + 1)
        np.add.at(totals, self.grain_ids, self.volumes)
        return totals[1:]
