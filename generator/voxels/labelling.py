"""Voxel labels of a particle: exact, by culling, block by block."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..grains import gbpd_kernels
from ..grains.tessellation import Tessellation
from ..machine import run_all
from . import label_kernels
from .grid import Grid

if TYPE_CHECKING:
    from ..particle import Particle
    from ..shell.shell import Shell

NO_SHELL = np.empty(0)
SINGLE = 2.0**26  # 128 units in the last place of single precision over 1000 of double
SLAB = 64  # layers of voxels that a streamed export labels at a time


class LabelSlab(Protocol):
    """Whatever labels layers of a grid as `label_slab` does: the processor, or a GPU."""

    def __call__(
        self,
        particle: Particle,
        grid: Grid,
        start: int,
        stop: int,
        *,
        out: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """Layers ``start`` to ``stop - 1``, (stop - start, ny, nx) int32, in ``out`` if given."""


def label_grid(particle: Particle, grid: Grid, *, threads: int | None = None) -> NDArray[np.int32]:
    """Grain id at every voxel centre, (nz, ny, nx) int32; 0 outside the shell.

    Equal to evaluating every grain at every voxel, to the bit, ties to the lowest id
    (`label_kernels` has the algorithm). Memory beyond the result is a
    few megabytes for each thread.

    Parameters
    ----------
    threads
        Number of threads; by default all cores that the process may use. The labels do
        not depend on it.
    """
    return label_slab(particle, grid, 0, grid.shape[0], threads=threads)


def label_slab(
    particle: Particle,
    grid: Grid,
    start: int,
    stop: int,
    *,
    threads: int | None = None,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """Layers ``start`` to ``stop - 1`` along z of `label_grid`, (stop - start, ny, nx) int32.

    They are written to ``out`` if it is given, C-contiguous.
    """
    axes = (grid.axis("x"), grid.axis("y"), grid.axis("z")[start:stop])
    return label_axes(particle.tessellation, *axes, shell=particle.shell, threads=threads, out=out)


def label_axes(
    tessellation: Tessellation,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    *,
    shell: Shell | None = None,
    threads: int | None = None,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """One plus the index of the grain at every (z, y, x), 0 outside the shell if given.

    Parameters
    ----------
    x, y, z : (nx,), (ny,), (nz,) float
        Ascending coordinates; they need not be equidistant.
    out
        C-contiguous array for the result; a new one if left out.
    """
    x, y, z = _as_compiled(x, y, z)
    result = np.empty((len(z), len(y), len(x)), np.int32) if out is None else out
    table, degree = (NO_SHELL, 0) if shell is None else (shell.table, shell.max_degree)
    slack = single_slack(tessellation, (x, y, z))
    edge = block_edge(result.shape)

    more = (tessellation.table, tessellation.squared, slack, table, degree)
    start, members = label_kernels.block_lists(x, y, z, edge, *more)

    def label(block: tuple[int, ...]) -> None:
        b, k, j, i = block
        roots = members[start[b] : start[b + 1]]
        label_kernels.label_block(x, y, z, k, j, i, edge, roots, *more, result)

    corners = product(*(range(0, n, edge) for n in result.shape))
    run_all(label, ((b, *corner) for b, corner in enumerate(corners)), threads)
    return result


def label_brute_force(
    tessellation: Tessellation,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
) -> NDArray[np.int32]:
    """What `label_axes` must be equal to: every grain evaluated at every voxel, no shell."""
    x, y, z = _as_compiled(x, y, z)
    out = np.empty((len(z), len(y), len(x)), np.int32)
    gbpd_kernels.brute_force(x, y, z, tessellation.table, tessellation.squared, out)
    return out


def _as_compiled(*axes: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The axes as contiguous float64: any other type or layout would compile kernels anew."""
    return tuple(np.ascontiguousarray(axis, np.float64) for axis in axes)


def extent(tessellation: Tessellation, axes: tuple[NDArray[np.float64], ...]) -> float:
    """Largest distance that a voxel can have from a seed, at least."""
    low = np.minimum([a[0] for a in axes], tessellation.seeds.min(axis=0))
    high = np.maximum([a[-1] for a in axes], tessellation.seeds.max(axis=0))
    return float(np.linalg.norm(high - low))


def single_slack(tessellation: Tessellation, axes: tuple[NDArray[np.float64], ...]) -> float:
    """Bound on what single precision changes in a comparison of grains on a box, generously.

    128 units in its last place of the largest score within the largest coordinates: a rounding of
    a seed, corner, factor or sum moves a score by at most half a unit, and fewer than a hundred
    come together. 1e-18 is more than the root of what underflows; where numbers overflow,
    comparisons fail and grains stay.
    """
    largest = max(float(np.abs(a).max()) for a in (tessellation.seeds, *axes))
    return SINGLE * tessellation.slack(2 * math.sqrt(3) * largest) + 1e-18


def block_edge(shape: tuple[int, ...]) -> int:
    """Edge of the root blocks: about an eighth of the grid, 32 at least, a slab at most."""
    return SLAB if max(shape) > 8 * 32 else 32
