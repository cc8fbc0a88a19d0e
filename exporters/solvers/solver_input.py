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
from ..mesh.any_mesh import AXES, planes_of, symmetry_name
from ..mesh.cohesive import SplitMesh
from ..mesh.hex_mesh import HEX_FACES, HexMesh
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
CELL_FACES = {4: FACES, 10: QUADRATIC_FACES, 8: HEX_FACES}  # by the number of nodes
CELL_NAMES = {4: "four-node tetrahedra", 10: "ten-node tetrahedra", 8: "eight-node hexahedra"}


@dataclass(frozen=True, eq=False)
class SolverInput:
    """A mesh in the units of a solver, with its sets.

    Parameters
    ----------
    points : (n, 3) float
        In ``units``.
    cells : (m, 4), (m, 10) or (m, 8) int
        Tetrahedra or hexahedra, nodes in the order of VTK and Abaqus.
    grain_ids : (m,) int32
    n_grains
        Number of grains of the particle; some may have no element.
    outer_sides, boundary_sides : (k, 2) int
        Row of an element and which of its `FACES` or `HEX_FACES`: the outer surface; the
        boundaries between grains, each facet once, as a side of the grain with the higher id.
    boundary_pairs : (k, 2) int32
        Grain ids (low, high) of ``boundary_sides``, ascending.
    symmetry
        Coordinate, in ``units``, of the plane across each axis that the mesh was cut along.
    symmetry_sides
        Sides on each plane that the mesh was cut along, (k, 2), by name: ``symmetry_x``.
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
    cells: NDArray[np.int64]
    grain_ids: NDArray[np.int32]
    n_grains: int
    outer_sides: NDArray[np.int64]
    boundary_sides: NDArray[np.int64]
    boundary_pairs: NDArray[np.int32]
    symmetry: Mapping[str, float]
    symmetry_sides: Mapping[str, NDArray[np.int64]]
    orientations: NDArray[np.float64] | None
    wedges: Wedges | None
    units: UnitSystem
    material: Material
    facts: Mapping[str, Any]

    @property
    def order(self) -> int:
        """2 for ten-node tetrahedra, 1 for the others."""
        return 2 if self.cells.shape[1] == 10 else 1

    @property
    def is_hex(self) -> bool:
        """Whether the elements are hexahedra."""
        return self.cells.shape[1] == 8

    @cached_property
    def grains(self) -> list[int]:
        """Ids of the grains that have an element, ascending."""
        return np.unique(self.grain_ids).tolist()

    def rows_by_grain(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Each grain with the rows of its elements, both ascending."""
        return grouped(self.grain_ids)

    @property
    def outer(self) -> NDArray[np.int64]:
        """Triangles (k, 3) or (k, 6), or quadrilaterals (k, 4), outside; normals outwards."""
        return self._facets(self.outer_sides)

    @property
    def grain_boundary(self) -> NDArray[np.int64]:
        """The same between grains, each once, normals out of the grain with the higher id."""
        return self._facets(self.boundary_sides)

    def surfaces(self) -> list[tuple[int, str, NDArray[np.int64]]]:
        """Tag, name and facets of each surface: N + 1 outside, N + 2 inside, N + 4 symmetric."""
        n = self.n_grains
        found = [(n + 1, "outer", self.outer), (n + 2, "grain_boundary", self.grain_boundary)]
        for name, sides in self.symmetry_sides.items():
            found.append((n + 4 + AXES.index(name[-1]), name, self._facets(sides)))
        return found

    def _facets(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        faces = CELL_FACES[self.cells.shape[1]]
        facets: NDArray[np.int64] = self.cells[sides[:, :1], faces[sides[:, 1]]]
        return facets

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
        """Vertices and their fixed directions, which stop rigid motion and no more.

        The first is held in x, y, z, the second in y, z, the third in z. Of a mesh that was cut
        symmetric faces stop the rest: across one plane the first is held in both directions
        along it, the second in one; across two the first in one; across three there is none.
        """
        if self.symmetry:
            return self._supports_along_planes()
        corners = np.unique(self.cells if self.is_hex else self.cells[:, :4])
        x = self.points[corners]
        first = x[:, 0].argmin()
        second = x[:, 0].argmax()
        along = x[second] - x[first]
        across = np.abs(along[0] * (x - x[first])[:, 1] - along[1] * (x - x[first])[:, 0])
        chosen = corners[[first, second, across.argmax()]].tolist()
        return list(zip(chosen, ("xyz", "yz", "z"), strict=True))

    def _supports_along_planes(self) -> list[tuple[int, str]]:
        corners = np.unique(self.cells)
        along = [k for k in range(3) if AXES[k] not in self.symmetry]
        if not along:
            return []
        x = self.points[corners][:, along[0]]
        held = "".join(AXES[k] for k in along)
        return [(int(corners[x.argmin()]), held), (int(corners[x.argmax()]), held[1:])][: len(held)]

    def heading(self) -> list[str]:
        """Lines that begin every file: what it is, units, orientations. ASCII."""
        if self.orientations is None:
            material = "no orientations: the material is isotropic, the means over the crystal axes"
        else:
            material = "crystal axes of every grain as in orientations.csv"
        return [
            f"virtual NMC811 particle: {len(self.grains)} grains, {len(self.cells)} "
            f"{CELL_NAMES[self.cells.shape[1]]}, {len(self.points)} nodes",
            self.units.text,
            material,
            *self._about_planes(),
        ]

    def _about_planes(self) -> list[str]:
        faces = ", ".join(self.symmetry_sides)
        return [f"symmetric faces {faces}: no flux, no normal displacement"] if faces else []


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
    if len(mesh.cells) == 0:
        msg = "the mesh has no element; make it with a smaller size_um"
        raise ExportError(msg)
    _check_orientations(orientations, mesh.n_grains)
    check_wedges(wedges, mesh)
    if wedges is not None and len(wedges.nodes) == 0:
        wedges = None
    outer, boundary, pairs = _sides(mesh, wedges)
    outer, symmetry = _told_apart(mesh, outer)
    material = Material() if orientations is not None else Material().isotropic()
    return SolverInput(
        points=mesh.points * units.per_um,
        cells=mesh.cells,
        grain_ids=mesh.grain_ids,
        n_grains=mesh.n_grains,
        outer_sides=outer,
        boundary_sides=boundary,
        boundary_pairs=pairs,
        symmetry={axis: place * units.per_um for axis, place in planes_of(mesh).items()},
        symmetry_sides=symmetry,
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
        sides, pairs = without_cracks(mesh.points, mesh.cells, sides, pairs, wedges)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        sides, pairs = sides[order], pairs[order]
    outside = pairs[:, 0] == OUTSIDE
    return sides[outside], sides[~outside], pairs[~outside]


def _told_apart(
    mesh: AnyMesh, free: NDArray[np.int64]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Free sides of the outer surface, and those on the planes that the mesh was cut along."""
    corners = mesh.points[mesh.cells[free[:, :1], CELL_FACES[mesh.cells.shape[1]][free[:, 1]]]]
    planes, outer = {}, np.ones(len(free), bool)
    for axis, place in planes_of(mesh).items():
        on_plane = (corners[:, :, AXES.index(axis)] == place).all(axis=1) & outer
        planes[symmetry_name(axis)] = free[on_plane]
        outer &= ~on_plane
    return free[outer], planes


def _neighbours(mesh: AnyMesh, wedges: Wedges | None) -> NDArray[np.int64]:
    """Element across each face; of a discontinuous mesh those of the bonded one."""
    if isinstance(mesh, SplitMesh) and wedges is None:
        return mesh.bonded.neighbours
    if isinstance(mesh, HexMesh):
        return mesh.neighbours
    found: NDArray[np.int64] = face_neighbours(
        np.ascontiguousarray(mesh.cells[:, :4]), len(mesh.points)
    )
    return found
