import numpy as np
import pytest

from cathodegrain.generator.grains.misorientation import PROPER_ROTATIONS, disorientation_deg
from cathodegrain.generator.markers.orientations import multiply

ONE = np.array([[1.0, 0, 0, 0]])


def turned(axis, degrees):
    half = np.radians(degrees) / 2
    axis = np.asarray(axis) / np.linalg.norm(axis)
    return np.array([[np.cos(half), *(np.sin(half) * axis)]])


def matrices(q):
    w, x, y, z = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def random_rotations(rng, n):
    q = rng.normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [
        ([0, 0, 1], 0, 0),
        ([0, 0, 1], 25, 25),
        ([0, 0, 1], 120, 0),  # the three-fold axis
        ([0, 0, 1], 60, 60),  # there is no six-fold axis
        ([0, 0, 1], 180, 60),
        ([1, 0, 0], 180, 0),  # the two-fold axis a
        ([0.5, np.sqrt(3) / 2, 0], 180, 0),
        ([0, 1, 0], 180, 60),  # no two-fold axis: a turn about c by 180 brings it back to a
        ([1, 0, 0], 70, 70),
        ([1, 0, 0], 110, 70),
        ([0, 1, 0], 90, 90),  # c-axes at right angles
    ],
)
def test_rotations_about_axes_of_the_crystal(axis, degrees, expected):
    assert disorientation_deg(ONE, turned(axis, degrees)) == pytest.approx(expected, abs=1e-5)


def test_the_symmetries_are_a_group_of_six():
    products = [multiply(a[None], b[None])[0] for a in PROPER_ROTATIONS for b in PROPER_ROTATIONS]
    same = np.abs(np.array(products) @ PROPER_ROTATIONS.T) > 1 - 1e-12
    assert (same.sum(axis=1) == 1).all()
    assert (same.sum(axis=0) == 6).all()


def test_it_is_the_smallest_angle_over_all_pairs_of_symmetries(rng):
    p, q = random_rotations(rng, 50), random_rotations(rng, 50)
    group = matrices(PROPER_ROTATIONS)
    expected = np.full(50, 180.0)
    for a in group:
        for b in group:
            product = (matrices(p) @ a).transpose(0, 2, 1) @ (matrices(q) @ b)
            trace = np.trace(product, axis1=1, axis2=2)
            angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
            expected = np.minimum(expected, angle)
    np.testing.assert_allclose(disorientation_deg(p, q), expected, atol=1e-5)


def test_neither_the_sample_nor_the_order_nor_the_symmetry_matters(rng):
    p, q, r = (random_rotations(rng, 50) for _ in range(3))
    angles = disorientation_deg(p, q)
    np.testing.assert_allclose(disorientation_deg(q, p), angles, atol=1e-5)
    np.testing.assert_allclose(
        disorientation_deg(multiply(r, p), multiply(r, q)), angles, atol=1e-5
    )
    symmetry = PROPER_ROTATIONS[rng.integers(0, 6, 50)]
    np.testing.assert_allclose(disorientation_deg(multiply(p, symmetry), q), angles, atol=1e-5)


def test_no_angle_is_above_the_bound_of_the_group(rng):
    """2 arccos(sqrt(3) / (2 sqrt(2))) = 104.48 degrees for 32."""
    angles = disorientation_deg(random_rotations(rng, 20000), random_rotations(rng, 20000))
    bound = np.degrees(2 * np.arccos(np.sqrt(3 / 8)))
    assert bound == pytest.approx(104.4775)
    assert angles.max() <= bound
    assert angles.max() > bound - 3
