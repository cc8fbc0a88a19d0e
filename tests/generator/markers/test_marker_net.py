"""Markers of the net are rounded alike by everyone who adds in another order."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cathodegrain.generator.markers.marker_law import Markers
from cathodegrain.generator.markers.marker_net import (
    OUTPUT_HIGH,
    OUTPUT_LOW,
    MarkerNet,
    neighbourhoods,
)
from cathodegrain.generator.markers.point_process import sample_poisson
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import stream

ONE = Markers(np.ones((1, 3)), np.ones(1))
CHANGED = ONE.elongated(1.7).with_offsets_scaled(0.6)


@pytest.fixture(scope="module")
def points():
    return sample_poisson(0.0012, 128, partial(stream, 5, 0))


@pytest.fixture(scope="module")
def net():
    return ModelCard.load("nmc811").marker_law


def largest_of(net, inputs):
    layers = [inputs]
    for weight, bias in zip(net.weights[:-1], net.biases[:-1], strict=True):
        layers.append(np.maximum(layers[-1] @ weight.T + bias, 0))
    return [np.abs(layer).max(axis=0) for layer in layers]


def test_the_bound_holds_for_any_order_of_additions(points, net, rng):
    inputs = neighbourhoods(points, net.displacement_scale, net.noise_centre, np.arange(500))
    bound = net.evaluation_error(largest_of(net, inputs))
    hidden = inputs.astype(np.longdouble)
    for k, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        hidden = hidden @ weight.T.astype(np.longdouble) + bias
        hidden = hidden if k == len(net.weights) - 1 else np.maximum(hidden, 0)
    exact = OUTPUT_LOW + (OUTPUT_HIGH - OUTPUT_LOW) / (1 + np.exp(-hidden))
    orders = [rng.permutation(w.shape[1]) for w in net.weights]
    mixed = replace(
        net,
        weights=tuple(
            weight[np.arange(len(weight)) if k == 3 else orders[k + 1]][:, orders[k]]
            for k, weight in enumerate(net.weights)
        ),
        biases=tuple(b if k == 3 else b[orders[k + 1]] for k, b in enumerate(net.biases)),
    )
    for found in (net.forward(inputs), mixed.forward(inputs[:, orders[0]])):
        assert (np.abs(found - exact) <= bound).all()
    assert (bound < 1e-9).all()  # of a quantum of 1e-6: few numbers are in doubt


@pytest.mark.parametrize("factors", [ONE, CHANGED], ids=["card", "changed"])
def test_markers_are_rounded_alike_whatever_an_order_of_additions_changes(
    points, net, factors, rng, monkeypatch
):
    rows = np.arange(0, len(points), 2)
    expected = net.rounded_markers(points, rows, factors)
    bound = net.evaluation_error(largest_of(net, neighbourhoods(points, 10.0, 0.5, rows)))
    added = bound / (OUTPUT_HIGH - OUTPUT_LOW) * 4  # at most, before the sigmoid
    honest = MarkerNet.evaluated

    def off(self, inputs):
        last, largest = honest(self, inputs)
        return last + added * rng.choice([-0.9, 0.9], last.shape), largest

    monkeypatch.setattr(MarkerNet, "evaluated", off)
    plain = net.markers(points, rows).times(factors).rounded()
    assert any((a != b).any() for a, b in zip(plain, expected, strict=True))  # it does matter
    for a, b in zip(net.rounded_markers(points, rows, factors), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_few_markers_are_in_doubt_and_the_order_decides_none_of_the_others(points, net):
    inputs = neighbourhoods(points, 10.0, 0.5)
    decided = net.as_markers(net.decided(inputs)).times(CHANGED).rounded()
    rows = np.arange(len(points))
    for a, b in zip(net.rounded_markers(points, rows, CHANGED), decided, strict=True):
        np.testing.assert_array_equal(a, b)
    doubts = net.undecided(net.forward(inputs), largest_of(net, inputs), CHANGED)
    assert 0 < doubts.mean() < 0.02
