"""Shape of the tetrahedra of a mesh: how good, how bad at worst, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..mesh.tetrahedra import EDGES, dihedral_angles, inverse_condition, signed_volumes

N_WORST = 5


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
class ElementShape:
    """Shape of all tetrahedra.

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
    worst
        The elements with the lowest ``sicn``.
    """

    dihedral_deg: Spread
    largest_dihedral_deg: float
    scaled_jacobian: Spread
    sicn: Spread
    worst: tuple[WorstElement, ...]


def element_shape(
    points: NDArray[np.float64], tets: NDArray[np.int64], grain_ids: NDArray[np.int32]
) -> ElementShape:
    """Shape of tetrahedra (m, 4), m > 0."""
    angles = dihedral_angles(points, tets)
    sicn = inverse_condition(points, tets)
    smallest = angles.min(axis=1)
    worst = tuple(
        WorstElement(
            int(grain_ids[t]),
            tuple(round(float(x), 6) for x in points[tets[t]].mean(axis=0)),
            float(sicn[t]),
            float(smallest[t]),
        )
        for t in np.argsort(sicn, kind="stable")[:N_WORST]
    )
    return ElementShape(
        dihedral_deg=Spread.of(smallest),
        largest_dihedral_deg=float(angles.max()),
        scaled_jacobian=Spread.of(scaled_jacobian(points, tets)),
        sicn=Spread.of(sicn),
        worst=worst,
    )


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
