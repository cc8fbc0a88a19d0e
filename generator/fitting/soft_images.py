"""Cutouts with gradients: Eq. (11) on the pixels, the largest grains as channels, Eq. (16)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cutouts import CHANNELS, N_PIXELS, PIXEL_TERMS, SIZE, SOFTNESS

ABSENT = -1e9  # offset of a place in the batch without a grain: it weighs nothing


def soft_images(
    quadratics: Tensor,
    offsets: Tensor,
    starts: NDArray[np.int64],
    sharpness: Tensor | float = 1.0,
) -> Tensor:
    """T_i at the pixels of each cutout, its largest grains first, (b, 12, 32, 32).

    Parameters
    ----------
    quadratics
        (n, 6), of the squared norms, as `cutouts.Grains` has them.
    offsets
        (n,), r_i.
    starts
        (b + 1,) where the grains of a cutout start.
    sharpness
        Factor of all scores: 1 is Eq. (11).
    """
    counts = np.diff(starts)
    n, most = len(counts), int(counts.max())
    places = np.repeat(np.arange(n) * most - starts[:-1], counts) + np.arange(starts[-1])
    index = torch.from_numpy(places).to(offsets.device)
    padded = quadratics.new_zeros(n * most, 6).index_copy(0, index, quadratics)
    padded_offsets = offsets.new_full((n * most,), ABSENT).index_copy(0, index, offsets)
    terms = torch.from_numpy(PIXEL_TERMS).to(offsets.device)
    squares = padded.view(n, most, 6) @ terms
    norms = torch.sqrt(squares.clamp_min(0) + SOFTNESS)
    scores = sharpness * (padded_offsets.view(n, most, 1) - norms)
    indicators = torch.softmax(scores, dim=1)
    return _largest(indicators).view(n, CHANNELS, SIZE, SIZE)


def _largest(indicators: Tensor) -> Tensor:
    """The channels (b, 12, pixels) with the largest sums, empty ones where there are fewer."""
    n, most, _ = indicators.shape
    if most < CHANNELS:
        missing = indicators.new_zeros(n, CHANNELS - most, N_PIXELS)
        return _largest(torch.cat([indicators, missing], dim=1))
    rows = indicators.detach().sum(dim=2).topk(CHANNELS, dim=1).indices
    return torch.gather(indicators, 1, rows[:, :, None].expand(-1, -1, N_PIXELS))
