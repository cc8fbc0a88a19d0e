"""The law with profiles against its closed form, at stated relative radii."""

from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.markers.marker_law import Markers, Profile
from cathodegrain.generator.markers.point_process import MarkedPoints
from cathodegrain.generator.markers.radial_profile import RadialProfileMarkers

N = 40_000
LAW = RadialProfileMarkers(
    intensity_factor=Profile((0.3, 1.0), (1.3, 0.8)),
    aspect_ratio=Profile((0.2, 0.4, 1.0), (1.0, 2.0, 3.0)),
    transverse=Profile((0.0, 1.0), (9.0, 16.0)),
    offset=Profile((0.0, 1.0), (-1.0, 3.0)),
    core_radius=0.3,
)
SPREAD = replace(
    LAW,
    aspect_spread=Profile((0.0,), (0.2,)),
    transverse_spread=Profile((0.0, 1.0), (0.3, 0.5)),
    flatness_spread=Profile((0.0,), (0.3,)),
    offset_spread=Profile((0.0,), (2.0,)),
    correlation=Profile((0.0,), (0.6,)),
)


def points_at(t):
    """Points with random marks at the relative radii ``t`` (n,)."""
    rng, n = np.random.default_rng(3), len(t)
    return MarkedPoints(
        seeds=rng.normal(size=(n, 3)),
        noise=rng.random((n, 2)),
        angles=np.pi * rng.random(n),
        marks=rng.random((n, 4)),
        orientation_marks=np.empty((n, 0)),
        tilt_marks=rng.random((n, 2)),
        arrivals=rng.random(n),
        relative_radii=np.asarray(t, float),
        origin=np.zeros((n, 4), np.int32),
    )


def ratios(diagonals):
    """rho, d and d_2 / d_3 of each grain, from the equations at the head of the module."""
    d1, d2, d3 = diagonals.T
    d = np.sqrt(d2 * d3)
    return np.sqrt(d / d1), d, d2 / d3


