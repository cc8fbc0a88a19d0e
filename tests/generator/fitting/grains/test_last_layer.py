from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cathodegrain.generator.fitting.grains import (
    last_layer,
    run as grain_fit,
    score as section_score,
)
from cathodegrain.generator.fitting.grains.training import DEFAULT, first_state
from cathodegrain.generator.fitting.sections.descriptors import mean_radius
from cathodegrain.generator.fitting.sections.grain_model import GrainModel
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section
from cathodegrain.generator.model_card import ModelCard

CONFIG = replace(DEFAULT, tuning=3)


@pytest.fixture(scope="module")
def sections():
    rng = np.random.default_rng(1)
    return [phantom_section(PHANTOMS["elongated"], rng, half_width=50) for _ in range(2)]


@pytest.fixture
def net():
    return first_state(DEFAULT, np.random.default_rng(2)).generator.marker_net(10.0)


@pytest.fixture
def inputs():
    return np.random.default_rng(3).normal(size=(50, 60))


@pytest.fixture
def run(net):
    start = grain_fit.first_run(CONFIG, 5)
    return replace(start, best=grain_fit.Best(net, 0.0012, 300, 1.0))


def untold(n, score):
    pass


def test_no_change_leaves_the_net(net, inputs):
    same = last_layer.with_last_layer(net, np.arange(4.0), np.zeros(4))
    np.testing.assert_array_equal(same.outputs(inputs), net.outputs(inputs))


def test_gains_act_about_the_mean_and_the_shift_on_the_radial_entry(net, inputs):
    before = net.outputs(inputs)
    mean = before.mean(axis=0)
    changed = last_layer.with_last_layer(net, mean, np.array([np.log(3), np.log(2), 0.7, 9.0]))
    after = changed.outputs(inputs)
    np.testing.assert_allclose(after[:, 0], mean[0] + 3 * (before[:, 0] - mean[0]))
    np.testing.assert_allclose(after[:, 1], mean[1] + 0.7 + 2 * (before[:, 1] - mean[1]))
    np.testing.assert_array_equal(after[:, 2:], before[:, 2:])


def test_the_result_has_a_score_that_was_told_and_is_better_than_before(net, sections):
    told = []
    found = last_layer.tuned(net, 0.0012, sections, 4, 8, lambda n, score: told.append(score))
    tuned, intensity, tuning = found
    assert tuning.score_before == told[0]
    assert tuning.score in told[1:]
    assert tuning.score < told[0]
    assert intensity == pytest.approx(0.0012 * tuning.intensity_factor)
    again = last_layer.tuned(net, 0.0012, sections, 4, 8, untold)
    np.testing.assert_array_equal(again[0].weights[-1], tuned.weights[-1])
    assert again[2] == tuning


def test_a_run_is_tuned_once_and_its_file_holds_it(run, sections, tmp_path):
    done = grain_fit.tuned(run, sections, untold)
    assert done.best.score == run.best.score
    assert done.best.tuning.score <= done.best.tuning.score_before
    grain_fit.save(done, tmp_path / "run.safetensors")
    kept = grain_fit.load(tmp_path / "run.safetensors")
    assert kept.best.tuning == done.best.tuning
    np.testing.assert_array_equal(kept.best.net.weights[-1], done.best.net.weights[-1])
    assert grain_fit.tuned(kept, sections, untold) is kept


def test_a_net_whose_twins_show_no_whole_grain_is_left(run, sections, monkeypatch):
    monkeypatch.setattr(last_layer, "score", lambda generated, measured: np.inf)
    assert grain_fit.tuned(run, sections, untold) is run


def test_a_configuration_without_tuning_is_left(run, sections):
    plain = replace(run, config=replace(CONFIG, tuning=0))
    assert grain_fit.tuned(plain, sections, untold) is plain


def test_the_spread_of_the_areas_counts(sections):
    sample = section_score.planar_sample(sections)
    areas = sample.values["area"]
    wide = areas.mean() + 1.1 * (areas - areas.mean())
    other = replace(sample, values={**sample.values, "area": wide})
    moved = np.abs(wide - areas).mean() / areas.std()
    assert section_score.score(other, sample) == pytest.approx(0.1 + moved)


@pytest.mark.slow
def test_a_shift_of_a_net_is_found_in_sections_of_the_net_that_it_was():
    card = ModelCard.load("nmc811")
    law, intensity = card.marker_law, card.intensity
    rng = np.random.default_rng(6)
    model = GrainModel(law, intensity)
    sections = [phantom_section(model, rng, half_width=90) for _ in range(4)]
    mean = last_layer._mean_outputs(law, intensity, mean_radius(sections))
    spoilt = last_layer.with_last_layer(law, mean, np.array([0.0, 0.0, 0.4, 0.0]))
    _, _, tuning = last_layer.tuned(spoilt, intensity, sections, 0, 40, untold)
    assert tuning.radial_shift == pytest.approx(-0.4, abs=0.15)
    # it does not come all the way back: the net itself has 0.29, and the gain of r runs off
    assert tuning.score < tuning.score_before
