"""Markers of many particles on a torch device: those of `CardLaw.rounded_markers`, to the bit.

Neighbours are found among bins of seeds, by squared distances with the bits of a processor's
(`nearest_points`), and so are inputs of the net (`radial_frame`). Layers are float64 products of
the device, which adds in an order of its own: what that may round otherwise is decided by the
processor (`MarkerNet.decided`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..rounding import rounded, undecided
from .marker_law import CardLaw, Markers
from .marker_net import NEIGHBOURS, OUTPUT_HIGH, OUTPUT_LOW, MarkerNet, net_inputs
from .point_process import MarkedPoints
from .radial_frame import Three, rotation_rows

BIN_POINTS = 2.0  # in a bin, on average
RINGS = 2  # bins around that of a seed that are searched
BLOCK = 1 << 15  # seeds that pass at a time: some 20 kB each
Frame = tuple[Three, Three, Three]


class Window(NamedTuple):
    """Seed points of a particle, the rows of those whose markers are wanted, and their axes.

    ``axes`` (n, 3) of these rows are what their frames take to e_1, of any length.
    """

    points: MarkedPoints
    rows: NDArray[np.intp]
    axes: NDArray[np.float64]


class DeviceMarkers(NamedTuple):
    """Rounded markers of the rows of all windows, and the frames of their axes."""

    diagonals: Tensor  # (n, 3)
    offsets: Tensor  # (n,)
    frame: Frame  # components (n,)


def rounded_markers(
    law: CardLaw, windows: Sequence[Window], intensity: float, factors: Markers, device: str
) -> DeviceMarkers:
    """Markers of the rows of all windows, one after the other, times ``factors``, rounded."""
    axes = _put([w.axes for w in windows], device)
    angles = np.concatenate([w.points.angles[w.rows] for w in windows])
    cosine, sine = (torch.from_numpy(f(angles)).to(device) for f in (np.cos, np.sin))
    frame = rotation_rows(_columns(axes), cosine, sine, torch)
    if not isinstance(law, MarkerNet):
        drawn = [law.rounded_markers(w.points, w.rows, factors) for w in windows]
        diagonals = _put([markers.diagonals for markers in drawn], device)
        return DeviceMarkers(diagonals, _put([markers.offsets for markers in drawn], device), frame)
    seeds = _put([w.points.seeds[w.rows] for w in windows], device)
    radial = rotation_rows(_columns(seeds), cosine, sine, torch)
    output = _net_output(law, windows, intensity, factors, radial, device)
    numbers = rounded(_numbers(law, output, factors), torch)
    return DeviceMarkers(numbers[:, 1:].contiguous(), numbers[:, 0].contiguous(), frame)


def _net_output(
    net: MarkerNet,
    windows: Sequence[Window],
    intensity: float,
    factors: Markers,
    frame: Frame,
    device: str,
) -> Tensor:
    """Network output (n, 4) of all rows, such that its rounding is that of a processor."""
    bins = Bins.of(windows, intensity, device)
    noise = _put([w.points.noise for w in windows], device)
    radii = [t for w in windows if (t := net.radii(w.points, w.rows)) is not None]
    seen = _put(radii, device) if radii else None
    layers = [
        (torch.from_numpy(weight).to(device), torch.from_numpy(bias).to(device))
        for weight, bias in zip(net.weights, net.biases, strict=True)
    ]
    output = torch.empty((len(bins.rows), 4), dtype=torch.float64, device=device)
    for start in range(0, len(output), BLOCK):
        part = slice(start, start + BLOCK)
        index, certain = bins.nearest(part)
        found = _layers(_inputs(net, bins, noise, seen, frame, part, index), layers)
        output[part] = _squashed(found[-1])
        doubtful = _undecided(net, output[part], found[:-1], factors) | ~certain
        rows = doubtful.nonzero()[:, 0]
        output[start + rows] = _decided(net, windows, bins, start + rows)
    return output


def _inputs(
    net: MarkerNet,
    bins: Bins,
    noise: Tensor,
    radii: Tensor | None,
    frame: Frame,
    part: slice,
    index: Tensor,
) -> Tensor:
    """Inputs (n, 60 or 61) of some of the rows, whose neighbours are ``index`` (n, kappa)."""
    displacement = bins.seeds[index] - bins.seeds[bins.rows[part], None]
    first, second, third = (_columns(torch.stack(row, 1)[part, None]) for row in frame)
    return net_inputs(
        (first, second, third), _columns(displacement), noise[index],
        net.displacement_scale, net.noise_centre, None if radii is None else radii[part], torch,
    )  # fmt: skip


def _undecided(net: MarkerNet, output: Tensor, layers: list[Tensor], factors: Markers) -> Tensor:
    """As `MarkerNet.undecided`; ``layers`` are the inputs of each layer."""
    largest = [layer.abs().amax(0).cpu().numpy() for layer in layers]
    scale = np.concatenate([factors.offsets, factors.diagonals[0]])
    difference = torch.from_numpy(2 * net.evaluation_error(largest) * scale).to(output.device)
    return undecided(_numbers(net, output, factors), difference, torch).any(1)


def _decided(net: MarkerNet, windows: Sequence[Window], bins: Bins, places: Tensor) -> Tensor:
    """Outputs (k, 4) of some of the rows by the processor, which finds their neighbours itself."""
    rows = bins.rows[places].cpu().numpy()
    output = np.empty((len(rows), 4))
    for window, first, end in zip(windows, bins.first, bins.first[1:], strict=False):
        own = (rows >= first) & (rows < end)
        if own.any():
            output[own] = net.decided(net.inputs(window.points, rows[own] - first))
    return torch.from_numpy(output).to(places.device)


def _numbers(net: MarkerNet, output: Tensor, factors: Markers) -> Tensor:
    """(n, 4): r, d_1, d_2, d_3 as `MarkerNet.as_markers` and `Markers.times` have them."""
    least = torch.tensor([-torch.inf, *[net.smallest_diagonal] * 3], dtype=torch.float64)
    scale = torch.from_numpy(np.concatenate([factors.offsets, factors.diagonals[0]]))
    return torch.maximum(output, least.to(output.device)) * scale.to(output.device)


def _layers(inputs: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Inputs (n, 60 or 61) and outputs of each layer, the last one before the sigmoids."""
    found = [inputs]
    for k, (weight, bias) in enumerate(layers):
        output = torch.nn.functional.linear(found[-1], weight, bias)
        found.append(output if k == len(layers) - 1 else output.relu())
    return found


