"""Parameters of the grains: size, scale, tilt, core and gradient."""

import copy
import json

import numpy as np
import pytest

from cathodegrain.generator import model_card
from cathodegrain.generator.errors import ModelCardError
from cathodegrain.generator.grains.grain_size import GrainSize, grain_size
from cathodegrain.generator.model_card import ModelCard, shipped_cards

RODS = ModelCard.load("nmc811-rods")
PROFILES = RODS.marker_law.profiles


def law_with(card, **profiles):
    """The card with some of the profiles of its law replaced, in the card's own words."""
    document = copy.deepcopy(dict(card.document))
    document["grains"]["markers"] |= profiles
    document["grains"].pop("size")
    return ModelCard(document)


@pytest.fixture
def measured(monkeypatch):
    """Laws that were measured; each is said to have grains of 12 pixels."""
    found = []

    def of(laws, seed=0, n_balls=1):
        found.append(laws)
        return GrainSize(12.0, 3.0, 500)

    monkeypatch.setattr(model_card, "grain_size", of)
    return found


@pytest.mark.parametrize("name", shipped_cards())
@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_size_is_a_similarity_of_the_law_that_the_card_measured(name, factor, measured):
    card = ModelCard.load(name)
    asked = factor * card.grains["size"]["mean_um"]
    sized = card.with_parameters({"grains.size_um": asked})
    assert sized.pixel_um == pytest.approx(factor * card.pixel_um, rel=1e-11)
    changed = {k: v for k, v in sized.grains.items() if k != "scale"}
    assert changed == {k: v for k, v in card.grains.items() if k != "scale"}  # no other field
    assert sized.parameter("grains.size_um") == pytest.approx(asked, rel=1e-9)
    assert not measured


def test_size_and_scale_say_the_same():
    card = ModelCard.load("nmc811-radial")
    scaled = card.with_parameters({"grains.scale": 2.0})
    assert scaled.parameter("grains.size_um") == pytest.approx(2 * card.grains["size"]["mean_um"])
    back = scaled.with_parameters({"grains.size_um": card.grains["size"]["mean_um"]})
    assert back.parameter("grains.scale") == 1.0
    assert back.pixel_um == card.pixel_um
    with pytest.raises(ModelCardError, match="both set, expected one: size_um sets scale"):
        card.with_parameters({"grains.size_um": 0.5, "grains.scale": 1.1})


