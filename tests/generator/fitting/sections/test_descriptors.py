import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial import cKDTree

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.sections.descriptors import (
    alignment,
    crofton_perimeters,
    section_descriptors,
    theta_density,
)
from cathodegrain.generator.fitting.sections.section import MISSING, Section
from cathodegrain.generator.generate import generate_particle
from sections import PIXEL, disc, plane, section_of, voronoi


@pytest.fixture(scope="module")
def phantom(card):
    """Grains along the radius: phantom 1, 8 um."""
    return generate_particle(card.with_parameters({"shell.diameter_um": 8.0}), seed=3)


@pytest.fixture
def cells(rng):
    return voronoi(rng, 60)


@pytest.mark.parametrize("degrees", [0, 30, 45, 60, 90])
def test_a_rectangle_has_its_sides_and_its_angle(degrees):
    """Sides of 21 along x and 7 along y; the centre lies at an angle to its long side."""
    labels = np.zeros((60, 80), int)
    labels[20:27, 30:51] = 1
    direction = np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
    found = section_descriptors(section_of(labels, tuple(np.array([23, 40]) - 17 * direction)))
    assert found.aspect_ratio[0] == pytest.approx(3.0, rel=1e-12)
    assert found.theta[0] == pytest.approx(np.radians(degrees), abs=1e-9)
    assert found.area_um2[0] == pytest.approx(21 * 7 * PIXEL**2)
    assert found.pixel_count[0] == 147


def test_a_turned_rectangle_is_as_long_as_before():
    y, x = np.indices((200, 200)) - 100.0
    for angle in np.radians([10, 27, 73]):
        along, aside = (
            x * np.cos(angle) + y * np.sin(angle),
            y * np.cos(angle) - x * np.sin(angle),
        )
        labels = ((np.abs(along) < 60) & (np.abs(aside) < 20)).astype(int)
        found = section_descriptors(section_of(labels, (100.0, 0.0)))  # along x from it
        assert found.theta[0] == pytest.approx(angle, abs=0.005)
        assert found.aspect_ratio[0] == pytest.approx(3, rel=0.01)


def test_an_ellipse_has_the_ratio_of_its_axes():
    y, x = np.indices((121, 121)) - 60.0
    found = section_descriptors(section_of((np.hypot(x / 50, y / 20) <= 1).astype(int)))
    assert found.aspect_ratio[0] == pytest.approx(2.5, rel=0.01)


def test_a_square_has_no_axis_and_a_grain_on_the_centre_no_angle():
    labels = np.zeros((20, 30), int)
    labels[5:10, 5:10] = 1
    labels[12:15, 12:21] = 2
    found = section_descriptors(section_of(labels, (13.0, 16.0)))
    assert np.isnan(found.theta).all()
    np.testing.assert_allclose(found.aspect_ratio, [1, 3])
    assert not found.oriented.any()


@pytest.mark.parametrize("radius", [10, 30, 90])
def test_the_perimeter_of_a_disc_is_true_within_three_percent(radius):
    labels = disc((200, 200), (100.3, 99.6), radius).astype(np.int32)
    expected = 2 * np.pi * radius
    assert crofton_perimeters(labels)[0] == pytest.approx(expected, rel=0.03)


def test_the_perimeter_of_a_square_is_five_percent_too_small():
    labels = np.pad(np.ones((100, 100), np.int32), 3)
    exact = np.pi / 8 * (200 + 200 + 4 * 199 * np.sqrt(0.5))
    assert crofton_perimeters(labels)[0] == pytest.approx(exact, rel=1e-12)
    assert exact / 400 == pytest.approx(0.948, abs=0.003)


def test_perimeters_are_those_of_scikit_image(cells):
    from skimage.measure import perimeter_crofton

    found = section_descriptors(cells).perimeter_um
    for label in range(1, cells.n_grains + 1, 7):
        mask = np.pad(cells.labels == label, 1)
        assert found[label - 1] / PIXEL == pytest.approx(perimeter_crofton(mask, 4), rel=1e-9)


