r"""Warm start of the marker net: it learns to imitate a radial law before it plays any game.

A law draws the markers of a seed from four normal numbers of its own; the net only knows the
neighbours. So that there is a function to learn, the four numbers are taken from the noise of the
three nearest neighbours: independent of each other, and hardly dependent from seed to seed. The
net then learns, by least squares, the outputs before its sigmoids.

Markers (c^2 D, c r + a) give the same grains for all c > 0 and a. Both are chosen such that
r and D of the law lie in the ranges of the net's outputs.

A tilt cannot be learnt: D is diagonal in the radial frame. A factor on the intensity by the
relative radius is not the net's: it goes along beside the weights (`TrainingConfig`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...markers.marker_law import Markers
from ...markers.marker_net import NEIGHBOURS, OUTPUT_HIGH, OUTPUT_LOW
from ...markers.orientations import normal_quantiles
from ...markers.radial_profile import RadialProfileMarkers
from .networks import TorchMarkerNet
from .training import TrainingConfig, generated_neighbourhoods

CUTOUTS = 200  # whose seeds are learnt from: some 40,000
HELD_OUT = 10  # one in so many is not learnt from, and tells how good the imitation is
STEPS, BATCH, RATE = 3000, 512, 2e-3
NOISE_OF = [0, 2, 4, 1]  # z_1 ... z_4 among the six numbers of the three nearest neighbours
OFFSET_SPREAD = 1.6  # of r in the net's frame, at most: its range is 9 wide
LARGEST_ENTRY = 0.9  # of the range of D: where the largest entries of D are to lie
TAIL = 0.999  # quantile that stands for the largest
INSIDE = 0.995  # of the outputs' ranges that is used: a sigmoid never reaches its ends

Floats = NDArray[np.float64]
Explained = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Imitation:
    """A net that imitates a law.

    Parameters
    ----------
    net
        On the CPU.
    config, intensity
        With which training goes on from it: the law's intensity and its factor by radius.
    explained
        R^2 of r and of the logarithms of d_1, d_2, d_3, for seeds that were not learnt from.
    gauge
        c and a by which the law's markers were changed.
    """

    net: TorchMarkerNet
    config: TrainingConfig
    intensity: float
    explained: Explained
    gauge: tuple[float, float]


def imitation(
    law: RadialProfileMarkers,
    intensity: float,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> Imitation:
    """A net of the widths of a configuration that imitates ``law``; about 10 CPU s.

    Parameters
    ----------
    intensity
        lambda of the law, seeds per cubic pixel, without its factor by radius.
    config
        Gives widths, the radius R and the largest distance of cutouts.
    """
    config = replace(
        config,
        relative_radius=True,
        intensity=intensity,
        intensity_factor=law.intensity_factor,
    )
    inputs = generated_neighbourhoods(rng, CUTOUTS, config, intensity).inputs
    markers, gauge = _in_range(_drawn(law, inputs))
    wanted = _before_sigmoids(markers)
    net = TorchMarkerNet(config.marker_widths, rng, sees_radius=True)
    held = np.arange(len(inputs)) % HELD_OUT == 0
    mean, spread = wanted[~held].mean(axis=0), wanted[~held].std(axis=0)
    standard = (wanted - mean) / spread
    _learn(net, _tensor(inputs[~held]), _tensor(standard[~held]), rng)
    net.stretch_outputs(mean, spread)
    of_law = Markers(markers.diagonals[held], markers.offsets[held])
    return Imitation(
        net=net,
        config=config,
        intensity=intensity,
        explained=_explained(net, inputs[held], of_law),
        gauge=gauge,
    )


def _explained(net: TorchMarkerNet, inputs: NDArray[np.float32], markers: Markers) -> Explained:
    """R^2 of r and the logarithms of d_1, d_2, d_3."""
    with torch.no_grad():
        diagonals, offsets = (found.double().numpy() for found in net(torch.from_numpy(inputs)))
    found, wanted = (
        np.column_stack([one.offsets, np.log(one.diagonals)])
        for one in (Markers(diagonals, offsets), markers)
    )
    r, d1, d2, d3 = (1 - ((found - wanted) ** 2).mean(axis=0) / wanted.var(axis=0)).tolist()
    return r, d1, d2, d3


def _drawn(law: RadialProfileMarkers, inputs: NDArray[np.float32]) -> Markers:
    """Markers of the law, their normal numbers taken from the neighbours' noise."""
    noise = inputs[:, : 5 * NEIGHBOURS].reshape(-1, NEIGHBOURS, 5)[:, :, 3:].astype(np.float64)
    marks = noise[:, :3].reshape(-1, 6)[:, NOISE_OF] + 0.5
    return law.markers_of(normal_quantiles(marks), inputs[:, -1].astype(np.float64))


def _in_range(markers: Markers) -> tuple[Markers, tuple[float, float]]:
    """Markers (c^2 D, c r + a) in the ranges of the net's outputs, and c and a."""
    spread, middle = float(markers.offsets.std()), float(markers.offsets.mean())
    largest = float(np.quantile(markers.diagonals, TAIL))
    c = float(np.sqrt(LARGEST_ENTRY * OUTPUT_HIGH[1] / largest))
    c = min(c, OFFSET_SPREAD / spread) if spread > 0 else c
    a = float(OUTPUT_LOW[0] + OUTPUT_HIGH[0]) / 2 - c * middle
    return Markers(c * c * markers.diagonals, c * markers.offsets + a), (c, a)


def _before_sigmoids(markers: Markers) -> Floats:
    """Outputs (n, 4) of a last layer that the sigmoids turn into the markers."""
    output = np.column_stack([markers.offsets, markers.diagonals])
    part = (output - OUTPUT_LOW) / (OUTPUT_HIGH - OUTPUT_LOW)
    part = np.clip(part, 1e-9, INSIDE)
    part[:, 0] = np.clip(part[:, 0], 1 - INSIDE, None)
    return np.log(part / (1 - part))


def _learn(net: TorchMarkerNet, inputs: Tensor, wanted: Tensor, rng: np.random.Generator) -> None:
    """Least squares by Adam, its rate falling to 0."""
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        rows = torch.from_numpy(rng.integers(len(inputs), size=BATCH))
        loss = ((net.outputs(inputs[rows]) - wanted[rows]) ** 2).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
