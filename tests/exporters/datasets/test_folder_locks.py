"""Datasets under commands at the same time, kills, and locks that others have."""

import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.datasets import layout, manifest
from cathodegrain.exporters.datasets.checking.verify import verify
from cathodegrain.exporters.datasets.making.engines import in_this_process
from cathodegrain.exporters.files import lock
from processes import started
from small_datasets import TOML, contents, made, make_dataset
from web_server import serving

GATED = """
import sys
import cathodegrain.exporters.datasets.making.index
import cathodegrain.exporters.datasets.sharing.fetch
from cathodegrain.exporters.commands.main import main
print("ready", flush=True)
sys.stdin.readline()
sys.exit(main(sys.argv[1:]))
"""
HOLD = """
import sys
from cathodegrain.exporters.files.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""
VOXELS = "particles/00/p000001/voxels.vtkhdf"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset") / "tiny")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "small"
    made(folder)
    return folder


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    return path


@contextmanager
def process(script, *argv):
    """A process that has said its first word and waits for a line."""
    words = [sys.executable, "-c", script, *map(str, argv)]
    pipe = subprocess.PIPE
    with started(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as running:
        yield running


@contextmanager
def at_once(*commands):
    """Processes of commands of ``cathodegrain dataset``, all let go in the same moment."""
    with ExitStack() as stack:
        running = [stack.enter_context(process(GATED, "dataset", *argv)) for argv in commands]
        for one in running:
            assert one.stdout.readline() == "ready\n", one.stderr.read()
        for one in running:
            one.stdin.write("\n")
            one.stdin.flush()
        yield running


def assert_all_end_well(running):
    for one in running:
        _, error = one.communicate(timeout=300)
        assert one.returncode == 0, error


def killed_sometime(running, rng, seconds):
    """Kill processes one after the other, within about ``seconds``."""
    for one in running:
        time.sleep(rng.uniform(0, seconds / len(running)))
        one.send_signal(signal.SIGKILL)
        one.communicate()


def run(*argv):
    return main(["dataset", *map(str, argv)])


def passing(folder):
    return [path for path in folder.rglob(".*") if layout.is_passing(path.name)]


def test_five_fetches_at_once_into_one_folder_all_end_well(dataset, tmp_path):
    out, products = tmp_path / "out", ("--products", "recipe,voxels")
    with at_once(*5 * [("fetch", dataset, "--out", out, *products)]) as running:
        assert_all_end_well(running)
    assert verify(out, "geometry", in_this_process) == []
    assert passing(out) == []
    assert run("fetch", dataset, "--out", tmp_path / "alone", *products) == 0
    assert contents(out) == contents(tmp_path / "alone")


def test_fetches_of_other_particles_at_once_are_all_listed(dataset, tmp_path):
    out = tmp_path / "out"
    ids = ["p000000", "p000002"]
    with at_once(
        *(("fetch", dataset, "--out", out, "--select", f"particle_id == '{i}'") for i in ids)
    ) as running:
        assert_all_end_well(running)
    assert manifest.read(out) == manifest.hashes(out)
    assert {name.split("/")[2] for name in manifest.read(out) if "/recipe.h5" in name} == set(ids)


def test_a_fetch_of_another_dataset_at_the_same_time_is_refused(dataset, built, tmp_path, capsys):
    out = tmp_path / "out"
    with serving(dataset) as site:
        site.fail("dataset.json", *2 * [("none",)], ("stall", 0))
        with at_once(("fetch", site.address, "--out", out)) as (first,):
            while not (out / "fetched.json").is_file():
                assert first.poll() is None, first.stderr.read()
                time.sleep(0.02)
            assert run("fetch", built, "--out", out) == 2
            assert "holds files of another dataset" in capsys.readouterr().err
            first.kill()
        assert run("fetch", site.address, "--out", out) == 0
    assert verify(out, "geometry", in_this_process) == []


def test_parts_of_killed_fetches_are_taken_up_and_none_is_left(dataset, tmp_path):
    out, argv = tmp_path / "out", ("--products", "voxels", "--limit", "2", "--out")
    with serving(dataset) as site:
        site.fail(VOXELS, ("stall", 20_000), ("stall", 20_000))
        with at_once(*2 * [("fetch", site.address, *argv, out)]) as running:
            parts = f".{manifest.read(dataset)[VOXELS]}-*.tmp"
            while sum(path.stat().st_size > 16_000 for path in out.glob(parts)) < 2:
                assert all(one.poll() is None for one in running)
                time.sleep(0.02)
            for one in running:
                one.kill()
        before = len(site.requests)
        assert run("fetch", site.address, *argv, out) == 0
        (asked,) = [a for name, a in site.requests[before:] if name == VOXELS]
    assert int(asked.removeprefix("bytes=").removesuffix("-")) > 16_000
    assert passing(out) == []
    assert verify(out, "geometry", in_this_process) == []


def test_after_any_kill_a_fetch_can_be_given_again(dataset, tmp_path):
    rng = random.Random(7)
    argv = ("fetch", dataset, "--products", "recipe,voxels", "--out")
    with at_once((*argv, tmp_path / "alone")) as running:
        begun = time.monotonic()
        assert_all_end_well(running)
    took = time.monotonic() - begun
    for k in range(3):
        out = tmp_path / str(k)
        with at_once(*2 * [(*argv, out)]) as running:
            killed_sometime(running, rng, 1.5 * took)
        assert run(*argv, out) == 0
        assert passing(out) == []
        assert contents(out) == contents(tmp_path / "alone")


def test_builds_of_one_folder_at_once_end_with_the_bytes_of_one(built, config, tmp_path):
    argv = ("build", config, "--out", tmp_path / "d", "--jobs", "1")
    with at_once(argv, argv) as running:
        assert_all_end_well(running)
    assert contents(tmp_path / "d") == contents(built)


def test_shards_and_whole_builds_at_once_end_with_the_bytes_of_one(built, config, tmp_path):
    argv = ("build", config, "--out", tmp_path / "d", "--jobs", "1")
    with at_once((*argv, "--shard", "0/2"), argv, (*argv, "--shard", "1/2")) as running:
        assert_all_end_well(running)
    assert run("index", tmp_path / "d", "--jobs", "1") == 0
    assert contents(tmp_path / "d") == contents(built)


def test_builds_mend_a_damaged_dataset_at_once(built, config, tmp_path):
    folder = shutil.copytree(built, tmp_path / "d")
    for path in folder.glob("particles/00/*/voxels.vtkhdf"):
        path.write_bytes(b"half")
    argv = ("build", config, "--out", folder, "--jobs", "1")
    with at_once(argv, argv) as running:
        assert_all_end_well(running)
    assert contents(folder) == contents(built)


def test_after_any_kill_a_build_can_be_given_again(built, config, tmp_path):
    rng = random.Random(7)
    argv = ("build", config, "--jobs", "1", "--out")
    with at_once((*argv, tmp_path / "alone")) as running:
        begun = time.monotonic()
        assert_all_end_well(running)
    took = time.monotonic() - begun
    for k in range(2):
        with at_once(*2 * [(*argv, tmp_path / str(k))]) as running:
            killed_sometime(running, rng, 1.5 * took)
        assert run(*argv, tmp_path / str(k)) == 0
        assert contents(tmp_path / str(k)) == contents(built)


def test_index_and_descriptions_at_once_are_one_dataset(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "d")
    shutil.rmtree(folder / "index/grains")
    commands = [("index", folder, "--jobs", "1"), ("describe", folder)]
    with at_once(*commands, *commands) as running:
        assert_all_end_well(running)
    assert contents(folder) == contents(built)


def test_packings_at_once_are_one(dataset, tmp_path):
    argv = ("pack", dataset, "--shard-size", "200kB", "--out")
    with at_once(*3 * [(*argv, tmp_path / "out")]) as running:
        assert_all_end_well(running)
    assert run(*argv, tmp_path / "alone") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


@pytest.mark.parametrize("verb", ["build", "index", "describe", "fetch", "pack"])
def test_a_locked_dataset_is_refused_with_the_name_of_the_process(
    built, config, tmp_path, monkeypatch, capsys, verb
):
    monkeypatch.setattr(lock, "WAIT_S", 0.2)
    config.write_text(TOML.replace("count = 5", "count = 6"))
    folder = tmp_path / "d"
    if verb == "pack":
        folder.mkdir()
    else:
        shutil.copytree(built, folder)
    argv = {
        "build": (config, "--out", folder),  # a larger one
        "index": (folder,),
        "describe": (folder,),
        "fetch": (built, "--out", folder),
        "pack": (built, "--out", folder),
    }[verb]
    with process(HOLD, folder) as holder:
        assert holder.stdout.readline() == "held\n", holder.stderr.read()
        before = contents(folder)
        assert run(verb, *argv) == 2
        error = capsys.readouterr().err
        assert contents(folder) == before
        assert f"{folder} is being changed by process {holder.pid} on " in error
        assert "waited 0.2 s, try again later" in error
        assert error.count("\n") == 1
        holder.kill()
    assert run(verb, *argv) == 0  # the lock ended with its process
    assert passing(folder) == []


def test_locks_are_no_files_of_a_dataset_and_other_files_are_reported(built, tmp_path):
    folder = shutil.copytree(built, tmp_path / "d")
    (folder / ".lock").touch()
    (folder / "particles/00/.p000001.lock").touch()  # of a killed export
    assert manifest.file_names(folder) == manifest.file_names(built)
    assert verify(folder, "geometry", in_this_process) == []
    assert run("pack", folder, "--out", tmp_path / "packed") == 0
    assert run("index", folder, "--jobs", "1") == 0
    assert manifest.read(folder) == manifest.read(built)
    (folder / "particles/00/p000001/mesh.msh").write_bytes(b"of somebody")
    (folder / ".notes").write_text("a user's own")
    found = verify(folder, "sizes", in_this_process)
    assert found == [
        ".notes: not in manifest-sha256.txt",
        "particles/00/p000001/mesh.msh: not in manifest-sha256.txt",
    ]
