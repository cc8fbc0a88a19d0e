"""`cathodegrain section`: what it writes is the particle, and fits read it back."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.spatial.transform import Rotation

from cathodegrain import schemas
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.products import particle_folder
from cathodegrain.exporters.sections import image as section_image
from cathodegrain.generator import requirements
from cathodegrain.generator.errors import ExportError, FitError
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.ebsd import read_map
from cathodegrain.generator.fitting.sections.files import read_section
from cathodegrain.generator.fitting.sections.orientation_fit import fit_orientations
from cathodegrain.generator.fitting.sections.phantom import boundary_weights
from cathodegrain.generator.fitting.sections.plane_cut import (
    Plane,
    particle_section,
    plane_cut,
    plane_stream,
)
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.grains.misorientation import disorientation_deg
from cathodegrain.generator.markers.orientations import c_axes
from sections import PIXEL

OBLIQUE = (1.0, -2.0, 0.5)


@pytest.fixture(scope="module")
def crystalline(card):
    """About 250 grains with random orientations."""
    settings = {"shell.diameter_um": 2.6, "orientations.model": "uniform"}
    return generate_particle(card.with_parameters(settings), seed=7)


@pytest.fixture(scope="module")
def folder(crystalline, tmp_path_factory):
    return particle_folder.create(crystalline, tmp_path_factory.mktemp("particles"))


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    return code, *capsys.readouterr()


def cut_of(particle, normal=OBLIQUE, offset=0.3):
    return plane_cut(particle, Plane(normal, offset), PIXEL)


def assert_same_descriptors(first, second):
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=field.name)


@pytest.mark.parametrize(
    ("normal", "u", "v"),
    [
        ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
        ((0, 0, -3), (1, 0, 0), (0, -1, 0)),
        ((0, 2, 0), (1, 0, 0), (0, 0, -1)),
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ],
)
def test_columns_run_along_the_coordinate_axis_nearest_to_the_plane(normal, u, v):
    np.testing.assert_array_equal(Plane(normal).frame[:2], [u, v])


def test_columns_rows_and_normal_are_a_right_handed_frame(rng):
    for normal in rng.normal(size=(50, 3)):
        frame = Plane(tuple(normal)).frame
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1)
        np.testing.assert_allclose(frame[2], normal / np.linalg.norm(normal))


def test_a_pixel_is_the_grain_id_of_its_point(small_particle):
    cut = cut_of(small_particle)
    u, v, normal = cut.plane.frame
    for row, column in np.ndindex(cut.grain_id.shape):
        y, x = PIXEL * (row - cut.centre[0]), PIXEL * (column - cut.centre[1])
        point = 0.3 * normal + x * u + y * v
        assert cut.grain_id[row, column] == small_particle.grain_at(point[None])[0]
    assert point @ (np.array(OBLIQUE) / np.linalg.norm(OBLIQUE)) == pytest.approx(0.3)


@pytest.mark.parametrize("offset", [-1.0, 0.0, 0.7])
def test_the_image_holds_the_whole_section(small_particle, offset):
    cut = plane_cut(small_particle, Plane((1, 1, 1), offset), PIXEL)
    inside = cut.inside
    assert not any(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    shape = np.array(inside.shape)
    np.testing.assert_array_equal(cut.centre, (shape - 1) / 2)


def test_missing_pixels_are_as_many_as_asked_and_mostly_at_boundaries(small_particle):
    cut = plane_cut(small_particle, Plane((0, 0, 1)), 0.01)
    rng = plane_stream(small_particle, cut.plane)
    found = cut.with_missing(0.03, rng)
    n = np.count_nonzero(cut.inside)
    assert abs(found.missing_part - 0.03) < 4 * np.sqrt(0.03 / n)
    missing = found.grain_id == -1
    border = (boundary_weights(cut.grain_id) > 1) & cut.inside
    ratio = missing[border].mean() / missing[cut.inside & ~border].mean()
    assert ratio == pytest.approx(6, rel=0.2)
    np.testing.assert_array_equal(found.grain_id[~missing], cut.grain_id[~missing])
    np.testing.assert_array_equal(found.inside, cut.inside)


def test_the_same_plane_has_the_same_missing_pixels_and_another_has_not(small_particle):
    first, again, other = (
        plane_stream(small_particle, plane).random(4)
        for plane in (Plane(OBLIQUE, 0.3), Plane((2.0, -4.0, 1.0), 0.3), Plane(OBLIQUE, 0.2))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.isin(first, other).any()


@pytest.mark.parametrize("missing", [0.0, 0.03])
@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_what_is_written_is_read_as_the_section_it_was(
    folder, crystalline, tmp_path, capsys, suffix, missing
):
    path = tmp_path / f"map.{suffix}"
    code, _, err = run(
        capsys, "section", folder, "--normal", "-1,2,-0.5", "--offset", "-0.3", "--out", path,
        "--missing", missing,
    )  # fmt: skip
    assert (code, err) == (0, "")
    plane = Plane((-1, 2, -0.5), -0.3)
    cut = plane_cut(crystalline, plane, PIXEL)
    if missing:
        cut = cut.with_missing(missing, plane_stream(crystalline, plane))
    image = tifffile.imread(path) if suffix == "tif" else np.load(path)
    assert image.dtype == np.int32
    np.testing.assert_array_equal(image, cut.grain_id)
    facts = json.loads(section_image.document_path(path).read_text("utf-8"))
    mask = None if missing else path
    found = read_section(path, facts["pixel_um"], tuple(facts["centre"]), mask=mask)
    np.testing.assert_array_equal(found.labels, cut.section().labels)
    assert (found.pixel_um, found.centre) == (cut.pixel_um, cut.centre)
    assert_same_descriptors(section_descriptors(found), section_descriptors(cut.section()))
    np.testing.assert_array_equal(section_image.read(path).labels, found.labels)


def test_a_section_without_missing_pixels_is_the_cut_itself(crystalline):
    found = particle_section(crystalline, OBLIQUE, 0.3, PIXEL)
    np.testing.assert_array_equal(found.labels, cut_of(crystalline).section().labels)


def test_a_png_shows_missing_pixels_as_the_outside(folder, crystalline, tmp_path, capsys):
    whole, holed = tmp_path / "whole.png", tmp_path / "holed.png"
    assert run(capsys, "section", folder, "--out", whole)[0] == 0
    assert run(capsys, "section", folder, "--out", holed, "--missing", 0.03)[0] == 0
    cut = plane_cut(crystalline, Plane((0, 0, 1)), PIXEL)
    np.testing.assert_array_equal(section_image.read(whole).labels, cut.section().labels)
    cut = cut.with_missing(0.03, plane_stream(crystalline, cut.plane))
    found, expected = section_image.read(holed).labels, cut.section().labels
    np.testing.assert_array_equal(found.clip(min=0), expected.clip(min=0))
    assert np.count_nonzero(found != expected) < 0.01 * expected.size
    assert json.loads(section_image.document_path(holed).read_text("utf-8"))["values"] == {
        "grains": "grain_id", "outside": 0, "missing": 0
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["ctf", "ang"])
def test_disorientations_in_a_map_are_those_of_the_recipe(
    folder, crystalline, tmp_path, capsys, suffix
):
    pytest.importorskip("orix")
    path = tmp_path / f"map.{suffix}"
    code, _, err = run(
        capsys, "section", folder, "--normal", "1,-2,0.5", "--offset", 0.3, "--out", path,
        "--missing", 0.03,
    )  # fmt: skip
    assert (code, err) == (0, "")
    cut = cut_of(crystalline)
    cut = cut.with_missing(0.03, plane_stream(crystalline, cut.plane))
    found = read_map(path)
    np.testing.assert_array_equal(found.indexed, cut.grain_id > 0)
    assert found.pixel_um == pytest.approx(PIXEL)
    assert found.crystal.name == "NMC811"
    pixels = np.argwhere(cut.grain_id > 0)
    first, second = (pixels[np.random.default_rng(k).permutation(len(pixels))] for k in (0, 1))
    angles = disorientation_deg(
        found.quaternions[tuple(first.T)],
        found.quaternions[tuple(second.T)],
        found.crystal.symmetries,
    )
    rows = cut.grain_id[tuple(first.T)] - 1, cut.grain_id[tuple(second.T)] - 1
    recipe = (crystalline.orientations[k] for k in rows)
    np.testing.assert_allclose(angles, disorientation_deg(*recipe), atol=0.01)


@pytest.mark.parametrize("suffix", ["ctf", "ang"])
def test_crystal_axes_in_a_map_are_those_of_the_recipe(crystalline, tmp_path, suffix):
    """Whatever the file's crystal frame: Oxford's x is a*."""
    pytest.importorskip("orix")
    cut = cut_of(crystalline)
    path = section_image.write(crystalline, cut, tmp_path / f"map.{suffix}", format=suffix)
    found = read_map(path)
    known = found.indexed
    in_map = Rotation.from_quat(np.roll(found.quaternions[known], -1, axis=1))
    recipe = np.roll(crystalline.orientations[cut.grain_id[known] - 1], -1, axis=1)
    in_particle = Rotation.from_quat(recipe)
    for axis in ([1, 0, 0], [0, 0, 1]):
        expected = in_particle.apply(axis) @ cut.plane.frame.T
        np.testing.assert_allclose(in_map.apply(axis), expected, atol=1e-4)


@pytest.mark.parametrize("suffix", ["ctf", "ang"])
@pytest.mark.parametrize("model", ["uniform", "radial"])
def test_orientations_of_a_map_are_those_of_the_grains_cut(card, tmp_path, suffix, model):
    """Read back, in the map's axes; and those of the cut itself are the same."""
    pytest.importorskip("orix")
    settings = {"shell.diameter_um": 2.0, "orientations.model": model}
    particle = generate_particle(card.with_parameters(settings), seed=2)
    cut = cut_of(particle).with_missing(0.03, np.random.default_rng(1))
    path = section_image.write(particle, cut, tmp_path / f"map.{suffix}", format=suffix)
    for section in (section_image.read(path), cut.section()):
        first = [
            np.flatnonzero(section.labels.ravel() == k + 1)[0] for k in range(section.n_grains)
        ]
        ids = cut.grain_id.ravel()[first]
        expected = cut.plane.turned(particle.orientations[ids - 1])
        assert len(section.orientations) == section.n_grains
        assert disorientation_deg(section.orientations, expected).max() < 0.01


