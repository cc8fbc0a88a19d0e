"""The radial restriction of the markers: Eq. (12).

Written out element by element for arrays of NumPy and, with the module torch as ``xp``, for
tensors. Every operation is one that IEEE 754 defines to the bit, so that both give the same
bits on every device; sines and cosines come from the processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rounding import rounded
from .marker_law import Profile
from .orientations import normal_quantiles, tangents
from .point_process import MarkedPoints

Three = tuple[Any, Any, Any]  # components, arrays or tensors of one shape
UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # entries of a symmetric matrix


def radial_rotations(
    seeds: NDArray[np.float64], angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    r"""Rotations Q_i that take s_i / |s_i| to e_1, (n, 3, 3), Eq. (12).

    .. math:: Q_i = R(e_1, \gamma_i) \, R(\tilde s_i + e_1, \pi), \quad
              \tilde s_i = s_i / |s_i|

    R(a, w) is the rotation about the axis a by the angle w; a half turn about the unit
    axis a is 2 a a^T - 1. Where the axis vanishes (s~_i = -e_1) the half turn about e_2
    does the same, and a seed at the origin has the radial direction e_1; both have
    probability zero.

    Parameters
    ----------
    seeds : (n, 3) float
        Seed points, any unit.
    angles : (n,) float
        gamma_i, radians.
    """
    x, y, z = seeds.T
    rows = rotation_rows((x, y, z), np.cos(angles), np.sin(angles))
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_rows(seeds: Three, cosine: Any, sine: Any, xp: Any = np) -> tuple[Three, Three, Three]:
    """Rows of the rotations Q_i; ``cosine`` and ``sine`` are those of gamma_i."""
    a, b, c = _half_turn_axes(seeds, xp)
    p, q, r = 2.0 * a, 2.0 * b, 2.0 * c
    u0, u1, u2 = q * a, q * b - 1.0, q * c
    v0, v1, v2 = r * a, r * b, r * c - 1.0
    return (
        (p * a - 1.0, p * b, p * c),
        (cosine * u0 - sine * v0, cosine * u1 - sine * v1, cosine * u2 - sine * v2),
        (sine * u0 + cosine * v0, sine * u1 + cosine * v1, sine * u2 + cosine * v2),
    )


def tilted(
    directions: NDArray[np.float64], marks: NDArray[np.float64], tilt_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unit vectors (n, 3) turned out of ``directions`` by two independent normal angles.

    The turn is along a great circle by the length of (tau z_1, tau z_2), towards the direction
    of that vector in the tangent plane: for small tau a normal law in both of its directions.

    Parameters
    ----------
    directions : (n, 3) float
        Unit vectors.
    marks : (n, 2) float
        Uniform in [0, 1]^2, the quantiles of z_1 and z_2.
    tilt_deg : (n,) float
        tau, degrees.
    """
    return turned(directions, np.radians(tilt_deg)[:, None] * normal_quantiles(marks))


def turned(directions: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (n, 3) turned along great circles by vectors (n, 2) of their tangent planes.

    The length of such a vector is the angle, radians.
    """
    first, second = tangents(directions)
    towards = angles[:, :1] * first + angles[:, 1:] * second
    angle = np.sqrt(angles[:, :1] * angles[:, :1] + angles[:, 1:] * angles[:, 1:])
    return np.cos(angle) * directions + np.sinc(angle / np.pi) * towards


def frame_axes(points: MarkedPoints, tilt_deg: Profile) -> NDArray[np.float64]:
    """Directions (n, 3), of any length, that belong to the first entries of D: seeds, or `tilted`.

    ``tilt_deg`` is a function of the relative radius, degrees. Tilted ones are rounded: sines and
    cosines of processors differ in their last bits, and recipes hold them.
    """
    if not max(tilt_deg.values) > 0:
        return points.seeds
    away = np.linalg.norm(points.seeds, axis=1, keepdims=True)
    turned = tilted(points.seeds / away, points.tilt_marks, tilt_deg(points.relative_radii))
    axes: NDArray[np.float64] = rounded(turned)
    return axes


def _half_turn_axes(seeds: Three, xp: Any) -> Three:
    """Unit vectors half way between the radial directions and e_1."""
    x, y, z = seeds
    norm = xp.sqrt(x * x + y * y + z * z)
    divisor = xp.where(norm > 0, norm, 1.0)
    a, b, c = xp.where(norm > 0, x / divisor, 1.0) + 1.0, y / divisor, z / divisor
    length = xp.sqrt(a * a + b * b + c * c)
    known = length >= 1e-8
    divisor = xp.where(known, length, 1.0)
    return (
        xp.where(known, a / divisor, 0.0),
        xp.where(known, b / divisor, 1.0),
        xp.where(known, c / divisor, 0.0),
    )


def rotated(rows: tuple[Three, Three, Three], vectors: Three) -> Three:
    """Components of Q_i v."""
    x, y, z = vectors
    first, second, third = (row[0] * x + (row[1] * y + row[2] * z) for row in rows)
    return first, second, third


def matrix_entries(rows: tuple[Three, Three, Three], diagonals: Three, xp: Any = np) -> list[Any]:
    """Entries ``UPPER`` of M_i = Q_i^T D_i Q_i, rounded to multiples of 2^-20."""
    entries = []
    for j, k in UPPER:
        first, second, third = (
            d * (row[j] * row[k]) for d, row in zip(diagonals, rows, strict=True)
        )
        entries.append(rounded(first + (second + third), xp))
    return entries


def marker_matrices(
    axes: NDArray[np.float64], angles: NDArray[np.float64], diagonals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """M_i = Q_i^T D_i Q_i, (n, 3, 3) symmetric, rounded to multiples of 2^-20.

    ``axes`` (n, 3), of any length, are what Q_i takes to e_1: seed points, unless grains are
    tilted. Units are those of ``diagonals`` (n, 3). The rounding absorbs what cosines of
    different processors disagree on.
    """
    x, y, z = axes.T
    d1, d2, d3 = diagonals.T
    rows = rotation_rows((x, y, z), np.cos(angles), np.sin(angles))
    return symmetric(np.column_stack(matrix_entries(rows, (d1, d2, d3))))


def symmetric(entries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices (n, 3, 3) with the entries ``UPPER``, (n, 6)."""
    matrices = np.empty((len(entries), 3, 3))
    for column, (j, k) in zip(entries.T, UPPER, strict=True):
        matrices[:, j, k] = matrices[:, k, j] = column
    return matrices
