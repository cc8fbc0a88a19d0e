"""The fit of a grain model to sections: training, scores from sections, the best state kept.

A run is one series of states from one seed. It writes a file from time to time, from
which it goes on to the bit; the best net so far is in it. At its end the last layer of the best
net may be tuned to the sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...markers.marker_net import MarkerNet
from ...streams import stream
from ..sections.grain_model import GrainModel
from ..sections.section import Section
from . import checkpoints, last_layer
from .checkpoints import Checkpoint
from .comparison import radial_score, section_unit
from .imitation import Imitation
from .last_layer import Told, Tuning
from .planar_tessellation import SectionTessellation
from .score import closed, planar_sample, score, twin
from .training import (
    DISPLACEMENT_SCALE,
    TrainingConfig,
    TrainingState,
    TrainingStopped,
    first_state,
    train,
)

TWINS = 4  # generated sections for each score
FEW_SCORES = 3  # below which nothing is said of the course of a run
STUCK = 0.05  # part of the largest score within which all scores of a stuck run lie
RISEN = 1.5  # times the best score from which on the last one is told
FINAL_REPEATS = 2  # twins of each section when runs are compared

Scoring = Callable[[Sequence[Section]], float]


@dataclass(frozen=True, eq=False)
class Best:
    """The state with the least score so far.

    Parameters
    ----------
    net, intensity
        Tuned to the sections if there is a ``tuning``.
    step, score
        Of the state as training has left it.
    """

    net: MarkerNet
    intensity: float
    step: int
    score: float
    tuning: Tuning | None = None


@dataclass(frozen=True, eq=False)
class GrainRun:
    """Where a run stands.

    Parameters
    ----------
    config, seed
        What it was started with.
    state
        After the last step.
    best
        Of all scored states; None before the first.
    scores
        (step, score) of each.
    stopped
        Why it ended before its last epoch; empty if it did not.
    """

    config: TrainingConfig
    seed: int
    state: TrainingState
    best: Best | None
    scores: tuple[tuple[int, float], ...]
    stopped: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether the state can be gone on with: no loss has stopped the run."""
        return not self.stopped or _is_tired(self)

    @property
    def part(self) -> float:
        """Part of the steps that is done."""
        return self.state.step / (self.config.epochs * self.config.steps)


def first_run(config: TrainingConfig, seed: int, device: str = "cpu") -> GrainRun:
    """A run before its first step."""
    state = first_state(config, stream(seed, 0, "fit"), device)
    return GrainRun(config, seed, state, None, ())


def warm_run(found: Imitation, seed: int, device: str = "cpu") -> GrainRun:
    """A run before its first step, its net that of an imitation."""
    run = first_run(found.config, seed, device)
    for net in filter(None, (run.state.generator, run.state.averaged)):
        net.load_state_dict(found.net.state_dict())
    return run


def runs(
    run: GrainRun, sections: Sequence[Section], fits: Sequence[SectionTessellation]
) -> Iterator[GrainRun]:
    """Go on with a run: gives where it stands every `TrainingConfig.score_every` steps.

    From ``score_from`` on, which may be 0, and at the end, the state has a score. A loss that is
    no number, and ``patience`` scores without a better one, end it; the best state stays.
    """
    scored = _scores_against(sections, run.config.relative_radius)
    config, last = run.config, run.config.epochs * run.config.steps
    if run.state.step == last:
        yield run
    if not (run.state.step or config.score_from or run.scores):
        run = _scored(run, run.state, sections, scored)
        yield run
    try:
        for state in () if _is_tired(run) else train(fits, config, run.state):
            if state.step % config.score_every and state.step != last:
                continue
            if state.step >= config.score_from or state.step == last:
                run = _scored(run, state, sections, scored)
            if _is_tired(run):
                break
            yield run
    except TrainingStopped as error:
        yield _ended(run, str(error))
    if _is_tired(run):
        yield _ended(run, f"no better score in {config.patience} of them")


def verdicts(run: GrainRun) -> Iterator[str]:
    """What is wrong with the course of a run, a sentence each; nothing where it got better."""
    if run.best is None or len(run.scores) < FEW_SCORES:
        return
    (first_step, first), (last_step, last) = run.scores[0], run.scores[-1]
    best, head = run.best, f"the net of seed {run.seed}"
    values = [score for _, score in run.scores if np.isfinite(score)]
    if max(values) - min(values) < STUCK * max(values):
        yield (
            f"{head} is stuck: its score stays between {min(values):.2f} and {max(values):.2f} "
            f"from step {first_step} to {last_step}; another seed, or a start from a fitted law, "
            "may help"
        )
    elif best.step == first_step:
        yield (
            f"{head} is best in its first scored state, of step {first_step} (score {first:.2f}; "
            f"{last:.2f} at step {last_step}): training has led away from the sections, and what "
            "is kept is hardly trained"
        )
    elif last > RISEN * best.score:
        yield (
            f"the score of {head} rises from {best.score:.2f} at step {best.step} to {last:.2f} at "
            f"step {last_step}: training leads away from the sections after the state that is kept"
        )