@pytest.mark.parametrize(("suffix", "spread"), [("ctf", 5.0), ("ang", 15.0), ("ctf", 30.0)])
def test_the_spread_of_a_recipe_is_found_in_its_maps(card, tmp_path, suffix, spread):
    """From the files alone, of a plane that holds the centre and of one that does not."""
    pytest.importorskip("orix")
    settings = {"shell.diameter_um": 5.0, "orientations.model": "radial"}
    model = card.with_parameters({**settings, "orientations.spread_deg": spread})
    maps, heights = [], (0.0, 0.5)
    for seed, height in enumerate(heights):
        particle = generate_particle(model, seed=seed)
        cut = plane_cut(particle, Plane(OBLIQUE, height), PIXEL).with_missing(
            0.03, np.random.default_rng(seed)
        )
        path = tmp_path / f"{seed}.{suffix}"
        section_image.write(particle, cut, path, format=suffix)
        maps.append(read_section(path))
    fit = fit_orientations(maps)
    low, high = fit.interval_deg
    assert low < spread < high
    for place, height in zip(fit.sections, heights, strict=True):
        assert abs(place.height_um - height) < 4 * place.error_um + 0.05


def test_a_frame_turns_the_crystals_of_a_map_and_nothing_else(crystalline, tmp_path):
    pytest.importorskip("orix")
    cut = cut_of(crystalline)
    path = section_image.write(crystalline, cut, tmp_path / "map.ctf", format="ctf")
    plain = read_section(path)
    turns = {"x": [1, -1, -1], "y": [-1, 1, -1]}
    for frame, signs in turns.items():
        section = read_section(path, frame=frame)
        np.testing.assert_array_equal(section.labels, plain.labels)
        expected = c_axes(plain.orientations) * signs
        np.testing.assert_allclose(c_axes(section.orientations), expected, atol=1e-9)
        assert f"turned by 180 degrees about {frame}" in section.steps[3].remark
    swapped = c_axes(read_section(path, frame="x+y").orientations)
    np.testing.assert_allclose(swapped[:, :2], c_axes(plain.orientations)[:, 1::-1], atol=1e-9)
    with pytest.raises(FitError, match="the frame of the Euler angles is 'z'; "):
        read_section(path, frame="z")