def _squashed(output: Tensor) -> Tensor:
    """As `marker_net.squashed`."""
    low, span = (
        torch.from_numpy(a).to(output.device) for a in (OUTPUT_LOW, OUTPUT_HIGH - OUTPUT_LOW)
    )
    return low + span / (1.0 + torch.exp(-output))


class Bins(NamedTuple):
    """Seeds of all windows, sorted into cubic bins; those of each window have bins of their own.

    Parameters
    ----------
    seeds : (t, 3) float64
        Of all windows, one after the other.
    rows : (n,) int64
        Those whose neighbours are wanted, among all seeds.
    first
        First seed of each window, and their number at the end.
    edge
        Of a bin.
    low : (n, 3) float64
        Lowest corner of the bins of the window of each row.
    bin, key : (n, 3), (n,) int64
        Place of the bin of each row, and its number.
    side
        Bins along an edge, with empty ones around.
    order, begin : (t,), (bins + 1,) int64
        Seeds by their bins; where each bin begins.
    """

    seeds: Tensor
    rows: Tensor
    first: list[int]
    edge: float
    low: Tensor
    bin: Tensor
    key: Tensor
    side: int
    order: Tensor
    begin: Tensor

    @classmethod
    def of(cls, windows: Sequence[Window], intensity: float, device: str) -> Bins:
        """Bins of the seeds of all windows."""
        sizes = [len(w.points) for w in windows]
        first = [0, *np.cumsum(sizes).tolist()]
        edge = (BIN_POINTS / intensity) ** (1 / 3)
        lows = np.array([w.points.seeds.min(axis=0) for w in windows])
        highs = np.array([w.points.seeds.max(axis=0) for w in windows])
        side = int((highs - lows).max() // edge) + 2 + 2 * RINGS
        seeds = _put([w.points.seeds for w in windows], device)
        number = torch.arange(len(windows)).repeat_interleave(torch.tensor(sizes)).to(device)
        low = torch.from_numpy(lows).to(device)[number]
        place = ((seeds - low) / edge).floor().long() + RINGS
        key = ((number * side + place[:, 2]) * side + place[:, 1]) * side + place[:, 0]
        n_bins = len(windows) * side**3
        counts = torch.bincount(key, minlength=n_bins)
        rows = torch.cat(
            [torch.from_numpy(w.rows) + f for w, f in zip(windows, first, strict=False)]
        ).to(device)
        begin = torch.cat([torch.zeros(1, dtype=torch.int64, device=device), counts.cumsum(0)])
        order = key.argsort(stable=True)
        return cls(seeds, rows, first, edge, low[rows], place[rows], key[rows], side, order, begin)

    def nearest(self, part: slice) -> tuple[Tensor, Tensor]:
        """Neighbours (n, kappa) of some of the rows among all seeds, and whether they are certain.

        Where seeds are equally far, or too few are in the bins that are searched, they are not.
        """
        steps = torch.arange(-RINGS, RINGS + 1, device=self.key.device)
        columns = (steps[:, None] * self.side + steps).flatten() * self.side  # along z, y
        lowest = self.key[part, None] + columns - RINGS
        start, end = self.begin[lowest], self.begin[lowest + 2 * RINGS + 1]
        lane = torch.arange(int((end - start).max()), device=self.key.device)
        place = (start[..., None] + lane).flatten(1)
        there = (lane < (end - start)[..., None]).flatten(1)
        others = self.order[torch.where(there, place, 0)]
        own = self.seeds[self.rows[part], None]
        away = self.seeds[others] - own
        square = away[..., 0] * away[..., 0] + away[..., 1] * away[..., 1]
        square = torch.where(there, square + away[..., 2] * away[..., 2], torch.inf)
        least, which = square.topk(min(NEIGHBOURS + 2, square.shape[1]), largest=False)
        clear = (least.diff(dim=1) > 0).all(1)
        seen = least[:, -1] < self._covered(part).square()
        index = others.gather(1, which[:, 1 : NEIGHBOURS + 1])
        return index, clear & seen & (len(least[0]) == NEIGHBOURS + 2)

    def _covered(self, part: slice) -> Tensor:
        """Radius of a ball round each of the rows that the searched bins hold for certain."""
        inner = self.seeds[self.rows[part]] - self.low[part]
        below = inner - (self.bin[part] - 2 * RINGS) * self.edge
        above = (self.bin[part] + 1) * self.edge - inner
        return torch.minimum(below, above).amin(1) * (1 - 1e-9)


def _columns(vectors: Tensor) -> Three:
    """Components of vectors (..., 3)."""
    x, y, z = vectors.unbind(-1)
    return x, y, z


def _put(arrays: Sequence[NDArray[np.float64]], device: str) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays)).to(device)