def test_moments_are_those_of_a_slow_loop(cells):
    found = section_descriptors(cells)
    for label in range(1, cells.n_grains + 1, 5):
        positions = np.argwhere(cells.labels == label).astype(float)
        if len(positions) < 3:
            continue
        values, vectors = np.linalg.eigh(np.cov(positions.T, bias=True) + np.eye(2) / 12)
        offset = positions.mean(axis=0) - cells.centre
        cosine = abs(vectors[:, 1] @ offset) / np.linalg.norm(offset)
        ratio = np.sqrt(values[1] / values[0])
        assert found.aspect_ratio[label - 1] == pytest.approx(ratio)
        if ratio > 1.001:
            assert np.cos(found.theta[label - 1]) == pytest.approx(cosine, abs=1e-9)


def test_neighbours_and_cut_grains_are_those_of_a_slow_loop(cells):
    found = section_descriptors(cells)
    cross = ndimage.generate_binary_structure(2, 1)
    for label in range(1, cells.n_grains + 1, 5):
        mask = cells.labels == label
        ring = np.unique(cells.labels[ndimage.binary_dilation(mask, cross) & ~mask])
        assert found.n_neighbours[label - 1] == np.count_nonzero(ring)
        assert found.cut[label - 1] == (0 in ring)


def test_the_border_of_the_image_cuts_and_missing_pixels_do_not_hide_the_outside():
    labels = np.full((20, 40), MISSING)
    labels[:6, 5:12] = 1  # at the border
    labels[8:14, 20:24] = 2
    labels[8:14, 26:30] = 3  # two missing pixels from 2
    labels[8:14, 35:] = 0
    labels[8:14, 32:34] = 4  # one missing pixel from the outside
    found = section_descriptors(section_of(labels))
    np.testing.assert_array_equal(found.cut, [True, False, False, True])
    np.testing.assert_array_equal(found.n_neighbours, [0, 1, 2, 1])


def test_hexagonal_cells_have_six_neighbours():
    j, i = np.indices((12, 12))
    seeds = np.stack([j * 12 * np.sqrt(0.75), 12 * (i + 0.5 * (j % 2))], axis=-1).reshape(-1, 2)
    y, x = np.indices((124, 144))
    nearest = cKDTree(seeds).query(np.stack([y, x], axis=-1).reshape(-1, 2))[1].reshape(y.shape)
    found = section_descriptors(section_of(np.unique(nearest, return_inverse=True)[1]
                                        .reshape(y.shape) + 1))  # fmt: skip
    assert (found.n_neighbours[~found.cut] == 6).mean() > 0.95


def test_a_quarter_turn_changes_nothing(cells):
    n = len(cells.labels)
    turned = section_of(np.rot90(cells.labels), (n - 1 - cells.centre[1], cells.centre[0]))
    one, other = section_descriptors(cells), section_descriptors(turned)
    for name in ("pixel_count", "n_neighbours", "cut"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("theta", "aspect_ratio", "perimeter_um"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)


def test_other_numbers_of_the_grains_change_their_order_only(cells, rng):
    order = rng.permutation(cells.n_grains)
    numbers = np.concatenate([[0], order + 1])
    other = section_descriptors(section_of(numbers[cells.labels], cells.centre))
    one = section_descriptors(cells)
    for name in ("theta", "aspect_ratio", "perimeter_um", "n_neighbours", "cut"):
        np.testing.assert_allclose(getattr(other, name)[order], getattr(one, name))


def test_lengths_scale_with_the_pixel(cells):
    one = section_descriptors(cells)
    other = section_descriptors(Section(cells.labels, 3 * PIXEL, cells.centre, "here"))
    np.testing.assert_allclose(other.area_um2, 9 * one.area_um2)
    np.testing.assert_allclose(other.perimeter_um, 3 * one.perimeter_um)
    np.testing.assert_array_equal(other.theta, one.theta)


@pytest.mark.parametrize("spread", [0.02, 0.4, 3.0])
def test_the_density_of_theta_integrates_to_one(rng, spread):
    theta = np.abs(rng.normal(0, spread, 40)) % (np.pi / 2)
    at = np.linspace(0, np.pi / 2, 4001)
    assert np.trapezoid(theta_density(theta, at), at) == pytest.approx(1, abs=1e-6)


def test_the_density_of_uniform_angles_is_flat_to_the_boundaries(rng):
    n = 20_000
    density = theta_density(rng.uniform(0, np.pi / 2, n), np.linspace(0, np.pi / 2, 50))
    bandwidth = n**-0.2 * np.pi / 2 / np.sqrt(12)
    error = np.sqrt(2 / np.pi / (2 * np.sqrt(np.pi) * bandwidth * n))  # of one value
    assert np.abs(density - 2 / np.pi).max() < 5 * np.sqrt(2) * error  # doubled at a boundary


def test_the_density_is_the_sum_over_reflected_angles(rng):
    theta = rng.uniform(0, 1, 50)
    at = np.linspace(0, np.pi / 2, 9)
    bandwidth = 50**-0.2 * theta.std(ddof=1)
    mirrored = np.concatenate([theta, -theta, np.pi - theta])
    expected = stats.norm.pdf(at[:, None], mirrored, bandwidth).sum(axis=1) / 50
    np.testing.assert_allclose(theta_density(theta, at), expected, atol=1e-9)


def test_equal_angles_have_no_density():
    with pytest.raises(FitError, match=r"3 angles, all 0\.5, have no density"):
        theta_density(np.full(3, 0.5), np.zeros(1))


def test_angles_without_preference_are_rejected_as_often_as_the_level_says(rng):
    """Uniform angles; and the normal law of the alignment, by its exact variance."""
    n, repeats, level = 50, 4000, 0.05
    values = np.cos(2 * rng.uniform(0, np.pi / 2, (repeats, n))).mean(axis=1)
    assert values.var() == pytest.approx(1 / (2 * n), rel=5 * np.sqrt(2 / repeats))
    kept = (stats.norm.sf(values * np.sqrt(2 * n)) < level).mean()
    assert kept == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / repeats))


