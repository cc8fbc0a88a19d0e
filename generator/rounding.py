"""Rounding at the hand-over points, so that every CPU produces the same particle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUANTUM = 2.0**-20


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values to the nearest multiple of 2^-20.

    Matrix products, exponentials and trigonometric functions differ in their last bits
    between processors and library versions. What leaves the marker law, the shell model
    and the rotation of the markers is rounded here; the rest of the way to the labels
    uses only operations that IEEE 754 defines to the bit.

    Examples
    --------
    >>> float(rounded(np.float64(0.1)))
    0.10000038146972656
    """
    return np.round(np.asarray(values) / QUANTUM) * QUANTUM
