import numpy as np
import pytest

from cathodegrain.generator.voxels.shape_kernels import (
    angles_between_lines,
    cube_roots,
    principal,
)

EPS = np.finfo(float).eps


def principal_of(matrices):
    matrices = np.ascontiguousarray(matrices, np.float64)
    values, axes = np.empty((2, len(matrices), 3))
    principal(matrices, values, axes)
    return values, axes


def covariances(rng, n=5000):
    """Of grains from one voxel to thousands thick, in all directions."""
    rotations = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    widths = 10.0 ** rng.uniform(-1, 3, (n, 3))
    matrices = np.einsum("nij,nj,nkj->nik", rotations, widths**2, rotations) + np.eye(3) / 12
    return (matrices + matrices.transpose(0, 2, 1)) / 2


def test_eigenvalues_are_those_of_lapack_within_rounding_of_the_largest(rng):
    matrices = covariances(rng)
    values, _ = principal_of(matrices)
    expected = np.linalg.eigvalsh(matrices)[:, ::-1]
    assert np.all(np.abs(values - expected) <= 20 * EPS * expected[:, :1])


def test_the_axis_is_that_of_lapack_within_rounding_over_the_gap(rng):
    matrices = covariances(rng)
    _, axes = principal_of(matrices)
    values, vectors = np.linalg.eigh(matrices)
    gap = (values[:, 2] - values[:, 1]) / values[:, 2]
    apart = np.linalg.norm(np.cross(axes, vectors[:, :, 2]), axis=1)
    assert np.all(apart * gap <= 20 * EPS)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, rtol=2 * EPS)


@pytest.mark.parametrize(
    ("diagonal", "values", "axis"),
    [
        ((0.3, 7.0, 2.0), (7.0, 2.0, 0.3), (0, 1, 0)),
        ((1 / 12, 1 / 12, 1 / 12), (1 / 12, 1 / 12, 1 / 12), (1, 0, 0)),  # one voxel
        ((1.0, 2.0, 2.0), (2.0, 2.0, 1.0), (0, 1, 0)),
        ((0.0, 0.0, 1e9), (1e9, 0.0, 0.0), (0, 0, 1)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1, 0, 0)),
    ],
)
def test_a_diagonal_matrix_has_its_entries_exactly(diagonal, values, axis):
    found, axes = principal_of([np.diag(diagonal)])
    assert found[0].tolist() == list(values)
    assert axes[0].tolist() == list(axis)


def test_a_matrix_of_rank_one_has_its_own_direction():
    line = np.array([1.0, -2.0, 2.0])
    values, axes = principal_of([np.outer(line, line)])
    np.testing.assert_allclose(values[0], [9, 0, 0], atol=20 * EPS * 9)
    np.testing.assert_allclose(axes[0], -line / 3, rtol=20 * EPS)  # -2 comes before 2


def test_permuted_axes_permute_the_axis_and_keep_the_values(rng):
    matrices, order = covariances(rng), [2, 0, 1]
    values, axes = principal_of(matrices)
    others, permuted = principal_of(matrices[:, order][:, :, order])
    assert np.all(np.abs(values - others) <= 20 * EPS * values[:, :1])
    gap = (values[:, 0] - values[:, 1]) / values[:, 0]
    apart = np.linalg.norm(np.cross(axes[:, order], permuted), axis=1)
    assert np.all(apart * gap <= 20 * EPS)


def test_the_largest_component_of_an_axis_is_positive(rng):
    _, axes = principal_of(covariances(rng))
    largest = np.abs(axes).argmax(axis=1)
    assert np.all(axes[np.arange(len(axes)), largest] > 0)


def test_cube_roots_are_right_within_rounding(rng):
    numbers = np.concatenate([[0.0, 1.0, 8.0, 1e-12, 1e12], 10.0 ** rng.uniform(-12, 12, 5000)])
    roots = np.empty(len(numbers))
    cube_roots(numbers, roots)
    np.testing.assert_allclose(roots, np.cbrt(numbers), rtol=4 * EPS)


def test_angles_are_those_of_the_arc_tangent_within_rounding(rng):
    angles = np.concatenate([10.0 ** rng.uniform(-9, 0, 2000), rng.uniform(0, 90, 2000)])
    lines = np.tile([1e-7, 0.0, 0.0], (len(angles), 1))
    radians = np.radians(angles)
    others = np.column_stack([-np.cos(radians), np.zeros(len(angles)), 1e3 * np.sin(radians)])
    others[:, 0] *= 1e3
    found = np.empty(len(angles))
    angles_between_lines(lines, others, found)
    expected = np.degrees(np.arctan2(others[:, 2], -others[:, 0]))
    np.testing.assert_allclose(found, expected, rtol=20 * EPS)


def test_angles_of_parallel_perpendicular_and_missing_lines():
    lines = np.array([[0.0, 2, 0], [0.0, 2, 0], [0.0, 0, 0], [np.nan, 1, 0]])
    others = np.array([[0.0, -1, 0], [1.0, 0, 3], [1.0, 0, 0], [1.0, 0, 0]])
    found = np.empty(4)
    angles_between_lines(lines, others, found)
    np.testing.assert_array_equal(found, [0, 90, np.nan, np.nan])
