"""Every command of README.md runs, at toy size, in the order in which it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from cathodegrain.exporters.cli import main
from cathodegrain.generator.model_card import PARAMETERS, ModelCard

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
TOY = {"generate": ["--set", "shell.diameter_um=1.6"]}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_shell_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) > 5
    for program, verb, *rest in commands:
        assert program == "cathodegrain"
        rest = [r.replace("diameter_um=2", "diameter_um=1.2") for r in rest]
        assert main([verb, *rest, *TOY.get(verb, [])]) == 0, capsys.readouterr().err
    assert (tmp_path / "small/p000000/mesh.msh").is_file()


def test_python_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    small = 'ModelCard.load("nmc811").with_parameters({"shell.diameter_um": 1.6})'
    names = {}
    exec(example.replace('ModelCard.load("nmc811")', small), names)
    assert names["particle"].shell.diameter_um == pytest.approx(1.6)
    np.testing.assert_array_equal(names["particle"].grain_at([[99.0, 0, 0]]), [0])
    assert "um^3" in capsys.readouterr().out
    names["voxels"].close()


def test_every_parameter_is_documented():
    assert set(re.findall(r"^\| `((?:shell|grains|orientations)\.\w+)`", README, re.M)) == set(
        PARAMETERS
    )


def test_the_picture_and_the_links_exist():
    root = Path(__file__).parent.parent
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (root / target).exists(), target


def test_the_shipped_card_says_what_the_limits_say():
    assert any("phantom" in limit for limit in ModelCard.load("nmc811").document["limits"])
