"""Whether the fit of shells finds the law they were drawn from, and what it costs.

Needs ``pip install 'cathodegrain[fit]'``. Run ``python benchmarks/shell_fitting.py``:

* ``--recovery``: shells of the published law on voxels of 0.128 um, turned at random, apart
  from each other in grey-level volumes with blur and noise, through all steps of
  ``cathodegrain fit shell``. About 40 minutes for 2000; ``--shells`` and ``--out`` (a file
  that keeps the radii of finished volumes).
* ``--cost``: time and memory of volumes of growing size.
* ``--volume FILE --voxel-um 0.398``: a real segmented volume.

Without any of them, the first two with few shells.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from campaign import apart
from cathodegrain.generator.fitting.shells.coefficient_laws import OrderFit, fit_student
from cathodegrain.generator.fitting.shells.comparison import generated_shells, held_out
from cathodegrain.generator.fitting.shells.fit import FitSettings, Measured, fit_shells, measured
from cathodegrain.generator.fitting.shells.segmentation import SegmentationSettings
from cathodegrain.generator.fitting.shells.star_shape import (
    StarShapes,
    directions,
    expansions,
    random_rotations,
)
from cathodegrain.generator.measured.open import read_volume
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.shell.laws import StudentT
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.streams import stream
from timing import Result, machine, peak_bytes, table

VOXEL_UM = 0.128
GAP = 4  # voxels between the boxes of two shells
BLUR = 1.0  # voxels: standard deviation of the point spread
MATRIX, PARTICLE, NOISE = 70.0, 150.0, 15.0  # grey levels and the noise's standard deviation
EACH = 50  # shells in a volume
FLOOR_CELLS = 4  # boxes along a row of the packing
QUANTILES = (5, 25, 50, 75, 95)  # of a_00
SETTINGS = FitSettings(voxel_um=VOXEL_UM)
ENTROPY = 2025


def quiet(message: str, part: float) -> None:
    """No progress."""


def body(shell: Shell, rotation: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Voxels of a turned shell in its box, (nz, ny, nx)."""
    half = int(shell.radius_bounds[1] / VOXEL_UM) + 1
    axis = np.arange(-half, half + 1) * VOXEL_UM
    mask = np.empty((len(axis),) * 3, bool)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    for k, z in enumerate(axis):
        points = np.stack([x, y, np.full_like(x, z)], axis=-1)
        mask[k] = shell.contains(points @ rotation)
    return mask[ndimage.find_objects(mask.astype(np.int8))[0]]


