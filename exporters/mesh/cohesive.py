"""Meshes split along the grain boundaries, with zero-thickness cohesive wedges or without.

Every node is doubled as often as grains meet in it; more exactly, once for each fan: the
tetrahedra of one grain at the node that hang together over faces at the node. A grain that
touches a node from two sides has two fans there, so its sides can part.

A wedge has six nodes: three of the grain with the lower id, the bottom, then three of the
other, the top, in matching order and at the same places. By the right-hand rule the normal
of either triangle points from the lower id to the higher: the thickness direction of
Abaqus' COH3D6 and the orientation of gmsh's prism.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...generator.errors import ExportError
from ...generator.particle import OUTSIDE
from ..files.array_fields import take_arrays
from .any_mesh import outer_of
from .conversions import Convertible
from .tetrahedra import FACES, material_sides
from .volume_mesh import VolumeMesh

SPLIT_FACTS = ("interfaces", "n_bonded_points", "n_wedges")  # what `split` adds


@dataclass(frozen=True, eq=False, repr=False)
class SplitMesh(Convertible):
    """Tetrahedra that share no node across a grain boundary. Made by `split`.

    Parameters
    ----------
    points : (n, 3) float
        um. The nodes of the bonded mesh first, then their further copies.
    tets : (m, 4) int
        Positively oriented; rows as in the bonded mesh.
    grain_ids : (m,) int32
        1..n_grains.
    n_grains
        Number of grains of the particle; some may have no tetrahedron.
    wedges : (k, 6) int
        Three nodes of the lower grain id, then three of the higher; sorted by pair, and in
        the order of the bonded mesh's ``grain_boundary``.
    wedge_pairs : (k, 2) int32
        Grain ids (low, high) of each wedge.
    parent : (n,) int
        Node of the bonded mesh that each node is a copy of.
    facts
        How the mesh was made: those of the bonded mesh, and what `split` adds.
    """

    points: NDArray[np.float64]
    tets: NDArray[np.int64]
    grain_ids: NDArray[np.int32]
    n_grains: int
    wedges: NDArray[np.int64]
    wedge_pairs: NDArray[np.int32]
    parent: NDArray[np.int64]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, m, k = len(self.points), len(self.tets), len(self.wedges)
        take_arrays(
            self,
            points=(np.float64, (n, 3)),
            tets=(np.int64, (m, 4)),
            grain_ids=(np.int32, (m,)),
            wedges=(np.int64, (k, 6)),
            wedge_pairs=(np.int32, (k, 2)),
            parent=(np.int64, (n,)),
        )

    @property
    def cells(self) -> NDArray[np.int64]:
        """The tetrahedra."""
        return self.tets

    @cached_property
    def bonded(self) -> VolumeMesh:
        """The mesh before the split: copies of a node made one again."""
        points = self.points[: self.parent.max(initial=-1) + 1]
        facts = {name: fact for name, fact in self.facts.items() if name not in SPLIT_FACTS}
        return VolumeMesh(points, self.parent[self.tets], self.grain_ids, self.n_grains, facts)

    @cached_property
    def facets(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Triangles of the outer surface (k, 3), normals outwards, and (0, grain id) of each.

        Sorted by grain. Grain boundaries have no triangles here: they are the wedges.
        """
        rows, faces = np.nonzero(self.bonded.neighbours < 0)
        order = np.argsort(self.grain_ids[rows], kind="stable")
        rows, faces = rows[order], faces[order]
        grains = self.grain_ids[rows]
        pairs = np.stack([np.full_like(grains, OUTSIDE), grains], axis=1)
        return self.tets[rows[:, None], FACES[faces]], pairs

    @property
    def outer(self) -> NDArray[np.int64]:
        """Triangles of the outer surface, normals outwards, (k, 3); no symmetric faces."""
        return outer_of(self)

    def without_wedges(self) -> SplitMesh:
        """Copy whose grains are not tied to each other at all: a discontinuous mesh."""
        return replace(
            self,
            wedges=np.empty((0, 6), np.int64),
            wedge_pairs=np.empty((0, 2), np.int32),
            facts={**self.facts, "interfaces": "discontinuous", "n_wedges": 0},
        )


