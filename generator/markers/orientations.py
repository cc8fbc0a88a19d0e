"""Crystal orientations of the grains: models of the c-axis of layered NMC."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..rounding import rounded

OrientationModel = Literal["none", "uniform", "radial"]


def sample_orientations(
    model: OrientationModel,
    spread_deg: float,
    directions: NDArray[np.float64],
    marks: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Unit quaternions (n, 4) = (w, x, y, z), crystal to sample; None for model "none".

    A vector with crystal components v has the sample components q v q*. The c-axis is
    e_3 of the crystal. Not in the paper.

    Parameters
    ----------
    model
        "uniform": random rotations. "radial": the (003) planes hold the radial direction,
        so that lithium diffuses along the radius; the c-axis is tangential, turned out of
        the tangent plane by a normal angle and uniform about the radius.
    spread_deg
        Standard deviation of that angle, degrees; "uniform" does not use it.
    directions : (n, 3) float
        Radial unit vectors.
    marks : (n, 3) float
        Uniform in [0, 1]^3.
    """
    if model == "none":
        return None
    if model == "uniform":
        return _unit(_uniform_quaternions(marks))
    tilt = np.radians(spread_deg) * normal_quantiles(marks[:, 1])
    azimuth = 2 * np.pi * marks[:, 0]
    first, second = tangents(directions)
    tangential = np.cos(azimuth)[:, None] * first + np.sin(azimuth)[:, None] * second
    c_axis = np.cos(tilt)[:, None] * tangential + np.sin(tilt)[:, None] * directions
    to_c = _shortest_arc_from_e3(c_axis)
    half = np.pi * marks[:, 2]
    about_c = np.column_stack([np.cos(half), np.zeros((len(half), 2)), np.sin(half)])
    return _unit(multiply(to_c, about_c))


def c_axes(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample components of the crystals' c-axes, (n, 3) unit vectors.

    Examples
    --------
    >>> c_axes(np.array([[1.0, 0.0, 0.0, 0.0]]))
    array([[0., 0., 1.]])
    """
    w, x, y, z = quaternions.T
    return np.column_stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])


def multiply(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hamilton products p q of quaternions, (n, 4): first rotate by q, then by p."""
    a, b = p[:, :1], q[:, :1]
    u, v = p[:, 1:], q[:, 1:]
    scalar = a * b - (u * v).sum(axis=1, keepdims=True)
    return np.hstack([scalar, a * v + b * u + np.cross(u, v)])


def tangents(directions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit vectors, each (n, 3), that complete ``directions`` to right-handed frames."""
    smallest = np.eye(3)[np.abs(directions).argmin(axis=1)]
    first = np.cross(smallest, directions)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(directions, first)


def normal_quantiles(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal numbers of uniform ones in [0, 1), of any shape."""
    from scipy.special import ndtri  # slow to import

    found: NDArray[np.float64] = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    return found


def _uniform_quaternions(marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform rotations from three uniform numbers (Shoemake 1992)."""
    small, large = np.sqrt(1 - marks[:, 0]), np.sqrt(marks[:, 0])
    a, b = 2 * np.pi * marks[:, 1], 2 * np.pi * marks[:, 2]
    return np.column_stack(
        [large * np.cos(b), small * np.sin(a), small * np.cos(a), large * np.sin(b)]
    )


def _shortest_arc_from_e3(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions of the rotations in the plane of e_3 and each axis that take e_3 to it."""
    q = np.column_stack([1 + axes[:, 2], -axes[:, 1], axes[:, 0], np.zeros(len(axes))])
    opposite = 1 + axes[:, 2] < 1e-12
    return _unit(np.where(opposite[:, None], [0.0, 1.0, 0.0, 0.0], q))


def _unit(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded where processors disagree, then normalised; w >= 0."""
    q = rounded(quaternions)
    w, x, y, z = q.T
    q = q / np.sqrt(w * w + x * x + y * y + z * z)[:, None]
    signed: NDArray[np.float64] = np.where(q[:, :1] < 0, -q, q)
    return signed
