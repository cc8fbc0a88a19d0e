r"""Sections of a law from random numbers that stay the same while the law changes.

The distances of a Poisson process from the centre are the places where the integral of its
intensity,

.. math:: \Lambda(r) = \int_0^r \lambda(u / R) \, 4 \pi u^2 \, du,

reaches the sums of unit exponential numbers. With these numbers and the directions fixed, seed
points move smoothly along the radius as lambda(t) changes; none appears or vanishes. Markers follow
from fixed normal numbers. Statistics of sections of two nearby laws therefore differ by what the
laws make different, and little by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...markers.radial_frame import marker_matrices, turned
from ...streams import stream
from .law_parameters import RadialLaw
from .plane_sections import plane_labels
from .section_frames import SectionFrame
from .statistics import PlaneGrains, plane_grains

REACH = 4.5  # largest mean seed distances from a plane to the seeds that it may show grains of
SLENDER = 3.0  # aspect ratio from which grains reach farther
PER_RADIUS = 400  # distances at which Lambda is tabulated
FIT_STREAM = 8  # of the streams of fits: others draw for nets

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeedNoise:
    """Random numbers of the seeds of one particle, the same however many are drawn.

    Parameters
    ----------
    arrivals : (n,) float
        Sums of unit exponential numbers.
    directions : (n, 3) float
        Unit vectors.
    normals : (n, 6) float32
        Standard normal numbers: four of the markers, two of the tilt.
    angles : (n,) float32
        gamma_i, uniform in [0, pi].
    """

    arrivals: Floats
    directions: Floats
    normals: NDArray[np.float32]
    angles: NDArray[np.float32]


@lru_cache(maxsize=64)
def seed_noise(seed: int, key: tuple[int, ...], n: int) -> SeedNoise:
    """Numbers of ``n`` seed points of the particle ``key``; more points keep the first ones."""
    rngs = [stream(seed, FIT_STREAM, "fit", *key, k) for k in range(4)]
    directions = rngs[1].standard_normal((n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return SeedNoise(
        arrivals=rngs[0].standard_exponential(n).cumsum(),
        directions=directions,
        normals=rngs[2].standard_normal((n, 6), dtype=np.float32),
        angles=np.float32(np.pi) * rngs[3].random(n, dtype=np.float32),
    )


@lru_cache(maxsize=64)
def pixel_noise(seed: int, key: tuple[int, ...], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Uniform numbers (ny, nx) that say which pixels of a section are missing."""
    return stream(seed, FIT_STREAM, "fit", *key, 4).random(shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Seeds:
    """Seed points with their markers, rows as in `Tessellation`; lengths are pixels.

    Parameters
    ----------
    seeds : (n, 3) float
    matrices : (n, 3, 3) float
    offsets : (n,) float
    """

    seeds: Floats
    matrices: Floats
    offsets: Floats


def section_seeds(law: RadialLaw, frame: SectionFrame, seed: int, key: tuple[int, ...]) -> Seeds:
    """Seeds of a particle whose grains may be seen in a section."""
    reach = seed_reach(law)
    within = math.hypot(frame.farthest + reach, frame.height)
    return particle_seeds(law, frame.radius, within, seed, key, (frame.height, reach))


def particle_seeds(
    law: RadialLaw,
    radius: float,
    within: float,
    seed: int,
    key: tuple[int, ...],
    slab: tuple[float, float] = (0.0, math.inf),
) -> Seeds:
    """Seeds of a sphere of ``radius``, out to about the distance ``within`` from the centre.

    Parameters
    ----------
    slab
        z of a plane, and how far seeds may lie from it.
    """
    radii, total = _tabulated(law, radius, within)
    n = 1 << math.ceil(math.log2(total[-1] + 6 * math.sqrt(total[-1]) + 16))
    noise = seed_noise(seed, key, n)
    n = int(np.searchsorted(noise.arrivals, total[-1]))
    # cube roots are linear in the radius where the intensity is constant
    away = np.interp(np.cbrt(noise.arrivals[:n]), np.cbrt(total), radii)
    rows = np.flatnonzero(np.abs(away * noise.directions[:n, 2] - slab[0]) < slab[1])
    return _marked(law, away[rows], radius, noise, rows)


def _marked(
    law: RadialLaw, away: Floats, radius: float, noise: SeedNoise, rows: NDArray[np.intp]
) -> Seeds:
    """Seeds at given distances from the centre, with their markers."""
    directions, normals = noise.directions[rows], noise.normals[rows].astype(np.float64)
    t = away / radius
    markers = law.markers.markers_of(normals[:, :4], t)
    tilt = np.radians(law.markers.tilt_deg(t))[:, None] * normals[:, 4:]
    axes = turned(directions, tilt)
    angles = noise.angles[rows].astype(np.float64)
    matrices = marker_matrices(axes, angles, markers.diagonals)
    return Seeds(away[:, None] * directions, matrices, markers.offsets)


def seed_reach(law: RadialLaw) -> float:
    """How far from a plane seeds lie whose grains it may show, pixels."""
    least = law.intensity * min(law.markers.intensity_factor.values)
    slender = max(1.0, max(law.markers.aspect_ratio.values) / SLENDER)
    return REACH * least ** (-1 / 3) * slender ** (2 / 3)


def _tabulated(law: RadialLaw, radius: float, within: float) -> tuple[Floats, Floats]:
    """Radii beyond ``within``, and Lambda at each; more of them keep the first ones."""
    t = np.arange(math.ceil(within / radius * PER_RADIUS) + 1) / PER_RADIUS
    radii, density = radius * t, law.intensity * law.markers.intensity_factor(t)
    # shells have their volumes: exact for a constant intensity
    volumes = 4 * np.pi / 3 * np.diff(radii**3)
    parts = volumes * (density[1:] + density[:-1]) / 2
    return radii, np.concatenate([[0.0], np.cumsum(parts)])


def section_grains(
    law: RadialLaw, frame: SectionFrame, seed: int, key: tuple[int, ...]
) -> PlaneGrains:
    """Grains of a section of the law on the pixels of a measured one, treated as it was."""
    return plane_grains(section_labels(law, frame, seed, key), frame)


def section_labels(
    law: RadialLaw, frame: SectionFrame, seed: int, key: tuple[int, ...]
) -> NDArray[np.int32]:
    """Labels 1 ... n, 0 outside, of a section of the law on the pixels of a measured one."""
    found = section_seeds(law, frame, seed, key)
    labels = plane_labels(
        found.seeds, found.matrices, found.offsets, frame.inside, frame.centre, frame.height
    )
    return frame.mapped(labels, pixel_noise(seed, key, frame.inside.shape))
