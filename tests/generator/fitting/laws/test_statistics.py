"""Grains in bins of their distance from the centre, against the descriptors of sections."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.fitting.laws.section_frames import SectionFrame
from cathodegrain.generator.fitting.laws.statistics import (
    EDGES,
    PlaneGrains,
    bin_areas,
    bin_range,
    binned_statistics,
    measured_grains,
    merged_edges,
    statistic_names,
)
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section
from cathodegrain.generator.fitting.sections.section import Section


@pytest.fixture(scope="module")
def section():
    return phantom_section(PHANTOMS["elongated"], np.random.default_rng(5), half_width=80)


@pytest.fixture(scope="module")
def grains(section):
    return measured_grains(section, SectionFrame.of(section))


def value(numbers, k, name, edges=EDGES):
    found = [n for s, n in zip(statistic_names(edges), numbers, strict=True) if s == (k, name)]
    return found[0]


def test_measures_are_those_of_the_section_without_gaps(section, grains):
    filled = Section(section.without_gaps(math.inf), section.pixel_um, section.centre, "filled")
    expected = section_descriptors(filled)
    assert (grains.pixel_count == expected.pixel_count).all()
    assert (grains.cut == expected.cut).all()
    assert (grains.oriented == expected.oriented).all()
    assert grains.aspect_ratio == pytest.approx(expected.aspect_ratio, rel=1e-9)
    assert grains.theta == pytest.approx(expected.theta, rel=1e-7, nan_ok=True)


def test_a_grain_lies_where_its_centre_of_mass_does(section, grains):
    frame = SectionFrame.of(section, height=30.0)
    y, x = np.nonzero(section.without_gaps(math.inf) == 1)
    away = np.hypot(y.mean() - section.centre[0], x.mean() - section.centre[1])
    found = measured_grains(section, frame).t[0]
    assert found == pytest.approx(math.hypot(away, 30) / frame.radius)


def test_statistics_are_those_of_the_grains_of_each_bin(section, grains):
    frame = SectionFrame.of(section)
    areas = bin_areas([frame])
    numbers = binned_statistics(grains, areas)
    there = (grains.t >= EDGES[2]) & (grains.t < EDGES[3])
    whole = there & grains.oriented
    assert value(numbers, 2, "grains per area") == pytest.approx(math.log(there.sum() / areas[2]))
    median = np.median(grains.pixel_count[whole])
    assert math.exp(value(numbers, 2, "area, 50% quantile")) == pytest.approx(median, rel=0.02)
    cosine = np.cos(2 * grains.theta[whole])
    assert value(numbers, 2, "mean cos 2 theta") == pytest.approx(cosine.mean())
    cosine = np.cos(4 * grains.theta[whole])
    assert value(numbers, 2, "mean cos 4 theta") == pytest.approx(cosine.mean())
    r = np.corrcoef(np.log(grains.pixel_count[whole]), np.log(grains.aspect_ratio[whole]))
    assert value(numbers, 2, "correlation of area and aspect ratio") == pytest.approx(r[0, 1])


def test_beyond_the_bins_all_grains_are_counted_those_that_the_rim_cuts_too(section, grains):
    areas = bin_areas([SectionFrame.of(section)])
    numbers, beyond = binned_statistics(grains, areas), grains.t >= EDGES[-1]
    assert grains.cut[beyond].mean() > 0.5
    assert numbers[-1] == pytest.approx(math.log(beyond.sum() / areas[-1]))
    assert statistic_names()[-1] == (5, "grains per area")
    assert bin_range(EDGES, 5) == (0.88, 1.0)


def test_areas_of_bins_are_pixels(section):
    frame = SectionFrame.of(section)
    areas = bin_areas([frame, frame])
    rings = 2 * np.pi * frame.radius**2 * np.diff(np.square(EDGES))
    assert areas[:-1] == pytest.approx(rings, rel=0.02)
    assert areas.sum() == 2 * frame.inside.sum()


def test_bins_without_grains_go_to_their_neighbours(grains):
    assert merged_edges(grains) == EDGES
    outer = np.flatnonzero(grains.t > 0.6)
    few = PlaneGrains(**{k: v[outer] for k, v in vars(grains).items()})
    assert merged_edges(few) == (0.0, 0.7, 0.88)
    inner = np.flatnonzero(grains.t < 0.35)
    few = PlaneGrains(**{k: v[inner] for k, v in vars(grains).items()})
    edges = merged_edges(few)
    assert edges[-1] == 0.88
    assert len(edges) < 4


def test_a_bin_without_grains_has_numbers_all_the_same(grains):
    none = replace(grains, t=np.full(len(grains), 0.1))
    numbers = binned_statistics(none, np.full(6, 100.0))
    assert np.isfinite(numbers).all()
    assert len(numbers) == len(statistic_names()) == 71
