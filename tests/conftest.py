"""Particles that several test files look at; made once per session."""

import gc
import os
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from law_sections import shorten


def pytest_configure():
    """Let no test of torch be skipped where nothing may be missing; interpret kernels of GPUs."""
    if not Path("/dev/nvidiactl").exists():
        os.environ.setdefault("TRITON_INTERPRET", "1")  # which Triton reads when it is imported
    required = os.environ.get("CATHODEGRAIN_CLIENTS") == "required"
    if required and find_spec("torch") is None:
        message = "torch is not installed, which CATHODEGRAIN_CLIENTS=required asks for"
        raise pytest.UsageError(message)


@pytest.fixture(scope="module", autouse=True)
def what_is_left_open_fails_here():
    """A ResourceWarning comes in the module that is to blame, not in one that runs later."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def card():
    return ModelCard.load("nmc811-radial")


@pytest.fixture(scope="session")
def small_particle(card):
    """About 250 grains."""
    return generate_particle(card.with_parameters({"shell.diameter_um": 2.6}), seed=7)


@pytest.fixture(scope="session")
def tiny_particle(card):
    """About 60 grains."""
    return generate_particle(card.with_parameters({"shell.diameter_um": 1.2}), seed=7)


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def crystals(card):
    """About 50 grains with random orientations, and a coarse mesh of them."""
    settings = {"shell.diameter_um": 1.2, "orientations.model": "uniform"}
    particle = generate_particle(card.with_parameters(settings), seed=7)
    return particle, volume_mesh(particle, 0.3)


@pytest.fixture
def short_grain_fits(monkeypatch):
    """Batches and samples of a few; the processes get the configuration with their plan."""
    pytest.importorskip("torch")
    from cathodegrain.generator.fitting.grains import evaluation as grain_evaluation, training
    from cathodegrain.generator.fitting.sections.grain_model import block

    short = {"epochs": 2, "steps": 3, "score_every": 3, "score_from": 3, "tuning": 2}
    tiny = replace(training.DEFAULT, batch=4, **short)
    monkeypatch.setitem(training.CONFIGS, "default", tiny)
    for name in ("N_SECTIONS", "N_REFERENCE_SECTIONS", "N_BLOCKS", "N_REFERENCE_BLOCKS"):
        monkeypatch.setattr(grain_evaluation, name, 2)
    monkeypatch.setattr(grain_evaluation, "block", partial(block, inner=14, margin=20))
    monkeypatch.setattr(grain_evaluation, "LEAST_GRAINS", 200)


@pytest.fixture
def short_law_fits(monkeypatch):
    """Fits of laws that simulate a few sections only: seconds, and no good law."""
    shorten(monkeypatch)


@pytest.fixture
def light_calibrations(monkeypatch):
    """Calibrations on a fifth of the usual grains."""
    from cathodegrain.generator.fitting.laws import calibration

    for name in ("FEW_GRAINS", "OTHER_GRAINS", "MANY_GRAINS"):
        monkeypatch.setattr(calibration, name, getattr(calibration, name) // 5)
