"""How far generated sections are from measured ones: what the best state is chosen by.

For each measured section a twin is generated on the same pixels and treated alike. As many
pixels lose their grain as in the measured section, at boundaries and elsewhere: the measured ones
lie at the boundaries of measured grains, and the same ones would pierce those of the twin. Pieces
that lie apart are grains of their own, as in maps, and small ones are lost. Then, in both, pixels
without a grain are given to the nearest one (`closed`).

The score adds the Wasserstein distances of area, aspect ratio and theta of whole grains, in
standard deviations of the measured ones, twice the relative difference of the number of grains,
and that of the standard deviation of the areas, which the spread of the volumes follows. It knows
nothing of the third dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..sections.descriptors import REACH_PX, disc_radius, section_descriptors
from ..sections.grain_model import GrainModel
from ..sections.phantom import boundaries
from ..sections.reconstruction import pieces, renumbered
from ..sections.section import MISSING, Section

COMPARED = ("area", "aspect_ratio", "theta")
COUNT_WEIGHT = 2.0
SPREAD_WEIGHT = 1.0
LEAST_PIXELS = 4  # of a grain that is counted; `read_section` keeps as small ones by default

Labels = NDArray[np.int32]
Values = NDArray[np.float64]


def closed(section: Section) -> Section:
    """Copy in which missing pixels belong to the nearest grain within `REACH_PX`."""
    return replace(section, labels=section.without_gaps(REACH_PX))


def twin(model: GrainModel, section: Section, rng: np.random.Generator) -> Section:
    """A generated section through the centre on the pixels of a measured one, `closed`.

    The particle is a ball whose central section has the area of the measured one.
    """
    known = closed(section)
    seen = section.inside & (known.labels != MISSING)  # the rest lies too far from any grain
    labels = np.zeros(section.labels.shape, np.int32)
    labels[seen] = _grains(model, section, seen, rng)
    labels[seen & (rng.random(seen.shape) < _loss(section, known, seen, labels))] = MISSING
    found = pieces(labels)
    found = renumbered(found, np.bincount(found.ravel())[1:] >= LEAST_PIXELS)
    found[section.inside & (found == 0)] = MISSING
    source = f"twin of {section.source}"
    generated = closed(Section(found, section.pixel_um, section.centre, source))
    unknown = section.inside & ~seen
    return replace(generated, labels=np.where(unknown, np.int32(MISSING), generated.labels))


def _grains(
    model: GrainModel, section: Section, seen: NDArray[np.bool_], rng: np.random.Generator
) -> Labels:
    """Generated grains, 1, 2, ..., at the pixels ``seen``, (m,)."""
    y, x = np.nonzero(seen)
    places = np.stack([x - section.centre[1], y - section.centre[0], np.zeros(len(x))], axis=1)
    own_size = replace(model, radius=disc_radius(section))
    gbpd = own_size.tessellation(places.min(axis=0), places.max(axis=0), rng)
    return gbpd.labels(places) + np.int32(1)


def _loss(section: Section, known: Section, seen: NDArray[np.bool_], labels: Labels) -> Values:
    """(ny, nx) chance that a generated pixel has no grain: the measured part of such pixels."""
    gaps, border = seen & (section.labels == MISSING), boundaries(known.labels)
    at_border, elsewhere = (
        float((gaps & own).sum()) / max(1, int((seen & own).sum())) for own in (border, ~border)
    )
    return np.where(boundaries(labels), at_border, elsewhere)


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
    """Descriptors of sections, all grains together; measured ones are `closed`."""
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