@pytest.mark.parametrize("suffix", ["ctf", "ang"])
def test_grains_of_a_map_are_those_of_the_cut(crystalline, tmp_path, suffix):
    pytest.importorskip("orix")
    cut = cut_of(crystalline)
    path = section_image.write(crystalline, cut, tmp_path / f"map.{suffix}", format=suffix)
    found = section_image.read(path)
    expected = cut.section().labels
    np.testing.assert_array_equal(found.labels.clip(min=0), expected.clip(min=0))
    assert np.count_nonzero(found.labels != expected) < 0.01 * expected.size
    assert (found.pixel_um, found.centre) == (PIXEL, cut.centre)


def test_the_document_says_what_was_cut_and_what_the_pixels_mean(folder, tmp_path, capsys):
    path = tmp_path / "map.tif"
    code, printed, _ = run(capsys, "section", folder, "--offset", 0.5, "--out", path, "--json")
    assert code == 0
    fields = json.loads(section_image.document_path(path).read_text("utf-8"))
    assert schemas.problems(fields, "section") == []
    assert json.loads(printed) == {
        "section": str(path), "document": f"{path}.json", **fields
    }  # fmt: skip
    assert fields["plane"] == {
        "normal": [0, 0, 1], "offset_um": 0.5, "columns_along": [1, 0, 0], "rows_along": [0, 1, 0]
    }  # fmt: skip
    assert fields["particle"]["entropy"] == 7
    assert fields["values"] == {"grains": "grain_id", "outside": 0, "missing": -1}
    with tifffile.TiffFile(path) as file:
        per_cm, one = file.pages[0].tags["XResolution"].value
    assert 1e4 * one / per_cm == pytest.approx(PIXEL)


