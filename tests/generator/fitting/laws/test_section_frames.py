"""Simulated sections are treated as measured ones are."""

import math

import numpy as np
import pytest

from cathodegrain.generator.fitting.laws.section_frames import SectionFrame
from cathodegrain.generator.fitting.sections.phantom import (
    PHANTOMS,
    boundary_weights,
    phantom_section,
)
from cathodegrain.generator.fitting.sections.reconstruction import pieces
from cathodegrain.generator.fitting.sections.section import Section


@pytest.fixture(scope="module")
def section():
    return phantom_section(PHANTOMS["elongated"], np.random.default_rng(5), half_width=60)


def voronoi(shape, n, seed):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 1, (n, 2)) * shape
    y, x = np.indices(shape)
    return np.hypot(y[..., None] - places[:, 0], x[..., None] - places[:, 1]).argmin(axis=-1)


def test_radius_is_that_of_the_sphere_whose_section_has_the_area(section):
    frame = SectionFrame.of(section, height=80.0)
    assert frame.radius == pytest.approx(100, rel=0.002)
    assert frame.t.min() == pytest.approx(0.8, rel=0.002)
    assert frame.t[frame.inside].max() == pytest.approx(1, rel=0.01)
    assert frame.farthest == 60


def test_parts_that_are_missing_are_found_again_in_mapped_sections(section):
    frame = SectionFrame.of(section)
    at_boundaries, elsewhere = frame.missing
    assert at_boundaries > 3 * elsewhere > 0
    labels = np.where(frame.inside, voronoi(frame.inside.shape, 150, 1), -1).astype(np.int32)
    chance = np.random.default_rng(2).random(labels.shape)
    shown = frame.mapped(labels, chance)
    border = frame.inside & (boundary_weights(labels + 1) > 1)
    changed = np.zeros(labels.shape, bool)  # pixels that another grain has most of the piece of
    for k in range(1, shown.max() + 1):
        changed |= (shown == k) & (labels != np.bincount(labels[shown == k].clip(0)).argmax())
    assert 0.1 < changed.sum() / (frame.inside.sum() * section.missing_part) < 1
    assert changed[border].mean() > 5 * changed[frame.inside & ~border].mean()


def test_without_missing_pixels_a_map_shows_the_pieces_of_all_grains():
    frame = SectionFrame(np.ones((40, 50), bool), (20.0, 25.0), 0.0, 25.0, least_pixels=1)
    labels = voronoi((40, 50), 30, 4).astype(np.int32) % 9
    assert (frame.mapped(labels, np.zeros((40, 50))) == pieces(labels + 1)).all()


def test_small_pieces_go_to_the_nearest_grain_as_in_a_section_without_gaps():
    frame = SectionFrame(np.ones((30, 30), bool), (15.0, 15.0), 0.0, 15.0)
    labels = (np.indices((30, 30))[1] >= 15).astype(np.int32)
    labels[10, 3:6], labels[20, 20:24] = 7, 8
    shown = frame.mapped(labels, np.zeros((30, 30)))
    assert shown.max() == 3  # two halves and the piece of four pixels
    found = pieces(labels + 1)
    numbers = np.array([0, 1, 2, -1, 3])
    measured = Section(numbers[found], 0.1, (15.0, 15.0), "halves").without_gaps(math.inf)
    assert (shown == measured).all()


def test_no_grain_of_a_map_has_a_hole_of_missing_pixels(section):
    frame = SectionFrame.of(section)
    labels = np.where(frame.inside, voronoi(frame.inside.shape, 60, 7), -1).astype(np.int32)
    assert (frame.mapped(labels, np.random.default_rng(1).random(labels.shape)) >= 0).all()
