"""`cathodegrain phantom`: sections of a known law, as fits read them."""

import json

import numpy as np
import pytest
import tifffile

from cathodegrain import schemas
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.sections import phantom_folder, picture as section_report
from cathodegrain.exporters.sections.phantom_folder import PhantomPlan
from cathodegrain.generator import requirements
from cathodegrain.generator.fitting.sections import phantom
from cathodegrain.generator.fitting.sections.descriptors import alignment, section_descriptors
from cathodegrain.generator.fitting.sections.phantom import (
    PHANTOMS,
    CrowdedMarkers,
    phantom_offsets,
    phantom_series,
)
from cathodegrain.generator.fitting.sections.reconstruction import pieces, renumbered
from cathodegrain.generator.fitting.sections.section import MISSING, Section
from cathodegrain.generator.markers.marker_law import RadialMarkers, Uniform
from cathodegrain.generator.markers.radial_profile import RadialProfileMarkers

pytest.importorskip("matplotlib")
PLAN = PhantomPlan(name="elongated", n_sections=3, n_off_centre=1, seed=5)
FLAGS = ["--sections", "3", "--off-centre", "1", "--seed", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "ph"
    assert main(["phantom", "elongated", *FLAGS, "--out", str(out)]) == 0
    return out


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    return code, *capsys.readouterr()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def in_pieces(section):
    """A section whose grains are connected, as a measured one's are."""
    labels = pieces(section.labels)
    kept = np.bincount(labels.ravel())[1:] >= 4
    labels = renumbered(labels, kept)
    labels[section.inside & (labels == 0)] = MISSING
    return Section(labels, section.pixel_um, section.centre, section.source)


def test_sections_are_read_as_they_were_made(folder):
    made = list(phantom_series(PHANTOMS["elongated"], PLAN.offsets, PLAN.seed))
    fields, read = phantom_folder.read(folder)
    for entry, one, back in zip(fields["sections"], made, read, strict=True):
        image = tifffile.imread(folder / entry["path"])
        assert image.dtype == np.int32
        np.testing.assert_array_equal(image, one.labels)
        expected = in_pieces(one)
        np.testing.assert_array_equal(back.labels, expected.labels)
        assert (back.pixel_um, back.centre) == (one.pixel_um, one.centre)
        found, wanted = section_descriptors(back), section_descriptors(expected)
        np.testing.assert_array_equal(found.theta, wanted.theta)
        np.testing.assert_array_equal(found.pixel_count, wanted.pixel_count)
        assert entry["n_grains"] == one.n_grains


def test_the_document_tells_the_law_and_the_planes(folder):
    fields = json.loads((folder / "phantom.json").read_text("utf-8"))
    assert schemas.problems(fields, "phantom") == []
    assert fields["law"] == PHANTOMS["elongated"].law.fields()
    assert fields["intensity"] == PHANTOMS["elongated"].intensity
    offsets = [one["offset_px"] for one in fields["sections"]]
    assert offsets[:2] == [0, 0]
    low, high = phantom.OFF_CENTRE
    assert low * phantom.HALF_WIDTH <= offsets[2] <= high * phantom.HALF_WIDTH
    assert fields["sections"][2]["offset_um"] == pytest.approx(0.05 * offsets[2])
    assert (folder / fields["picture"]).is_file()


@pytest.mark.parametrize("name", PHANTOMS)
def test_every_law_can_be_built_from_its_document(name):
    model = PHANTOMS[name]
    fields = json.loads(json.dumps(model.law.fields()))
    if fields["law"] == "radial":
        assert RadialMarkers.from_fields(fields) == model.law
        return
    if fields["law"] == "radial_profile":
        assert RadialProfileMarkers.from_fields(fields) == model.law
        return
    one, offset = Uniform(1.0, 1.0), Uniform(5, 5)
    transverse = Uniform(fields["transverse"]["low"], fields["transverse"]["high"])
    built = CrowdedMarkers(
        law=RadialMarkers(transverse=transverse, aspect_ratio=one, offset=offset),
        intensity=fields["intensity"],
        aspect_ratio=(fields["aspect_ratio"]["crowded"], fields["aspect_ratio"]["lone"]),
        offset=(fields["offset"]["crowded"], fields["offset"]["lone"]),
    )
    assert built == model.law


@pytest.mark.parametrize("name", PHANTOMS)
def test_every_phantom_has_a_valid_document(name):
    entry = {
        "path": "section-000.tif", "sha256": "0" * 64, "offset_px": 0.0, "offset_um": 0.0,
        "shape": [3, 3], "centre": [1.0, 1.0], "n_grains": 2, "missing_part": 0.0,
    }  # fmt: skip
    fields = phantom_folder._fields(PhantomPlan(name=name), PHANTOMS[name], [entry])
    assert schemas.problems(fields, "phantom") == []


def test_planes_that_miss_the_centre_show_less_alignment(folder):
    values = [alignment(section_descriptors(one)).value for one in phantom_folder.read(folder)[1]]
    assert values[2] < min(values[:2]) - 0.1


def test_planes_pass_through_the_centre_unless_others_are_asked_for(capsys):
    code, printed, _ = run(capsys, "phantom", "rods", "--dry-run", "--json")
    assert code == 0
    rows = json.loads(printed)
    planes = [rows[f"section-{k:03d}.tif"] for k in range(6)]
    assert planes == ["plane through the centre"] * 6


def test_a_law_from_centre_to_surface_is_told_with_the_radius_that_it_refers_to(tmp_path, capsys):
    out = tmp_path / "rods"
    flags = ["--sections", 2, "--off-centre", 1, "--out", out]
    code, printed, _ = run(capsys, "phantom", "rods", *flags)
    assert code == 0
    assert "radial over transverse length 1 to 3, 0.0016 to 0.0008 seeds" in " ".join(
        printed.split()
    )
    fields = json.loads((out / "phantom.json").read_text("utf-8"))
    assert schemas.problems(fields, "phantom") == []
    assert RadialProfileMarkers.from_fields(fields["law"]) == PHANTOMS["rods"].law
    for one in fields["sections"]:
        radius = np.hypot(phantom.HALF_WIDTH, one["offset_px"])
        assert one["radius_px"] == pytest.approx(radius, abs=1e-6)
    assert fields["sections"][0]["radius_px"] == phantom.HALF_WIDTH


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(folder, tmp_path, capsys):
    again, other = tmp_path / "again", tmp_path / "other"
    assert run(capsys, "phantom", "elongated", *FLAGS, "--out", again)[0] == 0
    assert contents(again) == contents(folder)
    assert run(capsys, "phantom", "elongated", *FLAGS[:-1], 6, "--out", other)[0] == 0
    assert not set(contents(other).values()) & set(contents(folder).values())


def test_a_plane_does_not_depend_on_how_many_there_are():
    few, many = phantom_offsets(4, 2, 0), phantom_offsets(6, 4, 0)
    assert few[:2] == many[:2] == (0.0, 0.0)
    assert few[2:] == many[2:4]
    assert len(set(many[2:])) == 4


def test_without_a_name_the_phantoms_are_listed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, _ = run(capsys, "phantom")
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()] == list(PHANTOMS)
    assert "radial over transverse length 1.6 to 2.8, r 2 to 9, 0.0012 seeds" in printed
    assert json.loads(run(capsys, "phantom", "--json")[1]).keys() == PHANTOMS.keys()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_the_planes_and_writes_nothing(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, _ = run(capsys, "phantom", "elongated", *FLAGS, "--dry-run", "--json")
    assert code == 0
    rows = json.loads(printed)
    assert rows["section-000.tif"] == "plane through the centre"
    offset = phantom_folder.read(folder)[0]["sections"][2]["offset_um"]
    assert rows["section-002.tif"] == f"plane {offset:.3g} um from the centre"
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked_and_only_phantoms_are(folder, tmp_path, capsys):
    before = contents(folder)
    code, _, err = run(capsys, "phantom", "compact", "--out", folder)
    assert code == 2
    assert "exists; choose another --out, or --overwrite" in err
    assert contents(folder) == before
    (tmp_path / "thesis.tex").write_text("mine")
    code, _, err = run(capsys, "phantom", "compact", "--out", tmp_path, "--overwrite")
    assert code == 2
    assert "holds no phantom.json, expected the folder of a phantom" in err
    assert contents(tmp_path) == {"thesis.tex": b"mine"}


def test_a_phantom_replaces_a_phantom_if_asked(tmp_path, capsys):
    out = tmp_path / "ph"
    flags = ["--sections", 1, "--off-centre", 0, "--out", out, "--overwrite"]
    assert run(capsys, "phantom", "compact", *flags)[0] == 0
    assert run(capsys, "phantom", "crowded", *flags)[0] == 0
    assert phantom_folder.read(out)[0]["name"] == "crowded"
    assert [path.name for path in tmp_path.iterdir()] == ["ph"]


def test_an_interrupted_command_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(section_report, "write", interrupt)
    out = tmp_path / "ph"
    assert run(capsys, "phantom", "compact", "--sections", 2, "--out", out)[0] == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["elongate"], "unknown phantom 'elongate'; did you mean 'elongated'? Choose from"),
        (["compact", "--sections", "0"], "the number of sections is 0, expected 1 to 1000"),
        (["compact", "--off-centre", "7"], "7 sections are to miss the centre, expected 0 to 6"),
        (["compact", "--seed", "-1"], "the seed is -1, expected 0 or larger"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments, message, tmp_path, capsys):
    code, printed, err = run(capsys, "phantom", *arguments, "--out", tmp_path / "ph")
    assert code == 2
    assert message in err + printed
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_said_with_the_extra_that_brings_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    code, _, err = run(capsys, "phantom", "compact", "--out", tmp_path / "ph")
    assert code == 2
    assert "need tifffile and matplotlib, not installed here" in err
    assert requirements.install_command("fit,view") in err
    assert list(tmp_path.iterdir()) == []
