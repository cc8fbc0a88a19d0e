r"""Cutouts with gradients: soft indicators on the pixels, the largest grains as channels.

Eq. (11) weighs the grains by :math:`e^{-f_i}`, f_i(x) = |x - s_i|_{M_i} - r_i: the boundaries of
its images are the wider, the smaller the markers are. But (c^2 D, c r) gives the same grains for
every c. A generator that is shown to a discriminator of sharp images therefore makes its markers
large, whatever the grains, until D meets its bound and has no spread left.

With a boundary width w the weights are :math:`e^{-\delta_i / w}` instead, with the distance of a
pixel from the boundary between grain i and the grain b that it belongs to, to first order

.. math:: \delta_i(x) = \frac{f_i(x) - f_b(x)}{|\nabla (f_i - f_b)(x)|}.

It is the same for all c: such images change only if boundaries move.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cutouts import CHANNELS, N_PIXELS, PIXEL_TERMS, SIZE, SOFTNESS

ABSENT = -1e9  # offset of a place in the batch without a grain: it weighs nothing
LEAST_SLOPE = 1e-2  # of differences of scores, 1/pixel: parallel ones are not infinitely far


def soft_images(
    quadratics: Tensor,
    offsets: Tensor,
    starts: NDArray[np.int64],
    boundary_width: float = 0.0,
) -> Tensor:
    """Weights of the grains at the pixels of each cutout, the largest first, (b, 12, 32, 32).

    Parameters
    ----------
    quadratics
        (n, 6), of the squared norms, as `cutouts.Grains` has them.
    offsets
        (n,), r_i.
    starts
        (b + 1,) where the grains of a cutout start.
    boundary_width
        w, pixels; 0: Eq. (11).
    """
    counts = np.diff(starts)
    n, most = len(counts), int(counts.max())
    places = np.repeat(np.arange(n) * most - starts[:-1], counts) + np.arange(starts[-1])
    index = torch.from_numpy(places).to(offsets.device)
    padded = quadratics.new_zeros(n * most, 6).index_copy(0, index, quadratics).view(n, most, 6)
    padded_offsets = offsets.new_full((n * most,), ABSENT).index_copy(0, index, offsets)
    terms = torch.from_numpy(PIXEL_TERMS).to(offsets.device)
    norms = torch.sqrt((padded @ terms).clamp_min(0) + SOFTNESS)
    scores = norms - padded_offsets.view(n, most, 1)
    if boundary_width:
        scores = _boundary_distances(padded, terms, norms, scores) / boundary_width
    return _largest(torch.softmax(-scores, dim=1)).view(n, CHANNELS, SIZE, SIZE)


def _boundary_distances(quadratics: Tensor, terms: Tensor, norms: Tensor, scores: Tensor) -> Tensor:
    """delta_i at each pixel, (b, n, pixels); 0 for the grain that owns it."""
    best = scores.detach().argmin(dim=1, keepdim=True)
    squares = torch.zeros_like(norms)
    for slopes in _slopes(quadratics, terms):
        slope = slopes / (2 * norms)
        squares = squares + (slope - slope.gather(1, best)) ** 2
    steepness = torch.sqrt(squares + LEAST_SLOPE**2)
    return (scores - scores.gather(1, best)) / steepness


def _slopes(quadratics: Tensor, terms: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of the squared norms along X and Y at each pixel, (b, n, pixels) each."""
    place = terms[3:]  # X, Y, 1
    c1, c2, c3, c4, c5, _ = quadratics.unbind(dim=2)
    along_x = torch.stack([2 * c1, c2, c4], dim=2) @ place
    along_y = torch.stack([c2, 2 * c3, c5], dim=2) @ place
    return along_x, along_y


def _largest(indicators: Tensor) -> Tensor:
    """The channels (b, 12, pixels) with the largest sums, empty ones where there are fewer."""
    n, most, _ = indicators.shape
    if most < CHANNELS:
        missing = indicators.new_zeros(n, CHANNELS - most, N_PIXELS)
        return _largest(torch.cat([indicators, missing], dim=1))
    rows = indicators.detach().sum(dim=2).topk(CHANNELS, dim=1).indices
    return torch.gather(indicators, 1, rows[:, :, None].expand(-1, -1, N_PIXELS))
