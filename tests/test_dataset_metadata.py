from pathlib import Path

import pytest
import yaml

from cathodegrain.exporters.datasets.model_readme import model_readme
from cathodegrain.exporters.datasets.yaml_text import front_matter, yaml_text
from cathodegrain.generator.model_card import ModelCard, shipped_cards

CARDS = Path(__file__).parent.parent / "dataset_cards"
AWKWARD = {
    "text": 'quote " colon: # hash \\ é 中',
    "looks like": ["true", "2025-01-01", "1e3", "null", "~", "- x", "1:30", ""],
    "numbers": [1, -2.5, 1e-9, True, None],
    "nested": [{"a": 1, "b": [{"c": []}, {}]}, [[1, 2], ["x"]]],
}


def head(text):
    """Front matter of a Markdown file."""
    _, fields, _ = text.split("---\n", 2)
    return yaml.safe_load(fields)


def test_yaml_is_read_back_as_it_was():
    assert yaml.safe_load(yaml_text(AWKWARD)) == AWKWARD
    assert head(front_matter(AWKWARD) + "# Title\n") == AWKWARD


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
