"""Which grains own a point inside a shell, against dense labels and against random search."""

import numpy as np
import pytest

from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.grains.owner_kernels import NONE, OWNS
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.shell.spherical_harmonics import gradients_at, radius_and_gradient_at
from tessellations import STRESS, lobed_shell, random_tessellation, stressed

PARTICLES = [
    ("nmc811", "norm", 1.6, 3),
    ("nmc811-radial", "norm", 1.8, 4),
    ("nmc811-radial", "squared", 1.6, 5),
    ("nmc811-rods", "norm", 1.6, 6),
    ("nmc811-rods", "squared", 1.8, 7),
]


def with_every_reachable_grain(card, seed, monkeypatch):
    """The particle as 0.2.0 made it: with rows that are not proven to own a point."""
    with monkeypatch.context() as patch:
        patch.setattr(Tessellation, "owning", lambda self, *_, **__: np.arange(len(self)))
        return generate_particle(card, seed)


def inner_grid(shell, pitch):
    """Points of a cubic grid inside a shell, (n, 3)."""
    half = shell.radius_bounds[1]
    axis = np.arange(-half, half, pitch) + pitch / 2
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return x[shell.contains(x)]


def least_gap(gbpd, shell, row, points):
    """The least f_i - min_j f_j found for a row inside a shell, from ``points`` by random steps.

    Negative where the row owns a point.
    """
    rng, step = np.random.default_rng(row), 0.2 * shell.mean_radius_um
    best, least = None, np.inf
    for _ in range(60):
        points = points[shell.contains(points)]
        scores = gbpd.scores(points)
        gap = scores[:, row] - np.delete(scores, row, axis=1).min(axis=1)
        if gap.min(initial=np.inf) < least:
            best, least = points[gap.argmin()], gap.min()
        else:
            step *= 0.7
        points = best + step * rng.normal(size=(400, 3))
    return least


