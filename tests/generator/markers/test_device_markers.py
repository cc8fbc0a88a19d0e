"""Markers on a torch device are those of the processor, to the bit."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cathodegrain.generator.markers import device_markers
from cathodegrain.generator.markers.device_markers import Bins, Window, rounded_markers
from cathodegrain.generator.markers.marker_law import Markers
from cathodegrain.generator.markers.marker_net import NEIGHBOURS
from cathodegrain.generator.markers.point_process import sample_poisson
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.nearest_points import nearest
from cathodegrain.generator.rounding import rounded
from cathodegrain.generator.streams import stream
from kernel_device import KERNEL_DEVICE

ONE = Markers(np.ones((1, 3)), np.ones(1))
CHANGED = ONE.elongated(1.7).with_offsets_scaled(0.6)

pytestmark = pytest.mark.parametrize("device", [KERNEL_DEVICE], ids=lambda name: f"device-{name}")


@pytest.fixture(scope="module")
def windows():
    """Three windows of different sizes; only some of their points are asked for."""
    found = []
    for k, (half, reach) in enumerate([(64, np.inf), (128, 110.0), (64, 50.0)]):
        points = sample_poisson(0.0012, half, partial(stream, 3, k), reach)
        rows = np.flatnonzero(points.seeds[:, 0] > -20)
        radii = rounded(np.linalg.norm(points.seeds, axis=1) / 60)
        points = replace(points, relative_radii=radii)
        found.append(Window(points, rows, points.seeds[rows]))
    return found


def law_named(name):
    if name != "a net with the radius":
        return ModelCard.load(name).marker_law
    net = ModelCard.load("nmc811").marker_law
    column = np.random.default_rng(0).uniform(-3, 3, (len(net.weights[0]), 1))
    return replace(net, weights=(np.hstack([net.weights[0], column]), *net.weights[1:]))


@pytest.mark.parametrize("factors", [ONE, CHANGED], ids=["card", "changed"])
@pytest.mark.parametrize("name", ["nmc811", "nmc811-radial", "a net with the radius"])
def test_markers_are_those_of_the_processor(name, factors, windows, device):
    law = law_named(name)
    expected = [law.rounded_markers(window.points, window.rows, factors) for window in windows]
    found = rounded_markers(law, windows, 0.0012, factors, device)
    for kind in ("diagonals", "offsets"):
        each = np.concatenate([getattr(markers, kind) for markers in expected])
        np.testing.assert_array_equal(getattr(found, kind).cpu().numpy(), each)


def test_markers_do_not_depend_on_how_many_pass_at_a_time(windows, device, monkeypatch):
    law = ModelCard.load("nmc811").marker_law
    whole = rounded_markers(law, windows, 0.0012, CHANGED, device)
    monkeypatch.setattr(device_markers, "BLOCK", 700)
    parts = rounded_markers(law, windows, 0.0012, CHANGED, device)
    assert torch.equal(whole.diagonals, parts.diagonals)
    assert torch.equal(whole.offsets, parts.offsets)


def test_neighbours_are_those_of_the_processor(windows, device):
    bins = Bins.of(windows, 0.0012, device)
    index, certain = (t.cpu().numpy() for t in bins.nearest(slice(None)))
    expected = np.concatenate(
        [
            nearest(w.points.seeds, w.rows, NEIGHBOURS) + first
            for w, first in zip(windows, bins.first, strict=False)
        ]
    )
    np.testing.assert_array_equal(index[certain], expected[certain])
    assert certain.mean() > 0.99


@pytest.mark.parametrize("n", [13, 14, 60])
def test_few_and_unevenly_spread_points_are_decided_by_the_processor(n, windows, device):
    points = windows[0].points.select(np.arange(n))
    points = replace(points, seeds=points.seeds * np.linspace(0.1, 3, n)[:, None])
    window = Window(points, np.arange(n), points.seeds)
    law = ModelCard.load("nmc811").marker_law
    expected = law.rounded_markers(window.points, window.rows, ONE)
    found = rounded_markers(law, [window], 0.0012, ONE, device)
    np.testing.assert_array_equal(found.diagonals.cpu().numpy(), expected.diagonals)
    np.testing.assert_array_equal(found.offsets.cpu().numpy(), expected.offsets)


def test_seeds_of_a_lattice_have_the_neighbours_of_lowest_index(windows, device):
    axis = 8.0 * np.arange(7)
    lattice = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    points = replace(windows[1].points.select(np.arange(343)), seeds=lattice)
    window = Window(points, np.arange(343), points.seeds[:343])
    law = ModelCard.load("nmc811").marker_law
    expected = law.rounded_markers(window.points, window.rows, ONE)
    found = rounded_markers(law, [window], 0.0012, ONE, device)
    assert not Bins.of([window], 0.0012, device).nearest(slice(None))[1].any()
    np.testing.assert_array_equal(found.diagonals.cpu().numpy(), expected.diagonals)
    np.testing.assert_array_equal(found.offsets.cpu().numpy(), expected.offsets)
