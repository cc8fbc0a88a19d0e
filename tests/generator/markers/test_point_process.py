from functools import partial

import numpy as np
import pytest
from scipy import stats

from cathodegrain.generator.markers.point_process import CELL, sample_poisson
from cathodegrain.generator.streams import STAGES, stream

LAMBDA = 0.0012


def draw(intensity=LAMBDA, half_width=CELL, particle=0, seed=1):
    return sample_poisson(intensity, half_width, partial(stream, seed, particle))


def keys(points):
    return {tuple(row) for row in points.origin.tolist()}


def test_counts_are_poisson():
    mean = LAMBDA * CELL**3  # one cell has this mean
    points = sample_poisson(LAMBDA, 4 * CELL, partial(stream, 3, 0))
    cells, counts = np.unique(points.origin[:, :3], axis=0, return_counts=True)
    assert len(cells) == 512
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / 512)
    dispersion = counts.var(ddof=1) / mean  # 1 for a Poisson law
    assert abs(dispersion - 1) < 4 * np.sqrt(2 / 511)


def test_positions_noise_angles_and_marks_are_uniform():
    points = draw(half_width=2 * CELL)
    samples = {
        "x": (points.seeds[:, 0] / (2 * CELL) + 1) / 2,
        "y": (points.seeds[:, 1] / (2 * CELL) + 1) / 2,
        "z": (points.seeds[:, 2] / (2 * CELL) + 1) / 2,
        "noise": points.noise.ravel(),
        "angle": points.angles / np.pi,
        "marks": points.marks.ravel(),
        "orientation": points.orientation_marks.ravel(),
    }
    for name, sample in samples.items():
        assert stats.kstest(sample, "uniform").pvalue > 1e-4, name


def test_nearest_neighbour_distances_follow_the_poisson_law():
    from scipy.spatial import cKDTree

    points = draw(half_width=2 * CELL)
    inner = (np.abs(points.seeds) < CELL).all(axis=1)
    distance = cKDTree(points.seeds).query(points.seeds[inner], k=2)[0][:, 1]
    # P(D > r) = exp(-lambda 4/3 pi r^3); distances of neighbours are dependent, so compare
    # the mean with a generous count of effective samples
    transformed = 1 - np.exp(-LAMBDA * 4 / 3 * np.pi * distance**3)
    assert abs(transformed.mean() - 0.5) < 5 * np.sqrt(1 / 12 / (len(distance) / 2))


def test_a_smaller_intensity_keeps_a_subset_of_the_same_points():
    many, few = draw(0.002), draw(0.0007)
    assert keys(few) < keys(many)
    row = {key: k for k, key in enumerate(map(tuple, many.origin.tolist()))}
    same = [row[tuple(key)] for key in few.origin.tolist()]
    for name in ("seeds", "noise", "angles", "marks", "orientation_marks"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[same])


@pytest.mark.parametrize("marks", [{"noise"}, {"markers", "orientations"}, set()])
def test_marks_that_are_not_drawn_change_no_other_number(marks):
    names = {"noise": "noise", "markers": "marks", "orientations": "orientation_marks"}
    everything = draw()
    some = sample_poisson(LAMBDA, CELL, partial(stream, 1, 0), marks=marks)
    for name in ("seeds", "angles", "origin", *(names[stage] for stage in marks)):
        np.testing.assert_array_equal(getattr(some, name), getattr(everything, name))
    for stage in names.keys() - marks:
        assert getattr(some, names[stage]).shape == (len(everything), 0)


def test_a_larger_window_moves_no_point():
    inner, outer = draw(half_width=CELL), draw(half_width=2 * CELL)
    within = (np.abs(outer.seeds) <= CELL).all(axis=1)
    np.testing.assert_array_equal(outer.select(within).seeds, inner.seeds)


def test_particles_and_entropies_have_different_points():
    assert not np.isin(draw(particle=0).seeds, draw(particle=1).seeds).any()
    assert not np.isin(draw(seed=1).seeds, draw(seed=2).seeds).any()


def test_points_lie_in_the_window():
    assert np.abs(draw(half_width=2 * CELL).seeds).max() <= 2 * CELL


@pytest.mark.parametrize(
    ("intensity", "half_width"), [(0, 64), (-1, 64), (np.nan, 64), (1e-3, 100)]
)
def test_bad_input_names_the_value(intensity, half_width):
    with pytest.raises(ValueError, match="expected a positive"):
        draw(intensity, half_width)


def test_stage_names_keep_their_positions():
    # a change here changes every published particle
    assert STAGES[:6] == ("shell", "points", "noise", "angles", "orientations", "markers")
    assert STAGES[6:] == ("fit", "section", "phantom", "changes", "crops", "tilts", "sizes")


def test_streams_reproduce_the_published_numbers():
    rng = stream(7, 3, "noise", -2, 5)
    assert rng.integers(0, 2**32, 3).tolist() == [2283890874, 1650768995, 3027689313]


@pytest.mark.parametrize("reach", [20.0, 100.0, 180.0])
def test_a_reach_leaves_the_points_within_it_as_they_are(reach):
    draw = partial(stream, 3, 0)
    everything = sample_poisson(LAMBDA, 2 * CELL, draw)
    near = sample_poisson(LAMBDA, 2 * CELL, draw, reach)
    kept = np.linalg.norm(everything.seeds, axis=1) <= reach
    assert 0 < kept.sum() < len(everything)
    np.testing.assert_array_equal(near.seeds, everything.seeds[kept])
    np.testing.assert_array_equal(near.origin, everything.origin[kept])
