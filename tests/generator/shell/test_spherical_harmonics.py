import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import gamma, sph_harm_y

from cathodegrain.generator.shell.spherical_harmonics import (
    amplitude_bound,
    curvature_bound,
    gradient_bound,
    gradients_at,
    prescaled,
    radii_at,
    radius_at,
    real_spherical_harmonics,
    sphere_quadrature,
)


def random_directions(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


def random_coefficients(max_degree, seed=0):
    """Standard normal, of every degree: rougher than any shell."""
    return np.random.default_rng(seed).normal(size=(max_degree + 1) ** 2)


def radii(points, coefficients):
    out = np.empty(len(points))
    radii_at(points, prescaled(coefficients), math.isqrt(len(coefficients)) - 1, out)
    return out


def gradients(points, coefficients):
    values, out = np.empty(len(points)), np.empty((len(points), 3))
    degree = math.isqrt(len(coefficients)) - 1
    gradients_at(points, prescaled(coefficients), degree, values, out)
    return values, out


def great_circle(n, seed=0):
    """Unit vectors u and unit tangents t at u: u cos s + t sin s is a great circle."""
    u, v = random_directions(n, seed), random_directions(n, seed + 1)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    t = np.cross(u, v)
    return u, t / np.linalg.norm(t, axis=1, keepdims=True)


@pytest.mark.parametrize("powers", [(0, 0, 0), (2, 0, 0), (2, 4, 6), (0, 2, 10), (1, 2, 2)])
def test_quadrature_integrates_monomials_to_their_closed_form(powers):
    directions, weights = sphere_quadrature(sum(powers))
    a, b, c = powers
    closed = 2 * gamma((a + 1) / 2) * gamma((b + 1) / 2) * gamma((c + 1) / 2)
    closed = 0 if any(p % 2 for p in powers) else closed / gamma((a + b + c + 3) / 2)
    assert weights @ np.prod(directions ** np.array(powers), axis=1) == pytest.approx(
        closed, rel=1e-13, abs=1e-14
    )


def test_harmonics_are_orthonormal():
    directions, weights = sphere_quadrature(18)
    harmonics = real_spherical_harmonics(directions, 9)
    products = harmonics.T @ (weights[:, None] * harmonics)
    np.testing.assert_allclose(products, np.eye(100), atol=1e-13)


def test_harmonics_are_those_of_scipy_without_the_condon_shortley_phase():
    points = random_directions(300)
    theta = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
    phi = np.arctan2(points[:, 1], points[:, 0])
    harmonics = real_spherical_harmonics(points, 12)
    for degree in range(13):
        for m in range(degree + 1):
            phase_free = (-1) ** m * sph_harm_y(degree, m, theta, phi)
            centre = degree**2 + degree
            factor = 1 if m == 0 else math.sqrt(2)
            expected = factor * phase_free.real
            np.testing.assert_allclose(harmonics[:, centre + m], expected, atol=1e-13)
            if m > 0:
                expected = factor * phase_free.imag
                np.testing.assert_allclose(harmonics[:, centre - m], expected, atol=1e-13)


@pytest.mark.parametrize("max_degree", [0, 1, 2, 5, 9, 14])
def test_kernels_sum_the_series(max_degree):
    points = random_directions(200)
    coefficients = random_coefficients(max_degree)
    expected = real_spherical_harmonics(points, max_degree) @ coefficients
    atol = 1e-13 * 1.5 ** max(0, max_degree - 9) * np.abs(coefficients).sum()
    np.testing.assert_allclose(radii(points, coefficients), expected, atol=atol)


def test_the_rounding_error_at_degree_20_is_as_documented():
    points, coefficients = random_directions(200), random_coefficients(20)
    expected = real_spherical_harmonics(points, 20) @ coefficients
    error = np.abs(radii(points, coefficients) - expected).max()
    assert error < 1e-11 * np.abs(coefficients).sum()


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("max_degree", [0, 1, 4, 9])
def test_all_kernels_agree_to_the_bit(n, max_degree):
    points, coefficients = random_directions(n), random_coefficients(max_degree)
    scaled = prescaled(coefficients)
    one_by_one = [radius_at(*point, scaled, max_degree) for point in points]
    np.testing.assert_array_equal(radii(points, coefficients), one_by_one)
    np.testing.assert_array_equal(gradients(points, coefficients)[0], one_by_one)


def test_compiled_and_interpreted_kernels_agree_to_the_bit():
    points, scaled = random_directions(70), prescaled(random_coefficients(9))
    interpreted = getattr(radius_at, "py_func", radius_at)  # itself where nothing is compiled
    expected = [interpreted(*point, scaled, 9) for point in points]
    compiled = np.empty(70)
    radii_at(points, scaled, 9, compiled)
    np.testing.assert_array_equal(compiled, expected)


def test_the_length_of_a_vector_does_not_matter():
    points, coefficients = random_directions(100), random_coefficients(9)
    np.testing.assert_array_equal(radii(8 * points, coefficients), radii(points, coefficients))
    np.testing.assert_allclose(
        real_spherical_harmonics(3 * points, 9), real_spherical_harmonics(points, 9), atol=1e-13
    )


def test_the_gradient_is_the_derivative_along_great_circles():
    u, t = great_circle(200)
    coefficients, step = random_coefficients(9), 1e-5
    _, gradient = gradients(u, coefficients)
    ahead = radii(u * np.cos(step) + t * np.sin(step), coefficients)
    behind = radii(u * np.cos(step) - t * np.sin(step), coefficients)
    difference = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * t, axis=1), difference, atol=1e-6)
    np.testing.assert_allclose(np.sum(gradient * u, axis=1), 0, atol=1e-12)


