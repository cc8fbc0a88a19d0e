"""Speed of shells: run ``python benchmarks/shells.py [--quick]``.

Needs ``pip install 'cathodegrain[benchmark]'``. One thread, CPU seconds, medians of
candidates that take turns. The mask of a shell (label_axes on a single grain) is compared
with the radial function evaluated at every voxel: spherical harmonics by sphericart, times
the coefficients, in blocks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.streams import stream
from cathodegrain.generator.voxels.labelling import label_axes
from timing import Result, alternating, cpu_seconds, in_one_thread, machine, ratio, table

BLOCK = 4096  # points at a time: sphericart was fastest with that many
MASK_BAR = 10.0
ACCEPTED_BARS = (94.0, 97.0)  # %
DIAMETER_BARS = (7.2, 8.8)  # um


def voxel_axis(shell: Shell, n_voxels: int) -> NDArray[np.float64]:
    """Voxel centres along an edge of a cube round the shell, (n_voxels,) float, um."""
    radius = shell.radius_bounds[1]
    return (np.arange(n_voxels) + 0.5) * (2 * radius / n_voxels) - radius


def mask(shell: Shell, axis: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which voxels lie inside the shell, (nz, ny, nx), as labelling decides it."""
    one_grain = Tessellation(np.zeros((1, 3)), np.eye(3)[None], np.zeros(1))
    return label_axes(one_grain, axis, axis, axis, shell=shell, threads=1) > 0


def full_mask(
    axis: NDArray[np.float64],
    layers: NDArray[np.float64],
    radius: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.bool_]:
    """The same on some layers by evaluating the radial function ``radius`` at every voxel."""
    out = np.empty((len(layers), len(axis) ** 2), np.bool_)
    points = np.empty((len(axis) ** 2, 3))
    points[:, 1], points[:, 0] = (c.ravel() for c in np.meshgrid(axis, axis, indexing="ij"))
    for k, z in enumerate(layers):
        points[:, 2] = z
        for start in range(0, len(points), BLOCK):
            block = points[start : start + BLOCK]
            distance = np.sqrt(np.einsum("ij,ij->i", block, block))
            out[k, start : start + BLOCK] = distance <= radius(block)
    return out.reshape(len(layers), len(axis), len(axis))


def sphericart_radius(shell: Shell) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Radial function of the shell at points (n, 3) by sphericart."""
    import sphericart

    harmonics = sphericart.SphericalHarmonics(shell.max_degree)
    return lambda points: harmonics.compute(points) @ shell.coefficients


def compare_mask(
    shell: Shell, n_voxels: int, n_layers: int, repeats: int
) -> tuple[dict[str, float], int]:
    """CPU seconds for n_voxels^3 voxels, and how many voxels of n_layers layers differ.

    The layers are spread evenly and their time is scaled linearly. "our evaluation" is
    full evaluation as well, by our own vectorised kernel.
    """
    axis = voxel_axis(shell, n_voxels)
    chosen = np.arange(n_layers) * n_voxels // n_layers + n_voxels // (2 * n_layers)
    by_sphericart = sphericart_radius(shell)
    tasks = {
        "mask": lambda: mask(shell, axis),
        "sphericart": lambda: full_mask(axis, axis[chosen], by_sphericart),
        "our evaluation": lambda: full_mask(axis, axis[chosen], shell.radius),
    }
    first, *others = (task() for task in tasks.values())
    differing = sum(int(np.count_nonzero(first[chosen] != other)) for other in others)
    seconds = alternating(tasks, repeats)
    whole = n_voxels / n_layers
    return {name: s * (1 if name == "mask" else whole) for name, s in seconds.items()}, differing


def draw_shells(n_draws: int, seed: int = 0) -> tuple[list[Shell], float]:
    """Accepted ones of n_draws draws from the shipped card, and CPU seconds for all."""
    model = ModelCard.load("nmc811").shell
    outcomes: list[Shell | str] = []

    def draw() -> None:
        for index in range(n_draws):
            outcomes.append(model.accept(model.draw(stream(seed, index, "shell", 0))))

    seconds = cpu_seconds(draw)
    return [outcome for outcome in outcomes if isinstance(outcome, Shell)], seconds


def results(quick: bool) -> Iterator[Result]:
    """Measure everything, a result at a time."""
    n_draws, n_shells, n_layers, repeats = (500, 1, 8, 1) if quick else (10_000, 3, 64, 3)
    few, _ = draw_shells(10)  # compile
    compare_mask(few[0], 16, 2, 1)
    for shell in few[:n_shells]:
        seconds, differing = compare_mask(shell, 256, n_layers, repeats)
        size = f"{shell.diameter_um:.2g} um, sphericity {shell.sphericity:.2f}, 256^3"
        more = f"{differing} of {2 * n_layers * 256**2} voxels differ"
        yield ratio(f"sphericart, {size}", seconds, "mask", "sphericart", MASK_BAR, more)
        yield ratio(f"our evaluation, {size}", seconds, "mask", "our evaluation", None, more)
    yield from _draw_results(n_draws)


def _draw_results(n_draws: int) -> Iterator[Result]:
    shells, seconds = draw_shells(n_draws)
    diameters = np.array([shell.diameter_um for shell in shells])
    low, high = np.quantile(diameters, [0.05, 0.95])
    yield Result(
        name=f"accepted of {n_draws} drawn shells",
        value=100 * len(shells) / n_draws,
        low=ACCEPTED_BARS[0],
        high=ACCEPTED_BARS[1],
        unit=" %",
    )
    yield Result(
        name="median volume-equivalent diameter",
        value=float(np.median(diameters)),
        low=DIAMETER_BARS[0],
        high=DIAMETER_BARS[1],
        unit=" um",
        details=f"5 % {low:.3g} um, 95 % {high:.3g} um",
    )
    yield Result(
        name="CPU time for each draw",
        value=1e3 * seconds / n_draws,
        unit=" ms",
        details="drawing, proof of validity, recentring, area and volume",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer shells, one repeat")
    arguments = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(table(results(arguments.quick)))


if __name__ == "__main__":
    in_one_thread()
    main()
