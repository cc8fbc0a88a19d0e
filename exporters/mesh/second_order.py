r"""Second-order tetrahedra: mid-side nodes on the true grain boundaries and the true shell.

A tetrahedron has ten nodes: its vertices, then the nodes of the edges 01, 12, 02, 03, 13,
23 (the order of VTK and Abaqus). The determinant of the isoparametric map is a polynomial
of degree 3; the smallest of its 20 Bernstein coefficients bounds it from below everywhere
in the tetrahedron, and their mean over 6 is the exact volume. With straight edges all
of them are six times the volume.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE, Particle
from .conversions import Convertible
from .material_field import MAX_MATERIALS, NONE, add_material, nearest_on_interface, particle_field
from .tetrahedra import EDGES, FACES, edge_table
from .volume_mesh import VolumeMesh

MID_SIDES = np.array([0, 3, 1, 2, 4, 5])  # rows of EDGES in the order of nodes 4 to 9
LEAST_JACOBIAN = 0.3  # lower bound of the determinant, as a part of that of the straight edges
LONGEST_MOVE = 0.25  # of the edge: farther off, the boundary that was found is another one
HALVINGS = 4  # of a displacement that asks for more; then the edge stays straight
BLOCK = 20_000  # tetrahedra: 30 MB of Jacobian matrices


@dataclass(frozen=True, eq=False, repr=False)
class SecondOrderMesh(Convertible):
    """Ten-node tetrahedra of a particle. Made by `second_order`.

    Parameters
    ----------
    linear
        The mesh of their vertices.
    points : (n, 3) float
        um; those of ``linear`` first, then a node for each edge.
    tets : (m, 10) int
    facts
        How it was made: those of ``linear``, and the counts that `second_order` names.
    """

    linear: VolumeMesh
    points: NDArray[np.float64]
    tets: NDArray[np.int64]
    facts: Mapping[str, Any]

    @property
    def cells(self) -> NDArray[np.int64]:
        """The tetrahedra."""
        return self.tets

    @property
    def grain_ids(self) -> NDArray[np.int32]:
        """Grain of each tetrahedron, (m,) int32."""
        return self.linear.grain_ids

    @property
    def n_grains(self) -> int:
        """Number of grains of the particle."""
        return self.linear.n_grains

    @cached_property
    def facets(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Six-node triangles (k, 6) between materials, and their pairs, as in `VolumeMesh`.

        The nodes of the edges 01, 12, 20 follow the vertices.
        """
        triangles, pairs = self.linear.facets
        ends = np.sort(self.tets[:, EDGES].reshape(-1, 2), axis=1)
        keys, first = np.unique(_edge_keys(ends, len(self.points)), return_index=True)
        nodes = self.tets[:, 4 + np.argsort(MID_SIDES)].ravel()[first]
        sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]], axis=2)
        found = np.searchsorted(keys, _edge_keys(sides, len(self.points)))
        return np.concatenate([triangles, nodes[found]], axis=1), pairs

    @cached_property
    def jacobian_coefficients(self) -> NDArray[np.float64]:
        """Bernstein coefficients of the Jacobian determinant, (m, 20), um^3."""
        return jacobian_coefficients(self.points[self.tets])

    @property
    def volumes(self) -> NDArray[np.float64]:
        """Volume of each tetrahedron, (m,), um^3; exact."""
        volumes: NDArray[np.float64] = self.jacobian_coefficients.mean(axis=1) / 6
        return volumes


def second_order(mesh: VolumeMesh, particle: Particle) -> SecondOrderMesh:
    """Ten-node tetrahedra whose mid-side nodes lie on the boundaries of ``particle``.

    The middle of an edge at which materials meet is moved to where they meet exactly, or
    by a half, a quarter, an eighth of the way, or not at all: as far as the determinant of
    each tetrahedron keeps `LEAST_JACOBIAN` of its value. All other edges stay straight.

    Returns
    -------
    SecondOrderMesh
        Its ``facts`` are those of ``mesh``, and ``n_boundary_edges``, where materials meet,
        ``n_shortened_edges``, whose node could not go all the way, and
        ``least_jacobian``, the proven lower bound of the scaled determinant.
    """
    edges, tet_edges = edge_table(mesh.tets, len(mesh.points))
    materials = _materials_at_edges(mesh, tet_edges, len(edges))
    constrained = np.flatnonzero((materials != NONE).sum(axis=1) > 1)
    start, stop = mesh.points[edges[:, 0]], mesh.points[edges[:, 1]]
    middles = (start + stop) / 2
    length = np.linalg.norm(stop - start, axis=1)
    moves = np.zeros_like(middles)
    _to_interfaces(middles, constrained, materials, length, particle_field(particle), moves)
    astray = np.linalg.norm(moves, axis=1) > LONGEST_MOVE * length
    moves[astray] = 0.0
    parts, least = _admissible_parts(mesh, tet_edges, middles, moves)
    parts[astray] = 0.0
    points = np.concatenate([mesh.points, middles + parts[:, None] * moves])
    tets = np.concatenate([mesh.tets, len(mesh.points) + tet_edges[:, MID_SIDES]], axis=1)
    facts = {
        **mesh.facts,
        "order": 2,
        "n_boundary_edges": len(constrained),
        "n_shortened_edges": int((parts < 1).sum()),
        "least_jacobian": least,
    }
    return SecondOrderMesh(mesh, points, tets, facts)


