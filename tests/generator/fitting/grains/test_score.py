import math
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.fitting.grains import score as section_score
from cathodegrain.generator.fitting.grains.score import closed, planar_sample, twin
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.grain_model import GrainModel
from cathodegrain.generator.fitting.sections.phantom import (
    PHANTOMS,
    boundary_weights,
    phantom_section,
)
from cathodegrain.generator.fitting.sections.reconstruction import pieces, renumbered
from cathodegrain.generator.fitting.sections.section import MISSING, OUTSIDE, Section
from cathodegrain.generator.markers.marker_law import Profile
from cathodegrain.generator.markers.radial_profile import RadialProfileMarkers
from sections import disc

ELONGATED = PHANTOMS["elongated"]


@pytest.fixture(scope="module")
def sections():
    rng = np.random.default_rng(1)
    return [phantom_section(ELONGATED, rng, half_width=60) for _ in range(2)]


def section_of(labels, like):
    """As read from an image: pieces are grains of their own, small ones are lost."""
    found = pieces(labels)
    found = renumbered(found, np.bincount(found.ravel())[1:] >= section_score.LEAST_PIXELS)
    found[(labels != OUTSIDE) & (found == 0)] = MISSING
    return replace(like, labels=found)


def test_twins_have_the_pixels_of_the_section(sections):
    section, found = closed(sections[0]), twin(ELONGATED, sections[0], np.random.default_rng(0))
    rim = (found.labels == 0) != (section.labels == 0)  # gaps at the rim may close to the outside
    assert not (rim & ~(sections[0].inside & disc_rim(sections[0]))).any()
    assert not (found.labels == MISSING).any()
    assert not (section.labels == MISSING).any()
    assert found.pixel_counts.min() >= section_score.LEAST_PIXELS
    assert found.centre == section.centre


def disc_rim(section):
    """Pixels within 2 of the outside."""
    inner = disc(section.labels.shape, section.centre, 58)
    return ~inner


def test_what_is_far_from_any_grain_is_missing_from_a_twin_too(sections):
    labels = sections[0].labels.copy()
    labels[20:40, 50:70] = MISSING
    section = section_of(labels, sections[0])
    unknown = closed(section).labels == MISSING
    assert unknown[23:37, 53:67].all()
    found = twin(ELONGATED, section, np.random.default_rng(0))
    np.testing.assert_array_equal(found.labels == MISSING, unknown)


def test_gaps_at_boundaries_change_sections_and_twins_alike():
    """The same grains on both sides, once with gaps in a measured section, once in its twin.

    With the measured gaps laid over the twin, and grains that they split left whole, the mean
    aspect ratio of the twin is 4 % larger.
    """
    whole = disc((165, 165), (82, 82), 80).astype(np.int32)
    whole = Section(whole, 0.05, (82.0, 82.0), "disc")
    rng, measured, twins = np.random.default_rng(0), [], []
    for k in range(6):
        grains = twin(ELONGATED, whole, np.random.default_rng([1, k])).labels.copy()
        weights = boundary_weights(grains)
        grains[whole.inside & (rng.random(grains.shape) < 0.04 * weights / weights.mean())] = -1
        measured.append(section_of(grains, whole))
        twins.append(twin(ELONGATED, measured[-1], np.random.default_rng([1, k])))
    found, expected = planar_sample(twins), planar_sample([closed(one) for one in measured])
    means = {name: values.mean() for name, values in expected.values.items()}
    assert {name: values.mean() for name, values in found.values.items()} == pytest.approx(
        means, rel=0.012
    )
    assert found.density == pytest.approx(expected.density, rel=0.012)


def test_a_twin_is_of_a_particle_as_large_as_its_section(sections):
    """A law that is round up to half the radius and slender beyond: R is that of the disc."""
    law = RadialProfileMarkers(
        aspect_ratio=Profile((0.49, 0.51), (1.0, 4.0)), transverse=Profile((0.0,), (16.0,))
    )
    model = GrainModel(law, 0.0012)
    found = section_descriptors(twin(model, sections[0], np.random.default_rng(1)))
    t, ratio = (values[found.oriented] for values in (found.relative_radius, found.aspect_ratio))
    assert np.median(ratio[t < 0.4]) < 1.7
    assert np.median(ratio[(t > 0.6) & (t < 0.85)]) > 2.3


def test_the_score_tells_laws_apart():
    rng = np.random.default_rng(2)
    sections = [phantom_section(PHANTOMS["elongated"], rng) for _ in range(5)]
    sections = [section_of(section.labels, section) for section in sections]
    measured = planar_sample([closed(section) for section in sections])
    scores = {}
    for name in ("elongated", "compact"):
        twins = [twin(PHANTOMS[name], section, rng) for section in sections]
        scores[name] = section_score.score(planar_sample(twins), measured)
    assert scores["elongated"] < 0.3
    assert scores["compact"] > 5 * scores["elongated"]


def test_the_same_sections_have_the_score_0(sections):
    sample = planar_sample(sections)
    assert section_score.score(sample, sample) == 0


def test_without_a_whole_grain_the_score_is_infinite(sections):
    labels = np.zeros((30, 30), np.int32)
    labels[5:25, 5:15], labels[5:25, 15:25] = 1, 2
    cut = planar_sample([Section(labels, 0.05, (15.0, 15.0), "cut")])
    assert section_score.score(cut, planar_sample(sections)) == math.inf
