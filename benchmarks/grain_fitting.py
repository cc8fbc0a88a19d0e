"""Whether the fit of grains finds in space what it has seen in sections, and what it costs.

Needs ``pip install 'cathodegrain[fit,view,torch]'``. Run ``python benchmarks/grain_fitting.py``:

* ``--phantom elongated --seeds 0,1,2``: for each seed six new sections of the phantom, fitted by
  ``cathodegrain fit grains`` as it is called from the shell, and compared with other sections
  and blocks of its law. ``--off-centre 2``: two sections more that miss the centre.
  Grains in space count pooled and by radial bins, in each within twice its floor or 0.1.
* ``--config paper``: the configuration as published, in full (hours).
* ``--planar``: fits of single sections of about 40,000 pixels, of each phantom, by the norm and
  by its square.
* ``--gaps``: what gaps in maps do to sections of a phantom and to twins of the same grains: the
  measured gaps laid over the twins, or as many made in the twins and closed in both.
* ``--small``: time to the first file of training, and memory, for three sections of 200 x 200.

Folders are kept in ``--out``; what is there is not fitted again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from timing import Result, machine, table

BARS = {  # of the first phantom
    "area": 0.06,
    "aspect_ratio": 0.08,
    "theta": 0.10,
    "elongation": 0.14,
    "radial_angle": 0.14,
    "sphericity": 0.13,
    "volume": 0.15,
    "flatness": 0.15,
}
COUNT, RATIO = 0.06, 0.15
BY_RADIUS = ("volume", "elongation", "radial_angle", "sphericity")
FLOORS, LEAST = 2.0, 0.1  # bar of a bin: times its floor, and what is always allowed
GAPS = 0.03  # of the pixels
N_GAPS = 12  # sections
MINUTES = 60
CPU_SECONDS = 20  # of the fit of a section
TRAINING_SEEDS = 100  # seeds of training between those of two phantoms


def command(*arguments: object) -> str:
    """What the command line prints."""
    words = [sys.executable, "-m", "cathodegrain.exporters.commands.main", *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def fitted(name: str, seed: int, options: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """Fit of the grains of a phantom, as its card has it, and the minutes that it took."""
    folder = options.out / f"{name}-{seed}"
    card = folder / f"{options.config}.json"
    minutes = card.with_suffix(".minutes")
    if not card.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sections = folder / "sections"
        if not sections.exists():
            n = 6 + options.off_centre
            command("phantom", name, "--out", sections, "--seed", seed, "--sections", n,
                    "--off-centre", options.off_centre)  # fmt: skip
        started = time.perf_counter()
        command(
            "fit", "grains", *sorted(sections.glob("*.tif")), "--pixel", 0.05, "--out", card,
            "--truth", sections / "phantom.json", "--seed", TRAINING_SEEDS * (seed + 1),
            "--seeds", options.nets, "--config", options.config,
        )  # fmt: skip
        minutes.write_text(str((time.perf_counter() - started) / 60))
    return json.loads(card.read_text("utf-8")), float(minutes.read_text())


def results(name: str, seed: int, options: argparse.Namespace) -> Iterator[Result]:
    """Every bar of one fit."""
    card, minutes = fitted(name, seed, options)
    fit = card["grains"]["fit"]
    found = fit["distances"]
    truth = json.loads((options.out / f"{name}-{seed}/sections/phantom.json").read_text("utf-8"))
    head = f"{name}, seed {seed}"
    grains = f"{found['n_planar_grains']} grains in sections, {found['n_spatial_grains']} in space"
    yield Result(name=f"{head}: time", value=minutes, unit=" min", high=MINUTES, details=grains)
    agreements = [s["agreement"] for s in fit["sections"] if s["agreement"]]
    yield Result(
        name=f"{head}: 2D fits, least agreement",
        value=100 * min(agreements),
        unit=" %",
        low=98,
        details=f"{len(agreements)} of {len(fit['sections'])} sections kept",
    )
    for one in (*found["planar"], *found["spatial"]):
        yield distance(head, one)
    for part in (*found["by_radius"]["planar"], *found["by_radius"]["spatial"]):
        for one in part["comparisons"]:
            yield by_radius(head, part, one)
    count = found["grains_per_area"]
    yield ratio(head, "grains per area", count["generated"], COUNT, f"floor {count['floor']:.3f}")
    volume = next(one for one in found["spatial"] if one["descriptor"] == "volume")
    for part in ("mean", "spread"):
        interval = " to ".join(f"{v:.3f}" for v in volume["interval_95"][part])
        details = f"{interval}, floor {volume['floor'][part]:.3f}"
        yield ratio(head, f"volume, {part}", volume["generated"][part], RATIO, details)
    intensity = card["grains"]["intensity"]
    yield ratio(head, "intensity", intensity / truth["intensity"], RATIO, f"{intensity:.5f}")


def distance(head: str, one: dict[str, Any]) -> Result:
    """Kolmogorov-Smirnov distance of a descriptor."""
    low, high = one["interval_95"]["ks"]
    details = (
        f"{low:.3f} to {high:.3f}, floor {one['floor']['ks']:.3f}, "
        f"untrained {one['untrained']['ks']:.3f}, W1 {one['generated']['wasserstein']:.3f}"
    )
    bar = BARS.get(one["descriptor"])
    name, value = f"{head}: KS {one['descriptor']}", one["generated"]["ks"]
    return Result(name=name, value=value, high=bar, details=details)


def by_radius(head: str, part: dict[str, Any], one: dict[str, Any]) -> Result:
    """Kolmogorov-Smirnov distance of a descriptor in a radial bin."""
    floor = one["floor"]["ks"]
    barred = one["descriptor"] in BY_RADIUS and part["grains_per_area"] is None
    return Result(
        name=f"{head}: KS {one['descriptor']}, {part['bin']}",
        value=one["generated"]["ks"],
        high=max(FLOORS * floor, LEAST) if barred else None,
        details=f"floor {floor:.3f}, untrained {one['untrained']['ks']:.3f}, "
        f"{part['n_generated']} grains, mean {one['generated']['mean']:.3f} of the truth",
    )


def ratio(head: str, name: str, value: float, bar: float, details: str) -> Result:
    """Relative error of a number."""
    return Result(
        name=f"{head}: {name}, off by",
        value=100 * abs(value - 1),
        unit=" %",
        high=100 * bar,
        details=f"{value:.3f} of the truth; {details}",
    )


def planar(seed: int, out: Path) -> Iterator[Result]:
    """Agreement and CPU time of the fit of a section of each phantom, by both metrics."""
    from cathodegrain.generator.fitting.grains.planar_fit import PlanarFitSettings, fit_section
    from cathodegrain.generator.fitting.sections.files import read_section
    from cathodegrain.generator.fitting.sections.phantom import PHANTOMS

    for name in PHANTOMS:
        folder = out / f"{name}-{seed}-planar"
        if not folder.exists():
            command("phantom", name, "--out", folder, "--sections", 1, "--off-centre", 0,
                    "--seed", seed)  # fmt: skip
        section = read_section(folder / "section-000.tif", pixel_um=0.05)
        for metric in ("norm", "square"):
            started = time.process_time()
            found = fit_section(section, PlanarFitSettings(squared=metric == "square"))
            seconds, head = time.process_time() - started, f"{name}, {metric}"
            pixels = f"{(section.labels > 0).sum()} labelled pixels, {section.n_grains} grains"
            yield Result(
                name=f"{head}: agreement",
                value=100 * found.agreement,
                unit=" %",
                low=98 if metric == "norm" else None,
                details=pixels,
            )
            yield Result(name=f"{head}: CPU time", value=seconds, unit=" s", high=CPU_SECONDS)


def gaps(name: str) -> Iterator[Result]:
    """Score of the same grains on both sides, with gaps in a section and in its twin."""
    import numpy as np

    from cathodegrain.generator.fitting.grains.score import closed, planar_sample, score, twin
    from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, boundary_weights
    from cathodegrain.generator.fitting.sections.reconstruction import pieces, renumbered
    from cathodegrain.generator.fitting.sections.section import Section

    def section(labels: Any) -> Section:
        """Small grains are lost."""
        found = renumbered(labels.clip(min=0), np.bincount(labels[labels > 0])[1:] >= 4)
        found[(labels != 0) & (found == 0)] = -1
        return Section(found, 0.05, (113.0, 113.0), "")

    def apart(labels: Any) -> Section:
        """As read from an image: pieces are grains of their own."""
        return section(np.where(labels > 0, pieces(labels), labels))

    model, rng = PHANTOMS[name], np.random.default_rng(0)
    y, x = np.indices((227, 227)) - 113
    inside = np.hypot(y, x) <= 113
    measured, whole, laid_over, twins = [], [], [], []
    for k in range(N_GAPS):
        grains = model.section(113, np.random.default_rng([1, k])) + np.int32(1)
        weights = boundary_weights(grains)
        lost = rng.random(grains.shape) < GAPS * weights / weights.mean()
        grains = np.where(inside, grains, 0)
        measured.append(apart(np.where(inside & lost, -1, grains)))
        other = measured[k - 1] if k else apart(np.where(inside & lost.T, -1, grains))
        whole.append(section(np.where(other.labels == -1, -1, grains)))
        laid_over.append(apart(np.where(other.labels == -1, -1, grains)))
        twins.append(twin(model, measured[k], np.random.default_rng([1, k])))
    rules = {
        "laid over, pieces left whole": (whole, measured),
        "laid over": (laid_over, measured),
        "made in both and closed": (twins, [closed(one) for one in measured]),
    }
    for rule, (generated, reference) in rules.items():
        found, expected = planar_sample(generated), planar_sample(reference)
        part = found.values["aspect_ratio"].mean() / expected.values["aspect_ratio"].mean()
        yield Result(
            name=f"{name}, gaps {rule}: score",
            value=score(found, expected),
            details=f"{found.n_grains} grains; mean aspect ratio {part:.3f} of the sections'",
        )


def small(out: Path) -> Iterator[Result]:
    """Time to the first file of training, and memory, for three small sections."""
    import numpy as np
    import tifffile

    out.mkdir(parents=True, exist_ok=True)
    command("phantom", "elongated", "--out", out / "sections", "--sections", 3, "--off-centre", 0)
    maps = []
    for path in sorted((out / "sections").glob("*.tif")):
        labels = tifffile.imread(path)
        middle = labels.shape[0] // 2
        maps.append(out / path.name)
        cut = np.ascontiguousarray(labels[middle - 100 : middle + 100, middle - 100 : middle + 100])
        tifffile.imwrite(maps[-1], cut)
    words = ["fit", "grains", *maps, "--pixel", 0.05, "--out", out / "card.json"]
    words += [text for _ in maps for text in ("--centre", "100,100")]
    arguments = [sys.executable, "-m", "cathodegrain.exporters.commands.main", *map(str, words)]
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    while not list((out / "card-fit").glob("run-*.safetensors")) and process.poll() is None:
        time.sleep(0.2)
    first = time.perf_counter() - started
    yield Result(name="three sections of 200 x 200: first file", value=first, unit=" s", high=60)
    if process.wait():
        raise SystemExit("the fit of the small sections failed")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    yield Result(
        name="largest process", value=peak / 1e9, unit=" GB", high=2, details="two train at a time"
    )
    yield Result(name="the whole fit", value=(time.perf_counter() - started) / 60, unit=" min")


def seeds(text: str) -> list[int]:
    """Whole numbers, separated by commas."""
    return [int(part) for part in text.split(",")]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--phantom", default="elongated")
    parser.add_argument("--seeds", type=seeds, default=[0, 1, 2])
    parser.add_argument("--off-centre", type=int, default=0)
    parser.add_argument("--nets", type=int, default=3)
    parser.add_argument("--config", default="default")
    parser.add_argument("--planar", action="store_true")
    parser.add_argument("--gaps", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("grain-fits"))
    options = parser.parse_args(argv)
    print(machine())
    if options.small:
        rows = list(small(options.out))
    elif options.gaps:
        rows = list(gaps(options.phantom))
    elif options.planar:
        rows = [row for seed in options.seeds for row in planar(seed, options.out)]
    else:
        rows = [row for seed in options.seeds for row in results(options.phantom, seed, options)]
    print(table(rows))
    return int(any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
