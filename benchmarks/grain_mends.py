"""What each mend of adversarial training does to grains by radius, from a law that is not right.

Needs ``pip install 'cathodegrain[fit,torch]'``. Run ``python benchmarks/grain_mends.py``: four
sections of the phantom "rods" are fitted; a net imitates a law with half of its gradients and
is trained on, with the mends one after the other. Printed are distances of Kolmogorov and
Smirnov between sections of the net and of the phantom, in the core, in the middle and outside.

* ``--rows default,all``: some of the rows only, by their first words.
* ``--seed 1``: another seed of training. ``--steps 300``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from cathodegrain.generator.fitting.grains.imitation import Imitation, imitation
from cathodegrain.generator.fitting.grains.planar_fit import PlanarFitSettings, fit_section
from cathodegrain.generator.fitting.grains.planar_tessellation import SectionTessellation
from cathodegrain.generator.fitting.grains.training import (
    DEFAULT,
    TrainingConfig,
    first_state,
    train,
)
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.grain_model import GrainModel
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section
from cathodegrain.generator.fitting.sections.radial_bins import NAMES, bin_numbers
from timing import machine

TRUTH = PHANTOMS["rods"]
N_SECTIONS, N_REFERENCE, N_FITTED = 6, 12, 4
DESCRIPTORS = ("area", "aspect ratio", "theta")
MENDS = {
    "default": {},
    "straight-through images": {"straight_through": True},
    "no resting, R1, group norm": {
        "skip_below": 0.0, "gradient_penalty": 5.0, "group_norm": True
    },
    "clipping, rates 1 : 3": {"largest_gradient": 1.0, "discriminator_rate": 3e-4},
    "all: place for D": {"sees_place": True},
    "all but straight-through images": {"straight_through": False},
}  # fmt: skip


def configurations() -> Iterator[tuple[str, TrainingConfig]]:
    """Each with the changes of all rows above."""
    config = DEFAULT
    for name, changes in MENDS.items():
        config = replace(config, **changes)
        yield name, config


def sample(model: GrainModel, seed: int, n: int) -> NDArray[np.float64]:
    """Bin, area, aspect ratio and theta of the whole grains of ``n`` sections, (m, 4)."""
    parts = []
    for k in range(n):
        one = section_descriptors(phantom_section(model, np.random.default_rng([seed, k])))
        columns = bin_numbers(one.relative_radius), one.area_um2, one.aspect_ratio, one.theta
        parts.append(np.column_stack(columns)[one.oriented])
    return np.concatenate(parts)


def distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """KS distances, descriptors by bins, (3, 3)."""
    pairs = [[(a[a[:, 0] == b, d] for a in (one, other)) for b in range(len(NAMES))]
             for d in (1, 2, 3)]  # fmt: skip
    return np.array([[ks_2samp(*pair).statistic for pair in row] for row in pairs])


def row(name: str, found: NDArray[np.float64], seconds: float | None = None) -> str:
    """A line of the table."""
    cells = [" ".join(f"{value:.2f}" for value in values) for values in found]
    time_taken = "" if seconds is None else f"{seconds:.0f}"
    return f"| {name} | {' | '.join(cells)} | {found.mean():.3f} | {time_taken} |"


def fitted() -> tuple[SectionTessellation, ...]:
    """Tessellations of the sections that training sees."""
    sections = [phantom_section(TRUTH, np.random.default_rng([7, k])) for k in range(N_FITTED)]
    return tuple(fit_section(section, PlanarFitSettings(steps=100)) for section in sections)


def begun() -> Imitation:
    """Imitation of the law of the phantom with half of its gradients, at its own intensities."""
    law = replace(TRUTH.law.with_gradient(0.5), intensity_factor=TRUTH.law.intensity_factor)
    config = replace(DEFAULT, radius=TRUTH.radius)
    return imitation(law, TRUTH.intensity, config, np.random.default_rng([5, 0]))


def trained(
    start: Imitation, config: TrainingConfig, fits: Sequence[SectionTessellation], seed: int,
    steps: int,
) -> GrainModel:  # fmt: skip
    """The grains of a net after some steps."""
    kept = ("relative_radius", "radius", "intensity", "intensity_factor")
    config = replace(config, **{name: getattr(start.config, name) for name in kept})
    state = first_state(config, np.random.default_rng([9, seed]))
    for net in filter(None, (state.generator, state.averaged)):
        net.load_state_dict(start.net.state_dict())
    for _ in train(fits, config, state):
        if state.step == steps:
            break
    return GrainModel(state.scored_net(config), state.intensity, radius=TRUTH.radius)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", help="first words of rows, by default all")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print(f"{machine()}\n\nKS in the {', '.join(NAMES)}; {options.steps} steps\n")
    print(f"| | {' | '.join(DESCRIPTORS)} | mean | CPU s |\n| --- | --- | --- | --- | --- | --- |")
    reference, fits, start = sample(TRUTH, 1, N_REFERENCE), fitted(), begun()
    net = start.net.marker_net(10.0, start.config.intensity_factor)
    law = GrainModel(net, start.intensity, radius=TRUTH.radius)
    print(row("floor: the phantom", distances(sample(TRUTH, 2, N_SECTIONS), reference)))
    print(row("not trained: the imitation", distances(sample(law, 4, N_SECTIONS), reference)))
    for name, config in configurations():
        if options.rows and not name.startswith(tuple(options.rows.split(","))):
            continue
        began = time.process_time()
        model = trained(start, config, fits, options.seed, options.steps)
        seconds = time.process_time() - began
        found = distances(sample(model, 4, N_SECTIONS), reference)
        print(row(name, found, seconds), flush=True)


if __name__ == "__main__":
    main()