def jacobian_coefficients(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bernstein coefficients of the Jacobian determinant of ten-node tetrahedra.

    Parameters
    ----------
    nodes : (m, 10, 3) float

    Returns
    -------
    (m, 20) float
        Their minimum bounds the determinant from below; all are six times the volume if
        the edges are straight and the nodes in their middles.
    """
    gradients, to_bernstein = _cubic_lattice()
    coefficients = np.empty((len(nodes), 20))
    for begin in range(0, len(nodes), BLOCK):
        block = nodes[begin : begin + BLOCK]
        jacobians = np.einsum("qai,max->mqxi", gradients, block, optimize=True)
        coefficients[begin : begin + BLOCK] = np.linalg.det(jacobians) @ to_bernstein.T
    return coefficients


def _cubic_lattice() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradients of the shape functions on the lattice of degree 3; values to coefficients.

    Gradients are (20, 10, 3) with respect to the barycentric coordinates of vertices 1, 2
    and 3; the matrix is (20, 20).
    """
    powers = np.array(
        [(3 - i - j - k, i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]
    )
    x = powers / 3  # barycentric, (20, 4)
    by_vertex = np.zeros((20, 10, 4))  # derivatives with respect to all four coordinates
    for a in range(4):
        by_vertex[:, a, a] = 4 * x[:, a] - 1
    for node, (a, b) in enumerate(EDGES[MID_SIDES], start=4):
        by_vertex[:, node, a] = 4 * x[:, b]
        by_vertex[:, node, b] = 4 * x[:, a]
    gradients = by_vertex[:, :, 1:] - by_vertex[:, :, :1]
    multinomial = 6 / np.array([[math.factorial(p) for p in row] for row in powers]).prod(axis=1)
    bernstein = multinomial * np.prod(x[:, None, :] ** powers[None], axis=2)
    return gradients, np.linalg.inv(bernstein)


def _edge_keys(ends: NDArray[np.int64], n_points: int) -> NDArray[np.int64]:
    """One number for each pair of vertices (..., 2), lower vertex first."""
    keys: NDArray[np.int64] = ends[..., 0] * n_points + ends[..., 1]
    return keys


def _materials_at_edges(
    mesh: VolumeMesh, tet_edges: NDArray[np.int64], n_edges: int
) -> NDArray[np.int32]:
    """Grains that meet at each edge, and outside, padded with -1."""
    owners, labels = tet_edges, mesh.grain_ids
    rows, faces = np.nonzero(mesh.neighbours < 0)
    sides = np.array([[e for e, ends in enumerate(EDGES) if set(ends) <= set(f)] for f in FACES])
    outside = tet_edges[rows[:, None], sides[faces]]  # the three edges of each outer face
    owners = np.concatenate([owners, np.tile(outside, 2)])
    labels = np.concatenate([labels, np.full(len(rows), OUTSIDE, np.int32)])
    materials = np.full((n_edges, MAX_MATERIALS), NONE, np.int32)
    _gather_materials(owners, labels, materials)
    return materials


@njit(cache=True, nogil=True)
def _gather_materials(owners, labels, materials):  # type: ignore[no-untyped-def]
    for row in range(owners.shape[0]):
        for e in owners[row]:
            add_material(materials[e], labels[row])


@njit(cache=True, nogil=True)
def _to_interfaces(middles, constrained, materials, length, field, moves):  # type: ignore[no-untyped-def]
    """Write the way from each middle in ``constrained`` to where its materials meet."""
    target = np.empty(3)
    for e in constrained:
        nearest_on_interface(middles[e], materials[e], length[e], field, target)
        for i in range(3):
            moves[e, i] = target[i] - middles[e, i]


def _admissible_parts(
    mesh: VolumeMesh,
    tet_edges: NDArray[np.int64],
    middles: NDArray[np.float64],
    moves: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Part of each move that all tetrahedra at the edge admit, and the least Jacobian then."""
    moving: NDArray[np.bool_] = np.any(moves, axis=1)
    parts, halvings = np.ones(len(moves)), np.zeros(len(moves), np.int64)
    least = np.ones(len(mesh.tets))
    active = np.flatnonzero(moving[tet_edges].any(axis=1))
    while len(active):
        nodes = middles + parts[:, None] * moves
        corners = mesh.points[mesh.tets[active]]
        corners = np.concatenate([corners, nodes[tet_edges[active][:, MID_SIDES]]], axis=1)
        least[active] = jacobian_coefficients(corners).min(axis=1) / (6 * mesh.volumes[active])
        bad = np.unique(tet_edges[active[least[active] < LEAST_JACOBIAN]])
        bad = bad[moving[bad] & (parts[bad] > 0)]
        halvings[bad] += 1
        parts[bad] = np.where(halvings[bad] < HALVINGS, parts[bad] / 2, 0.0)
        touched = np.zeros(len(parts), bool)
        touched[bad] = True
        active = np.flatnonzero(touched[tet_edges].any(axis=1))
    return parts, float(least.min())
