import json
import math
from collections import Counter
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from scipy import stats

from cathodegrain.generator.errors import GenerationError
from cathodegrain.generator.shell.laws import (
    LogNormal,
    Normal,
    StudentT,
    law_fields,
    law_from_fields,
)
from cathodegrain.generator.shell.model import (
    NOT_STAR_SHAPED,
    NOT_STAR_SHAPED_ABOUT_CENTROID,
    SPHERICITY,
    TOO_LARGE,
    ShellModel,
)
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.shell.spherical_harmonics import (
    real_spherical_harmonics,
    sphere_quadrature,
)

# Table 1 of the paper: degree -> nu, sigma (CT voxels).
TABLE_1 = {
    1: (2.22, 3.51),
    2: (4.64, 2.79),
    3: (2.84, 0.98),
    4: (2.43, 0.56),
    5: (2.28, 0.37),
    6: (2.26, 0.28),
    7: (2.20, 0.21),
    8: (2.17, 0.17),
    9: (2.22, 0.15),
}
VOXEL_UM = 0.128
FIELDS = {
    "voxel_um": VOXEL_UM,
    "size": {"family": "lognorm", "shape": 0.4, "loc": -29.83, "scale": 140.0},
    "orders": [
        {"degree": degree, "family": "t", "nu": nu, "sigma": sigma}
        for degree, (nu, sigma) in TABLE_1.items()
    ],
    "min_sphericity": 0.5,
    "min_radius_um": 0.05,
    "max_radius_um": 16.0,
    "max_degree": 9,
    "size_scale": 1.0,
    "roughness": 1.0,
    "diameter_um": None,
}
MODEL = ShellModel.from_fields(FIELDS)


def stream(attempt):
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(11, spawn_key=(attempt,))))


@pytest.fixture(scope="module")
def draws():
    return np.array([MODEL.draw(stream(k)) for k in range(2000)])


@pytest.fixture(scope="module")
def outcomes(draws):
    """What 500 draws lead to."""
    return [MODEL.accept(draw) for draw in draws[:500]]


@pytest.fixture(scope="module")
def accepted(outcomes):
    return [shell for shell in outcomes if isinstance(shell, Shell)]


def coefficients(**values):
    """Coefficients of a ball of radius 30 voxels, some of them (by l_m) changed."""
    ball = Shell.sphere(30.0).coefficients.copy()
    for key, value in values.items():
        degree, m = (int(part) for part in key.removeprefix("a").split("_"))
        ball[degree**2 + degree + m] = value
    return ball


@pytest.fixture(scope="module")
def shipped_fields():
    path = files("cathodegrain.generator") / "model_cards" / "nmc811.json"
    return json.loads(path.read_text("utf-8"))["shell"]


def test_the_shipped_card_holds_table_1(shipped_fields):
    assert ShellModel.from_fields(shipped_fields) == MODEL


def test_whole_numbers_with_a_decimal_point_are_whole_numbers(shipped_fields):
    fields = shipped_fields | {"max_degree": 9.0}
    fields["orders"] = [order | {"degree": float(order["degree"])} for order in fields["orders"]]
    model = ShellModel.from_fields(fields)
    assert model == MODEL
    np.testing.assert_array_equal(model.draw(stream(0)), MODEL.draw(stream(0)))


def test_a_model_is_what_its_fields_say():
    assert MODEL.size == LogNormal(shape=0.4, loc=-29.83, scale=140.0)
    assert MODEL.orders[1] == StudentT(nu=4.64, sigma=2.79)
    assert MODEL.max_radius_um == 16.0
    assert MODEL.diameter_um is None


@pytest.mark.parametrize("degree", TABLE_1)
def test_coefficients_of_a_degree_follow_its_scaled_student_law(degree, draws):
    nu, sigma = TABLE_1[degree]
    pooled = draws[:, degree**2 : (degree + 1) ** 2].ravel()
    assert stats.kstest(pooled, stats.t(nu, scale=sigma).cdf).pvalue > 1e-3


def test_the_size_follows_the_shifted_log_normal_law(draws):
    law = stats.lognorm(0.4, loc=-29.83, scale=140.0)
    assert stats.kstest(draws[:, 0], law.cdf).pvalue > 1e-3


def test_coefficients_are_independent_of_the_size_and_of_each_other(draws):
    n, ranks = len(draws), stats.rankdata(draws, axis=0)
    correlation = np.corrcoef(ranks, rowvar=False)[np.triu_indices(100, k=1)]
    assert np.abs(correlation).max() < 5.5 / math.sqrt(n)  # of 4950 pairs, p = 2e-4 together
    assert np.std(correlation) == pytest.approx(1 / math.sqrt(n), rel=0.05)


def test_draws_are_multiples_of_a_power_of_two(draws):
    steps = draws * 2**20
    np.testing.assert_array_equal(steps, np.round(steps))