@pytest.mark.parametrize(
    "change",
    [
        {"grains.intensity": 0.002}, {"grains.elongation": 1.5}, {"grains.offset_scale": 0.5},
        {"grains.metric": "squared"}, {"grains.tilt_deg": 20}, {"grains.core_radius": 0.6},
        {"grains.gradient": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_grains_of_another_law_are_measured_when_a_size_is_asked_for(change, measured):
    other = RODS.with_parameters(change)
    assert other.parameter("grains.size_um") is None
    assert not measured
    sized = RODS.with_parameters({"grains.size_um": 0.3, **change})
    assert [laws.intensity for laws in measured] == [other.intensity]
    assert measured[0].factors.diagonals.tolist() == other.laws.factors.diagonals.tolist()
    assert sized.parameter("grains.scale") == pytest.approx(0.3 / (12 * 0.05), rel=1e-11)
    assert sized.grains["size"] == {"mean_um": 0.6, "std_um": 0.15, "n_grains": 500}


@pytest.mark.parametrize(
    "same", ["grains.intensity", "grains.elongation", "grains.gradient", "grains.core_radius"]
)
def test_a_parameter_set_to_what_it_is_keeps_the_stated_size(same):
    again = RODS.with_parameters({same: RODS.parameter(same)})
    assert again.grains["size"] == RODS.grains["size"]


def test_changes_of_the_shell_and_the_crystals_keep_the_stated_size():
    other = RODS.with_parameters({"shell.diameter_um": 3.0, "orientations.model": "uniform"})
    assert other.grains["size"] == RODS.grains["size"]


def test_a_size_is_told_as_it_was_asked_for():
    sized = RODS.with_parameters({"grains.size_um": 0.123456})
    assert sized.parameter("grains.size_um") == 0.123456


def test_a_card_states_what_its_law_has():
    card = ModelCard.load("nmc811-radial").with_parameters({"grains.scale": 3.0})
    found = grain_size(card.laws)
    size = card.with_size().grains["size"]
    assert size["mean_um"] == pytest.approx(0.05 * found.mean, rel=5e-4)  # of a scale of 1
    assert size["std_um"] == pytest.approx(0.05 * found.std, rel=5e-4)
    assert size["n_grains"] == found.n_grains
    assert card.with_size().grains["scale"] == 3.0


@pytest.mark.parametrize("value", [0, -0.3, "large", True, None, float("nan"), [0.3]])
def test_a_size_is_a_positive_number(value):
    with pytest.raises(ModelCardError, match=r"grains\.size_um is .*, expected a mean diameter"):
        RODS.with_parameters({"grains.size_um": value})


@pytest.mark.parametrize("value", [1e-6, 1e6, float("inf")])
def test_a_size_far_from_any_grain_is_refused(value):
    with pytest.raises(ModelCardError, match=r"grains\.scale"):
        RODS.with_parameters({"grains.size_um": value})


@pytest.mark.parametrize("name", ["diameter", "size", "mean_diameter_um", "radius"])
def test_the_name_that_users_try_leads_to_the_size(name):
    with pytest.raises(ModelCardError, match=r"did you mean 'grains\.size_um'"):
        RODS.with_parameters({f"grains.{name}": 0.5})


@pytest.mark.parametrize("name", ["core_radius", "gradient"])
def test_core_and_gradient_need_a_law_with_profiles(name):
    with pytest.raises(ModelCardError, match="expected a model with profiles, for example"):
        ModelCard.load("nmc811-radial").with_parameters({f"grains.{name}": 0.5})


def test_core_and_gradient_are_those_of_the_law():
    moved = RODS.with_parameters({"grains.core_radius": 0.6, "grains.gradient": 0.5})
    expected = RODS.marker_law.with_core(0.6).with_gradient(0.5)
    assert moved.marker_law == expected
    assert RODS.marker_law.with_gradient(1.0).profiles.keys() == PROFILES.keys()


def test_a_core_cannot_be_moved_where_there_is_none():
    document = copy.deepcopy(dict(RODS.document))
    del document["grains"]["markers"]["core_radius"]
    with pytest.raises(ModelCardError, match="a law that has a core"):
        ModelCard(document).with_parameters({"grains.core_radius": 0.5})


def test_a_gradient_beyond_what_the_law_bears_is_refused():
    steep = law_with(RODS, tilt_deg={"t": [0, 1], "value": [0, 80]})
    with pytest.raises(ModelCardError, match=r"grains\.markers: tilt_deg is -\S+ at t = 0"):
        steep.with_parameters({"grains.gradient": 2})


@pytest.mark.parametrize("name", ["tilt_deg", "core_radius", "gradient"])
def test_null_is_the_models_own(name):
    changed = RODS.with_parameters({f"grains.{name}": 0.5})
    own = changed.with_parameters({f"grains.{name}": None})
    assert own.marker_law == RODS.marker_law
    assert own.laws.tilt_deg == RODS.laws.tilt_deg


def test_a_tilt_of_ones_own_is_the_same_everywhere():
    card = RODS.with_parameters({"grains.tilt_deg": 12.0})
    np.testing.assert_array_equal(card.laws.tilt_deg(np.array([0.0, 0.5, 1.2])), 12.0)
    assert RODS.laws.tilt_deg == RODS.marker_law.tilt_deg


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ({"offset": {"t": [0, 0.5, 0.5], "value": [1, 2, 3]}}, "expected rising ones"),
        ({"offset": {"t": [0, 0.5], "value": [1]}}, "with a value each"),
        ({"correlation": {"t": [0], "value": [1.5]}}, r"1\.5 is greater than the maximum"),
        ({"intensity_factor": {"t": [0], "value": [0]}}, r"0 is less than the minimum"),
        ({"aspect_ratio": {"t": [0], "value": [-2]}}, r"-2 is less than the minimum"),
    ],
)
def test_a_wrong_profile_is_named(profiles, message):
    with pytest.raises(ModelCardError, match=message):
        law_with(RODS, **profiles)


def test_a_card_with_size_and_profiles_is_read_back_as_it_was_saved(tmp_path):
    card = RODS.with_parameters({"grains.size_um": 0.3, "grains.core_radius": 0.5})
    again = ModelCard.load(card.save(tmp_path / "mine.json"))
    assert again.sha256 == card.sha256
    assert json.loads((tmp_path / "mine.json").read_text())["grains"]["core_radius"] == 0.5
