import ast
import copy
import json
import re
from collections import defaultdict
from dataclasses import MISSING, fields

import pytest
from jsonschema import Draft202012Validator

from cathodegrain import schemas
from cathodegrain.generator.markers.radial_profile import RadialProfileMarkers
from cathodegrain.generator.model_card import ModelCard, shipped_cards
from places import ROOT

SOURCES = [path for room in ("generator", "exporters") for path in sorted((ROOT / room).rglob("*"))]
OF_OTHERS = {"citation", "dataset_card"}  # formats that know no field `schema`
OWN = sorted(set(schemas.SCHEMAS) - OF_OTHERS)


def kinds_written():
    """Values of every field ``schema`` that the code writes, and of those that come as files."""
    trees = [ast.parse(path.read_text("utf-8")) for path in SOURCES if path.suffix == ".py"]
    literals = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    for literal in literals:
        for key, value in zip(literal.keys, literal.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "schema":
                yield ast.literal_eval(value)  # fails if it is not written out
    for path in SOURCES:
        if path.suffix == ".json":
            yield json.loads(path.read_text("utf-8"))["schema"]


def kinds_of_hdf5():
    """Values of every ``KIND``: what binary files name as theirs."""
    for path in SOURCES:
        if path.suffix == ".py":
            yield from re.findall(r'^KIND = "(.*)"$', path.read_text("utf-8"), re.MULTILINE)


def places(value, path=()):
    """Paths of all fields in a document."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def without(document, path):
    found = copy.deepcopy(document)
    parent = found
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return found


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_document_that_is_written_has_its_schema_and_every_schema_its_document():
    assert set(kinds_written()) == {f"cathodegrain/{name}" for name in OWN}


def test_documents_and_binary_files_are_never_of_the_same_kind():
    assert len(set(kinds_of_hdf5())) >= 7
    assert not set(kinds_written()) & set(kinds_of_hdf5())


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_a_schema_is_a_valid_one_that_its_file_is_named_after(name):
    document = schemas.load(name)
    Draft202012Validator.check_schema(document)
    version = document["$id"].rpartition(":")[2]
    assert document["$id"] == f"urn:cathodegrain:schema:{name}:{version}"
    assert schemas.SCHEMAS[name] == f"{name}-{version}.schema.json"


@pytest.mark.parametrize("name", OWN)
def test_a_document_names_its_schema_and_version(name):
    document = schemas.load(name)
    version = document["$id"].rpartition(":")[2]
    assert document["properties"]["schema"] == {"const": f"cathodegrain/{name}"}
    assert document["properties"]["schema_version"] == {"const": version}
    assert {"schema", "schema_version"} <= set(document["required"])
    assert schemas.problems({"schema": "cathodegrain/other"}, name) == [
        f"schema: 'cathodegrain/other', expected 'cathodegrain/{name}'"
    ]


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_a_schema_needs_no_other_file_and_has_no_definition_without_use(name):
    document = schemas.load(name)
    defined = {f"#/$defs/{name}" for name in document.get("$defs", {})}
    assert set(references(document)) == defined


def test_a_definition_means_the_same_in_every_schema():
    meanings = defaultdict(list)
    for name in schemas.SCHEMAS:
        for key, value in schemas.load(name).get("$defs", {}).items():
            meanings[key].append(value)
    assert len(meanings["sha256"]) >= 3
    for key, values in meanings.items():
        assert all(value == values[0] for value in values), key


@pytest.mark.parametrize("name", shipped_cards())
def test_a_field_that_is_missing_in_a_shipped_card_is_named_with_its_place(name):
    card = ModelCard.load(name).document
    optional = {
        "fit",
        "calibration",
        "loc",
        "tuning",
        "size",
    }  # by the docs; below: tables of any keys
    optional |= {f.name for f in fields(RadialProfileMarkers) if f.default is not MISSING}
    free = {"planar_fit", "config", "interval_99", "standard_error"}
    for path in places(card):
        place, field = ".".join(map(str, path[:-1])), path[-1]
        if isinstance(field, int) or field in optional or free & set(path[:-1]):
            continue
        if "families" in path and field not in {"family", "log_likelihood", "aic"}:
            continue  # parameters of a law, tested with the laws
        expected = f"{place or 'document'}: {field!r} is a required property"
        assert expected in schemas.problems(without(card, path), "model_card"), path


@pytest.mark.parametrize(
    ("family", "missing", "wrong"),
    [("lognorm", "shape", "nu"), ("t", "nu", "scale"), ("norm", "sigma", "nu")],
)
def test_a_law_has_the_parameters_of_its_family(family, missing, wrong):
    parameters = {
        "lognorm": {"shape": 0.3, "loc": 0.0, "scale": 2.0},
        "t": {"nu": 3.0, "sigma": 1.0},
        "norm": {"sigma": 1.0},
    }[family]
    law = {"family": family, **parameters}
    card = dict(ModelCard.load("nmc811").document)

    def found(size, order):
        shell = {**card["shell"], "size": size, "orders": [{"degree": 1, **order}]}
        return schemas.problems({**card, "shell": shell}, "model_card")

    assert found(law, law) == []
    short, long = without(law, [missing]), {**law, wrong: 1.0}
    required = f"{missing!r} is a required property"
    assert found(short, short) == [f"shell.orders.0: {required}", f"shell.size: {required}"]
    assert [line.partition(":")[0] for line in found(long, long)] == [
        "shell.orders.0",
        "shell.size",
    ]
