"""A curve that fills space: order along it, and blocks of it that threads share out.

The curve is that of Morton (1966): the bits of the three coordinates take turns, so that
neighbours lie near. It is cut into as many parts of equal length as the number of tetrahedra
asks for, never that of the threads, and each block is a complex of its own. Its hull, and so all
that it has in common with another one, stays as it is meanwhile; the next cuts lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.machine import in_threads
from .tet_complex import VACANT, TetComplex, complex_of, tet_volume

BITS = 21  # of each coordinate: 63 in all
SPREADING = (  # shift, and the bits that stay: each step moves them twice as far apart
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
BLOCK = 60_000  # tetrahedra of a block, at least
MOST_BLOCKS = 64
SHIFT = np.array([0.8191725, 0.6710436, 0.5497005])  # of the curve with each round: R3 sequence
PART = 50_000  # rows of an array that are worked on at a time

Result = TypeVar("Result")


class Worked(NamedTuple):
    """A labelled mesh between two rounds of work on it."""

    points: NDArray[np.float64]  # (n, 3)
    tets: NDArray[np.int64]  # (m, 4)
    labels: NDArray[np.int32]  # (m,)
    fixed: NDArray[np.bool_]  # (n,) on the hull
    changed: NDArray[np.int32]  # (n,) as in `TetComplex`
    limits: NDArray[np.float64]  # (n,) as there

    def complex(
        self,
        rows: NDArray[np.int64],
        fixed: NDArray[np.bool_],
        targets: NDArray[np.float64],
        sizes: NDArray[np.float64],
        done: int,
    ) -> tuple[NDArray[np.int64], TetComplex]:
        """Vertices of some tetrahedra as they are first met, and a complex of these alone.

        ``done`` rounds are behind it; vertices that are ``fixed`` stay.
        """
        nodes, own = numbered(self.tets, rows, len(self.points))
        c = complex_of(
            self.points[nodes], own, self.labels[rows], fixed[nodes], targets, sizes,
            self.limits[nodes],
        )  # fmt: skip
        c.round[0], c.changed[:] = done, self.changed[nodes]
        return nodes, c


def n_blocks(n_tets: int) -> int:
    """Number of blocks for so many tetrahedra: a power of two, so that cores have equal shares.

    Examples
    --------
    >>> [n_blocks(n) for n in (1_000, 119_999, 120_000, 1_000_000)]
    [1, 1, 2, 16]
    """
    most = max(1, min(MOST_BLOCKS, n_tets // BLOCK))
    return 1 << (most.bit_length() - 1)


def worked_in_blocks(
    mesh: Worked,
    targets: NDArray[np.float64],
    sizes: NDArray[np.float64],
    done: int,
    work: Callable[[TetComplex], None],
    threads: int | None,
) -> Worked:
    """The mesh after ``work`` on each of its blocks, after ``done`` rounds.

    Parameters
    ----------
    targets, sizes : (n_grains + 1,) float
        As in `complex_of`.
    threads
        By default as many as cores that the process may use.
    """
    volumes = np.sum(
        in_parts(
            lambda part: _volumes(mesh.points, mesh.tets[part], mesh.labels[part], len(targets)),
            len(mesh.tets),
            threads,
        ),
        axis=0,
    )
    points, changed = mesh.points.copy(), mesh.changed.copy()
    block, n = _blocks(mesh, done, threads), n_blocks(len(mesh.tets))
    sharing = np.zeros((len(targets), n), bool)
    sharing[mesh.labels, block] = True
    n_sharing = np.maximum(sharing.sum(axis=1), 1)
    # each block has its part of the volume and of the margin, so that all keep it together
    volumes, targets = volumes / n_sharing, targets / n_sharing
    fixed = mesh.fixed | _shared(mesh.tets, block, len(points))

    def worked(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        nodes, c = mesh.complex(rows, fixed, targets, sizes, done)
        c.volumes[:] = volumes
        work(c)
        inner, alive = ~c.fixed, c.labels != VACANT
        points[nodes[inner]] = c.points[inner]
        at_hull = c.tets[alive & c.fixed[c.tets].any(axis=1)]
        c.changed[at_hull] = c.round  # to be looked at again
        changed[nodes] = c.changed
        return nodes[c.tets[alive]], c.labels[alive]

    found = in_threads(worked, [np.flatnonzero(block == k) for k in range(n)], threads)
    tets, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Worked(points, tets, labels, mesh.fixed, changed, mesh.limits)


def _blocks(mesh: Worked, done: int, threads: int | None) -> NDArray[np.int64]:
    """Block of each tetrahedron, (m,): a part of the curve, which is moved with the rounds done."""
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    width = float((high - low).max())
    low = low - width * (done * SHIFT % 1.0)
    found = in_parts(
        lambda rows: morton_codes(centroids(mesh.points, mesh.tets[rows]), low, 2 * width),
        len(mesh.tets),
        threads,
    )
    codes = np.concatenate(found)
    n, m = n_blocks(len(codes)), len(codes)
    ends = [m * k // n for k in range(1, n)]
    cuts = np.partition(codes, ends)[ends]
    return np.concatenate(
        in_parts(lambda rows: np.searchsorted(cuts, codes[rows], side="right"), m, threads)
    )


@njit(cache=True, nogil=True)
def _shared(tets, block, n_points):  # type: ignore[no-untyped-def]
    """Whether each vertex has tetrahedra of several blocks, (n_points,)."""
    first, shared = np.full(n_points, -1, np.int64), np.zeros(n_points, np.bool_)
    for t in range(tets.shape[0]):
        for k in range(4):
            v = tets[t, k]
            if first[v] < 0:
                first[v] = block[t]
            elif first[v] != block[t]:
                shared[v] = True
    return shared


def in_parts(work: Callable[[slice], Result], n: int, threads: int | None) -> list[Result]:
    """Results of ``work`` for slices of n rows, in their order; for an empty one if n is 0."""
    return in_threads(work, [slice(k, k + PART) for k in range(0, max(n, 1), PART)], threads)


@njit(cache=True, nogil=True)
def _volumes(points, tets, labels, n_labels):  # type: ignore[no-untyped-def]
    """Volume of each label, (n_labels,)."""
    volumes = np.zeros(n_labels)
    for t in range(tets.shape[0]):
        volumes[labels[t]] += tet_volume(points, tets, t)
    return volumes


def morton_codes(
    points: NDArray[np.float64], low: NDArray[np.float64], width: float
) -> NDArray[np.uint64]:
    """Place of points (n, 3) on the curve through the cube of that corner and edge.

    Examples
    --------
    >>> corners = np.array([[0.9, 0.9, 0.9], [0.0, 0.0, 0.9], [0.9, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> np.argsort(morton_codes(corners, np.zeros(3), 1.0))
    array([3, 2, 1, 0])
    """
    cells = np.clip((points - low) / width * 2**BITS, 0, 2**BITS - 1).astype(np.uint64)
    for shift, kept in SPREADING:
        cells = (cells | cells << np.uint64(shift)) & np.uint64(kept)
    return cells[:, 0] | cells[:, 1] << np.uint64(1) | cells[:, 2] << np.uint64(2)


def along_curve(
    points: NDArray[np.float64], tets: NDArray[np.int64], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """The same mesh with its tetrahedra along the curve, points as they are first met.

    Parameters
    ----------
    points : (n, 3) float
        Each of them of some tetrahedron.
    """
    low = points.min(axis=0)
    codes = morton_codes(centroids(points, tets), low, float((points.max(axis=0) - low).max()))
    order = np.argsort(codes, kind="stable")
    met, own = numbered(tets, order, len(points))
    return points[met], own, labels[order]


@njit(cache=True, nogil=True)
def centroids(points, tets):  # type: ignore[no-untyped-def]
    """Centroids of tetrahedra (m, 4): (m, 3)."""
    centroids = np.zeros((tets.shape[0], 3))
    for t in range(tets.shape[0]):
        for k in range(4):
            for i in range(3):
                centroids[t, i] += 0.25 * points[tets[t, k], i]
    return centroids


@njit(cache=True, nogil=True)
def numbered(tets, rows, n_points):  # type: ignore[no-untyped-def]
    """Vertices of some rows as they are first met, (n,), and the rows by their places there."""
    place = np.full(n_points, -1, np.int32)
    nodes, n = np.empty(n_points, np.int64), 0
    own = np.empty((rows.size, 4), np.int64)
    for r in range(rows.size):
        for k in range(4):
            v = tets[rows[r], k]
            if place[v] < 0:
                place[v] = n
                nodes[n] = v
                n += 1
            own[r, k] = place[v]
    return nodes[:n].copy(), own
