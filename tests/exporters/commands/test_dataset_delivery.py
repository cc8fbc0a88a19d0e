import json
import re
import subprocess
import sys
import time

import pytest

from cathodegrain import open_dataset
from cathodegrain.exporters.commands.main import main
from processes import started
from small_datasets import contents, make_dataset
from web_server import serving


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset") / "tiny")


def run(capsys, *argv):
    code = main(["dataset", *map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_pack_then_fetch_from_the_web_then_open(dataset, tmp_path, capsys):
    shards, part = tmp_path / "shards", tmp_path / "part"
    code, out, _ = run(capsys, "pack", dataset, "--out", shards, "--shard-size", "300kB", "--json")
    assert code == 0
    assert json.loads(out)["shards"] == len(list(shards.glob("*.zip"))) == 3
    with serving(shards) as site:
        argv = ["fetch", site.address, "--select", "particle_id > 'p000000'", "--limit", 2]
        code, out, _ = run(capsys, *argv, "--products", "recipe, voxels", "--out", part, "--json")
    assert (code, json.loads(out)["particles"]) == (0, 2)
    assert [one.id for one in open_dataset(part)] == ["p000001", "p000002"]


def test_dry_runs_write_nothing_and_say_what_would_be(dataset, tmp_path, capsys):
    code, out, _ = run(capsys, "pack", dataset, "--out", tmp_path / "a", "--dry-run", "--json")
    total = sum(map(len, contents(dataset).values()))
    assert code == 0
    assert total < json.loads(out)["bytes"] < 1.1 * total
    code, out, _ = run(capsys, "fetch", dataset, "--out", tmp_path / "b", "--dry-run", "--json")
    assert (code, json.loads(out)["particles"]) == (0, 4)
    assert not list(tmp_path.iterdir())


def test_what_is_lacking_is_told(dataset, tmp_path, capsys):
    code, out, _ = run(capsys, "fetch", dataset, "--products", "voxels", "--out", tmp_path / "b")
    assert code == 0
    assert re.search(r"^without voxels +1 of 4 particles$", out, re.MULTILINE)


def test_describe_says_what_it_wrote_and_what_not(tmp_path, capsys):
    made = make_dataset(tmp_path / "made", count=1, year=None)
    code, out, _ = run(capsys, "describe", made)
    assert code == 0
    assert "README.md" in out
    assert "datacite.json, ro-crate-metadata.json: the configuration has no year" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fetch", "{}", "--select", "diameter > 1", "--out", "x"], "did you mean 'diameter_um'"),
        (["fetch", "nowhere", "--out", "x"], "expected a dataset"),
        (["pack", "{}", "--out", "x", "--shard-size", "1 league"], "expected up to 20GB"),
        (["pack", "nowhere", "--out", "x"], "nowhere"),
        (["describe", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_ends_with_code_2_and_one_message(
    dataset, tmp_path, monkeypatch, capsys, argv, message
):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *[arg.format(dataset) for arg in argv])
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(dataset, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for verb in ("fetch", "pack"):
        code, _, err = run(capsys, verb, dataset, "--out", tmp_path / "file/out")
        assert code == 2
        assert "cannot be" in err
        assert "Traceback" not in err


def in_a_process(*argv, limit=None):
    """Command that runs in a process of its own, which writes files of ``limit`` bytes at most."""
    program = "import sys; from cathodegrain.exporters.commands.main import main; "
    if limit is not None:
        program += f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2); "
    program += "sys.exit(main(['dataset', *sys.argv[1:]]))"
    command = [sys.executable, "-c", program, *map(str, argv)]
    return started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of processes there")
@pytest.mark.parametrize(
    ("verb", "options", "limit"),
    [("pack", ["--shard-size", "400kB"], 300_000), ("fetch", ["--products", "voxels"], 20_000)],
)
def test_without_room_the_message_says_so_and_the_next_call_goes_on(
    dataset, tmp_path, capsys, verb, options, limit
):
    argv = [verb, dataset, "--out", tmp_path / "out", *options]
    with in_a_process(*argv, limit=limit) as process:
        _, err = process.communicate(timeout=100)
    assert process.returncode == 2, err
    assert "cannot be written (File too large)" in err
    assert "Traceback" not in err
    kept = set(contents(tmp_path / "out"))
    assert kept
    assert run(capsys, *argv)[0] == 0
    assert run(capsys, verb, dataset, "--out", tmp_path / "other", *options)[0] == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "other")


def test_a_killed_fetch_leaves_nothing_wrong_and_the_next_goes_on(dataset, tmp_path, capsys):
    name = "particles/00/p000001/voxels.vtkhdf"
    out, other = tmp_path / "out", tmp_path / "other"
    with serving(dataset) as site:
        argv = ["fetch", site.address, "--products", "recipe,voxels", "--out"]
        site.fail(name, ("stall", 30_000))
        with in_a_process(*argv, out) as process:
            deadline = time.monotonic() + 60
            while name not in site.names() or not any(p.stat().st_size for p in out.glob(".*.tmp")):
                assert time.monotonic() < deadline
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.02)
        whole = contents(dataset)
        there = {n: c for n, c in contents(out).items() if not n.startswith(".")}
        assert there.pop("fetched.json")
        assert all(whole[n] == content for n, content in there.items())
        assert name not in there
        assert run(capsys, *argv, out)[0] == 0
        assert run(capsys, *argv, other)[0] == 0
    assert contents(out) == contents(other)
