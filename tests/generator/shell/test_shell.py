import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import brentq
from scipy.special import elliprg

from cathodegrain.generator.errors import GenerationError
from cathodegrain.generator.shell import shell as shell_module
from cathodegrain.generator.shell.shell import Shell, radius_bounds, weak_direction
from cathodegrain.generator.shell.spherical_harmonics import (
    curvature_bound,
    gradient_bound,
    real_spherical_harmonics,
    sphere_quadrature,
)


def random_directions(n, seed=0):
    directions = np.random.default_rng(seed).normal(size=(n, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def random_shell(seed, roughness=1.0, max_degree=9):
    """Mean radius 4 um, coefficients falling off with the degree as those of real shells."""
    degrees = np.arange(max_degree + 1)
    falling = roughness * np.repeat(1 / (1.0 + degrees) ** 2, 2 * degrees + 1)
    coefficients = np.random.default_rng(seed).normal(size=(max_degree + 1) ** 2) * falling
    coefficients[0] = 4.0 * math.sqrt(4 * math.pi)
    return Shell(coefficients)


def projected(radius, max_degree):
    """Shell whose coefficients are those of a radial function given in closed form."""
    directions, weights = sphere_quadrature(8 * max_degree)
    harmonics = real_spherical_harmonics(directions, max_degree)
    return Shell((weights * radius(directions)) @ harmonics)


def displaced_ball(radius, centre, max_degree=20):
    def distance(u):
        along = u @ centre
        return along + np.sqrt(radius**2 - centre @ centre + along**2)

    return projected(distance, max_degree)


def ellipsoid(axes, max_degree=20):
    return projected(lambda u: 1 / np.sqrt(np.sum((u / axes) ** 2, axis=1)), max_degree)


def lobe(depth, direction=(0.3, -0.5, 0.7), max_degree=9):
    """1 minus a peak of the given height at one direction, as narrow as the degree allows."""
    (peak,) = real_spherical_harmonics(np.array([direction]), max_degree)
    coefficients = -depth * peak / (peak @ peak)
    coefficients[0] += math.sqrt(4 * math.pi)
    return coefficients


def test_a_ball_has_the_closed_forms_of_a_ball():
    ball, u = Shell.sphere(2.5), random_directions(50)
    assert ball.volume_um3 == pytest.approx(4 / 3 * math.pi * 2.5**3, rel=1e-13)
    assert ball.area_um2 == pytest.approx(4 * math.pi * 2.5**2, rel=1e-13)
    assert ball.sphericity == pytest.approx(1, rel=1e-13)
    assert ball.diameter_um == pytest.approx(5, rel=1e-13)
    assert ball.radius_bounds == pytest.approx((2.5, 2.5), rel=1e-10)
    assert ball.gradient_bound == 0
    np.testing.assert_allclose(ball.centroid_um, 0, atol=1e-13)
    np.testing.assert_allclose(ball.normal(u), u, atol=1e-13)
    np.testing.assert_allclose(ball.depth(1.5 * u), 1.0, atol=1e-13)


def test_an_ellipsoid_has_the_closed_forms_of_an_ellipsoid():
    axes, u = np.array([1.2, 1.0, 0.9]), random_directions(50)
    shell = ellipsoid(axes)
    pairs = np.array([axes[0] * axes[1], axes[0] * axes[2], axes[1] * axes[2]]) ** 2
    assert shell.volume_um3 == pytest.approx(4 / 3 * math.pi * axes.prod(), rel=1e-9)
    assert shell.area_um2 == pytest.approx(4 * math.pi * elliprg(*pairs), rel=1e-9)
    normals = u / axes**2
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose(shell.normal(u), normals, atol=1e-7)
    assert shell.radius_bounds == pytest.approx((0.9, 1.2), rel=2e-3)


def test_an_ellipsoid_of_degree_9_differs_by_what_its_higher_degrees_amount_to():
    axes = np.array([1.2, 1.0, 0.9])
    full, shell = ellipsoid(axes), ellipsoid(axes, max_degree=9)
    lost = np.linalg.norm(full.coefficients[100:]) / full.mean_radius_um
    assert 0 < lost < 1e-3
    assert shell.volume_um3 == pytest.approx(full.volume_um3, rel=lost)
    assert shell.sphericity == pytest.approx(full.sphericity, rel=lost)


def test_a_displaced_ball_is_a_ball_elsewhere():
    centre, u = np.array([0.3, -0.2, 0.4]), random_directions(50)
    shell = displaced_ball(1.5, centre)
    assert shell.volume_um3 == pytest.approx(4 / 3 * math.pi * 1.5**3, rel=1e-7)
    assert shell.sphericity == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(shell.centroid_um, centre, atol=1e-6)
    surface = shell.radius(u)[:, None] * u
    np.testing.assert_allclose(shell.normal(u), (surface - centre) / 1.5, atol=1e-4)


def test_recentring_a_displaced_ball_puts_it_back():
    shell = displaced_ball(1.5, np.array([0.3, -0.2, 0.4])).recentred()
    np.testing.assert_allclose(
        shell.coefficients, Shell.sphere(1.5, shell.max_degree).coefficients, atol=1e-5
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_volume_and_centroid_are_those_of_the_points_inside(seed):
    shell, n = random_shell(seed), 400_000
    half = shell.radius_bounds[1]
    points = np.random.default_rng(seed).uniform(-half, half, (n, 3))
    inside = points[shell.contains(points)]
    box = (2 * half) ** 3
    share = shell.volume_um3 / box
    assert abs(len(inside) / n - share) < 4 * math.sqrt(share * (1 - share) / n)
    error = inside.std(axis=0) / math.sqrt(len(inside))
    assert np.all(np.abs(inside.mean(axis=0) - shell.centroid_um) < 4 * error)


def test_area_is_that_of_a_fine_triangulation():
    shell = random_shell(3)
    theta = np.linspace(0, math.pi, 401)[:, None]
    phi = np.linspace(0, 2 * math.pi, 801)
    u = np.stack(
        np.broadcast_arrays(
            np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)
        ),
        axis=-1,
    )
    x = shell.radius(u)[..., None] * u
    a, b, c, d = x[:-1, :-1], x[1:, :-1], x[1:, 1:], x[:-1, 1:]
    doubled = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
    doubled += np.linalg.norm(np.cross(c - a, d - a), axis=-1)
    assert shell.area_um2 == pytest.approx(doubled.sum() / 2, rel=1e-4)


def test_normals_are_orthogonal_to_the_surface_and_point_outwards():
    shell, u = random_shell(4), random_directions(200)
    normals, step = shell.normal(u), 1e-5
    tangents = np.cross(u, random_directions(200, seed=1))
    ahead, behind = u + step * tangents, u - step * tangents
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    behind /= np.linalg.norm(behind, axis=1, keepdims=True)
    chord = shell.radius(ahead)[:, None] * ahead - shell.radius(behind)[:, None] * behind
    np.testing.assert_allclose(np.sum(normals * chord, axis=1) / (2 * step), 0, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-14)
    assert np.all(np.sum(normals * u, axis=1) > 0)


def test_depth_is_the_distance_to_the_surface_along_the_ray():
    shell, u = random_shell(5), random_directions(100)
    surface = shell.radius(u)[:, None] * u
    np.testing.assert_allclose(shell.depth(surface), 0, atol=1e-14)
    np.testing.assert_allclose(shell.depth(surface - 0.1 * u), 0.1, atol=1e-14)
    np.testing.assert_allclose(shell.depth(surface + 0.1 * u), -0.1, atol=1e-14)
    assert shell.contains(0.999 * surface).all()
    assert not shell.contains(1.001 * surface).any()


def test_the_origin_is_inside():
    shell = random_shell(6)
    assert shell.contains(np.zeros(3))
    assert shell.depth(np.zeros(3)) == shell.radius(np.array([0.0, 0.0, 1.0]))


def test_any_shape_of_points_is_taken():
    shell, u = random_shell(7), random_directions(24)
    flat, grid = shell.radius(u), shell.radius(u.reshape(2, 3, 4, 3))
    np.testing.assert_array_equal(grid, flat.reshape(2, 3, 4))
    np.testing.assert_array_equal(shell.normal(u.reshape(4, 6, 3)).reshape(-1, 3), shell.normal(u))
    assert shell.contains(u[0]).shape == ()
    assert shell.radius(np.zeros((0, 3))).shape == (0,)


def test_scaling_changes_lengths_and_not_the_shape():
    shell = random_shell(8)
    scaled = shell.scaled(2.0)
    assert scaled.diameter_um == pytest.approx(2 * shell.diameter_um, rel=1e-14)
    assert scaled.area_um2 == pytest.approx(4 * shell.area_um2, rel=1e-14)
    assert scaled.sphericity == pytest.approx(shell.sphericity, rel=1e-14)
    np.testing.assert_allclose(scaled.centroid_um, 2 * shell.centroid_um, rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 9), st.floats(0, 30))
def test_no_sampled_radius_lies_outside_the_proven_bounds(seed, max_degree, roughness):
    shell = random_shell(seed, roughness, max_degree)
    radii = shell.radius(random_directions(5000, seed))
    lower, upper = shell.radius_bounds
    assert lower <= radii.min()
    assert upper >= radii.max()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_bounds_lie_within_the_tolerance_of_the_extrema(tolerance):
    shell = Shell.sphere(4.0)
    coefficients = shell.coefficients.copy()
    coefficients[6] = 1.0  # Y_20 = sqrt(5 / 16 pi) (3 z^2 - 1): least on the whole equator
    unit = math.sqrt(5 / (16 * math.pi))
    lower, upper = radius_bounds(coefficients, tolerance)
    assert 0 <= 4.0 - unit - lower <= tolerance
    assert 0 <= upper - (4.0 + 2 * unit) <= tolerance


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.2, 5))
def test_bounds_are_as_tight_as_dense_sampling_can_tell(seed, roughness):
    shell = random_shell(seed, roughness)
    (low, high), u = shell.radius_bounds, random_directions(20_000, seed)
    radii = shell.radius(u)
    # A sample of the cap next to an extremum misses it by curvature * distance^2 / 2.
    missed = 0.01 * shell.gradient_bound
    assert radii.min() - low < 1.001e-3 * 4.0 + missed
    assert high - radii.max() < 1.001e-3 * 4.0 + missed


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.2, 5))
def test_the_gradient_bound_is_at_most_a_tenth_above_the_steepest_slope(seed, roughness):
    shell = random_shell(seed, roughness)
    u = random_directions(20_000, seed)
    cosine = np.einsum("ij,ij->i", shell.normal(u), u)
    slopes = shell.radius(u) * np.sqrt(np.maximum(1 / cosine**2 - 1, 0))
    # neighbours in the sample are about 0.025 apart
    missed = 0.025 * curvature_bound(shell.coefficients)
    assert slopes.max() * (1 - 1e-9) <= shell.gradient_bound < 1.1 * (slopes.max() + missed)
    assert shell.gradient_bound <= gradient_bound(shell.coefficients)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 9), st.floats(0, 30))
