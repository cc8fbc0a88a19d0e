"""Calibration of grains to numbers: run ``python benchmarks/calibration.py [--quick]``.

One thread, CPU seconds. Targets are the numbers of random laws, so that every one can be reached;
half of them are of central planes and half of random heights. Each is calibrated, and the law's
numbers are measured in sections of other random numbers. ``R^2`` is 1 less the squared differences
from what was asked, over those from the mean of what was asked. Some cards then make particles,
whose sections are cut and described as measured ones are.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import replace
from sys import stderr

import numpy as np
from numpy.typing import NDArray

import cathodegrain as cg
from cathodegrain.exporters.fits.laws.calibration_card import calibrated_card
from cathodegrain.exporters.fits.laws.calibration_request import CalibrationRequest
from cathodegrain.exporters.fits.options import CalibrationOptions
from cathodegrain.generator.fitting.laws.calibration import (
    CARRIERS,
    Calibration,
    StationaryLaw,
    calibration,
)
from cathodegrain.generator.fitting.laws.published_numbers import Numbers, SectionView, measured
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.model_card import ModelCard
from timing import Result, cpu_seconds, in_one_thread, machine, table

RADIUS_UM, PIXEL_UM, MIN_PIXELS = 4.0, 0.05, 4
TARGET_GRAINS = 10_000
TARGETS = 40  # of random numbers: from here on
SECONDS_BAR, MISS_BAR, R2_BAR = 10.0, 2.0, 0.99
ALIGNMENT_BAR = 0.02
SHAPES, REQUESTS = 20, 50  # targets, and with more of them for R^2


def random_law(rng: np.random.Generator) -> StationaryLaw:
    """A law whose numbers can be reached."""
    carrier = CARRIERS[int(rng.integers(2))]
    return StationaryLaw(
        distance_um=float(np.exp(rng.uniform(math.log(0.35), math.log(0.9)))),
        spread=float(rng.uniform(*{"r": (0.1, 0.45), "d": (0.3, 0.9)}[carrier])),
        carrier=carrier,
        aspect_ratio=float(np.exp(rng.uniform(0.2, math.log(2.5)))),
        tilt_deg=float(rng.uniform(5, 40)),
    )


def numbers(law: StationaryLaw, view: SectionView, n_grains: int, stage: int) -> Numbers:
    """Of a law in many sections."""
    size = law.distance_um
    n = view.n_sections(Numbers(size), n_grains)
    pixel = view.simulated_pixel_um(size)
    return measured(law.radial_law(pixel), view, size, n, 0, stage).numbers


def target(k: int) -> tuple[Numbers, SectionView, StationaryLaw]:
    """The k-th target, how it is measured, and the law that it is of."""
    law = random_law(np.random.default_rng([k, 17]))
    view = SectionView(
        pixel_um=PIXEL_UM,
        min_pixels=MIN_PIXELS,
        cuts="central" if k % 2 else "random",
        radius_um=RADIUS_UM,
    )
    found = numbers(law, view, TARGET_GRAINS, TARGETS + k)
    return Numbers(*(float(f"{value:.4g}") for value in found)), view, law


def solved(k: int, n_grains: int | None = None) -> tuple[Calibration, float]:
    """Calibration to the k-th target, and CPU seconds."""
    asked, view, law = target(k)
    found: list[Calibration] = []
    seconds = cpu_seconds(
        lambda: found.append(calibration(asked, view, law.carrier, n_grains=n_grains))
    )
    one = found[0]
    print(f"target {k}: {_line(asked)}; {_line(one.fresh.numbers)}; {seconds:.1f} s", file=stderr)
    return one, seconds


def r_squared(asked: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """1 less the squared differences over those from the mean of what was asked."""
    return float(1 - ((found - asked) ** 2).sum() / ((asked - asked.mean()) ** 2).sum())


def particle_numbers(card: ModelCard, n: int) -> tuple[Numbers, int]:
    """Numbers of central sections of ``n`` particles, three of each, and grains in them."""
    parts = []
    ball = {"shell.max_degree": 0, "shell.diameter_um": 2 * RADIUS_UM}
    for particle in cg.generate_particles(card, seed=5, indices=range(n), parameters=ball):
        for normal in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
            cut = cg.section(particle, normal=normal, pixel_um=PIXEL_UM)
            parts.append(section_descriptors(cut.section()))
    whole = [p.area_um2[~p.cut] for p in parts]
    diameters = 2 * np.sqrt(np.concatenate(whole) / math.pi)
    ratios = np.concatenate([p.aspect_ratio[p.oriented] for p in parts])
    theta = np.concatenate([p.theta[p.oriented] for p in parts])
    found = Numbers(
        float(diameters.mean()),
        float(diameters.std()),
        float(ratios.mean()),
        float(np.cos(2 * theta).mean()),
    )
    return found, len(diameters)


def results(quick: bool) -> Iterator[Result]:
    """Measure everything, a result at a time."""
    n, n_more, n_grains = (2, 2, 2_000) if quick else (SHAPES, REQUESTS, None)
    calibration(Numbers(0.6), target(1)[1], "r", n_grains=200)  # compile
    done = [solved(k, n_grains) for k in range(n_more)]
    asked = np.array([found.asked for found, _ in done])
    fresh = np.array([found.fresh.numbers for found, _ in done])
    seconds = [one for _, one in done]
    yield Result(
        name=f"slowest of {n_more} calibrations to four numbers",
        value=max(seconds),
        high=SECONDS_BAR,
        unit=" s",
        details=f"median {np.median(seconds):.2g} s",
    )
    reached = sum(found.reached for found, _ in done[:n])
    yield Result(name=f"reached, of {n} targets", value=reached, low=n)
    yield from _misses(asked[:n], fresh[:n])
    for column, name in enumerate(("mean", "standard deviation", "aspect ratio", "alignment")):
        yield Result(
            name=f"R^2 of the {name}, {n_more} requests",
            value=r_squared(asked[:, column], fresh[:, column]),
            low=R2_BAR,
            details=f"asked {asked[:, column].min():.3g} to {asked[:, column].max():.3g}",
        )
    yield from _particles(done, 1 if quick else 4, 1 if quick else 3)


def _misses(asked: NDArray[np.float64], fresh: NDArray[np.float64]) -> Iterator[Result]:
    for column, name in enumerate(("mean", "standard deviation", "aspect ratio")):
        off = 100 * np.abs(fresh[:, column] / asked[:, column] - 1)
        yield Result(
            name=f"largest difference of the {name}",
            value=float(off.max()),
            high=MISS_BAR,
            unit=" %",
            details=f"median {np.median(off):.2g} %",
        )
    off = np.abs(fresh[:, 3] - asked[:, 3])
    yield Result(
        name="largest difference of the alignment",
        value=float(off.max()),
        high=ALIGNMENT_BAR,
        details=f"median {np.median(off):.2g}",
    )


def _particles(done: list[tuple[Calibration, float]], n_cards: int, n: int) -> Iterator[Result]:
    """Central sections of particles of cards, and those of the shipped ones."""
    base = ModelCard.load("nmc811")
    central = [found for found, _ in done if found.view.cuts == "central"][:n_cards]
    for found in central:
        asked = found.asked
        options = CalibrationOptions(radius_um=RADIUS_UM)
        request = replace(
            CalibrationRequest.of(f"{asked.mean_um}+-{asked.std_um}", options, base, str),
            asked=asked,
        )
        card = calibrated_card(found, request, "benchmark", "benchmark")
        got, n_grains = particle_numbers(card, n)
        yield Result(
            name=f"sections of particles, asked {_line(asked)}",
            value=100 * (got.mean_um / asked.mean_um - 1),
            unit=" %",
            details=f"{_line(got)}, {n_grains} grains; the mean's difference",
        )
    for name in ("nmc811", "nmc811-ebsd598"):
        got, n_grains = particle_numbers(ModelCard.load(name), n)
        yield Result(
            name=f"{name}, mean diameter in central sections",
            value=1000 * got.mean_um,
            unit=" nm",
            details=f"{_line(got)}, {n_grains} grains",
        )


def _line(one: Numbers) -> str:
    return (
        f"{one.mean_um:.3f} +- {one.std_um:.3f} um, aspect ratio {one.aspect_ratio:.2f}, "
        f"alignment {one.alignment:.2f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few targets and grains")
    arguments = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(table(results(arguments.quick)))


if __name__ == "__main__":
    in_one_thread()
    main()
