"""A disk that is full, or takes no files: a clear error, nothing damaged, and it goes on."""

import os
import subprocess
import sys

import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.datasets import layout
from small_datasets import TOML, contents, made

RESUMES = "Nothing is half-written: mend that, and the same command goes on from here"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "whole"
    made(folder)
    return contents(folder)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "c.toml").write_text(TOML)
    return tmp_path / "c.toml"


def mount(*argv):
    return subprocess.run(["mount", *map(str, argv)], capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    allowed = hasattr(os, "geteuid") and os.geteuid() == 0
    if not (allowed and mount("-t", "tmpfs", "-o", "size=100k", "tmpfs", place)):
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def build(config, folder, jobs):
    """Exit code and standard error of a process of its own: a full disk leaves HDF5 unsound."""
    words = [sys.executable, "-m", "cathodegrain.exporters.commands.main", "dataset", "build"]
    words += [str(config), "--out", str(folder), "--jobs", str(jobs)]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stderr


def assert_undamaged(folder, expected):
    """All that is there is as it will be, and nothing is left of what was begun."""
    left = contents(folder) if folder.exists() else {}
    for name, data in left.items():
        assert "/." not in name
        assert name in expected, data
        assert data == expected[name] or name == layout.DATASET, name


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_a_build_that_then_goes_on(config, expected, disk, jobs):
    total = sum(map(len, expected.values()))
    stops = 0
    for share in (0.15, 0.5, 0.85):
        assert mount("-o", f"remount,size={int(share * total)}", disk)
        code, err = build(config, disk / "d", jobs)
        assert code == 2
        assert "No space left on device" in err
        assert err.count("cathodegrain: ") == 1
        stops += RESUMES in err
        assert_undamaged(disk / "d", expected)
    assert stops
    assert mount("-o", "remount,size=20m", disk)
    assert build(config, disk / "d", jobs) == (0, "")
    assert contents(disk / "d") == expected


def test_a_disk_that_takes_no_files_is_said_and_a_build_goes_on(config, expected, disk, capsys):
    assert mount("-o", "remount,ro,size=20m", disk)
    code, err = build(config, disk / "d", 1)
    assert code == 2
    assert "cannot be written or read (Read-only file system)" in err
    assert mount("-o", "remount,rw,size=20m", disk)
    argv = ["dataset", "build", str(config), "--out", str(disk / "d"), "--jobs", "1"]
    assert main([*argv, "--shard", "0/2"]) == 0
    assert mount("-o", "remount,ro", disk)
    code, err = build(config, disk / "d", 1)
    assert code == 2
    assert "Read-only file system" in err
    assert RESUMES in err
    assert main(["dataset", "index", str(disk / "d"), "--jobs", "1"]) == 2
    assert "Read-only file system" in capsys.readouterr().err
    assert mount("-o", "remount,rw", disk)
    assert build(config, disk / "d", 1)[0] == 0
    assert contents(disk / "d") == expected


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file size")
def test_files_that_may_not_grow_stop_a_build_that_then_goes_on(config, expected, tmp_path):
    script = (
        "import resource, sys; from cathodegrain.exporters.commands.main import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, "dataset", "build", config, "--out", tmp_path / "d"]
    done = subprocess.run([*argv, "--jobs", "1"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert RESUMES in done.stderr
    assert done.stderr.count("\n") == 1
    assert_undamaged(tmp_path / "d", expected)
    made(tmp_path / "d")
    assert contents(tmp_path / "d") == expected


def test_a_file_in_place_of_the_folder_is_said(config, tmp_path):
    (tmp_path / "d").write_text("x")
    code, err = build(config, tmp_path / "d", 1)
    assert code == 2
    assert "cannot be written or read (File exists)" in err
