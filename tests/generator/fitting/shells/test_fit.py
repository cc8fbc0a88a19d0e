import json
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain import schemas
from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.shells import comparison as shell_comparison, fit as shell_fit
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.measured.open import read_volume
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import stream
from places import SHARED
from shell_scenes import SETTINGS, VOXEL_UM, quiet, scene


@pytest.fixture(scope="module")
def truth():
    return scene(0)


@pytest.fixture(scope="module")
def volumes(truth):
    other, _ = scene(27)
    return [
        shell_fit.measured(values, f"part{k}.tif", SETTINGS, k, quiet)
        for k, values in enumerate([truth[0], other])
    ]


@pytest.fixture(scope="module")
def fit(volumes):
    return shell_fit.fit_shells(volumes, SETTINGS, quiet)


def test_volumes_of_voxelised_shells_are_those_of_the_shells(truth, volumes):
    expected = sorted(s.volume_um3 for s in truth[1] if s.radius_bounds[1] < 14)
    found = np.sort(volumes[0].shapes.volumes * VOXEL_UM**3)
    assert len(found) >= 0.8 * len(truth[1])
    assert np.median(found) == pytest.approx(np.median(expected), rel=0.05)


def test_star_shapes_capture_the_drawn_shells(fit):
    assert fit.shapes.captured.mean() > 0.95
    assert fit.shapes.covered.mean() == pytest.approx(1, abs=0.03)


