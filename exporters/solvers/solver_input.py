"""What every solver is given: nodes, elements, grains, sides, supports, orientations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...generator.errors import ExportError
from ...generator.particle import OUTSIDE
from ..mesh.cohesive import SplitMesh
from ..mesh.tetrahedra import FACES, face_neighbours, grouped, material_sides
from .materials import Material
from .units import UnitSystem
from .wedges import Wedges, check_wedges, without_cracks

if TYPE_CHECKING:
    from ..mesh.any_mesh import AnyMesh

MIDDLES = {(0, 1): 4, (1, 2): 5, (0, 2): 6, (0, 3): 7, (1, 3): 8, (2, 3): 9}  # of ten nodes
QUADRATIC_FACES = np.array(
    [[*face, *(MIDDLES[tuple(sorted(e))] for e in zip(face, face[1:] + face[:1], strict=True))]
     for face in FACES.tolist()]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SolverInput:
    """A mesh in the units of a solver, with its sets.

    Parameters
    ----------
    points : (n, 3) float
        In ``units``.
    tets : (m, 4) or (m, 10) int
        Nodes in the order of VTK and Abaqus.
    grain_ids : (m,) int32
    n_grains
        Number of grains of the particle; some may have no tetrahedron.
    outer_sides, boundary_sides : (k, 2) int
        Row of a tetrahedron and which of its `FACES`: the outer surface; the boundaries
        between grains, each triangle once, as a side of the grain with the higher id.
    boundary_pairs : (k, 2) int32
        Grain ids (low, high) of ``boundary_sides``, ascending.
    orientations : (n_grains, 4) float or None
        Unit quaternions (w, x, y, z), crystal to sample.
    wedges
        Cohesive elements, if the mesh is split along the grain boundaries.
    units, material
        The units of every number, and the placeholder material in them.
    facts
        How the mesh was made.
    """

    points: NDArray[np.float64]
    tets: NDArray[np.int64]
    grain_ids: NDArray[np.int32]
    n_grains: int
    outer_sides: NDArray[np.int64]
    boundary_sides: NDArray[np.int64]
    boundary_pairs: NDArray[np.int32]
    orientations: NDArray[np.float64] | None
    wedges: Wedges | None
    units: UnitSystem
    material: Material
    facts: Mapping[str, Any]

    @property
    def order(self) -> int:
        """1 for four-node tetrahedra, 2 for ten-node ones."""
        return 1 if self.tets.shape[1] == 4 else 2

    @cached_property
    def grains(self) -> list[int]:
        """Ids of the grains that have a tetrahedron, ascending."""
        return np.unique(self.grain_ids).tolist()

    def rows_by_grain(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Each grain with the rows of its tetrahedra, both ascending."""
        return grouped(self.grain_ids)

    @property
    def outer(self) -> NDArray[np.int64]:
        """Triangles (k, 3) or (k, 6) of the outer surface, normals outwards."""
        return self._triangles(self.outer_sides)

    @property
    def grain_boundary(self) -> NDArray[np.int64]:
        """Triangles between grains, each once, normals out of the grain with the higher id."""
        return self._triangles(self.boundary_sides)

    def _triangles(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        faces = FACES if self.order == 1 else QUADRATIC_FACES
        triangles: NDArray[np.int64] = self.tets[sides[:, :1], faces[sides[:, 1]]]
        return triangles

    @property
    def boundary_nodes(self) -> NDArray[np.int64]:
        """Nodes of the grain boundaries, ascending; those of all grains if they are split."""
        split = self.wedges is not None
        return np.unique(self.wedges.nodes if split else self.grain_boundary)  # type: ignore[union-attr]

    @cached_property
    def crystal_axes(self) -> NDArray[np.float64] | None:
        """Matrices Q (n_grains, 3, 3): row k is the crystal axis k in global coordinates.

        A vector v of the sample has the crystal components Q v.
        """
        if self.orientations is None:
            return None
        rotations = Rotation.from_quat(self.orientations[:, [1, 2, 3, 0]]).as_matrix()
        return np.ascontiguousarray(rotations.transpose(0, 2, 1))

    @cached_property
    def supports(self) -> list[tuple[int, str]]:
        """Three vertices and their fixed directions, which stop rigid motion and no more.

        The first is held in x, y, z, the second in y, z, the third in z.
        """
        corners = np.unique(self.tets[:, :4])
        x = self.points[corners]
        first = x[:, 0].argmin()
        second = x[:, 0].argmax()
        along = x[second] - x[first]
        across = np.abs(along[0] * (x - x[first])[:, 1] - along[1] * (x - x[first])[:, 0])
        chosen = corners[[first, second, across.argmax()]].tolist()
        return list(zip(chosen, ("xyz", "yz", "z"), strict=True))

    def heading(self) -> list[str]:
        """Lines that begin every file: what it is, units, orientations. ASCII."""
        kind = "four-node" if self.order == 1 else "ten-node"
        if self.orientations is None:
            material = "no orientations: the material is isotropic, the means over the crystal axes"
        else:
            material = "crystal axes of every grain as in orientations.csv"
        return [
            f"virtual NMC811 particle: {len(self.grains)} grains, {len(self.tets)} {kind} "
            f"tetrahedra, {len(self.points)} nodes",
            self.units.text,
            material,
        ]


def solver_input(
    mesh: AnyMesh,
    units: UnitSystem,
    orientations: NDArray[np.float64] | None = None,
    wedges: Wedges | None = None,
) -> SolverInput:
    """Mesh (um) in the units of a solver, with its sides sorted out.

    Raises
    ------
    ExportError
        If the mesh is empty or orientations or wedges do not fit it.
    """
    if len(mesh.tets) == 0:
        msg = "the mesh has no tetrahedron; make it with a smaller size_um"
        raise ExportError(msg)
    _check_orientations(orientations, mesh.n_grains)
    check_wedges(wedges, mesh)
    if wedges is not None and len(wedges.nodes) == 0:
        wedges = None
    outer, boundary, pairs = _sides(mesh, wedges)
    material = Material() if orientations is not None else Material().isotropic()
    return SolverInput(
        points=mesh.points * units.per_um,
        tets=mesh.tets,
        grain_ids=mesh.grain_ids,
        n_grains=mesh.n_grains,
        outer_sides=outer,
        boundary_sides=boundary,
        boundary_pairs=pairs,
        orientations=orientations,
        wedges=wedges,
        units=units,
        material=material.in_units(units),
        facts=mesh.facts,
    )


def _check_orientations(orientations: NDArray[np.float64] | None, n_grains: int) -> None:
    if orientations is None:
        return
    if orientations.shape != (n_grains, 4):
        msg = (
            f"orientations have shape {orientations.shape}, expected ({n_grains}, 4): "
            "a unit quaternion (w, x, y, z) for each grain"
        )
        raise ExportError(msg)
    off = np.abs(np.linalg.norm(orientations, axis=1) - 1)
    if not off.max() < 1e-6:
        msg = (
            f"the quaternion of grain {1 + off.argmax()} has norm "
            f"{np.linalg.norm(orientations[off.argmax()]):.6g}, expected 1; normalise it"
        )
        raise ExportError(msg)


def _sides(
    mesh: AnyMesh, wedges: Wedges | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Sides of the outer surface and of the grain boundaries, and the pairs of the latter."""
    rows, faces, pairs = material_sides(mesh.grain_ids, _neighbours(mesh, wedges))
    sides = np.stack([rows, faces], axis=1)
    if wedges is not None:
        sides, pairs = without_cracks(mesh.points, mesh.tets, sides, pairs, wedges)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        sides, pairs = sides[order], pairs[order]
    outside = pairs[:, 0] == OUTSIDE
    return sides[outside], sides[~outside], pairs[~outside]


def _neighbours(mesh: AnyMesh, wedges: Wedges | None) -> NDArray[np.int64]:
    """Tetrahedron across each face; of a discontinuous mesh those of the bonded one."""
    if isinstance(mesh, SplitMesh) and wedges is None:
        return mesh.bonded.neighbours
    found: NDArray[np.int64] = face_neighbours(
        np.ascontiguousarray(mesh.tets[:, :4]), len(mesh.points)
    )
    return found
