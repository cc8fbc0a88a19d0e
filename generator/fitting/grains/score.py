"""How far generated sections are from measured ones: what the best state is chosen by.

For each measured section a twin is generated on the same pixels: the same outline, the same
missing pixels, the same loss of small grains. The score adds the Wasserstein distances of
area, aspect ratio and theta of whole grains, in standard deviations of the measured ones, twice
the relative difference of the number of grains, and that of the standard deviation of the areas,
which the spread of the volumes follows. It knows nothing of the third dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sections.descriptors import section_descriptors
from ..sections.grain_model import GrainModel
from ..sections.section import MISSING, OUTSIDE, Section

COMPARED = ("area", "aspect_ratio", "theta")
COUNT_WEIGHT = 2.0
SPREAD_WEIGHT = 1.0
LEAST_PIXELS = 4  # of a grain that is counted; `read_section` keeps as small ones by default

Values = NDArray[np.float64]


def twin(model: GrainModel, section: Section, rng: np.random.Generator) -> Section:
    """A generated section through the centre on the pixels of a measured one."""
    y, x = np.nonzero(section.labels > 0)
    places = np.stack([x - section.centre[1], y - section.centre[0], np.zeros(len(x))], axis=1)
    gbpd = model.tessellation(places.min(axis=0), places.max(axis=0), rng)
    own = gbpd.labels(places)
    labels = np.where(section.inside, np.int32(MISSING), np.int32(OUTSIDE))
    _, number, counts = np.unique(own, return_inverse=True, return_counts=True)
    large = counts >= LEAST_PIXELS
    new = np.where(large, np.cumsum(large), MISSING).astype(np.int32)
    labels[y, x] = new[number]
    return Section(labels, section.pixel_um, section.centre, f"twin of {section.source}")


@dataclass(frozen=True, eq=False)
class PlanarSample:
    """Descriptors of the whole grains of some sections.

    Parameters
    ----------
    values
        For each of `COMPARED` (n,) float; areas in um^2, theta in radians.
    n_grains
        Grains of at least `LEAST_PIXELS` pixels, all together.
    n_pixels
        Pixels of the sections, missing ones left out.
    """

    values: dict[str, Values]
    n_grains: int
    n_pixels: int

    @property
    def density(self) -> float:
        """Grains for each pixel."""
        return self.n_grains / self.n_pixels


def planar_sample(sections: Sequence[Section]) -> PlanarSample:
    """Descriptors of sections, all grains together."""
    found: dict[str, list[Values]] = {name: [] for name in COMPARED}
    n_grains = n_pixels = 0
    for section in sections:
        descriptors = section_descriptors(section)
        whole = descriptors.oriented
        found["area"].append(descriptors.area_um2[whole])
        found["aspect_ratio"].append(descriptors.aspect_ratio[whole])
        found["theta"].append(descriptors.theta[whole])
        n_grains += int((descriptors.pixel_count >= LEAST_PIXELS).sum())
        n_pixels += int(descriptors.pixel_count.sum())
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    return PlanarSample(values, n_grains, n_pixels)


def score(generated: PlanarSample, measured: PlanarSample) -> float:
    """Distance of the samples; infinite if nothing whole was generated."""
    from scipy.stats import wasserstein_distance

    if not len(generated.values["theta"]):
        return float("inf")
    total = COUNT_WEIGHT * abs(generated.density / measured.density - 1)
    spread = generated.values["area"].std() / measured.values["area"].std()
    total += SPREAD_WEIGHT * abs(spread - 1)
    for name, expected in measured.values.items():
        total += wasserstein_distance(generated.values[name], expected) / expected.std()
    return float(total)
