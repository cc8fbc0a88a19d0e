"""Wall-clock time of commands: run ``python benchmarks/command_line.py [--quick]``.

The only benchmark in wall-clock seconds, with all threads: run it on a quiet machine and
look at the load that it prints. The first run of each command is not counted: it fills
numba's cache, which later sessions find on disk.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from timing import Result, alternating, machine, table

HELP_BAR = 0.7  # s
GENERATE_BAR = 5.0  # s beyond the start of the program
SEED = 32  # its first particle has 3219 grains


def command(*arguments: str) -> list[str]:
    """Command line of cathodegrain as it is installed beside this Python."""
    return [str(Path(sys.executable).with_name("cathodegrain")), *arguments]


def wall_seconds(task: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def start_times(repeats: int) -> dict[str, float]:
    """Median wall-clock seconds of --help and --version."""
    tasks = {option: lambda option=option: _run(option) for option in ("--help", "--version")}
    alternating(tasks, 1, wall_seconds)
    return alternating(tasks, repeats, wall_seconds)


def generate_times(repeats: int, *arguments: str) -> tuple[dict[str, float], int]:
    """Wall-clock seconds of the first run and the median of later ones; grains made.

    ``arguments`` go to ``cathodegrain generate``.
    """
    with TemporaryDirectory() as folder:
        grains: list[int] = []

        def generate() -> None:
            words = ("generate", "--out", folder, "--overwrite", "--json", *arguments)
            grains.append(json.loads(_run(*words))["grains"])
            for path in Path(folder).rglob("*.*"):  # else an intact particle is left as it is
                path.unlink()

        first = wall_seconds(generate)
        later = alternating({"later": generate}, repeats, wall_seconds)
    return {"first": first, **later}, grains[0]


def export_peak(pitch_um: float, *arguments: str) -> tuple[float, int, list[int]]:
    """Wall-clock seconds and peak bytes of a voxel export, and the shape of the grid.

    ``arguments`` go to ``cathodegrain generate``; the peak is that of the exporting process,
    interpreter and libraries included. Only where the system has ``wait4``.
    """
    with TemporaryDirectory() as folder:
        particle = json.loads(_run("generate", "--out", folder, "--json", *arguments))["particle"]
        words = command("export", particle, "--to", "voxels", "--pitch", str(pitch_um))
        shape = json.loads(_run(*words[1:], "--dry-run", "--json"))["voxel_shape_zyx"]
        start = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), shape


def _run(*arguments: str) -> str:
    return subprocess.run(command(*arguments), check=True, capture_output=True, text=True).stdout


def results(quick: bool) -> Iterator[Result]:
    """Measure everything, a result at a time."""
    repeats = 1 if quick else 5
    start = start_times(repeats)
    yield Result(name="cathodegrain --help", value=start["--help"], high=HELP_BAR, unit=" s")
    arguments = ("--seed", str(SEED), "--export", "voxels", "--pitch", "0.1")
    seconds, n_grains = generate_times(repeats, *arguments)
    yield Result(
        name=f"cathodegrain generate {' '.join(arguments)}",
        value=seconds["later"] - start["--version"],
        high=GENERATE_BAR,
        unit=" s",
        details=f"{n_grains} grains; {seconds['later']:.3g} s in all, less "
        f"{start['--version']:.2g} s of --version; first run {seconds['first']:.3g} s",
    )
    if not quick and hasattr(os, "wait4"):
        seconds, peak, shape = export_peak(0.0085, "--seed", str(SEED))
        yield Result(
            name=f"peak memory of the export of {shape[0]}^3 voxels",
            value=peak / 2**20,
            unit=" MiB",
            details=f"{seconds:.3g} s; the labels alone would take {math.prod(shape) / 2**18:.3g} "
            "MiB, and are written in slabs",
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repeat")
    arguments = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(table(results(arguments.quick)))


if __name__ == "__main__":
    main()
