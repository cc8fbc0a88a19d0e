import numpy as np
import pytest

from cathodegrain.generator.fitting.grains import statistics as grain_statistics
from cathodegrain.generator.fitting.sections import grain_model as virtual_sections, phantom
from cathodegrain.generator.fitting.sections.descriptors import alignment, section_descriptors
from cathodegrain.generator.fitting.sections.grain_model import GrainModel, block
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.markers.marker_law import CONSTANT, ZERO, Markers


@pytest.fixture(scope="module")
def sections():
    rng = np.random.default_rng(0)
    return {name: phantom_section(model, rng) for name, model in PHANTOMS.items()}


@pytest.mark.parametrize("name", PHANTOMS)
def test_sections_look_like_measured_ones(sections, name):
    section = sections[name]
    assert section.missing_part == pytest.approx(phantom.MISSING, abs=0.01)
    assert section.pixel_counts.min() >= phantom.LEAST_PIXELS
    radius = np.hypot(*(np.mgrid[:231, :231] - 115))
    assert ((section.labels != 0) == (radius <= 113)).all()
    assert alignment(section_descriptors(section)).kept
    assert section.warnings == []


def test_missing_pixels_lie_mostly_at_boundaries(sections):
    section = sections["elongated"]
    near = section.without_gaps(3.0)
    border = np.zeros(near.shape, bool)
    border[:, 1:] |= near[:, 1:] != near[:, :-1]
    border[1:] |= near[1:] != near[:-1]
    missing = section.labels == -1
    assert missing[border].mean() > 2 * missing[~border & section.inside].mean()


def test_off_centre_planes_show_less_alignment():
    rng = np.random.default_rng(1)
    model = PHANTOMS["elongated"]
    values = [
        alignment(section_descriptors(phantom_section(model, rng, offset))).value
        for offset in (0.0, 90.0)
    ]
    assert values[1] < values[0] - 0.2


def test_a_section_shows_as_many_grains_as_a_voronoi_tessellation_has():
    """Poisson-Voronoi: 1.4573 lambda^(2/3) cells for each unit area of a plane (Okabe et al.)."""

    class Equal:
        intensity_factor, tilt_deg = CONSTANT, ZERO

        def markers(self, points):
            n = len(points)
            return Markers(np.ones((n, 3)), np.full(n, 5.0))

        def fields(self):
            return {}

    model = GrainModel(Equal(), 0.002)
    rng = np.random.default_rng(3)
    counts = []
    for _ in range(4):
        labels = model.section(100, rng)
        whole = np.unique(labels)
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        counts.append(len(whole) - len(edge) / 2)
    expected = 1.4573 * 0.002 ** (2 / 3) * 201**2
    assert np.mean(counts) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_margin_holds_every_seed_that_owns_a_pixel(name):
    model = PHANTOMS[name]
    middle = np.array([60.0, 0.0, 0.0])
    gbpd = model.tessellation(middle - 50, middle + 50, np.random.default_rng(4))
    inner = np.abs(gbpd.seeds - middle).max(axis=1) < 10 + (virtual_sections.SEEN * model.spacing)
    near = Tessellation(gbpd.seeds[inner], gbpd.matrices[inner], gbpd.offsets[inner])
    points = middle + np.random.default_rng(5).uniform(-10, 10, (20_000, 3))
    own = np.flatnonzero(inner)[near.labels(points)]
    assert (own != gbpd.labels(points)).mean() < 1e-3


def test_labels_of_a_block_are_those_of_its_tessellation():
    model = PHANTOMS["compact"]
    found = block(model, np.random.default_rng(6), inner=6.0, margin=10.0)
    middle = np.array([50.0, 0.0, 0.0])
    gbpd = model.tessellation(middle - 16, middle + 16, np.random.default_rng(6))
    axis = np.arange(-15.5, 16)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    expected = gbpd.labels(np.stack([x + 50, y, z], axis=-1)) + 1
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_array_equal(found.measured, np.abs(gbpd.seeds - middle).max(axis=1) < 6)
    assert found.origin == (34.0, -16.0, -16.0)


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(7)
    return [
        grain_statistics.spatial_sample([block(PHANTOMS["elongated"], rng) for _ in range(2)])
        for _ in range(2)
    ]


def test_two_samples_of_one_law_differ_by_chance_only(samples):
    n, m = (len(sample["volume"]) for sample in samples)
    bound = 1.9 * np.sqrt((n + m) / (n * m))  # KS, at the level 0.0015
    for found in grain_statistics.differences(*samples):
        assert found.ks < bound
        assert found.mean == pytest.approx(1, abs=0.25)


def test_another_law_differs_where_it_should(samples):
    rng = np.random.default_rng(8)
    other = grain_statistics.spatial_sample([block(PHANTOMS["compact"], rng) for _ in range(2)])
    found = {d.descriptor: d.ks for d in grain_statistics.differences(other, samples[0])}
    assert found["elongation"] > 0.4
    assert found["radial_angle"] > 0.3
    assert found["volume"] > 0.2


def test_mean_volume_is_one_over_the_intensity(samples):
    """Of the cells whose seeds lie in a cube: all space over all seeds, lost cells aside."""
    volume = np.concatenate([sample["volume"] for sample in samples])
    error = volume.std() / np.sqrt(len(volume))
    assert volume.mean() > 1 / PHANTOMS["elongated"].intensity - 4 * error


def test_crowded_grains_are_slender_and_small():
    model = PHANTOMS["crowded"]
    gbpd = model.tessellation(np.full(3, -40.0), np.full(3, 40.0), np.random.default_rng(9))
    values = np.linalg.eigvalsh(gbpd.matrices)
    ratio = np.sqrt(values[:, 1:].mean(axis=1) / values[:, 0])
    assert np.corrcoef(ratio, gbpd.offsets)[0, 1] < -0.9
    assert 1.3 < ratio.min() < ratio.max() < 3.2
