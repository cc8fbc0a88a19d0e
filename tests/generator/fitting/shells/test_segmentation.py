import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.shells import segmentation as nano_ct
from cathodegrain.generator.fitting.shells.segmentation import SegmentationSettings
from cathodegrain.generator.progress import Step

SETTINGS = SegmentationSettings()


def quiet(message, part):
    pass


def ball(shape, centre, radius):
    grid = np.indices(shape)
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


@pytest.fixture(scope="module")
def scene():
    """Three balls inside, one cut by the border, a speck, a rod: bool (40, 50, 60)."""
    shape = (40, 50, 60)
    mask = np.zeros(shape, bool)
    for centre, radius in [((12, 12, 12), 8), ((20, 36, 20), 9), ((24, 20, 40), 10)]:
        mask |= ball(shape, centre, radius)
    mask |= ball(shape, (0, 40, 52), 6)
    mask[35, 5, 50:52] = True
    mask[34, 42, 3:57] = True
    return mask


def grey(mask, noise=0.1, dtype=np.float32):
    rng = np.random.default_rng(3)
    blurred = ndimage.gaussian_filter(mask.astype(float), 1.0)
    values = 100 + 80 * (blurred + noise * rng.standard_normal(mask.shape))
    return values.astype(dtype)


def test_whole_particles_of_a_segmented_volume_are_found(scene):
    found = nano_ct.segmented_binary(scene.astype(np.uint8) * 255, SETTINGS, quiet)
    assert found.n_particles == 3
    volumes = [int(found.mask(k).sum()) for k in (1, 2, 3)]
    expected = [int(ball(scene.shape, c, r).sum()) for c, r in
                [((12, 12, 12), 8), ((24, 20, 40), 10), ((20, 36, 20), 9)]]  # fmt: skip
    assert sorted(volumes) == sorted(expected)


def test_steps_say_what_was_dropped_and_why(scene):
    steps = nano_ct.segmented_binary(scene, SETTINGS, quiet).steps
    assert [step.name for step in steps] == ["phase", "watershed", "merging", "border"]
    assert "2 without one dropped" in steps[2].remark  # the speck and the rod
    assert steps[3] == Step("border", 3, "1 touch the border of the window: dropped")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_grey_levels_of_any_type_give_the_particles(scene, dtype):
    found = nano_ct.segmented_grey(grey(scene, dtype=dtype), SETTINGS, quiet)
    assert found.n_particles == 3
    whole = nano_ct.segmented_binary(scene, SETTINGS, quiet)
    overlap = ((found.labels > 0) & (whole.labels > 0)).sum() / (whole.labels > 0).sum()
    assert overlap > 0.93


def test_otsus_threshold_is_that_of_scikit_image(scene):
    from skimage.filters import threshold_otsu

    values = grey(scene)
    smooth = ndimage.gaussian_filter(values, 1.8, output=np.float32)
    _, step = nano_ct.bright_phase(values, 1.8)
    found = float(step.remark.split("threshold ")[1].split(":")[0])
    assert found == pytest.approx(threshold_otsu(smooth, nbins=nano_ct.CLASSES), rel=1e-4)


def test_depth_is_the_exact_distance(scene):
    exact = ndimage.distance_transform_edt(scene) ** 2
    np.testing.assert_array_equal(nano_ct.squared_depth(scene), np.rint(exact))


def test_pieces_of_a_label_become_labels_and_touching_labels_stay_apart():
    labels = np.zeros((12, 12, 30), np.uint16)
    labels[3:9, 3:9, 2:8] = 7
    labels[3:9, 3:9, 12:18] = 7
    labels[3:9, 3:9, 18:24] = 9
    found = nano_ct.segmented_labels(labels, SETTINGS, quiet)
    assert found.n_particles == 3
    assert found.steps[0] == Step("pieces", 3, "1 more than labels: disconnected pieces")


def test_a_small_component_goes_to_the_neighbour_with_most_faces():
    labels = np.zeros((20, 20, 30), np.int32)
    labels[5:15, 5:15, 3:12] = 1
    labels[5:15, 5:15, 13:24] = 2
    labels[9, 9:12, 12] = 3  # three faces to 1 and to 2, and one more to 1
    labels[9, 8, 12] = 1
    settled, step = nano_ct.merged(labels.copy(), SETTINGS)
    assert set(np.unique(settled)) == {0, 1, 2}
    assert (settled[9, 9:12, 12] == 1).all()
    assert "1 merged with a neighbour, 0 without one dropped" in step.remark
    assert settled.astype(bool).sum() == labels.astype(bool).sum()


def test_sphericity_of_large_balls_and_of_a_rod():
    mask = ball((61, 61, 61), (30, 30, 30), 25)
    assert nano_ct.sphericity(mask) == pytest.approx(0.93, abs=0.02)
    rod = np.ones((1, 1, 54), bool)
    assert nano_ct.sphericity(rod) < 0.5


def test_memory_stays_below_twelve_bytes_for_each_voxel():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal((96, 128, 128)).astype(np.float32), 4)
    values = (noise / noise.max() * 100 + 120).astype(np.uint8)
    nano_ct.segmented_grey(values, SETTINGS, quiet)  # compiles
    tracemalloc.start()
    nano_ct.segmented_grey(values, SETTINGS, quiet)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * values.size


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 5, 5), np.uint8), "all grey levels are 0: the volume is empty"),
        (np.full((5, 5, 5), np.nan), "holds NaN or infinite values"),
        (np.full((5, 5, 5), 7, np.uint16), "all grey levels are 7"),
    ],
)
def test_a_grey_volume_without_particles_is_refused(values, message):
    with pytest.raises(FitError, match=message):
        nano_ct.segmented_grey(values, SETTINGS, quiet)


def test_one_nan_is_enough(scene):
    values = grey(scene)
    values[3, 4, 5] = np.nan
    with pytest.raises(FitError, match=r"holds NaN or infinite values, .*nan_to_num"):
        nano_ct.segmented_grey(values, SETTINGS, quiet)


def test_a_segmented_volume_has_two_values(scene):
    with pytest.raises(FitError, match=r"has the values 0, 1, 2, expected two, .*--labelled"):
        nano_ct.segmented_binary(scene.astype(int) + (np.indices(scene.shape)[0] > 30), SETTINGS,
                                 quiet)  # fmt: skip
    with pytest.raises(FitError, match="0% of the volume is particle"):
        nano_ct.segmented_binary(np.zeros((4, 4, 4), bool), SETTINGS, quiet)


def test_labels_are_whole_numbers(scene):
    with pytest.raises(FitError, match="labels have the type float64"):
        nano_ct.segmented_labels(scene.astype(float), SETTINGS, quiet)
    with pytest.raises(FitError, match="the least value -1"):
        nano_ct.segmented_labels(scene.astype(int) - 1, SETTINGS, quiet)


def test_a_volume_without_whole_particles_says_where_they_went():
    mask = ball((20, 20, 20), (0, 10, 10), 6)
    with pytest.raises(FitError, match=r"no whole particle .*1 touch the border.*larger part"):
        nano_ct.segmented_binary(mask, SETTINGS, quiet)


@pytest.mark.parametrize("change", [{"sigma": -1}, {"neck": 1.5}, {"min_sphericity": np.nan}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(FitError, match=f"{next(iter(change))} is .*, expected"):
        SegmentationSettings(**change)
