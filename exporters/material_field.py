r"""Where materials meet: the implicit boundaries that a mesh follows.

A material is a grain, by its id, or the outside, 0. Each has a score that is least inside
it; two meet where their scores are equal. For a particle the scores are those of the GBPD,
and the outside begins where :math:`|x| = X(x/|x|)`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..generator.gbpd_kernels import score_gradient
from ..generator.particle import OUTSIDE, Particle
from ..generator.spherical_harmonics import radius_at

NONE = -1  # fills up rows of materials
MAX_MATERIALS = 8  # that are told apart at one vertex
GAUSS_NEWTON_STEPS = 8
LONGEST_STEP = 0.5  # of the reach, per step
CONVERGED = 1e-7  # of the reach
DAMPING = 1e-6  # two boundaries may be nearly tangent
CORNER_DAMPING = 0.03  # four materials may have no common point near by, or none at all


class MaterialField(NamedTuple):
    """Arrays that compiled kernels need to find a boundary."""

    grains: NDArray[np.float64]  # (n, 10) grain table
    squared: bool
    shell: NDArray[np.float64]  # prescaled coefficients
    degree: int


def particle_field(particle: Particle) -> MaterialField:
    """Boundaries of a particle, lengths in um."""
    tessellation, shell = particle.tessellation, particle.shell
    return MaterialField(
        tessellation.table, tessellation.squared, shell.scaled_coefficients, shell.max_degree
    )


@njit(cache=True, nogil=True)
def nearest_on_interface(point, materials, reach, field, out):  # type: ignore[no-untyped-def]
    r"""Go from ``point`` to where the materials meet; write it to ``out``, return the distance.

    .. math:: f_i(x) = f_j(x) = \dots, \qquad |x| = X(x / |x|) \text{ if one is outside,}

    by Gauss-Newton steps of least length. ``reach`` is the length that steps are limited
    by, of the size of an edge.
    """
    gradient, reference, step = np.empty(3), np.empty(3), np.empty(3)
    normal, right = np.empty((3, 3)), np.empty(3)
    for i in range(3):
        out[i] = point[i]
    for _ in range(GAUSS_NEWTON_STEPS):
        rank = _normal_equations(out, materials, reach, field, gradient, reference, normal, right)
        if rank == 0:
            break
        for i in range(3):
            normal[i, i] += CORNER_DAMPING if rank > 2 else DAMPING
        _solve(normal, right, step)
        size = _length(step)
        factor = min(1.0, LONGEST_STEP * reach / size) if size > 0.0 else 0.0
        for i in range(3):
            out[i] += factor * step[i]
        if size < CONVERGED * reach:
            break
    for i in range(3):
        step[i] = out[i] - point[i]
    return _length(step)


@njit(cache=True, nogil=True)
def _normal_equations(  # type: ignore[no-untyped-def]
    x, materials, reach, field, gradient, reference, normal, right
):
    """Linearised distances from all boundaries, squared and summed; returns their number."""
    for i in range(3):
        right[i] = 0.0
        for j in range(3):
            normal[i, j] = 0.0
    rank, first, value = 0, -1, 0.0
    for k in range(materials.size):
        if materials[k] == NONE:
            break
        if materials[k] == OUTSIDE:
            residual = _shell_gradient(x, reach, field, gradient)
        else:
            residual = score_gradient(
                x[0], x[1], x[2], field.grains, materials[k] - 1, field.squared, gradient
            )
            if first < 0:
                first, value = k, residual
                for i in range(3):
                    reference[i] = gradient[i]
                continue
            residual -= value
            for i in range(3):
                gradient[i] -= reference[i]
        slope = _length(gradient)
        if slope > 0.0:
            rank += 1
            for i in range(3):
                right[i] -= gradient[i] / slope * (residual / slope)
                for j in range(3):
                    normal[i, j] += gradient[i] / slope * (gradient[j] / slope)
    return rank


@njit(cache=True, nogil=True)
def _shell_gradient(x, reach, field, out):  # type: ignore[no-untyped-def]
    """|x| - X(x/|x|); its gradient, by central differences, goes to ``out``."""
    h = 1e-4 * reach
    for i in range(3):
        centre = x[i]
        x[i] = centre + h
        above = _height(x, field)
        x[i] = centre - h
        out[i] = (above - _height(x, field)) / (2 * h)
        x[i] = centre
    return _height(x, field)


@njit(cache=True, nogil=True)
def _height(x, field):  # type: ignore[no-untyped-def]
    return _length(x) - radius_at(x[0], x[1], x[2], field.shell, field.degree)


@njit(cache=True, nogil=True)
def _length(x):  # type: ignore[no-untyped-def]
    return math.sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2])


@njit(cache=True, nogil=True)
def _solve(a, b, out):  # type: ignore[no-untyped-def]
    """Write the solution of the symmetric 3 x 3 system a x = b to ``out``, by Cramer's rule."""
    c00 = a[1, 1] * a[2, 2] - a[1, 2] * a[1, 2]
    c01 = a[0, 2] * a[1, 2] - a[0, 1] * a[2, 2]
    c02 = a[0, 1] * a[1, 2] - a[0, 2] * a[1, 1]
    c11 = a[0, 0] * a[2, 2] - a[0, 2] * a[0, 2]
    c12 = a[0, 1] * a[0, 2] - a[0, 0] * a[1, 2]
    c22 = a[0, 0] * a[1, 1] - a[0, 1] * a[0, 1]
    det = a[0, 0] * c00 + a[0, 1] * c01 + a[0, 2] * c02
    out[0] = (c00 * b[0] + c01 * b[1] + c02 * b[2]) / det
    out[1] = (c01 * b[0] + c11 * b[1] + c12 * b[2]) / det
    out[2] = (c02 * b[0] + c12 * b[1] + c22 * b[2]) / det


@njit(cache=True, nogil=True)
def interface_distance(point, materials, reach, field):  # type: ignore[no-untyped-def]
    """Distance of ``point`` from where two materials meet, to first order.

    Inside, where the boundary of two grains is asked for; the shell if one is outside.
    """
    gradient, reference = np.empty(3), np.empty(3)
    normal, right = np.empty((3, 3)), np.empty(3)
    _normal_equations(point, materials, reach, field, gradient, reference, normal, right)
    return _length(right)
