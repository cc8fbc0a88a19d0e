"""Builds of datasets: throughput, use of two cores, memory, size, and what large ones take.

Everything is wall-clock time of this machine, starting the processes included; particles are
consecutive ones of the shipped card, none picked. Memory is the peak of each worker.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cathodegrain.exporters.datasets import config
from cathodegrain.exporters.datasets.checking.verify import verify
from cathodegrain.exporters.datasets.folder import prepare, read
from cathodegrain.exporters.datasets.making import build
from cathodegrain.exporters.datasets.making.engines import Processes
from cathodegrain.exporters.datasets.making.particle_task import Outcome, ParticleTask
from cathodegrain.exporters.products import particle_folder
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from timing import Result, in_one_thread, machine, peak_bytes, table

SEED = 2026
RECIPES_BAR = 5.0  # particles/s on two cores
VOXELS_BAR = 2.0
EFFICIENCY_BAR = 85.0  # per cent, from one process to two
VERIFY_BAR = 60.0  # s for 200 particles
LARGE = (10_000, 1_000_000)
TABLE = {"pitch_um": 0.1}
SMALL = {"shell": {"diameter_um": 1.0}}  # particles of the quick run


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    repeats: int = 15  # particles of one diameter
    diameter_um: float = 8.0
    throughput: int = 60  # particles
    count: int = 200  # particles of the whole build
    meshes: int = 5
    parameters: Mapping[str, Any] | None = None


QUICK = Size(repeats=1, diameter_um=1.0, throughput=4, count=6, meshes=1, parameters=SMALL)


@dataclass(frozen=True)
class MeasuredTask(ParticleTask):
    """Task that gives the peak of its process's memory in place of seconds, bytes."""

    def __call__(self, index: int) -> Outcome:
        """Outcome of a particle."""
        done = super().__call__(index)
        return Outcome(done.index, done.state, done.reason, float(peak_bytes()))


@dataclass(frozen=True)
class RecipeTask(MeasuredTask):
    """The particle with its recipe and nothing else, as `cathodegrain generate` makes it."""

    def __call__(self, index: int) -> Outcome:
        """Outcome of a particle."""
        config = read(self.folder).config
        particle = generate_particle(config.card, config.seed, index)
        particle_folder.create(particle, self.folder)
        return Outcome(index, "made", "", float(peak_bytes()))


def plan(size: Size, count: int, products: Mapping[str, Any]) -> config.DatasetConfig:
    """Configuration of a measured dataset."""
    fields = {
        "name": "benchmark",
        "model": "nmc811",
        "seed": SEED,
        "count": count,
        "parameters": size.parameters or {},
        "products": products,
    }
    return config.from_fields(fields)


def timed_build(
    what: config.DatasetConfig, jobs: int, kind: type[MeasuredTask] = MeasuredTask
) -> tuple[float, list[Outcome]]:
    """Seconds that the particles take in ``jobs`` processes, and what became of each."""
    with TemporaryDirectory() as folder:
        prepare(what, folder)
        task = kind(folder, what.sha256)
        start = time.perf_counter()
        outcomes = list(Processes(jobs)(task, what.indices))
        return time.perf_counter() - start, outcomes


def one_particle(size: Size) -> Iterator[Result]:
    """CPU time of a particle of 8 um, or of a small one in the quick run."""
    card = ModelCard.load("nmc811").with_parameters({"shell.diameter_um": size.diameter_um})
    for name, products in (
        ("recipe", {}),
        ("recipe and table", {"grain-table": TABLE}),
        ("recipe, voxels of 0.1 um and table", {"voxels": TABLE, "grain-table": TABLE}),
    ):
        cpu_seconds(card, 0, products)  # caches are filled
        times = [cpu_seconds(card, index, products) for index in range(size.repeats)]
        yield Result(
            name=f"{size.diameter_um:g} um, {name}: CPU time",
            value=1e3 * statistics.median(times),
            unit=" ms",
            details=f"median of {size.repeats} particles",
        )


def cpu_seconds(card: ModelCard, index: int, products: Mapping[str, Any]) -> float:
    """CPU time of this process for a particle and its folder."""
    with TemporaryDirectory() as folder:
        start = time.process_time()
        particle_folder.fill(generate_particle(card, SEED, index), Path(folder), products)
        return time.process_time() - start


