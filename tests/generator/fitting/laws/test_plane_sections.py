"""Plane cuts of a GBPD as a problem in two dimensions, against the search through all grains."""

import numpy as np
import pytest

from cathodegrain.generator.fitting.laws.plane_sections import plane_labels
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.markers.radial_frame import marker_matrices


def tessellation(metric, n=400, seed=3):
    """Elongated, tilted grains of very different offsets round the origin."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(-60, 60, (n, 3))
    diagonals = rng.uniform(0.05, 20, (n, 3))
    matrices = marker_matrices(rng.normal(size=(n, 3)), rng.uniform(0, np.pi, n), diagonals)
    return Tessellation(seeds, matrices, rng.uniform(0, 12, n), metric)


def disc(edge, centre, radius):
    y, x = np.indices((edge, edge + 7))
    return np.hypot(y - centre[0], x - centre[1]) < radius


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("height", [0.0, 17.25, -40.0])
def test_labels_are_those_of_a_search_through_all_grains(metric, height):
    gbpd, centre = tessellation(metric), (40.5, 44.0)
    inside = disc(83, centre, 39)
    labels = plane_labels(gbpd.seeds, gbpd.matrices, gbpd.offsets, inside, centre, height, metric)
    y, x = np.indices(inside.shape)
    points = np.stack([x - centre[1], y - centre[0], np.full(inside.shape, height)], axis=-1)
    expected = gbpd.labels(points)
    assert (labels[inside] == expected[inside]).all()
    assert (labels[~inside] == -1).all()
    assert len(np.unique(labels)) > 20


def test_a_shift_of_seeds_and_centre_shows_the_same_grains():
    gbpd, inside = tessellation("norm"), np.ones((50, 41), bool)
    given = gbpd.matrices, gbpd.offsets, inside
    moved = gbpd.seeds + np.array([5.0, -3.0, 2.0])
    one = plane_labels(gbpd.seeds, *given, (25.0, 20.0), 4.0)
    other = plane_labels(moved, *given, (28.0, 15.0), 6.0)
    assert (one == other).all()


def test_equal_seeds_go_to_the_lower_row():
    seeds, matrices = np.zeros((2, 3)), np.stack([np.eye(3)] * 2)
    labels = plane_labels(seeds, matrices, np.zeros(2), np.ones((5, 5), bool), (2.0, 2.0))
    assert (labels == 0).all()
