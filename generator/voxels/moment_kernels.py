"""Compiled pass over a labelled volume: moments of every label, and which meet label 0."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_moments(labels, first, sums):  # type: ignore[no-untyped-def]
    """Add to ``sums`` (n + 1, 10) the voxels of each label in (nz, ny, nx) ``labels``.

    Columns: their number, and the sums of x, y, z, xx, yy, zz, xy, xz and yz of their
    indices, where the layers count from ``first``. Whole numbers below 2^53, and so exact. A
    run of equal labels along x counts at once.
    """
    nz, ny, nx = labels.shape
    for k in range(nz):
        z = first + k
        for y in range(ny):
            start = 0
            for x in range(1, nx + 1):
                label = labels[k, y, start]
                if x < nx and labels[k, y, x] == label:
                    continue
                if label > 0:
                    n = x - start
                    sx = _sum(x) - _sum(start)
                    row = sums[label]
                    row[0] += n
                    row[1] += sx
                    row[2] += n * y
                    row[3] += n * z
                    row[4] += _sum_of_squares(x) - _sum_of_squares(start)
                    row[5] += n * y * y
                    row[6] += n * z * z
                    row[7] += sx * y
                    row[8] += sx * z
                    row[9] += n * y * z
                start = x


@njit(cache=True, nogil=True)
def mark_exposed(labels, start, stop, exposed):  # type: ignore[no-untyped-def]
    """Mark in ``exposed`` (n + 1,) the labels with a face neighbour 0; outside all is 0.

    Voxels of the layers ``start`` to ``stop - 1`` are looked at, their neighbours lie in all.
    """
    nz, ny, nx = labels.shape
    for z in range(start, stop):
        for y in range(ny):
            for x in range(nx):
                label = labels[z, y, x]
                if label == 0 or exposed[label]:
                    continue
                exposed[label] = (
                    min(x, y, z) == 0 or x == nx - 1 or y == ny - 1 or z == nz - 1
                    or labels[z, y, x - 1] == 0 or labels[z, y, x + 1] == 0
                    or labels[z, y - 1, x] == 0 or labels[z, y + 1, x] == 0
                    or labels[z - 1, y, x] == 0 or labels[z + 1, y, x] == 0
                )  # fmt: skip


@njit(inline="always")
def _sum(n):  # type: ignore[no-untyped-def]
    """0 + 1 + ... + (n - 1)."""
    return n * (n - 1) // 2


@njit(inline="always")
def _sum_of_squares(n):  # type: ignore[no-untyped-def]
    """0 + 1 + 4 + ... + (n - 1)^2."""
    return (n - 1) * n * (2 * n - 1) // 6
