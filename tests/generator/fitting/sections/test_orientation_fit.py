"""The law of the crystals of particles that are known, found in sections of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.sections.crystal_axes import crystal_axes
from cathodegrain.generator.fitting.sections.orientation_fit import (
    LEVEL,
    fit_orientations,
    log_density,
)
from cathodegrain.generator.fitting.sections.plane_cut import Plane, plane_cut
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.markers.orientations import (
    _shortest_arc_from_e3,
    multiply,
    sample_orientations,
)

PIXEL, SEEDS = 0.05, (3, 4, 5)


class Scene:
    """Sections of three particles, on which crystals are drawn again and again."""

    def __init__(self, card, height=0.0):
        self.particles = [generate_particle(card, seed=seed) for seed in SEEDS]
        planes = [Plane(n, height) for n in ((0, 0, 1), (1, 0, 0), (0, 1, 1))]
        pairs = zip(self.particles, planes, strict=True)
        self.cuts = [plane_cut(particle, plane, PIXEL) for particle, plane in pairs]
        self.sections = [cut.section() for cut in self.cuts]

    def drawn(self, model, spread, rng):
        """The sections with crystals of a law."""
        found = []
        for particle, cut, section in zip(self.particles, self.cuts, self.sections, strict=True):
            seeds = particle.tessellation.seeds
            directions = seeds / np.linalg.norm(seeds, axis=1, keepdims=True)
            q = sample_orientations(model, spread, directions, rng.random(seeds.shape))
            grains = section.labels > 0
            first = np.unique(section.labels[grains], return_index=True)[1]
            ids = cut.grain_id[grains][first]
            found.append(replace(section, orientations=cut.plane.turned(q[ids - 1])))
        return found


@pytest.fixture(scope="module")
def crystalline(card):
    return card.with_parameters({"shell.diameter_um": 6.0, "orientations.model": "radial"})


@pytest.fixture(scope="module")
def scene(crystalline):
    return Scene(crystalline)


@pytest.fixture(scope="module")
def off_centre(crystalline):
    return Scene(crystalline, height=0.6)


@pytest.mark.parametrize("degrees", [2.0, 15.0, 60.0])
def test_densities_integrate_to_one_and_are_those_of_folded_angles(rng, degrees):
    spread = np.radians(degrees)

    def part(low, high):
        return quad(lambda phi: np.exp(log_density(np.array([phi]), spread))[0], low, high)[0]

    edges = np.linspace(0, np.pi / 2, 7)
    expected = [part(*pair) for pair in pairwise(edges)]
    assert sum(expected) == pytest.approx(1, abs=1e-6)
    drawn = np.arcsin(np.abs(np.sin(spread * rng.normal(size=20_000))))
    counts = np.histogram(drawn, edges)[0] / len(drawn)
    np.testing.assert_allclose(counts, expected, atol=4 * np.sqrt(0.25 / len(drawn)))


@pytest.mark.parametrize("spread", [5.0, 15.0, 30.0])
def test_a_known_spread_lies_in_its_interval(scene, rng, spread):
    """In 12 draws at least 9 times, as happens in 99.8 % of series if intervals hold 95 %."""
    fits = [fit_orientations(scene.drawn("radial", spread, rng)) for _ in range(12)]
    assert all(fit.model == "radial" for fit in fits)
    held = [low <= spread <= high for low, high in (fit.interval_deg for fit in fits)]
    assert sum(held) >= 9
    errors = [(fit.interval_deg[1] - fit.interval_deg[0]) / 3.92 for fit in fits]
    mean = np.mean([fit.spread_deg for fit in fits])
    assert abs(mean - spread) < 3 * np.mean(errors) / np.sqrt(12) + 0.03 * spread
    for fit in fits:
        assert fit.log_likelihood_ratio > 20
        for one in fit.sections:
            assert one.origin == "found"
            assert abs(one.height_um) < 5 * one.error_um


def test_random_crystals_are_recognised(scene, rng):
    """A texture is found in random ones as often as the level says, in 30 draws."""
    fits = [fit_orientations(scene.drawn("uniform", 0.0, rng)) for _ in range(30)]
    false = sum(fit.model == "radial" for fit in fits)
    assert false <= 5  # 99.7 % of series at the level 0.05
    assert LEVEL == 0.05
    for fit in fits:
        assert abs(fit.mean_square - 1 / 3) < 0.1
        if fit.model == "uniform" and not fit.along_radius:
            assert (fit.spread_deg, fit.interval_deg, fit.log_likelihood_ratio) == (
                None,
                None,
                None,
            )
            assert "no texture found at the level 0.05" in fit.sentence
            assert {one.origin for one in fit.sections} == {"none"}


def test_crystals_say_where_their_plane_lies(off_centre, rng):
    fit = fit_orientations(off_centre.drawn("radial", 15.0, rng))
    for one in fit.sections:
        assert abs(one.height_um - 0.6) < 4 * one.error_um
        assert one.error_um < 0.15


def test_a_given_height_is_used_and_a_wrong_one_widens_the_spread(off_centre, rng):
    sections = off_centre.drawn("radial", 10.0, rng)
    right = fit_orientations(sections, [0.6] * 3)
    wrong = fit_orientations(sections, [0.0] * 3)
    assert {one.origin for one in right.sections} == {"given"}
    assert right.interval_deg[0] < 10 < right.interval_deg[1]
    assert wrong.spread_deg > 1.15 * right.spread_deg


def test_crystals_along_the_radius_are_no_tangential_texture(scene):
    """c-axes along the radius of the seed, with a spread."""
    rng = np.random.default_rng(5)
    found = []
    for section in scene.sections:
        unturned = np.tile([1.0, 0, 0, 0], (section.n_grains, 1))
        axes = crystal_axes(replace(section, orientations=unturned)).places_um
        axes = axes / (np.linalg.norm(axes, axis=1, keepdims=True) + 1e-9)
        axes += 0.3 * rng.normal(size=axes.shape)
        q = _shortest_arc_from_e3(axes / np.linalg.norm(axes, axis=1, keepdims=True))
        found.append(replace(section, orientations=q))
    fit = fit_orientations(found)
    assert fit.model == "uniform"
    assert fit.along_radius
    assert fit.p_along < 0.01 < 0.9 < fit.p_value
    assert "c-axes lie along the radius" in fit.sentence
    assert any("no model of cards" in text for text in fit.warnings)


def test_a_wrong_frame_of_the_euler_angles_is_noticed(scene, rng):
    sections = scene.drawn("radial", 15.0, rng)
    assert fit_orientations(sections).warnings == []
    half = np.sqrt(0.5)
    turns = {
        "180 degrees about x of": (0, 1, 0, 0),
        "180 degrees about x + y of": (0, half, half, 0),
        "90 degrees about z of": (half, 0, 0, -half),
    }
    for name, turn in turns.items():
        wrong = [
            replace(s, orientations=multiply(np.tile(turn, (s.n_grains, 1)), s.orientations))
            for s in sections
        ]
        assert f"turned by {name}" in fit_orientations(wrong).warnings[0]


def test_bins_hold_all_grains_and_the_spread_of_each(scene, rng):
    fit = fit_orientations(scene.drawn("radial", 15.0, rng))
    assert [one.low for one in fit.bins] == [0.0, 0.25, 0.7]
    assert fit.bins[-1].high == np.inf
    assert sum(one.counts.sum() for one in fit.bins) == fit.n_grains
    for one in fit.bins:
        low, high = np.log(one.interval_deg)
        assert abs(np.log(one.spread_deg / 15)) < 3 * (high - low) / 3.92  # standard errors
        grid = np.linspace(0, 90, 901)
        density = one.density(grid, 15.0)
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)


def test_a_turned_map_has_the_same_law(scene, rng):
    """By a quarter: rows become columns, and the crystals turn with them."""
    sections = scene.drawn("radial", 15.0, rng)
    turned = []
    for section in sections:
        quarter = np.tile([np.sqrt(0.5), 0, 0, np.sqrt(0.5)], (section.n_grains, 1))
        ny = section.labels.shape[0]
        y, x = section.centre
        turned.append(
            replace(
                section,
                labels=np.rot90(section.labels, -1),
                centre=(x, ny - 1 - y),
                orientations=multiply(quarter, section.orientations),
            )
        )
    first, second = fit_orientations(sections), fit_orientations(turned)
    assert second.spread_deg == pytest.approx(first.spread_deg, rel=1e-3)
    assert second.mean_square == pytest.approx(first.mean_square, rel=1e-6)


def test_too_few_grains_are_refused(scene, rng):
    section = scene.drawn("radial", 15.0, rng)[0]
    labels = np.where(section.labels <= 4, section.labels, -1)
    few = replace(section, labels=labels, orientations=section.orientations[:4])
    with pytest.raises(FitError, match="grains have a c-axis and a radius, expected at least 10"):
        fit_orientations([few])
