from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cathodegrain.generator.fitting.grains import imitation as module
from cathodegrain.generator.fitting.grains.imitation import imitation
from cathodegrain.generator.fitting.grains.run import first_run, warm_run
from cathodegrain.generator.fitting.grains.training import DEFAULT
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.grain_model import GrainModel
from cathodegrain.generator.fitting.sections.phantom import phantom_section
from cathodegrain.generator.markers.marker_law import ZERO
from cathodegrain.generator.model_card import ModelCard

RADIUS = 113.0


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As fits have it: small products are not worth a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rods():
    card = ModelCard.load("nmc811-rods")
    return GrainModel(replace(card.marker_law, tilt_deg=ZERO), card.intensity, radius=RADIUS)


@pytest.fixture(scope="module")
def found(rods):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEPS", 1500)  # half as many, for the tests' sake
        config = replace(DEFAULT, radius=RADIUS)
        return imitation(rods.law, rods.intensity, config, np.random.default_rng(0))


def test_the_net_follows_the_law(found):
    assert min(found.explained) > 0.95
    assert max(found.explained) < 1


def test_markers_of_the_law_lie_in_the_ranges_of_the_net(rods, found):
    """r within 2.5 standard deviations, D up to a median times e^(2.5 sigma)."""
    c, a = found.gauge
    law = rods.law
    assert a - 2.5 * c * law.offset_spread.values[0] >= 1
    assert a + 2.5 * c * law.offset_spread.values[0] <= 10
    assert c * c * max(law.transverse.values) * np.exp(2.5 * 0.28) <= 50


def measures(model, seed):
    """Mean area, median aspect ratio and alignment of whole grains, in the core and outside."""
    rows = []
    for k in range(3):
        one = section_descriptors(phantom_section(model, np.random.default_rng([seed, k])))
        own = one.oriented
        rows.append(np.column_stack([one.relative_radius, one.area_um2, one.aspect_ratio,
                                     np.cos(2 * one.theta)])[own])  # fmt: skip
    rows = np.concatenate(rows)
    bins = [rows[rows[:, 0] < 0.35], rows[rows[:, 0] > 0.6]]
    return np.array([[len(b), b[:, 1].mean(), np.median(b[:, 2]), b[:, 3].mean()] for b in bins])


def test_sections_of_the_net_are_those_of_the_law_in_the_core_and_outside(rods, found):
    net = found.net.marker_net(10.0, found.config.intensity_factor)
    imitated = measures(GrainModel(net, found.intensity, radius=RADIUS), 1)
    law = measures(rods, 2)
    np.testing.assert_allclose(imitated[:, :2], law[:, :2], rtol=0.15)  # number, area
    np.testing.assert_allclose(imitated[:, 2], law[:, 2], rtol=0.1)  # aspect ratio
    np.testing.assert_allclose(imitated[:, 3], law[:, 3], atol=0.15)  # alignment
    assert law[1, 2] > 1.25 * law[0, 2]  # the two bins do differ


def test_a_warm_run_starts_with_the_imitation(found):
    run = warm_run(found, 3)
    assert run.config.relative_radius
    assert run.config.intensity_factor == found.config.intensity_factor
    for net in (run.state.generator, run.state.averaged):
        for a, b in zip(net.parameters(), found.net.parameters(), strict=True):
            assert torch.equal(a, b)
    other = first_run(found.config, 3).state
    assert not torch.equal(other.generator.layers[0].weight, run.state.generator.layers[0].weight)
