"""Whole fits of seconds: what is used, told, kept and written on the card."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.laws.law_card import fitted_card
from cathodegrain.generator.fitting.laws.law_fit import fit_law, require_usable, warnings
from cathodegrain.generator.fitting.laws.law_parameters import PARAMETERS
from cathodegrain.generator.fitting.sections.descriptors import alignment, section_descriptors
from cathodegrain.generator.fitting.sections.section import Section
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from law_sections import law_section, shorten


def verdicts(sections, central):
    found = [alignment(section_descriptors(section)) for section in sections]
    found = [replace(verdict, level=1.1, least_alignment=-1.0) for verdict in found]
    return [v if c else replace(v, level=0.0) for v, c in zip(found, central, strict=True)]


class Folder:
    """Steps that were kept, and how many were computed."""

    def __init__(self):
        self.arrays, self.computed, self.stop_at = {}, [], None

    def __call__(self, name, make):
        if name not in self.arrays:
            if name == self.stop_at:
                raise KeyboardInterrupt
            self.arrays[name] = make()
            self.computed.append(name)
        return self.arrays[name]


@pytest.fixture(scope="module")
def sections():
    return [law_section(0), law_section(1), law_section(2, part=0.6)]


@pytest.fixture(scope="module")
def fit(sections):
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten(monkeypatch)
        return fit_law(sections, verdicts(sections, [True, True, False]), 3)


def test_a_fit_that_was_stopped_resumes_to_the_bit(short_law_fits, sections):
    whole, broken = Folder(), Folder()
    given = sections[:2], verdicts(sections[:2], [True, True]), 3
    expected = fit_law(*given, whole)
    broken.stop_at = whole.computed[len(whole.computed) // 2]
    with pytest.raises(KeyboardInterrupt):
        fit_law(*given, broken)
    n = len(broken.computed)
    broken.stop_at = None
    found = fit_law(*given, broken)
    assert broken.computed == whole.computed
    assert 0 < n < len(whole.computed)
    assert (found.moments.theta == expected.moments.theta).all()
    assert (found.refits.distances == expected.refits.distances).all()


def test_a_card_says_what_this_fit_found_and_makes_particles(fit):
    base = ModelCard.load("nmc811")
    card = fitted_card(fit, base, "own", "cathodegrain test")
    grains, text = card.grains, json.dumps(card.document)
    assert grains["markers"]["law"] == "radial_profile"
    assert grains["size"]["mean_um"] > 0
    assert "section-0.tif" in card.document["fitted_on"]
    assert "maps/" not in text  # names of files, wherever they lay
    assert base.document["fitted_on"].partition("Grains")[2] not in card.document["fitted_on"]
    assert not any("phantom" in limit for limit in card.document["limits"])
    assert len(grains["law_fit"]["parameters"]) == len(PARAMETERS)
    held = [a for a in card.document["assumptions"] if "held near" in a["choice"]]
    assert len(held) == len(fit.known.unknown)
    small = card.with_parameters({"shell.diameter_um": 1.5})
    assert generate_particle(small, seed=1).n_grains > 3


def test_sections_off_the_centre_get_a_height_and_are_not_thrown_away(fit):
    assert set(fit.heights) == {2}
    found = fit.heights[2]
    assert 0 <= found.low <= found.part <= found.high < 1
    assert (2 in fit.used) == (found.high - found.low <= 0.3)


def test_few_sections_and_a_law_that_is_missed_are_told(fit):
    far = replace(fit.moments.best, distance=1e4)
    told = list(warnings(replace(fit, moments=replace(fit.moments, best=far), used=(0,))))
    assert "does not meet the sections" in told[0]
    assert any("1 sections are few" in text for text in told)


def test_starts_that_ended_elsewhere_are_told(fit):
    starts = dict(fit.first.starts)
    starts["tilted"] = replace(starts["tilted"], distance=1e5)
    told = warnings(replace(fit, first=replace(fit.first, starts=starts)))
    assert any("tilted by" in text and "ended elsewhere" in text for text in told)


def test_a_fit_that_a_held_spread_of_r_improves_on_is_told(fit):
    better = [replace(one, distance=-1e3) for one in fit.offset_spreads]
    assert any("the fit is stuck" in text for text in warnings(replace(fit, offset_spreads=better)))


def test_too_few_grains_equal_sections_and_cut_off_ones_are_refused_at_once():
    one = law_section(0)
    labels = np.full((30, 30), 1, np.int32)
    labels[:15] = 2
    cut = Section(labels, 0.05, (15.0, 15.0), "cut.tif")
    with pytest.raises(FitError) as error:
        require_usable([cut])
    assert "2 grains in all are too few" in str(error.value)
    assert "neither the centre nor the radius" in str(error.value)
    with pytest.raises(FitError, match="give each once"):
        require_usable([one, one])


def test_twins_are_sections_of_the_law_on_the_same_pixels(fit):
    twin = fit.twin(0)
    assert (twin.inside == fit.kept[0].inside).mean() > 0.995
    assert twin.n_grains > 20
    assert (twin.labels != fit.kept[0].labels).any()
