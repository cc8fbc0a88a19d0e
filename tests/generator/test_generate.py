import json
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.generator.errors import GenerationError, ModelCardError
from cathodegrain.generator.generate import generate_particle, half_width, regenerate
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.markers import point_process
from cathodegrain.generator.markers.marker_law import Markers
from cathodegrain.generator.markers.radial_frame import marker_matrices
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import DRAWS, stream
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid


def keys(particle):
    return {tuple(row): i for i, row in enumerate(particle.origin.tolist())}


def common(a, b):
    """Rows of the grains of both particles that grew from the same points."""
    ka, kb = keys(a), keys(b)
    shared = sorted(ka.keys() & kb.keys())
    return np.array([ka[k] for k in shared]), np.array([kb[k] for k in shared])


def everything(particle):
    t = particle.tessellation
    return (
        particle.shell.coefficients, t.seeds, t.matrices, t.offsets, particle.diagonals,
        particle.angles, particle.origin,
    )  # fmt: skip


def test_the_same_card_entropy_and_index_give_the_same_particle(card, small_particle):
    again = generate_particle(card.with_parameters({"shell.diameter_um": 2.6}), seed=7)
    for a, b in zip(everything(small_particle), everything(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_index_and_entropy_matter(card, small_particle):
    own = card.with_parameters({"shell.diameter_um": 2.6})
    for other in (generate_particle(own, 7, 1), generate_particle(own, 8, 0)):
        assert not np.array_equal(other.shell.coefficients, small_particle.shell.coefficients)
        assert (
            not keys(other).keys() & keys(small_particle).keys()
            or not np.isin(other.tessellation.seeds, small_particle.tessellation.seeds).any()
        )


def test_fixed_diameter_is_met(small_particle):
    assert small_particle.shell.diameter_um == pytest.approx(2.6, rel=1e-6)


def test_markers_are_those_of_the_seeds(card, small_particle):
    p, px = small_particle, card.pixel_um
    matrices = marker_matrices(p.tessellation.seeds / px, p.angles, p.diagonals * px**2) / px**2
    np.testing.assert_allclose(p.tessellation.matrices, matrices, rtol=1e-6, atol=1e-3)


def test_dropped_seeds_do_not_change_a_label(card, small_particle):
    from functools import partial

    p = small_particle
    points = point_process.sample_poisson(
        card.intensity, half_width(p.shell, p.provenance.card), partial(stream, 7, 0)
    )
    drawn = card.marker_law.markers(points)
    rounded = Markers(*drawn).rounded()
    whole = Tessellation(
        points.seeds,
        marker_matrices(points.seeds, points.angles, rounded.diagonals),
        rounded.offsets,
    ).scaled(card.pixel_um)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.7, 1.7, (20000, 3))
    x = x[p.shell.contains(x)]
    expected = points.origin[whole.labels(x)]
    np.testing.assert_array_equal(p.origin[p.grain_at(x) - 1], expected)
    assert p.n_grains < 0.1 * len(points)


def test_a_larger_particle_has_a_larger_window(card):
    big = generate_particle(card.with_parameters({"shell.diameter_um": 14.0}), 7)
    reach = big.shell.radius_bounds[1] / card.pixel_um
    assert half_width(big.shell, big.provenance.card) > reach + 4 * 9
    seeds = np.linalg.norm(big.tessellation.seeds, axis=1) / card.pixel_um
    assert seeds.max() > 128  # beyond the printed window


def test_grain_volume_is_the_inverse_of_the_intensity(card):
    p = generate_particle(card.with_parameters({"shell.diameter_um": 5.0}), 3)
    labels = label_grid(p, Grid.around(p.shell.radius_bounds[1], 0.05))
    inner = np.linalg.norm(p.tessellation.seeds, axis=1) < 1.2  # far from the shell
    counts = np.bincount(labels.ravel(), minlength=p.n_grains + 1)[1:]
    mean = counts[inner].mean()  # voxels are cubic pixels here
    error = counts[inner].std() / np.sqrt(inner.sum())
    # seeds in a ball own on average a volume of 1 / lambda
    assert abs(mean - 1 / card.intensity) < 5 * error + 0.02 / card.intensity


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"grains.elongation": 1.5}, {"shell", "seeds", "offsets", "angles"}),
        ({"grains.offset_scale": 0.5}, {"shell", "seeds", "diagonals", "angles"}),
        ({"grains.intensity": 0.0008}, {"shell", "seeds", "diagonals", "offsets", "angles"}),
        ({"grains.metric": "squared"}, {"shell", "seeds", "diagonals", "offsets", "angles"}),
        ({"shell.roughness": 0.5}, {"seeds", "diagonals", "offsets", "angles"}),
        ({"shell.diameter_um": 2.2}, {"seeds", "diagonals", "offsets", "angles"}),
        ({"orientations.model": "radial"}, {"shell", "seeds", "diagonals", "offsets", "angles"}),
    ],
)
def test_regenerate_keeps_every_draw_that_the_change_does_not_touch(small_particle, change, kept):
    other = regenerate(small_particle, change)
    mine, theirs = common(small_particle, other)
    assert len(mine) > 0.5 * min(small_particle.n_grains, other.n_grains)

    def values(p, rows):
        t = p.tessellation
        return {
            "shell": p.shell.coefficients, "seeds": t.seeds[rows], "offsets": t.offsets[rows],
            "diagonals": p.diagonals[rows], "angles": p.angles[rows],
        }  # fmt: skip

    a, b = values(small_particle, mine), values(other, theirs)
    for name in a:
        assert np.array_equal(a[name], b[name]) == (name in kept), name


