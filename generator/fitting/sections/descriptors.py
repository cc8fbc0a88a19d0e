r"""Size, shape and orientation of the grains of a section, and whether they point to its centre.

Eq. (4): theta is the angle in [0, pi/2] between the first principal axis of a grain's pixels
and the line from the particle's centre to that of the grain. Without preferred orientation it
is uniform.

**Which sections are kept.** The alignment is A = mean(cos 2 theta) over whole grains: 1 if
all point to the centre, 0 for a uniform theta, -1 if all lie across. For n independent angles
without preferred orientation it has the mean 0 and the variance 1 / (2n), and is normal to good
accuracy from n = 10 on. A section is kept if A is larger than 0 by a one-sided test, and at
least ``least_alignment``. The test is that of Rayleigh for a mean direction that is known,
which is the most powerful one against angles that concentrate there; Kolmogorov and Smirnov's
also rejects uniformity when grains lie across, which is no reason to keep a section.

Grains that are cut off, by the rim of the particle or by the image, are cut along it and so lie
across: they are left out of theta's statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from .section import OUTSIDE, Section

REACH_PX = 2.0  # how far neighbours, outside and boundaries are looked for beyond missing pixels
ORIENTED_PIXELS = 8  # a grain of fewer has no measured direction
LEVEL = 0.01

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SectionDescriptors:
    """Measures of the grains of a section; row i is the grain with label i + 1.

    Parameters
    ----------
    pixel_count
        (n,) int64.
    area_um2
        (n,) float, pixels times the area of one, um^2.
    theta
        (n,) float in [0, pi/2], Eq. (4), radians; NaN if the grain has no longest axis or
        lies on the centre.
    aspect_ratio
        (n,) float, longer over shorter axis of the ellipse with the same second moments.
    perimeter_um
        (n,) float, length of the boundary by Crofton's formula in four directions, um:
        within 0.3 % for discs; a straight edge is 5.2 % too short along axes and diagonals
        and 2.2 % too long half-way between.
    n_neighbours
        (n,) int64, grains that share an edge of a pixel with it.
    cut
        (n,) bool, whether the rim of the particle or the image cuts the grain: it touches
        what is outside, or the border of the image.
    relative_radius
        (n,) float, t: distance of the centre of the grain's pixels from the particle's over
        `disc_radius`.
    """

    pixel_count: NDArray[np.int64]
    area_um2: Floats
    theta: Floats
    aspect_ratio: Floats
    perimeter_um: Floats
    n_neighbours: NDArray[np.int64]
    cut: NDArray[np.bool_]
    relative_radius: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            array = getattr(self, field.name)
            if array.shape != (len(self),):
                msg = f"{field.name} has the shape {array.shape}, expected ({len(self)},)"
                raise ValueError(msg)
            array.flags.writeable = False

    def __len__(self) -> int:
        """Number of grains."""
        return len(self.pixel_count)

    @property
    def oriented(self) -> NDArray[np.bool_]:
        """(n,) bool, whole grains with pixels enough for a direction."""
        return ~self.cut & (self.pixel_count >= ORIENTED_PIXELS) & np.isfinite(self.theta)


def section_descriptors(section: Section) -> SectionDescriptors:
    r"""Descriptors of the grains of a section.

    Areas, axes and theta are those of the pixels that are labelled. The covariance of a
    grain is that of the centres of its pixels plus that of one pixel, 1/12 in both
    directions, so that the aspect ratio of a rectangle is exact. For boundaries (perimeter,
    neighbours, cut) missing pixels within `REACH_PX` of a known one count to the nearest.
    """
    counts = section.pixel_counts
    mean, covariance = grain_moments(section.labels, counts)
    angle, ratio = long_axes(covariance)
    across = section.without_gaps(REACH_PX)
    offset = mean - np.array(section.centre)
    return SectionDescriptors(
        pixel_count=counts,
        area_um2=counts.astype(np.float64) * section.pixel_um**2,
        theta=_theta(angle, offset),
        aspect_ratio=ratio,
        perimeter_um=crofton_perimeters(across) * section.pixel_um,
        n_neighbours=_neighbour_counts(across),
        cut=_cut(across),
        relative_radius=np.hypot(*offset.T) / disc_radius(section),
    )


def disc_radius(section: Section) -> float:
    """Radius of the disc with the section's area, missing pixels included, pixels."""
    return math.sqrt(np.count_nonzero(section.inside) / math.pi)


