import json

import h5py
import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.fits.saving import model_name
from cathodegrain.generator import requirements
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from shell_scenes import VOXEL_UM, scene

LIGHT = ["--max-degree", "4", "--bootstrap", "100", "--voxel", str(VOXEL_UM)]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A segmented volume of 27 shells, and its grey levels."""
    folder = tmp_path_factory.mktemp("scan")
    volume, _ = scene(0)
    noise = np.random.default_rng(0).normal(0, 10, volume.shape)
    tifffile.imwrite(folder / "mask.tif", volume)
    np.save(folder / "grey.npy", (60 + 90 * volume + noise).clip(0, 255).astype(np.uint8))
    volume.tofile(folder / "mask.raw")
    return folder


def told(capsys):
    return capsys.readouterr().err.strip()


@pytest.fixture(scope="module")
def fitted(scan, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit") / "My scan.json"
    arguments = ["fit", "shell", str(scan / "mask.tif"), "--segmented", *LIGHT, "--out", str(out)]
    assert main(arguments) == 0
    return out


def test_a_scan_becomes_a_card_that_generates(fitted):
    card = ModelCard.load(fitted)
    assert card.name == "my-scan"
    assert card.shell.voxel_um == VOXEL_UM
    assert card.shell.max_degree == 4
    particle = generate_particle(card.with_parameters({"shell.diameter_um": 2.0}), seed=3)
    assert particle.n_grains > 10


def test_a_report_lies_beside_the_card(fitted):
    report = fitted.with_name("My scan-report")
    assert (report / "index.html").is_file()
    numbers = json.loads((report / "fit.json").read_text("utf-8"))
    assert (
        numbers["fit"]["n_particles"]
        == ModelCard.load(fitted).document["shell"]["fit"]["n_particles"]
    )


def test_the_command_line_generates_from_the_card(fitted, tmp_path, capsys):
    arguments = ["generate", "--model", str(fitted), "--set", "shell.diameter_um=2", "--json"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["grains"] > 10


def test_nothing_is_overwritten_unasked(scan, fitted, capsys):
    before = fitted.read_bytes()
    arguments = ["fit", "shell", str(scan / "mask.tif"), "--segmented", *LIGHT]
    assert main([*arguments, "--out", str(fitted)]) == 2
    assert "exist; choose another --out, or --overwrite" in told(capsys)
    assert fitted.read_bytes() == before


def test_a_dry_run_tells_the_steps_and_writes_nothing(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["fit", "shell", str(scan / "grey.npy"), *LIGHT, "--dry-run", "--json"]
    assert main(arguments) == 0
    steps = json.loads(capsys.readouterr().out)["grey.npy"]
    assert [step.split(":")[0] for step in steps] == ["phase", "watershed", "merging", "border"]
    assert list(tmp_path.iterdir()) == []


def four_balls():
    """(48, 48, 48) labels of four balls of 9 voxels radius, apart from each other."""
    grid, labels = np.indices((48, 48, 48)), np.zeros((48, 48, 48), np.uint8)
    for label, centre in enumerate([(14, 14, 14), (34, 34, 14), (14, 34, 34), (34, 14, 34)], 1):
        distance2 = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        labels[distance2 < 9**2] = label
    return labels


def write_labels(folder, suffix, labels):
    path = folder / f"labels{suffix}"
    match suffix:
        case ".tif":
            tifffile.imwrite(path, labels, photometric="minisblack")
        case ".npy":
            np.save(path, labels)
        case ".h5":
            with h5py.File(path, "w") as file:
                file["labels"] = labels
        case ".raw":
            labels.tofile(path)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "uint32", "int32", "int64"])
@pytest.mark.parametrize("suffix", [".tif", ".npy", ".h5", ".raw"])
def test_labelled_particles_are_counted(suffix, dtype, tmp_path, capsys):
    path = write_labels(tmp_path, suffix, four_balls().astype(dtype))
    raw = ["--shape", "48,48,48", "--type", dtype] if suffix == ".raw" else []
    arguments = ["fit", "shell", str(path), "--labelled", "--voxel", "0.3", *raw]
    assert main([*arguments, "--dry-run", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)[path.name]
    counts = [step.split(" components")[0] for step in steps]
    assert counts == ["pieces: 4", "merging: 4", "border: 4"]


def test_labels_of_particles_give_the_laws_of_their_segmented_volume(scan, fitted, tmp_path):
    """The shells of the scene do not touch: both ways find the same voxels of each."""
    labels, n = ndimage.label(tifffile.imread(scan / "mask.tif"))
    path, out = write_labels(tmp_path, ".tif", labels.astype(np.uint16)), tmp_path / "card.json"
    assert main(["fit", "shell", str(path), "--labelled", *LIGHT, "--out", str(out)]) == 0
    one, other = (ModelCard.load(card).document["shell"] for card in (out, fitted))
    assert one["fit"]["settings"]["input"] == "labelled"
    assert one["fit"]["n_particles"] + one["fit"]["n_not_star_shaped"] == n
    assert (one["size"], one["orders"]) == (other["size"], other["orders"])


def test_a_card_says_which_half_was_fitted_here(fitted):
    document = ModelCard.load(fitted).document
    n = document["shell"]["fit"]["n_particles"]
    assert document["fitted_on"].startswith(
        f"Shell: {n} whole particles of mask.tif, voxels of {VOXEL_UM} um. Grains, as in the model "
        "nmc811: 3198 grains in 6 sections of the phantom"
    )
    headings = {limit.partition(": ")[0] for limit in document["limits"]}
    assert headings == {"Shell", "Grains, as in the model nmc811"}
    of_phantoms = [limit for limit in document["limits"] if "phantom" in limit]
    assert all(limit.startswith("Grains, as in the model nmc811: ") for limit in of_phantoms)


def test_raw_numbers_need_the_right_shape(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, n = str(scan / "mask.raw"), 174
    flags = ["--segmented", *LIGHT, "--dry-run", "--type", "uint8"]
    assert main(["fit", "shell", path, *flags, "--shape", f"{n},{n},{n}"]) == 0
    assert main(["fit", "shell", path, *flags, "--shape", f"{2 * n},{n},{n // 2}"]) == 2
    assert "correct the shape" in told(capsys)
    assert main(["fit", "shell", path, *flags, "--shape", f"{n},{n},{n + 1}"]) == 2
    assert f"has {n**3} bytes" in told(capsys)
    assert main(["fit", "shell", path, *flags, "--shape", "big"]) == 2
    assert "--shape is 'big', expected voxels along z, y, x" in told(capsys)


@pytest.mark.parametrize(
    ("values", "flags", "message"),
    [
        (np.zeros((9, 9, 9), np.uint8), [], "bad.npy: all grey levels are 0: the volume is empty"),
        (np.full((9, 9, 9), np.nan), [], "bad.npy: the volume holds NaN or infinite values"),
        (
            np.ones((9, 9, 9), np.uint8),
            ["--segmented"],
            "bad.npy: the volume has the values 1, expected",
        ),
        (np.arange(729).reshape(9, 9, 9), ["--segmented"], "has the values 0, 1, 2"),
        (np.zeros((9, 9, 9)), ["--segmented", "--labelled"], "exclude each other"),
        (np.zeros((9, 9, 9)), ["--voxel", "-1"], "the edge of a voxel is -1.0 um"),
        (np.zeros((9, 9, 9)), ["--sigma", "99"], "sigma is 99.0, expected 0 to 20"),
        (np.zeros((9, 9, 9)), ["--max-degree", "0"], "the largest degree is 0, expected 1 to 20"),
        (np.zeros((9, 9, 9)), ["--seed", "-1"], "the seed is -1, expected 0 or more"),
        (np.zeros((9, 9, 9)), ["--name", "My scan"], "--name is 'My scan', expected up to 64"),
        (np.zeros((9, 9)), [], "bad.npy"),
    ],
)
def test_bad_input_is_told_in_a_sentence(values, flags, message, tmp_path, capsys):
    path = tmp_path / "bad.npy"
    np.save(path, values)
    voxel = [] if "--voxel" in flags else ["--voxel", "0.5"]
    out = ["--out", str(tmp_path / "card.json")]
    assert main(["fit", "shell", str(path), *voxel, *flags, *out]) == 2
    assert message in told(capsys)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.npy"]


def test_voxels_must_be_cubes_of_a_known_size(tmp_path, capsys):
    values = np.zeros((8, 9, 10), np.uint8)
    tifffile.imwrite(
        tmp_path / "long.tif", values, imagej=True, resolution=(2, 2),
        metadata={"spacing": 1.5, "unit": "um"},
    )  # fmt: skip
    assert main(["fit", "shell", str(tmp_path / "long.tif")]) == 2
    assert "voxels of 1.5 x 0.5 x 0.5 um along z, y, x, expected cubes" in told(capsys)
    tifffile.imwrite(tmp_path / "none.tif", values)
    assert main(["fit", "shell", str(tmp_path / "none.tif")]) == 2
    assert "does not say how large a voxel is; give its edge in um" in told(capsys)
    tifffile.imwrite(
        tmp_path / "cube.tif", values, imagej=True, resolution=(2, 2),
        metadata={"spacing": 0.5, "unit": "um"},
    )  # fmt: skip
    assert main(["fit", "shell", str(tmp_path / "cube.tif"), "--voxel", "0.6"]) == 2
    assert "says that a voxel is 0.5 um, --voxel says 0.6 um" in told(capsys)


def test_few_particles_are_too_few(tmp_path, capsys):
    volume, _ = scene(0, 8)
    np.save(tmp_path / "few.npy", volume)
    arguments = ["fit", "shell", str(tmp_path / "few.npy"), "--segmented", *LIGHT]
    assert main([*arguments, "--out", str(tmp_path / "card.json")]) == 2
    assert "particles are not enough" in told(capsys)
    assert not (tmp_path / "card.json").exists()


def test_volumes_of_one_name_are_told_apart_and_none_counts_twice(tmp_path, capsys):
    paths = [tmp_path / folder / "scan.npy" for folder in "ab"]
    for path, labels in zip(paths, [four_balls(), 2 * four_balls()], strict=True):
        path.parent.mkdir()
        np.save(path, labels)
    flags = ["--labelled", "--voxel", "0.3", "--dry-run", "--json"]
    assert main(["fit", "shell", *map(str, paths), *flags]) == 0
    assert list(json.loads(capsys.readouterr().out)) == [str(path) for path in paths]
    assert main(["fit", "shell", *map(str, [*paths, paths[0]]), *flags]) == 2
    assert f"holds the same voxels as {paths[0]}; give each volume once" in told(capsys)


def test_a_missing_package_is_named_with_its_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == "edt" else name)
    assert main(["fit", "shell", str(tmp_path / "scan.tif")]) == 2
    command = requirements.install_command("fit,view")
    assert f"fits need edt, not installed here: {command}" in told(capsys)


def test_names_of_models_come_from_names_of_files():
    assert model_name("Mein Scan (1)") == "mein-scan--1"
    assert model_name("é") == "fitted"
