r"""Move the vertices of a cut mesh onto the exact grain boundaries and the shell.

A vertex where the materials i, j, ... meet is moved towards the set

.. math:: f_i(x) = f_j(x) = \dots, \qquad |x| = X(x / |x|) \text{ if one of them is outside,}

by Gauss-Newton steps of least length, but only as far as all tetrahedra around it keep
the shape that they have, or a mean ratio above a floor. Tetrahedra outside take part, with
a low floor: they keep the surface of the particle from folding over.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..generator.gbpd_kernels import score_gradient
from ..generator.particle import OUTSIDE, Particle
from ..generator.spherical_harmonics import radius_at
from .tetrahedra import edge_table, mean_ratio

MAX_MATERIALS = 8  # that are told apart at one vertex
NONE = -1
FLOOR = 0.2  # mean ratio that a move must not undercut
FLOOR_OUTSIDE = 0.02
ROUNDS = 4
GAUSS_NEWTON_STEPS = 8
LONGEST_STEP = 0.5  # of the mean length of the edges at the vertex, per step
LONGEST_MOVE = 1.0  # of the same length, per round
CONVERGED = 1e-6  # of the same length
HALVINGS = 5


def projected(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    particle: Particle,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points moved onto the boundaries between the materials of their tetrahedra.

    Parameters
    ----------
    points : (n, 3) float
        um.
    tets, labels
        Conforming, positively oriented; grain ids, 0 outside. All neighbours of the
        tetrahedra inside must be there.

    Returns
    -------
    points : (n, 3) float
        um. No tetrahedron is inverted.
    gap : (n,) float
        Estimated distance of each point from the boundaries that it should lie on, um.
    """
    materials = materials_at(tets, labels, len(points))
    start, members = _tets_at_vertices(tets, len(points))
    reach = _mean_edge_at_vertices(points, tets)
    n_materials = (materials != NONE).sum(axis=1)
    constrained = np.flatnonzero(n_materials > 1)
    order = constrained[np.argsort(-n_materials[constrained], kind="stable")]
    floors = np.where(labels == OUTSIDE, FLOOR_OUTSIDE, FLOOR)
    moved, gap = points.copy(), np.zeros(len(points))
    tessellation, shell = particle.tessellation, particle.shell
    for _ in range(ROUNDS):
        _project(
            moved, tets, start, members, floors, order, materials, reach,
            tessellation.table, tessellation.squared,
            shell.scaled_coefficients, shell.max_degree, gap,
        )  # fmt: skip
    return moved, gap


@njit(cache=True, nogil=True)
def materials_at(tets, labels, n_points):  # type: ignore[no-untyped-def]
    """Labels that meet at each vertex, (n, MAX_MATERIALS) int32, padded with -1.

    The rows of ``tets`` may be anything that labelled elements own: their vertices, their
    edges.
    """
    materials = np.full((n_points, MAX_MATERIALS), NONE, np.int32)
    for t in range(tets.shape[0]):
        for i in range(tets.shape[1]):
            v = tets[t, i]
            for k in range(MAX_MATERIALS):
                if materials[v, k] == labels[t]:
                    break
                if materials[v, k] == NONE:
                    materials[v, k] = labels[t]
                    break
    return materials


def _mean_edge_at_vertices(
    points: NDArray[np.float64], tets: NDArray[np.int64]
) -> NDArray[np.float64]:
    edges, _ = edge_table(tets, len(points))
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    ends = edges.ravel()
    total = np.bincount(ends, np.repeat(length, 2), len(points))
    mean: NDArray[np.float64] = total / np.maximum(np.bincount(ends, minlength=len(points)), 1)
    return mean


def _tets_at_vertices(
    tets: NDArray[np.int64], n_points: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tetrahedra around vertex v: ``members[start[v]:start[v + 1]]``."""
    order = np.argsort(tets.ravel(), kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(tets.ravel(), minlength=n_points))])
    return start, order // 4


@njit(cache=True, nogil=True)
def _project(  # type: ignore[no-untyped-def]
    points, tets, start, members, floors, order, materials, reach,
    grains, squared, shell, degree, gap,
):  # fmt: skip
    """Move the vertices in ``order`` once, in place; write the distance that is left to ``gap``."""
    old, target = np.empty(3), np.empty(3)
    for v in order:
        for i in range(3):
            old[i] = points[v, i]
        distance = nearest_on_interface(
            old, materials[v], reach[v], grains, squared, shell, degree, target
        )
        gap[v] = distance
        if distance <= CONVERGED * reach[v]:
            continue
        limit = min(1.0, _worst_ratio(points, tets, start, members, floors, v))
        part = min(1.0, LONGEST_MOVE * reach[v] / distance)
        for _ in range(HALVINGS):
            for i in range(3):
                points[v, i] = old[i] + part * (target[i] - old[i])
            if _worst_ratio(points, tets, start, members, floors, v) >= limit:
                gap[v] = (1.0 - part) * distance
                break
            for i in range(3):
                points[v, i] = old[i]
            part /= 2


@njit(cache=True, nogil=True)
def _worst_ratio(points, tets, start, members, floors, v):  # type: ignore[no-untyped-def]
    """Lowest mean ratio of the tetrahedra around v, as a multiple of their floors."""
    worst = np.inf
    for q in range(start[v], start[v + 1]):
        t = members[q]
        ratio = mean_ratio(points, tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3])
        worst = min(worst, ratio / floors[t])
    return worst


@njit(cache=True, nogil=True)
def nearest_on_interface(  # type: ignore[no-untyped-def]
    point, materials, reach, grains, squared, shell, degree, out
):
    """Go from ``point`` to where the materials meet; write it to ``out``, return the distance."""
    gradient, reference, step = np.empty(3), np.empty(3), np.empty(3)
    normal, right = np.empty((3, 3)), np.empty(3)
    for i in range(3):
        out[i] = point[i]
    for _ in range(GAUSS_NEWTON_STEPS):
        for i in range(3):
            right[i] = 0.0
            for j in range(3):
                normal[i, j] = 0.0
        rank, first, value = 0, -1, 0.0
        for k in range(materials.size):
            if materials[k] == NONE:
                break
            if materials[k] == OUTSIDE:
                residual = _shell_gradient(out, reach, shell, degree, gradient)
            else:
                residual = score_gradient(
                    out[0], out[1], out[2], grains, materials[k] - 1, squared, gradient
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
        if rank == 0:
            break
        for i in range(3):  # damped: two boundaries may be nearly tangent
            normal[i, i] += 1e-3 if rank > 2 else 1e-6
        _solve(normal, right, step)
        size = _length(step)
        factor = min(1.0, LONGEST_STEP * reach / size) if size > 0.0 else 0.0
        for i in range(3):
            out[i] += factor * step[i]
        if size < 0.1 * CONVERGED * reach:
            break
    for i in range(3):
        step[i] = out[i] - point[i]
    return _length(step)


@njit(cache=True, nogil=True)
def _shell_gradient(x, reach, shell, degree, out):  # type: ignore[no-untyped-def]
    """|x| - X(x/|x|); its gradient, by central differences, goes to ``out``."""
    h = 1e-4 * reach
    for i in range(3):
        centre = x[i]
        x[i] = centre + h
        above = _height(x, shell, degree)
        x[i] = centre - h
        out[i] = (above - _height(x, shell, degree)) / (2 * h)
        x[i] = centre
    return _height(x, shell, degree)


@njit(cache=True, nogil=True)
def _height(x, shell, degree):  # type: ignore[no-untyped-def]
    return _length(x) - radius_at(x[0], x[1], x[2], shell, degree)


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
