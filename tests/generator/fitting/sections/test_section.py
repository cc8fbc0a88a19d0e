import numpy as np
import pytest

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.sections.reconstruction import (
    ReconstructionSettings,
    pieces,
    renumbered,
    section_outline,
)
from cathodegrain.generator.fitting.sections.section import MISSING, Section, centroid
from sections import disc, flooded


def section(labels, **changes):
    labels = np.asarray(labels)
    fields = {"pixel_um": 0.05, "centre": (0.0, 0.0), "source": "here"} | changes
    return Section(labels, **fields)


def test_what_it_says_of_its_pixels():
    found = section([[0, 1, 1, -1], [0, 2, 1, -1]])
    assert found.n_grains == 2
    np.testing.assert_array_equal(found.pixel_counts, [3, 1])
    np.testing.assert_array_equal(found.inside, [[0, 1, 1, 1]] * 2)
    assert found.missing_part == 2 / 6
    assert found.border_part == 6 / 8
    assert found.mean_diameter_um == pytest.approx(0.05 * np.sqrt(8 / np.pi))


def test_labels_are_its_own_and_read_only():
    labels = np.array([[1, 2]], np.uint8)
    found = section(labels)
    labels[:] = 7
    np.testing.assert_array_equal(found.labels, [[1, 2]])
    assert found.labels.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        found.labels[0, 0] = 3


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((2, 2, 2), int), "the shape .2, 2, 2."),
        (np.ones((2, 2)), "the type float64"),
        (np.zeros((0, 4), int), r"the shape \(0, 4\)"),
        ([[0, 0]], "from 0 to 0 with 0 grains"),
        ([[1, 3]], "from 1 to 3 with 2 grains, expected .* without a gap"),
        ([[1, -2]], "from -2 to 1"),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        section(labels)


@pytest.mark.parametrize("centre", [(2.0, 0.0), (0.0, -1.0), (np.nan, 0.0), (0.0, np.inf)])
def test_a_centre_beyond_the_image_is_refused(centre):
    with pytest.raises(FitError, match=r"the centre .* expected pixels of the image of 1 x 2"):
        section([[1, 2]], centre=centre)


@pytest.mark.parametrize("pixel", [0.0, -1.0, np.nan, 1e5])
def test_a_pixel_is_a_length(pixel):
    with pytest.raises(FitError, match=r"the edge of a pixel is .* um, expected 0.0001 to 100"):
        section([[1, 2]], pixel_um=pixel)


def test_what_should_be_known_is_returned_and_not_printed(capsys):
    labels = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((6, 6), int))
    assert section(np.pad(labels, 1)).warnings == []
    few = np.minimum(labels, 5)
    few[0, :40] = MISSING
    few[:8, 20:] = MISSING
    warnings = section(few).warnings
    assert [w.split("here")[1][:25] for w in warnings] == [
        " shows 5 grains, expected",
        " lacks the grain of 11% o",
        ": 100% of the image's bor",
    ]
    assert "has 4 pixels in a mean grain" in section(np.pad(labels[::3, ::3], 1)).warnings[0]
    assert capsys.readouterr() == ("", "")


def test_gaps_take_the_nearest_label_within_reach():
    row = section([[1, -1, -1, -1, -1, -1, 2, -1, 0]])
    np.testing.assert_array_equal(row.without_gaps(1), [[1, 1, -1, -1, -1, 2, 2, 2, 0]])
    assert (row.without_gaps(2) == MISSING).sum() == 1
    np.testing.assert_array_equal(section([[1, 0, 2]]).without_gaps(5), [[1, 0, 2]])


def test_the_centroid_of_a_disc_is_its_centre():
    assert centroid(disc((40, 60), (17, 33), 12)) == pytest.approx((17, 33))


def test_pieces_are_those_of_a_flood_fill(rng):
    labels = rng.integers(0, 4, (40, 50))
    slow = flooded(labels > 0, lambda a, b: labels[a] == labels[b])
    np.testing.assert_array_equal(pieces(labels), slow)


def test_numbers_close_up():
    labels = np.array([[1, 2, 0], [3, 3, 2]], np.int32)
    kept = np.array([True, False, True])
    np.testing.assert_array_equal(renumbered(labels, kept), [[1, 0, 0], [2, 2, 0]])


def test_the_outline_of_a_disc_with_cracks_holes_and_specks_is_the_disc():
    shape, centre = (120, 130), (60, 64)
    whole = disc(shape, centre, 45)
    grains = whole.copy()
    grains[58:61, 64:] = False  # a crack of three pixels from the centre through the rim
    grains &= ~disc(shape, (45, 50), 9)  # a pore
    grains |= disc(shape, (8, 8), 3)  # noise outside
    found = section_outline(grains, 2.0)
    assert not found[8, 8]
    assert (found & ~whole).sum() == 0
    assert (whole & ~found).sum() <= 8  # where the crack opens


def test_a_wide_gulf_is_outside_and_a_narrow_one_is_not():
    shape = (80, 80)
    whole = disc(shape, (40, 40), 30)
    for width, inside in ((4, True), (6, False)):
        grains = whole.copy()
        grains[40 : 40 + width, 40:] = False
        assert section_outline(grains, 2.0)[41, 60] == inside


def test_without_closing_what_is_connected_to_the_border_is_outside():
    grains = disc((50, 50), (25, 25), 15)
    np.testing.assert_array_equal(section_outline(grains, 0.0), grains)


def test_a_map_that_shows_no_outside_is_all_section(rng):
    grains = rng.random((60, 70)) > 0.05
    grains[:6, :6] = False  # less than one percent of the map
    assert section_outline(grains, 2.0).all()
    assert section_outline(np.ones((5, 6), bool), 2.0).all()


def test_a_section_across_the_image_has_the_outside_on_both_sides():
    grains = np.zeros((60, 60), bool)
    grains[15:40] = True
    np.testing.assert_array_equal(section_outline(grains, 2.0), grains)


@pytest.mark.parametrize(
    "change", [{"threshold_deg": 0}, {"min_pixels": 0}, {"gap_px": -1}, {"gap_px": np.nan}]
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(FitError, match=f"{next(iter(change))} is .*, expected"):
        ReconstructionSettings(**change)
