"""The same bytes from dask, whose worker is killed, and from a real SLURM."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import slurm
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.datasets.making import engines
from cathodegrain.generator import requirements
from places import ROOT
from processes import started
from small_datasets import TOML, contents, made

SCRIPT = ROOT / "scripts/dataset-array.sbatch"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "whole"
    made(folder)
    return contents(folder)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "c.toml").write_text(TOML)
    return tmp_path / "c.toml"


DEADLY = """
import multiprocessing, os, signal, sys, time
from concurrent.futures import wait
from pathlib import Path
from cathodegrain.exporters.datasets.making import engines

class Deadly:
    '''Task that writes down what is run, and whose process dies at the last item, once.'''

    def __init__(self, folder, last):
        self.folder, self.last = folder, last

    def __call__(self, item):
        runs = self.folder / f"{item}"
        first = not runs.exists()
        runs.write_text("once" if first else "again")
        if first and item == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    other.start()
    engines.AHEAD, engines.wait = 12, lambda futures, return_when: wait(futures)
    assert sorted(engines.Processes(1)(Deadly(folder, 11), range(12))) == list(range(12))
    print(*(path.name for path in folder.iterdir() if path.read_text() == "again"))
    print("other", other.is_alive())
    other.kill()
"""


def test_results_that_came_before_a_worker_died_are_kept(tmp_path):
    """Also if this process is so slow that it finds them together with the death.

    A process that the caller has started for another purpose goes on.
    """
    (tmp_path / "deadly.py").write_text(DEADLY)
    (tmp_path / "runs").mkdir()
    command = [sys.executable, "deadly.py", "runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "11\nother True\n"), done.stderr


CLUSTER = """
import os, signal, sys, threading, time
from distributed import LocalCluster
from pathlib import Path
from cathodegrain.exporters.commands.main import main

def kill_one(cluster, folder):
    while not list(folder.glob("particles/00/p*")):
        time.sleep(0.01)
    os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
    print("killed", flush=True)

if __name__ == "__main__":
    config, out = sys.argv[1:]
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=f"{out}.dask"
    ) as cluster:
        threading.Thread(target=kill_one, args=(cluster, Path(out)), daemon=True).start()
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        code = main(["dataset", "build", config, "--out", out, "--executor", address])
    sys.exit(code)
