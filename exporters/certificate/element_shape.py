"""Shape of the tetrahedra of a mesh: how good, how bad at worst, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..mesh.tetrahedra import EDGES, FACES, dihedral_angles, inverse_condition, signed_volumes

N_WORST = 5
PART = 50_000  # tetrahedra that are looked at together: matrices of all take much memory


@dataclass(frozen=True)
class Spread:
    """Smallest value, 5th percentile and median."""

    least: float
    low: float
    median: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Spread:
        """Spread of some values (n,), n > 0."""
        low, median = np.percentile(values, [5, 50])
        return cls(float(values.min()), float(low), float(median))


@dataclass(frozen=True)
class WorstElement:
    """Where one of the worst elements is."""

    grain_id: int
    centroid_um: tuple[float, ...]
    sicn: float
    dihedral_deg: float


@dataclass(frozen=True)
class FlattestElement:
    """The element with the smallest altitude, and where it is."""

    altitude_um: float
    grain_id: int
    centroid_um: tuple[float, ...]


@dataclass(frozen=True)
class ElementShape:
    """Shape and size of all tetrahedra.

    Parameters
    ----------
    dihedral_deg
        Smallest angle between two faces of each tetrahedron.
    largest_dihedral_deg
        Largest such angle of all.
    scaled_jacobian
        At the worst vertex of each: sqrt(2) 6 V over the product of the three edges there.
    sicn
        Signed inverse condition number, gmsh's ``minSICN``.
    shortest_edge_um, longest_edge_um
        Of all edges.
    flattest
        The element with the smallest altitude, the distance of a node from the face opposite
        to it: it limits the time steps of explicit solvers.
    worst
        The elements with the lowest ``sicn``.
    """

    dihedral_deg: Spread
    largest_dihedral_deg: float
    scaled_jacobian: Spread
    sicn: Spread
    shortest_edge_um: float
    longest_edge_um: float
    flattest: FlattestElement
    worst: tuple[WorstElement, ...]


def element_shape(
    points: NDArray[np.float64], tets: NDArray[np.int64], grain_ids: NDArray[np.int32]
) -> ElementShape:
    """Shape of tetrahedra (m, 4), m > 0."""
    parts = [_angles_and_ratios(points, tets[k : k + PART]) for k in range(0, len(tets), PART)]
    smallest, largest, sicn, jacobian = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    shortest, longest, altitudes = _lengths(points, tets)
    flattest = int(altitudes.argmin())
    worst = tuple(
        WorstElement(
            int(grain_ids[t]),
            _centroid(points[tets[t]]),
            float(sicn[t]),
            float(smallest[t]),
        )
        for t in np.argsort(sicn, kind="stable")[:N_WORST]
    )
    return ElementShape(
        dihedral_deg=Spread.of(smallest),
        largest_dihedral_deg=float(largest.max()),
        scaled_jacobian=Spread.of(jacobian),
        sicn=Spread.of(sicn),
        shortest_edge_um=shortest,
        longest_edge_um=longest,
        flattest=FlattestElement(
            float(altitudes[flattest]),
            int(grain_ids[flattest]),
            _centroid(points[tets[flattest]]),
        ),
        worst=worst,
    )


def _angles_and_ratios(
    points: NDArray[np.float64], tets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], ...]:
    """Smallest and largest dihedral angle, SICN and scaled Jacobian of some, (m,) each."""
    angles = dihedral_angles(points, tets)
    return (
        angles.min(axis=1),
        angles.max(axis=1),
        inverse_condition(points, tets),
        scaled_jacobian(points, tets),
    )


def _centroid(corners: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(x), 6) for x in corners.mean(axis=0))


def scaled_jacobian(points: NDArray[np.float64], tets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scaled Jacobian of each tetrahedron (m,), 1 for a regular one (Verdict's definition).

    Examples
    --------
    >>> corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> scaled_jacobian(corner, np.array([[0, 1, 2, 3]])).round(4)
    array([0.7071])
    """
    corners = points[tets]
    length = np.linalg.norm(corners[:, EDGES[:, 0]] - corners[:, EDGES[:, 1]], axis=2)
    of_vertex = [[e for e, ends in enumerate(EDGES.tolist()) if k in ends] for k in range(4)]
    largest = np.max([length[:, edges].prod(axis=1) for edges in of_vertex], axis=0)
    largest = np.maximum(largest, np.finfo(float).tiny)
    scaled: NDArray[np.float64] = math.sqrt(2) * 6 * signed_volumes(points, tets) / largest
    return scaled


@njit(cache=True, nogil=True)
def _lengths(points, tets):  # type: ignore[no-untyped-def]
    """Shortest and longest edge of all, and the smallest altitude of each tetrahedron (m,)."""
    shortest, longest = np.inf, 0.0  # squares
    altitudes = np.empty(tets.shape[0])
    u, v, normal = np.empty(3), np.empty(3), np.empty(3)
    for t in range(tets.shape[0]):
        for e in range(6):
            square = _difference(points, tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]], u)
            shortest, longest = min(shortest, square), max(longest, square)
        altitudes[t] = np.inf
        for k in range(4):
            corner = tets[t, FACES[k, 0]]
            _difference(points, corner, tets[t, FACES[k, 1]], u)
            _difference(points, corner, tets[t, FACES[k, 2]], v)
            square = 0.0
            for i in range(3):
                normal[i] = u[i - 2] * v[i - 1] - u[i - 1] * v[i - 2]
                square += normal[i] * normal[i]
            _difference(points, corner, tets[t, k], u)
            height = abs(normal[0] * u[0] + normal[1] * u[1] + normal[2] * u[2])
            height = height / math.sqrt(square) if square > 0.0 else 0.0
            altitudes[t] = min(altitudes[t], height)
    return math.sqrt(shortest), math.sqrt(longest), altitudes


@njit(cache=True, nogil=True)
def _difference(points, a, b, out):  # type: ignore[no-untyped-def]
    """Write point b less point a to ``out``; return its squared length."""
    square = 0.0
    for i in range(3):
        out[i] = points[b, i] - points[a, i]
        square += out[i] * out[i]
    return square
