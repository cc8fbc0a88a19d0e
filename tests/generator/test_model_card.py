import copy
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.errors import ExportError, ModelCardError
from cathodegrain.generator.markers.marker_law import Profile, RadialMarkers
from cathodegrain.generator.markers.marker_net import MarkerNet
from cathodegrain.generator.model_card import PARAMETERS, ModelCard, shipped_cards


def changed(card, path, value):
    document = copy.deepcopy(card.document)
    *parents, last = path.split(".")
    target = document
    for key in parents:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return document


def test_shipped_cards_are_valid_and_name_their_source():
    assert shipped_cards() == [
        "nmc-electrode-ct",
        "nmc811",
        "nmc811-ebsd598",
        "nmc811-radial",
        "nmc811-rods",
    ]
    card = ModelCard.load("nmc811")
    assert "phantom" in card.document["fitted_on"]
    assert all(a["reason"] for a in card.document["assumptions"])


def test_shipped_shell_is_table_1(card):
    nu = [order["nu"] for order in card.document["shell"]["orders"]]
    sigma = [order["sigma"] for order in card.document["shell"]["orders"]]
    assert nu == [2.22, 4.64, 2.84, 2.43, 2.28, 2.26, 2.20, 2.17, 2.22]
    assert sigma == [3.51, 2.79, 0.98, 0.56, 0.37, 0.28, 0.21, 0.17, 0.15]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("grains.intensity", ..., "grains: 'intensity' is a required property"),
        ("grains.intensity", -1.0, "grains.intensity: -1.0 is less than the minimum"),
        ("grains.intensity", float("nan"), "grains.intensity: nan is not a finite number"),
        ("grains.intensity", float("inf"), "grains.intensity: inf is not a finite number"),
        ("grains.intensity", "many", "grains.intensity: 'many' is not of type 'number'"),
        ("grains.intenstiy", 0.1, r"'intenstiy' was unexpected"),
        ("grains.metric", "cubed", "'cubed' is not one of"),
        ("grains.markers.law", "magic", "'magic' is not one of"),
        ("grains.markers.offset.low", 30, "low 30 exceeds high 9.0"),
        ("shell.max_degree", 12, "12 exceeds the 9 orders"),
        ("shell.min_radius_um", 20.0, "smaller than shell.max_radius_um"),
        ("shell.voxel_um", 0, "shell.voxel_um: 0 is less than the minimum of 0.0001"),
        ("schema_version", "9.0.0", "'1.0.0' was expected"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value(card, path, value, message):
    with pytest.raises(ModelCardError, match=message):
        ModelCard(changed(card, path, value))


def test_all_problems_are_listed_at_once(card):
    document = changed(card, "grains.intensity", -1)
    document["shell"]["voxel_um"] = "small"
    del document["orientations"]
    document["colour"] = "grey"
    with pytest.raises(ModelCardError) as error:
        ModelCard(document)
    for name in ("grains.intensity", "shell.voxel_um", "orientations", "colour"):
        assert name in str(error.value)


def test_orders_without_a_gap(card):
    document = changed(card, "shell.orders", card.document["shell"]["orders"][1:])
    with pytest.raises(ModelCardError, match=r"degrees are \[2, 3"):
        ModelCard(document | {})


@pytest.mark.parametrize("key", PARAMETERS)
def test_every_parameter_is_a_field_of_the_card(key):
    card = ModelCard.load("nmc811-rods")
    value = {
        "grains.metric": "squared",
        "grains.intensity": 0.001,
        "orientations.model": "uniform",
        "shell.max_degree": 3,
        "grains.core_radius": 0.5,
    }
    new = value.get(key, 1.25)
    assert card.with_parameters({key: new}).parameter(key) == new
    assert card.parameter(key) != new  # a copy


def test_unknown_parameter_names_the_nearest(card):
    with pytest.raises(
        ModelCardError, match=r"'grains.intenstiy'; did you mean 'grains.intensity'"
    ):
        card.with_parameters({"grains.intenstiy": 1})


def test_parameters_are_validated(card):
    with pytest.raises(ModelCardError, match=r"grains.elongation: 'long' is not of type"):
        card.with_parameters({"grains.elongation": "long"})


def test_hash_depends_on_values_not_on_order(card):
    reordered = ModelCard(dict(reversed(card.document.items())))
    assert reordered.sha256 == card.sha256
    assert card.with_parameters({"grains.elongation": 1.1}).sha256 != card.sha256


def test_a_card_cannot_be_changed_from_outside(card):
    document = copy.deepcopy(dict(card.document))
    own = ModelCard(document)
    document["grains"]["intensity"] = 0.5
    assert own.intensity == card.intensity


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no model card"), ("{", "cannot be read"), ("[]", "not of type")],
)
def test_unreadable_cards_are_one_sentence(tmp_path, content, message):
    path = tmp_path / "card.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelCardError, match=message):
        ModelCard.load(path)


def test_marker_law_of_the_shipped_card_is_the_phantom(card):
    assert isinstance(card.marker_law, RadialMarkers)
    assert card.marker_law.fields() == card.document["grains"]["markers"]


@pytest.fixture
def net_card(card, tmp_path):
    rng = np.random.default_rng(0)
    widths = (60, 8, 4)
    shapes = zip(widths[1:], widths[:-1], strict=True)
    net = MarkerNet(
        weights=tuple(rng.normal(0, 0.3, shape) for shape in shapes),
        biases=(np.zeros(8), np.zeros(4)),
    )
    (tmp_path / "net.safetensors").write_bytes(net.to_bytes())
    digest = hashlib.sha256((tmp_path / "net.safetensors").read_bytes()).hexdigest()
    markers = {
        "law": "net", "weights": "net.safetensors", "weights_sha256": digest,
        "displacement_scale": 10.0, "noise_centre": 0.5, "smallest_diagonal": 0.001,
    }  # fmt: skip
    path = tmp_path / "card.json"
    path.write_text(json.dumps(changed(card, "grains.markers", markers)))
    return path


def test_a_card_with_a_net_makes_particles(net_card):
    from cathodegrain.generator.generate import generate_particle

    card = ModelCard.load(net_card).with_parameters({"shell.diameter_um": 2.0})
    particle = generate_particle(card, seed=1)
    assert particle.n_grains > 10
    assert np.linalg.eigvalsh(particle.tessellation.matrices).min() > 0


def test_a_card_with_a_net_that_sees_the_radius_says_how_seed_points_are_spread(net_card):
    from cathodegrain.generator.generate import generate_particle

    def seeds_within(radius_um):
        card = ModelCard.load(net_card).with_parameters({"shell.diameter_um": 3.0})
        seeds = generate_particle(card, seed=1).tessellation.seeds
        return np.count_nonzero(np.linalg.norm(seeds, axis=1) < radius_um)

    before = seeds_within(0.75), seeds_within(1.5)
    document = json.loads(net_card.read_text())
    plain = ModelCard.load(net_card).marker_law
    net = replace(
        plain,
        weights=(np.hstack([plain.weights[0], np.full((8, 1), 2.0)]), plain.weights[1]),
        intensity_factor=Profile((0.5, 1.0), (2.0, 0.25)),
    )
    (net_card.parent / "net.safetensors").write_bytes(net.to_bytes())
    digest = hashlib.sha256(net.to_bytes()).hexdigest()
    document["grains"]["markers"] = net.fields() | {"weights_sha256": digest}
    net_card.write_text(json.dumps(document))
    assert ModelCard.load(net_card).marker_law.fields() == net.fields()
    assert seeds_within(0.75) > 1.4 * before[0]
    assert seeds_within(1.5) < before[1]


def test_knots_of_a_net_that_do_not_rise_are_refused(net_card):
    document = json.loads(net_card.read_text())
    document["grains"]["markers"]["intensity_factor"] = {"t": [1, 0], "value": [1, 2]}
    net_card.write_text(json.dumps(document))
    with pytest.raises(ModelCardError, match="expected rising ones"):
        _ = ModelCard.load(net_card).marker_law


def test_a_saved_card_is_the_card_with_its_weights_beside_it(net_card, tmp_path):
    card = ModelCard.load(net_card).with_parameters({"shell.diameter_um": 2.0})
    (tmp_path / "new").mkdir()
    path = card.save(tmp_path / "new" / "x.json")
    assert sorted(p.name for p in path.parent.iterdir()) == ["net.safetensors", "x.json"]
    again = ModelCard.load(path)
    assert (again.sha256, again.own_weights) == (card.sha256, card.own_weights)
    assert ModelCard.load("nmc811").save(tmp_path / "shipped.json").is_file()
    assert ModelCard.load(tmp_path / "shipped.json").marker_law.fields()["law"] == "net"
    assert not (tmp_path / "nmc811.safetensors").exists()  # come with the package


def test_a_saved_card_replaces_other_files_only_if_asked(net_card):
    card = ModelCard.load(net_card)
    there = net_card.with_name("there.json")
    assert card.save(there) == card.save(there)  # the same content is in nobody's way
    other = card.with_parameters({"shell.diameter_um": 2.0})
    before = there.read_bytes()
    with pytest.raises(ExportError, match=r"there\.json exists; .* overwrite=True"):
        other.save(there)
    assert there.read_bytes() == before
    other.save(there, overwrite=True)
    assert ModelCard.load(there).sha256 == other.sha256


def test_a_card_is_not_saved_without_its_weights(net_card, tmp_path):
    card = ModelCard.load(net_card)
    net_card.with_name("net.safetensors").unlink()
    with pytest.raises(ModelCardError, match="no file"):
        card.save(tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_changed_weights_are_noticed(net_card):
    card = ModelCard.load(net_card)
    path = net_card.with_name("net.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(ModelCardError, match="the card expects"):
        card.marker_law  # noqa: B018


def test_weights_cannot_be_a_path_elsewhere(net_card):
    document = json.loads(net_card.read_text())
    document["grains"]["markers"]["weights"] = "../net.safetensors"
    with pytest.raises(ModelCardError, match="does not match"):
        ModelCard(document, net_card.parent)