def test_without_spreads_markers_are_the_profiles_at_the_knots_and_between():
    t = np.array([0.0, 0.2, 0.3, 0.4, 0.7, 1.0, 1.5])
    markers = LAW.markers(points_at(t))
    rho, d, flat = ratios(markers.diagonals)
    # logarithms are interpolated: between two knots stands the geometric mean
    expected = [1, 1, np.sqrt(2), 2, np.sqrt(6), 3, 3]
    np.testing.assert_allclose(rho, expected, rtol=1e-12)
    np.testing.assert_allclose(d, 9 * (16 / 9) ** np.minimum(t, 1), rtol=1e-12)
    np.testing.assert_allclose(flat, 1, rtol=1e-12)
    np.testing.assert_allclose(markers.offsets, -1 + 4 * np.minimum(t, 1), atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_spreads_are_those_of_the_logarithms_and_the_offset_is_correlated_with_the_size(t):
    markers = SPREAD.markers(points_at(np.full(N, t)))
    log_rho, log_d, log_flat = map(np.log, ratios(markers.diagonals))
    z = (log_d - np.log(9 * (16 / 9) ** t)) / (0.3 + 0.2 * t)
    for values, mean, std in (
        (log_rho, np.log(LAW.aspect_ratio(np.array(t))), 0.2),
        (z, 0, 1),
        (log_flat, 0, 0.3),
        (markers.offsets, -1 + 4 * t, 2),
    ):
        assert abs(values.mean() - mean) < 4 * std / np.sqrt(N)
        assert abs(values.std() - std) < 4 * std / np.sqrt(2 * N)
    found = np.corrcoef(np.stack([markers.offsets, z, log_rho, log_flat]))
    error = 4 / np.sqrt(N)
    assert abs(found[0, 1] - 0.6) < error
    assert np.abs(found[2:] - np.eye(4)[2:]).max() < error  # of all others independent


def test_marks_decide_and_relative_radii_only_place():
    points = points_at(np.full(50, 0.6))
    one = SPREAD.markers(points)
    rows = np.array([7, 3])
    some = SPREAD.markers(points, rows)
    np.testing.assert_array_equal(some.diagonals, one.diagonals[rows])
    np.testing.assert_array_equal(some.offsets, one.offsets[rows])
    moved = SPREAD.markers(replace(points, relative_radii=np.full(50, 0.2)))
    ranks = [np.argsort(m.offsets) for m in (one, moved)]
    np.testing.assert_array_equal(*ranks)


def test_factors_and_rounding_come_after_the_law():
    points = points_at(np.full(20, 0.6))
    factors = Markers(np.array([[0.25, 2.0, 2.0]]), np.array([0.5]))
    found = SPREAD.rounded_markers(points, np.arange(20), factors)
    plain = SPREAD.markers(points)
    np.testing.assert_allclose(found.diagonals, plain.diagonals * factors.diagonals, atol=2**-20)
    np.testing.assert_allclose(found.offsets, plain.offsets / 2, atol=2**-20)
    steps = np.concatenate([found.diagonals.ravel(), found.offsets]) * 2**20
    np.testing.assert_array_equal(steps, np.round(steps))


def test_points_without_a_shell_have_no_markers():
    with pytest.raises(ValueError, match="relative radii of the points are not known"):
        LAW.markers(points_at([0.5, np.nan]))


@pytest.mark.parametrize("core", [0.1, 0.3, 0.8])
def test_a_moved_core_is_the_law_at_moved_radii(core):
    moved = LAW.with_core(core)
    t = np.linspace(0, 1, 51)
    there = np.interp(t, [0, 0.3, 1], [0, core, 1])
    for name, profile in LAW.profiles.items():
        knots = np.interp(profile.t, [0, 0.3, 1], [0, core, 1])
        np.testing.assert_allclose(moved.profiles[name].t, knots)
        np.testing.assert_allclose(
            moved.profiles[name](np.interp(profile.t, [0, 0.3, 1], [0, core, 1])),
            profile(np.array(profile.t)),
        )
    assert moved.core_radius == core
    within, outside = there < core, there > core
    assert np.all(moved.aspect_ratio(there[within]) <= moved.aspect_ratio(np.array(core)))
    assert np.all(moved.aspect_ratio(there[outside]) >= moved.aspect_ratio(np.array(core)))


def test_knots_beyond_the_shell_stay_where_they_are_when_the_core_moves():
    far = replace(LAW, offset=Profile((0.5, 1.0, 1.2, 2.0), (0.0, 1.0, 2.0, 5.0)))
    moved = far.with_core(0.6)
    assert moved.offset.t[1:] == (1.0, 1.2, 2.0)
    assert moved.offset.values == far.offset.values


@pytest.mark.parametrize("core", [0.0, 1.0, -0.5])
def test_a_core_lies_between_centre_and_surface(core):
    with pytest.raises(ValueError, match="expected 0 to 1 and a law that has a core"):
        LAW.with_core(core)
    with pytest.raises(ValueError, match="law that has a core"):
        replace(LAW, core_radius=None).with_core(0.5)


def volume_mean(profile):
    """Mean over a ball, of the logarithm where that is interpolated, by fine shells."""
    t = (np.arange(200_000) + 0.5) / 200_000
    values = np.log(profile(t)) if profile.logarithmic else profile(t)
    return np.average(values, weights=t * t)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0])
def test_a_gradient_keeps_means_and_multiplies_differences(factor):
    steeper = SPREAD.with_gradient(factor)
    for name, profile in SPREAD.profiles.items():
        changed = steeper.profiles[name]
        assert volume_mean(changed) == pytest.approx(volume_mean(profile), abs=1e-5)
        back = np.log if profile.logarithmic else np.asarray
        np.testing.assert_allclose(
            np.diff(back(changed.values)), factor * np.diff(back(profile.values)), atol=1e-12
        )


def test_a_gradient_that_leads_out_of_bounds_is_refused_with_the_place():
    with pytest.raises(ValueError, match=r"transverse_spread is -\S+ at t = 0, expected 0 to inf"):
        SPREAD.with_gradient(4.0)


def test_wrong_values_are_all_named_at_once():
    with pytest.raises(ValueError, match=r"correlation is 1\.5 at t = 0") as error:
        replace(LAW, correlation=Profile((0.0,), (1.5,)), tilt_deg=Profile((0.0, 1.0), (5.0, 99.0)))
    assert "tilt_deg is 99 at t = 1, expected 0 to 90" in str(error.value)
    with pytest.raises(ValueError, match="expected positive ones"):
        replace(LAW, transverse=Profile((0.0,), (0.0,)))


@pytest.mark.parametrize(
    ("t", "values"), [((0.5, 0.5), (1, 2)), ((-0.1,), (1,)), ((0.0, 1.0), (1,)), ((), ())]
)
def test_knots_rise_from_0_and_have_a_value_each(t, values):
    with pytest.raises(ValueError, match="expected rising ones from 0 with a value each"):
        Profile(t, values)


def test_a_law_is_what_its_fields_say():
    assert (
        RadialProfileMarkers.from_fields({k: v for k, v in SPREAD.fields().items() if k != "law"})
        == SPREAD
    )
    assert SPREAD.fields()["law"] == "radial_profile"
