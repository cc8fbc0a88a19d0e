"""What README.md says besides its blocks (test_documents.py) is so."""

import re

from cathodegrain.generator.model_card import PARAMETERS, ModelCard
from places import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_every_parameter_is_documented():
    assert set(re.findall(r"^\| `((?:shell|grains|orientations)\.\w+)`", README, re.M)) == set(
        PARAMETERS
    )


def test_the_picture_and_the_links_exist():
    root = ROOT
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (root / target).exists(), target


def test_the_shipped_card_says_what_the_limits_say():
    assert any("phantom" in limit for limit in ModelCard.load("nmc811").document["limits"])
