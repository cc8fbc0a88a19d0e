r"""A restricted GBPD in the plane, fitted to one labelled section: Section 2.5, "ground truth".

Seeds, radial and transverse entry of D_i, and r_i of every grain are moved by Adam along the
gradient of the cross-entropy between the soft indicators of Eq. (11) and the labels. Only
the few best grains of a pixel weigh in its softmax; who they are is looked up again from
time to time. Missing pixels do not count: the fitted tessellation fills them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from ...errors import FitError
from ...progress import Progress, quiet
from ..sections.section import Section
from .cutouts import SOFTNESS
from .planar_tessellation import SectionTessellation

LARGEST_ENTRY = 50.0  # of D_i, as the marker net has it
SMALLEST_ENTRY = 0.3  # at the start
OFFSETS = (1.0, 10.0)  # between which r_i lies, as the marker net has it
SHARPNESS = 2.5  # at the start: of the indicators, in mean grain radii per unit of the norm
FARTHEST_SEED = 60.0  # pixels from a pixel to the seeds that are looked at


@dataclass(frozen=True, kw_only=True)
class PlanarFitSettings:
    """How a section is fitted.

    Parameters
    ----------
    steps
        Of Adam.
    candidates
        Grains that a pixel's softmax is taken over.
    refresh
        Steps after which they are looked up again.
    rate, seed_rate
        Learning rates of D_i and r_i, and of the seeds in pixels.
    squared
        Whether the square of the norm is used, as in an anisotropic power diagram.
    """

    steps: int = 200
    candidates: int = 10
    refresh: int = 50
    rate: float = 0.05
    seed_rate: float = 0.1
    squared: bool = False


def fit_section(
    section: Section,
    settings: PlanarFitSettings,
    progress: Progress = quiet,
) -> SectionTessellation:
    """Tessellation of one section, a cell for each of its grains.

    Raises
    ------
    FitError
        If there are fewer than two grains.
    """
    n_grains = section.n_grains
    if n_grains < 2:
        msg = f"{section.source} has {n_grains} grain, expected two or more for a tessellation"
        raise FitError(msg)
    y, x = np.nonzero(section.labels > 0)
    points = np.stack([x - section.centre[1], y - section.centre[0]], axis=1)
    labels = section.labels[y, x].astype(np.int64) - 1
    seeds, diagonals = _moments(points, labels, n_grains)
    parameters = [torch.tensor(seeds), _logit(diagonals / LARGEST_ENTRY), torch.zeros(n_grains)]
    parameters = [p.float().requires_grad_() for p in parameters]
    optimiser = torch.optim.Adam(
        [{"params": parameters[:1], "lr": settings.seed_rate},
         {"params": parameters[1:], "lr": settings.rate}]
    )  # fmt: skip
    place = torch.tensor(points, dtype=torch.float32)
    for step in range(settings.steps):
        if step % settings.refresh == 0:
            progress("fitting a section", step / settings.steps)
            near, target = _candidates(points, labels, parameters, settings)
        loss = _cross_entropy(place, near, target, parameters, settings.squared)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return _fitted(points, labels, parameters, settings)


def _moments(
    points: NDArray[np.float64], labels: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centroids (n, 2), and entries of D (n, 2) from the variances along and across the radius."""
    area = np.bincount(labels, minlength=n).astype(float)
    seeds = np.stack([np.bincount(labels, p, n) / area for p in points.T], axis=1)
    radial = seeds / (np.linalg.norm(seeds, axis=1, keepdims=True) + 1e-9)
    away, e = points - seeds[labels], radial[labels]
    along = (away * e).sum(axis=1)
    across = away[:, 1] * e[:, 0] - away[:, 0] * e[:, 1]
    variances = np.stack(
        [np.bincount(labels, v * v, n) / area + 1 / 12 for v in (along, across)], axis=1
    )
    radius = math.sqrt(area.mean() / math.pi)
    diagonals = (SHARPNESS * radius) ** 2 / 4 / variances
    return seeds, np.clip(diagonals, SMALLEST_ENTRY, 0.9 * LARGEST_ENTRY)