def packed(bodies: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Bodies beside each other, in rows and layers of boxes, apart and away from the border."""
    order = sorted(range(len(bodies)), key=lambda k: -max(bodies[k].shape))
    places: list[tuple[int, tuple[int, int, int]]] = []
    z = GAP
    side = FLOOR_CELLS**2
    extent = [0, 0]
    for first in range(0, len(order), side):
        y, depth = GAP, 0
        for row in range(first, min(first + side, len(order)), FLOOR_CELLS):
            x, width = GAP, 0
            for k in order[row : min(row + FLOOR_CELLS, first + side)]:
                places.append((k, (z, y, x)))
                x += bodies[k].shape[2] + GAP
                width = max(width, bodies[k].shape[1])
                depth = max(depth, bodies[k].shape[0])
            extent[1] = max(extent[1], x)
            y += width + GAP
        extent[0] = max(extent[0], y)
        z += depth + GAP
    volume = np.zeros((z, *extent), bool)
    for k, (a, b, c) in places:
        n, m, o = bodies[k].shape
        volume[a : a + n, b : b + m, c : c + o] |= bodies[k]
    return volume


def scanned(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Grey levels of a scan: blur, noise, eight bits."""
    values = np.empty(mask.shape, np.float32)
    ndimage.gaussian_filter(mask, BLUR, output=values)
    out = np.empty(mask.shape, np.uint8)
    for k, layer in enumerate(values):
        noisy = MATRIX + (PARTICLE - MATRIX) * layer + NOISE * rng.standard_normal(layer.shape)
        out[k] = np.clip(np.rint(noisy), 0, 255)
    return out


def scan_of(first: int) -> tuple[NDArray[np.uint8], list[Shell]]:
    """A scan of `EACH` shells of the published law, and the shells."""
    shells, _ = generated_shells(ModelCard.load("nmc811").shell, EACH, ENTROPY, first)
    rng = stream(ENTROPY, first, "fit", 1)
    bodies = [body(*pair) for pair in zip(shells, random_rotations(EACH, rng), strict=True)]
    return scanned(packed(bodies), rng), shells


def measured_scan(first: int) -> dict[str, NDArray[np.float64]]:
    """Radii of the particles found in a scan, and coefficients of the shells in it."""
    values, shells = scan_of(first)
    start = time.perf_counter()
    found = measured(values, f"scan{first}", SETTINGS, first // EACH, quiet)
    return {
        "radii": found.shapes.radii,
        "first_radii": found.shapes.first_radii,
        "volumes": found.shapes.volumes,
        "coefficients": np.array([s.coefficients / VOXEL_UM for s in shells]),
        "cost": np.array([time.perf_counter() - start, values.size], float),
    }


def scans(n: int, folder: Path | None) -> Iterator[dict[str, NDArray[np.float64]]]:
    """`measured_scan` of each volume, from a file of the folder if it is there."""
    for first in range(0, n, EACH):
        path = folder / f"scan{first:05d}.npz" if folder else None
        if path is not None and path.exists():
            with np.load(path) as kept:
                yield dict(kept)
            continue
        scan, problem = apart(measured_scan, first)
        if scan is None:
            raise SystemExit(problem)
        n_found, seconds = len(scan["volumes"]), scan["cost"][0]
        print(f"scan {first}: {n_found} particles, {seconds:.0f} s", flush=True)
        if path is not None:
            np.savez(path, **scan)
        yield scan


def recovery(n: int, folder: Path | None) -> Iterator[Result]:
    """What becomes of the published law on the way through voxels, noise and selection."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    found = list(scans(n, folder))
    volumes = [_as_measured(scan, k) for k, scan in enumerate(found)]
    fit = fit_shells(volumes, SETTINGS, quiet)
    drawn = np.concatenate([scan["coefficients"] for scan in found])
    count = sum(len(scan["volumes"]) for scan in found)
    yield Result(name=f"particles found of {n} shells", value=count / n, low=0.99, high=1.01)
    yield Result(name="volume captured, mean", value=100 * fit.shapes.captured.mean(), low=95,
                 unit=" %")  # fmt: skip
    yield from _quantiles(drawn[:, 0], fit.expansions.coefficients[:, 0])
    turned = _turned(drawn)
    for order in fit.orders[1:]:
        yield from _laws(order, drawn, turned)


def _turned(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the same shells, exact, each turned at random."""
    rotations = random_rotations(len(coefficients), stream(ENTROPY, 0, "fit", 2))
    radii = [
        Shell(c).radius(directions() @ r) for c, r in zip(coefficients, rotations, strict=True)
    ]
    return expansions(np.array(radii), SETTINGS.max_degree).coefficients


def _as_measured(scan: dict[str, NDArray[np.float64]], k: int) -> Measured:
    shapes = StarShapes(scan["radii"], scan["first_radii"], scan["volumes"])
    blank = np.zeros((1, 1))  # there is no volume
    return Measured(
        f"scan {k}",
        "0" * 64,
        (1, 1, 1),
        (),
        shapes,
        blank.astype(np.int32),
        blank.astype(np.float32),
    )


def _quantiles(drawn: NDArray[np.float64], found: NDArray[np.float64]) -> Iterator[Result]:
    for q in QUANTILES:
        ratio = float(np.percentile(found, q) / np.percentile(drawn, q))
        yield Result(name=f"a_00, {q} %: found / drawn", value=ratio, low=0.97, high=1.03)


def _laws(
    order: OrderFit, drawn: NDArray[np.float64], turned: NDArray[np.float64]
) -> Iterator[Result]:
    """Parameters found over those of the turned shells; the others in the details."""
    block = slice(order.degree**2, (order.degree + 1) ** 2)
    laws = {
        "turned shells": fit_student(turned[:, block].ravel(), centred=True),
        "shells as drawn and accepted": fit_student(drawn[:, block].ravel(), centred=True),
        "published": ModelCard.load("nmc811").shell.orders[order.degree - 1],
    }
    if not isinstance(order.law, StudentT):
        yield Result(name=f"degree {order.degree}: not a t law", value=1, high=0)
        return
    for name in ("nu", "sigma"):
        low, high = order.intervals[name]
        said = [
            f"{what} {getattr(law, name):.3g}"
            f"{'' if low <= getattr(law, name) <= high else ' (outside)'}"
            for what, law in laws.items()
        ]
        value = getattr(order.law, name)
        yield Result(
            name=f"degree {order.degree}, {name}: found / turned shells",
            value=value / getattr(laws["turned shells"], name),
            details=f"found {value:.3g}, 99 % [{low:.3g}, {high:.3g}]; {'; '.join(said)}",
        )


def timed_crop(side: int) -> tuple[float, int, int]:
    """Seconds and peak memory of a scan of about side^3 voxels, and how many they are."""
    values = _field(side)
    measured(values[:90, :90, :90], "warm", SETTINGS, 0, quiet)
    start = time.process_time()
    measured(values, "field", SETTINGS, 0, quiet)
    return time.process_time() - start, peak_bytes(), values.size


def _field(side: int) -> NDArray[np.uint8]:
    """A scan of overlapping balls of 6 to 14 voxels that fill half of the volume."""
    rng = np.random.default_rng(1)
    mask = np.zeros((side,) * 3, bool)
    grid = np.arange(side)
    for _ in range(int(1.4e-4 * side**3)):
        centre, radius = rng.integers(side, size=3), rng.uniform(6, 14)
        box = tuple(slice(max(int(c - radius), 0), int(c + radius) + 2) for c in centre)
        distance2 = sum(
            ((grid[b] - c) ** 2).reshape([-1 if i == k else 1 for i in range(3)])
            for k, (b, c) in enumerate(zip(box, centre, strict=True))
        )
        mask[box] |= distance2 <= radius**2
    return scanned(mask, rng)


def cost(sides: Sequence[int]) -> Iterator[Result]:
    """Time for each voxel, and whether it grows with the volume."""
    rows = []
    for side in sides:
        row, problem = apart(timed_crop, side)
        if row is None:
            raise SystemExit(problem)
        rows.append(row)
        seconds, peak, size = row
        yield Result(name=f"{side}^3 voxels", value=seconds, unit=" s",
                     details=f"{1e6 * seconds / size:.2f} us for each voxel, process "
                     f"{peak / 1e6:.0f} MB")  # fmt: skip
    (t0, _, n0), (t1, _, n1) = rows[0], rows[-1]
    growth = t1 / n1 / (t0 / n0)
    yield Result(name="time for each voxel, largest / smallest", value=growth, high=1.5)


def real_volume(path: Path, voxel_um: float) -> Iterator[Result]:
    """Particles, and the model of one half against the other."""
    values = read_volume(path).values
    settings = FitSettings(
        voxel_um=voxel_um, input="segmented", segmentation=SegmentationSettings()
    )
    start = time.perf_counter()
    volume = measured(values, path.name, settings, 0, quiet)
    fit = fit_shells([volume], settings, quiet)
    yield Result(name="segmentation, harmonics and laws", value=time.perf_counter() - start,
                 high=120, unit=" s", details=f"{values.shape} voxels")  # fmt: skip
    captured = fit.shapes.captured
    yield Result(name="whole particles", value=len(volume.shapes.volumes), low=500)
    yield Result(name="volume captured, mean", value=100 * captured.mean(), unit=" %")
    yield Result(name="particles below 90 %", value=100 * (captured < 0.9).mean(), unit=" %")
    rng = stream(0, 1, "fit")
    for held in held_out(fit.expansions.coefficients, fit.model_of, ENTROPY, rng):
        bar = 2 if held.descriptor == "volume_um3" else None
        name = f"{held.descriptor}, energy distance: generated / halves"
        yield Result(name=name, value=held.ratio, high=bar)


def main() -> None:
    """Measure what was asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recovery", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--volume", type=Path)
    parser.add_argument("--voxel-um", type=float, default=0.398)
    parser.add_argument("--shells", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(machine(), end="\n\n")
    nothing = not (arguments.recovery or arguments.cost or arguments.volume)
    results: list[Result] = []
    if arguments.cost or nothing:
        results += cost([64, 96] if arguments.quick else [100, 200, 300])
    if arguments.recovery or nothing:
        n = arguments.shells if arguments.recovery else 2 * EACH
        results += recovery(n, arguments.out)
    if arguments.volume:
        results += real_volume(arguments.volume, arguments.voxel_um)
    print(table(results))


if __name__ == "__main__":
    main()