def mean_radius(sections: Sequence[Section]) -> float:
    """Mean of `disc_radius`, pixels: of the particle that all sections stand for."""
    return float(np.mean([disc_radius(section) for section in sections]))


def pixel_radii(section: Section) -> Floats:
    """(ny, nx) distance of each pixel from the particle's centre over `disc_radius`."""
    y, x = np.indices(section.labels.shape)
    away: Floats = np.hypot(y - section.centre[0], x - section.centre[1])
    return away / disc_radius(section)


def grain_moments(labels: NDArray[np.int32], counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Means (n, 2) of y and x of each grain, and covariances (n, 3) yy, xx, xy, pixels."""
    n, (y, x) = len(counts), np.nonzero(labels > 0)
    ids = labels[y, x] - 1
    mean = np.stack([np.bincount(ids, w, n) for w in (y, x)], axis=1) / counts[:, None]
    y_off, x_off = y - mean[ids, 0], x - mean[ids, 1]
    squares = (y_off * y_off, x_off * x_off, x_off * y_off)
    covariance = np.stack([np.bincount(ids, w, n) for w in squares], axis=1) / counts[:, None]
    return mean, covariance + np.array([1 / 12, 1 / 12, 0.0])


def long_axes(covariance: Floats) -> tuple[Floats, Floats]:
    """Angle of the longest axis from x towards y, radians, and the aspect ratio, both (n,)."""
    yy, xx, xy = covariance.T
    half_difference = np.hypot((xx - yy) / 2, xy)
    middle = (xx + yy) / 2
    angle = np.arctan2(2 * xy, xx - yy) / 2
    angle[half_difference < 1e-9 * middle] = np.nan
    return angle, np.sqrt((middle + half_difference) / (middle - half_difference))


def _theta(angle: Floats, offset: Floats) -> Floats:
    """Eq. (4) for axes at an angle (n,) and offsets (n, 2) = (y, x) from the centre."""
    y, x = offset.T
    along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    aside = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    theta: Floats = np.arctan2(aside, along)
    theta[np.hypot(x, y) < 1e-9] = np.nan
    return theta


def crofton_perimeters(labels: NDArray[np.int32]) -> Floats:
    r"""Perimeters (n,) of the labels 1 ... n of an image (ny, nx), pixels.

    :math:`L = \frac{\pi}{8} \sum_{k=1}^{4} h_k N_k`: lines in the four directions along
    axes and diagonals, at distances h of 1 and 1/sqrt(2) pixels, cross the boundary N times.

    Examples
    --------
    >>> crofton_perimeters(np.ones((1, 1), np.int32)).round(4)  # pi/8 (2 + 2 + sqrt(8))
    array([2.6815])
    """
    wide = np.pad(np.maximum(labels, OUTSIDE), 1)
    lengths = np.zeros(int(wide.max()) + 1)
    for first, second, distance in _lines(wide):
        differ = first != second
        for side in (first, second):
            lengths += distance * np.bincount(side[differ], minlength=len(lengths))
    return math.pi / 8 * lengths[1:]


def _lines(
    wide: NDArray[np.int32],
) -> list[tuple[NDArray[np.int32], NDArray[np.int32], float]]:
    """Pairs of pixels that follow each other on lines in four directions, and their distance."""
    diagonal = math.sqrt(0.5)
    return [
        (wide[:, 1:], wide[:, :-1], 1.0),
        (wide[1:], wide[:-1], 1.0),
        (wide[1:, 1:], wide[:-1, :-1], diagonal),
        (wide[1:, :-1], wide[:-1, 1:], diagonal),
    ]


def _neighbour_counts(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) number of other grains that share an edge of a pixel with each."""
    n = int(labels.max())
    pairs = []
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        met = (first != second) & (first > 0) & (second > 0)
        low, high = np.minimum(first[met], second[met]), np.maximum(first[met], second[met])
        pairs.append(low.astype(np.int64) * (n + 1) + high)
    low, high = np.divmod(np.unique(np.concatenate(pairs)), n + 1)
    counts: NDArray[np.int64] = np.bincount(np.concatenate([low, high]), minlength=n + 1)[1:]
    return counts


def _cut(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(n,) whether a pixel of a grain shares an edge with the outside or the image's border."""
    wide = np.pad(labels, 1)  # beyond the image is outside
    inner = wide[1:-1, 1:-1]
    beside = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    exposed = np.any([other == OUTSIDE for other in beside], axis=0) & (inner > 0)
    cut = np.zeros(int(labels.max()) + 1, bool)
    cut[inner[exposed]] = True
    return cut[1:]


def theta_density(theta: Floats, at: Floats) -> Floats:
    """Kernel density estimate of theta, 1/radian, with reflecting boundaries at 0 and pi/2.

    Gaussian kernels with Scott's bandwidth; what they would put beyond a boundary is
    reflected there, so that the density integrates to 1 over [0, pi/2].

    Parameters
    ----------
    theta
        (n,) float in [0, pi/2], radians.
    at
        (m,) float in [0, pi/2], where the density is asked for.

    Raises
    ------
    FitError
        If there are fewer than two different angles.
    """
    from scipy.stats import gaussian_kde

    if np.ptp(theta) == 0:
        msg = (
            f"{len(theta)} angles, all {theta[0]:g}, have no density, expected several that "
            "differ; use a section with more whole grains"
        )
        raise FitError(msg)
    kernels = gaussian_kde(theta)
    images = [sign * at + k * math.pi for sign in (1, -1) for k in (-1, 0, 1)]
    density: Floats = np.sum([kernels(image) for image in images], axis=0)
    return density


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Whether the grains of a section point to its centre.

    Parameters
    ----------
    n_grains
        Whole grains that were looked at.
    value
        A = mean(cos 2 theta) in [-1, 1]; 0 without preferred orientation.
    p_value
        Probability that A is so large or larger without preferred orientation.
    level
        Of the test: the section is kept if the probability is below it.
    least_alignment
        And if A is not below this.
    """

    n_grains: int
    value: float
    p_value: float
    level: float
    least_alignment: float

    @property
    def kept(self) -> bool:
        """Whether the section is taken to pass through the centre of the particle."""
        return self.p_value < self.level and self.value >= self.least_alignment

    @property
    def sentence(self) -> str:
        """The verdict and its reason."""
        facts = f"alignment {self.value:.2f} of {self.n_grains} grains, p = {self.p_value:.2g}"
        if self.kept:
            return f"kept: {facts}"
        if self.p_value >= self.level:
            return f"rejected: {facts}, no preferred orientation at the level {self.level:g}"
        return f"rejected: {facts}, below the least alignment {self.least_alignment:.3g}"


def alignment(
    descriptors: SectionDescriptors, *, level: float = LEVEL, least_alignment: float = 0.0
) -> Alignment:
    """The test whether a section is kept; see the head of the module.

    Raises
    ------
    FitError
        If no whole grain has a direction, or the level is no probability.
    """
    if not (0 < level < 1 and 0 <= least_alignment < 1):
        msg = (
            f"the level is {level} and the least alignment {least_alignment}, expected a level "
            f"between 0 and 1, for example {LEVEL}, and an alignment of 0 to 1"
        )
        raise FitError(msg)
    theta = descriptors.theta[descriptors.oriented]
    if len(theta) == 0:
        msg = (
            f"none of the {len(descriptors)} grains is whole with {ORIENTED_PIXELS} pixels or "
            "more, expected many; measure a whole section with a smaller step"
        )
        raise FitError(msg)
    value = float(np.cos(2 * theta).mean())
    p_value = math.erfc(value * math.sqrt(len(theta))) / 2  # 1 - Phi(value sqrt(2 n))
    return Alignment(
        n_grains=len(theta),
        value=value,
        p_value=p_value,
        level=level,
        least_alignment=least_alignment,
    )
