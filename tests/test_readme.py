"""What README.md says besides its blocks (test_documents.py) is so."""

import re
from pathlib import Path

from cathodegrain.generator.model_card import PARAMETERS, ModelCard

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_every_parameter_is_documented():
    assert set(re.findall(r"^\| `((?:shell|grains|orientations)\.\w+)`", README, re.M)) == set(
        PARAMETERS
    )


def test_the_picture_and_the_links_exist():
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (root / target).exists(), target


def test_the_shipped_card_says_what_the_limits_say():
    assert any("phantom" in limit for limit in ModelCard.load("nmc811").document["limits"])