def tuned(run: GrainRun, sections: Sequence[Section], told: Told) -> GrainRun:
    """The run with its best net tuned to the sections, if that is wanted and not done yet."""
    best, evaluations = run.best, run.config.tuning
    if best is None or best.tuning or not evaluations:
        return run
    net, intensity, tuning = last_layer.tuned(
        best.net, best.intensity, sections, run.seed, evaluations, told
    )
    if not np.isfinite(tuning.score_before):  # no whole grain to start from
        return run
    return replace(run, best=replace(best, net=net, intensity=intensity, tuning=tuning))


def final_score(best: Best, sections: Sequence[Section], seed: int) -> float:
    """Score of a state by twins of all sections that no choice has seen."""
    model, rng = GrainModel(best.net, best.intensity), stream(seed, 2, "fit")
    twins = [twin(model, section, rng) for _ in range(FINAL_REPEATS) for section in sections]
    return _scores_against(sections, best.net.sees_radius)(twins)


def _scores_against(sections: Sequence[Section], by_radius: bool) -> Scoring:
    """How far twins are from sections: all grains together, or in the mean of radial bins.

    Numbers of all grains hide what a net that sees the radius is to learn.
    """
    measured = [closed(section) for section in sections]
    if not by_radius:
        sample = planar_sample(measured)
        return lambda twins: score(planar_sample(twins), sample)
    units = [section_unit(section) for section in measured]
    return lambda twins: radial_score([section_unit(one) for one in twins], units)


def _scored(
    run: GrainRun, state: TrainingState, sections: Sequence[Section], scored: Scoring
) -> GrainRun:
    """The run with the score of its state, and the best of both."""
    net = state.scored_net(run.config)
    model = GrainModel(net, state.intensity)
    rng = stream(run.seed, 1, "fit")  # the same for all states: they differ by the net only
    chosen = [sections[k % len(sections)] for k in range(TWINS)]
    found = scored([twin(model, section, rng) for section in chosen])
    best = run.best
    if np.isfinite(found) and (best is None or found < best.score):
        best = Best(net, state.intensity, state.step, found)
    scores = (*run.scores, (state.step, found))
    return GrainRun(run.config, run.seed, state, best, scores)


def _is_tired(run: GrainRun) -> bool:
    if not (run.config.patience and run.best):
        return False
    since = sum(step > run.best.step for step, _ in run.scores)
    return since >= run.config.patience


def _ended(run: GrainRun, reason: str) -> GrainRun:
    return GrainRun(run.config, run.seed, run.state, run.best, run.scores, reason)


def save(run: GrainRun, path: Path) -> None:
    """Write a run so that `load` goes on with it; not one that a loss has stopped."""
    best = run.best
    notes: dict[str, Any] = {"entropy": run.seed, "scores": [list(s) for s in run.scores]}
    if best:
        notes["best"] = {
            "step": best.step,
            "score": best.score,
            "intensity": best.intensity,
            "tuning": asdict(best.tuning) if best.tuning else None,
            "weights": [w.tolist() for w in best.net.weights],
            "biases": [b.tolist() for b in best.net.biases],
        }
    checkpoints.write(Checkpoint(run.config, run.state, notes), path)


def load(path: Path, device: str = "cpu") -> GrainRun:
    """Run of a file."""
    found = checkpoints.read(path, device)
    best = None
    if kept := found.notes.get("best"):
        net = MarkerNet(
            weights=tuple(np.array(w) for w in kept["weights"]),
            biases=tuple(np.array(b) for b in kept["biases"]),
            displacement_scale=DISPLACEMENT_SCALE,
            noise_centre=0.5,
            intensity_factor=found.config.intensity_factor,
        )
        tuning = Tuning(**kept["tuning"]) if kept.get("tuning") else None
        best = Best(net, kept["intensity"], kept["step"], kept["score"], tuning)
    scores = tuple((int(step), float(value)) for step, value in found.notes["scores"])
    return GrainRun(found.config, found.notes["entropy"], found.state, best, scores)
