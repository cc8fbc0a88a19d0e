"""Sections of a law by random numbers that stay while the law changes."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr

from cathodegrain.generator.fitting.laws.common_seeds import (
    particle_seeds,
    section_grains,
    section_labels,
    section_seeds,
    seed_noise,
)
from cathodegrain.generator.fitting.laws.law_parameters import GUESS, NAMES, radial_law
from cathodegrain.generator.fitting.laws.plane_sections import plane_labels
from cathodegrain.generator.fitting.laws.section_frames import SectionFrame
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.markers.point_process import MarkedPoints
from cathodegrain.generator.markers.radial_frame import frame_axes, marker_matrices

REFERENCE, RADIUS = 0.002, 45.0


def law(**values):
    theta = GUESS.copy()
    for name, value in values.items():
        theta[NAMES.index(name)] = value
    return radial_law(theta, REFERENCE)


STEEP = law(lambda_0=0.7, lambda_1=-0.5, rho_1=1.0, k=0.2, c=0.5)


def disc(radius=RADIUS, height=0.0):
    edge = math.ceil(radius) + 2
    y, x = np.indices((2 * edge + 1, 2 * edge + 1)) - edge
    inside = np.hypot(y, x) <= radius
    return SectionFrame(inside, (float(edge), float(edge)), height, math.hypot(radius, height))


def test_markers_are_those_of_the_law_of_the_card_for_the_same_numbers():
    within, n = RADIUS + 20, 4096
    found = particle_seeds(STEEP, RADIUS, within, 1, (0, 0))
    noise = seed_noise(1, (0, 0), n)
    n = len(found.seeds)
    uniform = ndtr(noise.normals[:n].astype(float))
    away = np.linalg.norm(found.seeds, axis=1)
    points = MarkedPoints(
        seeds=found.seeds, noise=uniform, angles=noise.angles[:n].astype(float),
        marks=uniform[:, :4], orientation_marks=uniform, tilt_marks=uniform[:, 4:],
        arrivals=away, relative_radii=away / RADIUS, origin=np.zeros((n, 4), np.int32),
    )  # fmt: skip
    markers = STEEP.markers.markers(points)
    axes = frame_axes(points, STEEP.markers.tilt_deg)
    matrices = marker_matrices(axes, points.angles, markers.diagonals)
    assert found.offsets == pytest.approx(markers.offsets, rel=1e-6, abs=1e-6)
    assert found.matrices == pytest.approx(matrices, rel=1e-5, abs=1e-4)


def test_seeds_are_as_many_as_the_intensity_says_in_every_shell():
    parts = [particle_seeds(STEEP, RADIUS, RADIUS, 3, (k,)).seeds for k in range(40)]
    away = np.linalg.norm(np.concatenate(parts), axis=1) / RADIUS
    edges = np.linspace(0, 1, 5)
    t = (np.arange(4000) + 0.5) / 4000
    density = STEEP.intensity * STEEP.markers.intensity_factor(t) * 4 * np.pi * t**2 * RADIUS**3
    expected = [40 * density[(t >= a) & (t < b)].sum() / 4000 for a, b in pairwise(edges)]
    counts = np.histogram(away, edges)[0]
    assert np.abs(counts - expected).max() < 4 * math.sqrt(max(expected))
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_seeds_move_little_and_along_the_radius_when_the_law_changes_little():
    one = particle_seeds(STEEP, RADIUS, RADIUS, 3, (0,)).seeds
    other = law(lambda_0=0.7, lambda_1=-0.45, rho_1=1.0, k=0.2, c=0.5)
    two = particle_seeds(other, RADIUS, RADIUS, 3, (0,)).seeds
    n = min(len(one), len(two))
    assert abs(len(one) - len(two)) < 0.06 * n
    directions = [s[:n] / np.linalg.norm(s[:n], axis=1, keepdims=True) for s in (one, two)]
    assert directions[0] == pytest.approx(directions[1], abs=1e-9)
    assert np.linalg.norm(one[:n] - two[:n], axis=1).max() < 0.03 * RADIUS


def test_drawing_more_points_keeps_the_first_ones():
    few, many = seed_noise(5, (1, 2), 64), seed_noise(5, (1, 2), 256)
    for name in ("arrivals", "directions", "normals", "angles"):
        assert (getattr(few, name) == getattr(many, name)[:64]).all()


@pytest.mark.parametrize("height", [0.0, 25.0])
def test_seeds_near_the_plane_are_enough(height):
    frame = disc(30.0, height)
    near = section_seeds(STEEP, frame, 2, (4,))
    far = particle_seeds(STEEP, frame.radius, 2 * frame.radius + 20, 2, (4,))
    shown = [
        plane_labels(s.seeds, s.matrices, s.offsets, frame.inside, frame.centre, height)
        for s in (near, far)
    ]
    owners = [s.seeds[labels[frame.inside]] for s, labels in zip((near, far), shown, strict=True)]
    assert (owners[0] == owners[1]).all(axis=1).mean() > 0.999


def test_a_section_is_the_plane_of_a_tessellation_in_space():
    frame = disc(30.0, 10.0)
    found = section_seeds(STEEP, frame, 2, (4,))
    labels = section_labels(STEEP, frame, 2, (4,))
    y, x = np.nonzero(frame.inside)
    points = np.stack([x - frame.centre[1], y - frame.centre[0], np.full(len(x), 10.0)], axis=1)
    owners = Tessellation(found.seeds, found.matrices, found.offsets).labels(points)
    assert (labels > 0).sum() > 0.99 * len(x)  # pieces of a few pixels go outside at the rim
    agreeing = [np.bincount(owners[labels[y, x] == k]).max() for k in range(1, labels.max() + 1)]
    assert sum(agreeing) > 0.98 * len(x)


def test_grains_are_longer_along_the_radius_where_the_law_says_so():
    frame = disc()
    grains = [section_grains(STEEP, frame, 1, (k,)) for k in range(6)]
    t = np.concatenate([g.t for g in grains])
    ratio = np.concatenate([g.aspect_ratio for g in grains])
    whole = np.concatenate([g.oriented for g in grains])
    cosine = np.cos(2 * np.concatenate([g.theta for g in grains]))
    core, outer = whole & (t < 0.35), whole & (t > 0.6) & (t < 0.9)
    assert ratio[outer].mean() > 1.15 * ratio[core].mean()
    assert cosine[outer].mean() > cosine[core].mean() + 0.2