@pytest.mark.parametrize(("model", "metric", "diameter", "seed"), PARTICLES)
def test_every_grain_owns_a_point_and_no_owner_is_dropped(
    model, metric, diameter, seed, monkeypatch
):
    changes = {"shell.diameter_um": diameter, "grains.metric": metric}
    card = ModelCard.load(model).with_parameters(changes)
    particle = generate_particle(card, seed)
    whole = with_every_reachable_grain(card, seed, monkeypatch)
    assert particle.n_grains < whole.n_grains
    x = inner_grid(particle.shell, 0.0125)
    label = particle.grain_at(x)
    np.testing.assert_array_equal(
        particle.origin[label - 1], whole.origin[whole.grain_at(x) - 1]
    )  # labels are what they were
    seen = np.unique(label)
    assert particle.n_grains < 1.05 * len(seen)
    unseen = np.setdiff1d(np.arange(1, particle.n_grains + 1), seen)
    some = x[:: len(x) // 2000]
    gbpd, shell = particle.tessellation, particle.shell
    assert all(least_gap(gbpd, shell, row, some) < 0 for row in unseen - 1)
    state, points = gbpd.ownership(shell, 0.1)
    assert (state == OWNS).all()
    np.testing.assert_array_equal(particle.grain_at(points), np.arange(1, particle.n_grains + 1))


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", ["mild", "long", "wild"])
def test_owning_grains_are_the_owners_of_points_and_few_more(family, metric, rng):
    gbpd, shell = random_tessellation(1500, family, metric), lobed_shell()
    x = rng.uniform(-12, 12, (200_000, 3))
    owners = np.unique(gbpd.labels(x[shell.contains(x)]))
    found = gbpd.owning(shell, resolution=0.5)
    assert np.isin(owners, found).all()
    assert np.isin(found, gbpd.reachable(shell, resolution=0.0625)).all()
    assert len(found) < 1.2 * len(owners)  # slivers that the sample missed among them


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", ["mild", "long", "wild"])
def test_what_is_said_to_own_a_point_owns_the_one_that_is_shown(family, metric):
    gbpd, shell = random_tessellation(1500, family, metric), lobed_shell()
    state, points = gbpd.ownership(shell, resolution=0.5)
    assert set(state.tolist()) == {NONE, OWNS}  # nothing is left open
    rows = np.flatnonzero(state == OWNS)
    assert shell.contains(points[rows]).all()
    np.testing.assert_array_equal(gbpd.labels(points[rows]), rows)
    assert np.isnan(points[state == NONE]).all()


@pytest.mark.parametrize("metric", ["norm", "squared"])
def test_owning_grains_depend_neither_on_order_nor_on_where_the_search_begins(metric, rng):
    gbpd, shell = random_tessellation(1500, "long", metric), lobed_shell()
    expected = gbpd.owning(shell, 0.25)
    np.testing.assert_array_equal(gbpd.owning(shell, 0.7), expected)
    rows = gbpd.reachable(shell, 0.25)
    np.testing.assert_array_equal(rows[gbpd.select(rows).owning(shell, 0.25)], expected)
    order = rng.permutation(1500)
    mixed = Tessellation(gbpd.seeds[order], gbpd.matrices[order], gbpd.offsets[order], metric)
    np.testing.assert_array_equal(np.sort(order[mixed.owning(shell, 0.25)]), expected)


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("name", [name for name in STRESS if name != "equal grains"])
def test_no_label_changes_where_the_arithmetic_is_hard(name, metric, rng):
    gbpd, shell = stressed(name, metric), lobed_shell()
    found = gbpd.owning(shell, resolution=0.5)
    x = rng.uniform(-12, 12, (100_000, 3))
    x = x[shell.contains(x)]
    np.testing.assert_array_equal(found[gbpd.select(found).labels(x)], gbpd.labels(x))


def test_grains_that_can_be_settled_neither_way_stay():
    seeds = np.array([[0.0, 0, 0], [0.0, 0, 0], [3.0, 0, 0], [40.0, 0, 0]])
    gbpd = Tessellation(seeds, np.stack([np.eye(3)] * 4), np.zeros(4))
    assert gbpd.owning(Shell.sphere(2.0), resolution=0.5).tolist() == [0, 1, 2]


def test_a_shell_inside_one_grain_is_owned_by_that_grain():
    gbpd = random_tessellation(50, "mild")
    found = gbpd.owning(Shell.sphere(1e-3), resolution=1e-3)
    assert found.tolist() == gbpd.labels(np.zeros((1, 3))).tolist()


def test_a_grain_that_the_shell_cuts_to_a_sliver_is_kept_and_one_behind_it_is_not():
    seeds = np.array([[0.0, 0, 0], [4.0, 0, 0], [0, 4.0, 0]])
    gbpd = Tessellation(seeds, np.stack([np.eye(3)] * 3), np.zeros(3))  # faces at x = 2, y = 2
    for above, expected in ((1e-6, [0, 1, 2]), (-1e-6, [0])):
        assert gbpd.owning(Shell.sphere(2.0 + above), resolution=0.5).tolist() == expected


def test_point_values_of_a_shell_are_those_of_many_points(rng):
    shell = generate_particle(ModelCard.load("nmc811-radial"), 3).shell
    points, gradient = rng.normal(size=(100, 3)), np.empty(3)
    radii, gradients = np.empty(100), np.empty((100, 3))
    gradients_at(points, shell.scaled_coefficients, shell.max_degree, radii, gradients)
    for x, radius, expected in zip(points, radii, gradients, strict=True):
        found = radius_and_gradient_at(*x, shell.scaled_coefficients, shell.max_degree, gradient)
        assert found == radius
        np.testing.assert_array_equal(gradient, expected)


def test_radii_along_lines_bend_by_no_more_than_the_bound(rng):
    shell = generate_particle(ModelCard.load("nmc811-radial"), 3).shell
    x, v = rng.normal(size=(2, 20_000, 3))
    r = np.linalg.norm(x, axis=1)
    v *= 1e-3 * (r / np.linalg.norm(v, axis=1))[:, None]
    bend = (shell.radius(x + v) - 2 * shell.radius(x) + shell.radius(x - v)) / 1e-6
    assert 0.05 * shell.bend_bound < np.abs(bend).max() < 1.01 * shell.bend_bound
