import re

import pytest

from cathodegrain.exporters.datasets import config
from cathodegrain.generator.errors import DatasetError, ModelCardError
from cathodegrain.generator.model_card import ModelCard
from places import ROOT
from small_datasets import FIELDS, TOML


def changed(**fields):
    return {**FIELDS, **fields}


def test_a_file_says_what_its_fields_say(tmp_path):
    (tmp_path / "c.toml").write_text(TOML)
    assert config.load(tmp_path / "c.toml").document == config.from_fields(FIELDS).document


def test_the_document_is_the_configuration():
    plan = config.from_fields(
        changed(products={"mesh": {"count": 2, "size_um": 0.2}, "report": {}})
    )
    again = config.DatasetConfig.from_document(plan.document, plan.card)
    assert again.document == plan.document
    assert again.products == plan.products


def test_options_left_out_are_those_of_the_command_line():
    plan = config.from_fields(changed(products={"voxels": {}, "mesh": {}}))
    options = {product.name: product.options for product in plan.products}
    assert options["voxels"] == {"pitch_um": 0.1}
    assert options["mesh"]["size_um"] == 0.15
    assert options["mesh"]["boundaries"] == "bonded"


def test_grains_are_measured_on_the_voxels_if_there_are_any():
    assert config.from_fields(changed(products={})).products[0].options == {"pitch_um": 0.1}
    voxels = changed(products={"voxels": {"pitch_um": 0.2}})
    (grains, _) = config.from_fields(voxels).products
    assert (grains.name, grains.options) == ("grain-table", {"pitch_um": 0.2})


def test_products_of_some_particles_are_of_the_first():
    plan = config.from_fields(changed(first=10, products={"mesh": {"count": 2}}))
    names = [[p.name for p in plan.products_of(index)] for index in plan.indices]
    assert names == [["mesh", "grain-table"]] * 2 + [["grain-table"]] * 3


def test_a_card_beside_the_file_is_found(tmp_path):
    import json

    card = ModelCard.load("nmc811").with_parameters({"grains.intensity": 0.002})
    (tmp_path / "mine.json").write_text(json.dumps(card.document))
    (tmp_path / "c.toml").write_text('name = "a"\nmodel = "mine.json"\ncount = 1\n')
    assert config.load(tmp_path / "c.toml").card.sha256 == card.sha256


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sead": 1}, "sead: unknown; did you mean 'seed'"),
        ({"parameters": {"grain.intensity": 1}}, "did you mean 'grains.intensity'"),
        ({"parameters": {"grains": {"intensity": -1}}}, "parameters: grains.intensity: -1"),
        ({"parameters": {"shell.diameter_um": 40}}, "40 um contradicts the largest radius"),
        ({"products": {"voxel": {}}}, "voxel: unknown; did you mean 'voxels'"),
        ({"products": {"voxels": {"pitch": 0.1}}}, "did you mean 'pitch_um'"),
        ({"products": {"voxels": {"pitch_um": 0}}}, "expected a positive length in um"),
        ({"products": {"voxels": {"pitch_um": float("nan")}}}, "expected a positive length"),
        ({"products": {"voxels": {"pitch_um": True}}}, "expected a positive length"),
        ({"products": {"voxels": {"pitch_um": 0.7}}}, "0.7 um contradicts particles of at most"),
        ({"products": {"mesh": {"size_um": 0.1, "boundary_size_um": 0.2}}}, "exceeds size_um 0.1"),
        (
            {"products": {"mesh": {"size_um": 0.1, "surface_size_um": 0.2}}},
            "surface_size_um 0.2 exceeds 0.1, the size of edges in grains",
        ),
        ({"products": {"mesh": {"count": 6}}}, "mesh.count: 6, expected an integer from 1 to"),
        ({"products": {"mesh": {"order": 1.5}}}, "order: 1.5, expected an integer"),
        ({"products": {"grain-table": {"count": 2}}}, "count: unknown"),
        ({"products": {"convergence": {"sizes_um": [0.3]}}}, "a list of two or more"),
        ({"products": {"mesh": 3}}, "products.mesh: 3, expected a table"),
        ({"count": 0}, "count: 0, expected 1 to"),
        ({"count": True}, "count: True, expected an integer"),
        ({"seed": -1}, "seed: -1, expected 0 to"),
        ({"name": "../up"}, "name: '../up', expected small letters"),
        ({"model": "nmc"}, "model: no model card 'nmc'"),
    ],
)
def test_what_cannot_be_is_said(fields, message):
    with pytest.raises(DatasetError) as caught:
        config.from_fields(changed(**fields))
    assert message in str(caught.value)


def test_all_problems_are_told_at_once():
    fields = {"name": "A", "cuont": 3, "model": "nmc811", "parameters": {"x": 1},
              "products": {"voxels": {"pitch": 1, "pitch_um": -1}, "mesch": {}}}  # fmt: skip
    with pytest.raises(DatasetError) as caught:
        config.from_fields(fields)
    told = "\n".join(line.strip() for line in str(caught.value).splitlines()[1:])
    for field in (
        "name: 'A'", "cuont: unknown", "count: missing", "parameters.x: unknown",
        "products.mesch: unknown", "products.voxels.pitch: unknown",
        "products.voxels.pitch_um: -1",
    ):  # fmt: skip
        assert field in told
    assert told.count("\n") == 6


@pytest.mark.parametrize("text", [b"name = ", b"\xff", b"count = 1" * 3])
def test_a_file_that_is_no_toml_is_said(tmp_path, text):
    (tmp_path / "c.toml").write_bytes(text)
    with pytest.raises(DatasetError, match="expected a TOML file"):
        config.load(tmp_path / "c.toml")


def test_a_derived_configuration_names_parent_and_changes():
    plan = config.from_fields(FIELDS)
    longer = plan.derived({"grains.elongation": 1.5, "grains.metric": "norm"})
    assert longer.name == "small-grains.elongation=1.5"
    assert longer.origin.changes == {"grains.elongation": 1.5}
    assert longer.origin.model_sha256 == plan.card.sha256 != longer.card.sha256
    assert (longer.seed, longer.indices) == (plan.seed, plan.indices)
    with pytest.raises(DatasetError, match="changes nothing"):
        plan.derived({"grains.elongation": 1.0})
    with pytest.raises(ModelCardError, match="did you mean"):
        plan.derived({"grains.elongatoin": 1.5})


def test_the_example_of_the_documentation_and_the_published_configuration_are_valid(tmp_path):
    root = ROOT
    (example,) = re.findall(r"```toml\n(.*?)```", (root / "docs/dataset.md").read_text(), re.S)
    (tmp_path / "c.toml").write_text(example)
    plan = config.load(tmp_path / "c.toml")
    published = config.load(root / "dataset_cards/nmc811-virtual.toml")
    assert plan.document == published.document
