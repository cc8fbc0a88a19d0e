"""`cathodegrain fit grains` by a law, from outside: short fits, whole commands."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import cathodegrain as cg
from cathodegrain.exporters.commands import main as cli
from cathodegrain.exporters.fits.laws import fitting
from cathodegrain.generator.model_card import ModelCard
from law_sections import law_section, shorten

PIXEL = ["--pixel", "0.05"]


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Images of labels: three sections, one of them far from the centre."""
    folder = tmp_path_factory.mktemp("maps")
    for number, part in enumerate((0.0, 0.0, 0.6)):
        labels = law_section(number, part).labels
        tifffile.imwrite(folder / f"section-{number}.tif", labels)
    return [str(folder / f"section-{number}.tif") for number in range(3)]


@pytest.fixture(scope="module")
def fitted(maps, tmp_path_factory):
    """Folder of a fit to the first two."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten(monkeypatch)
        arguments = [*maps[:2], *PIXEL, "--all-sections", "--out", str(folder / "own.json")]
        assert cli.main(["fit", "grains", *arguments, "--family", "law", "--seed", "3"]) == 0
    return folder


def test_the_card_is_a_law_that_particles_are_generated_from(fitted):
    card = ModelCard.load(fitted / "own.json")
    assert card.grains["markers"]["law"] == "radial_profile"
    assert card.grains["law_fit"]["seed"] == 3
    assert "section-0.tif" in card.document["fitted_on"]
    small = card.with_parameters({"shell.diameter_um": 1.5})
    assert cg.generate(small, seed=1).n_grains > 3
    sized = card.with_parameters({"grains.size_um": 0.3})
    assert sized.parameter("grains.size_um") == 0.3


def test_the_report_shows_what_the_fit_found(fitted):
    folder = fitted / "own-report"
    numbers = json.loads((folder / "fit.json").read_text("utf-8"))
    page = (folder / "index.html").read_text("utf-8")
    for text in numbers["warnings"]:
        assert text.split(";")[0].split("'")[0] in page
    assert page.index("Warning:") < page.index("Sections</caption>")
    assert len(numbers["fit"]["held_out"]) == 2
    for picture in ("profiles", "distance", "statistics", "measured-and-simulated"):
        image = (folder / f"{picture}.png").read_bytes()
        assert image.startswith(b"\x89PNG")
        assert f"{picture}.png" in page
    band = [numbers["profiles"]["aspect_ratio"][name] for name in ("low", "value", "high")]
    assert (np.diff(band, axis=0) >= 0).all()


def test_an_interrupted_command_resumes_and_gives_the_same_bytes(
    maps, fitted, tmp_path, monkeypatch, short_law_fits, capsys
):
    arguments = ["fit", "grains", *maps[:2], *PIXEL, "--all-sections", "--seed", "3"]
    arguments += ["--out", str(tmp_path / "own.json"), "--family", "law"]
    written, write = [], fitting._write

    def interrupted(path, arrays):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, arrays)

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "_write", interrupted)
        assert cli.main(arguments) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "own.json").exists()
    assert cli.main(arguments) == 0
    for name in ("own.json", "own-report/fit.json", "own-report/index.html"):
        assert (tmp_path / name).read_bytes() == (fitted / name).read_bytes()


def test_a_dry_run_tells_minutes_and_writes_nothing(maps, tmp_path, capsys):
    out = str(tmp_path / "card.json")
    arguments = [*maps[:2], *PIXEL, "--all-sections", "--out", out, "--dry-run", "--json"]
    assert cli.main(["fit", "grains", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "a radial law, at most about" in rows["fit"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--family", "both"], "expected one of auto, law, net"),
        (["--family", "law", "--steps", "6"], "--steps: nothing that the fit of a law has"),
        (["--jobs", "2"], "--jobs: nothing that the fit of a law has"),
        (["--seed", "-1"], "--seed is -1, expected 0 or more"),
    ],
)
def test_what_a_law_does_not_have_is_refused_in_a_sentence(maps, options, said, capsys):
    arguments = ["fit", "grains", *maps[:2], *PIXEL, "--all-sections", "--dry-run", *options]
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_few_grains_are_refused_in_a_sentence(tmp_path, capsys):
    labels = np.pad(np.arange(1, 17, dtype=np.int32).reshape(4, 4).repeat(8, 0).repeat(6, 1), 5)
    tifffile.imwrite(tmp_path / "few.tif", labels)
    arguments = ["fit", "grains", str(tmp_path / "few.tif"), *PIXEL, "--all-sections"]
    assert cli.main([*arguments, "--out", str(tmp_path / "card.json")]) == 2
    told = capsys.readouterr().err
    assert "16 grains in all are too few to fit a law to" in told
    assert not (tmp_path / "card.json").exists()


def test_a_law_is_fitted_without_torch(maps):
    """The modules of the command, imported where torch cannot be."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from cathodegrain.exporters.commands.main import main\n"
        f"sys.exit(main({['fit', 'grains', *maps[:2], *PIXEL, '--all-sections', '--dry-run']!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_gives_what_the_command_writes(maps, fitted, tmp_path, short_law_fits):
    result = cg.fit_grains(
        maps[:2], pixel_um=0.05, all_sections=True, family="law", seed=3, name="own"
    )
    assert repr(result).startswith("LawFitResult(card 'own': ")
    result.save(tmp_path / "own.json")
    assert (tmp_path / "own.json").read_bytes() == (fitted / "own.json").read_bytes()


def test_options_of_nets_mean_a_net():
    from cathodegrain.exporters.fits.options import TRAINING, TrainingOptions, family_of

    assert family_of("auto", TRAINING, None) == "law"
    assert family_of("auto", TrainingOptions(config="paper"), None) == "net"
    assert family_of("auto", TRAINING, "phantom.json") == "net"
    assert family_of("net", TRAINING, None) == "net"
