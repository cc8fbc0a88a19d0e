"""Windows of voxels as numbers alone, which a device or another process can be sent."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..grains.tessellation import Tessellation
from ..shell.shell import Shell
from .grid import Axes
from .labelling import NO_SHELL, extent


class Window(NamedTuple):
    """Voxels to be labelled, and what their labels follow from: numbers alone.

    Parameters
    ----------
    axes
        Ascending coordinates (nx,), (ny,), (nz,) float64 of the voxel centres, um.
    table, squared
        Grain table (n, 10), and the metric.
    slack
        Bound on the rounding error of differences of scores.
    shell, degree
        Shell table, empty without a shell, and the degree of its expansion.
    grain_um
        Mean width of a grain: the cube root of its mean volume.
    below
        Layers of the whole below these.
    """

    axes: Axes
    table: NDArray[np.float64]
    squared: bool
    slack: float
    shell: NDArray[np.float64]
    degree: int
    grain_um: float
    below: int = 0

    @classmethod
    def of(cls, tessellation: Tessellation, shell: Shell | None, axes: Axes) -> Window:
        """Window on a particle, or on a tessellation without a shell."""
        x, y, z = (np.ascontiguousarray(axis, np.float64) for axis in axes)
        if shell is None:
            volume = float(np.prod(np.ptp(tessellation.seeds, axis=0)))
        else:
            volume = 4 / 3 * math.pi * shell.mean_radius_um**3
        return cls(
            axes=(x, y, z),
            table=tessellation.table,
            squared=tessellation.squared,
            slack=tessellation.slack(extent(tessellation, (x, y, z))),
            shell=NO_SHELL if shell is None else shell.table,
            degree=-1 if shell is None else shell.max_degree,
            grain_um=(volume / len(tessellation)) ** (1 / 3),
        )

    @property
    def n_grains(self) -> int:
        """Number of grains."""
        return len(self.table)

    @property
    def shape(self) -> tuple[int, ...]:
        """(nz, ny, nx)."""
        return tuple(len(axis) for axis in self.axes[::-1])

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def grain_width(self) -> float:
        """Mean width of a grain, voxels, at least 1."""
        steps = [(a[-1] - a[0]) / (len(a) - 1) for a in self.axes if len(a) > 1]
        return max(1.0, self.grain_um * len(steps) / float(sum(steps))) if steps else 1.0

    def layers(self, start: int, stop: int) -> Window:
        """Some of the layers."""
        x, y, z = self.axes
        return self._replace(axes=(x, y, z[start:stop]), below=self.below + start)
