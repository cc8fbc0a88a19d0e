"""Laws that are calibrated to numbers have them, in sections that they have not seen."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.fitting.laws.calibration import (
    ASPECT_RATIO,
    TILT_DEG,
    calibration,
    misses,
    others,
)
from cathodegrain.generator.fitting.laws.published_numbers import Numbers, SectionView
from cathodegrain.generator.progress import quiet

VIEW = SectionView(pixel_um=0.05, min_pixels=4, cuts="central", radius_um=3.0)
pytestmark = pytest.mark.usefixtures("light_calibrations")


@pytest.mark.parametrize(
    ("asked", "cuts", "carrier"),
    [
        (Numbers(0.598, 0.305, 1.9, 0.45), "central", "r"),
        (Numbers(0.598, 0.305, 1.7, 0.25), "random", "d"),
        (Numbers(0.45, 0.21, 1.65, 0.0), "central", "d"),
        (Numbers(0.6, 0.3, 1.8), "central", "r"),
        (Numbers(0.6, 0.3, None, 0.3), "random", "r"),
        (Numbers(0.6), "central", "r"),
    ],
)
def test_a_law_has_the_numbers_in_other_sections(asked, cuts, carrier):
    found = calibration(asked, replace(VIEW, cuts=cuts), carrier, seed=2)
    assert found.reached
    errors = np.hypot(found.found.errors, found.fresh.errors)
    for name, wanted in asked._asdict().items():
        if wanted is not None:
            allowed = 4 * errors[Numbers._fields.index(name)] + 0.01 * max(wanted, 1)
            assert getattr(found.fresh.numbers, name) == pytest.approx(wanted, abs=allowed), name


def test_the_law_scales_with_the_numbers():
    small = calibration(Numbers(0.6, 0.3, 1.9, 0.45), VIEW, "r")
    twice = replace(VIEW, pixel_um=0.1, radius_um=6.0)
    large = calibration(Numbers(1.2, 0.6, 1.9, 0.45), twice, "r")
    assert large.law.distance_um == pytest.approx(2 * small.law.distance_um, rel=1e-6)
    assert large.law.spread == pytest.approx(small.law.spread, rel=1e-6)
    assert large.law.tilt_deg == pytest.approx(small.law.tilt_deg, rel=1e-6)


def test_what_is_not_asked_for_is_as_assumed_and_the_other_carrier_has_no_spread():
    found = calibration(Numbers(0.6, 0.3), VIEW, "d").law
    assert (found.aspect_ratio, found.tilt_deg) == (ASPECT_RATIO, TILT_DEG)
    markers = found.radial_law(0.05).markers
    assert markers.offset_spread.values == (0.0,)
    assert markers.transverse_spread.values == (found.spread,)
    assert found.radial_law(0.05).intensity == pytest.approx((0.05 / found.distance_um) ** 3)


def test_the_gauge_of_the_markers_does_not_change_the_grains():
    """Pixels of the grain frame are a unit: sections on the same map are equal."""
    from cathodegrain.generator.fitting.laws.common_seeds import section_seeds

    law = calibration(Numbers(0.6, 0.3), VIEW, "r").law
    (frame,) = VIEW.frames(0.6, 1)
    (other,) = replace(VIEW, pixel_um=0.1, radius_um=6.0).frames(1.2, 1)
    first = section_seeds(law.radial_law(0.05), frame, 0, (1,))
    second = section_seeds(
        replace(law, distance_um=2 * law.distance_um).radial_law(0.1), other, 0, (1,)
    )
    np.testing.assert_allclose(first.seeds, second.seeds)
    np.testing.assert_allclose(first.offsets, second.offsets)


def test_mean_and_spread_leave_carrier_and_aspect_ratio_open():
    @contextmanager
    def stages(name):
        yield quiet

    asked = Numbers(0.598, 0.305)
    first = calibration(asked, VIEW, "r")
    found = dict(others(first, 0, stages))
    assert list(found) == ["spread carried by d", "aspect ratio 1.25", "aspect ratio 2.2"]
    assert all(one.reached for one in found.values())
    ratios = [one.fresh.numbers.aspect_ratio for one in list(found.values())[1:]]
    assert ratios[1] > ratios[0] + 0.3
    assert found["aspect ratio 2.2"].fresh.numbers.alignment > first.fresh.numbers.alignment


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (Numbers(0.6, 0.12), "std_um"),
        (Numbers(0.6, 0.3, 1.1, 0.9), "aspect_ratio"),
    ],
)
def test_what_is_out_of_reach_is_not_reached_and_the_nearest_is_nearer_than_where_it_began(
    asked, name
):
    found = calibration(asked, VIEW, "r")
    assert not found.reached
    assert getattr(found.found.numbers, name) > 1.2 * getattr(asked, name)
    assert np.abs(misses(found.found.numbers, asked)).max() > 1
    assert found.law.spread < 0.35 or name != "std_um"
