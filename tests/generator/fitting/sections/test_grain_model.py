"""Grain models whose law runs from the centre to the surface."""

import numpy as np
import pytest

from cathodegrain.generator.fitting.sections.grain_model import GrainModel, block
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, RODS, TILTED
from cathodegrain.generator.markers.marker_law import Profile
from cathodegrain.generator.markers.radial_profile import RadialProfileMarkers

SLENDER = RadialProfileMarkers(aspect_ratio=Profile((0.0,), (2.0,)), transverse=Profile((0,), (9,)))


def points(model, half, seed=0):
    return model.points(np.full(3, -half), np.full(3, half), np.random.default_rng(seed))


@pytest.mark.parametrize("name", PHANTOMS)
def test_relative_radii_are_distances_in_space_over_the_radius(name):
    found = points(PHANTOMS[name], 60.0)
    expected = np.linalg.norm(found.seeds, axis=1) / PHANTOMS[name].radius
    np.testing.assert_allclose(found.relative_radii, expected, rtol=1e-14)


def test_seeds_are_as_dense_as_the_law_says_at_every_distance():
    model = GrainModel(RODS, 0.001, radius=50.0)
    t = points(model, 50.0).relative_radii
    edges = np.linspace(0, 1, 6)
    inner = np.linspace(edges[:-1], edges[1:], 2001)
    density = model.intensity * RODS.intensity_factor(inner) * 4 * np.pi * (50 * inner) ** 2 * 50
    expected = np.trapezoid(density, inner, axis=0)
    found = np.histogram(t, edges)[0]
    assert (np.abs(found - expected) < 4 * np.sqrt(expected)).all()


def test_a_constant_factor_is_another_intensity():
    doubled = RadialProfileMarkers(
        intensity_factor=Profile((0.0,), (2.0,)),
        aspect_ratio=SLENDER.aspect_ratio,
        transverse=SLENDER.transverse,
    )
    one, other = points(GrainModel(doubled, 0.001), 40.0), points(GrainModel(SLENDER, 0.002), 40.0)
    np.testing.assert_array_equal(one.seeds, other.seeds)


def long_axes(model, half):
    """Angle, degrees, between the long axis of each unit ball and the radius of its seed."""
    gbpd = model.tessellation(np.full(3, -half), np.full(3, half), np.random.default_rng(1))
    axes = np.linalg.eigh(gbpd.matrices)[1][:, :, 0]
    radial = gbpd.seeds / np.linalg.norm(gbpd.seeds, axis=1, keepdims=True)
    return np.degrees(np.arccos(np.abs((axes * radial).sum(axis=1)).clip(max=1)))


def test_axes_are_tilted_as_the_law_says():
    """The length of two normal angles of 25 degrees has a mean of 25 sqrt(pi / 2)."""
    angles = long_axes(GrainModel(TILTED, 0.0012), 50.0)
    error = 25 * np.sqrt(2 - np.pi / 2) / np.sqrt(len(angles))
    assert angles.mean() == pytest.approx(25 * np.sqrt(np.pi / 2), abs=4 * error + 0.3)
    assert long_axes(GrainModel(SLENDER, 0.0012), 40.0).max() < 0.5


def test_measured_grains_lie_in_the_particle_and_know_where():
    model = PHANTOMS["rods"]
    found = block(model, np.random.default_rng(3), (100.0, 0.0, 0.0), inner=20.0, margin=10.0)
    assert found.measured.any()
    assert found.relative_radii[found.measured].max() < 1
    assert (~found.measured & (found.relative_radii > 1)).any()


def test_a_particle_of_another_size_has_the_same_law_at_the_same_relative_radius():
    """Markers follow t, and t follows the radius."""
    small, large = GrainModel(RODS, 0.001, radius=50.0), GrainModel(RODS, 0.001, radius=100.0)
    one, other = points(small, 50.0), points(large, 100.0, seed=1)
    for low, high in ((0.0, 0.2), (0.7, 1.0)):
        ratios = []
        for found in (one, other):
            own = (found.relative_radii >= low) & (found.relative_radii < high)
            d = RODS.markers(found).diagonals[own]
            ratios.append(np.sqrt(np.sqrt(d[:, 1] * d[:, 2]) / d[:, 0]))
        medians = [np.median(ratio) for ratio in ratios]
        error = 1.25 * 0.15 * np.sqrt(sum(1 / len(ratio) for ratio in ratios))  # of logarithms
        assert np.log(medians[0] / medians[1]) == pytest.approx(0, abs=4 * error)
