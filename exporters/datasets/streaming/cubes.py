"""Where the voxels of an item lie: cubes at random in a particle, or round all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....generator.errors import DatasetError
from ....generator.rounding import rounded
from ....generator.streams import stream
from ....generator.voxels.grid import Axes

if TYPE_CHECKING:
    from ....generator.particle import Particle
    from ....generator.shell.shell import Shell


@dataclass(frozen=True, eq=False)
class Cube:
    """Cube of voxels in the frame of a particle.

    Parameters
    ----------
    centre_um
        (3,) float, centre of the cube (x, y, z), um.
    edge
        Voxels along an edge.
    pitch_um
        Edge of a voxel, um.
    """

    centre_um: NDArray[np.float64]
    edge: int
    pitch_um: float

    def axes(self, rim: int = 0) -> Axes:
        """Coordinates x, y, z of the voxel centres, (edge + 2 rim,) each, um.

        Examples
        --------
        >>> Cube(np.array([1.0, 0.0, 0.0]), 2, 0.5).axes(rim=1)[0]
        array([0.25, 0.75, 1.25, 1.75])
        """
        offsets = (np.arange(-rim, self.edge + rim) - (self.edge - 1) / 2) * self.pitch_um
        x, y, z = (centre + offsets for centre in self.centre_um)
        return x, y, z


def crop_cube(particle: Particle, crop: int, edge: int, pitch_um: float) -> Cube:
    """Cube number ``crop`` of a particle: its centre is uniform in the volume of the particle."""
    source = particle.provenance
    rng = stream(source.seed, source.index, "crops", crop)
    return Cube(point_inside(particle.shell, rng), edge, pitch_um)


def point_inside(shell: Shell, rng: np.random.Generator) -> NDArray[np.float64]:
    """Point uniform in the volume of a shell, (3,) float, um: by rejection from a cube."""
    reach = _reach_um(shell)
    while True:
        point = rounded(reach * (2 * rng.random(3) - 1))
        if shell.contains(point):
            return point


def whole_cube(particle: Particle, edge: int, pitch_um: float | None) -> Cube:
    """Cube about the centroid that holds a particle with a voxel to spare on each side.

    The particle fills it if ``pitch_um`` is None.

    Raises
    ------
    DatasetError
        If it does not fit; says what does.
    """
    reach = _reach_um(particle.shell)
    if pitch_um is None:
        return Cube(np.zeros(3), edge, 2 * reach / (edge - 2))
    needed = math.ceil(2 * reach / pitch_um) + 2
    if needed > edge:
        msg = (
            f"particle {particle.provenance.index} needs shape={needed} at pitch_um={pitch_um:g}, "
            f"got {edge}; give that, pitch_um=None, which makes every particle fill its cube, or "
            "changes={'shell.diameter_um': ...}"
        )
        raise DatasetError(msg)
    return Cube(np.zeros(3), edge, pitch_um)


def _reach_um(shell: Shell) -> float:
    """Bound of the distance of the surface, up to the next nm: the same on every processor."""
    return math.ceil(1e3 * shell.radius_bounds[1]) / 1e3
