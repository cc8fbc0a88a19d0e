"""From orientations or labels of pixels to the grains of a section.

Two neighbouring pixels (that share an edge) are of one grain if the angle between their
crystals is below a threshold; grains are the connected components. Pixels without
orientation join nothing and are bridged by nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...grains.misorientation import disorientation_deg
from ...markers.orientations import multiply

BLOCK = 65_536  # pairs of pixels whose misorientation is computed at a time
ROUNDS = 3  # of a mean: the symmetries nearest to it, the mean of these, and again
OUTSIDE_PART = 0.01  # of the image: a smaller gap at its border is missing, not outside


@dataclass(frozen=True, kw_only=True)
class ReconstructionSettings:
    """How grains and the outline of a section are found.

    Parameters
    ----------
    threshold_deg
        Neighbouring pixels are of one grain if their disorientation is below it, degrees.
    min_pixels
        Grains with fewer pixels are taken for noise: their pixels become missing.
    gap_px
        Gaps between grains of up to twice this width are part of the section, pixels.
    """

    threshold_deg: float = 5.0
    min_pixels: int = 4
    gap_px: float = 2.0

    def __post_init__(self) -> None:
        limits = {"threshold_deg": (0.1, 60), "min_pixels": (1, 1e6), "gap_px": (0, 50)}
        for field in fields(self):
            low, high = limits[field.name]
            value = getattr(self, field.name)
            if not low <= value <= high:  # true for NaN
                msg = f"{field.name} is {value}, expected {low} to {high:g}"
                raise FitError(msg)


def grains_of_orientations(
    quaternions: NDArray[np.float64],
    indexed: NDArray[np.bool_],
    symmetries: NDArray[np.float64],
    threshold_deg: float,
) -> NDArray[np.int32]:
    """Grain of each pixel, (ny, nx): 1 ... n in the order of first pixels, 0 if not indexed.

    Memory takes about 100 bytes for each pixel.

    Parameters
    ----------
    quaternions
        (ny, nx, 4) float, unit quaternions (w, x, y, z), crystal to sample.
    indexed
        (ny, nx) bool.
    symmetries
        (k, 4) float, proper rotations of the crystal.
    threshold_deg
        Degrees.
    """
    flat = quaternions.reshape(-1, 4)

    def alike(first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
        joined = np.empty(len(first), bool)
        for start in range(0, len(first), BLOCK):
            rows = slice(start, start + BLOCK)
            angles = disorientation_deg(flat[first[rows]], flat[second[rows]], symmetries)
            joined[rows] = angles < threshold_deg
        return joined

    return _components(indexed, alike)


def mean_orientations(
    labels: NDArray[np.int32],
    quaternions: NDArray[np.float64],
    symmetries: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean orientation of each grain 1 ... n, (n, 4) unit quaternions, crystal to sample.

    Of the orientations of a pixel that look alike the one nearest to the mean counts: the mean
    has the least sum of squared chords to them, and w >= 0.

    Parameters
    ----------
    labels
        (ny, nx) int32, 1 ... n without a gap for grains.
    quaternions
        (ny, nx, 4) float, unit quaternions (w, x, y, z), crystal to sample.
    symmetries
        (k, 4) float, proper rotations of the crystal.
    """
    of_grains = labels > 0
    rows, q = labels[of_grains] - 1, quaternions[of_grains]
    mean: NDArray[np.float64] = q[np.unique(rows, return_index=True)[1]]
    for _ in range(ROUNDS):
        total = np.zeros_like(mean)
        for start in range(0, len(q), BLOCK):
            part = slice(start, start + BLOCK)
            np.add.at(total, rows[part], _nearest_alike(q[part], mean[rows[part]], symmetries))
        mean = total / np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(mean[:, :1] < 0, -mean, mean)


