"""How well `fit grains` finds the law of crystal orientations, on particles whose law is known.

Run ``python benchmarks/crystals.py`` (2 minutes). Crystals are drawn again and again in sections
of particles, one of each:

* by how much the radius of a grain in a section differs from that of its seed, in widths of the
  section's grains: what `orientation_fit.DEPTH` and `ASIDE` are;
* the fitted spread against the true one, and how often its 95 % interval holds it;
* how often random crystals pass for a texture, at the level 0.05;
* heights of planes that miss the centre.

``--quick``: a few draws.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cathodegrain.generator.fitting.sections.crystal_axes import crystal_axes
from cathodegrain.generator.fitting.sections.orientation_fit import RADII, fit_orientations
from cathodegrain.generator.fitting.sections.plane_cut import Plane, PlaneCut, plane_cut
from cathodegrain.generator.fitting.sections.section import Section
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.markers.orientations import sample_orientations
from cathodegrain.generator.model_card import ModelCard
from timing import machine

MODELS = ("nmc811", "nmc811-radial", "nmc811-rods")
NORMALS = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 1.0))
SPREADS = (5.0, 15.0, 30.0)
PIXEL = 0.05
UNTURNED = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Cut:
    """A section, and for each of its grains the radius of the seed, in particle and map."""

    cut: PlaneCut
    section: Section
    directions: NDArray[np.float64]

    def with_crystals(self, model: str, spread: float, rng: np.random.Generator) -> Section:
        """The section with crystals of a law, those of pieces of one grain the same."""
        ids, row = np.unique(self.ids, return_inverse=True)
        first = np.unique(row, return_index=True)[1]
        marks = rng.random((len(ids), 3))
        q = sample_orientations(model, spread, self.directions[first], marks)
        return replace(self.section, orientations=self.cut.plane.turned(q[row]))

    @property
    def ids(self) -> NDArray[np.int32]:
        """(n,) rows of the recipe."""
        return ids_of(self.cut, self.section)


def ids_of(cut: PlaneCut, section: Section) -> NDArray[np.int32]:
    """(n,) grain ids of the grains of a section."""
    grains = section.labels > 0
    first = np.unique(section.labels[grains], return_index=True)[1]
    return cut.grain_id[grains][first]


def cuts(model: str, diameter_um: float, height_um: float = 0.0) -> list[Cut]:
    """A section of each of three particles."""
    card = ModelCard.load(model).with_parameters({"shell.diameter_um": diameter_um})
    found = []
    for seed, normal in enumerate(NORMALS, start=3):
        particle = generate_particle(card, seed=seed)
        cut = plane_cut(particle, Plane(normal, height_um), PIXEL)
        section = cut.section()
        seeds = particle.tessellation.seeds[ids_of(cut, section) - 1]
        found.append(Cut(cut, section, seeds / np.linalg.norm(seeds, axis=1, keepdims=True)))
    return found


def factors(one: Cut) -> NDArray[np.float64]:
    """(n, 4) width of the grains, distance of the seed's radius along the normal and aside, radius.

    The first three as angles, seen from the centre; the last relative to the surface.
    """
    n = one.section.n_grains
    axes = crystal_axes(replace(one.section, orientations=np.tile(UNTURNED, (n, 1))))
    seen = axes.has_radius
    places = axes.places_um[seen]
    width = np.sqrt((axes.across_um**2).mean()) / axes.distances_um[seen]
    seeds = (one.directions @ one.cut.plane.frame.T)[seen]
    aside = np.column_stack([-places[:, 1], places[:, 0]]) / axes.distances_um[seen, None]
    distances = seeds[:, 2], (seeds[:, :2] * aside).sum(axis=1)
    return np.column_stack([width, *distances, axes.relative_radii[seen]])


def show_factors() -> None:
    """Distances of the radii in widths, for some models and sizes."""
    print("\ndistances of the radii in widths of the grains; what they add to angles, by radius")
    print("model           diameter  grains  along the normal  aside   core, middle, outside (deg)")
    for model in MODELS:
        for diameter in (3.0, 6.0):
            rows = np.concatenate([factors(one) for one in cuts(model, diameter)])
            squares = (rows**2).mean(axis=0)
            depth, aside = np.sqrt(squares[1:3] / squares[0])
            added = [
                np.degrees(np.sqrt((rows[chosen, 1:3] ** 2).sum(axis=1).mean() / 2))
                for low, high in pairwise(RADII)
                for chosen in [(rows[:, 3] >= low) & (rows[:, 3] < high)]
            ]
            angles = " ".join(f"{one:7.1f}" for one in added)
            print(
                f"{model:15} {diameter:5.0f} um {len(rows):7} {depth:13.2f} {aside:10.2f} {angles}"
            )


def show_spreads(model: str, diameter: float, height: float, n_draws: int) -> None:
    """Fits of known spreads."""
    rng, found = np.random.default_rng(1), cuts(model, diameter, height)
    n = sum(one.section.n_grains for one in found)
    print(f"\n{model}, {diameter:g} um, planes at {height:g} um, {n} grains, {n_draws} draws")
    print("true spread  found  std  mean interval  in it  texture  height (um)  its std")
    for spread in SPREADS:
        fits = [
            fit_orientations([one.with_crystals("radial", spread, rng) for one in found])
            for _ in range(n_draws)
        ]
        textured = [fit for fit in fits if fit.interval_deg is not None]
        spreads = [fit.spread_deg for fit in textured]
        low, high = np.transpose([fit.interval_deg for fit in textured])
        heights = [place.height_um for fit in textured for place in fit.sections]
        print(
            f"{spread:8.0f} {np.mean(spreads):10.2f} {np.std(spreads):5.2f}"
            f"   {low.mean():.2f} to {high.mean():.2f}"
            f" {np.mean((low <= spread) & (spread <= high)):6.0%} {len(textured) / n_draws:8.0%}"
            f" {np.mean(heights):8.2f} {np.std(heights):9.2f}"
        )
    random = [
        fit_orientations([one.with_crystals("uniform", 0.0, rng) for one in found]).model
        for _ in range(n_draws)
    ]
    print(f"random crystals: texture found in {random.count('radial') / n_draws:.0%}")


def main(arguments: Sequence[str]) -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few draws")
    n_draws = 2 if parser.parse_args(arguments).quick else 40
    print(machine())
    show_factors()
    for case in (("nmc811-radial", 6.0, 0.0), ("nmc811-radial", 6.0, 0.6), ("nmc811", 3.0, 0.0)):
        show_spreads(*case, n_draws)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
