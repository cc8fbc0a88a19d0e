"""Check and time what runs on a GPU: run ``python benchmarks/gpu.py [--budget 300]``.

One command for a machine that is at hand for minutes. Each part is guarded: one that fails says so
in the table, and the others run all the same. ``--parts`` takes some of them:

* ``bandwidth``: within the device, and from it to the host;
* ``labels``: labels of the kernels against the compiled ones and brute force, to the bit;
* ``times``: grids of 256^3 and 512^3, particles of 8 and 27 um, against one core and all cores;
* ``batch``: 64 particles of 8 um in one set of launches, their moments too;
* ``recipes``: particles made on the device, which must be those of the processor, and 64 at once;
* ``files``: voxel files and tables of grains, which must be the same bytes as the processor's;
* ``stream``: cubes of 64^3 a second of `cg.VolumeStream`;
* ``training``: steps a second of `fit grains`.

Times of the device are wall-clock seconds, preparation on the host included; those of one core CPU
seconds. Without a GPU ``--interpret --quick`` runs the parts that it can on tiny cases in Triton's
interpreter. Exit code: 0 all is equal, 1 something differs or a part failed, 2 no usable GPU.
Missed bars do not fail the run: they stand in the table, and in the file of ``--out`` (JSON).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from timing import THREADS, Result, cpu_seconds, machine, table

SEED = 7


class Case(NamedTuple):
    """What is to be labelled: a tessellation, a shell or None, axes."""

    tessellation: Any
    shell: Any
    axes: Any


@dataclass(frozen=True)
class Bench:
    """What the parts share.

    Parameters
    ----------
    device
        The device, as torch calls it; "cpu" in the interpreter.
    quick
        Whether cases are tiny.
    deadline
        Of `time.monotonic`; what is dear is left out after it.
    """

    device: str
    quick: bool
    deadline: float

    @property
    def has_gpu(self) -> bool:
        """Whether it is a GPU, and times mean something."""
        return self.device != "cpu"

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def labelled(self, cases: list[Case], **options: Any) -> Any:
        """Labels by the kernels, on the device."""
        from cathodegrain.generator.voxels.device_labels import label_windows
        from cathodegrain.generator.voxels.window import Window

        return label_windows([Window.of(*case) for case in cases], self.device, **options)

    def seconds(self, task: Callable[[], object], limit: float = 5.0) -> float:
        """Median wall-clock seconds of a task until the device has done it, after a first call."""
        times: list[float] = []
        for _ in range(21):
            begun = time.perf_counter()
            task()
            self.wait()
            times.append(time.perf_counter() - begun)
            if sum(times) > limit and len(times) > 1:
                break
        return statistics.median(times[1:])

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.has_gpu:
            import torch

            torch.cuda.synchronize()

    def peak_gb(self, task: Callable[[], object]) -> float:
        """Most memory of the device during a task, GB."""
        import torch

        torch.cuda.reset_peak_memory_stats()
        task()
        self.wait()
        return torch.cuda.max_memory_allocated() / 1e9


def equal(name: str, differing: int, compared: int, what: str = "voxels") -> Result:
    """Number of things that differ; none may."""
    return Result(name=f"{name}: differ", value=differing, high=0, details=f"of {compared} {what}")


def bandwidth(bench: Bench) -> Iterator[Result]:
    """What the device and its bus can do."""
    import torch

    if not bench.has_gpu:
        return
    a = torch.zeros(1 << 28, dtype=torch.int32, device=bench.device)
    b, host = torch.empty_like(a), torch.empty(1 << 26, dtype=torch.int32, pin_memory=True)
    small = a[: 1 << 26]
    for name, task, moved in (
        ("within the device", lambda: b.copy_(a), 2 * 4 * a.numel()),
        ("to the host, pinned", lambda: host.copy_(small), 4 * small.numel()),
        ("to the host, as .cpu()", small.cpu, 4 * small.numel()),
    ):
        yield Result(name=name, value=moved / bench.seconds(task) / 1e9, unit=" GB/s")


def labels(bench: Bench) -> Iterator[Result]:
    """Labels of the kernels, and of the torch version, against the compiled ones."""
    for kind, cases, wanted in _cases(bench):
        found = bench.labelled(cases).volumes()
        differing = sum(
            int((v.cpu().numpy() != w).sum()) for v, w in zip(found, wanted, strict=True)
        )
        yield equal(f"labels, {kind}", differing, sum(w.size for w in wanted))
    _, cases, wanted = next(_cases(bench))
    if bench.has_gpu:
        first, second = (bench.labelled(cases).labels for _ in range(2))
        yield equal("labels, twice", int((first != second).sum()), len(first))
        from cathodegrain.generator.voxels import labelling_torch

        for precision in labelling_torch.PRECISIONS:
            differing = sum(
                int((labelling_torch.label_axes(
                    s.tessellation, *s.axes, shell=s.shell, device=bench.device,
                    precision=precision) != w).sum())
                for s, w in zip(cases, wanted, strict=True)
            )  # fmt: skip
            yield equal(f"labels, torch in {precision}", differing, sum(w.size for w in wanted))


def _cases(bench: Bench) -> Iterator[tuple[str, list[Case], list[np.ndarray]]]:
    """Kind, cases and labels: families and stress of the tests, particles of the model."""
    from cathodegrain.generator.voxels.labelling import label_axes, label_brute_force
    from tessellations import FAMILIES, STRESS, random_tessellation, stressed, voxel_axis

    ragged = _ragged((9, 4, 13) if bench.quick else (45, 22, 37))
    cube = (voxel_axis(6 if bench.quick else 40),) * 3
    sizes = (2, 30) if bench.quick else (1, 2, 60, 400)
    for metric in ("norm", "squared"):
        cases = [
            Case(random_tessellation(n, family, metric), shell, ragged)
            for family in (("long",) if bench.quick else FAMILIES)
            for n in sizes
            for shell in (None, _bumpy())
        ]
        yield (
            f"families, {metric}",
            cases,
            [label_axes(s.tessellation, *s.axes, shell=s.shell) for s in cases],
        )
        cases = [Case(stressed(n, metric), None, cube) for n in STRESS[:: 4 if bench.quick else 1]]
        yield (
            f"stress, {metric}",
            cases,
            [label_brute_force(s.tessellation, *s.axes) for s in cases],
        )
    cases = list(_particles(bench))
    wanted = [label_axes(s.tessellation, *s.axes, shell=s.shell) for s in cases]
    yield "particles", cases, wanted


def _ragged(shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(8)
    return tuple(np.sort(rng.uniform(-16, 16, n)) for n in shape)


def _bumpy() -> Any:
    from cathodegrain.generator.shell.shell import Shell

    coefficients = np.random.default_rng(3).normal(scale=0.4, size=100)
    coefficients[0] = 12 * np.sqrt(4 * np.pi)
    return Shell(coefficients)


def _particles(bench: Bench) -> Iterator[Any]:
    """Whole particles of the shipped model, of both metrics and several pitches."""
    for index in range(1 if bench.quick else 24):
        diameter = 1.2 if bench.quick else 1.5 + 0.4 * (index % 8)
        metric = ("norm", "squared")[index % 2]
        yield _particle(index, (0.2,) if bench.quick else (0.1, 0.05, 0.03), diameter, metric)


def _particle(index: int, pitches: tuple[float, ...], diameter: float | None, metric: str) -> Any:
    """A particle with the axes of its voxels."""
    import cathodegrain as cg
    from cathodegrain.generator.voxels.grid import Grid

    changes = {"grains.metric": metric} | ({"shell.diameter_um": diameter} if diameter else {})
    particle = cg.generate("nmc811", seed=SEED, index=index, parameters=changes)
    grid = Grid.around(particle.shell.radius_bounds[1], pitches[index % len(pitches)])
    return Case(particle.tessellation, particle.shell, grid.axes)


def times(bench: Bench) -> Iterator[Result]:
    """Labels on the device, in seconds, against the compiled kernels, and the memory they take."""
    for name, case, bars in _scenes(bench):
        if bench.left > 25:
            yield from _timed(bench, name, case, *bars)


def _timed(
    bench: Bench, name: str, case: Any, bar: float | None, all_bar: float | None, most: float | None
) -> Iterator[Result]:

    wanted = _compiled(case, 1)
    found = bench.labelled([case]).volumes()[0]
    yield equal(name, int((found.cpu().numpy() != wanted).sum()), wanted.size)
    if not bench.has_gpu:
        return
    one = cpu_seconds(lambda: _compiled(case, 1))
    begun = time.perf_counter()
    _compiled(case, None)
    every = time.perf_counter() - begun
    own = bench.seconds(lambda: bench.labelled([case]))
    moved, cores = bench.seconds(found.cpu), len(os.sched_getaffinity(0))
    yield Result(
        name=f"{name}: times one core", value=one / own, low=bar,
        details=f"one core {one:.3g} s, device {own:.3g} s, to the host {moved:.3g} s",
    )  # fmt: skip
    yield Result(
        name=f"{name}: times all cores", value=every / own, low=all_bar,
        details=f"{cores} cores {every:.3g} s",
    )  # fmt: skip
    peak = bench.peak_gb(lambda: bench.labelled([case]))
    yield Result(name=f"{name}: memory", value=peak, high=most, unit=" GB")


def _compiled(case: Any, threads: int | None) -> np.ndarray:
    from cathodegrain.generator.voxels.labelling import label_axes

    return label_axes(case.tessellation, *case.axes, shell=case.shell, threads=threads)


def _scenes(bench: Bench) -> Iterator[tuple[str, Any, tuple[float | None, ...]]]:
    """Name, window, and bars: times one core, times all cores, GB."""
    from tessellations import random_tessellation, voxel_axis

    if bench.quick:
        axis = voxel_axis(8)
        yield "8^3 x 40", Case(random_tessellation(40, "long"), None, (axis,) * 3), (None,) * 3
        return
    for n, grains, bars in ((256, 2000, (50.0, None, 1.0)), (512, 8000, (150.0, 10.0, 4.0))):
        gbpd, axis = random_tessellation(grains, "long", half=128), voxel_axis(n, half=128)
        yield f"{n}^3 x {grains}", Case(gbpd, None, (axis,) * 3), bars
    yield "8 um at 0.1 um", _particle(177, (0.1,), None, "norm"), (5.0, None, None)
    yield "27 um at 0.1 um", _particle(297, (0.1,), None, "norm"), (50.0, None, None)


def batch(bench: Bench) -> Iterator[Result]:
    """Many particles in one set of launches, and their moments."""
    from cathodegrain.generator.voxels.device_labels import moments_of
    from cathodegrain.generator.voxels.labelling import label_axes
    from cathodegrain.generator.voxels.moment_kernels import add_moments

    n, diameter, pitch = (2, 1.2, 0.25) if bench.quick else (64, 8.0, 0.1)
    cases = [_particle(index, (pitch,), diameter, "norm") for index in range(n)]
    wanted: list[np.ndarray] = []
    one = cpu_seconds(lambda: wanted.extend(
        label_axes(s.tessellation, *s.axes, shell=s.shell, threads=1) for s in cases
    ))  # fmt: skip
    found = bench.labelled(cases, moments=True)
    differing = moved = 0
    for case, volume, own, sums in zip(
        cases, found.volumes(), wanted, moments_of(found)[0], strict=True
    ):
        differing += int((volume.cpu().numpy() != own).sum())
        slow = np.zeros((len(case.tessellation) + 1, 10))
        add_moments(own, 0, slow)
        moved += int((sums != slow[1:]).sum())
    yield equal(f"{n} particles of {diameter:g} um", differing, sum(w.size for w in wanted))
    yield equal("their moments", moved, 10 * sum(len(s.tessellation) for s in cases), "sums")
    if bench.has_gpu:
        seconds = bench.seconds(lambda: bench.labelled(cases))
        both = bench.seconds(lambda: bench.labelled(cases, moments=True))
        yield Result(
            name=f"{n} particles of {diameter:g} um: times one core", value=one / seconds, low=50.0,
            details=f"one core {one / n:.3g} s each, device {seconds / n:.3g} s, with moments "
            f"{both / n:.3g} s",
        )  # fmt: skip


def recipes(bench: Bench) -> Iterator[Result]:
    """Particles made on the device against those of the processor, and their time."""
    from cathodegrain.generator.generate import generate_particles
    from cathodegrain.generator.model_card import ModelCard

    if not bench.has_gpu:
        return
    differing = 0
    for name in ("nmc811", "nmc811-radial"):
        for metric in ("norm", "squared"):
            changes = {"grains.metric": metric, "grains.elongation": 1.3}
            model = ModelCard.load(name).with_parameters(changes)
            made = [
                generate_particles(model, SEED, range(10), device=device)
                for device in (bench.device, "cpu")
            ]
            differing += sum(_digest(a) != _digest(b) for a, b in zip(*made, strict=True))
    yield equal("recipes", differing, 40, "particles")
    model, n = ModelCard.load("nmc811").with_parameters({"shell.diameter_um": 8.0}), 64
    one = cpu_seconds(lambda: generate_particles(model, SEED, range(n)))
    own = bench.seconds(lambda: generate_particles(model, SEED, range(n), device=bench.device))
    yield Result(
        name=f"{n} recipes of 8 um: times one core", value=one / own,
        details=f"one core {one / n:.3g} s each, device and one core {own / n:.3g} s",
    )  # fmt: skip


def _digest(particle: Any) -> bytes:
    """Everything of a recipe that a device computes."""
    t = particle.tessellation
    arrays = t.seeds, t.matrices, t.offsets, particle.diagonals, particle.origin
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def files(bench: Bench) -> Iterator[Result]:
    """Products written from the device against those of the processor, byte by byte."""
    import cathodegrain as cg

    if not bench.has_gpu:
        return
    differing = 0
    with TemporaryDirectory() as folder:
        for index in range(20):
            particle = cg.generate("nmc811", seed=SEED, index=index)
            written = []
            for device in ("cpu", bench.device):
                path = cg.save(particle, Path(folder, device.replace(":", "")))
                products = ["voxels", "voxels-vti", "grain-table"]
                made = cg.export(path, products, pitch_um=0.1, device=device)
                written.append([p.read_bytes() for p in made.values()])
            differing += sum(a != b for a, b in zip(*written, strict=True))
    yield equal("products of 20 particles", differing, 60, "files")


def stream(bench: Bench) -> Iterator[Result]:
    """Training volumes a second."""
    import cathodegrain as cg

    if not bench.has_gpu:
        return
    volumes = cg.VolumeStream(
        "nmc811", seed=SEED, edge=64, pitch_um=0.05, crops=64, device=bench.device,
        processes=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    count, begun, limit = 0, 0.0, min(20.0, bench.left - 10)
    for number, _ in enumerate(volumes):
        if number == 256:  # processes have started
            begun = time.perf_counter()
        elif number > 256:
            count += 1
            if time.perf_counter() - begun > limit:
                break
    bench.wait()
    rate = count / (time.perf_counter() - begun)
    yield Result(name="stream of cubes of 64^3", value=rate, low=1000.0, unit=" /s")


def training(bench: Bench) -> Iterator[Result]:
    """Steps of the nets of `fit grains`."""
    from grain_training import steps_per_second

    if not bench.has_gpu:
        return
    for name, bar in (("default", 1.5), ("paper", None)):
        if bench.left > 40:
            one = steps_per_second(name, "cpu", 8.0)
            own = steps_per_second(name, bench.device, 8.0)
            yield Result(
                name=f"training {name}: times one core", value=own / one, low=bar,
                details=f"one core {one:.3g} steps/s, device {own:.3g}",
            )  # fmt: skip


PARTS: dict[str, Callable[[Bench], Iterator[Result]]] = {
    part.__name__: part
    for part in (bandwidth, labels, times, batch, recipes, files, stream, training)
}


def measured(bench: Bench, parts: list[str]) -> tuple[list[Result], list[str]]:
    """Results of the parts, each printed when it is there, and the parts that failed."""
    results, failed = [], []
    for name in parts:
        try:
            for result in PARTS[name](bench):
                results.append(result)
                print(f"{result.name}: {result.figure} {result.verdict}", flush=True)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    return results, failed


def card(device: str) -> str:
    """One line about the GPU."""
    import torch

    if device == "cpu":
        return "Triton's interpreter"
    found = torch.cuda.get_device_properties(device)
    return (
        f"{found.name}, compute capability {found.major}.{found.minor}, "
        f"{found.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
    )


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--interpret", action="store_true", help="without a GPU, in the interpreter"
    )
    parser.add_argument("--quick", action="store_true", help="tiny cases")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, help="file for the results, JSON")
    return parser.parse_args()


def main() -> int:
    """Run the parts."""
    from cathodegrain.generator.devices import device_named
    from cathodegrain.generator.errors import DeviceError

    given = options()
    if given.interpret:
        os.environ["TRITON_INTERPRET"] = "1"
        np.seterr(all="ignore")  # the interpreter computes with NumPy
    try:
        device = "cpu" if given.interpret else device_named(given.device).name
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{card(device)}; {machine()}", end="\n\n", flush=True)
    bench = Bench(device, given.quick, time.monotonic() + given.budget)
    results, failed = measured(bench, given.parts.split(","))
    print(f"\n{table(results)}\n\nfailed: {', '.join(failed) or 'none'}")
    if given.out:
        rows = [asdict(r) | {"verdict": r.verdict} for r in results]
        found = {"device": card(device), "machine": machine(), "failed": failed, "results": rows}
        given.out.write_text(json.dumps(found, indent=1), "utf-8")
    differs = any(r.name.endswith("differ") and r.value for r in results)
    return 1 if failed or differs else 0


if __name__ == "__main__":
    for variable in THREADS[:3]:  # numba's own kernels have threads of a pool
        os.environ.setdefault(variable, "1")
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
    sys.exit(main())
