import numpy as np
import pytest

from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.voxels.score_gaps import gap_axes
from tessellations import FAMILIES, STRESS, random_tessellation, stressed, voxel_axis


def all_gaps(gbpd, x, y, z):
    """Second least score less the least, of all scores sorted, (z, y, x)."""
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    two = np.sort(gbpd.scores(points), axis=-1)[..., :2]
    return two[..., 1] - two[..., 0]


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("most", [0.3, 2.0, 1e3])
def test_gaps_are_those_of_all_scores_up_to_the_most(family, metric, most):
    gbpd = random_tessellation(200, family, metric)
    x, y, z = voxel_axis(21), voxel_axis(18) * 0.7, voxel_axis(23) - 1.0
    expected = np.minimum(all_gaps(gbpd, x, y, z), most)
    found = gap_axes(gbpd, x, y, z, most)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * np.abs(gbpd.offsets).max())
    assert found.max() == (np.float32(most) if most < 1e3 else found.max())


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("name", STRESS)
def test_gaps_withstand_what_is_hard_on_the_arithmetic(name, metric):
    gbpd, axis = stressed(name, metric), voxel_axis(13)
    gaps = all_gaps(gbpd, axis, axis, axis)
    most = float(np.median(gaps)) or 1.0
    size = np.abs(gbpd.scores(np.zeros(3))).max()
    found = gap_axes(gbpd, axis, axis, axis, most)
    np.testing.assert_allclose(found, np.minimum(gaps, most), rtol=1e-6, atol=1e-8 * size)


def test_one_grain_wins_by_the_most_everywhere():
    gbpd = Tessellation(np.zeros((1, 3)), np.eye(3)[None], np.zeros(1))
    axis = voxel_axis(5)
    np.testing.assert_array_equal(gap_axes(gbpd, axis, axis, axis, 2.5), np.full((5,) * 3, 2.5))


def test_the_gap_of_two_equal_balls_is_the_difference_of_distances():
    gbpd = Tessellation(
        np.array([[-1.0, 0, 0], [1.0, 0, 0]]), np.stack([np.eye(3)] * 2), np.zeros(2)
    )
    x = np.linspace(-3, 3, 13)
    gaps = gap_axes(gbpd, x, np.zeros(1), np.zeros(1), 10.0)[0, 0]
    np.testing.assert_allclose(gaps, np.minimum(2 * np.abs(x), 2.0), rtol=1e-6)
