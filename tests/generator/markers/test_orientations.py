import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from cathodegrain.generator.markers.orientations import (
    c_axes,
    multiply,
    sample_orientations,
    tangents,
)

N = 4000


@pytest.fixture
def directions(rng):
    x = rng.normal(size=(N, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_no_model_no_orientations(directions, rng):
    assert sample_orientations("none", 15.0, directions, rng.random((N, 3))) is None


def test_quaternions_turn_vectors_as_documented(rng):
    q = rng.normal(size=(20, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    reference = Rotation.from_quat(q[:, [1, 2, 3, 0]])  # scipy: scalar last
    np.testing.assert_allclose(c_axes(q), reference.apply([0, 0, 1]), atol=1e-12)
    p = np.roll(q, 1, axis=0)
    both = Rotation.from_quat(p[:, [1, 2, 3, 0]]) * reference
    np.testing.assert_allclose(c_axes(multiply(p, q)), both.apply([0, 0, 1]), atol=1e-12)


def test_uniform_orientations_are_uniform(directions, rng):
    q = sample_orientations("uniform", 15.0, directions, rng.random((N, 3)))
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1, atol=1e-15)
    for axis in ([1, 0, 0], [0, 1, 0], [0, 0, 1]):
        turned = Rotation.from_quat(q[:, [1, 2, 3, 0]]).apply(axis)
        for component in turned.T:  # each is uniform on [-1, 1] on the sphere
            assert stats.kstest((component + 1) / 2, "uniform").pvalue > 1e-4
    angle = Rotation.from_quat(q[:, [1, 2, 3, 0]]).magnitude()
    law = (angle - np.sin(angle)) / np.pi  # of the rotation angle of a uniform rotation
    assert stats.kstest(law, "uniform").pvalue > 1e-4


def test_radial_model_tilts_the_c_axis_out_of_the_tangent_plane_by_a_normal_angle(directions, rng):
    q = sample_orientations("radial", 10.0, directions, rng.random((N, 3)))
    tilt = np.degrees(np.arcsin(np.clip(np.einsum("ni,ni->n", c_axes(q), directions), -1, 1)))
    assert stats.kstest(tilt / 10.0, "norm").pvalue > 1e-4


def test_radial_model_is_uniform_about_the_radius(directions, rng):
    q = sample_orientations("radial", 0.0, directions, rng.random((N, 3)))
    first, second = tangents(directions)
    c = c_axes(q)
    azimuth = np.arctan2(np.einsum("ni,ni->n", c, second), np.einsum("ni,ni->n", c, first))
    assert stats.kstest(azimuth / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-4


def test_equal_marks_give_equal_bits(directions, rng):
    marks = rng.random((N, 3))
    a, b = (sample_orientations("radial", 15.0, directions, marks) for _ in range(2))
    np.testing.assert_array_equal(a, b)
