"""Rounding at the hand-over points, so that every CPU produces the same particle."""

from __future__ import annotations

from typing import Any

import numpy as np

QUANTUM = 2.0**-20


def rounded(values: Any, xp: Any = np) -> Any:
    """Values to the nearest multiple of 2^-20; arrays of NumPy or, with ``xp``, tensors.

    Matrix products, exponentials and trigonometric functions differ in their last bits
    between processors and library versions. What leaves the marker law, the shell model
    and the rotation of the markers is rounded here; the rest of the way to the labels
    uses only operations that IEEE 754 defines to the bit.

    Examples
    --------
    >>> float(rounded(np.float64(0.1)))
    0.10000038146972656
    """
    return xp.round(values / QUANTUM) * QUANTUM


def undecided(values: Any, difference: Any, xp: Any = np) -> Any:
    """Whether another evaluation, at most ``difference`` away, may be rounded otherwise.

    Examples
    --------
    >>> undecided(QUANTUM * np.array([3.2, 3.4999, 7.5001]), 1e-3 * QUANTUM)
    array([False,  True,  True])
    """
    part = values / QUANTUM
    return xp.abs(part - xp.floor(part) - 0.5) * QUANTUM <= difference