def test_about_95_percent_of_the_draws_are_accepted(outcomes, accepted):
    share = len(accepted) / len(outcomes)
    error = math.sqrt(0.95 * 0.05 / len(outcomes))
    assert 0.94 - 3 * error < share < 0.97 + 3 * error


def test_the_median_diameter_is_near_8_um(accepted):
    diameters = np.log([shell.diameter_um for shell in accepted])
    error = 1.25 * np.std(diameters) / math.sqrt(len(diameters))  # of a median
    assert abs(np.median(diameters) - math.log(8.0)) < math.log(1.1) + 3 * error


@pytest.mark.slow
def test_94_to_97_percent_of_10000_draws_are_accepted():
    outcomes = [MODEL.accept(MODEL.draw(stream(k))) for k in range(10_000)]
    shells = [shell for shell in outcomes if isinstance(shell, Shell)]
    reasons = Counter(reason for reason in outcomes if isinstance(reason, str))
    assert 9400 <= len(shells) <= 9700
    assert reasons.most_common(1)[0][0] == NOT_STAR_SHAPED
    assert np.median([shell.diameter_um for shell in shells]) == pytest.approx(8.0, rel=0.1)


def test_every_accepted_shell_is_what_was_asked_for(accepted):
    u = np.random.default_rng(0).normal(size=(2000, 3))
    for shell in accepted[:200]:
        radii = shell.radius(u)
        assert MODEL.min_radius_um < radii.min()
        assert radii.max() <= shell.radius_bounds[1] <= MODEL.max_radius_um
        assert shell.sphericity >= MODEL.min_sphericity
        assert np.linalg.norm(shell.centroid_um) < 1.01e-3 * shell.mean_radius_um


def test_accepted_coefficients_are_rounded_in_ct_voxels(accepted):
    for shell in accepted[:20]:
        steps = np.round(shell.coefficients / VOXEL_UM * 2**20)
        np.testing.assert_array_equal(steps / 2**20 * VOXEL_UM, shell.coefficients)


def test_recentring_moves_the_mass_and_keeps_it(draws, outcomes):
    changes, shifts = [], []
    for k, shell in enumerate(outcomes[:300]):
        if isinstance(shell, Shell):
            raw = Shell(draws[k] * VOXEL_UM)
            changes.append(abs(shell.volume_um3 / raw.volume_um3 - 1))
            shifts.append(np.linalg.norm(raw.centroid_um) / raw.mean_radius_um)
    assert np.median(changes) < 2e-4
    assert np.percentile(changes, 95) < 4e-3
    assert np.median(shifts) > 0.05


def test_each_attempt_uses_its_own_stream_only(outcomes):
    asked = []

    def recorded(attempt):
        asked.append(attempt)
        return stream(attempt)

    first = next(k for k, outcome in enumerate(outcomes) if not isinstance(outcome, Shell))
    draw = MODEL.sample(recorded, first_attempt=first)
    assert asked == list(range(first, draw.attempt + 1))
    assert sum(draw.rejected.values()) == draw.attempt - first > 0
    again = MODEL.sample(stream, first_attempt=draw.attempt, max_attempts=1)
    assert again.rejected == {}
    np.testing.assert_array_equal(again.shell.coefficients, draw.shell.coefficients)


def test_knobs_act_on_the_same_random_shell(draws):
    for change in [{"roughness": 0.5}, {"size_scale": 2.0}, {"diameter_um": 5.0}]:
        np.testing.assert_array_equal(replace(MODEL, **change).draw(stream(0)), draws[0])
    truncated = replace(MODEL, max_degree=3).draw(stream(0))
    np.testing.assert_array_equal(truncated, draws[0])


def test_the_size_scale_scales_the_shell(accepted):
    model = replace(MODEL, size_scale=0.5)
    half = model.sample(stream, max_attempts=1).shell
    expected = 0.5 * accepted[0].coefficients
    np.testing.assert_allclose(half.coefficients, expected, atol=2**-20 * VOXEL_UM)


def test_the_diameter_asked_for_is_met_to_rounding(accepted):
    shell = replace(MODEL, diameter_um=2.6).sample(stream, max_attempts=1).shell
    assert shell.diameter_um == pytest.approx(2.6, abs=1e-6)
    assert shell.sphericity == pytest.approx(accepted[0].sphericity, rel=1e-5)


def test_less_roughness_makes_the_same_particle_rounder(accepted):
    smooth = replace(MODEL, roughness=0.3).sample(stream, max_attempts=1).shell
    assert accepted[0].sphericity < smooth.sphericity < 1
    assert smooth.mean_radius_um == pytest.approx(accepted[0].mean_radius_um, rel=0.05)


def test_degree_zero_leaves_a_ball():
    shell = replace(MODEL, max_degree=0).sample(stream, max_attempts=1).shell
    assert shell.max_degree == 0
    assert shell.sphericity == pytest.approx(1, rel=1e-13)