def throughput(size: Size) -> Iterator[Result]:
    """Particles a second, use of the second core, memory of a worker."""
    yield from one_particle(size)
    voxels = {"voxels": {"pitch_um": 0.1}}
    cases: dict[str, tuple[dict[str, Any], float, type[MeasuredTask]]] = {
        "recipes alone, as generate makes them": ({}, RECIPES_BAR, RecipeTask),
        "recipes and tables of grains": ({}, RECIPES_BAR, MeasuredTask),
        "recipes, tables, voxels of 0.1 um": (voxels, VOXELS_BAR, MeasuredTask),
    }
    timed_build(plan(QUICK, 2, {"voxels": {}}), 1)  # compiled kernels are kept on disk
    for name, (products, bar, kind) in cases.items():
        what = plan(size, size.throughput, products)
        seconds = {jobs: timed_build(what, jobs, kind) for jobs in (1, 2)}
        made = sum(outcome.state == "made" for outcome in seconds[2][1])
        peak = max(outcome.seconds for outcome in seconds[2][1])
        rate = made / seconds[2][0]
        yield Result(
            name=f"{name}, 2 processes",
            value=rate,
            low=bar,
            unit=" /s",
            details=f"{made} particles",
        )
        yield Result(
            name=f"{name}: efficiency of 2 processes",
            value=100 * seconds[1][0] / (2 * seconds[2][0]),
            low=EFFICIENCY_BAR,
            unit=" %",
            details=f"1 process {seconds[1][0]:.3g} s, 2 processes {seconds[2][0]:.3g} s",
        )
        yield Result(name=f"{name}: peak memory of a worker", value=peak / 2**20, unit=" MiB")


def whole_build(size: Size, out: Path) -> Iterator[Result]:
    """A dataset with everything: time, size, check, a second build; and larger ones."""
    products: dict[str, Any] = {"voxels": {"pitch_um": 0.1}}
    if size.meshes:
        products["mesh"] = {"count": size.meshes, "size_um": 0.2}
    what = plan(size, size.count, products)
    start = time.perf_counter()
    report = build.build(what, out, Processes(2))
    seconds = time.perf_counter() - start
    files = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    rows = size.count
    yield Result(
        name=f"{rows} particles, {size.meshes} meshes: all of the build",
        value=seconds,
        unit=" s",
        details=f"{report.made} made, {len(report.failed)} failed, {len(files)} files",
    )
    yield Result(name=f"{rows} particles: size", value=sum(files) / 1e6, unit=" MB")
    start = time.perf_counter()
    build.build(what, out, Processes(2))
    again = time.perf_counter() - start
    yield Result(name=f"{rows} particles: the same build again", value=again, unit=" s")
    start = time.perf_counter()
    problems = verify(out, "geometry", Processes(2))
    yield Result(
        name=f"{rows} particles: verify, all levels",
        value=time.perf_counter() - start,
        high=VERIFY_BAR,
        unit=" s",
        details=f"{len(problems)} problems",
    )


def larger(size: Size, out: Path) -> Iterator[Result]:
    """What many particles take, from the build without meshes."""
    for name, products in (
        ("recipes", {}),
        ("recipes and voxels", {"voxels": {"pitch_um": 0.1}}),
    ):
        what = plan(size, size.throughput, products)
        start = time.perf_counter()
        build.build(what, out / name, Processes(2))
        seconds = (time.perf_counter() - start) / size.throughput
        files = [path.stat().st_size for path in (out / name).rglob("*") if path.is_file()]
        for n in LARGE:
            yield Result(
                name=f"{n:,} particles, {name}, index included",
                value=2 * n * seconds / 3600,
                unit=" core hours",
                details=f"{n * sum(files) / size.throughput / 1e9:.3g} GB",
            )


def large(size: Size) -> Iterator[Result]:
    """The whole build, and what larger ones take."""
    with TemporaryDirectory() as folder:
        yield from whole_build(size, Path(folder) / "whole")
        yield from larger(size, Path(folder))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small particles")
    parser.add_argument("--throughput", action="store_true", help="the first part only")
    parser.add_argument("--build", action="store_true", help="the second part only")
    parser.add_argument("--meshes", type=int, help="FE meshes in the whole build, 5 by default")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    if arguments.meshes is not None:
        size = replace(size, meshes=arguments.meshes)
    both = arguments.throughput == arguments.build
    print(machine(), end="\n\n", flush=True)
    first = throughput(size) if arguments.throughput or both else ()
    second = large(size) if arguments.build or both else ()
    print(table(chain(first, second)))


if __name__ == "__main__":
    in_one_thread()  # as the processes of a build have it
    main()