def test_the_power_of_each_degree_does_not_change_under_rotation():
    directions, weights = sphere_quadrature(18)
    coefficients = random_coefficients(9)
    rotation = Rotation.random(random_state=3).as_matrix()
    field = radii(directions @ rotation, coefficients)
    rotated = (weights * field) @ real_spherical_harmonics(directions, 9)
    for degree in range(10):
        block = slice(degree**2, (degree + 1) ** 2)
        power = np.linalg.norm(coefficients[block])
        assert np.linalg.norm(rotated[block]) == pytest.approx(power, rel=1e-12)
    assert np.abs(rotated - coefficients).max() > 0.1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 9), st.floats(0, 3))
def test_amplitude_gradient_and_curvature_stay_below_their_bounds(seed, max_degree, decay):
    degrees = np.arange(max_degree + 1)
    falling = np.repeat((1.0 + degrees) ** -decay, 2 * degrees + 1)
    coefficients = random_coefficients(max_degree, seed) * falling
    u, t = great_circle(2000, seed)
    values, gradient = gradients(u, coefficients)
    step = 1e-4
    ahead = np.sum(gradients(u * np.cos(step) + t * np.sin(step), coefficients)[1] * t, axis=1)
    bend = (ahead * np.cos(step) - np.sum(gradient * t, axis=1)) / step
    assert np.abs(values).max() <= amplitude_bound(coefficients) * (1 + 1e-12)
    assert np.linalg.norm(gradient, axis=1).max() <= gradient_bound(coefficients) * (1 + 1e-12)
    assert np.abs(bend).max() <= curvature_bound(coefficients) * (1 + 0.01) + 1e-9


@pytest.mark.parametrize("degree", range(1, 10))
def test_the_bounds_are_attained_by_the_harmonic_whose_derivative_is_evaluated(degree):
    (u,), (t,) = great_circle(1, seed=degree)
    step, block = 1e-4, slice(degree**2, (degree + 1) ** 2)
    circle = np.array([u * np.cos(s) + t * np.sin(s) for s in (-step, 0.0, step)])
    behind, here, ahead = real_spherical_harmonics(circle, degree)[:, block]
    for derivative, bound in [
        (here, amplitude_bound),
        ((ahead - behind) / (2 * step), gradient_bound),
        ((ahead - 2 * here + behind) / step**2, curvature_bound),
    ]:
        unit = np.zeros((degree + 1) ** 2)
        unit[block] = derivative / np.linalg.norm(derivative)
        assert derivative @ unit[block] == pytest.approx(bound(unit), rel=1e-4)


@pytest.mark.parametrize("shape", [(99,), (0,), (10, 10), ()])
def test_a_number_of_coefficients_that_is_no_square_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(\(L \+ 1\)\^2,\)"):
        prescaled(np.zeros(shape))