@pytest.mark.parametrize(
    ("draw", "change", "reason"),
    [
        (coefficients(a0_0=-100.0), {}, NOT_STAR_SHAPED),
        (coefficients(a1_0=70.0), {}, NOT_STAR_SHAPED),
        (coefficients(a4_2=-70.0, a5_2=70.0), {}, NOT_STAR_SHAPED),
        (coefficients(), {"min_radius_um": 3.9}, NOT_STAR_SHAPED_ABOUT_CENTROID),
        (coefficients(a2_0=40.0), {"min_sphericity": 0.98}, SPHERICITY),
        (coefficients(), {"max_radius_um": 3.8}, TOO_LARGE),
        (coefficients(), {"diameter_um": 33.0}, TOO_LARGE),
    ],
)
def test_a_draw_is_rejected_for_the_reason_it_has(draw, change, reason):
    assert replace(MODEL, **change).accept(draw) == reason


def test_a_bowl_is_rejected_though_its_radius_is_positive():
    u, weights = sphere_quadrature(72)
    radius = 4.0 + 40.0 * np.exp(-(((u[:, 2] - 0.6) / 0.25) ** 2))  # long on a cone about +z
    bowl = (weights * radius) @ real_spherical_harmonics(u, 9)
    assert Shell(bowl).weak_direction() is None
    assert not Shell(bowl).contains(Shell(bowl).centroid_um)
    assert MODEL.accept(bowl) == NOT_STAR_SHAPED_ABOUT_CENTROID


def test_a_small_overhang_is_no_reason_to_reject(draws):
    u = np.random.default_rng(0).normal(size=(1000, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)

    def hides_a_part(draw):
        shell = Shell(draw)
        sight = shell.radius(u)[:, None] * u - shell.centroid_um
        facing = np.sum(shell.normal(u) * sight, axis=1)
        return facing.min() < 0 and shell.weak_direction() is None

    overhanging = [draw for draw in draws[:200] if hides_a_part(draw)]
    assert len(overhanging) > 0
    for draw in overhanging:
        assert isinstance(MODEL.accept(draw), Shell)


def test_giving_up_names_the_reasons_and_the_remedy():
    model = replace(MODEL, max_radius_um=0.5)
    with pytest.raises(GenerationError, match=r"none of 5 .*too large: 5.*raise max_radius_um"):
        model.sample(stream, max_attempts=5)
    model = replace(MODEL, min_sphericity=0.9999)
    with pytest.raises(GenerationError, match=r"sphericity: \d.*lower min_sphericity"):
        model.sample(stream, max_attempts=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voxel_um": 0.0}, "voxel_um is 0.0, expected a positive number"),
        ({"size_scale": math.inf}, "size_scale is inf"),
        ({"roughness": -1.0}, "roughness is -1.0, expected a number not below 0"),
        ({"min_radius_um": math.nan}, "min_radius_um is nan"),
        ({"min_sphericity": 1.0}, "min_sphericity is 1.0, expected at least 0 and below 1"),
        ({"max_degree": 10}, "max_degree is 10, expected 0 to 9"),
        ({"max_degree": 2.5}, "max_degree is 2.5"),
        ({"diameter_um": -2.0}, "diameter_um is -2.0"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(MODEL, **change)


def test_laws_check_their_parameters():
    with pytest.raises(ValueError, match="scale is 0"):
        LogNormal(shape=0.4, loc=0.0, scale=0)
    with pytest.raises(ValueError, match="loc is nan"):
        LogNormal(shape=0.4, loc=math.nan, scale=1.0)
    with pytest.raises(ValueError, match="nu is -1"):
        StudentT(nu=-1, sigma=1.0)


def test_other_families_are_refused():
    size = {**FIELDS["size"], "family": "normal"}
    with pytest.raises(ValueError, match=r"family 'normal', expected one of .*'norm', 't'"):
        ShellModel.from_fields({**FIELDS, "size": size})


def test_degrees_have_no_gap():
    with pytest.raises(ValueError, match=r"degrees \[2, 3, .*expected 1, 2, 3"):
        ShellModel.from_fields({**FIELDS, "orders": FIELDS["orders"][1:]})


@pytest.mark.parametrize(
    ("law", "reference"),
    [
        (LogNormal(shape=0.4, loc=-29.83, scale=140.0), stats.lognorm(0.4, -29.83, 140.0)),
        (StudentT(nu=3.0, sigma=2.0, loc=1.0), stats.t(3.0, 1.0, 2.0)),
        (Normal(sigma=2.0, loc=-1.0), stats.norm(-1.0, 2.0)),
    ],
)
def test_laws_draw_what_their_density_says(law, reference):
    values = law.draw(np.random.default_rng(5), 4000)
    assert stats.kstest(values, reference.cdf).pvalue > 1e-3
    np.testing.assert_allclose(law.log_density(values), reference.logpdf(values), rtol=1e-12)
    assert law_from_fields(law_fields(law)) == law
