r"""Real spherical harmonics: the basis, fast evaluation of an expansion, proven bounds.

A radial function on the unit sphere is a sum, Eqs. (2) and (7),

.. math:: X(u) = \sum_{l=0}^{L} \sum_{m=-l}^{l} a_{lm} Y_{lm}(u),

of real orthonormal harmonics without the Condon-Shortley phase: the cosine of m phi for
m > 0, the sine of -m phi for m < 0. The coefficient a_lm stands at l^2 + l + m.

On the sphere X is the real part of a polynomial in t = x + iy whose coefficients are
polynomials in z,

.. math:: X = \mathrm{Re} \sum_{m=0}^{L} \bigl(C_m(z) - i S_m(z)\bigr)\, t^m,

and the kernels evaluate it by two nested Horner schemes. They use + - * / and the square
root only, which IEEE 754 defines to the bit: all processors agree on which side of a shell
a point lies. Powers of z cost digits as the degree grows: measured errors, relative to the
sum of the absolute coefficients, are 1e-15 at degree 9, 2e-12 at 20 and 3e-9 at 30.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 64  # points evaluated together: the work arrays stay in the first-level cache


def degree_of(coefficients: NDArray[np.float64]) -> int:
    """Maximal degree L of (L + 1)^2 coefficients.

    Examples
    --------
    >>> degree_of(np.zeros(100))
    9
    """
    n = np.size(coefficients)
    degree = math.isqrt(n) - 1
    if np.ndim(coefficients) != 1 or degree < 0 or (degree + 1) ** 2 != n:
        msg = (
            f"coefficients have shape {np.shape(coefficients)}, expected ((L + 1)^2,) "
            "for a maximal degree L, for example (100,) for L = 9"
        )
        raise ValueError(msg)
    return degree


def real_spherical_harmonics(
    directions: NDArray[np.float64], max_degree: int
) -> NDArray[np.float64]:
    """Values of all harmonics up to ``max_degree``, Eq. (2).

    By the three-term recursion in l, stable at any degree.

    Parameters
    ----------
    directions
        (n, 3) float, any non-zero vectors; their length does not matter.
    max_degree
        Largest l.

    Returns
    -------
    (n, (max_degree + 1)^2) float
        Column l^2 + l + m holds Y_lm.

    Examples
    --------
    >>> real_spherical_harmonics(np.array([[0.0, 0.0, 1.0]]), 1).round(4)
    array([[0.2821, 0.    , 0.4886, 0.    ]])
    """
    points = np.require(directions, np.float64, ["C", "W"])
    harmonics = np.empty((len(points), (max_degree + 1) ** 2))
    _harmonics_at(points, *_recursion(max_degree), harmonics)
    return harmonics


@cache
def _recursion(
    max_degree: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Factors of the recursion in l, for every m <= l (elsewhere 0).

    first[m] is the normalised P_m^m(z) / (1 - z^2)^(m/2), a constant; from l - 1 to l the
    function is multiplied by growth[l, m] z, and growth[l, m] decay[l, m] times that of
    l - 2 is taken off.
    """
    first = np.array(
        [_normalisation(m, m) * math.prod(range(1, 2 * m, 2)) for m in range(max_degree + 1)]
    )
    growth: NDArray[np.float64] = np.zeros((max_degree + 1, max_degree + 1))
    decay = np.zeros_like(growth)
    for degree in range(1, max_degree + 1):
        m = np.arange(degree)
        growth[degree, :degree] = np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
        decay[degree, :degree] = np.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
    return first, growth, decay


