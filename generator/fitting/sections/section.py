"""Planar sections of particles: labelled grains, missing pixels, the outside, and a centre."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...progress import Step

OUTSIDE, MISSING = 0, -1

FEW_GRAINS = 50  # below which a section says little about the law of grains
FEW_PIXELS = 30  # of a mean grain, below which its shape is that of pixels
MANY_MISSING = 0.1  # part of the section; the paper has "a few" pixels missing


@dataclass(frozen=True, eq=False, repr=False)
class Section:
    """Grains that a plane shows of a particle.

    Rows are y, columns x; positions are those of the centres of pixels, the first at (0, 0).

    Parameters
    ----------
    labels
        (ny, nx) int32: 1 ... n for grains, each with a pixel; -1 where it is not known
        which grain a pixel of the particle belongs to; 0 outside the particle.
    pixel_um
        Edge of a pixel, um.
    centre
        (y, x) of the particle's centre, pixels: the origin of Eq. (4).
    source
        What was read or cut.
    steps
        What was done, in order.
    orientations
        (n, 4) float, unit quaternions (w, x, y, z) of the grains' crystals, means of their
        pixels, crystal to map: x along columns, y along rows, z into the map. None if the
        section was measured without.
    """

    labels: NDArray[np.int32]
    pixel_um: float
    centre: tuple[float, float]
    source: str
    steps: tuple[Step, ...] = ()
    orientations: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        given = np.asarray(self.labels)
        _require_labels(given)
        labels = np.array(given, np.int32, order="C")  # our own copy
        labels.flags.writeable = False
        object.__setattr__(self, "labels", labels)
        _require_pixel(self.pixel_um)
        _require_centre(self.centre, labels.shape)
        if self.orientations is not None:
            orientations = np.array(self.orientations, np.float64)
            _require_orientations(orientations, int(labels.max()))
            orientations.flags.writeable = False
            object.__setattr__(self, "orientations", orientations)

    def __repr__(self) -> str:
        height, width = self.labels.shape
        size = f"{width} x {height} pixels of {self.pixel_um:g} um"
        return f"Section({self.source}, {self.n_grains} grains, {size})"

    @property
    def n_grains(self) -> int:
        """Number of grains."""
        return int(self.labels.max())

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(ny, nx) pixels of the particle, missing ones among them."""
        return self.labels != OUTSIDE

    @property
    def missing_part(self) -> float:
        """Part of the particle's pixels that are missing."""
        return float(np.count_nonzero(self.labels == MISSING) / np.count_nonzero(self.inside))

    @property
    def pixel_counts(self) -> NDArray[np.int64]:
        """(n,) pixels of each grain."""
        counts = np.bincount(self.labels[self.labels > 0], minlength=self.n_grains + 1)
        return counts[1:].astype(np.int64)

    @property
    def mean_diameter_um(self) -> float:
        """Diameter of the disc with the mean area of the grains, um."""
        return float(2 * self.pixel_um * math.sqrt(self.pixel_counts.mean() / math.pi))

    @property
    def border_part(self) -> float:
        """Part of the image's border that is particle: above 0 the image may cut it off."""
        inside = self.inside
        edges = [inside[0], inside[-1], inside[1:-1, 0], inside[1:-1, -1]]
        return float(np.concatenate(edges).mean())

    @property
    def warnings(self) -> list[str]:
        """What a user should know before trusting the section."""
        found = []
        if self.n_grains < FEW_GRAINS:
            found.append(
                f"{self.source} shows {self.n_grains} grains, expected at least {FEW_GRAINS} for "
                "statistics; use more or larger sections"
            )
        if self.pixel_counts.mean() < FEW_PIXELS:
            found.append(
                f"{self.source} has {self.pixel_counts.mean():.3g} pixels in a mean grain, "
                f"expected at least {FEW_PIXELS} for its shape; measure with a smaller step"
            )
        if self.missing_part > MANY_MISSING:
            found.append(
                f"{self.source} lacks the grain of {self.missing_part:.0%} of its pixels, expected "
                f"at most {MANY_MISSING:.0%}; look at the indexing"
            )
        if self.border_part > 0:
            found.append(
                f"{self.source}: {self.border_part:.0%} of the image's border is particle, "
                "expected none: it may be cut off, and its centroid is not its centre"
            )
        return found

    def without_gaps(self, reach_px: float) -> NDArray[np.int32]:
        """(ny, nx) labels in which a missing pixel has that of the nearest known one.

        The outside is known as well. Pixels farther than ``reach_px`` from any stay missing.
        """
        from scipy import ndimage

        distance, nearest = ndimage.distance_transform_edt(
            self.labels == MISSING, return_indices=True
        )
        filled: NDArray[np.int32] = np.where(
            distance <= reach_px, self.labels[tuple(nearest)], self.labels
        )
        return filled


def centroid(inside: NDArray[np.bool_]) -> tuple[float, float]:
    """(y, x) of the centre of mass of pixels (ny, nx).

    Examples
    --------
    >>> centroid(np.ones((3, 6), bool))
    (1.0, 2.5)
    """
    total = np.count_nonzero(inside)
    y = inside.sum(axis=1) @ np.arange(inside.shape[0]) / total
    x = inside.sum(axis=0) @ np.arange(inside.shape[1]) / total
    return float(y), float(x)


def _require_labels(labels: NDArray[Any]) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.size == 0:
        msg = (
            f"labels have the shape {labels.shape} and the type {labels.dtype}, expected (ny, nx) "
            "whole numbers"
        )
        raise ValueError(msg)
    lowest, highest = int(labels.min()), int(labels.max())
    n_found = len(np.unique(labels[labels > 0]))
    if lowest < MISSING or highest < 1 or n_found != highest:
        msg = (
            f"labels run from {lowest} to {highest} with {n_found} grains, expected "
            f"{MISSING} (missing), {OUTSIDE} (outside) and 1 ... n without a gap"
        )
        raise ValueError(msg)


def _require_orientations(orientations: NDArray[np.float64], n_grains: int) -> None:
    if orientations.shape != (n_grains, 4):
        msg = f"orientations have the shape {orientations.shape}, expected ({n_grains}, 4)"
        raise ValueError(msg)
    lengths = np.linalg.norm(orientations, axis=1)
    if not np.allclose(lengths, 1, rtol=0, atol=1e-6):
        msg = f"orientations have lengths from {lengths.min():g} to {lengths.max():g}, expected 1"
        raise ValueError(msg)


def _require_pixel(pixel_um: float) -> None:
    if not (math.isfinite(pixel_um) and 1e-4 <= pixel_um <= 100):
        msg = f"the edge of a pixel is {pixel_um} um, expected 0.0001 to 100"
        raise FitError(msg)


def _require_centre(centre: tuple[float, float], shape: tuple[int, ...]) -> None:
    if not all(-0.5 <= at <= n - 0.5 for at, n in zip(centre, shape, strict=True)):  # or NaN
        msg = (
            f"the centre (y, x) is {tuple(centre)}, expected pixels of the image of "
            f"{shape[0]} x {shape[1]}; the first pixel is (0, 0)"
        )
        raise FitError(msg)
