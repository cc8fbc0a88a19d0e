"""Grains of many particles on a torch device: from seed points to the grains of their recipes.

What comes out has the bits of a processor's: markers and matrices are rounded, and the rest is
arithmetic that IEEE 754 defines (`radial_frame`, `tessellation.cholesky`, `reach_triton`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..devices import current
from ..markers.device_markers import DeviceMarkers, Window, rounded_markers
from ..markers.marker_law import CardLaw, Markers
from ..markers.radial_frame import UPPER, matrix_entries, symmetric
from ..shell.shell import Shell
from .device_reach import ReachBatch, reachable
from .tessellation import BoxGrid, Metric, absolute_sum, cholesky, farthest, rounding_slack

DIAGONAL = [UPPER.index((k, k)) for k in range(3)]


class GrainModel(NamedTuple):
    """What a model card says of grains.

    Parameters
    ----------
    law, factors
        Markers are those of the law times the factors, one row.
    metric
        "norm" or "squared".
    intensity
        Seed points per cubic pixel.
    pixel_um
        Edge of a pixel.
    resolution
        Of the search for reachable grains, um.
    """

    law: CardLaw
    factors: Markers
    metric: Metric
    intensity: float
    pixel_um: float
    resolution: float


class ReachedGrains(NamedTuple):
    """The grains of a window that can own a point inside its shell.

    Parameters
    ----------
    rows : (k,) int
        Among the rows of the window.
    markers
        Of these grains, rounded.
    matrices : (k, 3, 3) float
        M_i, rounded, 1 / pixel^2.
    """

    rows: NDArray[np.intp]
    markers: Markers
    matrices: NDArray[np.float64]


def reached_grains(
    model: GrainModel, windows: Sequence[Window], shells: Sequence[Shell], device: str
) -> list[ReachedGrains] | None:
    """Grains of each window; None if a matrix is not positive definite.

    Raises
    ------
    DeviceError
        If the memory of the device does not suffice.
    """
    with current(device, "make smaller particles"):
        markers = rounded_markers(model.law, windows, model.intensity, model.factors, device)
        d1, d2, d3 = markers.diagonals.T
        entries = torch.stack(matrix_entries(markers.frame, (d1, d2, d3), torch), 1)
        scaled = _factors(entries / model.pixel_um**2)
        if not bool((_positive(_factors(entries)) & _positive(scaled)).all()):
            return None
        bounds = [0, *np.cumsum([len(w.rows) for w in windows]).tolist()]
        spans = [slice(a, b) for a, b in pairwise(bounds)]
        batch = _reach_batch(model, windows, shells, markers.offsets, scaled, spans)
        return _reached(markers, entries, reachable(batch), spans)


def _factors(entries: Tensor) -> Tensor:
    """Entries of U, (n, 6), from those of M."""
    return torch.stack(cholesky(entries.unbind(1), torch), 1)


def _positive(factors: Tensor) -> Tensor:
    """Whether a matrix with these factors (n, 6) is positive definite, (n,)."""
    return factors.isfinite().all(1) & (factors[:, DIAGONAL] > 0).all(1)


def _reach_batch(
    model: GrainModel,
    windows: Sequence[Window],
    shells: Sequence[Shell],
    offsets: Tensor,
    factors: Tensor,
    spans: Sequence[slice],
) -> ReachBatch:
    """What `device_reach` takes, lengths in um."""
    seeds = [w.points.seeds[w.rows] * model.pixel_um for w in windows]
    grids = [BoxGrid.around(shell, model.resolution) for shell in shells]
    sums, squared = absolute_sum(factors.unbind(1)), model.metric == "squared"
    slacks = [
        rounding_slack(
            float(sums[span].max()), float(offsets[span].abs().max()),
            farthest(own, -grid.lower), squared,
        )
        for span, own, grid in zip(spans, seeds, grids, strict=True)
    ]  # fmt: skip
    columns = [
        torch.from_numpy(np.concatenate(seeds)).to(offsets.device),
        factors,
        offsets[:, None],
    ]
    first = [span.start for span in spans]
    return ReachBatch(torch.cat(columns, 1), first, slacks, shells, grids, squared)


def _reached(
    markers: DeviceMarkers, entries: Tensor, marked: Tensor, spans: Sequence[slice]
) -> list[ReachedGrains]:
    """What comes to the processor: the marked grains only."""
    rows = marked.nonzero()[:, 0]
    numbers = torch.cat([markers.diagonals, markers.offsets[:, None], entries], 1)[rows]
    places, columns = rows.cpu().numpy(), numbers.cpu().numpy()
    found = []
    for span in spans:
        own = slice(*np.searchsorted(places, [span.start, span.stop]))
        drawn = Markers(columns[own, :3], columns[own, 3])
        found.append(ReachedGrains(places[own] - span.start, drawn, symmetric(columns[own, 4:])))
    return found
