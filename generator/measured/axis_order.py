"""Whether a volume was read with the right lengths of its axes.

Voxels are like their neighbours; voxels that a wrong shape makes neighbours are not.
"""

from __future__ import annotations

from itertools import permutations
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAIRS = 2_000_000  # neighbours along an axis that are looked at
WORST_RATIO = 0.4  # of the least to the largest correlation; measured: axis_order_problem
GAIN = 0.01  # by which another order of the lengths correlates better in all, as a part
STANDARD_ERRORS = 5.0  # differences below are chance


def neighbour_correlation(values: NDArray[Any]) -> NDArray[np.float64]:
    """Pearson correlation of neighbouring voxels along z, y, x: (3,).

    Of whole lines, evenly spread, with at most about `PAIRS` pairs for each axis; takes about
    100 MB for them. NaN along an axis of one voxel, and if all values are equal.

    Parameters
    ----------
    values : (nz, ny, nx)
        Those that are not finite are left out.

    Examples
    --------
    >>> ramp = np.broadcast_to(np.arange(9.0), (4, 5, 9))
    >>> neighbour_correlation(ramp).round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    return np.array([_correlation(_lines(values, axis)) for axis in range(3)])


def _lines(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Lines (a, b, n) along an axis, evenly spread."""
    along = np.moveaxis(values, axis, 2)
    n_rows, n_columns, n = along.shape
    n_lines = max(1, PAIRS // n)
    every = min(n_rows, ceil(sqrt(n_rows * n_columns / n_lines)))
    column = min(n_columns, ceil(ceil(n_rows / every) * n_columns / n_lines))
    row = max(every, ceil(n_rows * ceil(n_columns / column) / n_lines))
    return along[::row, ::column]


def _correlation(lines: NDArray[Any]) -> float:
    first, second = (lines[..., part].astype(np.float64) for part in (slice(-1), slice(1, None)))
    finite = np.isfinite(first) & np.isfinite(second)
    first, second = first[finite], second[finite]
    if not first.size:
        return np.nan
    first -= first.mean()
    second -= second.mean()
    xx, xy, yy = (_dot(*pair) for pair in ((first, first), (first, second), (second, second)))
    return xy / sqrt(xx * yy) if xx * yy > 0 else np.nan


def _dot(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.einsum("i,i->", first, second))  # threads of a BLAS would cost more


def axis_order_problem(values: NDArray[Any]) -> str | None:
    """A sentence if a volume seems to have the wrong shape, else None.

    It seems so if neighbours correlate by `GAIN` more, in all, when the lengths of the axes are
    taken in another order, or along one axis by less than `WORST_RATIO` of the best. A raw file
    read in a wrong order of its lengths does both, mostly.

    Measured on the mask of a real electrode and on smoothed noise: as grey values, binary, in a
    round field of view, with up to three times as much white noise, in voxels of 3:1. The right
    order had 1.3 % to 50 % more correlation than any other. The worst axis of the right shape
    had over 0.66 of the best one's, where blobs were larger than voxels; with lengths divided
    by 2 or 5 on one axis and multiplied on another, so that strangers were neighbours, at most
    0.34.

    Not seen are: an exchange of equal lengths, so any in a cube; axes that the file itself has
    in another order; layers or lines joined in pairs, as in (nz, ny / 2, 2 nx), where neighbours
    are two voxels apart; a wrong type; anything in white noise or if all values are equal.
    Voxels more than about six times longer along one axis, which hardly correlate there, are
    taken for a wrong shape.

    Parameters
    ----------
    values : (nz, ny, nx)
        Other orders are tried only for an array in C order.
    """
    found = neighbour_correlation(values)
    if not np.isfinite(found).all():
        return None
    chance = STANDARD_ERRORS * sqrt(2 / min(PAIRS, values.size))
    order, other = _best_other_order(values)
    uneven = _ratio(found) < WORST_RATIO and np.ptp(found) > chance
    less = other.sum() - found.sum() > max(GAIN * other.sum(), sqrt(3) * chance)
    if not (uneven or less):
        return None
    z, y, x = found.tolist()
    said = f"neighbours in the shape {values.shape} correlate by {z:.3f}, {y:.3f}, {x:.3f}"
    if less and _ratio(other) >= WORST_RATIO:
        return f"{said} along z, y, x, but more in {order}: read it so, or correct the shape"
    return (
        f"{said} along z, y, x, expected about as much along each: correct the shape, unless "
        f"voxels are much longer along {'zyx'[int(found.argmin())]}"
    )


def _ratio(correlation: NDArray[np.float64]) -> float:
    return float(correlation.min() / correlation.max()) if correlation.max() > 0 else 0.0


def _best_other_order(values: NDArray[Any]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """The other order of the lengths that has the largest correlations, and these."""
    orders = set(permutations(values.shape)) if values.flags.c_contiguous else {values.shape}
    found = {values.shape: np.full(3, -np.inf)} | {
        shape: neighbour_correlation(values.reshape(shape))
        for shape in sorted(orders - {values.shape})
    }
    best = max(found, key=lambda shape: float(found[shape].sum()))
    return best, found[best]
