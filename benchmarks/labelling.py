"""Speed and memory of voxel labelling: run ``python benchmarks/labelling.py [--quick]``.

Needs ``pip install 'cathodegrain[benchmark]'`` and a C++ compiler, which KeOps calls.

One thread, CPU seconds, medians of candidates that take turns. Grains as in the published
window: n uniform seeds in [-128, 128]^3 px with radial markers of two families. What is
compared:

* the score |x - s|_M^2 - r with PyAPD's own assignment in float64, on random voxels of the
  grid and scaled linearly to all of them;
* the published score |x - s|_M - r, which PyAPD does not have, with every grain evaluated
  at every voxel by our own compiled loop, on some layers and scaled linearly.

Labels are compared wherever both sides were computed.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathodegrain.generator.grains.tessellation import Metric, Tessellation
from cathodegrain.generator.markers.radial_frame import marker_matrices
from cathodegrain.generator.voxels.labelling import label_axes, label_brute_force
from timing import Result, alternating, in_one_thread, machine, ratio, table

HALF = 128.0  # px: half the edge of the window
FAMILIES = {  # ranges of d_1, of d_2 and d_3 (1 / px^2), of r
    "mild": ((0.8, 1.2), (3.0, 5.0), (1.0, 4.0)),
    "long": ((0.5, 2.0), (15.0, 40.0), (1.0, 10.0)),
}
PYAPD_BARS = {500: 150.0, 2000: 300.0, 8000: 500.0}
BRUTE_FORCE_BARS = {500: 40.0, 2000: 90.0, 8000: 200.0}
GROWTH_BAR = 7.5
MEMORY_BAR_MIB = 64.0
MIB = 2**20


def random_tessellation(n_seeds: int, family: str, metric: Metric, seed: int = 0) -> Tessellation:
    """Grains of one of ``FAMILIES`` about uniform seeds in the window, px."""
    rng = np.random.default_rng(seed)
    radial, transverse, offset = FAMILIES[family]
    seeds = rng.uniform(-HALF, HALF, (n_seeds, 3))
    angles = rng.uniform(0, np.pi, n_seeds)
    diagonals = np.column_stack(
        [rng.uniform(*radial, n_seeds), rng.uniform(*transverse, (n_seeds, 2))]
    )
    matrices = marker_matrices(seeds, angles, diagonals)
    return Tessellation(seeds, matrices, rng.uniform(*offset, n_seeds), metric)


def voxel_axis(n_voxels: int) -> NDArray[np.float64]:
    """Centres of the voxels along an edge of the window, (n_voxels,) float, px."""
    return (np.arange(n_voxels) + 0.5) * (2 * HALF / n_voxels) - HALF


def labelling(grains: Tessellation, n_voxels: int) -> Callable[[], NDArray[np.int32]]:
    """Task that labels a cube of n_voxels^3 voxels in one thread."""
    axis = voxel_axis(n_voxels)
    return lambda: label_axes(grains, axis, axis, axis, threads=1)


def pyapd_assignment(
    grains: Tessellation, points: NDArray[np.float64]
) -> Callable[[], NDArray[np.int64]]:
    """Task that assigns points (m, 3) to grains with PyAPD in float64: indices from 0."""
    import torch
    from PyAPD import apd_system

    torch.set_num_threads(1)
    tensor: Any = lambda array: torch.tensor(array, dtype=torch.float64)  # noqa: E731
    system = apd_system(
        domain=tensor([[-HALF, HALF]] * 3),
        X=tensor(grains.seeds),
        As=tensor(grains.matrices),
        W=tensor(grains.offsets),
        target_masses=torch.ones(len(grains)),
        pixel_params=(1, 1, 1),
        dt=torch.float64,
        device="cpu",
    )
    system.set_pixels(tensor(points), torch.ones(len(points)))
    return lambda: system.assemble_apd().numpy()


def compare_pyapd(
    n_seeds: int, family: str, n_voxels: int, n_points: int, repeats: int
) -> tuple[dict[str, float], int]:
    """CPU seconds for all n_voxels^3 voxels, and how many of n_points labels differ."""
    grains, axis = random_tessellation(n_seeds, family, "squared"), voxel_axis(n_voxels)
    voxels = np.random.default_rng(1).choice(n_voxels**3, n_points, replace=False)
    zyx = np.unravel_index(voxels, (n_voxels,) * 3)
    ours, theirs = (
        labelling(grains, n_voxels),
        pyapd_assignment(grains, axis[np.stack(zyx[::-1], 1)]),
    )
    differing = int(np.count_nonzero(ours()[zyx] != theirs() + 1))
    seconds = alternating({"ours": ours, "PyAPD": theirs}, repeats)
    return seconds | {"PyAPD": seconds["PyAPD"] * n_voxels**3 / n_points}, differing


def compare_brute_force(
    n_seeds: int, family: str, n_voxels: int, n_layers: int, repeats: int
) -> tuple[dict[str, float], int]:
    """CPU seconds for all n_voxels^3 voxels, and how many labels of n_layers layers differ."""
    grains, axis = random_tessellation(n_seeds, family, "norm"), voxel_axis(n_voxels)
    layers = np.arange(n_layers) * n_voxels // n_layers + n_voxels // (2 * n_layers)
    ours = labelling(grains, n_voxels)

    def theirs() -> NDArray[np.int32]:
        return label_brute_force(grains, axis, axis, axis[layers])

    differing = int(np.count_nonzero(ours()[layers] != theirs()))
    seconds = alternating({"ours": ours, "brute force": theirs}, repeats)
    return seconds | {"brute force": seconds["brute force"] * n_voxels / n_layers}, differing


def growth(
    n_seeds: int, family: str, metric: Metric, n_voxels: int, repeats: int
) -> dict[str, float]:
    """CPU seconds at n_voxels^3 and at (2 n_voxels)^3 voxels."""
    grains = random_tessellation(n_seeds, family, metric)
    return alternating({f"{n}^3": labelling(grains, n) for n in (n_voxels, 2 * n_voxels)}, repeats)


def extra_memory(n_seeds: int, family: str, n_voxels: int) -> int:
    """Bytes that labelling takes beyond the label array: peak of a fresh process.

    Only where the system has /proc/self/status.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_extra_memory, n_seeds, family, n_voxels).result()


