"""Large meshes: one of 20,000 grains against what it should take, one of 118,000 as expected.

And what a second thread does for meshes of about 1000 grains.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from campaign import Case, Row, apart, figures, line, warm_up
from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.meshing.mesher import planned, volume_mesh
from cathodegrain.exporters.meshing.sizes import DEFAULT_SIZE_UM
from timing import Result, peak_bytes

LARGE = Case(14.9, 3, DEFAULT_SIZE_UM)  # about 20,000 grains
QUICK = Case(1.7, 3, DEFAULT_SIZE_UM)
LARGEST = Case(27.0, 3, DEFAULT_SIZE_UM)  # about 118,000 grains
THREADS = 2
MOST_GB, MOST_MINUTES = 8.0, 20.0
WITHIN = 0.25  # of the peak, that was expected
SEEDS = 3  # particles meshed with one thread and with `THREADS`
LEAST_GAIN = 1.6  # times as long with one thread


def measured(case: Case, threads: int) -> Row:
    """Make and write a fine mesh in this process: what was expected, what it took."""
    warm_up()
    particle = case.particle
    sizes = planned(ParticleBody(particle), case.size_um, None)
    start, wall = time.process_time(), time.perf_counter()
    mesh = volume_mesh(particle, case.size_um, threads=threads, force=True)
    with tempfile.TemporaryDirectory() as folder:
        msh_file.write(mesh, Path(folder) / "mesh.msh")
    return {
        **asdict(case),
        "cpu_s": time.process_time() - start,
        "wall_s": time.perf_counter() - wall,
        "peak_bytes": peak_bytes(),
        "expected_bytes": sizes.expected_bytes,
        "expected_tets": sizes.expected_tets,
        "repairs": list(mesh.facts["repairs"]),
        **figures(mesh.facts["certificate"]),
    }


def results(row: Row) -> Iterator[Result]:
    """Memory, time and how right the expectation was."""
    name = f"{row['n_grains']} grains, {row['n_tets'] / 1e6:.3g} million tetrahedra"
    expected = f"expected {row['expected_bytes'] / 1e9:.3g} GB, {row['expected_tets']:.3g}"
    minutes, gigabytes = row["wall_s"] / 60, row["peak_bytes"] / 1e9
    yield Result(name=f"most memory, {name}", value=gigabytes, high=MOST_GB, unit=" GB")
    yield Result(
        name=f"time on {THREADS} cores", value=minutes, high=MOST_MINUTES, unit=" min",
        details=f"{row['cpu_s']:.0f} CPU s",
    )  # fmt: skip
    yield Result(
        name="memory expected / most memory", value=row["expected_bytes"] / row["peak_bytes"],
        low=1 - WITHIN, high=1 + WITHIN, details=expected,
    )  # fmt: skip
    yield Result(name="not certified", value=len(row["failures"]), high=0)


def expectation(case: Case) -> Iterator[Result]:
    """What a coarse mesh is expected to take; nothing is meshed."""
    start = time.process_time()
    sizes = planned(ParticleBody(case.particle), None, None, "coarse")
    yield Result(
        name=f"memory expected for {case.diameter_um:g} um, coarse",
        value=sizes.expected_bytes / 1e9, unit=" GB",
        details=f"{sizes.expected_tets:.3g} tetrahedra; {time.process_time() - start:.0f} CPU s",
    )  # fmt: skip


def large(quick: bool) -> Iterator[Result]:
    """Make the mesh in a process of its own, and expect a larger one."""
    row, problem = apart(measured, QUICK if quick else LARGE, THREADS)
    if row is None:
        raise RuntimeError(problem)
    print(line(row), flush=True)
    yield from results(row)
    yield from expectation(QUICK if quick else LARGEST)


def second_thread(quick: bool) -> Iterator[Result]:
    """Wall time of a mesh, made and written, with one thread over that with two."""
    for seed in range(1 if quick else SEEDS):
        case = QUICK if quick else Case.of_about(1000, seed)
        seconds = {}
        for threads in (1, THREADS):
            row, problem = apart(measured, case, threads)
            if row is None:
                raise RuntimeError(problem)
            seconds[threads] = row["wall_s"], row["cpu_s"]
        each = ", ".join(
            f"{n}: {wall:.1f} s, {cpu:.1f} CPU s" for n, (wall, cpu) in seconds.items()
        )
        yield Result(
            name=f"wall time with one thread / with {THREADS}, {case.name}",
            value=seconds[1][0] / seconds[THREADS][0], low=LEAST_GAIN, details=each,
        )  # fmt: skip