def split(mesh: VolumeMesh) -> SplitMesh:
    """Copy of ``mesh`` that comes apart at the grain boundaries, a wedge on each facet of them.

    The first copy of a node, in the order of the tetrahedra, keeps its number; the further
    ones follow after all nodes of ``mesh``, ordered by the node they are copies of.

    Returns
    -------
    SplitMesh
        Its ``facts`` are those of ``mesh``, and ``interfaces``: "cohesive" (or
        "discontinuous"), ``n_bonded_points``, the nodes of ``mesh``, and ``n_wedges``.

    Raises
    ------
    ExportError
        If the tetrahedra have more than four nodes, or more than two share a face.
    """
    _require_splittable(mesh)
    tets, parent = _tets_of_fans(mesh)
    wedges, pairs = _wedges(mesh, tets)
    facts = {
        **mesh.facts,
        "interfaces": "cohesive",
        "n_bonded_points": len(mesh.points),
        "n_wedges": len(wedges),
    }
    points = mesh.points[parent]
    return SplitMesh(points, tets, mesh.grain_ids, mesh.n_grains, wedges, pairs, parent, facts)


def _require_splittable(mesh: VolumeMesh) -> None:
    if (nodes := mesh.tets.shape[1]) != 4:
        msg = (
            f"the tetrahedra have {nodes} nodes, expected 4: solvers have no second-order "
            "cohesive wedge (Abaqus ends at COH3D6 and COH3D8); split the first-order mesh"
        )
        raise ExportError(msg)
    if crowded := int((mesh.neighbours < -1).any(axis=1).sum()):
        msg = (
            f"{crowded} tetrahedra have a face that more than two share, expected none: "
            "the mesh is not conforming and has no sides that could part; mesh it again"
        )
        raise ExportError(msg)


def _tets_of_fans(mesh: VolumeMesh) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tetrahedra (m, 4) with a node for each fan, and the parent (n,) of each node."""
    n_corners = mesh.tets.size
    first, second = _joined_corners(mesh)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(n_corners,) * 2)
    _, fan = connected_components(graph, directed=False)
    _, corner = np.unique(fan, return_index=True)  # the first corner of each fan
    vertex = mesh.tets.ravel()[corner]
    order = np.lexsort((corner, vertex))
    is_first = np.diff(vertex[order], prepend=-1) > 0
    further = order[~is_first]
    number = np.empty(len(corner), np.int64)
    number[order[is_first]] = vertex[order[is_first]]
    number[further] = len(mesh.points) + np.arange(len(further))
    parent = np.concatenate([np.arange(len(mesh.points)), vertex[further]])
    return number[fan].reshape(-1, 4), parent


def _joined_corners(mesh: VolumeMesh) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corners 4 t + i that are the same node of two tetrahedra of a grain sharing a face."""
    across = mesh.neighbours
    rows, faces = np.nonzero(across > np.arange(len(across))[:, None])
    others = across[rows, faces]
    same = mesh.grain_ids[rows] == mesh.grain_ids[others]
    rows, faces, others = rows[same], faces[same], others[same]
    here = FACES[faces]
    there = _corners_in(mesh.tets, others, mesh.tets[rows[:, None], here])
    return (4 * rows[:, None] + here).ravel(), (4 * others[:, None] + there).ravel()


def _corners_in(
    tets: NDArray[np.int64], rows: NDArray[np.int64], triangles: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Which corner (k, 3) of its tetrahedron each vertex of a triangle (k, 3) is."""
    corners: NDArray[np.int64] = np.argmax(tets[rows][:, None, :] == triangles[:, :, None], axis=2)
    return corners


def _wedges(
    mesh: VolumeMesh, tets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Wedges (k, 6) and their pairs (k, 2), in the order of ``mesh.grain_boundary``."""
    rows, faces, pairs = material_sides(mesh.grain_ids, mesh.neighbours)
    between = pairs[:, 0] != OUTSIDE
    rows, faces, pairs = rows[between], faces[between], pairs[between]
    others = mesh.neighbours[rows, faces]
    high = FACES[faces][:, ::-1]  # inwards: from the lower grain into the higher
    low = _corners_in(mesh.tets, others, mesh.tets[rows[:, None], high])
    wedges = np.concatenate([tets[others[:, None], low], tets[rows[:, None], high]], axis=1)
    return wedges, pairs
