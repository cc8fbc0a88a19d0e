"""Surfaces of grains: one conforming complex, and from it a closed surface for each grain.

A folder of surfaces holds

* ``surfaces.vtkhdf``: the whole complex, every patch between two grains once, with the
  cell data ``grain_low`` and ``grain_high`` (0 is outside); opens in ParaView;
* ``triple_lines.vtkhdf``: the lines along which three or more materials meet and the
  corners in which these end (`triple_lines`); opens in ParaView;
* ``shell.ply``: the outer surface;
* ``grain_00001.ply``, ...: the closed surface of each grain that the complex resolves,
  normals outwards, binary PLY; or all that as STL, or all grains in one ``grains.glb``
  (`closed_files`).

All coordinates are um. A grain that touches itself in a vertex or along an edge has these
vertices more than once, moved apart by some 0.01 nm (`closed_surface`): it stays watertight
where a reader merges vertices, as ``trimesh.load`` does, and leaves a gap of that width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.particle import OUTSIDE
from ...generator.requirements import require
from ..files.array_fields import take_arrays
from ..mesh.tetrahedra import grouped
from ..mesh.volume_mesh import VolumeMesh
from .closed_surface import separated

if TYPE_CHECKING:
    import pyvista
    import trimesh


@dataclass(frozen=True, eq=False, repr=False)
class GrainSurfaces:
    """All surfaces between the grains of a particle, and between them and the outside.

    Parameters
    ----------
    points : (n, 3) float
        um.
    triangles : (k, 3) int
        Each patch once; neighbouring patches share their vertices.
    pairs : (k, 2) int32
        Grain ids (low, high) on the two sides of each triangle, low 0 for the outside.
        Normals point out of high into low.
    n_grains
        Number of grains of the particle; some may have no triangle.
    """

    points: NDArray[np.float64]
    triangles: NDArray[np.int64]
    pairs: NDArray[np.int32]
    n_grains: int

    def __post_init__(self) -> None:
        k = len(self.triangles)
        take_arrays(
            self,
            points=(np.float64, (len(self.points), 3)),
            triangles=(np.int64, (k, 3)),
            pairs=(np.int32, (k, 2)),
        )
        if k and not (self.pairs[:, 0] < self.pairs[:, 1]).all():
            msg = f"pairs reach from {self.pairs.min()} to {self.pairs.max()}, expected low < high"
            raise ValueError(msg)

    def __repr__(self) -> str:
        return (
            f"GrainSurfaces({len(self.triangles):,} triangles, {len(self.points):,} points, "
            f"{len(self.grain_ids)} of {self.n_grains} grains)"
        )

    @property
    def grain_ids(self) -> NDArray[np.int32]:
        """Grains that have a surface, ascending."""
        found = np.unique(self.pairs)
        return found[found != OUTSIDE]

    def to_trimesh(self, grain_id: int | None = None) -> trimesh.Trimesh:
        """Closed surface of one grain, or of the whole particle, normals outwards, um.

        Where it touches itself, vertices are doubled and moved apart (`closed_surface`) so that
        every edge has two triangles: it is watertight, also after vertices are merged, and one
        closed surface for each piece of a grain.

        Raises
        ------
        ExportError
            If the grain has no surface here, or trimesh is not installed.
        """
        require("mesh", "trimesh", purpose="closed surfaces", error=ExportError)
        if grain_id is None:
            return self._surface(self.triangles[self.pairs[:, 0] == OUTSIDE])
        rows = self._rows_of.get(grain_id)
        if rows is None:
            msg = (
                f"grain {grain_id} has no surface here; {len(self.grain_ids)} of "
                f"{self.n_grains} grains have one: ask for a smaller size_um"
            )
            raise ExportError(msg)
        triangles = self.triangles[rows].copy()
        inwards = self.pairs[rows, 0] == grain_id
        triangles[inwards] = triangles[inwards, ::-1]
        return self._surface(triangles)

    def to_pyvista(self) -> pyvista.PolyData:
        """All triangles for pyvista, um, with the cell data ``grain_low`` and ``grain_high``.

        Raises
        ------
        ExportError
            If pyvista is not installed.
        """
        require("pyvista", "pyvista", purpose="conversions to pyvista", error=ExportError)
        import pyvista

        faces = np.insert(self.triangles, 0, 3, axis=1).ravel()
        surface = pyvista.PolyData(self.points.copy(), faces)
        for name, column in zip(("grain_low", "grain_high"), self.pairs.T, strict=True):
            surface.cell_data[name] = column.copy()
        surface.field_data["length_unit"] = ["um"]
        return surface

    @cached_property
    def _rows_of(self) -> dict[int, NDArray[np.int64]]:
        """Triangles of each grain."""
        rows = np.tile(np.arange(len(self.pairs)), 2)
        grains = np.concatenate([self.pairs[:, 0], self.pairs[:, 1]])
        return {g: rows[found] for g, found in grouped(grains) if g != OUTSIDE}

    def _surface(self, triangles: NDArray[np.int64]) -> trimesh.Trimesh:
        import trimesh

        used, local = np.unique(triangles, return_inverse=True)
        points, faces = separated(self.points[used], local.reshape(-1, 3))
        return trimesh.Trimesh(points, faces, process=False)


def grain_surfaces(mesh: VolumeMesh) -> GrainSurfaces:
    """Surfaces between the grains of a volume mesh: facets of its tetrahedra."""
    triangles, pairs = mesh.facets
    used, local = np.unique(triangles, return_inverse=True)
    return GrainSurfaces(mesh.points[used], local.reshape(-1, 3), pairs, mesh.n_grains)
