import json
import re
import shutil
from urllib.parse import unquote

import pandas as pd
import pytest
import yaml

from cathodegrain import schemas
from cathodegrain.exporters.datasets import manifest
from cathodegrain.exporters.datasets.config import load
from cathodegrain.exporters.datasets.describing.citation import PAPER
from cathodegrain.exporters.datasets.describing.describe import describe, write_descriptions
from cathodegrain.exporters.datasets.describing.facts import creator, read_facts
from cathodegrain.exporters.datasets.making.build import build
from cathodegrain.exporters.datasets.making.engines import in_this_process
from cathodegrain.exporters.datasets.model_readme import model_readme
from cathodegrain.exporters.datasets.yaml_text import front_matter, yaml_text
from cathodegrain.generator.errors import DatasetError
from cathodegrain.generator.model_card import ModelCard, shipped_cards
from places import ROOT
from small_datasets import contents, make_dataset

CARDS = ROOT / "dataset_cards"
AWKWARD = {
    "text": 'quote " colon: # hash \\ é 中',
    "looks like": ["true", "2025-01-01", "1e3", "null", "~", "- x", "1:30", ""],
    "numbers": [1, -2.5, 1e-9, 1e30, True, None],
    "nested": [{"a": 1, "b": [{"c": []}, {}]}, [[1, 2], ["x"]]],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset") / "tiny")


@pytest.fixture
def own(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "own")


def head(text):
    """Front matter of a Markdown file."""
    _, fields, _ = text.split("---\n", 2)
    return yaml.safe_load(fields)


def document(dataset, name):
    return json.loads((dataset / name).read_text("utf-8"))


def test_yaml_is_read_back_as_it_was():
    assert yaml.safe_load(yaml_text(AWKWARD)) == AWKWARD
    assert head(front_matter(AWKWARD) + "# Title\n") == AWKWARD


def test_a_built_dataset_has_its_descriptions_and_they_are_in_its_manifest(dataset):
    names = {"README.md", "LICENSE", "CITATION.cff", "croissant.json", "datacite.json",
             "ro-crate-metadata.json"}  # fmt: skip
    assert names <= set(manifest.read(dataset))
    assert manifest.read(dataset) == manifest.hashes(dataset)


def test_equal_datasets_have_equal_descriptions(dataset, tmp_path):
    assert contents(make_dataset(tmp_path / "again")) == contents(dataset)


def test_describing_again_changes_nothing(own, dataset):
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*") if path.is_file()}
    describe(own)
    del before[own / "manifest-sha256.txt"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(own) == contents(dataset)


def test_an_edited_description_is_made_anew(own, dataset):
    (own / "README.md").write_text("mine", "utf-8")
    (own / "croissant.json").unlink()
    describe(own)
    assert contents(own) == contents(dataset)


def test_the_card_loads_the_tables_by_its_front_matter(dataset):
    fields = head((dataset / "README.md").read_text("utf-8"))
    assert schemas.problems(fields, "dataset_card") == []
    index = pd.read_parquet(dataset / "index/particles.parquet")
    tables = {
        config["config_name"]: [pd.read_parquet(p) for p in dataset.glob(config["data_files"])]
        for config in fields["configs"]
    }
    assert sum(map(len, tables["particles"])) == len(index) == 4
    assert sum(map(len, tables["grains"])) == index.n_grains.sum()
    assert fields["size_categories"] == ["n<1K"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"license": "mit"}, "license: 'cc-by-4.0' was expected"),
        ({"size_categories": ["huge"]}, "size_categories.0"),
        ({"configs": []}, "configs"),
        ({"configs": [{"config_name": "x", "data_files": "a.csv"}]}, "configs.0.data_files"),
        ({"licence": "cc-by-4.0"}, "document: Additional properties"),
    ],
)
def test_a_wrong_front_matter_is_found(dataset, change, message):
    fields = head((dataset / "README.md").read_text("utf-8")) | change
    assert any(message in problem for problem in schemas.problems(fields, "dataset_card"))


def test_the_card_holds_the_numbers_of_the_dataset(dataset):
    text = (dataset / "README.md").read_text("utf-8")
    index = pd.read_parquet(dataset / "index/particles.parquet")
    sizes = [len(content) for name, content in contents(dataset).items() if "recipe.h5" in name]
    assert f"4 of 4 particles, {index.n_grains.sum()} grains" in text
    assert f"| `recipe.h5` | 4 | {sum(sizes):,} |" in text
    assert "| `voxels.vtkhdf` | 3 | " in text
    low, high = index.sphericity.min(), index.sphericity.max()
    assert f"| `sphericity` | Float | {low:.4g} |" in text
    assert f"| {high:.4g} | pi^(1/3) (6 V)^(2/3) / A |" in text
    for limit in ModelCard.load("nmc811-radial").document["limits"]:
        assert limit in text


def test_the_python_of_the_card_runs(dataset, monkeypatch, capsys):
    monkeypatch.chdir(dataset.parent)
    text = (dataset / "README.md").read_text("utf-8")
    (program,) = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    exec(program.replace("in dataset:", "in dataset.select(\"particle_id != 'p000003'\"):"))
    assert capsys.readouterr().out.count("p00000") == 3


def test_the_citation_is_of_the_format_and_quotes_the_paper_as_the_project_does(dataset):
    fields = yaml.safe_load((dataset / "CITATION.cff").read_text("utf-8"))
    assert schemas.problems(fields, "citation") == []
    project = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["references"] == fields["references"] == [PAPER]
    assert project["authors"] == fields["authors"] == [{"name": creator()}]
    assert (fields["license"], fields["version"]) == ("CC-BY-4.0", "1.0.0")


