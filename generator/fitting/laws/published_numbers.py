"""Numbers that papers print of grains in sections, and the same numbers of sections of a law.

A printed mean depends on how it was measured: on the planes (through the centres of particles, or
at any height, as grinding hits them), on the edge of a pixel, on the least number of pixels of a
grain. All of this is simulated. A grain counts once, whatever its size; grains that the rim of
the section cuts are left out, as programs for EBSD maps do. The diameter is that of the disc of
the grain's area in the section; aspect ratio and alignment, the mean of cos 2 theta, are of
grains of at least 8 pixels. Simulated pixels are not finer than a twentieth of a mean grain: a very
fine map also shows how long the smallest grains are.

Particles are spheres of one radius. Heights of random planes are uniform along the diameter: that
is where a plane that hits a sphere hits it. Grains of all sections are pooled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ..sections.section import Section
from .common_seeds import section_grains, section_labels
from .law_parameters import RadialLaw
from .section_frames import SectionFrame
from .statistics import PlaneGrains

Cuts = Literal["central", "random"]
CUTS: tuple[Cuts, ...] = get_args(Cuts)

PIXELS = (1e-4, 100.0)  # um
FEWEST_PIXELS = 2.0  # across a mean grain: below, shapes are those of pixels
LARGEST_PART = 0.5  # of the particle's radius that a mean grain may be
LARGEST_SPREAD = 0.9  # of the mean: no law here has more
FINEST = 20.0  # pixels across a mean grain; simulated ones are not finer
LEAST_RADIUS = 2.0  # of a section, pixels: smaller ones show no whole grain
RIM = 0.65  # mean diameters from the rim within which grains are cut
USUAL_SPREAD = 0.45  # of the mean diameter
GOLDEN = (math.sqrt(5) - 1) / 2
SHOWN = 18  # of the random numbers of `common_seeds`: of sections that are drawn
GROUPS = 10  # of sections, whose spread tells the sampling error

Floats = NDArray[np.float64]


class Numbers(NamedTuple):
    """What is printed of grains in sections; None where it is not."""

    mean_um: float
    std_um: float | None = None
    aspect_ratio: float | None = None
    alignment: float | None = None


@dataclass(frozen=True, kw_only=True)
class SectionView:
    """How grains in sections were measured.

    Parameters
    ----------
    pixel_um
        Edge of a pixel, um.
    min_pixels
        Least number of pixels of a grain that counts.
    cuts
        "central": planes through centres of particles; "random": uniform heights.
    radius_um
        Of the particles, spheres, um.
    """

    pixel_um: float
    min_pixels: int
    cuts: Cuts
    radius_um: float

    @property
    def least_diameter_um(self) -> float:
        """Diameter of the disc of ``min_pixels`` pixels, um."""
        return 2 * self.pixel_um * math.sqrt(self.min_pixels / math.pi)

    def frames(self, mean_um: float, n: int) -> Iterator[SectionFrame | None]:
        """Round sections without gaps; None where a plane shows next to nothing.

        Their pixels are those of the view, or as fine as `FINEST` across a mean grain; the least
        grain keeps its area. Heights follow each other by the golden ratio, so that the first ones
        are spread as evenly as all.
        """
        pixel = self.simulated_pixel_um(mean_um)
        least = math.ceil(self.min_pixels * (self.pixel_um / pixel) ** 2 - 1e-9)
        radius = self.radius_um / pixel
        disc = _disc(radius, 0.0, least)
        for k in range(n):
            height = radius * (2 * ((0.5 + k * GOLDEN) % 1) - 1)
            flat = math.sqrt(radius**2 - height**2)
            if self.cuts == "central":
                yield disc
            else:
                yield _disc(flat, height, least) if flat >= LEAST_RADIUS else None

    def n_sections(self, numbers: Numbers, n_grains: int) -> int:
        """How many sections show about ``n_grains`` whole grains of a size."""
        std_um = numbers.std_um or USUAL_SPREAD * numbers.mean_um
        area = math.pi / 4 * (numbers.mean_um**2 + std_um**2)
        flat = self.radius_um * (1 if self.cuts == "central" else math.sqrt(2 / 3))
        whole = math.pi * (flat - RIM * numbers.mean_um) ** 2
        return math.ceil(n_grains * area / whole)

    def simulated_pixel_um(self, mean_um: float) -> float:
        """Edge of the pixels of simulated sections, um."""
        return max(self.pixel_um, mean_um / FINEST)


def _disc(flat: float, height: float, least: int) -> SectionFrame:
    """Disc of the radius ``flat`` at a height, pixels; its centre is that of the middle pixel."""
    half = math.ceil(flat) + 1
    axis = np.arange(-half, half + 1)
    inside = axis[:, None] ** 2 + axis**2 <= flat * flat
    centre = (float(half), float(half))
    return SectionFrame(inside, centre, height, math.hypot(flat, height), (0.0, 0.0), least)


class Measured(NamedTuple):
    """Numbers of sections of a law, and how many grains they are of.

    Parameters
    ----------
    numbers
        All of them.
    errors
        Standard errors of sampling, in the same order and units.
    n_grains
        Whole grains.
    n_sections
        Sections that they are in.
    """

    numbers: Numbers
    errors: Numbers
    n_grains: int
    n_sections: int


def measured(
    law: RadialLaw, view: SectionView, mean_um: float, n_sections: int, seed: int, stage: int
) -> Measured:
    """Numbers of ``n_sections`` sections of a law, the same for equal arguments.

    Parameters
    ----------
    law
        In pixels of ``view.simulated_pixel_um(mean_um)``.
    mean_um
        Size of grains that sections are drawn for.
    stage
        What the sections are for: others have other random numbers.

    Raises
    ------
    FitError
        If they show no whole grain.
    """
    frames = view.frames(mean_um, n_sections)
    parts = [
        section_grains(law, frame, seed, (stage, k)) for k, frame in enumerate(frames) if frame
    ]
    pixel = view.simulated_pixel_um(mean_um)
    found = _numbers(parts, pixel)
    errors = _standard_errors(parts, pixel) if len(parts) > 1 else Numbers(*4 * [math.nan])
    n_grains = sum(int(np.count_nonzero(~part.cut)) for part in parts)
    return Measured(found, errors, n_grains, len(parts))


def _standard_errors(parts: Sequence[PlaneGrains], pixel_um: float) -> Numbers:
    """By the jackknife over groups of sections (Quenouille 1949, Tukey 1958)."""
    n = min(GROUPS, len(parts))
    left = [
        _numbers([part for k, part in enumerate(parts) if k % n != group], pixel_um)
        for group in range(n)
    ]
    return Numbers(*(math.sqrt(n - 1) * np.std(np.array(left, float), axis=0)).tolist())


def _numbers(parts: Sequence[PlaneGrains], pixel_um: float) -> Numbers:
    grains = PlaneGrains.joined(parts)
    whole, oriented = ~grains.cut, grains.oriented
    if np.count_nonzero(oriented) < 2:
        msg = (
            f"simulated sections show {np.count_nonzero(whole)} whole grains, expected many; "
            "choose larger particles or finer pixels"
        )
        raise FitError(msg)
    diameters = 2 * pixel_um * np.sqrt(grains.pixel_count[whole] / math.pi)
    return Numbers(
        mean_um=float(diameters.mean()),
        std_um=float(diameters.std()),
        aspect_ratio=float(grains.aspect_ratio[oriented].mean()),
        alignment=float(np.cos(2 * grains.theta[oriented]).mean()),
    )


def problems(asked: Numbers, view: SectionView) -> Iterator[str]:
    """What is no number of grains or of a measurement, a sentence each."""
    yield from _view_problems(view)
    yield from _number_problems(asked)


def _view_problems(view: SectionView) -> Iterator[str]:
    low, high = PIXELS
    if not low <= view.pixel_um <= high:
        yield f"the edge of a pixel is {view.pixel_um:g} um, expected {low:g} to {high:g}"
    if not 1 <= view.min_pixels <= 1_000_000:
        yield f"the least number of pixels of a grain is {view.min_pixels}, expected 1 to 1000000"
    if not (math.isfinite(view.radius_um) and view.radius_um > 0):
        yield f"the radius of particles is {view.radius_um:g} um, expected a positive one"
    if view.cuts not in CUTS:
        yield f"the cuts are {view.cuts!r}, expected {' or '.join(CUTS)}"


def _number_problems(asked: Numbers) -> Iterator[str]:
    mean, std, ratio, alignment = asked
    if not (math.isfinite(mean) and mean > 0):
        yield f"the mean diameter is {mean:g} um, expected a positive one"
    if std is not None and not 0 < std < math.inf:
        yield f"the standard deviation is {std:g} um, expected a positive one"
    if ratio is not None and not 1 <= ratio < math.inf:
        yield f"the mean aspect ratio is {ratio:g}, expected 1 or more: longer over shorter axis"
    if alignment is not None and not -1 <= alignment <= 1:
        yield f"the alignment is {alignment:g}, expected -1 to 1: the mean of cos 2 theta"


def contradictions(asked: Numbers, view: SectionView) -> Iterator[str]:
    """Why numbers and view do not go together, a sentence each."""
    mean, std = asked.mean_um, asked.std_um
    across, least = mean / view.pixel_um, view.least_diameter_um
    if across < FEWEST_PIXELS:
        yield (
            f"a mean diameter of {mean:g} um is {across:.2g} pixels of {view.pixel_um:g} um, "
            f"expected {FEWEST_PIXELS:g} or more; give the pixel of the measurement"
        )
    elif least >= mean:
        yield (
            f"grains of {view.min_pixels} pixels of {view.pixel_um:g} um have a diameter of "
            f"{least:.3g} um, expected less than the mean, {mean:g} um; lower the least number"
        )
    if mean > LARGEST_PART * view.radius_um:
        yield (
            f"a mean diameter of {mean:g} um is too large for particles with a radius of "
            f"{view.radius_um:.3g} um, expected {LARGEST_PART * view.radius_um:.3g} um or less; "
            "give larger particles"
        )
    if std is not None and std > LARGEST_SPREAD * mean:
        yield (
            f"a standard deviation of {std:g} um is out of reach with a mean of {mean:g} um: the "
            f"largest that laws here have is about {LARGEST_SPREAD * mean:.3g} um; is it that of "
            "diameters, every grain counted once?"
        )


def central_section(
    law: Callable[[float], RadialLaw], view: SectionView, mean_um: float, seed: int = 0
) -> Section:
    """A section through the centre, of pixels fine enough to look at.

    Parameters
    ----------
    law
        In pixels of the edge that it is called with, um.
    """
    pixel = mean_um / FINEST
    frame = _disc(view.radius_um / pixel, 0.0, 1)
    labels = section_labels(law(pixel), frame, seed, (SHOWN, 0))
    return Section(labels, pixel, frame.centre, "central section")
