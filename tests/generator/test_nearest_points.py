"""The nearest points are those of an exhaustive search, of any points."""

import numpy as np
import pytest

from cathodegrain.generator.nearest_points import nearest


def exhaustive(points, rows, count):
    """Indices sorted by squared distance and index, without the point itself."""
    found = []
    for i in rows:
        dx, dy, dz = (points - points[i]).T
        square = dx * dx + dy * dy + dz * dz
        square[i] = -1.0
        found.append(np.argsort(square, kind="stable")[1 : count + 1])
    return np.array(found)


def clustered(rng):
    """Clusters of sizes from 1e-6 to 1, far apart, and one point farther than all."""
    centres = rng.uniform(-1000, 1000, (20, 3))
    sizes = np.geomspace(1e-6, 1, 20)[:, None, None]
    return np.vstack([(centres[:, None] + sizes * rng.normal(size=(20, 30, 3))).reshape(-1, 3),
                      [[1e6, -1e6, 0.0]]])  # fmt: skip


def lattice(rng):
    axis = np.arange(9.0)
    return rng.permutation(np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3))


POINTS = {
    "of a cube": lambda rng: rng.uniform(-50, 50, (800, 3)),
    "of a flat box": lambda rng: rng.uniform(0, [100, 100, 1], (800, 3)),
    "of a plane": lambda rng: rng.uniform(0, [100, 100, 0], (800, 3)),
    "of a line": lambda rng: rng.uniform(0, [100, 0, 0], (800, 3)),
    "far from the origin": lambda rng: 1e8 + rng.uniform(0, 1, (800, 3)),
    "in clusters": clustered,
    "of a lattice": lattice,
    "each there twice": lambda rng: np.tile(rng.uniform(0, 1, (300, 3)), (2, 1)),
    "all at one place": lambda rng: np.full((40, 3), 3.25),
    "as few as can be": lambda rng: rng.uniform(0, 1, (13, 3)),
}


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_neighbours_are_those_of_an_exhaustive_search(points, rng):
    places = points(rng)
    rows = rng.permutation(len(places))[:500]
    np.testing.assert_array_equal(nearest(places, rows, 12), exhaustive(places, rows, 12))


@pytest.mark.parametrize("count", [1, 2, 40])
def test_any_number_of_neighbours_is_found(count, rng):
    places, rows = rng.normal(size=(300, 3)), np.arange(300)
    np.testing.assert_array_equal(nearest(places, rows, count), exhaustive(places, rows, count))


def test_too_few_points_are_an_error(rng):
    with pytest.raises(ValueError, match="12 points, expected more than 12"):
        nearest(rng.uniform(0, 1, (12, 3)), np.arange(12), 12)