"""


def test_dask_gives_the_same_bytes_though_a_worker_is_killed(config, expected, tmp_path):
    (tmp_path / "cluster.py").write_text(CLUSTER)
    argv = [sys.executable, "cluster.py", str(config), str(tmp_path / "d")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "killed" in done.stdout
    assert contents(tmp_path / "d") == expected


def test_a_scheduler_that_does_not_answer_is_said(config, tmp_path, capsys):
    argv = ["dataset", "build", str(config), "--out", str(tmp_path / "d")]
    assert main([*argv, "--executor", "dask://127.0.0.1:1"]) == 2
    assert "no dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("executor", "package", "extra"),
    [
        ("slurm", "submitit", "cluster"),
        ("dask://x:1", "distributed", "dask"),
        ("slurm", "pyarrow", "dataset"),
    ],
)
def test_a_missing_package_is_said_with_its_extra(
    config, tmp_path, capsys, monkeypatch, executor, package, extra
):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == package else name)
    argv = ["dataset", "build", str(config), "--out", str(tmp_path / "d"), "--executor", executor]
    assert main(argv) == 2
    assert requirements.install_command(extra) in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def square(number):
    return number**2


def test_tasks_are_submitted_a_few_at_a_time_and_all_come_back():
    with engines.Processes(1).pool() as pool:
        running = {}
        results = {}
        for item, future in engines.as_completed(pool, square, range(40), 5, running):
            assert len(running) <= 5
            results[item] = future.result()
    assert results == {k: k**2 for k in range(40)}


def test_processes_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "parent.py").write_text(
        "import os, time\n"
        "from cathodegrain.exporters.datasets.making.engines import Processes\n"
        "if __name__ == '__main__':\n"
        "    with Processes(1).pool() as pool:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        time.sleep(60)\n"
    )
    with started([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
    for _ in range(200):
        if not running(child):
            return
        time.sleep(0.05)
    pytest.fail("the process goes on")


def running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A SLURM of one node, started for these tests."""
    with slurm.one_node(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.mark.slow
def test_slurm_gives_the_same_bytes(config, expected, tmp_path, cluster):
    where = [config, "--out", tmp_path / "d", "--executor", "slurm", "--jobs", "2"]
    argv = [
        sys.executable,
        "-m",
        "cathodegrain.exporters.commands.main",
        "dataset",
        "build",
        *where,
    ]
    argv += ["--hours", "0.1"]
    done = subprocess.run(argv, env=cluster, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "d") == expected


@pytest.mark.slow
def test_an_interrupt_cancels_the_array(config, tmp_path, cluster):
    build = begun(config, 500, tmp_path / "d", cluster)
    build.terminate()
    assert b"interrupted" in build.communicate(timeout=60)[1]
    deadline = time.monotonic() + 60
    while jobs(cluster):
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.slow
def test_a_lost_task_of_the_array_is_told_and_the_next_build_makes_its_particles(
    config, tmp_path, cluster
):
    build = begun(config, 300, tmp_path / "d", cluster)
    kill_first_task()
    told = build.communicate(timeout=300)[1].decode()
    assert build.returncode == 2
    assert re.search(r"1 of 2 SLURM jobs failed, \d+_0 the first \(.+\); its log is", told)
    made_by_the_other = {f"p{index:06d}" for index in range(1, 300, 2)}
    assert made_by_the_other <= {path.name for path in tmp_path.glob("d/particles/*/p*")}
    assert main(["dataset", "build", str(config), "--out", str(tmp_path / "d")]) == 0
    assert main(["dataset", "verify", str(tmp_path / "d")]) == 0


def begun(config, count, out, cluster):
    """Build of ``count`` particles in two SLURM tasks that has made the first of them."""
    config.write_text(TOML.replace("count = 5", f"count = {count}"))
    where = [config, "--out", out, "--executor", "slurm", "--jobs", "2"]
    argv = [
        sys.executable,
        "-m",
        "cathodegrain.exporters.commands.main",
        "dataset",
        "build",
        *where,
    ]
    build = subprocess.Popen([*argv, "--hours", "0.1"], env=cluster, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(out.glob("particles/00/p*/recipe.h5")):
        assert build.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return build


def kill_first_task():
    """Kill the process of task 0 of the array, as the kernel does when memory runs out."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            names = (process / "environ").read_bytes().split(b"\0")
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"SLURM_ARRAY_TASK_ID=0" in names and b"submitit.core._submit" in words:
                os.kill(int(process.name), signal.SIGKILL)


def jobs(cluster):
    """Ids of the jobs that wait or run."""
    return subprocess.check_output(["squeue", "-h", "-o", "%i"], env=cluster, text=True).split()


@pytest.mark.slow
def test_the_array_script_gives_the_same_bytes(config, expected, tmp_path, cluster):
    argv = ["sbatch", "--wait", "--array=0-2", "--time=5", SCRIPT, config, tmp_path / "d"]
    environment = {**cluster, "PATH": f"{commands(tmp_path)}{os.pathsep}{cluster['PATH']}"}
    done = subprocess.run(
        argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    logs = "".join(path.read_text() for path in tmp_path.glob("*.out"))
    assert done.returncode == 0, done.stderr + logs
    assert main(["dataset", "index", str(tmp_path / "d"), "--jobs", "1"]) == 0
    assert contents(tmp_path / "d") == expected


def commands(folder):
    """Folder with the command line of the interpreter that runs the tests."""
    (folder / "bin").mkdir()
    program = folder / "bin/cathodegrain"
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m cathodegrain.exporters.commands.main "$@"\n'
    )
    program.chmod(0o755)
    return folder / "bin"
