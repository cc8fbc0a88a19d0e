r"""Cutouts of sections: what the discriminator sees, Eqs. (14) to (16).

A cutout is a grid of 32 x 32 pixels in a section through the particle's centre, at the
distance p in (0, 80] from it, turned such that the centre lies to its left. On the plane
z = 0 the square of a norm is a quadratic in the two coordinates X, Y of the cutout,

.. math:: |x - s_i|_{M_i}^2 = c_1 X^2 + c_2 X Y + c_3 Y^2 + c_4 X + c_5 Y + c_6,

so that six numbers for each seed and one small matrix product give all scores. Lengths are
pixels. Seeds of many cutouts stand in one array, those of cutout b from ``starts[b]`` to
``starts[b + 1]``.

Only what a cutout can see is drawn: a box of seeds with margins in mean seed distances.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...markers.marker_law import CONSTANT, Profile
from ...markers.marker_net import NEIGHBOURS

SIZE = 32  # pixels along an edge
N_PIXELS = SIZE * SIZE
CHANNELS = 12  # the largest grains of a cutout, one channel each
MIDDLE = 16.5  # pixels from the near edge of a cutout to its middle
FARTHEST = 80.0  # largest distance of the near edge from the centre
SEEN_ACROSS, SEEN_BELOW = 2.2, 2.0  # margins in mean seed distances: in the plane, off it
NEIGHBOURS_WITHIN = 1.6  # and beyond these for the neighbours of what is seen
SOFTNESS = 1e-3  # added to squared norms under the root: a finite slope at the seed
ACTIVE = 7.0  # a grain whose score is above the best by this weighs e^-7 at most

Floats = NDArray[np.float32]
Starts = NDArray[np.int64]


def pixel_terms() -> Floats:
    """X^2, XY, Y^2, X, Y, 1 at each pixel, (6, 1024); pixels in the order of X, then Y."""
    axis = np.arange(1, SIZE + 1) - MIDDLE
    x, y = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
    return np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)]).astype(np.float32)


PIXEL_TERMS = pixel_terms()


class Grains(NamedTuple):
    """Grains of a batch of cutouts: all that their labels depend on."""

    quadratics: Floats  # (n, 6), of the squared norm
    offsets: Floats  # (n,), r_i
    starts: Starts  # (b + 1,)
    middles: NDArray[np.float64]  # (b,), of the cutouts, pixels from the centre


class Neighbourhoods(NamedTuple):
    """Seeds of a batch of cutouts before a net has given them markers."""

    inputs: Floats  # (n, 60), of the marker net, or (n, 61) with the relative radius
    terms: Floats  # (n, 3, 6): the quadratic of M_i is the sum of d_k terms[i, k]
    starts: Starts  # (b + 1,)
    middles: NDArray[np.float64]  # (b,), of the cutouts, pixels from the centre

    def with_markers(self, diagonals: Floats, offsets: Floats) -> Grains:
        """Grains with D_i (n, 3) and r_i (n,)."""
        quadratics = np.einsum("nk,nkt->nt", diagonals, self.terms)
        return Grains(quadratics, offsets, self.starts, self.middles)


class Cutouts(NamedTuple):
    """A batch of cutouts."""

    images: Floats  # (b, 12, 32, 32), 0 or 1: T_i rounded, the largest grains first
    active: NDArray[np.bool_]  # (n,), grains that count at some pixel
    n_grains: NDArray[np.int64]  # (b,), grains that own at least so many pixels as asked for
    middles: NDArray[np.float64]  # (b,), pixels from the centre


def distances(rng: np.random.Generator, n: int, farthest: float = FARTHEST) -> NDArray[np.float64]:
    """Distances of the middles of ``n`` cutouts from the centre: p + 16.5, p in (0, farthest]."""
    return farthest * (1 - rng.random(n)) + MIDDLE


def neighbourhoods(
    rng: np.random.Generator,
    n: int,
    intensity: float,
    displacement_scale: float,
    farthest: float = FARTHEST,
    radius: float | None = None,
    intensity_factor: Profile = CONSTANT,
) -> Neighbourhoods:
    """Poisson seeds round ``n`` cutouts, and what the marker net wants to know of them.

    Parameters
    ----------
    intensity
        lambda, seeds per cubic pixel.
    displacement_scale
        Pixels by which displacements are divided, as in `MarkerNet`.
    farthest
        Largest distance of the near edge of a cutout from the centre, pixels.
    radius
        R of the particle, pixels, if the net sees relative radii |s| / R.
    intensity_factor
        Of lambda, by the relative radius; needs ``radius`` if it is not 1 everywhere.
    """
    unit = (intensity * min(intensity_factor.values)) ** (-1 / 3)
    middles = distances(rng, n, farthest)
    across = SIZE / 2 + SEEN_ACROSS * unit
    below = SEEN_BELOW * unit
    most = intensity * max(intensity_factor.values)
    seeds, starts = _seeds(rng, middles, most, across, below, NEIGHBOURS_WITHIN * unit)
    if radius and intensity_factor != CONSTANT:
        t = np.linalg.norm(seeds, axis=1) / radius
        arrived = most * rng.random(len(seeds)) < intensity * intensity_factor(t)
        starts = np.concatenate([[0], np.cumsum(arrived)])[starts]
        seeds = seeds[arrived]
    noise, angles = rng.random((len(seeds), 2)), np.pi * rng.random(len(seeds))
    seen = (np.abs(seeds[:, 1]) < across) & (np.abs(seeds[:, 2]) < below)
    seen &= np.abs(seeds[:, 0] - np.repeat(middles, np.diff(starts))) < across
    rows = np.flatnonzero(seen)
    inputs = np.zeros((len(rows), 5 * NEIGHBOURS + (radius is not None)), np.float32)
    terms = np.empty((len(rows), 3, 6), np.float32)
    row_starts = np.searchsorted(rows, starts).astype(np.int64)
    _describe(
        seeds, noise - 0.5, angles, starts, rows, row_starts, middles, displacement_scale,
        inputs, terms,
    )  # fmt: skip
    if radius is not None:
        inputs[:, -1] = np.minimum(np.linalg.norm(seeds[rows], axis=1) / radius, 1.0)
    return Neighbourhoods(inputs, terms, row_starts, middles)


def _seeds(
    rng: np.random.Generator,
    middles: NDArray[np.float64],
    intensity: float,
    across: float,
    below: float,
    margin: float,
) -> tuple[NDArray[np.float64], Starts]:
    """Seeds of all cutouts, (n, 3), those of one in the order of x, and their starts."""
    half = np.array([across + margin, across + margin, below + margin])
    counts = rng.poisson(intensity * np.prod(2 * half), len(middles))
    cutout = np.repeat(np.arange(len(middles)), counts)
    seeds = (2 * rng.random((len(cutout), 3)) - 1) * half
    seeds = seeds[np.lexsort((seeds[:, 0], cutout))]
    seeds[:, 0] += middles[cutout]
    return seeds, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@njit(cache=True, nogil=True)
def _describe(  # type: ignore[no-untyped-def]
    seeds, noise, angles, starts, rows, row_starts, middles, scale, inputs, terms
):
    """Write the net's inputs and the quadratics of the axes of each seed that is seen."""
    nearest, index = np.empty(NEIGHBOURS), np.empty(NEIGHBOURS, np.int64)
    turn = np.empty((3, 3))
    for b in range(len(starts) - 1):
        for row in range(row_starts[b], row_starts[b + 1]):
            i = rows[row]
            _nearest(seeds, i, starts[b], starts[b + 1], nearest, index)
            _radial_turn(seeds[i], angles[i], turn)
            for k in range(NEIGHBOURS):
                j = index[k]
                if j < 0:
                    continue
                for a in range(3):
                    moved = 0.0
                    for c in range(3):
                        moved += turn[a, c] * (seeds[j, c] - seeds[i, c])
                    inputs[row, 5 * k + a] = moved / scale
                inputs[row, 5 * k + 3] = noise[j, 0]
                inputs[row, 5 * k + 4] = noise[j, 1]
            _axis_terms(seeds[i], turn, middles[b], terms[row])