def _nearest_alike(
    q: NDArray[np.float64], reference: NDArray[np.float64], symmetries: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the quaternions +-q s (m, 4) that look like q the nearest to the reference."""
    conjugate = np.array([1.0, -1.0, -1.0, -1.0])
    cosines = multiply(reference * conjugate, q) @ (symmetries * conjugate).T
    best = np.abs(cosines).argmax(axis=1)
    sign = np.sign(cosines[np.arange(len(q)), best])
    return multiply(q, symmetries[best]) * sign[:, None]


def pieces(labels: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Labels 1 ... n of the pieces, connected through edges, of each label above 0.

    Examples
    --------
    >>> pieces(np.array([[7, 0, 7], [7, 5, 5]]))
    array([[1, 0, 2],
           [1, 3, 3]], dtype=int32)
    """
    flat = labels.ravel()
    return _components(labels > 0, lambda first, second: flat[first] == flat[second])


def _components(present: NDArray[np.bool_], alike: Any) -> NDArray[np.int32]:
    """Components of the graph of present pixels; ``alike`` says which pairs are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [_joined(present, axis, alike) for axis in (0, 1)]
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    size = present.size
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    del pairs, first, second
    found = connected_components(graph, directed=False)[1]
    labels = np.zeros(present.shape, np.int32)
    labels[present] = _in_order(found[present.ravel()])
    return labels


def _joined(
    present: NDArray[np.bool_], axis: int, alike: Any
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Indices of neighbours along an axis that are joined."""
    index = np.arange(present.size, dtype=np.int32).reshape(present.shape)
    low, high = (np.moveaxis(index, axis, 0)[rows] for rows in (slice(-1), slice(1, None)))
    both = present.ravel()[low] & present.ravel()[high]
    first, second = low[both], high[both]
    kept = alike(first, second)
    return first[kept], second[kept]


def _in_order(found: NDArray[Any]) -> NDArray[np.int32]:
    """Numbers 1, 2, ... in the order in which the values (m,) first appear."""
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1, dtype=np.int32)
    ordered: NDArray[np.int32] = rank[inverse]
    return ordered


def renumbered(labels: NDArray[np.int32], kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Labels (ny, nx) with the grains that are kept, numbered 1, 2, ... anew; the rest 0.

    Parameters
    ----------
    kept
        (n,) bool, of the grains 1 ... n.
    """
    numbers = np.zeros(len(kept) + 1, np.int32)
    numbers[1:][kept] = np.arange(1, np.count_nonzero(kept) + 1, dtype=np.int32)
    anew: NDArray[np.int32] = numbers[labels]
    return anew


def section_outline(grains: NDArray[np.bool_], gap_px: float) -> NDArray[np.bool_]:
    """Pixels of the particle's section: its grains, and what is missing between them.

    1. The pixels of grains are closed with a disc of radius ``gap_px``: cracks, grain
       boundaries and missing pixels at the rim belong to the section.
    2. Of the rest, regions (connected through edges) that reach the image's border and
       have at least `OUTSIDE_PART` of it are outside. Holes are not, whatever their size,
       nor are small gaps at the border of a map that shows no outside.
    3. Of what is not outside, the largest region is the section; grains elsewhere are other
       particles or noise.

    Parameters
    ----------
    grains
        (ny, nx) bool.
    """
    from scipy import ndimage

    regions = ndimage.label(~_closed(grains, gap_px))[0]
    sizes = np.bincount(regions.ravel())
    at_border = np.zeros(len(sizes), bool)
    for edge in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        at_border[edge] = True
    at_border[0] = False
    outside = at_border & (sizes >= OUTSIDE_PART * grains.size)
    parts = ndimage.label(~outside[regions])[0]
    largest = np.bincount(parts[grains], minlength=2)[1:].argmax() + 1
    section: NDArray[np.bool_] = parts == largest
    return section


def _closed(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Morphological closing with a disc; what is beyond the image does not open anything."""
    from scipy import ndimage

    wide = ndimage.distance_transform_edt(~mask) <= radius
    if wide.all():
        return wide
    closed: NDArray[np.bool_] = ndimage.distance_transform_edt(wide) > radius
    return closed
