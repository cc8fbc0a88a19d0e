r"""Where materials meet: the implicit boundaries that a mesh follows.

A material is a grain, by its id, or the outside, 0. Each has a score that is least inside
it; two meet where their scores are equal. For a particle the scores are those of the GBPD,
and the outside begins where :math:`|x| = X(x/|x|)`. For labelled voxels the score is minus
the indicator

.. math:: \phi_m(x) = \sum_{v : \text{label}(v) = m} B(x - x_v),

B being the product of three cubic B-splines as wide as four voxels: the staircase of the
voxels becomes a smooth surface. All indicators sum to 1. The outside begins where its own
is that of all grains together, so that grain boundaries leave no grooves in the surface.
Indicators of grains have weights, 1 if not said otherwise: heavier ones keep the volume that
small and thin grains would lose to smoothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.grains.gbpd_kernels import score_gradient
from ...generator.particle import OUTSIDE, Particle
from ...generator.shell.spherical_harmonics import radius_at

NONE = -1  # fills up rows of materials
MAX_MATERIALS = 8  # that are told apart at one vertex
GAUSS_NEWTON_STEPS = 8
LONGEST_STEP = 0.5  # of the reach, per step
CONVERGED = 1e-3  # of the reach
DAMPING = 1e-6  # two boundaries may be nearly tangent
WIDTH = 4  # voxels along each axis that a cubic B-spline reaches over
SEEN = 0.02  # an indicator below this says too little of where its material is
LARGEST_STRIDE = 16  # of voxels that are looked at
TIE = 1e-12  # indicators that differ by less are equal: all sum to 1
CORNER_DAMPING = 0.03  # four materials may have no common point near by, or none at all


class MaterialField(NamedTuple):
    """Arrays that compiled kernels need to find a boundary."""

    grains: NDArray[np.float64]  # (n, 10) grain table
    squared: bool
    shell: NDArray[np.float64]  # prescaled coefficients
    degree: int
    voxels: NDArray[np.int32]  # (nz, ny, nx) labels; empty for a particle by its recipe
    corner: NDArray[np.float64]  # (3,) lower corner (x, y, z) of the first voxel
    pitch: float  # edge of a voxel
    n_grains: int  # labels above it lie beyond planes through the origin
    planes: NDArray[np.int64]  # axes that these planes are across, in the order of their labels
    weights: NDArray[np.float64]  # (largest label + 1,) of indicators; 1 outside


def particle_field(particle: Particle) -> MaterialField:
    """Boundaries of a particle, lengths in um."""
    tessellation, shell = particle.tessellation, particle.shell
    return MaterialField(
        tessellation.table,
        tessellation.squared,
        shell.scaled_coefficients,
        shell.max_degree,
        _constant(np.empty((0, 0, 0), np.int32)),
        _constant(np.zeros(3)),
        1.0,
        particle.n_grains,
        _constant(np.empty(0, np.int64)),
        _constant(np.ones(1)),
    )


def voxel_field(
    labels: NDArray[np.int32],
    corner: tuple[float, float, float],
    pitch: float,
    weights: NDArray[np.float64],
) -> MaterialField:
    """Boundaries of labelled voxels (nz, ny, nx), 0 outside; all is outside beyond them."""
    return MaterialField(
        np.empty((0, 10)),
        False,
        np.empty(0),
        0,
        _constant(np.ascontiguousarray(labels, np.int32)),
        _constant(np.array(corner, np.float64)),
        float(pitch),
        int(labels.max(initial=0)),
        _constant(np.empty(0, np.int64)),
        _constant(np.ascontiguousarray(weights, np.float64)),
    )


def with_planes(field: MaterialField, n_grains: int, axes: tuple[int, ...]) -> MaterialField:
    """Copy with a material beyond each plane, labelled from ``n_grains + 1`` on."""
    return field._replace(n_grains=n_grains, planes=_constant(np.array(axes, np.int64)))


def _constant(array: NDArray[Any]) -> NDArray[Any]:
    """View that cannot be written to: all fields have to be of one type for the compiler."""
    view = array.view()
    view.flags.writeable = False
    return view


@njit(cache=True, nogil=True)
def nearest_on_interface(point, materials, reach, field, out):  # type: ignore[no-untyped-def]
    r"""Go from ``point`` to where the materials meet; write it to ``out``, return the distance.

    .. math:: f_i(x) = f_j(x) = \dots, \qquad |x| = X(x / |x|) \text{ if one is outside,}

    by Gauss-Newton steps of least length. ``reach`` is the length that steps are limited
    by, of the size of an edge.
    """
    for i in range(3):
        out[i] = point[i]
    if field.voxels.size > 0:
        _search_voxels(out, materials, reach, field)
    else:
        gradient, reference, step = np.empty(3), np.empty(3), np.empty(3)
        normal, right = np.empty((3, 3)), np.empty(3)
        for _ in range(GAUSS_NEWTON_STEPS):
            rank = _score_equations(
                out, materials, reach, field, gradient, reference, normal, right
            )
            if rank == 0 or _has_arrived(out, rank, normal, right, reach, step):
                break
    if field.planes.size > 0:
        onto_planes(out, materials, field)
    x, y, z = out[0] - point[0], out[1] - point[1], out[2] - point[2]
    return math.sqrt(x * x + y * y + z * z)


@njit(cache=True, nogil=True)
def _search_voxels(x, materials, reach, field):  # type: ignore[no-untyped-def]
    """Move x to where the indicators of labelled voxels meet."""
    gradient, step = np.empty(3), np.empty(3)
    normal, right, window = np.empty((3, 3)), np.empty(3), _no_window()
    for _ in range(GAUSS_NEWTON_STEPS):
        rank = _voxel_equations(x, materials, field, gradient, normal, right, window)
        if rank == 0 or _has_arrived(x, rank, normal, right, reach, step):
            break


@njit(inline="always")
def _has_arrived(x, rank, normal, right, reach, step):  # type: ignore[no-untyped-def]
    """Move x by one Gauss-Newton step; whether it was so short that it is the last."""
    for i in range(3):
        normal[i, i] += CORNER_DAMPING if rank > 2 else DAMPING
    _solve(normal, right, step)
    size = _length(step)
    factor = min(1.0, LONGEST_STEP * reach / size) if size > 0.0 else 0.0
    for i in range(3):
        x[i] += factor * step[i]
    return size < CONVERGED * reach


@njit(cache=True, nogil=True)
def _score_equations(  # type: ignore[no-untyped-def]
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
        if materials[k] > field.n_grains:
            continue
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
    if field.planes.size > 0:
        rank += _plane_equations(x, materials, field, normal, right)
    return rank


@njit(cache=True, nogil=True)
def _plane_equations(x, materials, field, normal, right):  # type: ignore[no-untyped-def]
    """Add the planes that the materials meet at; returns their number."""
    n_planes = 0
    for k in range(field.planes.size):
        axis = bounding_plane(materials, k, field)
        if axis >= 0:
            n_planes += 1
            right[axis] -= x[axis]
            normal[axis, axis] += 1.0
    return n_planes


@njit(cache=True, nogil=True)
def bounding_plane(materials, k, field):  # type: ignore[no-untyped-def]
    """Axis of plane k if there are materials on both sides of it, else -1."""
    beyond, before = False, False
    for i in range(materials.size):
        if materials[i] == NONE:
            break
        if materials[i] == field.n_grains + 1 + k:
            beyond = True
        elif materials[i] != OUTSIDE:
            before = before or materials[i] <= field.n_grains or materials[i] > field.n_grains + k
    return field.planes[k] if beyond and before else -1


@njit(cache=True, nogil=True)
def onto_planes(point, materials, field):  # type: ignore[no-untyped-def]
    """Put a point onto the planes that its materials meet at, exactly."""
    for k in range(field.planes.size):
        axis = bounding_plane(materials, k, field)
        if axis >= 0:
            point[axis] = 0.0


@njit(cache=True, nogil=True)
def _voxel_equations(  # type: ignore[no-untyped-def]
    x, materials, field, gradient, normal, right, window
):
    """`_score_equations` of labelled voxels.

    Far from a boundary the indicators are flat: then they are taken from every second,
    fourth ... voxel, the first stride at which all boundaries are seen. No boundary is
    taken to be farther away than a stride. Without a stride the place is left as it is.
    """
    values = np.empty((MAX_MATERIALS + 1, 4))  # the last used row is of all grains together
    n, n_grains = 0, 0
    while n < materials.size and materials[n] != NONE:
        n_grains += int(materials[n] != OUTSIDE and materials[n] <= field.n_grains)
        n += 1
    stride, seen = 1, False
    while True:
        _indicators(x, materials, n, stride, field, window, values)
        seen = True
        for k in range(n):
            if materials[k] > field.n_grains:
                continue
            if materials[k] == OUTSIDE:
                seen = seen and SEEN <= values[k, 3] <= 1.0 - SEEN
            elif n_grains > 1:
                seen = seen and values[k, 3] >= SEEN
        if seen or stride >= LARGEST_STRIDE:
            break
        stride *= 2
    for i in range(3):
        right[i] = 0.0
        for j in range(3):
            normal[i, j] = 0.0
    rank, first = 0, -1
    for k in range(n):
        if materials[k] > field.n_grains:
            continue
        if materials[k] != OUTSIDE and first < 0:
            first = k
            continue
        if materials[k] == OUTSIDE:
            residual = values[k, 3] - values[n, 3]
            for i in range(3):
                gradient[i] = values[k, i] - values[n, i]
        else:
            residual = values[first, 3] - values[k, 3]
            for i in range(3):
                gradient[i] = values[first, i] - values[k, i]
        slope = _length(gradient)
        if slope > 0.0:
            rank += 1
            limit = stride * field.pitch
            distance = max(-limit, min(limit, residual / slope))
            for i in range(3):
                right[i] -= gradient[i] / slope * distance
                for j in range(3):
                    normal[i, j] += gradient[i] / slope * (gradient[j] / slope)
    if field.planes.size > 0:
        rank += _plane_equations(x, materials, field, normal, right)
    return rank


@njit(cache=True, nogil=True)
def _no_window():  # type: ignore[no-untyped-def]
    """Room for the voxels that indicators reach over: stride and first voxel, rows, weights."""
    place = np.zeros(1 + 3, np.int64)  # a stride of 0: none yet
    return place, np.empty(WIDTH**3, np.int64), np.empty(WIDTH**3), np.empty(WIDTH**2, np.bool_)


@njit(cache=True, nogil=True)
def _indicators(x, materials, n, stride, field, window, out):  # type: ignore[no-untyped-def]
    """Gradient and value of the indicator of each material, rows of ``out`` (n + 1, 4).

    From every ``stride``-th voxel along each axis. The last row is the sum of all grains.
    """
    place, rows, heavy, alike = window
    weights = np.empty((3, 2, WIDTH))
    step, same = stride * field.pitch, place[0] == stride
    for i in range(3):
        first = spline_weights((x[i] - field.corner[i]) / step - 0.5 / stride, weights[i])
        same = same and place[1 + i] == first
        place[1 + i] = first
        for a in range(WIDTH):
            weights[i, 1, a] /= step
    if not same:
        place[0] = stride
        _look_through(materials, n, field, window)
    for k in range(n + 1):
        for i in range(4):
            out[k, i] = 0.0
    for c in range(WIDTH):
        for b in range(WIDTH):
            value = weights[2, 0, c] * weights[1, 0, b]
            along_y = weights[2, 0, c] * weights[1, 1, b]
            along_z = weights[2, 1, c] * weights[1, 0, b]
            v = WIDTH * (WIDTH * c + b)
            if alike[WIDTH * c + b]:  # weights along x sum to 1, their slopes to 0
                out[rows[v], 1] += along_y * heavy[v]
                out[rows[v], 2] += along_z * heavy[v]
                out[rows[v], 3] += value * heavy[v]
                continue
            for a in range(WIDTH):
                row, weight = rows[v + a], heavy[v + a] * weights[0, 0, a]
                out[row, 0] += value * heavy[v + a] * weights[0, 1, a]
                out[row, 1] += along_y * weight
                out[row, 2] += along_z * weight
                out[row, 3] += value * weight
    for k in range(n):
        if materials[k] != OUTSIDE:
            for i in range(4):
                out[n, i] += out[k, i]


@njit(cache=True, nogil=True)
def _look_through(materials, n, field, window):  # type: ignore[no-untyped-def]
    """Note which material the voxels of a window are of, n for another grain, and how heavy."""
    place, rows, heavy, alike = window
    voxels, weights, stride = field.voxels, field.weights, place[0]
    for c in range(WIDTH):
        for b in range(WIDTH):
            v, before = WIDTH * (WIDTH * c + b), np.int32(OUTSIDE)
            alike[WIDTH * c + b] = True
            for a in range(WIDTH):
                label = voxel_at(
                    stride * (place[1] + a),
                    stride * (place[2] + b),
                    stride * (place[3] + c),
                    voxels,
                )
                if a > 0 and label == before:
                    rows[v + a], heavy[v + a] = rows[v + a - 1], heavy[v + a - 1]
                    continue
                alike[WIDTH * c + b] = a == 0
                before = label
                row = n
                for k in range(n):
                    if materials[k] == label:
                        row = k
                rows[v + a] = row
                heavy[v + a] = 0.0 if row == n and label == OUTSIDE else weights[label]


@njit(cache=True, nogil=True)
def voxel_at(i, j, k, voxels):  # type: ignore[no-untyped-def]
    """Label of voxel i along x, j along y, k along z; 0 beyond the array."""
    nz, ny, nx = voxels.shape
    if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
        return np.int32(OUTSIDE)
    return voxels[k, j, i]


@njit(cache=True, nogil=True)
def spline_weights(t, out):  # type: ignore[no-untyped-def]
    """Cubic B-splines at t, in voxels from the centre of voxel 0, and their slopes.

    ``out`` (2, 4) receives those of four voxels; returns the first of them.
    """
    whole = math.floor(t)
    u = t - whole
    v = 1.0 - u
    out[0, 0] = v * v * v / 6
    out[0, 1] = (4 - 3 * u * u * (1 + v)) / 6
    out[0, 2] = (4 - 3 * v * v * (1 + u)) / 6
    out[0, 3] = u * u * u / 6
    out[1, 0] = -v * v / 2
    out[1, 1] = u * (1.5 * u - 2)
    out[1, 2] = -v * (1.5 * v - 2)
    out[1, 3] = u * u / 2
    return np.int64(whole) - 1


@njit(cache=True, nogil=True)
def voxel_labels_at(points, field):  # type: ignore[no-untyped-def]
    """Material at points (n, 3).

    Outside where its indicator is that of all grains or more, else the grain with the largest,
    the lowest id of equal ones.
    """
    result = np.empty(points.shape[0], np.int32)
    labels, sums = np.empty(WIDTH**3, np.int32), np.empty(WIDTH**3)
    weights, first = np.empty((3, 2, WIDTH)), np.empty(3, np.int64)
    for p in range(points.shape[0]):
        n = indicators_at(points[p], field, weights, first, labels, sums)
        result[p] = _strongest(labels, sums, n)
    return result


@njit(cache=True, nogil=True)
def indicators_at(x, field, weights, first, labels, sums):  # type: ignore[no-untyped-def]
    """Write the labels with an indicator at x and these, weighted; return how many there are.

    ``labels`` and ``sums`` have room for 64, ``weights`` (3, 2, 4) and ``first`` (3,) are
    for work.
    """
    voxels, heavy = field.voxels, field.weights
    for i in range(3):
        first[i] = spline_weights((x[i] - field.corner[i]) / field.pitch - 0.5, weights[i])
    n, k = 0, 0
    for c in range(WIDTH):
        for b in range(WIDTH):
            value = weights[2, 0, c] * weights[1, 0, b]
            for a in range(WIDTH):
                label = voxel_at(first[0] + a, first[1] + b, first[2] + c, voxels)
                if n == 0 or labels[k] != label:  # most often it is that of the last voxel
                    k = 0
                    while k < n and labels[k] != label:
                        k += 1
                    if k == n:
                        labels[n], sums[n] = label, 0.0
                        n += 1
                sums[k] += value * weights[0, 0, a]
    for k in range(n):
        sums[k] *= heavy[labels[k]]
    return n


@njit(cache=True, nogil=True)
def _strongest(labels, sums, n):  # type: ignore[no-untyped-def]
    best, outside, inside = -1, 0.0, 0.0
    for k in range(n):
        if labels[k] == OUTSIDE:
            outside = sums[k]
            continue
        inside += sums[k]
        if best < 0:
            best = k
        else:
            more = sums[k] - sums[best]
            if more > TIE or (more >= -TIE and labels[k] < labels[best]):
                best = k
    return np.int32(OUTSIDE) if outside >= inside - TIE else labels[best]


@njit(cache=True, nogil=True)
def outward_at(x, reach, field, out):  # type: ignore[no-untyped-def]
    """Write the unit normal of the shell where x is near it."""
    _shell_gradient(x, reach, field, out)
    size = _length(out)
    for i in range(3):
        out[i] /= size if size > 0.0 else 1.0


@njit(inline="always")
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


@njit(inline="always")
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
    gradient, reference, normal, right = np.empty(3), np.empty(3), np.empty((3, 3)), np.empty(3)
    if field.voxels.size > 0:
        _voxel_equations(point, materials, field, gradient, normal, right, _no_window())
    else:
        _score_equations(point, materials, reach, field, gradient, reference, normal, right)
    return _length(right)


@njit(cache=True, nogil=True)
def add_material(materials, label):  # type: ignore[no-untyped-def]
    """Put a label into a row of materials; whether it is in there now."""
    for k in range(materials.size):
        if materials[k] == label:
            return True
        if materials[k] == NONE:
            materials[k] = label
            return True
    return False


@njit(cache=True, nogil=True)
def has_material(materials, label):  # type: ignore[no-untyped-def]
    """Whether a row of materials holds a label."""
    for k in range(materials.size):
        if materials[k] == label:
            return True
        if materials[k] == NONE:
            break
    return False


@njit(cache=True, nogil=True)
def n_materials(materials):  # type: ignore[no-untyped-def]
    """Number of labels in a row of materials."""
    n = 0
    while n < materials.size and materials[n] != NONE:
        n += 1
    return n