def _logit(part: NDArray[np.float64]) -> Tensor:
    return torch.tensor(np.log(part / (1 - part)))


def _markers(parameters: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Seeds (g, 2), entries of D (g, 2), offsets (g,)."""
    seeds, raw, raw_offsets = parameters
    low, high = OFFSETS
    return (
        seeds,
        LARGEST_ENTRY * torch.sigmoid(raw),
        low + (high - low) * torch.sigmoid(raw_offsets),
    )


def _table(parameters: list[Tensor]) -> Tensor:
    """(g, 6): seed, M_xx, M_xy, M_yy, r."""
    seeds, diagonals, offsets = _markers(parameters)
    radial = seeds / torch.sqrt((seeds**2).sum(dim=1, keepdim=True) + 1e-9)
    a, b = radial[:, 0], radial[:, 1]
    d0, d1 = diagonals[:, 0], diagonals[:, 1]
    matrix = [d0 * a * a + d1 * b * b, (d0 - d1) * a * b, d0 * b * b + d1 * a * a]
    return torch.stack([seeds[:, 0], seeds[:, 1], *matrix, offsets], dim=1)


def _cross_entropy(
    place: Tensor, near: Tensor, target: Tensor, parameters: list[Tensor], squared: bool
) -> Tensor:
    rows = torch.nn.functional.embedding(near, _table(parameters))  # (n, candidates, 6)
    x = place[:, None, 0] - rows[:, :, 0]
    y = place[:, None, 1] - rows[:, :, 1]
    square = rows[:, :, 2] * x * x + 2 * rows[:, :, 3] * x * y + rows[:, :, 4] * y * y
    norm = square if squared else torch.sqrt(square.clamp_min(0) + SOFTNESS)
    return torch.nn.functional.cross_entropy(rows[:, :, 5] - norm, target)


def _candidates(
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    parameters: list[Tensor],
    settings: PlanarFitSettings,
) -> tuple[Tensor, Tensor]:
    """The best grains of each pixel, its own among them, and where its own stands."""
    near = _best(points, parameters, settings.candidates, settings.squared)
    absent = ~(near == labels[:, None]).any(axis=1)
    near[absent, -1] = labels[absent]
    target = (near == labels[:, None]).argmax(axis=1)
    return torch.from_numpy(near), torch.from_numpy(target)


def _best(
    points: NDArray[np.float64], parameters: list[Tensor], n: int, squared: bool
) -> NDArray[np.int64]:
    """The ``n`` grains with the least scores at each pixel, (pixels, n), the best first."""
    with torch.no_grad():
        table = _table(parameters).double().numpy()
    best = np.zeros((len(points), min(n, len(table))), np.int64)
    _fill_best(points, table, squared, FARTHEST_SEED, best)
    return best


@njit(cache=True, nogil=True)
def _fill_best(points, table, squared, reach, best):  # type: ignore[no-untyped-def]
    k = best.shape[1]
    scores = np.empty(k)
    for p in range(len(points)):
        scores[:] = np.inf
        for i in range(len(table)):
            x, y = points[p, 0] - table[i, 0], points[p, 1] - table[i, 1]
            if x * x + y * y > reach * reach:
                continue
            score = table[i, 2] * x * x + 2 * table[i, 3] * x * y + table[i, 4] * y * y
            score = (score if squared else math.sqrt(max(score, 0.0))) - table[i, 5]
            if score < scores[k - 1]:
                j = k - 1
                while j > 0 and scores[j - 1] > score:
                    scores[j], best[p, j] = scores[j - 1], best[p, j - 1]
                    j -= 1
                scores[j], best[p, j] = score, i


def _fitted(
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    parameters: list[Tensor],
    settings: PlanarFitSettings,
) -> SectionTessellation:
    own = _best(points, parameters, 1, settings.squared)[:, 0]
    with torch.no_grad():
        seeds, diagonals, offsets = (m.double().numpy() for m in _markers(parameters))
    return SectionTessellation(seeds, diagonals, offsets, float((own == labels).mean()))