def test_proven_bounds_are_taken_and_those_that_a_direction_contradicts_are_not(
    seed, max_degree, roughness
):
    shell = random_shell(seed, roughness, max_degree)
    (lower, upper), steep = shell.radius_bounds, shell.gradient_bound
    again = Shell(shell.coefficients).with_bounds((lower, upper), steep)
    np.testing.assert_array_equal(again.table, shell.table)
    off = 0.2 * (upper - lower) + 0.002 * abs(upper)
    for bounds in ((lower + off, upper), (lower, upper - off)):
        with pytest.raises(ValueError, match=r"bound of the radius is .* by 512 directions"):
            shell.with_bounds(bounds, steep)
    if steep > 1e-6:
        with pytest.raises(ValueError, match=r"bound of its gradient is .* by 512 directions"):
            shell.with_bounds((lower, upper), 0.5 * steep)


def test_bounds_that_a_proof_leaves_when_it_ends_early_are_taken(monkeypatch):
    monkeypatch.setattr(shell_module, "MAX_CELLS", 2048)
    shell = random_shell(3, roughness=30, max_degree=30)
    again = Shell(shell.coefficients).with_bounds(shell.radius_bounds, shell.gradient_bound)
    np.testing.assert_array_equal(again.table, shell.table)


def test_subdivision_ends_with_valid_bounds_at_zero_tolerance():
    shell = random_shell(9)
    lower, upper = radius_bounds(shell.coefficients, 0.0)
    radii = shell.radius(random_directions(5000))
    assert lower <= radii.min() <= radii.max() <= upper
    assert shell.radius_bounds[0] <= lower
    ball_lower, ball_upper = radius_bounds(Shell.sphere(1.0).coefficients, 0.0)
    assert 0 < 1 - ball_lower < 1e-10
    assert 0 < ball_upper - 1 < 1e-10