def test_equal_cuts_are_equal_files_and_the_particle_stays(folder, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for suffix in ("tif", "npy", "png", "ctf", "ang"):
        if suffix in ("ctf", "ang"):
            pytest.importorskip("orix")
        paths = [tmp_path / name / f"map.{suffix}" for name in "ab"]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            assert run(capsys, "section", folder, "--out", path, "--missing", 0.05)[0] == 0
        first, second = ([p.read_bytes(), Path(f"{p}.json").read_bytes()] for p in paths)
        assert first == second
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in paths[0].parent.glob(".*")) == []


def test_nothing_is_overwritten_unasked(folder, tmp_path, capsys):
    path = tmp_path / "map.tif"
    Path(f"{path}.json").write_text("mine")
    code, _, err = run(capsys, "section", folder, "--out", path)
    assert code == 2
    assert "map.tif.json exists; choose another --out, or --overwrite" in err
    assert not path.exists()
    assert run(capsys, "section", folder, "--out", path, "--overwrite")[0] == 0
    assert section_image.read(path).n_grains > 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--normal", "0,0"], "--normal is '0,0', expected three numbers x,y,z"),
        (["--normal", "0,0,0"], "expected three numbers x, y, z that are not all 0"),
        (["--normal", "0,0,nan"], "expected three numbers x, y, z that are not all 0"),
        (["--offset", "5"], "the plane at 5 um does not meet p000000, expected a distance below"),
        (["--offset", "nan"], "the offset is nan um"),
        (["--pixel", "0"], "the edge of a pixel is 0.0 um, expected 0.0001 to 100"),
        (["--pixel", "0.0002"], "expected at most 1.6e+07; choose"),
        (["--missing", "0.5"], "the missing part is 0.5, expected 0 to 0.167"),
        (["--format", "bmp"], "--out is section.bmp, with the suffix '.bmp', expected one of"),
        (["--format", "png", "--out", "map.tif"], "with the suffix '.tif', expected .png"),
        (["--out", "nowhere/map.tif"], "nowhere is not a folder; create it"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    folder, flags, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, printed, err = run(capsys, "section", folder, *flags)
    assert code == 2
    assert message in err + printed
    assert list(tmp_path.iterdir()) == []


def test_the_finest_pixel_that_is_named_is_possible(crystalline):
    with pytest.raises(FitError) as refused:
        plane_cut(crystalline, Plane((0, 0, 1)), 1e-4)
    finest = float(str(refused.value).split("choose ")[1].split()[0])
    assert 1e-4 < finest < 1e-3


def test_a_map_needs_orientations(small_particle, tmp_path, capsys):
    folder = particle_folder.create(small_particle, tmp_path)
    for suffix in ("ctf", "ang"):
        code, _, err = run(capsys, "section", folder, "--out", tmp_path / f"map.{suffix}")
        assert code == 2
        assert f"p000000 has no crystal orientations, which .{suffix} needs" in err
        assert "--set orientations.model=uniform or radial" in err


@pytest.mark.parametrize(("suffix", "extra"), [("ctf", "ebsd"), ("ang", "ebsd"), ("tif", "fit")])
def test_a_missing_package_is_said_with_the_extra_that_brings_it(
    folder, tmp_path, capsys, monkeypatch, suffix, extra
):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    code, _, err = run(capsys, "section", folder, "--out", tmp_path / f"map.{suffix}")
    assert code == 2
    assert requirements.install_command(extra) in err


def test_an_id_that_no_png_holds_is_refused(crystalline, tmp_path):
    cut = cut_of(crystalline)
    many = dataclasses.replace(cut, grain_id=cut.grain_id * np.int32(70_000))
    with pytest.raises(ExportError, match=r"exceeds 65535, the largest of a PNG; write tif"):
        section_image.write(crystalline, many, tmp_path / "map.png", format="png")
    assert list(tmp_path.iterdir()) == []


def test_a_cut_needs_neither_torch_nor_orix():
    script = (
        "import sys; import cathodegrain.generator.fitting.sections.plane_cut; "
        "assert not {'torch', 'orix', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
