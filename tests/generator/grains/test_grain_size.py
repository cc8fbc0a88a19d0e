"""The size of grains in space: of known tessellations, and of what cards state."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaln

from cathodegrain.generator.grains import grain_size as module
from cathodegrain.generator.grains.grain_size import GrainLaws, grain_size
from cathodegrain.generator.markers.marker_law import (
    ZERO,
    Markers,
    Profile,
    RadialMarkers,
    Uniform,
)
from cathodegrain.generator.markers.radial_profile import RadialProfileMarkers
from cathodegrain.generator.model_card import ModelCard

ONE = Markers(np.ones((1, 3)), np.ones(1))


def laws(intensity=0.001, scale=1.0, **changes):
    """Equal isotropic markers: the Voronoi tessellation of Poisson points."""
    d, one = 16 / scale**2, Uniform(1.0, 1.0)
    law = RadialMarkers(transverse=Uniform(d, d), aspect_ratio=one, offset=Uniform(0.0, 0.0))
    fields = {
        "law": law, "factors": ONE, "intensity": intensity / scale**3, "metric": "norm",
        "tilt_deg": ZERO,
    }  # fmt: skip
    return GrainLaws(**fields | changes)


@pytest.fixture(scope="module")
def voronoi():
    return grain_size(laws())


def gamma_moment(power, shape):
    """E V^power of a gamma law of mean 1."""
    return np.exp(gammaln(shape + power) - gammaln(shape) - power * np.log(shape))


def test_poisson_voronoi_cells_have_their_known_size(voronoi):
    """Volumes have the variance 0.179 / lambda^2 (Gilbert 1962) and nearly a gamma law.

    (Lazar et al., Phys. Rev. E 88, 063309, 2013: deviations below 1 % for the third root.)
    """
    shape = 1 / 0.179
    first, second = gamma_moment(1 / 3, shape), gamma_moment(2 / 3, shape)
    ball = np.cbrt(6 / np.pi / 0.001)
    std = ball * np.sqrt(second - first**2)
    error = 4 * std / np.sqrt(voronoi.n_grains)
    assert abs(voronoi.mean - ball * first) < error + 0.005 * voronoi.mean
    assert abs(voronoi.std - std) < error / np.sqrt(2) + 0.03 * std


def test_as_many_grains_are_measured_as_seed_points_lie_in_the_ball(voronoi):
    expected = 4 / 3 * np.pi * module.RADIUS**3
    assert abs(voronoi.n_grains - expected) < 4 * np.sqrt(expected)


def test_the_size_is_the_same_whenever_it_is_asked_for(voronoi):
    assert grain_size(laws()) == voronoi
    assert grain_size(laws(), seed=1) != voronoi


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_similar_laws_have_similar_grains(scale, voronoi):
    found = grain_size(laws(scale=scale))
    assert found.n_grains == voronoi.n_grains
    assert found.mean == pytest.approx(scale * voronoi.mean, rel=1e-9)
    assert found.std == pytest.approx(scale * voronoi.std, rel=1e-9)


def test_balls_are_independent_and_pooled(voronoi):
    both = grain_size(laws(), n_balls=2)
    rest = both.n_grains - voronoi.n_grains
    mean = (both.mean * both.n_grains - voronoi.mean * voronoi.n_grains) / rest
    assert mean != voronoi.mean
    error = voronoi.std * np.sqrt(1 / rest + 1 / voronoi.n_grains)
    assert abs(mean - voronoi.mean) < 4 * error


@pytest.mark.parametrize(
    "name", ["nmc811-radial", "nmc811-rods", pytest.param("nmc811", marks=pytest.mark.slow)]
)
def test_shipped_cards_state_the_size_that_their_law_has(name):
    card = ModelCard.load(name)
    stated = card.grains["size"]
    other = grain_size(card.laws, seed=5)  # of other points than the statement
    mean, std = card.pixel_um * other.mean, card.pixel_um * other.std
    error = stated["std_um"] * np.sqrt(1 / other.n_grains + 1 / stated["n_grains"])
    assert abs(mean - stated["mean_um"]) < 4 * error
    assert abs(std - stated["std_um"]) < 4 * error
    assert stated["n_grains"] > 4000  # its mean is known to 0.4 %


def test_more_seed_points_at_the_surface_make_smaller_grains(voronoi):
    law = RadialProfileMarkers(
        intensity_factor=Profile((0.0, 0.6, 0.61), (1.0, 1.0, 2.0)),
        aspect_ratio=Profile((0.0,), (1.0,)),
        transverse=Profile((0.0,), (16.0,)),
    )
    denser = grain_size(replace(laws(), law=law))
    assert denser.mean < 0.95 * voronoi.mean