def test_a_negative_lobe_between_the_points_of_a_grid_is_found():
    coefficients = lobe(depth=1 + 1e-4)
    theta, phi = np.meshgrid(np.arange(0.5, 60) * math.pi / 60, np.arange(120) * math.pi / 60)
    grid = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    shell = Shell(coefficients)
    assert shell.radius(grid).min() > 0
    witness = shell.weak_direction()
    assert witness is not None
    assert shell.radius(witness) < 0
    assert shell.radius_bounds[0] < 0


@pytest.mark.parametrize("clearance", [1e-2, 1e-4, 1e-6])
def test_a_lobe_that_stays_positive_is_proven_positive(clearance):
    shell = Shell(lobe(depth=1 - clearance))
    assert shell.weak_direction(0.0) is None
    assert shell.weak_direction(0.9 * clearance) is None
    witness = shell.weak_direction(1.1 * clearance)
    assert witness is not None
    assert shell.radius(witness) <= 1.1 * clearance


def test_a_margin_that_is_the_minimum_itself_is_not_proven():
    assert weak_direction(Shell.sphere(1.0).coefficients, 1.0) is not None
    assert weak_direction(Shell.sphere(1.0).coefficients, 1.0 - 1e-9) is None


def test_recentred_coefficients_are_those_of_the_distances_to_the_surface():
    shell = random_shell(11)
    centre, recentred = shell.centroid_um, shell.recentred()
    directions, weights = sphere_quadrature(36)
    far = shell.radius_bounds[1] + np.linalg.norm(centre)

    def distance(u):
        return brentq(lambda r: -float(shell.depth(centre + r * u)), 0, far, xtol=1e-12)

    distances = np.array([distance(u) for u in directions])
    expected = (weights * distances) @ real_spherical_harmonics(directions, 9)
    assert np.linalg.norm(centre) > 0.05
    np.testing.assert_allclose(recentred.coefficients, expected, atol=2e-4)


