"""The distance of a section from the centre of its particle, inferred from a law.

At a grid of distances z sections of the law are cut on the pixels of the measured one. Bins are by
the distance in the plane, which is measured. Means of the statistics are smooth in z / R with
R^2 = z^2 + the square of the section's radius, and their covariance is that about these means. Each
section is of another law within what is known of the fitted one, so that the covariance holds this
as well. The likelihood of z / R is that of the normal law; where a section is farther from all of
them than chance explains, it is made as much wider.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...streams import stream
from ..sections.section import Section
from .common_seeds import FIT_STREAM, section_labels
from .law_parameters import RadialLaw
from .moment_fit import (
    HEIGHTS,
    Arrays,
    Kept,
    MomentFit,
    Weights,
    nothing_kept,
    shrunk_covariance,
)
from .section_frames import SectionFrame
from .statistics import (
    Edges,
    bin_areas,
    binned_statistics,
    measured_grains,
    merged_edges,
    plane_grains,
)

PARTS = tuple(np.linspace(0, 0.9, 10).tolist())  # of R where sections are cut
N_REPLICATES = 24  # at each
DEGREE = 4  # of the polynomial that means follow
FINE = np.linspace(0, 0.9, 361)
CHI_SQUARED_95 = 3.84

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SectionHeight:
    """Distance of a section from the centre, in parts of the particle's radius.

    Parameters
    ----------
    part
        Most likely z / R.
    low, high
        95 % interval.
    distance
        Q of the section at the most likely place.
    expected
        Mean Q of sections of the law there: the number of statistics.
    """

    part: float
    low: float
    high: float
    distance: float
    expected: int

    def height(self, section: Section) -> float:
        """Distance z of the plane, pixels."""
        return height_of(section, self.part)


def height_of(section: Section, part: float) -> float:
    """Distance z of a plane that is ``part`` of R away, pixels; R follows from the area."""
    flat = math.sqrt(np.count_nonzero(section.inside) / math.pi)
    return flat * part / math.sqrt(1 - part * part)


def section_height(
    section: Section, fit: MomentFit, number: int, kept: Kept = nothing_kept
) -> SectionHeight:
    """Most likely distance of a section of a fitted law from the centre.

    Parameters
    ----------
    number
        Of the section: what its random numbers depend on.
    """
    flat = SectionFrame.of(section)
    grains = measured_grains(section, flat)
    edges = merged_edges(grains)
    observed = binned_statistics(grains, bin_areas([flat], edges), edges)
    make = partial(_sample, section, fit, number, edges)
    sample = kept(f"heights-{number}", make)["sample"]
    means, weights = _smoothed(sample)
    distances = np.array([weights.distance(observed - mean) for mean in means])
    best = int(distances.argmin())
    scale = max(1.0, distances[best] / len(observed))
    likely = FINE[distances <= distances[best] + CHI_SQUARED_95 * scale]
    return SectionHeight(
        part=float(FINE[best]), low=float(likely.min()), high=float(likely.max()),
        distance=float(distances[best]), expected=len(observed),
    )  # fmt: skip


def _sample(section: Section, fit: MomentFit, number: int, edges: Edges) -> Arrays:
    """Statistics (parts, replicates, m) of sections at all distances."""
    flat, seed = SectionFrame.of(section), fit.target.seed
    areas, laws = bin_areas([flat], edges), _possible_laws(fit, number)

    def one(part: float, k: int) -> Floats:
        height = height_of(section, part)
        frame = replace(flat, height=height, radius=math.hypot(flat.radius, height))
        labels = section_labels(laws[k], frame, seed, (HEIGHTS, number, k))
        return binned_statistics(plane_grains(labels, flat), areas, edges)

    rows = [[one(part, k * len(PARTS) + i) for k in range(N_REPLICATES)]
            for i, part in enumerate(PARTS)]  # fmt: skip
    return {"sample": np.array(rows)}


def _possible_laws(fit: MomentFit, number: int) -> list[RadialLaw]:
    """A law for each section: the fitted parameters and an error of what is known of them."""
    rng = stream(fit.target.seed, FIT_STREAM, "fit", HEIGHTS, number)
    root = np.linalg.cholesky(fit.slopes.covariance)
    errors = rng.standard_normal((len(PARTS) * N_REPLICATES, len(root))) @ root.T
    return [fit.target.law(fit.theta + error) for error in errors]


def _smoothed(sample: Floats) -> tuple[Floats, Weights]:
    """Means (FINE, m) as polynomials in z / R, and the covariance about them."""
    n_parts, n, m = sample.shape
    parts = np.repeat(PARTS, n)
    powers, fine = (np.vander(x, DEGREE + 1) for x in (parts, FINE))
    flat = sample.reshape(n_parts * n, m)
    coefficients = np.linalg.lstsq(powers, flat, rcond=None)[0]
    residuals = flat - powers @ coefficients
    return fine @ coefficients, Weights(shrunk_covariance(residuals))