def test_regenerate_without_a_change_is_the_same_particle(small_particle):
    again = regenerate(small_particle, {})
    for a, b in zip(everything(small_particle), everything(again), strict=True):
        np.testing.assert_array_equal(a, b)


def drawn_otherwise(particle, draws, **changes):
    """The particle as if a program of these draws had made it."""
    return replace(particle, provenance=replace(particle.provenance, draws=draws), **changes)


def test_regenerate_refuses_a_particle_of_other_draws(small_particle):
    with pytest.raises(GenerationError, match=rf"is of draws 99, this program has draws {DRAWS}"):
        regenerate(drawn_otherwise(small_particle, 99), {})


def test_regenerate_takes_an_unnumbered_particle_that_it_draws_alike(small_particle):
    again = regenerate(drawn_otherwise(small_particle, None), {"grains.elongation": 1.5})
    paired = regenerate(small_particle, {"grains.elongation": 1.5})
    for a, b in zip(everything(again), everything(paired), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.provenance.draws == DRAWS


def test_regenerate_refuses_an_unnumbered_particle_that_it_draws_otherwise(small_particle):
    offsets = small_particle.tessellation.offsets.copy()
    offsets[3] += 2.0**-20
    other = replace(small_particle.tessellation, offsets=offsets)
    with pytest.raises(GenerationError, match=r"is of version 0\.1\.0 and other draws"):
        regenerate(drawn_otherwise(small_particle, None, tessellation=other), {})


def test_regenerate_says_where_it_comes_from(small_particle):
    other = regenerate(small_particle, {"grains.elongation": 1.5, "grains.offset_scale": 1.0})
    derivation = other.provenance.derivation
    assert derivation.parent == small_particle.id
    assert derivation.model_sha256 == small_particle.provenance.card.sha256
    assert derivation.changes == {"grains.elongation": (1.0, 1.5)}


def test_elongation_lengthens_grains_along_the_radius(card):
    p = generate_particle(card.with_parameters({"shell.diameter_um": 4.0}), 5)
    longer = regenerate(p, {"grains.elongation": 1.6})
    extents = []
    for particle in (p, longer):
        x = np.random.default_rng(0).uniform(-2, 2, (60000, 3))
        x = x[particle.shell.contains(x)]
        seeds = particle.tessellation.seeds[particle.grain_at(x) - 1]
        u = seeds / np.linalg.norm(seeds, axis=1, keepdims=True)
        along = np.einsum("ni,ni->n", x - seeds, u)
        across = np.linalg.norm(x - seeds - along[:, None] * u, axis=1)
        extents.append(np.abs(along).mean() / across.mean())
    assert extents[1] > 1.3 * extents[0]


def test_regenerate_keeps_the_accepted_draw_or_says_that_it_cannot(card):
    # at this roughness nearly nothing is a shell: the draw of the parent is not replaced
    parent = generate_particle(card.with_parameters({"shell.diameter_um": 2.0}), 7)
    with pytest.raises(GenerationError, match=r"p000000 cannot be regenerated.*not star-shaped"):
        regenerate(parent, {"shell.roughness": 60.0})


def test_regenerate_from_a_later_attempt_starts_there(card):
    small = card.with_parameters({"shell.roughness": 4.0, "shell.diameter_um": 2.0})
    particles = (generate_particle(small, 11, k) for k in range(40))
    parent = next(p for p in particles if p.provenance.shell_attempt > 0)
    child = regenerate(parent, {"shell.roughness": 3.0})
    assert child.provenance.shell_attempt == parent.provenance.shell_attempt


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_negative_seeds_are_refused(card, seed, index):
    with pytest.raises(GenerationError, match="is -1, expected an integer of 0 or more"):
        generate_particle(card, seed, index)


def test_too_many_seed_points_are_refused_before_they_are_drawn(card):
    with pytest.raises(GenerationError, match=r"takes 2\S+ seed points, about \d+ GB"):
        generate_particle(
            card.with_parameters({"grains.intensity": 0.1, "shell.diameter_um": 25}), 0
        )


def test_markers_too_anisotropic_for_their_rounding_are_refused(card):
    fields = json.loads(json.dumps(dict(card.document)))
    fields["grains"]["markers"]["transverse"] |= {"low": 0.001, "high": 0.002}
    fields["grains"]["markers"]["aspect_ratio"] |= {"low": 99.0, "high": 100.0}
    fields["grains"]["elongation"] = 10.0
    fields["shell"]["diameter_um"] = 1.2
    with pytest.raises(GenerationError, match=r"elongation 10\.0 make grains too long or too thin"):
        generate_particle(ModelCard(fields), seed=7)


def test_very_few_large_grains_fill_a_particle(card):
    p = generate_particle(card.with_parameters({"grains.intensity": 1e-6}), 0)
    assert 1 <= p.n_grains < 60


def test_unknown_parameter_is_said(small_particle):
    with pytest.raises(ModelCardError, match="did you mean"):
        regenerate(small_particle, {"grain.intensity": 1})
