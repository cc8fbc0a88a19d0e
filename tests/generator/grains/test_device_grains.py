"""Whole particles by a device; without a GPU, Triton's interpreter runs the kernels."""

import json

import numpy as np
import pytest

pytest.importorskip("triton")
torch = pytest.importorskip("torch")

from cathodegrain.generator import generate
from cathodegrain.generator.errors import DeviceError, GenerationError
from cathodegrain.generator.generate import generate_particle, generate_particles
from cathodegrain.generator.model_card import ModelCard
from kernel_device import take_for_a_gpu

# few large grains: the interpreter is slow
FEW = {"grains.intensity": 1e-6, "shell.diameter_um": 1.2, "shell.max_degree": 2}


@pytest.fixture(autouse=True)
def as_quiet_as_a_gpu(monkeypatch):
    """The interpreter computes with NumPy, which warns of a division by 0 in an unused lane."""
    take_for_a_gpu(monkeypatch)
    with np.errstate(all="ignore"):
        yield


def arrays(particle):
    t = particle.tessellation
    return (
        particle.shell.coefficients, t.seeds, t.matrices, t.offsets, particle.diagonals,
        particle.angles, particle.axes, particle.origin, particle.orientations,
    )  # fmt: skip


def assert_equal(particles, others):
    for one, other in zip(particles, others, strict=True):
        assert one.provenance.card is other.provenance.card
        assert (one.id, one.provenance.shell_attempt) == (other.id, other.provenance.shell_attempt)
        assert one.tessellation.metric == other.tessellation.metric
        for a, b in zip(arrays(one), arrays(other), strict=True):
            np.testing.assert_array_equal(a, b)


def assert_device_equal_to_processor(card, indices):
    found = generate_particles(card, 7, indices, device="cuda")
    assert_equal(found, [generate_particle(card, 7, index) for index in indices])


@pytest.mark.parametrize("most_at_once", [300, 1000], ids=["two batches", "one batch"])
def test_device_particles_are_those_of_the_processor(most_at_once, monkeypatch):
    changes = {"grains.metric": "squared", "orientations.model": "radial"}
    monkeypatch.setattr(generate, "MOST_AT_ONCE", most_at_once)
    card = ModelCard.load("nmc811-radial").with_parameters(FEW | changes)
    assert_device_equal_to_processor(card, [3, 0])


@pytest.mark.slow
@pytest.mark.parametrize("intensity", [1e-6, 5e-5])
def test_device_particles_with_a_net_are_those_of_the_processor(intensity):
    changes = {"grains.elongation": 1.4, "grains.offset_scale": 0.7, "grains.intensity": intensity}
    card = ModelCard.load("nmc811").with_parameters(FEW | changes)
    assert_device_equal_to_processor(card, [3, 0])


def test_device_cpu_makes_the_particles_one_by_one(card):
    small = card.with_parameters({"shell.diameter_um": 1.2})
    found = generate_particles(small, 7, range(2), device="cpu")
    assert_equal(found, [generate_particle(small, 7, index) for index in range(2)])


def test_device_refuses_markers_that_are_too_anisotropic_as_the_processor_does(card):
    fields = json.loads(json.dumps(dict(card.with_parameters(FEW).document)))
    fields["grains"]["markers"]["transverse"] |= {"low": 0.001, "high": 0.002}
    fields["grains"]["markers"]["aspect_ratio"] |= {"low": 99.0, "high": 100.0}
    fields["grains"]["elongation"] = 10.0
    with pytest.raises(GenerationError, match=r"elongation 10\.0 make grains too long or too thin"):
        generate_particles(ModelCard(fields), 7, [0], device="cuda")


def test_a_device_whose_memory_is_full_is_reported_in_words(card, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr("cathodegrain.generator.grains.device_grains.reachable", full)
    with pytest.raises(DeviceError, match=r"its memory is full .*9 GiB.* or take cpu"):
        generate_particles(card.with_parameters(FEW), 7, [0], device="cuda")


@pytest.mark.parametrize(
    "changes",
    [{}, {"grains.tilt_deg": 0.0, "grains.core_radius": 0.6, "grains.scale": 1.3}],
    ids=["tilted", "upright"],
)
def test_device_particles_of_a_law_with_profiles_are_those_of_the_processor(changes):
    card = ModelCard.load("nmc811-rods").with_parameters(FEW | changes)
    assert_device_equal_to_processor(card, [3, 0])


@pytest.mark.slow
def test_device_particles_with_a_net_and_a_tilt_are_those_of_the_processor():
    card = ModelCard.load("nmc811").with_parameters(FEW | {"grains.tilt_deg": 20.0})
    assert_device_equal_to_processor(card, [3, 0])
