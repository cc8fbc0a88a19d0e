"""Fitted tessellations of sections, and cutouts of them: T^2D, Eqs. (14) and (15)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .cutouts import FARTHEST, Grains, distances

REACH = 48.0  # pixels from the middle of a cutout beyond which no seed is looked at


@dataclass(frozen=True, eq=False)
class SectionTessellation:
    """A restricted GBPD in the plane: one measured section.

    Parameters
    ----------
    seeds
        (n, 2) float, pixels about the particle's centre.
    diagonals
        (n, 2) float, entries of D_i, the radial one first, 1 / pixel^2.
    offsets
        (n,) float, r_i.
    agreement
        Part of the labelled pixels that have the label of the section.
    """

    seeds: NDArray[np.float64]
    diagonals: NDArray[np.float64]
    offsets: NDArray[np.float64]
    agreement: float

    def __post_init__(self) -> None:
        n = len(self.seeds)
        expected = {"seeds": (n, 2), "diagonals": (n, 2), "offsets": (n,)}
        for name, shape in expected.items():
            array = np.array(getattr(self, name), np.float64, order="C")
            if array.shape != shape or not np.isfinite(array).all():
                msg = f"{name} has shape {array.shape}, expected finite numbers {shape}"
                raise ValueError(msg)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """Number of grains."""
        return len(self.seeds)

    @property
    def matrices(self) -> NDArray[np.float64]:
        """M_i, (n, 2, 2): D_i in the frame of the radial direction."""
        radial = self.seeds / np.linalg.norm(self.seeds, axis=1, keepdims=True)
        across = np.stack([-radial[:, 1], radial[:, 0]], axis=1)
        frame = np.stack([radial, across], axis=1)
        matrices: NDArray[np.float64] = np.einsum("nki,nk,nkj->nij", frame, self.diagonals, frame)
        return matrices


def section_grains(
    sections: tuple[SectionTessellation, ...],
    rng: np.random.Generator,
    n: int,
    augmentation: float,
    farthest: float = FARTHEST,
) -> Grains:
    """Grains round ``n`` cutouts at random places of random sections, turned at random.

    Every r_i and every entry of D_i is changed by an independent uniform part of at most
    ``augmentation``. Near edges of cutouts are at most ``farthest`` pixels from the centre.
    """
    chosen = rng.integers(len(sections), size=n)
    middles, turns = distances(rng, n, farthest), 2 * math.pi * rng.random(n)
    parts = []
    for k, middle, turn in zip(chosen, middles, turns, strict=True):
        section = sections[k]
        changes = rng.uniform(1 - augmentation, 1 + augmentation, (len(section), 3))
        parts.append(
            _grains_at(section.seeds, section.diagonals, section.offsets, middle, turn, changes)
        )
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    table = np.concatenate(parts)
    quadratics, offsets = (np.ascontiguousarray(table[:, k]) for k in (slice(6), 6))
    return Grains(quadratics, offsets, starts, middles)


@njit(cache=True, nogil=True)
def _grains_at(seeds, diagonals, offsets, middle, turn, changes):  # type: ignore[no-untyped-def]
    """Quadratics and offsets (m, 7) of the seeds near a cutout, turned by -``turn``."""
    out = np.empty((len(seeds), 7), np.float32)
    cosine, sine = math.cos(turn), math.sin(turn)
    n = 0
    for i in range(len(seeds)):
        x = cosine * seeds[i, 0] + sine * seeds[i, 1]
        y = cosine * seeds[i, 1] - sine * seeds[i, 0]
        u, v = middle - x, -y
        if u * u + v * v > REACH**2:
            continue
        norm = math.sqrt(x * x + y * y) + 1e-12
        a, b = x / norm, y / norm
        d0, d1 = diagonals[i, 0] * changes[i, 0], diagonals[i, 1] * changes[i, 1]
        xx = d0 * a * a + d1 * b * b
        xy = (d0 - d1) * a * b
        yy = d0 * b * b + d1 * a * a
        out[n, 0], out[n, 1], out[n, 2] = xx, 2 * xy, yy
        out[n, 3], out[n, 4] = 2 * (xx * u + xy * v), 2 * (xy * u + yy * v)
        out[n, 5] = xx * u * u + 2 * xy * u * v + yy * v * v
        out[n, 6] = offsets[i] * changes[i, 2]
        n += 1
    return out[:n]
