"""Compiled measures of grains that come out to the bit on every processor.

They take + - * / and the square root only, which IEEE 754 defines, in one order and without fused
multiply-add. LAPACK and the vector loops of numpy for cube roots and arc tangents give other last
bits on other processors.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SWEEPS = 30  # at most; five are enough for most matrices
NEGLIGIBLE = 2.0**-54  # of both diagonal entries: a rotation would change neither
HALVINGS, TERMS = 4, 7  # 2 atan(t): t is at most 0.05 in the end, and so t^15 / 15 below 2^-53 t


@njit(cache=True, nogil=True, error_model="numpy")
def principal(matrices, values, axes):  # type: ignore[no-untyped-def]
    """Eigenvalues and the axis of the largest of symmetric matrices (n, 3, 3), by Jacobi rotations.

    ``values`` (n, 3) receives the eigenvalues, largest first, ``axes`` (n, 3) the unit eigenvector
    of the first. Its component of the largest magnitude is positive, the first of equal ones.
    """
    a, v, order = np.empty((3, 3)), np.empty((3, 3)), np.empty(3, np.int64)
    for n in range(matrices.shape[0]):
        for p in range(3):
            for q in range(3):
                a[p, q] = matrices[n, p, q]
                v[p, q] = 1.0 if p == q else 0.0
        sweep = 0
        while sweep < SWEEPS and _rotations(a, v) > 0:
            sweep += 1
        _descending(a, order)
        for p in range(3):
            values[n, p] = a[order[p], order[p]]
        _direction(v[:, order[0]], axes[n])


@njit(cache=True, nogil=True, error_model="numpy")
def _rotations(a, v):  # type: ignore[no-untyped-def]
    """Rotate each entry beside the diagonal of ``a`` away, and ``v`` with it; count rotations."""
    count = 0
    for p, q, r in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        if abs(a[p, q]) <= NEGLIGIBLE * min(abs(a[p, p]), abs(a[q, q])):
            continue
        count += 1
        cotangent = (a[q, q] - a[p, p]) / (2.0 * a[p, q])  # of twice the angle
        t = 1.0 / (abs(cotangent) + math.sqrt(cotangent * cotangent + 1.0))
        t = -t if cotangent < 0.0 else t
        c = 1.0 / math.sqrt(t * t + 1.0)
        s = t * c
        a[p, p] -= t * a[p, q]
        a[q, q] += t * a[p, q]
        a[p, q] = a[q, p] = 0.0
        rp, rq = a[r, p], a[r, q]
        a[r, p] = a[p, r] = c * rp - s * rq
        a[r, q] = a[q, r] = s * rp + c * rq
        for k in range(3):
            vp, vq = v[k, p], v[k, q]
            v[k, p], v[k, q] = c * vp - s * vq, s * vp + c * vq
    return count


@njit(cache=True, nogil=True)
def _descending(a, order):  # type: ignore[no-untyped-def]
    """Write the places of the diagonal entries, largest first, equal ones as they stand."""
    order[0], order[1], order[2] = 0, 1, 2
    for first in (0, 1, 0):
        p, q = order[first], order[first + 1]
        if a[q, q] > a[p, p]:
            order[first], order[first + 1] = q, p


@njit(cache=True, nogil=True, error_model="numpy")
def _direction(vector, out):  # type: ignore[no-untyped-def]
    """Write ``vector`` as a unit vector whose largest component is positive."""
    largest = 0
    for k in (1, 2):
        if abs(vector[k]) > abs(vector[largest]):
            largest = k
    norm = math.sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2])
    norm = -norm if vector[largest] < 0.0 else norm
    for k in range(3):
        out[k] = vector[k] / norm + 0.0  # no -0


@njit(cache=True, nogil=True, error_model="numpy")
def angles_between_lines(lines, others, out):  # type: ignore[no-untyped-def]
    """Write the angles in [0, 90] degrees between lines (n, 3) to ``out``; NaN for length 0."""
    for n in range(lines.shape[0]):
        a0, a1, a2 = lines[n, 0], lines[n, 1], lines[n, 2]
        b0, b1, b2 = others[n, 0], others[n, 1], others[n, 2]
        along = abs(a0 * b0 + a1 * b1 + a2 * b2)
        c0, c1, c2 = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
        across = math.sqrt(c0 * c0 + c1 * c1 + c2 * c2)
        larger = max(along, across)
        along, across = along / larger, across / larger  # 0 / 0 where a line has no direction
        t = across / (along + math.sqrt(along * along + across * across))
        for _ in range(HALVINGS):
            t = t / (1.0 + math.sqrt(1.0 + t * t))
        total = 0.0
        for term in range(TERMS - 1, -1, -1):
            total = 1.0 / (2 * term + 1) - t * t * total
        degrees = 2.0 ** (HALVINGS + 1) * (180.0 / math.pi) * (t * total)
        out[n] = 90.0 if degrees > 90.0 else degrees


@njit(cache=True, nogil=True)
def cube_roots(numbers, out):  # type: ignore[no-untyped-def]
    """Write the cube roots of ``numbers`` (n,), 0 or between 1e-12 and 1e12, by Halley's steps."""
    for n in range(numbers.size):
        x = numbers[n]
        fourth = math.sqrt(math.sqrt(x))
        sixteenth = math.sqrt(math.sqrt(fourth))
        root = fourth * sixteenth * math.sqrt(math.sqrt(sixteenth))  # x^(1/3 - 1/192)
        for _ in range(3 if x > 0.0 else 0):
            cube = root * root * root
            root = root * ((cube + 2.0 * x) / (2.0 * cube + x))
        out[n] = root
