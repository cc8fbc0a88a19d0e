"""Grains of a section in bins of their distance from the centre, as numbers that a fit compares.

In each bin of t, the distance of a grain's centre of mass from that of the particle over R: the
logarithm of grains per pixel, quantiles of the logarithms of area and aspect ratio, means of cos 2
theta and cos 4 theta, of cos 2 theta over the longer grains, and the correlation of the
logarithms of area and aspect ratio. Beyond the last bin, where the rim cuts most grains, the grains
per pixel alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..sections.descriptors import ORIENTED_PIXELS
from ..sections.section import Section
from . import piece_kernels
from .section_frames import SectionFrame

EDGES = (0.0, 0.25, 0.4, 0.55, 0.7, 0.88)  # grains farther out are mostly cut by the rim
AREA_PARTS = (0.1, 0.25, 0.5, 0.75, 0.9)
RATIO_PARTS = (0.25, 0.5, 0.75, 0.9)
LEAST_WHOLE = 20  # whole grains of all sections, below which a bin goes to its neighbour
EMPTY = 2  # whole grains, below which a simulated bin has the values of no grain

Floats = NDArray[np.float64]
Edges = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class PlaneGrains:
    """Measures of the grains of sections, as in `SectionDescriptors`, and where they lie.

    Parameters
    ----------
    pixel_count : (n,) int64
    theta : (n,) float
        Eq. (4), radians; NaN without a longest axis or on the centre.
    aspect_ratio : (n,) float
    t : (n,) float
        Relative distance of the centre of mass from that of the particle.
    cut : (n,) bool
        Whether the rim or the image cuts it.
    """

    pixel_count: NDArray[np.int64]
    theta: Floats
    aspect_ratio: Floats
    t: Floats
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of grains."""
        return len(self.t)

    @property
    def oriented(self) -> NDArray[np.bool_]:
        """(n,) bool, whole grains with pixels enough for a direction."""
        return ~self.cut & (self.pixel_count >= ORIENTED_PIXELS) & np.isfinite(self.theta)

    @classmethod
    def joined(cls, parts: Sequence[PlaneGrains]) -> PlaneGrains:
        """Grains of several sections."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def plane_grains(labels: NDArray[np.int32], frame: SectionFrame) -> PlaneGrains:
    """Measures of the grains 1 ... n of a section without gaps."""
    sums, cut = piece_kernels.sums(labels, int(labels.max()), *frame.centre)
    n, y, x = sums[:, 0], sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    yy, xx = sums[:, 3] / n - y * y + 1 / 12, sums[:, 4] / n - x * x + 1 / 12
    xy = sums[:, 5] / n - y * x
    half, middle = np.hypot((xx - yy) / 2, xy), (xx + yy) / 2
    angle = np.arctan2(2 * xy, xx - yy) / 2
    along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    aside = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    directed = (half >= 1e-9 * middle) & (np.hypot(x, y) >= 1e-9)
    return PlaneGrains(
        pixel_count=n.astype(np.int64),
        theta=np.where(directed, np.arctan2(aside, along), np.nan),
        aspect_ratio=np.sqrt((middle + half) / (middle - half)),
        t=frame.relative(y, x),
        cut=cut,
    )


def measured_grains(section: Section, frame: SectionFrame) -> PlaneGrains:
    """Measures of the grains of a measured section whose gaps are filled."""
    return plane_grains(section.without_gaps(math.inf), frame)


def bin_areas(frames: Sequence[SectionFrame], edges: Edges = EDGES) -> Floats:
    """(n_bins + 1,) pixels of all sections by their t, those beyond the bins last."""
    wide = (*edges, np.inf)
    return np.sum([np.histogram(f.t[f.inside], wide)[0] for f in frames], axis=0).astype(float)


def merged_edges(grains: PlaneGrains, edges: Edges = EDGES) -> Edges:
    """Edges of bins that all have `LEAST_WHOLE` whole grains: too poor ones go outwards.

    The outermost goes inwards. One bin is left at least.
    """
    t = grains.t[grains.oriented]
    found = [edges[0]]
    for edge in edges[1:]:
        if np.count_nonzero((t >= found[-1]) & (t < edge)) >= LEAST_WHOLE:
            found.append(edge)
    return (*found[:-1], edges[-1]) if len(found) > 1 else (edges[0], edges[-1])


class Statistic(NamedTuple):
    """Which number of `binned_statistics` it is: bin, from 0, and name."""

    bin: int
    name: str


def statistic_names(edges: Edges = EDGES) -> list[Statistic]:
    """Of all numbers, in their order."""
    names = [
        "grains per area",
        *(f"area, {part:.0%} quantile" for part in AREA_PARTS),
        *(f"aspect ratio, {part:.0%} quantile" for part in RATIO_PARTS),
        "mean cos 2 theta",
        "mean cos 4 theta",
        "cos 2 theta of the longer grains",
        "correlation of area and aspect ratio",
    ]
    rim = Statistic(len(edges) - 1, names[0])
    return [*(Statistic(k, name) for k in range(len(edges) - 1) for name in names), rim]


def bin_range(edges: Edges, k: int) -> tuple[float, float]:
    """From which t to which the bin ``k`` reaches; the one beyond the last reaches to 1."""
    low, high = (*edges, 1.0)[k : k + 2]
    return low, high


def binned_statistics(grains: PlaneGrains, areas: Floats, edges: Edges = EDGES) -> Floats:
    """The numbers of all bins, one after the other; named by `statistic_names`.

    Parameters
    ----------
    areas : (n_bins + 1,) float
        Pixels of each bin and beyond, of the sections that the grains are of.
    """
    where, whole = np.digitize(grains.t, edges) - 1, grains.oriented
    found = [
        _statistics(grains, where == k, whole & (where == k), area)
        for k, area in enumerate(areas[:-1])
    ]
    return np.concatenate([*found, [_density(where == len(edges) - 1, areas[-1])]])


def _density(there: NDArray[np.bool_], area: float) -> float:
    """Logarithm of grains per pixel, as if half a grain were there if there is none."""
    return math.log(max(float(np.count_nonzero(there)), 0.5) / max(area, 1.0))


def _statistics(
    grains: PlaneGrains, there: NDArray[np.bool_], whole: NDArray[np.bool_], area: float
) -> list[float]:
    density = _density(there, area)
    if np.count_nonzero(whole) < EMPTY:
        return [density, *[0.0] * (len(AREA_PARTS) + len(RATIO_PARTS) + 4)]
    sizes, ratios = np.log(grains.pixel_count[whole]), np.log(grains.aspect_ratio[whole])
    cosine = np.cos(2 * grains.theta[whole])
    longer = ratios > np.median(ratios)
    return [
        density,
        *np.quantile(sizes, AREA_PARTS),
        *np.quantile(ratios, RATIO_PARTS),
        cosine.mean(),
        (2 * cosine * cosine - 1).mean(),
        (cosine * longer).mean(),
        _correlation(sizes, ratios),
    ]


def _correlation(first: Floats, second: Floats) -> float:
    """Pearson's, 0 if one does not vary."""
    a, b = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0
