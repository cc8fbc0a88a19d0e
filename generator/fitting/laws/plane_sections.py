r"""Exact plane cuts of a GBPD as a problem in two dimensions.

On the plane z = z_0 the norm of Eq. (8) is

.. math:: |x - s|_M^2 = (p - c)^\top A (p - c) + h

with A the upper left block of M, c the point of the plane where the norm is least, and
h its square there. About 5 ms for a round section of 38,000 pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...grains.tessellation import Metric
from .plane_cut_kernels import label_plane

NONE = -1  # label of a pixel outside

Floats = NDArray[np.float64]


def plane_labels(
    seeds: Floats,
    matrices: Floats,
    offsets: Floats,
    inside: NDArray[np.bool_],
    centre: tuple[float, float],
    height: float = 0.0,
    metric: Metric = "norm",
) -> NDArray[np.int32]:
    """Row of the grain at each pixel of a plane, (ny, nx), Eq. (8); -1 where not ``inside``.

    Those of `Tessellation.labels`; columns are x, rows y, lengths pixels.

    Parameters
    ----------
    seeds : (n, 3) float
        Seed points s_i about the centre of the particle.
    matrices : (n, 3, 3) float
        M_i, symmetric positive definite.
    offsets : (n,) float
        r_i.
    inside : (ny, nx) bool
        Pixels that are labelled.
    centre
        (y, x) of the image where x = y = 0.
    height
        z of the plane.
    metric
        Of the GBPD.
    """
    labels = np.full(inside.shape, NONE, np.int32)
    table = plane_table(seeds, matrices, offsets, height)
    table[:, :2] += centre[::-1]
    label_plane(table, metric == "squared", np.ascontiguousarray(inside), labels)
    return labels


def plane_table(seeds: Floats, matrices: Floats, offsets: Floats, height: float = 0.0) -> Floats:
    """(n, 8) float: c_x, c_y, A_xx, A_xy, A_yy, h, r, root of A's larger eigenvalue."""
    a, b, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]
    e, f, g = matrices[:, 0, 2], matrices[:, 1, 2], matrices[:, 2, 2]
    determinant, away = a * d - b * b, height - seeds[:, 2]
    x, y = (d * e - b * f) / determinant, (a * f - b * e) / determinant
    h = np.maximum(away * away * (g - (e * x + f * y)), 0.0)
    steepest = np.sqrt((a + d) / 2 + np.hypot((a - d) / 2, b))
    return np.column_stack(
        [seeds[:, 0] - x * away, seeds[:, 1] - y * away, a, b, d, h, offsets, steepest]
    )
