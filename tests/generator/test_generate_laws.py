"""Particles of laws that run from centre to surface, of another size, and tilted."""

import copy
import json

import numpy as np
import pytest

from cathodegrain.exporters.particles import recipe
from cathodegrain.generator.errors import GenerationError
from cathodegrain.generator.generate import generate_particle, regenerate
from cathodegrain.generator.markers.radial_frame import marker_matrices, tilted
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from cathodegrain.generator.voxels.morphology import grain_morphology

STEP = 2.0**-20  # of numbers that leave the marker law, in pixels
SMALL = {"shell.diameter_um": 2.6}
NO_SPREAD = {"t": [0.0], "value": [0.0]}
SPREADS = ("aspect_spread", "transverse_spread", "flatness_spread", "offset_spread", "tilt_deg")


@pytest.fixture(scope="module")
def rods_card():
    return ModelCard.load("nmc811-rods").with_parameters(SMALL)


@pytest.fixture(scope="module")
def rods(rods_card):
    """About 300 grains."""
    return generate_particle(rods_card, seed=7)


def common(a, b):
    """Rows of the grains of both particles that grew from the same points."""
    ka, kb = ({tuple(row): i for i, row in enumerate(p.origin.tolist())} for p in (a, b))
    shared = sorted(ka.keys() & kb.keys())
    return np.array([ka[k] for k in shared]), np.array([kb[k] for k in shared])


def relative_radii(particle):
    """|s| / X(s/|s|) of every seed point."""
    seeds = particle.tessellation.seeds
    away = np.linalg.norm(seeds, axis=1)
    return away / particle.shell.radius(seeds / away[:, None])


def without_spreads(card):
    document = copy.deepcopy(dict(card.document))
    document["grains"]["markers"] |= dict.fromkeys(SPREADS, NO_SPREAD)
    return ModelCard(document)


def test_markers_follow_the_relative_radius_in_the_direction_of_the_seed(rods_card):
    rough = without_spreads(rods_card.with_parameters({"shell.roughness": 1.3}))
    p = generate_particle(rough, seed=7)
    low, high = p.shell.radius_bounds
    assert high > 1.3 * low  # the distance alone would not do
    t, law, px = relative_radii(p), rough.marker_law, rough.pixel_um
    d, rho = law.transverse(t), law.aspect_ratio(t)
    expected = np.column_stack([d / rho**2, d, d])
    np.testing.assert_allclose(p.diagonals * px**2, expected, rtol=1e-4, atol=2 * STEP)
    np.testing.assert_allclose(p.tessellation.offsets, law.offset(t), atol=2 * STEP)


def test_seed_points_are_as_dense_as_the_profile_says(rods_card):
    """Seeds well inside a large shell, in shells of equal t; nearly all own a grain."""
    card = rods_card.with_parameters({"shell.diameter_um": 6.0, "grains.scale": 0.6})
    p = generate_particle(card, seed=3)
    t = relative_radii(p)
    edges = np.array([0.0, 0.5, 0.7, 0.85])
    counts, _ = np.histogram(t, edges)
    fine = (np.arange(10_000) + 0.5) / 10_000
    density = card.intensity / card.pixel_um**3 * p.shell.volume_um3
    per_shell = density * card.marker_law.intensity_factor(fine) * 3 * fine * fine / len(fine)
    expected = np.histogram(fine, edges, weights=per_shell)[0]
    assert np.all(counts < expected + 4 * np.sqrt(expected))
    assert np.all(counts > 0.9 * expected - 4 * np.sqrt(expected))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"grains.tilt_deg": 25.0}, {"shell", "seeds", "diagonals", "offsets", "angles"}),
        ({"grains.tilt_deg": 0.0}, {"shell", "seeds", "diagonals", "offsets", "angles"}),
        ({"grains.core_radius": 0.6}, {"shell", "seeds", "angles"}),
        ({"grains.gradient": 0.3}, {"shell", "seeds", "angles"}),
        ({"grains.scale": 0.8}, {"shell", "angles"}),
        ({"grains.size_um": 0.7}, {"shell", "angles"}),
        ({"grains.intensity": 0.0009}, {"shell", "seeds", "diagonals", "offsets", "angles"}),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_regenerate_keeps_every_draw_that_the_change_does_not_touch(rods, change, kept):
    other = regenerate(rods, change)
    mine, theirs = common(rods, other)
    assert len(mine) > 0.5 * min(rods.n_grains, other.n_grains)

    def values(p, rows):
        t = p.tessellation
        return {
            "shell": p.shell.coefficients, "seeds": t.seeds[rows], "offsets": t.offsets[rows],
            "diagonals": p.diagonals[rows], "angles": p.angles[rows],
        }  # fmt: skip

    a, b = values(rods, mine), values(other, theirs)
    assert {name for name in a if np.array_equal(a[name], b[name])} >= kept
    assert not kept >= {"seeds"} or np.array_equal(a["seeds"], b["seeds"])
    assert other.provenance.derivation.changes.keys() == change.keys()


