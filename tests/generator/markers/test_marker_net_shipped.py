"""The shipped card `nmc811`: what its fitted net gives, and what parameters do to it."""

import json
import shutil

import numpy as np
import pytest

from cathodegrain.exporters.products import particle_folder
from cathodegrain.generator import generate
from cathodegrain.generator.errors import ModelCardError
from cathodegrain.generator.generate import generate_particle, regenerate
from cathodegrain.generator.markers.marker_net import MarkerNet
from cathodegrain.generator.model_card import SHIPPED, ModelCard
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from cathodegrain.generator.voxels.morphology import grain_morphology

PITCH = 0.05


@pytest.fixture(scope="module")
def net_card():
    return ModelCard.load("nmc811").with_parameters({"shell.diameter_um": 3.4})


@pytest.fixture(scope="module")
def particle(net_card):
    return generate_particle(net_card, seed=11)


def shapes(particle):
    """Whole grains: volumes, um^3, longest over middle axis, and angles to the radius, degrees."""
    grid = Grid.around(particle.shell.radius_bounds[1], PITCH)
    found = grain_morphology(label_grid(particle, grid), grid, particle.n_grains)
    seeds = particle.tessellation.seeds
    inner = np.linalg.norm(seeds, axis=1) < 0.7 * particle.shell.radius_bounds[0]
    kept = inner & (found.voxel_count >= 30)
    lengths = found.principal_lengths_um[kept]
    return found.volume_um3[kept], lengths[:, 0] / lengths[:, 1], found.radial_angle_deg[kept]


def test_the_card_has_a_net_and_says_what_it_was_fitted_to(net_card):
    assert isinstance(net_card.marker_law, MarkerNet)
    fit = net_card.document["grains"]["fit"]
    assert "phantom" in net_card.document["fitted_on"]
    assert fit["distances"]["reference"] == "phantom"
    assert all(len(section["labels_sha256"]) == 64 for section in fit["sections"])
    assert fit["runs"][fit["chosen"]]["final_score"] == min(
        run["final_score"] for run in fit["runs"] if run["final_score"] is not None
    )


@pytest.mark.parametrize(
    ("space", "descriptor", "farthest"),
    [
        ("planar", "area", 0.06),
        ("planar", "aspect_ratio", 0.08),
        ("planar", "theta", 0.10),
        ("spatial", "volume", 0.15),
        ("spatial", "elongation", 0.14),
        ("spatial", "radial_angle", 0.14),
        ("spatial", "sphericity", 0.13),
        ("spatial", "flatness", 0.15),
    ],
)
def test_the_fit_that_ships_is_as_near_to_the_truth_as_promised(
    net_card, space, descriptor, farthest
):
    found = net_card.document["grains"]["fit"]["distances"]
    assert found["n_planar_grains"] > 4000
    assert found["n_spatial_grains"] > 700
    assert found["grains_per_area"]["generated"] == pytest.approx(1, abs=0.06)
    one = next(one for one in found[space] if one["descriptor"] == descriptor)
    assert one["generated"]["ks"] <= farthest
    if descriptor == "volume":
        assert one["generated"]["mean"] == pytest.approx(1, abs=0.15)
        assert one["generated"]["spread"] == pytest.approx(1, abs=0.15)


def test_grains_are_long_and_point_to_the_centre(particle):
    """Of an isotropic tessellation the mean angle is 57 degrees (1 radian), the ratio 1.3."""
    _, elongation, angle = shapes(particle)
    assert len(angle) > 50
    assert np.median(elongation) > 1.6
    assert np.mean(angle) < 25


def test_grains_are_like_those_of_the_law_that_was_fitted(particle):
    """Volumes and elongations of nmc811 and nmc811-radial, by means: sd / mean below 1, n > 50."""
    radial = ModelCard.load("nmc811-radial").with_parameters({"shell.diameter_um": 3.4})
    truth = shapes(generate_particle(radial, seed=11))
    found = shapes(particle)
    for name, one, other in zip(("volume", "elongation"), found, truth, strict=False):
        error = 4 * np.hypot(one.std() / np.sqrt(len(one)), other.std() / np.sqrt(len(other)))
        assert abs(one.mean() - other.mean()) < error + 0.15 * other.mean(), name


@pytest.mark.parametrize(
    ("changes", "change"),
    [
        ({"grains.elongation": 1.5}, lambda old, new: np.median(new[1]) > 1.15 * np.median(old[1])),
        ({"grains.intensity": 0.0006}, lambda old, new: new[0].mean() > 1.5 * old[0].mean()),
        ({"grains.offset_scale": 0.0}, lambda old, new: not np.array_equal(old[0], new[0])),
        ({"grains.metric": "squared"}, lambda old, new: not np.array_equal(old[0], new[0])),
    ],
)
def test_parameters_act_on_the_net(particle, changes, change):
    assert change(shapes(particle), shapes(regenerate(particle, changes)))


def test_a_particle_of_a_laboratory_s_own_net_can_be_regenerated_anywhere(net_card, tmp_path):
    """The recipe holds the weights: the card's file is not needed any more."""
    own = tmp_path / "own"
    own.mkdir()
    document = json.loads(json.dumps(net_card.document))
    weights = document["grains"]["markers"]["weights"]
    shutil.copy(SHIPPED / weights, own / "mine.safetensors")
    document["grains"]["markers"]["weights"] = "mine.safetensors"
    (own / "card.json").write_text(json.dumps(document))
    card = ModelCard.load(own / "card.json").with_parameters({"shell.diameter_um": 1.5})
    folder = particle_folder.create(generate_particle(card, seed=3), tmp_path)
    shutil.rmtree(own)
    again = regenerate(particle_folder.load(folder), {})
    expected = particle_folder.load(folder)
    np.testing.assert_array_equal(again.tessellation.matrices, expected.tessellation.matrices)
    longer = regenerate(expected, {"grains.elongation": 1.2})
    assert longer.n_grains


def test_weights_that_are_missing_or_changed_are_refused(net_card, tmp_path):
    document = json.loads(json.dumps(net_card.document))
    document["grains"]["markers"]["weights"] = "gone.safetensors"
    with pytest.raises(ModelCardError, match="sha256 no file, the card expects"):
        _ = ModelCard(document, tmp_path).marker_law
    (tmp_path / "gone.safetensors").write_bytes(b"something else")
    with pytest.raises(ModelCardError, match=r"have sha256 .*, the card expects"):
        _ = ModelCard(document, tmp_path).marker_law


def test_seeds_far_from_the_shell_change_nothing(monkeypatch):
    card = ModelCard.load("nmc811").with_parameters({"shell.diameter_um": 3.0})
    near = generate_particle(card, 5)
    monkeypatch.setattr(generate, "MARGIN", 9.0)
    far = generate_particle(card, 5)
    for name in ("seeds", "matrices", "offsets"):
        one, other = (getattr(p.tessellation, name) for p in (near, far))
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(near.origin, far.origin)