def test_sections_without_preferred_orientation_are_kept_at_most_as_often_as_the_level(rng):
    """Cells at the rim that are left whole lie across: the test is on the safe side."""
    found = [alignment(section_descriptors(voronoi(rng, 45)), level=0.05) for _ in range(60)]
    scores = np.array([a.value * np.sqrt(2 * a.n_grains) for a in found])
    assert scores.std(ddof=1) == pytest.approx(1, abs=4 / np.sqrt(2 * 59))
    assert -1 < scores.mean() < 3 / np.sqrt(60)
    assert sum(a.kept for a in found) <= 60 * 0.05 + 4 * np.sqrt(60 * 0.05 * 0.95)


def test_a_central_section_is_kept_and_one_near_the_surface_is_not(phantom):
    central = [alignment(section_descriptors(plane(phantom, 0.0, axis))) for axis in range(3)]
    assert all(a.kept and a.value > 0.75 for a in central)
    off = alignment(section_descriptors(plane(phantom, 0.9)))
    assert not off.kept
    assert off.sentence.startswith("rejected: alignment")
    assert "no preferred orientation at the level 0.01" in off.sentence


def test_alignment_falls_with_the_distance_from_the_centre(phantom):
    parts = (0.0, 0.25, 0.5, 0.75)
    values = [alignment(section_descriptors(plane(phantom, part))).value for part in parts]
    assert np.all(np.diff(values) < -0.05)


def test_a_least_alignment_rejects_what_is_significant(phantom):
    found = section_descriptors(plane(phantom, 0.5))
    assert alignment(found).kept
    strict = alignment(found, least_alignment=0.6)
    assert not strict.kept
    assert "below the least alignment 0.6" in strict.sentence


def test_grains_that_lie_across_are_no_reason_to_keep_a_section():
    labels = np.zeros((90, 90), int)
    for k, angle in enumerate(np.linspace(0, 2 * np.pi, 24, endpoint=False), start=1):
        y, x = np.indices(labels.shape) - 45.0
        radial, across = (
            x * np.cos(angle) + y * np.sin(angle),
            y * np.cos(angle) - x * np.sin(angle),
        )
        labels[(np.abs(radial - 30) < 1.5) & (np.abs(across) < 3.3)] = k
    labels[labels == 0] = MISSING
    labels[[0, -1]] = 0
    found = alignment(section_descriptors(section_of(labels, (45.0, 45.0))))
    assert found.value < -0.9
    assert found.p_value > 0.999
    assert not found.kept


def test_a_section_without_whole_grains_has_no_alignment():
    labels = np.array([[1, 1, 2, 2]] * 4)
    with pytest.raises(FitError, match="none of the 2 grains is whole with 8 pixels or more"):
        alignment(section_descriptors(section_of(labels)))


@pytest.mark.parametrize("rule", [{"level": 0.0}, {"level": 1.5}, {"least_alignment": -0.1}])
def test_a_rule_out_of_range_is_refused(cells, rule):
    with pytest.raises(FitError, match="expected a level between 0 and 1"):
        alignment(section_descriptors(cells), **rule)