def test_fewer_seed_points_are_among_the_more(rods):
    """Where the intensity rises every point stays, also by the profile."""
    fewer = regenerate(rods, {"grains.intensity": 0.8 * rods.provenance.card.intensity})
    inside = relative_radii(fewer) < 0.8
    _, theirs = common(rods, fewer)
    assert np.isin(np.flatnonzero(inside), theirs).mean() > 0.95  # others lost their grain
    steep = regenerate(rods, {"grains.gradient": 2.0})  # more in the core, fewer outside
    mine, _ = common(rods, steep)
    core = np.flatnonzero(relative_radii(rods) < 0.3)
    assert np.isin(core, mine).mean() > 0.9
    assert np.sum(relative_radii(steep) < 0.3) > len(core)


@pytest.mark.parametrize("model", ["nmc811-radial", "nmc811-rods", "nmc811"])
@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_a_scale_is_a_similarity_of_the_grains(model, scale):
    """All of a particle in a shell of the same scale: seeds, metrics, offsets."""
    card = ModelCard.load(model).with_parameters(SMALL)
    if card.parameter("grains.core_radius") is not None:
        scaled = {"shell.diameter_um": 2.6 * scale, "grains.scale": scale}  # t stays as well
    else:
        scaled = {"grains.scale": scale}
    p = generate_particle(card, seed=7)
    other = regenerate(p, scaled)
    mine, theirs = common(p, other)
    inside = relative_radii(p)[mine] < 1  # the net of others sees where the points end
    mine, theirs = mine[inside], theirs[inside]
    assert len(mine) > 0.2 * min(p.n_grains, other.n_grains)
    a, b = p.tessellation, other.tessellation
    np.testing.assert_allclose(b.seeds[theirs], scale * a.seeds[mine], rtol=1e-13)
    np.testing.assert_allclose(p.angles[mine], other.angles[theirs], rtol=0)
    tolerance = 2 * STEP / p.provenance.card.pixel_um**2  # t of another shell is rounded anew
    np.testing.assert_allclose(
        scale**2 * b.matrices[theirs], a.matrices[mine], rtol=1e-5, atol=tolerance
    )
    np.testing.assert_allclose(b.offsets[theirs], a.offsets[mine], atol=1e-5)


def test_a_whole_similar_particle_has_the_same_grains(rods):
    """Shell and grains twice as large: the same points of space, twice as far from the centre."""
    twice = regenerate(rods, {"shell.diameter_um": 5.2, "grains.scale": 2.0})
    x = np.random.default_rng(0).uniform(-1.3, 1.3, (20_000, 3))
    x = x[rods.shell.depth(x) > 1e-3]
    own, other = rods.grain_at(x) - 1, twice.grain_at(2 * x) - 1
    same = np.all(rods.origin[own] == twice.origin[other], axis=1)
    assert same.mean() > 0.999  # the others lie on a boundary, which rounding moves


def bulk(card, size_um, seed, n_across=16):
    """Diameters over the size asked for, aspect ratios and alignments of grains deep inside.

    Deep inside lie those whose seed points do: large ones are neither preferred nor left out.
    """
    sized = {"shell.diameter_um": n_across * size_um, "grains.size_um": size_um}
    p = generate_particle(card.with_parameters(sized), seed)
    grid = Grid.around(p.shell.radius_bounds[1], size_um / 10)
    grains = grain_morphology(label_grid(p, grid), grid, p.n_grains)
    deep = (relative_radii(p) < 0.65) & (grains.voxel_count > 0)
    assert grains.touches_shell[deep].mean() < 0.002
    cosines = np.cos(np.radians(grains.radial_angle_deg[deep]))
    return (
        grains.equivalent_diameter_um[deep] / size_um,
        grains.aspect_ratio[deep],
        (3 * cosines**2 - 1) / 2,
    )


def error_of(*samples):
    """Standard error of the difference of the means of two samples, or of one mean."""
    return np.sqrt(sum(np.nanvar(sample) / len(sample) for sample in samples))


def test_a_size_comes_out_in_the_bulk(card):
    diameters, *_ = bulk(card, 0.25, seed=5)
    assert error_of(diameters) < 0.01
    assert abs(diameters.mean() - 1) < 4 * error_of(diameters)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nmc811", "nmc811-radial"])
