"""The pixels of a measured section, on which sections of a law are made and treated alike.

Missing pixels lie mostly at the boundaries of the measured grains: laid over other grains their
mask would pierce these. Therefore measured sections are compared without gaps, every missing pixel
with the grain of the nearest known one, and so are simulated ones, whose pixels are made
missing at random first: as many as measured at their own boundaries, as many as measured elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..sections.phantom import boundary_weights
from ..sections.section import MISSING, OUTSIDE, Section
from . import piece_kernels

LEAST_PIXELS = 4  # of a grain; `read_section` keeps as small ones by default
FAR_PX = 8  # how far a simulated missing pixel looks for a known one

Labels = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class SectionFrame:
    """Outline, centre, size and gaps of a section.

    Parameters
    ----------
    inside : (ny, nx) bool
        Pixels of the particle.
    centre
        (y, x) of the particle's centre above the plane, pixels.
    height
        Distance of the plane from the centre, pixels.
    radius
        R of the particle, pixels: of the disc with the area of the section, and ``height`` off it.
    missing
        Parts of the pixels that are missing: at boundaries of grains, and elsewhere.
    least_pixels
        Of a grain; smaller ones are missing.
    """

    inside: NDArray[np.bool_]
    centre: tuple[float, float]
    height: float
    radius: float
    missing: tuple[float, float] = (0.0, 0.0)
    least_pixels: int = LEAST_PIXELS

    @classmethod
    def of(cls, section: Section, height: float = 0.0) -> SectionFrame:
        """Frame of a section at a distance from the centre, pixels."""
        inside = section.inside
        flat = math.sqrt(np.count_nonzero(inside) / math.pi)
        radius = math.hypot(flat, height)
        return cls(inside, section.centre, height, radius, _missing_parts(section))

    @cached_property
    def t(self) -> NDArray[np.float64]:
        """(ny, nx) relative distances of pixels from the particle's centre."""
        places = np.indices(self.inside.shape)
        return self.relative(places[0] - self.centre[0], places[1] - self.centre[1])

    @cached_property
    def farthest(self) -> float:
        """Largest distance of a pixel from the point below the centre, pixels."""
        y, x = np.nonzero(self.inside)
        return float(np.hypot(y - self.centre[0], x - self.centre[1]).max())

    def relative(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative radii t of points of the plane, pixels about the centre."""
        return np.sqrt(y * y + x * x + self.height**2) / self.radius

    def mapped(self, labels: Labels, chance: NDArray[np.floating]) -> Labels:
        """Labels 1 ... n, 0 outside, of a cut, as those of a measured section without gaps.

        Parameters
        ----------
        labels : (ny, nx) int32
            Of `plane_labels`: -1 outside.
        chance : (ny, nx) float
            Uniform in [0, 1): which pixels are missing.
        """
        at_boundaries, elsewhere = self.missing
        shown = labels + np.int32(1)
        if at_boundaries or elsewhere:
            part = np.where(boundary_weights(shown) > 1, at_boundaries, elsewhere)
            shown[self.inside & (chance < part)] = MISSING
        found, counts = piece_kernels.pieces(shown)
        return piece_kernels.fill(_without_small(found, counts, self.least_pixels), _STEPS)


def _without_small(found: Labels, counts: NDArray[np.int64], least: int) -> Labels:
    """Labels numbered again without grains of too few pixels, which are missing."""
    kept = counts >= least
    numbers = np.where(kept, np.cumsum(kept), MISSING).astype(np.int32)
    numbers[0] = OUTSIDE
    return np.where(found == MISSING, np.int32(MISSING), numbers[found.clip(min=0)])


def _missing_parts(section: Section) -> tuple[float, float]:
    """Parts of the pixels at boundaries, and of the others, that are missing."""
    filled = section.without_gaps(math.inf)
    border = section.inside & (boundary_weights(filled) > 1)
    missing = section.labels == MISSING
    places = (border, section.inside & ~border)
    at_border, elsewhere = (float(missing[w].mean()) if w.any() else 0.0 for w in places)
    return at_border, elsewhere


def _steps(reach: int) -> NDArray[np.int64]:
    """Displacements (m, 2) of pixels within ``reach``, the nearest first."""
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    away = y * y + x * x
    order = np.argsort(away, kind="stable")
    order = order[(away[order] > 0) & (away[order] <= reach * reach)]
    return np.column_stack([y, x])[order]


_STEPS = _steps(FAR_PX)
