"""The radial restriction of the markers: Eq. (12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..rounding import rounded

E1 = np.array([1.0, 0.0, 0.0])


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
    norm = np.linalg.norm(seeds, axis=1, keepdims=True)
    radial = np.where(norm > 0, seeds / np.where(norm > 0, norm, 1.0), E1)
    axis = radial + E1
    length = np.linalg.norm(axis, axis=1, keepdims=True)
    degenerate = length < 1e-8
    axis = np.where(degenerate, [0.0, 1.0, 0.0], axis / np.where(degenerate, 1.0, length))
    half_turns = 2 * axis[:, :, None] * axis[:, None, :] - np.eye(3)
    return _turns_about_e1(angles) @ half_turns


def _turns_about_e1(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    turns = np.zeros((len(angles), 3, 3))
    turns[:, 0, 0] = 1.0
    turns[:, 1, 1] = turns[:, 2, 2] = np.cos(angles)
    turns[:, 2, 1] = np.sin(angles)
    turns[:, 1, 2] = -turns[:, 2, 1]
    return turns


def marker_matrices(
    seeds: NDArray[np.float64], angles: NDArray[np.float64], diagonals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """M_i = Q_i^T D_i Q_i, (n, 3, 3) symmetric, rounded to multiples of 2^-20.

    Units are those of ``diagonals`` (n, 3). The rounding absorbs what cosines and
    matrix products of different processors disagree on.
    """
    rotations = radial_rotations(seeds, angles)
    matrices = np.einsum("nki,nk,nkj->nij", rotations, diagonals, rotations)
    return rounded((matrices + matrices.transpose(0, 2, 1)) / 2)
