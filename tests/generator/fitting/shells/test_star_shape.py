import math

import numpy as np
import pytest

from cathodegrain.generator.fitting.shells import star_shape
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.shell.spherical_harmonics import real_spherical_harmonics


def voxels_of(shell, half):
    axis = np.arange(-half, half + 1.0)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return shell.contains(np.stack([x, y, z], axis=-1))


def naive_radii(mask, rays):
    """Eq. (1) by trying radii in small steps, a voxel for each by rounding."""
    centre = np.argwhere(mask).mean(axis=0)
    steps = np.arange(0, max(mask.shape) * 2, 1e-4)
    last, first = [], []
    for ray in rays[:, ::-1]:
        cells = np.floor(centre + steps[:, None] * ray + 0.5).astype(int)
        inside = ((cells >= 0) & (cells < mask.shape)).all(axis=1)
        owned = np.zeros(len(steps), bool)
        owned[inside] = mask[tuple(cells[inside].T)]
        last.append(steps[owned].max() if owned.any() else 0.0)
        first.append(steps[np.argmin(owned)] if owned[0] else 0.0)
    return np.array(last), np.array(first)


def test_there_are_642_near_equidistant_directions():
    directions = star_shape.directions()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-14)
    cosines = directions @ directions.T - 2 * np.eye(len(directions))
    nearest = np.degrees(np.arccos(cosines.max(axis=1)))
    assert len(np.unique(directions.round(9), axis=0)) == 642
    assert nearest.max() / nearest.min() < 1.25
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_radii_are_those_of_equation_1_in_small_steps(seed):
    rng = np.random.default_rng(seed)
    mask = np.pad(rng.random((7, 8, 9)) < 0.7, 1)
    rays = star_shape.directions()[:: 31 + seed]
    last, first = star_shape.star_radii(mask, rays)
    slow_last, slow_first = naive_radii(mask, rays)
    np.testing.assert_allclose(last, slow_last, atol=1.01e-4)
    np.testing.assert_allclose(first, slow_first, atol=1.01e-4)


def test_a_box_has_the_radii_of_a_box():
    mask = np.pad(np.ones((5, 7, 9), bool), 1)
    rays = star_shape.directions()
    last, first = star_shape.star_radii(mask, rays)
    with np.errstate(divide="ignore"):
        exact = (np.array([4.5, 3.5, 2.5]) / np.abs(rays)).min(axis=1)
    np.testing.assert_allclose(last, exact, rtol=1e-12)
    np.testing.assert_allclose(first, exact, rtol=1e-12)


def test_what_lies_behind_a_gap_is_covered_and_not_captured():
    mask = np.zeros((21, 21, 41), bool)
    mask[5:16, 5:16, 12:29] = True
    mask[5:16, 5:16, 17:19] = False
    mask[9:12, 9:12, 12:29] = True
    last, first = star_shape.star_radii(mask, star_shape.directions())
    shapes = star_shape.StarShapes(last[None], first[None], np.array([float(mask.sum())]))
    assert shapes.captured[0] < 0.9 < 1.0 < shapes.covered[0]


def test_a_ball_is_captured_whole():
    mask = voxels_of(Shell.sphere(20.0), 22)
    last, first = star_shape.star_radii(mask, star_shape.directions())
    shapes = star_shape.StarShapes(last[None], first[None], np.array([float(mask.sum())]))
    np.testing.assert_allclose([shapes.captured[0], shapes.covered[0]], 1, atol=0.01)
    np.testing.assert_allclose(last.mean(), 20.0, atol=0.2)


def test_coefficients_come_back_from_their_radii():
    rng = np.random.default_rng(4)
    coefficients = np.concatenate([[[70.0]], rng.standard_normal((1, 99))], axis=1)
    radii = coefficients @ real_spherical_harmonics(star_shape.directions(), 9).T
    found = star_shape.expansions(radii, 9)
    np.testing.assert_allclose(found.coefficients, coefficients, atol=1e-11)
    assert found.residuals[0] < 1e-12


def test_the_residual_is_what_is_left_of_the_radius():
    radii = 10 + real_spherical_harmonics(star_shape.directions(), 4)[:, -1][None]
    left = star_shape.expansions(radii, 3).residuals[0]
    assert left == pytest.approx(math.sqrt(1 / (4 * math.pi)) / 10, rel=0.01)


def test_a_rotated_particle_has_the_same_power_in_each_degree():
    rng = np.random.default_rng(1)
    shell = Shell(np.concatenate([[60.0], 3 * rng.standard_normal(8), rng.standard_normal(7)]))
    rotations = star_shape.random_rotations(4, rng)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    radii = np.array([shell.radius(star_shape.directions() @ r) for r in rotations])
    found = star_shape.expansions(radii, 3).coefficients
    for degree in range(4):
        power = (found[:, degree**2 : (degree + 1) ** 2] ** 2).sum(axis=1)
        own = (shell.coefficients[degree**2 : (degree + 1) ** 2] ** 2).sum()
        np.testing.assert_allclose(power, own, rtol=1e-9)


def test_a_voxelised_shell_has_the_coefficients_of_the_shell():
    rng = np.random.default_rng(7)
    shell = Shell(np.concatenate([[100.0], np.zeros(3), 3 * rng.standard_normal(12)]))
    shell = shell.recentred()
    radii, _ = star_shape.star_radii(voxels_of(shell, 45), star_shape.directions())
    found = star_shape.expansions(radii[None], 3).coefficients[0]
    np.testing.assert_allclose(found, shell.coefficients, atol=0.8)


def test_a_ray_that_misses_the_particle_has_radius_0():
    mask = np.zeros((9, 9, 9), bool)
    mask[1, 1, 1:8] = True
    mask[7, 7, 1:8] = True
    last, first = star_shape.star_radii(mask, np.array([[1.0, 0.0, 0.0]]))
    assert last[0] == first[0] == 0