def test_shapes_of_the_bulk_are_the_same_at_every_size(model):
    """Of other seeds each: means agree within their errors, and sizes with what was asked."""
    card = ModelCard.load(model)
    own = card.parameter("grains.size_um")
    samples = [bulk(card, f * own, seed, 20) for seed, f in enumerate([1.0, 0.4, 0.63, 1.6, 2.5])]
    for diameters, aspect, alignment in samples:
        assert abs(diameters.mean() - 1) < 0.02
        for one, other in ((aspect, samples[0][1]), (alignment, samples[0][2])):
            assert abs(np.nanmean(one) - np.nanmean(other)) < 4 * error_of(one, other)
        spread = diameters.std() / samples[0][0].std()
        assert abs(spread - 1) < 4 / np.sqrt(len(diameters))  # 1 / (2 n) each, tails included


def test_axes_are_turned_out_of_the_radius_by_the_spread(rods):
    """Two independent normal angles: the square of their length has the mean 2 tau^2."""
    tau = 7.0
    p = regenerate(rods, {"grains.tilt_deg": tau})
    seeds = p.tessellation.seeds
    radial = seeds / np.linalg.norm(seeds, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.clip(np.einsum("ij,ij->i", p.axes, radial), -1, 1)))
    n = len(angles)
    assert abs(np.mean(angles**2) / (2 * tau**2) - 1) < 4 / np.sqrt(n)
    wider = regenerate(rods, {"grains.tilt_deg": 2 * tau})
    mine, theirs = common(p, wider)
    ratio = np.degrees(np.arccos(np.einsum("ij,ij->i", wider.axes[theirs], radial[mine])))
    np.testing.assert_allclose(ratio, 2 * angles[mine], rtol=1e-3, atol=1e-2)


def test_a_tilt_turns_every_way_alike(rng):
    n = 20_000
    directions = np.tile([[0.6, 0.0, 0.8]], (n, 1))
    axes = tilted(directions, rng.random((n, 2)), np.full(n, 10.0))
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, atol=1e-12)
    across = axes - np.einsum("ij,ij->i", axes, directions)[:, None] * directions
    first, second = across[:, 1], across @ np.array([0.8, 0.0, -0.6])
    for part in (first, second):
        assert abs(part.mean()) < 4 * part.std() / np.sqrt(n)
    assert first.std() == pytest.approx(second.std(), rel=4 / np.sqrt(n))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(n)
    none = tilted(directions, rng.random((n, 2)), np.zeros(n))
    np.testing.assert_array_equal(none, directions)


def test_metrics_have_the_tilted_axes_and_the_diagonals(rods):
    p, px = rods, rods.provenance.card.pixel_um
    matrices = marker_matrices(p.axes, p.angles, p.diagonals * px**2) / px**2
    np.testing.assert_allclose(p.tessellation.matrices, matrices, atol=2 * STEP / px**2)
    along = np.einsum("nij,nj->ni", p.tessellation.matrices, p.axes)
    np.testing.assert_allclose(along, p.diagonals[:, :1] * p.axes, atol=4 * STEP / px**2)
    np.testing.assert_allclose(np.linalg.norm(p.axes, axis=1), 1, atol=4 * STEP)


def test_axes_are_what_every_processor_agrees_on(rods):
    """Sines and cosines differ in their last bits; recipes are equal files all the same."""
    np.testing.assert_array_equal(rods.axes / STEP, np.round(rods.axes / STEP))


def test_upright_grains_have_no_axes_of_their_own(rods, small_particle):
    assert small_particle.axes is None
    assert regenerate(rods, {"grains.tilt_deg": 0.0}).axes is None


def test_a_recipe_of_tilted_grains_is_read_back_as_it_was(rods, tmp_path):
    path = recipe.write(rods, tmp_path / "recipe.h5")
    again = recipe.read(path)
    np.testing.assert_array_equal(again.axes, rods.axes)
    np.testing.assert_array_equal(again.tessellation.table, rods.tessellation.table)
    assert again.provenance.card.sha256 == rods.provenance.card.sha256
    assert recipe.write(again, tmp_path / "again.h5").read_bytes() == path.read_bytes()
    changed = regenerate(again, {"grains.core_radius": 0.5})
    np.testing.assert_array_equal(
        changed.tessellation.table, regenerate(rods, {"grains.core_radius": 0.5}).tessellation.table
    )


def test_grains_larger_than_the_particle_are_refused_in_words(rods_card, rods):
    large = {"grains.size_um": 3.0}
    words = r"grains\.size_um 3 exceeds the diameter of the shell, 2\.6 um; choose smaller grains"
    with pytest.raises(GenerationError, match=words):
        generate_particle(rods_card.with_parameters(large), seed=7)
    with pytest.raises(GenerationError, match=r"cannot be regenerated.*exceeds the diameter"):
        regenerate(rods, large)
    assert regenerate(rods, {"grains.size_um": 2.5}).n_grains > 1


def test_too_many_small_grains_are_refused_with_what_was_set(rods_card):
    with pytest.raises(GenerationError, match=r"choose a larger grains\.size_um"):
        generate_particle(
            rods_card.with_parameters({"shell.diameter_um": 25, "grains.size_um": 0.02}), 0
        )
