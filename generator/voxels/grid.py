"""Regular voxel grids: where the voxels of a gridded product lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

AXES = "xyz"
LARGEST_UM = 1e9
Axes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]  # x, y, z; um


@dataclass(frozen=True)
class Grid:
    """Voxels of equal edge, axes parallel to x, y, z.

    Parameters
    ----------
    origin
        Lower corner (x, y, z) of the first voxel, um.
    spacing
        Edge of a voxel, um.
    shape
        Number of voxels (nz, ny, nx): the order of arrays and files.

    Raises
    ------
    ValueError
        For a spacing that is no positive length, or an empty shape.

    Examples
    --------
    >>> Grid(origin=(-1.0, -1.0, -1.0), spacing=0.5, shape=(4, 4, 4)).axis("x")
    array([-0.75, -0.25,  0.25,  0.75])
    """

    origin: tuple[float, float, float]
    spacing: float
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        _require_length(self.spacing)
        if min(self.shape) < 1 or not np.all(np.isfinite(self.origin)):
            msg = f"grid of shape {self.shape} at {self.origin} um holds no voxel"
            raise ValueError(msg)

    def axis(self, name: Literal["x", "y", "z"]) -> NDArray[np.float64]:
        """Coordinates of the voxel centres along one axis, (n,) float, um, ascending."""
        k = AXES.index(name)
        numbers = np.arange(self.shape[2 - k], dtype=np.float64)
        return self.origin[k] + (numbers + 0.5) * self.spacing

    @property
    def axes(self) -> Axes:
        """Coordinates along x, y and z."""
        return self.axis("x"), self.axis("y"), self.axis("z")

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        nz, ny, nx = self.shape
        return nz * ny * nx

    @property
    def voxel_um3(self) -> float:
        """Volume of one voxel, um^3."""
        return self.spacing**3

    @classmethod
    def around(cls, radius: float, spacing: float) -> Grid:
        """Cube centred on the origin that holds a ball of ``radius`` um with a voxel to spare.

        The number of voxels per edge is even: the origin is a voxel corner at every
        spacing, and halving the spacing splits each voxel into eight.

        Examples
        --------
        >>> Grid.around(radius=1.0, spacing=0.5)
        Grid(origin=(-1.5, -1.5, -1.5), spacing=0.5, shape=(6, 6, 6))
        """
        _require_length(spacing)
        if not radius / spacing < 2**30:
            msg = (
                f"spacing is {spacing} um for a radius of {radius:.3g} um, expected less than 2^31 "
                "voxels along an edge: choose a larger spacing"
            )
            raise ValueError(msg)
        half = int(np.ceil(radius / spacing)) + 1
        return cls((-half * spacing,) * 3, spacing, (2 * half,) * 3)


def _require_length(spacing: float) -> None:
    if not 0 < spacing <= LARGEST_UM:  # so that its cube is finite
        msg = f"spacing is {spacing}, expected a positive length in um, at most {LARGEST_UM:g}"
        raise ValueError(msg)
