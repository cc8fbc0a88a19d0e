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
)
from cathodegrain.generator.markers.point_process import sample_poisson
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.rounding import rounded
from cathodegrain.generator.streams import stream

ONE = Markers(np.ones((1, 3)), np.ones(1))
CHANGED = ONE.elongated(1.7).with_offsets_scaled(0.6)


@pytest.fixture(scope="module")
def points():
    found = sample_poisson(0.0012, 128, partial(stream, 5, 0))
    return replace(found, relative_radii=rounded(np.linalg.norm(found.seeds, axis=1) / 128))


@pytest.fixture(scope="module", params=["of the paper", "with the radius"])
def net(request):
    shipped = ModelCard.load("nmc811").marker_law
    return shipped if request.param == "of the paper" else with_radius(shipped, 3.0)


def with_radius(net, size):
    """The net with a 61st column of weights up to ``size``."""
    first = net.weights[0]
    column = np.random.default_rng(0).uniform(-size, size, (len(first), 1))
    return replace(net, weights=(np.hstack([first, column]), *net.weights[1:]))


def largest_of(net, inputs):
    layers = [inputs]
    for weight, bias in zip(net.weights[:-1], net.biases[:-1], strict=True):
        layers.append(np.maximum(layers[-1] @ weight.T + bias, 0))
    return [np.abs(layer).max(axis=0) for layer in layers]


def test_the_bound_holds_for_any_order_of_additions(points, net, rng):
    inputs = net.inputs(points, np.arange(500))
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
    bound = net.evaluation_error(largest_of(net, net.inputs(points, rows)))
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
    inputs = net.inputs(points, np.arange(len(points)))
    decided = net.as_markers(net.decided(inputs)).times(CHANGED).rounded()
    rows = np.arange(len(points))
    for a, b in zip(net.rounded_markers(points, rows, CHANGED), decided, strict=True):
        np.testing.assert_array_equal(a, b)
    doubts = net.undecided(net.forward(inputs), largest_of(net, inputs), CHANGED)
    assert 0 < doubts.mean() < 0.02


def test_a_column_of_zeros_for_the_radius_changes_no_marker(points):
    net, rows = ModelCard.load("nmc811").marker_law, np.arange(len(points))
    expected = net.rounded_markers(points, rows, CHANGED)
    found = with_radius(net, 0.0).rounded_markers(points, rows, CHANGED)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_markers_follow_the_radius_up_to_the_shell(points):
    net, rows = with_radius(ModelCard.load("nmc811").marker_law, 3.0), np.arange(300)
    at = {t: net.markers(replace(points, relative_radii=np.full(len(points), t)), rows).diagonals
          for t in (0.2, 0.9, 1.0, 1.5)}  # fmt: skip
    assert (np.abs(at[0.2] - at[0.9]).max(axis=1) > 0.01).all()
    np.testing.assert_array_equal(at[1.5], at[1.0])


def test_a_net_that_sees_the_radius_refuses_points_without_one(points):
    net = with_radius(ModelCard.load("nmc811").marker_law, 3.0)
    unknown = replace(points, relative_radii=np.where(np.arange(len(points)) == 3, np.nan, 0.5))
    with pytest.raises(ValueError, match="relative radii of the points are not known"):
        net.rounded_markers(unknown, np.arange(10), ONE)
    net.rounded_markers(unknown, np.arange(4, 10), ONE)


@pytest.mark.parametrize("columns", [59, 62])
def test_a_net_of_another_number_of_inputs_is_refused(columns):
    weights = np.zeros((8, columns)), np.zeros((4, 8))
    with pytest.raises(ValueError, match="from 60 inputs, or one more, to 4 outputs"):
        MarkerNet(weights=weights, biases=(np.zeros(8), np.zeros(4)))
