"""However a command ends, what it says is one sentence; its streams may be closed or full."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.products.validation import problems
from permissions import bound

SMALL = ["--set", "shell.diameter_um=1.4", "--set", "grains.intensity=0.002"]
COMMAND = [sys.executable, "-m", "cathodegrain.exporters.commands.main"]
BUG = "cathodegrain: LookupError (no such thing) is a bug of cathodegrain; please report it with "
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no /dev, no sh")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("particles")
    assert main(["generate", "--seed", "7", "--out", str(out), *SMALL]) == 0
    return out / "p000000"


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "p000000"))


def ended(*argv, redirected="", before=()):
    """Exit code, output and errors of a command in a process of its own."""
    command = [*before, "sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("value", ["", "1"])
def test_a_bug_is_one_sentence_and_its_traceback_can_be_had(value, made, capsys, monkeypatch):
    def fail(_):
        msg = "no such thing\nand much more"
        raise LookupError(msg)

    monkeypatch.setenv("CATHODEGRAIN_TRACEBACK", value)
    monkeypatch.setattr("cathodegrain.exporters.products.validation.problems", fail)
    assert main(["validate", str(made)]) == 1
    *traceback, sentence = capsys.readouterr().err.splitlines()
    assert sentence == BUG + "the traceback, which CATHODEGRAIN_TRACEBACK=1 shows"
    assert traceback[:1] == (["Traceback (most recent call last):"] if value else [])


@POSIX
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--out", "n" * 300], "particle.json cannot be read or written (File name too long)"),
        (["--count", str(10**20)], "--count is 100000000000000000000, expected 1 to 1e+09"),
        (["--export", "voxels", "--pitch", "1e300"], "spacing is 1e+300, expected a positive"),
        (["--export", "voxels", "--pitch", "-1"], "spacing is -1.0, expected a positive"),
        (["--export", "mesh", "--size", "0"], "size_um is 0.0, expected a length"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_nothing_half_written(
    argv, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, out, err = ended("generate", *SMALL, *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) in ([], ["particle.json", "recipe.h5"])  # whole, before the product


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["mesh", "labels.npy", "--pitch", "1e300"], "the pitch is 1e+300, expected the edge"),
        (["mesh", "labels.npy", "--pitch", "1", "--size", "1e-300"], "ask for longer edges"),
        (["generate", "--set", "grains.metric=" + "[" * 9999], "grains.metric: '[[[["),
    ],
)
def test_absurd_values_are_said(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("labels.npy", np.ones((4, 4, 4), np.int32))
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npy"]


@POSIX
def test_a_folder_that_must_not_be_entered_is_said(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    code, out, err = ended("generate", *SMALL, "--out", locked / "x", before=bound())
    locked.chmod(0o700)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot be read or written (Permission denied)" in err
    assert list(locked.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", ["generate", "formats"])
def test_a_full_standard_output_is_said(command, tmp_path):
    options = [*SMALL, "--out", tmp_path] if command == "generate" else []
    code, _, err = ended(command, *options, redirected="> /dev/full")
    assert (code, err.count("\n")) == (2, 1)
    assert "the standard output cannot be read or written (No space left on device)" in err
    if command == "generate":
        assert problems(tmp_path / "p000000") == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("argv", [["info", "nowhere"], ["frobnicate"]])
def test_a_full_standard_error_leaves_the_exit_code(argv):
    assert ended(*argv, redirected="2> /dev/full") == (2, "", "")


@POSIX
@pytest.mark.parametrize("redirected", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_do_not_keep_a_command_from_its_work(redirected, folder):
    argv = ["export", folder, "--to", "voxels,mesh", "--pitch", "0.2", "--size", "0.3"]
    code, out, err = ended(*argv, redirected=redirected)
    assert (code, err) == (0, "")
    assert bool(out) == (redirected == "2>&-")
    assert (folder / "voxels.vtkhdf").is_file()
    assert problems(folder) == []


@POSIX
def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path):
    script = (
        "import os, sys; from cathodegrain.exporters.commands.main import main; "
        "main(['--version']); "
        "file = open(sys.argv[1], 'w'); os.write(1, b'printed by a library'); os._exit(0)"
    )
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", script, tmp_path / "file"]
    subprocess.run(command, check=True, timeout=100, env=os.environ)
    assert (tmp_path / "file").read_bytes() == b""
