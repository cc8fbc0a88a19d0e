"""Parameters of a fit and the law of a model card that they stand for."""

import math

import numpy as np
import pytest

from cathodegrain.generator.fitting.laws.law_parameters import (
    GUESS,
    NAMES,
    TRANSVERSE,
    mean_over_ball,
    radial_law,
)

REFERENCE = 0.0012


def theta(**values):
    found = GUESS.copy()
    for name, value in values.items():
        found[NAMES.index(name)] = value
    return found


def test_intensity_is_log_linear_between_its_knots_and_its_factor_has_the_mean_one():
    law = radial_law(theta(lambda_0=0.4, **{"lambda_0.5": 0.1}, lambda_1=-0.3), REFERENCE)
    t = np.array([0.0, 0.25, 0.5, 1.0, 1.5])
    expected = REFERENCE * np.exp([0.4, 0.25, 0.1, -0.3, -0.3])
    assert law.intensity * law.markers.intensity_factor(t) == pytest.approx(expected)
    rng = np.random.default_rng(1)
    inside = law.markers.intensity_factor(np.cbrt(rng.random(200_000)))
    assert inside.mean() == pytest.approx(1, abs=4 * inside.std() / math.sqrt(len(inside)))


def test_transverse_scale_follows_seed_distance_and_aspect_ratio_everywhere():
    at = theta(lambda_0=0.5, rho_0=0.1, rho_1=1.2, k=0.3, **{"rho_0.67": 0.8})
    law = radial_law(at, REFERENCE)
    t = np.linspace(0, 1, 41)
    intensity = law.intensity * law.markers.intensity_factor(t)
    shape = (intensity * law.markers.aspect_ratio(t)) ** (2 / 3) * np.exp(0.3 * (t - 0.5))
    ratio = law.markers.transverse(t) / shape
    assert ratio == pytest.approx(np.full(41, ratio[0]))
    assert float(law.markers.transverse(np.array(0.5))) == pytest.approx(TRANSVERSE)


def test_spread_of_offsets_is_in_mean_seed_distances():
    """Twice the spread of r by a seed at the same place moves a boundary twice as far."""
    law = radial_law(theta(s_r_0=math.log(0.3), s_r_1=math.log(0.3)), REFERENCE)
    distance = law.intensity ** (-1 / 3)
    rho = float(law.markers.aspect_ratio(np.array(0.5)))
    scale = math.sqrt(TRANSVERSE) * distance / rho ** (1 / 3)
    assert law.markers.offset_spread(np.array(0.5)) == pytest.approx(0.3 * scale, rel=1e-6)


def test_tilts_are_in_degrees_and_end_at_a_right_angle():
    law = radial_law(theta(tau_0=math.log(0.1), tau_1=math.log(5.0)), REFERENCE)
    assert law.markers.tilt_deg.values == pytest.approx((math.degrees(0.1), 90.0))


def test_mean_over_ball_weighs_by_volume():
    assert mean_over_ball((0.0, 1.0), np.zeros(2)) == pytest.approx(1)
    low = mean_over_ball((0.0, 1.0), np.array([2.0, 0.0]))
    assert low < mean_over_ball((0.0, 1.0), np.array([0.0, 2.0]))