def _extra_memory(n_seeds: int, family: str, n_voxels: int) -> int:
    grains = random_tessellation(n_seeds, family, "norm")
    labelling(random_tessellation(2, family, "norm"), 4)()  # compile
    return peak_bytes(labelling(grains, n_voxels)) - 4 * n_voxels**3


def peak_bytes(task: Callable[[], object]) -> int:
    """Bytes by which the peak of this process's memory exceeds what it has now.

    Only a fresh process tells: what another thread or the collector frees meanwhile is missing.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    task()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """One entry of /proc/self/status, bytes."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def results(quick: bool) -> Iterator[Result]:
    """Measure everything, a result at a time."""
    sizes, families = ((500, 2000), ("mild",)) if quick else (tuple(PYAPD_BARS), tuple(FAMILIES))
    repeats, n_points, n_layers = (1, 20_000, 1) if quick else (3, 200_000, 2)
    compare_pyapd(50, "mild", 16, 1000, 1)  # compile
    compare_brute_force(50, "mild", 16, 2, 1)
    cases = [(n, family) for n in sizes for family in families]
    for n, family in cases:
        seconds, differing = compare_pyapd(n, family, 256, n_points, repeats)
        name = f"PyAPD, squared score, {n} {family} grains, 256^3"
        more = f"{differing} of {n_points} labels differ"
        yield ratio(name, seconds, "ours", "PyAPD", PYAPD_BARS[n], more)
    for n, family in cases:
        seconds, differing = compare_brute_force(n, family, 256, n_layers, repeats)
        name = f"brute force, norm score, {n} {family} grains, 256^3"
        more = f"{differing} of {n_layers * 256**2} labels differ"
        yield ratio(name, seconds, "ours", "brute force", BRUTE_FORCE_BARS[n], more)
    yield from _growth_results(families, repeats)
    if Path("/proc/self/clear_refs").exists():
        yield from _memory_results(256 if quick else 512)


def _growth_results(families: tuple[str, ...], repeats: int) -> Iterator[Result]:
    for family in families:
        for metric in ("norm", "squared"):
            seconds = growth(2000, family, metric, 256, repeats)
            yield Result(
                name=f"time at 512^3 / time at 256^3, {metric} score, 2000 {family} grains",
                value=seconds["512^3"] / seconds["256^3"],
                high=GROWTH_BAR,
                details=f"{seconds['512^3']:.3g} s, {seconds['256^3']:.3g} s",
            )


def _memory_results(largest: int) -> Iterator[Result]:
    for n_voxels in (n for n in (256, 512) if n <= largest):
        yield Result(
            name=f"memory beyond the labels, 8000 long grains, {n_voxels}^3",
            value=extra_memory(8000, "long", n_voxels) / MIB,
            high=MEMORY_BAR_MIB,
            unit=" MiB",
            details=f"the labels take {4 * n_voxels**3 / MIB:g} MiB",
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases, one repeat")
    arguments = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(table(results(arguments.quick)))


if __name__ == "__main__":
    in_one_thread()
    main()
