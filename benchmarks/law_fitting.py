"""Whether the fit of a law finds in space what it has seen in sections, and what it costs.

Run ``python benchmarks/law_fitting.py``:

* ``--seeds 0,1,2``: for each seed four sections of a phantom of rod-like grains whose law is not of
  the family that is fitted: an aspect ratio of about 1 in the core and of 3 outside, fewer seeds
  outside, uniform marks, r correlated with D, 3 % of the pixels missing. The law is fitted and
  compared in space with the phantom, by the distance from the centre.
* ``--speed``: sections by plane cuts against `GrainModel.section` with the net of the card nmc811.
* ``--off-centre 2``: so many sections more at unknown heights, which are inferred.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from timing import Result, alternating, in_one_thread, machine, table

in_one_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy import ndimage  # noqa: E402
from scipy.special import ndtr  # noqa: E402
from scipy.stats import ks_2samp  # noqa: E402

from cathodegrain.generator.fitting.laws.common_seeds import (  # noqa: E402
    particle_seeds,
    section_grains,
    section_seeds,
)
from cathodegrain.generator.fitting.laws.law_fit import LawFit, fit_law, warnings  # noqa: E402
from cathodegrain.generator.fitting.laws.law_parameters import GUESS, RadialLaw, radial_law  # noqa: E402
from cathodegrain.generator.fitting.laws.plane_sections import plane_labels  # noqa: E402
from cathodegrain.generator.fitting.laws.section_frames import SectionFrame  # noqa: E402
from cathodegrain.generator.fitting.sections.descriptors import (  # noqa: E402
    alignment,
    section_descriptors,
)
from cathodegrain.generator.fitting.sections.phantom import boundary_weights  # noqa: E402
from cathodegrain.generator.fitting.sections.reconstruction import pieces, renumbered  # noqa: E402
from cathodegrain.generator.fitting.sections.section import MISSING, Section  # noqa: E402
from cathodegrain.generator.grains.tessellation import Tessellation  # noqa: E402
from cathodegrain.generator.markers.marker_law import ZERO, Markers, Profile  # noqa: E402
from cathodegrain.generator.voxels.grid import Grid  # noqa: E402
from cathodegrain.generator.voxels.morphology import grain_morphology, sphericity  # noqa: E402

RADIUS = 108.0  # of the phantom, pixels
N_SECTIONS, MISSING_PART, LEAST_PIXELS = 4, 0.03, 4
PHANTOM, SPACE = 77, 88  # keys of random numbers
MARGIN, LEAST_VOXELS, CELL = 30, 30, 8.0
SHELLS = {"core": (0.0, 0.35), "middle": (0.35, 0.65), "outside": (0.65, 0.9)}
DESCRIPTORS = ("volume", "elongation", "radial angle", "sphericity")
KS, FLOORS, RATIO = 0.10, 2.0, 15.0  # bars: the larger of KS and so many floors; per cent
MINUTES = 10.0
SPEED = 20.0

Floats = NDArray[np.float64]


class Rods:
    """The law of the phantom."""

    intensity_factor = Profile((0.0, 0.3, 1.0), (1.3, 1.2, 0.85), logarithmic=True)
    aspect_ratio = Profile((0.2, 0.55, 1.0), (1.05, 2.6, 3.0), logarithmic=True)
    tilt_deg = Profile((0.0,), (6.0,))
    offset = ZERO

    def markers_of(self, z: Floats, t: Floats) -> Markers:
        """From four normal numbers of each seed and its t."""
        u = ndtr(z)
        d2, d3 = 10 + 14 * u[:, 0], 10 + 14 * u[:, 1]
        rho = self.aspect_ratio(t) * (0.8 + 0.4 * u[:, 2])
        r = 1 + 6 * (0.6 * u[:, 3] + 0.2 * (u[:, 0] + u[:, 1]))
        return Markers(np.column_stack([(d2 + d3) / (2 * rho**2), d2, d3]), r)


TRUTH = RadialLaw(Rods(), 0.0012)  # type: ignore[arg-type]


def phantom(seed: int, k: int, part: float = 0.0) -> Section:
    """Section ``k`` of a phantom, ``part`` of its radius from the centre."""
    flat = RADIUS * math.sqrt(1 - part * part)
    edge = math.ceil(flat) + 2
    y, x = np.indices((2 * edge + 1, 2 * edge + 1)) - edge
    centre = (float(edge), float(edge))
    frame = SectionFrame(np.hypot(y, x) <= flat, centre, part * RADIUS, RADIUS)
    found = section_seeds(TRUTH, frame, seed, (PHANTOM, k))
    labels = 1 + plane_labels(
        found.seeds, found.matrices, found.offsets, frame.inside, centre, frame.height
    )
    weights = boundary_weights(labels)
    chance = np.random.default_rng([seed, k]).random(labels.shape)
    missing = frame.inside & (chance < MISSING_PART * weights / weights[frame.inside].mean())
    labels = pieces(np.where(missing, np.int32(MISSING), labels))
    labels = renumbered(labels, np.bincount(labels.ravel())[1:] >= LEAST_PIXELS)
    labels[frame.inside & (labels == 0)] = MISSING
    return Section(labels, 0.05, centre, f"section-{k}")


def space(law: RadialLaw, number: int) -> dict[str, Floats]:
    """Descriptors of the grains of a ball of the law, and their t."""
    found = particle_seeds(law, RADIUS, RADIUS + MARGIN, 1, (SPACE, number))
    gbpd = Tessellation(found.seeds, found.matrices, found.offsets)
    axis = np.arange(-RADIUS + 0.5, RADIUS)
    cells = gbpd.candidate_cells(RADIUS, CELL)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    labels = np.zeros((len(axis),) * 3, np.int32)
    for k, z in enumerate(axis):
        inside = x * x + y * y + z * z < RADIUS**2
        points = np.column_stack([x[inside], y[inside], np.full(int(inside.sum()), z)])
        labels[k][inside] = cells.labels(points) + 1
    grid = Grid((-RADIUS,) * 3, 1.0, labels.shape)
    shape = grain_morphology(labels, grid, len(gbpd))
    kept = (shape.voxel_count >= LEAST_VOXELS) & ~shape.touches_shell
    lengths = shape.principal_lengths_um[kept]
    boxes = ndimage.find_objects(labels)
    ids = np.flatnonzero(kept) + 1
    return {
        "t": np.linalg.norm(shape.centroid_um[kept], axis=1) / RADIUS,
        "volume": shape.volume_um3[kept],
        "elongation": lengths[:, 0] / lengths[:, 1],
        "radial angle": shape.radial_angle_deg[kept],
        "sphericity": np.array([sphericity(labels[boxes[k - 1]] == k) for k in ids]),
    }


def spatial(head: str, law: RadialLaw, truth: Sequence[dict[str, Floats]]) -> Iterator[Result]:
    """Distances in space, pooled and by the distance from the centre."""
    ours, (reference, floor) = space(law, 5), truth
    for shell, (low, high) in {"pooled": (0.0, 0.9), **SHELLS}.items():
        a, b, c = ({n: v[(s["t"] >= low) & (s["t"] < high)] for n, v in s.items()}
                   for s in (ours, reference, floor))  # fmt: skip
        for name in DESCRIPTORS:
            least = float(ks_2samp(b[name], c[name]).statistic)
            found = float(ks_2samp(a[name], b[name]).statistic)
            yield Result(
                name=f"{head}, {shell}: KS {name}", value=found, high=max(KS, FLOORS * least),
                details=f"floor {least:.3f}; {len(a[name])} and {len(b[name])} grains",
            )  # fmt: skip
        for name in ("mean", "std"):
            ratio = getattr(a["volume"], name)() / getattr(b["volume"], name)()
            yield Result(
                name=f"{head}, {shell}: volume, {name}, off by", value=100 * abs(ratio - 1),
                unit=" %", high=RATIO, details=f"{ratio:.3f} of the truth",
            )  # fmt: skip


def fitted(seed: int, off_centre: int) -> tuple[LawFit, float]:
    """Law fitted to sections of the phantom, and CPU minutes."""
    parts = np.random.default_rng([seed, 5]).uniform(0.4, 0.7, off_centre)
    sections = [phantom(seed, k, part) for k, part in enumerate([0.0] * N_SECTIONS + list(parts))]
    verdicts = [alignment(section_descriptors(section)) for section in sections]
    for k in range(N_SECTIONS, len(sections)):
        verdicts[k] = replace(verdicts[k], level=0.0)  # as if the test had found them
    started = time.process_time()
    fit = fit_law(sections, verdicts, seed)
    for k, found in fit.heights.items():
        print(f"section {k}: {parts[k - N_SECTIONS]:.3f} R, inferred {found}")
    return fit, (time.process_time() - started) / 60


def results(seed: int, off_centre: int, truth: Sequence[dict[str, Floats]]) -> Iterator[Result]:
    """Every bar of one fit."""
    fit, minutes = fitted(seed, off_centre)
    head = f"rods, seed {seed}"
    for text in warnings(fit):
        print(f"{head}: {text}")
    yield Result(name=f"{head}: CPU", value=minutes, unit=" min", high=MINUTES)
    yield Result(
        name=f"{head}: distance over its 95 %", high=1.0,
        value=fit.moments.best.distance / fit.refits.distance_95,
        details=f"{fit.moments.best.distance:.0f} of {len(fit.moments.target.observed)} numbers, "
        f"p = {fit.p_value:.2g}, {len(fit.misses)} numbers missed",
    )  # fmt: skip
    yield from spatial(head, fit.moments.law, truth)


def speed() -> Result:
    """Sections by plane cuts, described, against those of the net of nmc811."""
    from cathodegrain.generator.fitting.sections.grain_model import GrainModel
    from cathodegrain.generator.model_card import ModelCard

    card = ModelCard.load("nmc811")
    model, half = GrainModel(card.marker_law, card.intensity), 110
    axis = np.arange(-half, half + 1)
    inside = axis[:, None] ** 2 + axis**2 <= half**2
    frame = SectionFrame(inside, (float(half), float(half)), 0.0, float(half))
    law, rng = radial_law(GUESS, card.intensity), np.random.default_rng(1)
    tasks = {
        "plane cut": lambda: section_grains(law, frame, 0, (0, 0, 0)),
        "GrainModel.section": lambda: model.section(half, rng),
    }
    for task in tasks.values():
        task()
    seconds = alternating(tasks, 5)
    ours, theirs = (seconds[name] for name in tasks)
    return Result(
        name="section of 38,000 pixels: times faster", value=theirs / ours, low=SPEED,
        details=f"{1e3 * ours:.1f} ms, with descriptors, against {1e3 * theirs:.0f} ms",
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="")
    parser.add_argument("--off-centre", type=int, default=0)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args(argv)
    found = [speed()] if options.speed else []
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    truth = [space(TRUTH, number) for number in range(2)] if seeds else []
    for seed in seeds:
        for result in results(seed, options.off_centre, truth):
            found.append(result)
            print(table([result]).splitlines()[-1], flush=True)
    print(machine())
    print(table(found))


if __name__ == "__main__":
    main()
