import math
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cathodegrain.generator.fitting.grains import run as grain_fit, training
from cathodegrain.generator.fitting.grains.planar_fit import PlanarFitSettings, fit_section
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section

CONFIG = replace(
    training.DEFAULT, batch=4, epochs=2, steps=6, score_every=3, score_from=3, averaging=0.5
)


@pytest.fixture(scope="module")
def sections():
    rng = np.random.default_rng(1)
    return [phantom_section(PHANTOMS["elongated"], rng, half_width=60) for _ in range(2)]


@pytest.fixture(scope="module")
def fits(sections):
    return [fit_section(section, PlanarFitSettings(steps=20)) for section in sections]


def last(run, sections, fits):
    return list(grain_fit.runs(run, sections, fits))[-1]


@pytest.fixture(scope="module")
def finished(sections, fits):
    return last(grain_fit.first_run(CONFIG, 3), sections, fits)


def test_every_score_is_kept_and_the_least_is_the_best(finished):
    assert [step for step, _ in finished.scores] == [3, 6, 9, 12]
    best = min(finished.scores, key=lambda pair: pair[1])
    assert (finished.best.step, finished.best.score) == best
    assert finished.part == 1.0
    assert finished.stopped == ""


def test_a_run_goes_on_from_its_file_to_the_bit(sections, fits, finished, tmp_path):
    half = next(grain_fit.runs(grain_fit.first_run(CONFIG, 3), sections, fits))
    grain_fit.save(half, tmp_path / "run.safetensors")
    again = last(grain_fit.load(tmp_path / "run.safetensors"), sections, fits)
    assert again.scores == finished.scores
    assert again.best.step == finished.best.step
    assert again.best.intensity == finished.best.intensity
    for one, other in zip(again.best.net.weights, finished.best.net.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    grain_fit.save(again, tmp_path / "end.safetensors")
    kept = grain_fit.load(tmp_path / "end.safetensors")
    assert kept.best.score == finished.best.score
    np.testing.assert_array_equal(kept.best.net.weights[0], finished.best.net.weights[0])


def test_other_entropies_give_other_nets(sections, fits, finished):
    other = last(grain_fit.first_run(CONFIG, 4), sections, fits)
    assert not np.array_equal(other.best.net.weights[0], finished.best.net.weights[0])


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_best(sections, fits):
    steps = grain_fit.runs(grain_fit.first_run(CONFIG, 3), sections, fits)
    run = next(steps)
    with torch.no_grad():
        run.state.discriminator.layers[-1].bias.fill_(math.nan)
    end = list(steps)[-1]
    assert "losses of step 3 are nan" in end.stopped
    assert end.best.step == 3


def test_patience_ends_a_run_that_gets_no_better(sections, fits, monkeypatch):
    worse = iter(range(1, 100))
    monkeypatch.setattr(grain_fit, "score", lambda generated, measured: float(next(worse)))
    run = last(grain_fit.first_run(replace(CONFIG, patience=2), 3), sections, fits)
    assert run.best.step == 3
    assert [step for step, _ in run.scores] == [3, 6, 9]
    assert run.stopped == "no better score in 2 of them"


def test_a_warm_start_has_a_score_of_its_own(sections, fits):
    config = replace(CONFIG, score_from=0, epochs=1)
    run = last(grain_fit.first_run(config, 3), sections, fits)
    assert [step for step, _ in run.scores] == [0, 3, 6]


def with_scores(*scores):
    """A run whose states have had some scores, every 50 steps from step 100 on."""
    run = grain_fit.first_run(CONFIG, 7)
    pairs = tuple((100 + 50 * k, score) for k, score in enumerate(scores))
    step, least = min(pairs, key=lambda pair: pair[1])
    net = run.state.scored_net(CONFIG)
    return replace(run, scores=pairs, best=grain_fit.Best(net, 0.001, step, least))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((1.0, 0.6, 0.3, 0.35), None),
        ((1.0, 0.3), None),
        ((0.4, 0.7, 1.2), r"seed 7 is best in its first scored state, of step 100 \(score 0.40; "
                          r"1.20 at step 200\)"),
        ((0.9, 0.4, 0.7, math.inf), "seed 7 rises from 0.40 at step 150 to inf at step 250"),
        ((0.9, 0.4, 0.7, 0.8), "seed 7 rises from 0.40 at step 150 to 0.80 at step 250"),
        ((1.50, 1.48, 1.49, 1.5), "seed 7 is stuck: its score stays between 1.48 and 1.50"),
    ],
)  # fmt: skip
def test_what_went_wrong_in_a_run_is_said_in_words(scores, expected):
    found = list(grain_fit.verdicts(with_scores(*scores)))
    assert len(found) == (expected is not None)
    if expected:
        assert re.search(expected, found[0])
