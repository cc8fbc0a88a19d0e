import numpy as np
import pytest
from scipy.stats import kstest

from cathodegrain.exporters.datasets.streaming.cubes import (
    Cube,
    crop_cube,
    point_inside,
    whole_cube,
)
from cathodegrain.generator.errors import DatasetError
from cathodegrain.generator.shell.shell import Shell


def test_voxels_lie_about_the_centre_at_their_pitch():
    x, y, z = Cube(np.array([0.3, -1.0, 2.0]), 6, 0.05).axes()
    for axis, centre in zip((x, y, z), (0.3, -1.0, 2.0), strict=True):
        assert axis.mean() == pytest.approx(centre)
        assert np.diff(axis) == pytest.approx(np.full(5, 0.05))


def test_a_rim_adds_voxels_and_moves_none():
    cube = Cube(np.array([0.3, -1.0, 2.0]), 7, 0.05)
    for with_rim, without in zip(cube.axes(rim=2), cube.axes(), strict=True):
        np.testing.assert_array_equal(with_rim[2:-2], without)


def test_centres_are_uniform_in_the_volume_of_a_ball(rng):
    ball = Shell.sphere(radius_um=3.0)
    points = np.array([point_inside(ball, rng) for _ in range(2000)])
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() <= 3.0
    assert kstest((radius / 3) ** 3, "uniform").pvalue > 1e-3
    for k in range(3):  # the projection of a ball's points on a line
        u = points[:, k] / 3
        assert kstest(0.5 + 0.75 * (u - u**3 / 3), "uniform").pvalue > 1e-3


def test_centres_are_uniform_in_a_shell_that_is_no_ball(small_particle, rng):
    """As many lie in each octant as belong there by its volume."""
    shell, n = small_particle.shell, 3000
    points = np.array([point_inside(shell, rng) for _ in range(n)])
    assert shell.contains(points).all()
    reach = shell.radius_bounds[1]
    many = rng.uniform(-reach, reach, (200_000, 3))
    inside = many[shell.contains(many)]
    shares, found = (
        np.bincount((p > 0) @ [1, 2, 4], minlength=8) / len(p) for p in (inside, points)
    )
    assert np.abs(found - shares).max() < 4 * np.sqrt(0.125 / n)


def test_the_centre_of_a_crop_does_not_depend_on_size_and_pitch(small_particle):
    one, other = crop_cube(small_particle, 3, 8, 0.1), crop_cube(small_particle, 3, 64, 0.05)
    np.testing.assert_array_equal(one.centre_um, other.centre_um)
    assert (one.centre_um != crop_cube(small_particle, 4, 8, 0.1).centre_um).any()


def test_a_particle_fills_its_cube(small_particle):
    cube = whole_cube(small_particle, 40, None)
    reach = small_particle.shell.radius_bounds[1]
    assert 19 * cube.pitch_um == pytest.approx(reach, abs=1e-3)
    x, _, _ = cube.axes()
    assert x[1] - cube.pitch_um / 2 == pytest.approx(-reach, abs=1e-3)


def test_a_particle_that_does_not_fit_says_how_many_voxels_do(small_particle):
    with pytest.raises(DatasetError, match=r"needs shape=(\d+) at pitch_um=0.05, got 32") as error:
        whole_cube(small_particle, 32, 0.05)
    needed = int(str(error.value).split("shape=")[1].split()[0])
    assert whole_cube(small_particle, needed, 0.05).edge == needed
    with pytest.raises(DatasetError, match=f"needs shape={needed}"):
        whole_cube(small_particle, needed - 1, 0.05)