def test_behind_an_overhang_the_ray_counts_where_it_is_inside():
    ball = displaced_ball(3.0, np.array([0.0, 0.0, 2.0]), max_degree=9)
    groove = lobe(depth=1.5, direction=(1.0, 0.0, 0.0)) - lobe(depth=0)
    coefficients = ball.coefficients + groove  # radial from the origin, skew from the centroid
    shell = Shell(coefficients)
    centre, recentred = shell.centroid_um, shell.recentred()
    directions, weights = sphere_quadrature(60)
    r, step = np.linspace(0, 9, 2000, endpoint=False, retstep=True)
    along = (r + step / 2)[:, None]
    inside = np.array([shell.contains(centre + along * u) for u in directions])
    leaves = np.count_nonzero(inside[:, :-1] & ~inside[:, 1:], axis=1)
    assert 0 < np.mean(leaves > 1) < 0.1
    lengths = (weights * inside.sum(axis=1) * step) @ real_spherical_harmonics(directions, 9)
    np.testing.assert_allclose(recentred.coefficients, lengths, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_recentred_shell_has_its_centroid_at_the_origin_and_keeps_its_volume(seed):
    shell = random_shell(seed, roughness=1.5)
    recentred = shell.recentred()
    assert np.linalg.norm(shell.centroid_um) > 5e-3 * shell.mean_radius_um
    assert np.linalg.norm(recentred.centroid_um) < 1e-3 * recentred.mean_radius_um
    assert recentred.volume_um3 == pytest.approx(shell.volume_um3, rel=2e-3)
    assert recentred.max_degree == shell.max_degree


def test_a_bowl_whose_centroid_is_outside_is_not_recentred():
    bowl = projected(lambda u: 0.1 + np.exp(-(((u[:, 2] - 0.6) / 0.25) ** 2)), max_degree=9)
    assert bowl.weak_direction() is None
    assert not bowl.contains(bowl.centroid_um)
    with pytest.raises(GenerationError, match="outside the body"):
        bowl.recentred()


def test_coefficients_are_copied_and_read_only():
    mine = np.zeros(100)
    mine[0] = 1.0
    shell = Shell(mine)
    mine[0] = 2.0
    assert shell.coefficients[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        shell.coefficients[0] = 3.0


def test_wrong_coefficients_are_refused():
    with pytest.raises(ValueError, match=r"shape \(99,\), expected"):
        Shell(np.zeros(99))
    with pytest.raises(ValueError, match=r"coefficients \[1, 3\] are not finite"):
        Shell(np.array([1.0, np.nan, 0.0, np.inf]))