@njit(cache=True, nogil=True)
def _nearest(seeds, i, first, last, nearest, index):  # type: ignore[no-untyped-def]
    """Write the squared distances and numbers of the nearest seeds, walking along x."""
    nearest[:] = np.inf
    index[:] = -1
    for step in (-1, 1):
        j = i + step
        while first <= j < last:
            along = seeds[j, 0] - seeds[i, 0]
            if along * along > nearest[-1]:
                break
            d = along * along + (seeds[j, 1] - seeds[i, 1]) ** 2 + (seeds[j, 2] - seeds[i, 2]) ** 2
            if d < nearest[-1]:
                k = len(nearest) - 1
                while k > 0 and nearest[k - 1] > d:
                    nearest[k], index[k] = nearest[k - 1], index[k - 1]
                    k -= 1
                nearest[k], index[k] = d, j
            j += step


@njit(cache=True, nogil=True)
def _radial_turn(seed, angle, turn):  # type: ignore[no-untyped-def]
    """Write Q of Eq. (12), as `radial_frame.radial_rotations` has it."""
    norm = math.sqrt(seed[0] ** 2 + seed[1] ** 2 + seed[2] ** 2)
    u = np.array([seed[0] / norm + 1.0, seed[1] / norm, seed[2] / norm])
    length = math.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2)
    if length < 1e-8:
        u[:] = 0.0, 1.0, 0.0
        length = 1.0
    cosine, sine = math.cos(angle), math.sin(angle)
    for j in range(3):
        half = np.empty(3)
        for i in range(3):
            half[i] = 2 * u[i] * u[j] / length**2 - (1.0 if i == j else 0.0)
        turn[0, j] = half[0]
        turn[1, j] = cosine * half[1] - sine * half[2]
        turn[2, j] = sine * half[1] + cosine * half[2]