@njit(cache=True, nogil=True, error_model="numpy")
def _harmonics_at(
    points: NDArray[np.float64],
    first: NDArray[np.float64],
    growth: NDArray[np.float64],
    decay: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write all harmonics in the direction of each point, (n, (L + 1)^2) float."""
    for i in range(len(points)):
        x, y, z = points[i]
        scale = 1.0 / math.sqrt(x * x + y * y + z * z)
        x *= scale
        y *= scale
        z *= scale
        real, imag = 1.0, 0.0  # (x + iy)^m
        for m in range(len(first)):
            before, legendre = 0.0, first[m]
            out[i, m * m] = legendre * imag
            out[i, m * m + 2 * m] = legendre * real
            for degree in range(m + 1, len(first)):
                following = growth[degree, m] * (z * legendre - decay[degree, m] * before)
                before, legendre = legendre, following
                out[i, degree * degree + degree - m] = legendre * imag
                out[i, degree * degree + degree + m] = legendre * real
            real, imag = real * x - imag * y, real * y + imag * x


def _normalisation(degree: int, m: int) -> float:
    """Factor that makes P_l^m(cos theta) cos(m phi) of unit norm on the sphere."""
    ratio = math.factorial(degree - m) / math.factorial(degree + m)
    return math.sqrt((1 if m == 0 else 2) * (2 * degree + 1) / (4 * math.pi) * ratio)


def prescaled(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients in the form that the kernels of this module take.

    Parameters
    ----------
    coefficients
        ((L + 1)^2,) float, a_lm.

    Returns
    -------
    ((L + 1)(L + 2),) float
        For m = L, ..., 0 the pairs of coefficients of C_m and S_m, from the highest power
        of z, L - m, to the lowest: the order in which Horner's scheme takes them.
    """
    degree = degree_of(coefficients)
    source, target, factor = _monomials(degree)
    weights = np.asarray(coefficients, dtype=np.float64)[source] * factor
    n = (degree + 1) * (degree + 2)
    return np.bincount(target, weights, n).astype(np.float64)


@cache
def _monomials(
    max_degree: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Sparse map from a_lm to powers of z: source, target and factor of each entry."""
    entries = []
    for m in range(max_degree + 1):
        start = (max_degree - m) * (max_degree - m + 1)
        for degree in range(m, max_degree + 1):
            row = degree**2 + degree
            for power, factor in _legendre_powers(degree, m):
                column = start + 2 * (max_degree - m - power)
                entries.append((row + m, column, factor))
                if m > 0:
                    entries.append((row - m, column + 1, factor))
    source, target, factors = zip(*entries, strict=True)
    return np.array(source), np.array(target), np.array(factors)


def _legendre_powers(degree: int, m: int) -> Iterator[tuple[int, float]]:
    """Powers of z in the normalised P_l^m(z) / (1 - z^2)^(m/2), and their factors."""
    for k in range((degree - m) // 2 + 1):
        power = degree - m - 2 * k
        numerator = (-1) ** k * math.factorial(2 * (degree - k))
        denominator = (
            2**degree * math.factorial(k) * math.factorial(degree - k) * math.factorial(power)
        )
        yield power, _normalisation(degree, m) * (numerator / denominator)


@njit(cache=True, nogil=True, error_model="numpy")
def radius_at(
    x: float, y: float, z: float, scaled_coefficients: NDArray[np.float64], max_degree: int
) -> float:
    """X in the direction of (x, y, z), any non-zero vector.

    Parameters
    ----------
    x, y, z
        Components of the vector; its length does not matter.
    scaled_coefficients
        What ``prescaled`` returns.
    max_degree
        Largest l of the coefficients.
    """
    scale = 1.0 / math.sqrt(x * x + y * y + z * z)
    x = x * scale
    y = y * scale
    z = z * scale
    real = 0.0
    imag = 0.0
    k = 0
    for n_powers in range(max_degree + 1):  # m = max_degree - n_powers
        cosine = scaled_coefficients[k]
        sine = scaled_coefficients[k + 1]
        k += 2
        for _ in range(n_powers):
            cosine = cosine * z + scaled_coefficients[k]
            sine = sine * z + scaled_coefficients[k + 1]
            k += 2
        following = real * x - imag * y + cosine
        imag = real * y + imag * x - sine
        real = following
    return real


@njit(cache=True, nogil=True)
def radius_and_gradient_at(
    x: float,
    y: float,
    z: float,
    scaled_coefficients: NDArray[np.float64],
    max_degree: int,
    gradient: NDArray[np.float64],
) -> float:
    """X in the direction of (x, y, z); its surface gradient goes to ``gradient`` (3,).

    For single points: many are evaluated faster, and to the same bits, by ``gradients_at``, which
    says what the gradient is.
    """
    scale = 1.0 / math.sqrt(x * x + y * y + z * z)
    x, y, z = x * scale, y * scale, z * scale
    real = imag = real_t = imag_t = real_z = imag_z = 0.0
    k = 0
    for n_powers in range(max_degree + 1):
        cosine, sine = scaled_coefficients[k], scaled_coefficients[k + 1]
        cosine_z = sine_z = 0.0
        k += 2
        for _ in range(n_powers):
            cosine_z, sine_z = cosine_z * z + cosine, sine_z * z + sine
            cosine = cosine * z + scaled_coefficients[k]
            sine = sine * z + scaled_coefficients[k + 1]
            k += 2
        real_t, imag_t = real_t * x - imag_t * y + real, real_t * y + imag_t * x + imag
        real_z, imag_z = real_z * x - imag_z * y + cosine_z, real_z * y + imag_z * x - sine_z
        real, imag = real * x - imag * y + cosine, real * y + imag * x - sine
    along = real_t * x - imag_t * y + real_z * z
    gradient[0] = real_t - along * x
    gradient[1] = -imag_t - along * y
    gradient[2] = real_z - along * z
    return real


@njit(cache=True, nogil=True, error_model="numpy")
def radii_at(
    points: NDArray[np.float64],
    scaled_coefficients: NDArray[np.float64],
    max_degree: int,
    out: NDArray[np.float64],
) -> None:
    """Write X in the direction of each point into ``out``, to the bit as ``radius_at``.

    Blocks of points and inner loops of fixed length, so that the compiler uses vector
    instructions; two powers of z per pass save half the traffic to the work arrays.

    Parameters
    ----------
    points
        (n, 3) float, non-zero vectors.
    scaled_coefficients
        What ``prescaled`` returns.
    max_degree
        Largest l of the coefficients.
    out
        (n,) float.
    """
    x = np.ones(BLOCK)
    y = np.ones(BLOCK)
    z = np.ones(BLOCK)
    real = np.zeros(BLOCK)
    imag = np.zeros(BLOCK)
    cosine = np.zeros(BLOCK)
    sine = np.zeros(BLOCK)
    for first in range(0, len(points), BLOCK):
        n = min(BLOCK, len(points) - first)
        for i in range(n):
            x[i] = points[first + i, 0]
            y[i] = points[first + i, 1]
            z[i] = points[first + i, 2]
        for i in range(BLOCK):
            scale = 1.0 / math.sqrt(x[i] * x[i] + y[i] * y[i] + z[i] * z[i])
            x[i] *= scale
            y[i] *= scale
            z[i] *= scale
            real[i] = 0.0
            imag[i] = 0.0
        k = 0
        for n_powers in range(max_degree + 1):
            c0 = scaled_coefficients[k]
            s0 = scaled_coefficients[k + 1]
            k += 2
            for i in range(BLOCK):
                cosine[i] = c0
                sine[i] = s0
            if n_powers % 2 == 1:
                c0 = scaled_coefficients[k]
                s0 = scaled_coefficients[k + 1]
                k += 2
                for i in range(BLOCK):
                    cosine[i] = cosine[i] * z[i] + c0
                    sine[i] = sine[i] * z[i] + s0
            for _ in range(n_powers // 2):
                c0 = scaled_coefficients[k]
                s0 = scaled_coefficients[k + 1]
                c1 = scaled_coefficients[k + 2]
                s1 = scaled_coefficients[k + 3]
                k += 4
                for i in range(BLOCK):
                    cosine[i] = (cosine[i] * z[i] + c0) * z[i] + c1
                    sine[i] = (sine[i] * z[i] + s0) * z[i] + s1
            for i in range(BLOCK):
                following = real[i] * x[i] - imag[i] * y[i] + cosine[i]
                imag[i] = real[i] * y[i] + imag[i] * x[i] - sine[i]
                real[i] = following
        for i in range(n):
            out[first + i] = real[i]


@njit(cache=True, nogil=True, error_model="numpy")
def gradients_at(
    points: NDArray[np.float64],
    scaled_coefficients: NDArray[np.float64],
    max_degree: int,
    radii: NDArray[np.float64],
    gradients: NDArray[np.float64],
) -> None:
    """Write X and its surface gradient in the direction of each point.

    Each Horner scheme carries its derivative along. The gradient of the polynomial in
    (x, y, z) differs from the surface gradient by its radial part, which is taken off.

    Parameters
    ----------
    points
        (n, 3) float, non-zero vectors.
    scaled_coefficients
        What ``prescaled`` returns.
    max_degree
        Largest l of the coefficients.
    radii
        (n,) float, receives X, to the bit as ``radius_at``.
    gradients
        (n, 3) float, receives the gradient on the unit sphere, tangential, per radian.
    """
    x = np.ones(BLOCK)
    y = np.ones(BLOCK)
    z = np.ones(BLOCK)
    sums = np.zeros((6, BLOCK))
    real, imag, real_t, imag_t, real_z, imag_z = sums
    cosine, sine, cosine_z, sine_z = np.zeros((4, BLOCK))
    for first in range(0, len(points), BLOCK):
        n = min(BLOCK, len(points) - first)
        for i in range(n):
            x[i] = points[first + i, 0]
            y[i] = points[first + i, 1]
            z[i] = points[first + i, 2]
        for i in range(BLOCK):
            scale = 1.0 / math.sqrt(x[i] * x[i] + y[i] * y[i] + z[i] * z[i])
            x[i] *= scale
            y[i] *= scale
            z[i] *= scale
        sums[:] = 0.0
        k = 0
        for n_powers in range(max_degree + 1):
            c = scaled_coefficients[k]
            s = scaled_coefficients[k + 1]
            k += 2
            for i in range(BLOCK):
                cosine[i] = c
                sine[i] = s
                cosine_z[i] = 0.0
                sine_z[i] = 0.0
            for _ in range(n_powers):
                c = scaled_coefficients[k]
                s = scaled_coefficients[k + 1]
                k += 2
                for i in range(BLOCK):
                    cosine_z[i] = cosine_z[i] * z[i] + cosine[i]
                    sine_z[i] = sine_z[i] * z[i] + sine[i]
                    cosine[i] = cosine[i] * z[i] + c
                    sine[i] = sine[i] * z[i] + s
            for i in range(BLOCK):
                following = real_t[i] * x[i] - imag_t[i] * y[i] + real[i]
                imag_t[i] = real_t[i] * y[i] + imag_t[i] * x[i] + imag[i]
                real_t[i] = following
                following = real_z[i] * x[i] - imag_z[i] * y[i] + cosine_z[i]
                imag_z[i] = real_z[i] * y[i] + imag_z[i] * x[i] - sine_z[i]
                real_z[i] = following
                following = real[i] * x[i] - imag[i] * y[i] + cosine[i]
                imag[i] = real[i] * y[i] + imag[i] * x[i] - sine[i]
                real[i] = following
        for i in range(n):
            along = real_t[i] * x[i] - imag_t[i] * y[i] + real_z[i] * z[i]
            radii[first + i] = real[i]
            gradients[first + i, 0] = real_t[i] - along * x[i]
            gradients[first + i, 1] = -imag_t[i] - along * y[i]
            gradients[first + i, 2] = real_z[i] - along * z[i]


@cache
def sphere_quadrature(degree: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions and weights that integrate polynomials up to ``degree`` exactly.

    Gauss-Legendre nodes in z, equal steps in the azimuth.

    Returns
    -------
    directions
        (n, 3) float, unit vectors, n about degree^2 / 2; shared, not to be changed.
    weights
        (n,) float, positive, their sum is 4 pi.
    """
    z, latitude_weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    azimuth = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    rho = np.sqrt(1 - z**2)
    directions = np.empty((len(z), len(azimuth), 3))
    directions[:, :, 0] = np.outer(rho, np.cos(azimuth))
    directions[:, :, 1] = np.outer(rho, np.sin(azimuth))
    directions[:, :, 2] = z[:, None]
    weights = np.repeat(latitude_weights * 2 * np.pi / len(azimuth), len(azimuth))
    return directions.reshape(-1, 3), weights


def _weighted(coefficients: NDArray[np.float64], factors: NDArray[np.float64]) -> float:
    r"""Sum over the degrees of \|a_l\|, the norm of 2l + 1 coefficients, times a factor each.

    Recipes hold bounds that follow from it: no BLAS, whose sums depend on the processor.
    """
    starts = np.arange(degree_of(coefficients) + 1) ** 2
    norms = np.sqrt(np.add.reduceat(np.square(coefficients), starts))
    return math.fsum(norms * factors)


def amplitude_bound(coefficients: NDArray[np.float64]) -> float:
    r"""Bound of \|X\| on the sphere, sum of \|a_l\| sqrt((2l + 1) / 4 pi)."""
    degree = np.arange(degree_of(coefficients) + 1)
    return _weighted(coefficients, np.sqrt((2 * degree + 1) / (4 * np.pi)))


def gradient_bound(coefficients: NDArray[np.float64]) -> float:
    r"""Bound G of the surface gradient of X, per radian.

    .. math:: |\nabla X(u)| \le \sum_l |a_l| \sqrt{\frac{l (l + 1) (2l + 1)}{8 \pi}}

    By the addition theorem the squared derivatives of the 2l + 1 harmonics of a degree
    along one tangent sum to l (l + 1) (2l + 1) / 8 pi everywhere; Cauchy-Schwarz.

    Examples
    --------
    >>> round(float(gradient_bound(np.array([5.0, 0, 2, 0])) / np.sqrt(3 / (4 * np.pi))), 12)
    2.0
    """
    degree = np.arange(degree_of(coefficients) + 1)
    factor = degree * (degree + 1) * (2 * degree + 1) / (8 * np.pi)
    return _weighted(coefficients, np.sqrt(factor))


def curvature_bound(coefficients: NDArray[np.float64]) -> float:
    r"""Bound of the second derivative of X along any great circle, per radian^2.

    .. math:: \sum_l |a_l| \sqrt{\frac{2l + 1}{4 \pi} \frac{k (3k - 2)}{8}},
              \qquad k = l (l + 1)

    As in ``gradient_bound``, with the fourth derivative of P_l(cos theta) at 0, which is
    k (3k - 2) / 8.
    """
    degree = np.arange(degree_of(coefficients) + 1)
    k = degree * (degree + 1)
    factor = (2 * degree + 1) / (4 * np.pi) * k * (3 * k - 2) / 8
    return _weighted(coefficients, np.sqrt(factor))
