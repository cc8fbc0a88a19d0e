"""`cathodegrain fit grains` from outside: tiny fits, whole commands."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cathodegrain.exporters.commands import main as cli
from cathodegrain.exporters.fits.grains import folder as grain_fit_folder
from cathodegrain.generator.errors import DeviceError
from cathodegrain.generator.fitting.grains import training
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard

pytestmark = pytest.mark.usefixtures("short_grain_fits")
SHORT = {"--pixel": "0.05", "--steps": "6", "--planar-steps": "20", "--seeds": "2", "--jobs": "2"}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps with ümlaut") / "phantom"
    arguments = ["phantom", "elongated", "--out", str(folder), "--sections", "2"]
    assert cli.main([*arguments, "--off-centre", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def maps(phantom):
    return [str(phantom / "section-000.tif"), str(phantom / "section-001.tif")]


def fit(*arguments):
    """Exit code of a short fit; ``arguments`` go before what makes it short."""
    given = [str(argument) for argument in arguments]
    short = [text for pair in SHORT.items() if pair[0] not in given for text in pair]
    return cli.main(["fit", "grains", *given, *short])


def test_a_fit_is_a_card_that_particles_are_generated_from(phantom, maps, tmp_path, capsys):
    out = tmp_path / "Own grains.json"
    assert fit(*maps, "--out", out, "--truth", phantom / "phantom.json") == 0
    printed = capsys.readouterr().out
    assert "KS in space, elongation" in printed
    assert "rejected" in printed  # the section that misses the centre
    card = ModelCard.load(out)
    assert card.name == "own-grains"
    found = card.document["grains"]["fit"]
    assert [s["alignment"]["kept"] for s in found["sections"]] == [True, False]
    assert found["distances"]["reference"] == "phantom"
    assert len(found["runs"]) == 2
    assert all(run["tuning"]["score"] <= run["tuning"]["score_before"] for run in found["runs"])
    assert "Grains: " in card.document["fitted_on"]
    assert "of the phantom 'elongated', section-000.tif, pixels" in card.document["fitted_on"]
    assert card.document["limits"][0].startswith("Grains: the sections are of the phantom")
    particle = generate_particle(card.with_parameters({"shell.diameter_um": 2}), 1, 0)
    assert particle.n_grains > 10
    assert (tmp_path / "Own grains-report" / "index.html").is_file()


def test_a_card_says_what_this_fit_was_made_of(maps, tmp_path):
    """The shells are of a card whose grains were fitted to a phantom; the maps lie in "phantom"."""
    out = tmp_path / "own.json"
    assert fit(*maps, "--out", out, "--shell", "nmc811") == 0
    document = ModelCard.load(out).document
    found = document["grains"]["fit"]["sections"]
    assert [section["file"] for section in found] == ["section-000.tif", "section-001.tif"]
    assert document["fitted_on"].startswith(
        f"Grains: {found[0]['n_grains']} grains in 1 sections, section-000.tif, pixels of 0.05 um. "
        "Shell, as in the model nmc811: Table 1 of Fuchs et al. (2025), 1590 particles"
    )
    shell = [limit for limit in document["limits"] if not limit.startswith("Grains: ")]
    assert [limit.partition(": ")[0] for limit in shell] == ["Shell, as in the model nmc811"] * 2
    assert any("1 of 2 sections do not show" in limit for limit in document["limits"])
    assert "phantom" not in json.dumps(document)


def test_a_stopped_fit_goes_on_to_the_same_bytes(maps, tmp_path, capsys):
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    assert fit(maps[0], "--out", whole, "--name", "same") == 0
    work = tmp_path / "parts-fit"
    shutil.copytree(tmp_path / "whole-fit", work)
    (work / "run-1.safetensors").unlink()
    shutil.copy(half_way(maps[0], tmp_path), work / "run-0.safetensors")
    assert fit(maps[0], "--out", parts, "--name", "same", "--jobs", "1") == 0
    assert whole.with_suffix(".safetensors").read_bytes() == (
        parts.with_suffix(".safetensors").read_bytes()
    )
    one, other = (json.loads(p.read_text("utf-8")) for p in (whole, parts))
    other["grains"]["markers"]["weights"] = one["grains"]["markers"]["weights"]
    assert one == other


def half_way(path, tmp_path):
    """File of the run of seed 0 after three of its six steps."""
    from cathodegrain.exporters.fits.grains.sections import read_sections
    from cathodegrain.exporters.fits.options import SectionOptions
    from cathodegrain.generator.fitting.grains import run as grain_fit

    sections = read_sections([Path(path)], SectionOptions(pixel_um=0.05))
    planar = [grain_fit_folder._read(tmp_path / "whole-fit" / "section-000.safetensors")]
    start = grain_fit.load(tmp_path / "whole-fit" / "run-0.safetensors")
    torch.set_num_threads(1)
    run = next(grain_fit.runs(grain_fit.first_run(start.config, 0), sections, planar))
    assert run.state.step == 3
    grain_fit.save(run, tmp_path / "half.safetensors")
    return tmp_path / "half.safetensors"


def test_nothing_is_replaced_unasked_and_a_folder_of_another_fit_is_refused(maps, tmp_path, capsys):
    out = tmp_path / "card.json"
    out.write_text("mine")
    assert fit(maps[0], "--out", out) == 2
    assert "exists; choose another --out, or --overwrite" in capsys.readouterr().err
    out.unlink()
    (tmp_path / "card-fit").mkdir()
    (tmp_path / "card-fit" / "plan.json").write_text("{}")
    assert fit(maps[0], "--out", out) == 2
    assert "holds a fit with other schema" in capsys.readouterr().err
    assert not out.exists()


def test_the_device_is_checked_before_a_map_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert fit(tmp_path / "none.tif", "--device", "cuda:1") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--device cuda:1: no NVIDIA driver or GPU is found" in said
    assert "none.tif" not in said


def test_too_little_memory_of_a_gpu_is_said_with_what_to_do():
    words = (
        r"^device cuda:0: its free memory is not enough \(2 GB asked for\); take fewer jobs, or cpu"
    )
    with pytest.raises(DeviceError, match=words), grain_fit_folder._fitting_on("cuda:0"):
        raise torch.cuda.OutOfMemoryError("2 GB asked for")


def test_auto_says_which_device_it_took_and_why(maps, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert fit(maps[0], "--device", "auto", "--dry-run", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["device"] == "cpu (no NVIDIA driver or GPU is found (nvidia-smi says more))"


def test_a_fit_of_version_0_2_0_resumes_whatever_its_device_was(maps, tmp_path):
    """Its plan held the device; nothing of it is done twice, and the result is the same."""
    out = tmp_path / "card.json"
    assert fit(maps[0], "--out", out) == 0
    weights, work = out.with_suffix(".safetensors"), tmp_path / "card-fit"
    before, plan = weights.read_bytes(), json.loads((work / "plan.json").read_text("utf-8"))
    assert "device" not in plan
    old = json.dumps(plan | {"device": "cuda:1"})
    (work / "plan.json").write_text(old, "utf-8")
    for path in (out, weights):
        path.unlink()
    shutil.rmtree(tmp_path / "card-report")
    tessellation = (work / "section-000.safetensors").stat().st_mtime_ns
    assert fit(maps[0], "--out", out, "--device", "cpu") == 0
    assert weights.read_bytes() == before
    assert (work / "section-000.safetensors").stat().st_mtime_ns == tessellation
    assert (work / "plan.json").read_text("utf-8") == old


def test_dry_run_writes_nothing(maps, tmp_path, capsys):
    assert fit(*maps, "--out", tmp_path / "card.json", "--dry-run", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert "6 steps of 4 cutouts, seeds 0, 1" in rows["training"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "best"], "unknown configuration 'best'; choose from ['default', 'paper']"),
        (["--config", "papre"], "unknown configuration 'papre'; did you mean 'paper'?"),
        (["--seeds", "0"], "--seeds is 0, expected 1 to 100"),
        (["--steps", "0"], "--steps is 0, expected 1 or more"),
        (
            ["--planar-steps", "0", "--jobs", "-1", "--seed", "-1"],
            "--planar-steps is 0, expected 1 or more; --jobs is -1, expected 1 or more; "
            "--seed is -1, expected 0 or more",
        ),
        (["--device", "gpu"], "--device is 'gpu', expected cpu, cuda, cuda:N or auto"),
        (["--device", "mps", "--seeds", "0"], "expected 1 to 100 nets; --device mps: it has no"),
        (["--name", "Own grains"], "--name is 'Own grains', expected up to 64 small letters"),
        (["--relative-alignment", "nan"], "--relative-alignment is nan, expected 0 to 1"),
        (["--centre", "5"], "expected two numbers y,x in pixels"),
        (["--centre", "1,2", "--centre", "3,4"], "--centre is given 2 times for 1 maps"),
        (["--centre", "0,0", "--all-sections"], "pixels from its centre, expected at least 56"),
        (["--pixel", "50"], "expected 0.0128 to 12.8 um, the window"),
        (["--least-alignment", "0.99"], "no section is kept"),
        (["--truth", "none.json"], "none.json cannot be read"),
        (["--shell", "nmc"], "no model card 'nmc'"),
    ],
)
def test_bad_input_is_said_before_anything_is_fitted(maps, tmp_path, capsys, arguments, words):
    out = ["--out", str(tmp_path / "card.json")]
    assert fit(maps[0], *out, *arguments) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_a_section_counts_once_and_maps_of_one_name_are_told_apart(maps, tmp_path, capsys):
    twin = tmp_path / Path(maps[0]).name
    shutil.copy(maps[0], twin)
    assert fit(maps[0], twin, "--dry-run") == 2
    assert "shows the same grains as" in capsys.readouterr().err
    shutil.copy(maps[1], twin)
    assert fit(maps[0], twin, "--dry-run", "--json") == 0
    assert list(json.loads(capsys.readouterr().out))[:2] == [maps[0], str(twin)]


def test_the_phantom_of_a_truth_must_be_known(phantom, maps, tmp_path, capsys):
    text = (phantom / "phantom.json").read_text("utf-8")
    (tmp_path / "other.json").write_text(text.replace('"elongated"', '"flat"'), "utf-8")
    assert fit(maps[0], "--truth", tmp_path / "other.json", "--dry-run") == 2
    assert "is of the phantom 'flat', expected one of ['" in capsys.readouterr().err


def disc(values, radius):
    """Labels of a full disc of blocks of 8 pixels, 0 outside."""
    axis = np.arange(-radius - 2, radius + 3)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.where(x * x + y * y <= radius * radius, values(y, x), 0)


def labels_file(tmp_path, labels):
    path = tmp_path / "labels.h5"
    with h5py.File(path, "w") as file:
        file["labels"] = labels
    return path


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (disc(lambda y, x: 1 + 0 * y, 40), "shows one grain, expected many"),
        (disc(lambda y, x: np.where(y < 0, np.nan, 1 + x // 4 % 9), 40), "holds NaN in"),
        (np.arange(100 * 100).reshape(100, 100) // 50 + 1, "its centre is not known"),
        (
            disc(lambda y, x: 1 + (y + 99) // 32 * 10 + (x + 99) // 26, 90),
            "pixels on average, expected 16 to 500",
        ),
    ],
)
def test_maps_that_cannot_be_fitted_are_refused(tmp_path, capsys, labels, words):
    path = labels_file(tmp_path, labels)
    assert fit(path, "--all-sections", "--out", tmp_path / "card.json") == 2
    assert words in capsys.readouterr().err.replace("\n", " ")


def test_few_grains_are_warned_of(tmp_path, capsys):
    path = labels_file(tmp_path, disc(lambda y, x: 1 + (y + 99) // 20 * 10 + (x + 99) // 16, 60))
    arguments = ["--all-sections", "--dry-run", "--out", tmp_path / "card.json"]
    assert fit(path, *arguments) == 0
    assert "are too few to fit a model to" in capsys.readouterr().out


def test_a_loss_that_is_no_number_is_told_with_its_step(maps, tmp_path, monkeypatch, capsys):
    wild = replace(training.CONFIGS["default"], discriminator_rate=1e38)
    monkeypatch.setitem(training.CONFIGS, "default", wild)
    assert fit(maps[0], "--out", tmp_path / "card.json") == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "the losses of step" in said


def test_a_checkpoint_of_another_version_is_refused(maps, tmp_path, monkeypatch, capsys):
    from cathodegrain.generator.fitting.grains import checkpoints

    out = tmp_path / "card.json"
    assert fit(maps[0], "--out", out) == 0
    for path in (out, out.with_suffix(".safetensors")):
        path.unlink()
    shutil.rmtree(tmp_path / "card-report")
    run = tmp_path / "card-fit" / "run-0.safetensors"
    raw = run.read_bytes()
    assert raw.count(checkpoints.VERSION.encode()) == 1
    run.write_bytes(raw.replace(checkpoints.VERSION.encode(), b"9.0.0"))
    assert fit(maps[0], "--out", out) == 2
    assert "version 9.0.0, expected cathodegrain/training" in capsys.readouterr().err.replace(
        "\n", " "
    )
    assert not out.exists()
