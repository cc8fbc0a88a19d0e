"""Numbers of simulated sections are those that a measurement of them has."""

import math
import re

import numpy as np
import pytest
from scipy.stats import kstest

from cathodegrain.generator.fitting.laws import published_numbers
from cathodegrain.generator.fitting.laws.calibration import StationaryLaw
from cathodegrain.generator.fitting.laws.common_seeds import section_labels
from cathodegrain.generator.fitting.laws.published_numbers import (
    Numbers,
    SectionView,
    contradictions,
    measured,
    problems,
)
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.section import MISSING, Section

LAW = StationaryLaw(distance_um=0.6, spread=0.3, carrier="r", aspect_ratio=1.6, tilt_deg=15.0)


def view(**changes):
    given = {"pixel_um": 0.05, "min_pixels": 4, "cuts": "central", "radius_um": 3.0}
    return SectionView(**(given | changes))


def test_numbers_are_those_of_the_descriptors_of_the_same_section():
    one = view()
    pixel = one.simulated_pixel_um(0.6)
    assert pixel == 0.05
    law = LAW.radial_law(pixel)
    found = measured(law, one, 0.6, 1, 3, 7)
    (frame,) = one.frames(0.6, 1)
    labels = section_labels(law, frame, 3, (7, 0))
    assert not (labels == MISSING).any()
    reference = section_descriptors(Section(labels, pixel, frame.centre, "reference"))
    assert reference.pixel_count.min() >= 4
    diameters = 2 * np.sqrt(reference.area_um2[~reference.cut] / math.pi)
    oriented = reference.oriented
    expected = [
        diameters.mean(), diameters.std(), reference.aspect_ratio[oriented].mean(),
        np.cos(2 * reference.theta[oriented]).mean(),
    ]  # fmt: skip
    assert list(found.numbers) == pytest.approx(expected, rel=1e-9)
    assert found.n_grains == len(diameters)


def test_random_planes_lie_uniformly_along_the_diameter_and_central_ones_at_the_centre():
    frames = [f for f in view(cuts="random").frames(0.6, 400) if f]
    heights = np.array([f.height / f.radius for f in frames])
    assert kstest(heights, "uniform", (-1, 2)).statistic < 0.02
    for frame in frames[:5]:
        area = np.count_nonzero(frame.inside)
        assert area == pytest.approx(math.pi * (60**2 - frame.height**2), rel=0.02)
    assert {frame.height for frame in view().frames(0.6, 5)} == {0.0}


def test_pixels_much_finer_than_grains_are_simulated_coarser_with_the_same_least_area():
    fine = view(pixel_um=0.01, min_pixels=36)
    assert fine.simulated_pixel_um(0.6) == pytest.approx(0.03)
    (frame,) = fine.frames(0.6, 1)
    assert frame.least_pixels == 4
    coarse = measured(LAW.radial_law(0.03), fine, 0.6, 20, 0, 7).numbers
    published_numbers.FINEST, usual = 60.0, published_numbers.FINEST
    try:
        exact = measured(LAW.radial_law(0.01), fine, 0.6, 20, 0, 7).numbers
    finally:
        published_numbers.FINEST = usual
    assert coarse[:2] == pytest.approx(exact[:2], rel=0.01)


def test_the_least_grain_and_the_planes_change_the_mean():
    def mean(**changes):
        return measured(LAW.radial_law(0.05), view(**changes), 0.6, 30, 0, 7).numbers.mean_um

    assert mean(min_pixels=1) < mean() < mean(min_pixels=25)
    assert mean(cuts="random") < mean()


def test_standard_errors_are_those_of_repeated_samples():
    samples = [measured(LAW.radial_law(0.05), view(), 0.6, 20, seed, 7) for seed in range(12)]
    spread = np.std([s.numbers[:2] for s in samples], axis=0, ddof=1)
    told = np.mean([s.errors[:2] for s in samples], axis=0)
    assert told == pytest.approx(spread, rel=0.6)


@pytest.mark.parametrize(
    ("numbers", "changes", "message"),
    [
        (Numbers(-0.6), {}, "the mean diameter is -0.6 um, expected a positive one"),
        (Numbers(math.nan), {}, "the mean diameter is nan um"),
        (Numbers(0.6, 0.0), {}, "the standard deviation is 0 um, expected a positive one"),
        (Numbers(0.6, None, 0.8), {}, "the mean aspect ratio is 0.8, expected 1 or more"),
        (Numbers(0.6, None, None, 1.5), {}, "the alignment is 1.5, expected -1 to 1"),
        (Numbers(0.6), {"min_pixels": 0}, "number of pixels of a grain is 0, expected 1 to"),
        (Numbers(0.6), {"pixel_um": 0.0}, "the edge of a pixel is 0 um"),
        (Numbers(0.6), {"radius_um": -1.0}, "the radius of particles is -1 um"),
    ],
)
def test_what_is_no_number_of_grains_is_said_in_a_sentence(numbers, changes, message):
    (found,) = problems(numbers, view(**changes))
    assert message in found


@pytest.mark.parametrize(
    ("numbers", "changes", "message"),
    [
        (Numbers(0.09), {}, "0.09 um is 1.8 pixels of 0.05 um, expected 2 or more"),
        (Numbers(0.6), {"min_pixels": 150}, "have a diameter of 0.691 um, expected less than the"),
        (Numbers(2.0), {}, "too large for particles with a radius of 3 um, expected 1.5 um or"),
        (Numbers(0.6, 0.7), {}, "is out of reach with a mean of 0.6 um: the largest .* 0.54 um"),
    ],
)
def test_numbers_that_do_not_go_together_are_said_in_a_sentence(numbers, changes, message):
    (found,) = contradictions(numbers, view(**changes))
    assert re.search(message, found)
