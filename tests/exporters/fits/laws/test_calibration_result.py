"""What a calibration leaves: a card that generates such grains, and a report."""

import json
import math

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain import schemas
from cathodegrain.exporters.commands.main import main
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.model_card import ModelCard

pytest.importorskip("matplotlib")
COMMAND = ["calibrate", "grains", "--diameter"]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A card with its report, on a fifth of the usual grains."""
    folder = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        from cathodegrain.generator.fitting.laws import calibration

        for name in ("FEW_GRAINS", "OTHER_GRAINS", "MANY_GRAINS"):
            patch.setattr(calibration, name, getattr(calibration, name) // 5)
        given = ["0.598±0.305", "--source", "A <paper>", "--out", str(folder / "My grains.json")]
        assert main([*COMMAND, *given]) == 0
    return folder


def test_the_card_says_what_it_is_calibrated_to_and_what_is_assumed(calibrated):
    card = ModelCard.load(calibrated / "My grains.json")
    assert card.name == "my-grains"
    told = card.document["fitted_on"]
    assert "Grains: calibrated to published numbers: mean diameter 0.598 um" in told
    assert "A <paper>" in told
    assert "Shell, as in the model nmc811: Table 1" in told
    assert "phantom" not in json.dumps(card.document)
    assumed = {one["field"]: one["choice"] for one in card.document["assumptions"]}
    assert assumed["grains.markers.aspect_ratio"] == "median 1.6, radial over transverse"
    assert assumed["grains.markers.tilt_deg"] == "15 degrees"
    assert card.parameter("grains.size_um") > 0.598  # in space grains are larger than in sections


def test_the_report_lists_laws_whose_cards_generate(calibrated):
    report = calibrated / "My grains-report"
    numbers = json.loads((report / "fit.json").read_text("utf-8"))
    assert schemas.problems(numbers, "grain_calibration_report") == []
    assert (report / "laws.png").stat().st_size > 10_000
    page = (report / "index.html").read_text("utf-8")
    assert "A &lt;paper&gt;" in page
    cards = [law["card"] for law in numbers["laws"] if law["card"]]
    assert len(cards) == 3
    for path in cards:
        card = ModelCard.load(report / path)
        assert path in page
        assert card.grains["calibration"]["asked"]["mean_um"] == 0.598
    assert cg.generate(card, parameters={"shell.diameter_um": 3.0}).n_grains > 10


def test_sections_of_particles_have_the_numbers(calibrated):
    """By another way: particles from the card, cut at any height and described pixel by pixel."""
    card = ModelCard.load(calibrated / "My grains.json")
    ball = {"shell.max_degree": 0, "shell.diameter_um": 8.0}
    parts = []
    for particle in cg.generate_particles(card, seed=3, indices=range(3), parameters=ball):
        for normal in np.eye(3):
            cut = cg.section(particle, normal=normal, pixel_um=0.05)
            parts.append(section_descriptors(cut.section()))
    found = np.concatenate([2 * np.sqrt(p.area_um2[~p.cut] / math.pi) for p in parts])
    assert len(found) > 500
    error = 0.305 / math.sqrt(len(found))
    assert found.mean() == pytest.approx(0.598, abs=3 * error + 0.01)
    assert found.std() == pytest.approx(0.305, abs=3 * error + 0.01)


def test_nothing_is_replaced_unasked(calibrated, capsys):
    out = calibrated / "My grains.json"
    before = out.read_bytes()
    assert main([*COMMAND, "0.6", "--out", str(out)]) == 2
    assert "My grains.json and" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0.5-0.3"], "--diameter is '0.5-0.3', expected a mean and its standard deviation"),
        (["0.6+-nan"], "the standard deviation is nan um, expected a positive one"),
        (["-0.6+-0.3"], "the mean diameter is -0.6 um"),
        (["0.6+-0.3+-0.1"], "--diameter is '0.6+-0.3+-0.1'"),
        (["0.09"], "1.8 pixels of 0.05 um, expected 2 or more"),
        (["0.6", "--min-pixels", "0"], "the least number of pixels of a grain is 0"),
        (["0.6", "--cuts", "oblique"], "--cuts is 'oblique', expected central or random"),
        (["0.6", "--spread", "x"], "--spread is 'x', expected r or d"),
        (["0.6", "--alignment", "-2"], "the alignment is -2, expected -1 to 1"),
        (["5"], "too large for particles with a radius of 3.98 um"),
        (["0.6", "--seed", "-1"], "--seed is -1, expected 0 or more"),
        (["0.6", "--name", "My grains"], "--name is 'My grains'"),
        (["0.6", "--shell", "nothing"], "no model card 'nothing'"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND[:2], f"--diameter={words[0]}", *words[1:]]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("light_calibrations")
def test_targets_out_of_reach_name_the_nearest_and_write_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, "0.6+-0.12"]) == 2
    told = capsys.readouterr().err
    assert (
        "out of reach with the spread carried by r, in central sections: mean diameter 0.6" in told
    )
    nearest = float(
        told.split("the nearest that a law has is ")[1].split("deviation ")[1].split()[0]
    )
    assert 0.15 < nearest < 0.3
    assert list(tmp_path.iterdir()) == []