def test_the_section_is_the_middle_layer_of_what_was_read_and_found(truth, volumes):
    values, found = truth[0], volumes[0]
    middle = values[len(values) // 2]
    np.testing.assert_array_equal(found.values_section, middle)
    assert found.section.base is None  # the volume is not kept with it
    assert found.section.max() <= len(found.shapes.volumes)
    assert not found.section[middle == 0].any()
    assert (found.section > 0).sum() > 0.9 * middle.sum()


def test_particles_of_all_volumes_are_fitted_together(fit, volumes):
    n = sum(len(volume.shapes.volumes) for volume in volumes)
    assert len(fit.shapes.volumes) + fit.n_not_star_shaped == n
    assert len(fit.orders) == 5
    assert len(fit.expansions.coefficients) == len(fit.shapes.volumes)


def test_the_same_entropy_gives_the_same_fit(volumes, fit):
    again = shell_fit.fit_shells(volumes, SETTINGS, quiet)
    assert shell_fit.fit_document(again, "x") == shell_fit.fit_document(fit, "x")


def test_the_card_is_valid_and_makes_particles(fit, tmp_path):
    card = shell_fit.fitted_card(fit, "my-scan", ModelCard.load("nmc811"), "cathodegrain 0")
    assert schemas.problems(card.document, "model_card") == []
    path = tmp_path / "card.json"
    path.write_text(json.dumps(card.document), "utf-8")
    again = ModelCard.load(path)
    assert again.sha256 == card.sha256
    assert again.shell == fit.model
    particle = generate_particle(again.with_parameters({"shell.diameter_um": 2.0}), seed=1)
    assert particle.n_grains > 10


def test_the_card_says_where_its_numbers_come_from(fit, volumes):
    card = shell_fit.fitted_card(fit, "my-scan", ModelCard.load("nmc811"), "cathodegrain 0")
    told = card.document["shell"]["fit"]
    assert [v["file"] for v in told["volumes"]] == ["part0.tif", "part1.tif"]
    assert told["volumes"][0]["sha256"] == volumes[0].sha256
    assert told["n_particles"] == len(fit.shapes.volumes)
    for law, degree in zip(card.document["shell"]["orders"], told["degrees"][1:], strict=True):
        for name, (low, high) in degree["interval_99"].items():
            assert low <= law[name] <= high
    assert card.document["fitted_on"].startswith(
        f"Shell: {told['n_particles']} whole particles of part0.tif, part1.tif, voxels of 0.5 um. "
        "Grains, as in the model nmc811: 3198 grains in 6 sections of the phantom"
    )


def test_limits_are_those_of_the_fit_and_of_the_grains_that_were_taken(fit):
    unseen = replace(fit, shapes=replace(fit.shapes, volumes=np.full_like(fit.shapes.volumes, 1e5)))
    card = shell_fit.fitted_card(unseen, "my-scan", ModelCard.load("nmc811"), "cathodegrain 0")
    told = card.document["limits"]
    own = [limit for limit in told if limit.startswith("Shell: ")]
    assert f"the {len(fit.shapes.volumes)} particles have diameters of 28.8 to 28.8 um" in own[0]
    assert any("less than 90 % is seen" in limit for limit in own)  # a warning of the fit
    assert not any("phantom" in limit for limit in own)
    taken = [limit for limit in told if limit not in own]
    assert taken
    assert all(limit.startswith("Grains, as in the model nmc811: ") for limit in taken)


def test_a_card_without_a_phantom_s_half_says_nothing_of_one(fit):
    base = ModelCard.load("nmc811")
    document = dict(base.document) | {
        "name": "my-grains",
        "fitted_on": "Grains: 400 grains in a.ctf. Shell, as in the model x: a phantom.",
        "limits": ["Grains: a single map.", "Shell, as in the model x: a phantom."],
    }
    grains = ModelCard(document, base.folder)
    card = shell_fit.fitted_card(fit, "my-scan", grains, "cathodegrain 0").document
    texts = [card[key] for key in ("title", "description", "fitted_on")] + card["limits"]
    assert card["limits"][-1] == "Grains, as in the model my-grains: a single map."
    assert not any("phantom" in text for text in texts)


def test_the_hash_is_of_the_voxels_and_not_of_their_byte_order():
    values = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    assert shell_fit._voxel_hash(values) == shell_fit._voxel_hash(values.astype("<u2"))
    assert shell_fit._voxel_hash(values) != shell_fit._voxel_hash(values.reshape(4, 3, 2))
    assert shell_fit._voxel_hash(values) == shell_fit._voxel_hash(np.asfortranarray(values))


def test_small_particles_are_warned_of(fit):
    coarse = replace(
        fit, settings=replace(SETTINGS, max_degree=9),
        shapes=replace(fit.shapes, volumes=np.full_like(fit.shapes.volumes, 300.0)),
    )  # fmt: skip
    assert any("100% of the particles have a radius below 6 voxels" in w for w in coarse.warnings)


def test_generated_shells_resemble_the_measured_ones(fit):
    measured, _ = shell_comparison.measured_shells(fit.expansions.coefficients, VOXEL_UM, 0.5)
    generated, _ = shell_comparison.generated_shells(fit.model, len(measured), 1)
    one, other = map(shell_comparison.descriptors, (measured, generated))
    for name in shell_comparison.DESCRIPTORS:
        found = shell_comparison.comparison(name, one[name], other[name], stream(0, 0, "fit"))
        assert 0 <= found.ks <= 1
        assert found.energy_interval[0] <= found.energy_interval[1]
        assert found.energy < 4 * found.energy_floor


def test_two_samples_of_one_law_are_as_far_apart_as_two_halves():
    rng = np.random.default_rng(0)
    found = shell_comparison.comparison(
        "volume_um3", rng.lognormal(size=400), rng.lognormal(size=400), rng
    )
    assert found.energy < 2 * found.energy_floor
    other = shell_comparison.comparison(
        "volume_um3", rng.lognormal(size=400), 1.5 * rng.lognormal(size=400), rng
    )
    assert other.energy > 2 * other.energy_floor
    assert other.ks > 2 * other.ks_floor


def test_a_model_is_judged_by_particles_it_has_not_seen(fit):
    seen = []

    def model_of(rows):
        seen.append(len(rows))
        return fit.model_of(rows)

    found = shell_comparison.held_out(
        fit.expansions.coefficients, model_of, 0, np.random.default_rng(0)
    )
    assert set(seen) == {len(fit.expansions.coefficients) // 2}
    assert [h.descriptor for h in found] == list(shell_comparison.DESCRIPTORS)
    assert all(0.2 < h.ratio < 4 for h in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voxel_um": 0.0}, "the edge of a voxel is 0.0 um"),
        ({"max_degree": 40}, "the largest degree is 40, expected 1 to 20"),
        ({"n_bootstrap": 10}, "10 bootstrap samples give no 99 % interval"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(FitError, match=message):
        replace(SETTINGS, **change)


def test_the_name_of_a_bad_volume_is_told():
    with pytest.raises(FitError, match=r"empty.tif: 0% of the volume is particle"):
        shell_fit.measured(np.zeros((9, 9, 9), bool), "empty.tif", SETTINGS, 0, quiet)


REAL = SHARED / "data" / "nmc-electrode-ct-mask.tif"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason=f"{REAL.name} is not in the repository")
def test_the_shipped_card_is_what_the_command_makes_of_the_real_volume():
    settings = shell_fit.FitSettings(voxel_um=0.398, input="segmented")
    volume = shell_fit.measured(read_volume(REAL).values, REAL.name, settings, 0, quiet)
    fit = shell_fit.fit_shells([volume], settings, quiet)
    shipped = ModelCard.load("nmc-electrode-ct").document["shell"]
    assert len(volume.shapes.volumes) >= 500
    assert fit.shapes.captured.mean() > 0.95
    assert shipped["fit"]["volumes"][0]["sha256"] == volume.sha256
    assert shipped["fit"]["n_particles"] == len(fit.shapes.volumes)
    found = fit.shell_fields()
    for law, expected in zip([found["size"], *found["orders"]],
                             [shipped["size"], *shipped["orders"]], strict=True):  # fmt: skip
        assert law["family"] == expected["family"]
        numbers = [name for name in law if name not in ("family", "degree")]
        assert [law[n] for n in numbers] == pytest.approx([expected[n] for n in numbers], rel=1e-4)
