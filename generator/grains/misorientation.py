"""Misorientation of grains: rotations between their crystals, of layered NMC unless said otherwise.

These crystals are R-3m: point group -3m, which is its own Laue class, with the proper rotations
32 (D3): the three-fold axis c along e_3 of the crystal, and two-fold axes along a, which is
e_1, and at 60 and 120 degrees to it about c.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..markers.orientations import multiply

_HALF_TURNS = np.radians([0.0, 60.0, 120.0])
_COSINE, _SINE, _ZERO = np.cos(_HALF_TURNS), np.sin(_HALF_TURNS), np.zeros(3)
PROPER_ROTATIONS = np.concatenate(  # (6, 4), quaternions (w, x, y, z)
    [
        np.stack([_COSINE, _ZERO, _ZERO, _SINE], axis=1),  # by 0, 120, 240 degrees about c
        np.stack([_ZERO, _COSINE, _SINE, _ZERO], axis=1),  # by 180 degrees about a
    ]
)


def disorientation_deg(
    p: NDArray[np.float64],
    q: NDArray[np.float64],
    symmetries: NDArray[np.float64] = PROPER_ROTATIONS,
) -> NDArray[np.float64]:
    """Smallest angle of a rotation between crystals that look alike, (n,), degrees.

    The misorientation is p* q; its angle is the smallest among its products with the
    symmetries of the crystal, for those of NMC at most 104.5 degrees.

    Parameters
    ----------
    p, q : (n, 4) float
        Unit quaternions (w, x, y, z), crystal to sample.
    symmetries : (k, 4) float
        Proper rotations of the crystal, a whole group.

    Examples
    --------
    >>> c_turned = np.array([[0.0, 0.0, 0.0, 1.0]])  # by 180 degrees about c
    >>> disorientation_deg(np.array([[1.0, 0.0, 0.0, 0.0]]), c_turned).round(6)
    array([60.])
    """
    misorientation = multiply(p * [1.0, -1.0, -1.0, -1.0], q)
    cosines = misorientation @ (symmetries * [1.0, -1.0, -1.0, -1.0]).T
    largest = np.abs(cosines).max(axis=1)
    angles: NDArray[np.float64] = np.degrees(2 * np.arccos(np.minimum(largest, 1.0)))
    return angles