def test_datacite_accepts_its_document(dataset):
    schema45 = pytest.importorskip("datacite.schema45")
    fields = document(dataset, "datacite.json")
    schema45.validator.validate(fields)
    assert fields["publicationYear"] == "2026"
    assert not {"doi", "identifiers", "url"} & set(fields)
    fields["rightsList"][0]["rightsURI"] = fields["rightsList"][0].pop("rightsUri")
    assert not schema45.validator.is_valid(fields)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the RDF library below
def test_mlcroissant_reads_all_records_and_compares_hashes(own):
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(own / "croissant.json")
    assert not found.metadata.issues.errors
    assert not found.metadata.issues.warnings
    index = pd.read_parquet(own / "index/particles.parquet")
    rows = list(found.records("particles"))
    assert [row["particles/particle_id"].decode() for row in rows] == list(index.particle_id)
    assert [row["particles/n_grains"] for row in rows] == list(index.n_grains)
    assert sum(1 for _ in found.records("grains")) == index.n_grains.sum()
    path = own / "index/particles.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(mlcroissant.GenerationError):
        list(mlcroissant.Dataset(own / "croissant.json").records("particles"))


def test_the_crate_lists_every_file_and_no_other(dataset):
    graph = document(dataset, "ro-crate-metadata.json")["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    files = {unquote(id) for id, entity in entities.items() if entity["@type"] == "File"}
    assert files | {"ro-crate-metadata.json"} == set(contents(dataset))
    root = entities["./"]
    assert {unquote(part["@id"]) for part in root["hasPart"]} == files
    assert {"name", "description", "datePublished", "license"} <= set(root)
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    referred = [root["creator"], root["mentions"], root["citation"]]
    assert all(reference["@id"] in entities for reference in referred)
    for name, content in contents(dataset).items():
        size = entities[name].get("contentSize", len(content))
        assert int(size) == len(content)


def test_without_a_year_nothing_is_written_that_wants_one(tmp_path):
    made = make_dataset(tmp_path / "made", count=1, year=None)
    assert not {"datacite.json", "ro-crate-metadata.json"} & set(contents(made))
    assert "datePublished" not in document(made, "croissant.json")


def test_names_that_are_awkward_in_yaml_json_and_markdown_survive(tmp_path):
    title = 'A "title": with #, | and é'
    made = make_dataset(tmp_path / "a folder é", count=1, title=title)
    assert head((made / "README.md").read_text("utf-8"))["pretty_name"] == title
    assert yaml.safe_load((made / "CITATION.cff").read_text("utf-8"))["title"] == title
    assert document(made, "datacite.json")["titles"] == [{"title": title}]


def test_an_unfinished_dataset_is_not_described(own):
    fields = document(own, "dataset.json") | {"contents": None}
    (own / "dataset.json").write_text(json.dumps(fields), "utf-8")
    with pytest.raises(DatasetError, match="is not finished"):
        write_descriptions(own)
    with pytest.raises(DatasetError, match=r"holds no dataset.json"):
        read_facts(own / "index")


def test_every_shipped_model_has_a_card_and_it_is_up_to_date():
    expected = {f"model-{name}.md": model_readme(ModelCard.load(name)) for name in shipped_cards()}
    assert {p.name: p.read_text("utf-8") for p in CARDS.glob("model-*.md")} == expected


@pytest.mark.parametrize("name", shipped_cards())
def test_a_model_card_says_everything_that_the_json_card_says(name):
    card = ModelCard.load(name)
    text = model_readme(card)
    fields = card.document
    for statement in [fields["fitted_on"], *fields["limits"], *fields["references"], card.sha256]:
        assert statement in text
    for assumption in fields["assumptions"]:
        assert all(value in text for value in assumption.values())
    assert head(text)["license"] == "bsd-3-clause"
    for order in fields["shell"]["orders"]:
        assert f"| a_{order['degree']}m | {order['family']}: nu {order['nu']:.6g}" in text


def test_a_datasets_model_has_the_card_of_the_model(dataset):
    card = ModelCard.load(dataset / "model/model.json")
    assert (dataset / "model/README.md").read_text("utf-8") == model_readme(card)


def without_bytes(text):
    """Lines of a card but our version and sizes of files, which depend on the version of zlib."""
    text = re.sub(r"cathodegrain \d\S*", "cathodegrain", text)
    return [
        line for line in text.splitlines() if not re.search(r"bytes|\.(h5|vtkhdf|json)` \|", line)
    ]


def test_the_sample_card_is_of_the_sample_configuration():
    config = load(CARDS / "nmc811-virtual-sample.toml")
    text = (CARDS / "nmc811-virtual.md").read_text("utf-8")
    assert schemas.problems(head(text), "dataset_card") == []
    assert head(text)["pretty_name"] == config.title
    assert f"| seed | {config.seed} |" in text
    assert f"`{config.card.sha256}`" in text


@pytest.mark.slow
def test_the_sample_card_is_up_to_date(tmp_path):
    build(load(CARDS / "nmc811-virtual-sample.toml"), tmp_path / "made", in_this_process)
    made = (tmp_path / "made/README.md").read_text("utf-8")
    shipped = (CARDS / "nmc811-virtual.md").read_text("utf-8")
    assert without_bytes(made) == without_bytes(shipped)
    assert len(without_bytes(shipped)) > 80
