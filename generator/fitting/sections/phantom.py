"""Phantoms: grain models of known law, and sections of them as an EBSD map would show them.

A fit to sections of a phantom can be compared with the truth in space, which no measured
particle allows. Missing pixels lie mostly at grain boundaries, where two patterns overlap;
grains of a few pixels are lost, as the cleaning of a map loses them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...markers.marker_law import CONSTANT, ZERO, Markers, Profile, RadialMarkers, Uniform
from ...markers.point_process import MarkedPoints
from ...markers.radial_profile import RadialProfileMarkers
from ...progress import Step
from ...streams import stream
from .grain_model import RADIUS, GrainModel
from .section import Section

HALF_WIDTH = int(RADIUS)  # of central sections, pixels
MISSING = 0.03  # part of the pixels
AT_BOUNDARIES = 6.0  # times as likely missing there
LEAST_PIXELS = 4  # smaller grains are lost
PIXEL_UM = 0.05
FRAME = 2  # pixels of the outside round the disk
OFF_CENTRE = (0.4, 0.9)  # distances of planes that miss the centre, parts of the disk's radius


@dataclass(frozen=True, kw_only=True)
class CrowdedMarkers:
    """Markers that depend on the neighbours: a law that independent markers cannot follow.

    Where the third nearest seed is near, grains are slender and give way (small r); where
    there is room they are plump. Both follow the rank of that distance among Poisson points.

    Parameters
    ----------
    law
        Gives the entries of D_i across the radius, and the spread that is left.
    intensity
        lambda, seeds per cubic pixel: what near means.
    aspect_ratio
        Largest and smallest radial over transverse length: of crowded and of lone grains.
    offset
        Least and largest r: of crowded and of lone grains.
    """

    intensity_factor: ClassVar[Profile] = CONSTANT
    tilt_deg: ClassVar[Profile] = ZERO

    law: RadialMarkers
    intensity: float
    aspect_ratio: tuple[float, float] = (2.8, 1.4)
    offset: tuple[float, float] = (3.0, 8.0)

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """One row per point, or per one of ``rows``; needs more than three points."""
        nearest = np.asarray(cKDTree(points.seeds).query(points.seeds, k=4)[0])
        expected = 4 * np.pi / 3 * self.intensity * nearest[:, 3] ** 3  # gamma law of shape 3
        room = 1 - np.exp(-expected) * (1 + expected + expected**2 / 2)
        crowded, lone = self.aspect_ratio
        diagonals = self.law.markers(points).diagonals.copy()
        rho = crowded + (lone - crowded) * room
        diagonals[:, 0] = (diagonals[:, 1] + diagonals[:, 2]) / (2 * rho**2)
        low, high = self.offset
        offsets = low + (high - low) * room
        return (
            Markers(diagonals, offsets) if rows is None else Markers(diagonals[rows], offsets[rows])
        )

    def fields(self) -> dict[str, object]:
        """Its object in `phantom.json`; not a law of model cards."""
        (crowded, lone), (low, high) = self.aspect_ratio, self.offset
        return {
            "law": "crowded",
            "intensity": self.intensity,
            "transverse": self.law.fields()["transverse"],
            "aspect_ratio": {"crowded": crowded, "lone": lone},
            "offset": {"crowded": low, "lone": high},
        }


def _radial(
    transverse: tuple[float, float], ratio: tuple[float, float], offset: tuple[float, float]
) -> RadialMarkers:
    return RadialMarkers(
        transverse=Uniform(*transverse), aspect_ratio=Uniform(*ratio), offset=Uniform(*offset)
    )


def _constant(value: float) -> Profile:
    return Profile((0.0,), (value,))


RODS = RadialProfileMarkers(
    intensity_factor=Profile((0.2, 1.0), (1.6, 0.8)),
    aspect_ratio=Profile((0.2, 0.7), (1.0, 3.0)),
    transverse=_constant(14.0),
    offset=_constant(6.0),
    aspect_spread=_constant(0.15),
    transverse_spread=_constant(0.3),
    flatness_spread=_constant(0.3),
    offset_spread=_constant(2.5),
    correlation=_constant(0.6),
)
TILTED = RadialProfileMarkers(
    aspect_ratio=_constant(2.5),
    transverse=_constant(18.0),
    offset=_constant(5.0),
    aspect_spread=_constant(0.15),
    transverse_spread=_constant(0.25),
    flatness_spread=_constant(0.3),
    offset_spread=_constant(2.0),
    tilt_deg=_constant(25.0),
)

PHANTOMS: dict[str, GrainModel] = {
    "elongated": GrainModel(_radial((12, 28), (1.6, 2.8), (2, 9)), 0.0012),
    "compact": GrainModel(_radial((10, 30), (1.1, 1.7), (1, 10)), 0.0008),
    "crowded": GrainModel(
        CrowdedMarkers(law=_radial((10, 24), (1.0, 1.0), (5, 5)), intensity=0.001), 0.001
    ),
    "rods": GrainModel(RODS, 0.001),
    "tilted": GrainModel(TILTED, 0.0012),
}


def phantom_section(
    model: GrainModel,
    rng: np.random.Generator,
    offset: float = 0.0,
    half_width: int = HALF_WIDTH,
    source: str = "phantom",
) -> Section:
    """A section, round, as it would be measured.

    The particle is a ball, and the disk all that the plane shows of it.

    Parameters
    ----------
    offset
        Distance of the plane from the particle's centre, pixels.
    half_width
        Radius of the disk, pixels.
    source
        Name of the section.
    """
    edge = half_width + FRAME
    model = replace(model, radius=particle_radius(half_width, offset))
    labels = model.section(edge, rng, offset) + np.int32(1)
    axis = np.arange(-edge, edge + 1)
    inside = axis[:, None] ** 2 + axis**2 <= half_width**2
    labels[~inside] = 0
    labels[inside & _missing(labels, rng)] = -1
    step = Step("phantom", 0, f"plane at {offset:g} pixels from the centre")
    centre = (float(edge), float(edge))
    return Section(_without_small(labels), PIXEL_UM, centre, source, (step,))


def particle_radius(half_width: int, offset: float) -> float:
    """Radius of the ball that a plane at ``offset`` cuts in a disk of ``half_width``, pixels."""
    return math.hypot(half_width, offset)


def phantom_offsets(n_sections: int, n_off_centre: int, seed: int) -> tuple[float, ...]:
    """Distance of each plane of a series from the centre, pixels: 0, but for the last ones.

    Those are uniform in `OFF_CENTRE` of the disk's radius, where the grains show less
    alignment, and rounded to hundredths.

    Examples
    --------
    >>> phantom_offsets(3, 0, seed=0)
    (0.0, 0.0, 0.0)
    """
    low, high = (part * HALF_WIDTH for part in OFF_CENTRE)
    return tuple(
        0.0
        if k < n_sections - n_off_centre
        else round(float(stream(seed, k, "phantom", 0).uniform(low, high)), 2)
        for k in range(n_sections)
    )


def phantom_series(model: GrainModel, offsets: Sequence[float], seed: int) -> Iterator[Section]:
    """Sections at ``offsets``, pixels; each depends on its number and offset only."""
    for k, offset in enumerate(offsets):
        rng = stream(seed, k, "phantom", 1)
        yield phantom_section(model, rng, offset, source=f"section-{k:03d}")


def boundary_weights(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """How likely pixels are to be missing: 1, and `AT_BOUNDARIES` at `boundaries`."""
    return np.where(boundaries(labels), AT_BOUNDARIES, 1.0)


def boundaries(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(ny, nx) pixels whose label differs from that of the pixel before, in row or column."""
    border = np.zeros(labels.shape, bool)
    border[1:] |= labels[1:] != labels[:-1]
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return border


def _missing(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Pixels without a label: `MISSING` of all, `AT_BOUNDARIES` times as many there."""
    weights = boundary_weights(labels)
    missing: NDArray[np.bool_] = rng.random(labels.shape) < MISSING * weights / weights.mean()
    return missing


def _without_small(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Labels numbered anew; grains of less than `LEAST_PIXELS` pixels are missing."""
    found, counts = np.unique(labels[labels > 0], return_counts=True)
    numbers = np.full(int(labels.max()) + 1, -1, np.int32)
    numbers[0] = 0
    kept = found[counts >= LEAST_PIXELS]
    numbers[kept] = np.arange(1, len(kept) + 1)
    return np.where(labels < 0, np.int32(-1), numbers[labels.clip(min=0)])