@njit(cache=True, nogil=True)
def _axis_terms(seed, turn, middle, out):  # type: ignore[no-untyped-def]
    """Write (q_k . (x - s))^2 as quadratics of the cutout's coordinates, (3, 6)."""
    for k in range(3):
        a, b = turn[k, 0], turn[k, 1]
        c = a * (middle - seed[0]) - b * seed[1] - turn[k, 2] * seed[2]
        out[k, 0], out[k, 1], out[k, 2] = a * a, 2 * a * b, b * b
        out[k, 3], out[k, 4], out[k, 5] = 2 * a * c, 2 * b * c, c * c


def cutouts(grains: Grains, least_pixels: int = 1) -> Cutouts:
    """Images of a batch of cutouts, Eqs. (14), (16), rounded as the discriminator gets them.

    Parameters
    ----------
    grains
        Those of the batch.
    least_pixels
        Grains that own fewer pixels are not counted.
    """
    n = len(grains.starts) - 1
    images = np.zeros((n, CHANNELS, N_PIXELS), np.float32)
    active = np.zeros(len(grains.offsets), np.bool_)
    counts = np.zeros(n, np.int64)
    quadratics, offsets, starts, middles = grains
    _draw(quadratics, offsets, starts, PIXEL_TERMS, least_pixels, images, active, counts)
    return Cutouts(images.reshape(n, CHANNELS, SIZE, SIZE), active, counts, middles)


@njit(cache=True, nogil=True, fastmath=True)
def _draw(  # type: ignore[no-untyped-def]
    quadratics, offsets, starts, pixel_terms, least_pixels, images, active, counts
):
    most = 0
    for b in range(len(starts) - 1):
        most = max(most, starts[b + 1] - starts[b])
    scores = np.empty((most, N_PIXELS), np.float32)
    best, total = np.empty(N_PIXELS, np.float32), np.empty(N_PIXELS, np.float32)
    owned, area = np.empty(most, np.int64), np.empty(most, np.float32)
    for b in range(len(starts) - 1):
        start, n = starts[b], starts[b + 1] - starts[b]
        _write_scores(quadratics, offsets, start, n, pixel_terms, scores, best)
        _count_pixels(scores, best, n, owned)
        for k in range(n):
            counts[b] += owned[k] >= least_pixels
        _soften(scores, best, n, active[start : start + n], total, area)
        order = np.argsort(-area[:n])
        for c in range(min(CHANNELS, n)):
            if area[order[c]] > 0:
                for x in range(N_PIXELS):
                    images[b, c, x] = scores[order[c], x] > np.float32(0.5) * total[x]


@njit(cache=True, nogil=True, fastmath=True)
def _write_scores(quadratics, offsets, start, n, pixel_terms, scores, best):  # type: ignore[no-untyped-def]
    """Write f_i at each pixel for n grains, and the least of them."""
    best[:] = np.inf
    for k in range(n):
        c0, c1, c2, c3, c4, c5 = quadratics[start + k]
        r = offsets[start + k]
        row = scores[k]
        for x in range(N_PIXELS):
            q = (
                c0 * pixel_terms[0, x] + c1 * pixel_terms[1, x] + c2 * pixel_terms[2, x]
                + c3 * pixel_terms[3, x] + c4 * pixel_terms[4, x] + c5
            )  # fmt: skip
            row[x] = math.sqrt(max(q, np.float32(0.0)) + np.float32(SOFTNESS)) - r
        for x in range(N_PIXELS):
            best[x] = min(best[x], row[x])


@njit(cache=True, nogil=True)
def _count_pixels(scores, best, n, owned):  # type: ignore[no-untyped-def]
    """Write how many pixels each grain owns; of equal scores the first wins."""
    free = np.ones(N_PIXELS, np.int32)
    for k in range(n):
        row, found = scores[k], np.int32(0)
        for x in range(N_PIXELS):  # as wide as the scores: it is vectorised
            hit = np.int32(row[x] == best[x]) & free[x]
            free[x] -= hit
            found += hit
        owned[k] = found


@njit(cache=True, nogil=True, fastmath=True)
def _soften(scores, best, n, active, total, area):  # type: ignore[no-untyped-def]
    """Turn the scores of active grains into weights; write their sums, and areas of T_i."""
    total[:] = 0.0
    for k in range(n):
        row = scores[k]
        least = np.float32(np.inf)
        for x in range(N_PIXELS):
            least = min(least, row[x] - best[x])
        active[k] = least < ACTIVE
        if active[k]:
            for x in range(N_PIXELS):
                row[x] = math.exp(best[x] - row[x])
                total[x] += row[x]
    for k in range(n):
        area[k] = 0.0
        if active[k]:
            for x in range(N_PIXELS):
                area[k] += scores[k, x] / total[x]
