"""Fits from Python: what they give is what the commands write, and only `save` writes."""

import inspect
import json
import tempfile
from dataclasses import asdict, fields, is_dataclass

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.commands import calibrate, fit_grains, fit_shell, sections
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.fits.options import SECTIONS, SHELL
from cathodegrain.generator.errors import ExportError, FitError
from cathodegrain.generator.fitting.sections.reconstruction import ReconstructionSettings
from cathodegrain.generator.fitting.shells.fit import FitSettings
from cathodegrain.generator.model_card import SHIPPED, ModelCard
from shell_scenes import bumpy_balls

LIGHT = {"voxel_um": 0.5, "segmented": True, "max_degree": 2, "bootstrap": 100}
LIGHT_FLAGS = ["--voxel", "0.5", "--segmented", "--max-degree", "2", "--bootstrap", "100"]
SHORT = {"pixel_um": 0.05, "steps": 6, "planar_steps": 20, "seeds": 1, "jobs": 1}
SHORT_FLAGS = [
    "--pixel", "0.05", "--steps", "6", "--planar-steps", "20", "--seeds", "1", "--jobs", "1",
]  # fmt: skip


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def bytes_of(folder, *files):
    return [(folder / file).read_bytes() for file in files]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A volume of 27 particles."""
    path = tmp_path_factory.mktemp("scan") / "mask.npy"
    np.save(path, (bumpy_balls() > 0).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def shells(scan):
    return cg.fit_shell(scan, **LIGHT)


def test_python_and_the_command_fit_the_same_shells(scan, tmp_path):
    told = []
    result = cg.fit_shell([scan], name="own", **LIGHT, progress=lambda *one: told.append(one))
    result.save(tmp_path / "python" / "own.json")
    (tmp_path / "command").mkdir()
    out = str(tmp_path / "command" / "own.json")
    assert main(["fit", "shell", str(scan), *LIGHT_FLAGS, "--out", out]) == 0
    files = "own.json", "own-report/fit.json", "own-report/index.html"
    assert bytes_of(tmp_path / "python", *files) == bytes_of(tmp_path / "command", *files)
    assert names(tmp_path / "python") == names(tmp_path / "command") == ["own-report", "own.json"]
    assert {text.partition(": ")[0] for text, _ in told} == {"mask.npy", "fit"}


def test_a_fit_writes_nothing_before_it_is_saved(scan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = names(scan.parent)
    result = cg.fit_shell(scan, **LIGHT)
    assert cg.generate(result.card, parameters={"shell.diameter_um": 1.2}).n_grains > 10
    assert repr(result) == "ShellFitResult(card 'mask': 27 particles, degrees 0 to 2)"
    assert names(tmp_path) == []
    assert names(scan.parent) == before


def test_a_saved_fit_replaces_nothing_unasked(shells, tmp_path):
    card = tmp_path / "card.json"
    card.write_text("mine")
    with pytest.raises(ExportError, match=r"card\.json exists; .* overwrite=True to replace it"):
        shells.save(card)
    assert (names(tmp_path), card.read_text()) == (["card.json"], "mine")
    assert shells.save(card, overwrite=True) == card
    assert ModelCard.load(card).document == shells.card.document


def test_weights_of_grains_in_memory_go_with_the_card(scan, tmp_path):
    base = ModelCard.load("nmc811")
    document = json.loads(json.dumps(base.document))
    document["grains"]["markers"]["weights"] = "own.safetensors"
    weights = (SHIPPED / "nmc811.safetensors").read_bytes()
    result = cg.fit_shell(scan, grains=ModelCard(document, weights=weights), **LIGHT)
    path = result.save(tmp_path / "both.json")
    assert names(tmp_path) == ["both-report", "both.json", "own.safetensors"]
    small = {"shell.diameter_um": 1.2}
    one, other = (cg.generate(card, parameters=small) for card in (result.card, path))
    assert one.n_grains == other.n_grains > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voxel_um": None}, "give its edge in um, as voxel_um 0.128"),
        ({"labelled": True}, "segmented and labelled exclude each other"),
        ({"name": "My scan"}, "name is 'My scan', expected up to 64 small letters"),
    ],
)
def test_bad_options_of_shells_are_named_as_in_python(scan, options, message):
    with pytest.raises(FitError, match=message):
        cg.fit_shell(scan, **(LIGHT | options))


def parameters(command):
    """Parameters of a command with their defaults, those of its groups of options included."""
    for name, one in inspect.signature(command).parameters.items():
        if is_dataclass(one.default):
            yield from ((f.name, getattr(one.default, f.name)) for f in fields(one.default))
        elif one.kind is inspect.Parameter.KEYWORD_ONLY:
            yield name, one.default


@pytest.mark.parametrize(
    ("command", "function", "lengths", "others"),
    [
        (fit_shell.shell, cg.fit_shell, ["voxel"], {"out", "overwrite"}),
        (fit_grains.grains, cg.fit_grains, ["pixel"], {"out", "overwrite"}),
        (calibrate.grains, cg.calibrate_grains, ["pixel", "radius"], {"out", "overwrite"}),
        (sections.phantom, cg.phantom, [], set()),
    ],
)
def test_every_option_has_its_parameter_with_the_same_default(command, function, lengths, others):
    """What is written, and whether over other files, is asked of `save`."""
    printed = {"dry_run", "json_output"}
    expected = {
        f"{name}_um" if name in lengths else name: default
        for name, default in parameters(command)
        if name not in printed | others
    }
    found = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    assert expected.keys() <= found.keys()
    assert {k: v for k, v in expected.items() if str(found[k]) != str(v)} == {}


def test_defaults_of_options_are_those_of_the_settings():
    settings = FitSettings(voxel_um=1.0)
    options = asdict(SHELL)
    assert options.items() >= asdict(settings.segmentation).items()
    found = settings.max_degree, settings.seed, settings.n_bootstrap
    assert found == (SHELL.max_degree, SHELL.seed, SHELL.bootstrap)
    assert ReconstructionSettings() == ReconstructionSettings(
        threshold_deg=SECTIONS.threshold, min_pixels=SECTIONS.min_pixels, gap_px=SECTIONS.gap
    )


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("phantom") / "ph"
    return cg.phantom("elongated", out=out, sections=2, off_centre=1, seed=5)


def test_python_and_the_command_make_the_same_phantom(phantom, tmp_path):
    flags = ["--sections", "2", "--off-centre", "1", "--seed", "5"]
    assert main(["phantom", "elongated", *flags, "--out", str(tmp_path / "ph")]) == 0
    assert names(phantom) == names(tmp_path / "ph")
    assert bytes_of(phantom, *names(phantom)) == bytes_of(tmp_path / "ph", *names(phantom))


def test_phantoms_are_listed_and_never_replaced_unasked(phantom):
    assert "radial over transverse length 1.6 to 2.8" in cg.phantom()["elongated"]
    with pytest.raises(ExportError, match=r"ph exists; .* overwrite=True to replace it"):
        cg.phantom("compact", out=phantom)


@pytest.mark.usefixtures("short_grain_fits")
def test_python_and_the_command_fit_the_same_grains(phantom, tmp_path, monkeypatch):
    temporary, work = tmp_path / "temporary", tmp_path / "work"
    for folder in ("temporary", "here", "python", "command"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path / "here")
    maps, out = sorted(phantom.glob("*.tif")), tmp_path / "command" / "own.json"
    result = cg.fit_grains(maps, name="own", **SHORT)
    assert not list(temporary.glob("cathodegrain-*"))  # torch keeps files of its own there
    assert names(tmp_path / "here") == []
    assert cg.generate(result.card, parameters={"shell.diameter_um": 1.2}).n_grains > 10
    assert repr(result).startswith("GrainFitResult(card 'own': ")
    result.save(tmp_path / "python" / "own.json")

    assert main(["fit", "grains", *map(str, maps), *SHORT_FLAGS, "--out", str(out)]) == 0
    files = "own.json", "own.safetensors", "own-report/fit.json"
    assert bytes_of(tmp_path / "python", *files) == bytes_of(tmp_path / "command", *files)

    (tmp_path / "command" / "own-fit").rename(work)
    before = {path: path.stat().st_mtime_ns for path in work.glob("section-*")}
    resumed = cg.fit_grains(maps, name="own", folder=work, **SHORT)
    assert before == {path: path.stat().st_mtime_ns for path in work.glob("section-*")}
    assert resumed.card.document == result.card.document
    with pytest.raises(FitError, match="holds a fit with other planar; choose another place"):
        cg.fit_grains(maps, folder=work, **(SHORT | {"planar_steps": 10}))


@pytest.mark.usefixtures("light_calibrations")
def test_python_and_the_command_calibrate_the_same_grains(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "command").mkdir()
    told = []
    result = cg.calibrate_grains(
        "0.598+-0.305", name="own", aspect=1.9, spread="d", progress=lambda *one: told.append(one)
    )
    assert names(tmp_path) == ["command"]
    assert repr(result).startswith("GrainCalibrationResult(card 'own': mean diameter 0.")
    assert cg.generate(result.card, parameters={"shell.diameter_um": 3.0}).n_grains > 10
    result.save(tmp_path / "python" / "own.json")
    flags = ["--diameter", "0.598+/-0.305", "--aspect", "1.9", "--spread", "d"]
    out = tmp_path / "command" / "own.json"
    assert main(["calibrate", "grains", *flags, "--out", str(out)]) == 0
    files = (
        "own.json",
        "own-report/fit.json",
        "own-report/index.html",
        "own-report/cards/own-1.json",
    )
    assert bytes_of(tmp_path / "python", *files) == bytes_of(tmp_path / "command", *files)
    assert {text.partition(": ")[0] for text, _ in told} >= {"calibration", "spread carried by r"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"planar_steps": 0}, "planar_steps is 0, expected 1 or more"),
        ({"centre": [(1.0, 2.0)]}, "centre is given 1 times for 2 maps"),
        ({"relative_alignment": 2.0}, "relative_alignment is 2.0, expected 0 to 1"),
        ({"device": "cuda:x"}, "device is 'cuda:x', expected cpu, cuda, cuda:N or auto"),
        ({"least_alignment": 0.99}, "level, least_alignment and all_sections set the test"),
    ],
)
def test_bad_options_of_grains_are_named_as_in_python(phantom, options, message):
    pytest.importorskip("torch")
    with pytest.raises(FitError, match=message):
        cg.fit_grains(sorted(phantom.glob("*.tif")), **(SHORT | options))
