"""What can be meshed: something that says which grain is where.

`ParticleBody` is a particle by its recipe. `exporters/labels/label_volume.py` has labelled voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.machine import available_memory
from ...generator.particle import OUTSIDE, Particle
from ...generator.voxels.grid import Grid
from ...generator.voxels.labelling import SLAB, label_grid, label_slab
from .material_field import MaterialField, particle_field

VOXEL_BYTES = 4


class Body(Protocol):
    """A body about the origin, made of grains 1..n_grains; 0 is outside. Lengths in um."""

    @property
    def n_grains(self) -> int:
        """Number of grains."""

    @property
    def radius_um(self) -> float:
        """Radius of a ball about the origin that holds the body."""

    @property
    def volume_um3(self) -> float:
        """Volume of the body."""

    @property
    def pixel_um(self) -> float:
        """Finest length that the grains were known to: a pixel or a voxel."""

    @property
    def keeps_pieces(self) -> bool:
        """Whether a grain may be several pieces of the mesh, connected over faces."""

    @property
    def edge_factors(self) -> NDArray[np.float64]:
        """Part of the usual shortest edge that each thin grain may have, (n_grains + 1,)."""

    @property
    def thin_places(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Points (k, 3) inside thin grains that samples may miss, and the grain of each, (k,)."""

    @property
    def field(self) -> MaterialField:
        """The boundaries, for compiled kernels."""

    @property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of each grain, (n_grains + 1,), um^3; 0 in row 0."""

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Grain id at points (n, 3): (n,) int32, 0 outside."""

    def reaches(self, points: NDArray[np.float64], step_um: float) -> NDArray[np.bool_]:
        """Whether points (n, 3) of a lattice of that step are in the body or a thin part near."""

    def depths(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depth of points (n, 3) below the outer surface, um: (n,); 0 or less outside."""

    def voxel_labels(self, pitch_um: float) -> NDArray[np.int32]:
        """Grain ids on voxels (nz, ny, nx) of that edge that hold the body."""


@dataclass(frozen=True, eq=False)
class ParticleBody:
    """A particle, by its recipe."""

    particle: Particle

    @property
    def n_grains(self) -> int:
        """Number of grains of the recipe."""
        return self.particle.n_grains

    @property
    def radius_um(self) -> float:
        """Largest radius of the shell."""
        return self.particle.shell.radius_bounds[1]

    @property
    def volume_um3(self) -> float:
        """Volume of the shell, exact."""
        return self.particle.shell.volume_um3

    @property
    def pixel_um(self) -> float:
        """Pixel of the grain frame."""
        pixel: float = self.particle.provenance.card.pixel_um
        return pixel

    @property
    def keeps_pieces(self) -> bool:
        """False: of a cell of the diagram the largest piece stays."""
        return False

    @property
    def edge_factors(self) -> NDArray[np.float64]:
        """1 for each grain: what is thinner than the shortest edge may go."""
        return np.ones(self.n_grains + 1)

    @property
    def thin_places(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """None."""
        return np.empty((0, 3)), np.empty(0, np.int32)

    @property
    def field(self) -> MaterialField:
        """GBPD scores and the shell."""
        return particle_field(self.particle)

    @cached_property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of each grain in voxels of half a pixel, (n_grains + 1,), um^3; 0 in row 0."""
        pitch, counts = self.pixel_um / 2, np.zeros(self.n_grains + 1)
        grid = Grid.around(self.radius_um, pitch)
        for start in range(0, grid.shape[0], SLAB):  # all voxels may be more than the memory
            for layer in label_slab(self.particle, grid, start, min(start + SLAB, grid.shape[0])):
                counts += np.bincount(layer.ravel(), minlength=len(counts))
        volumes: NDArray[np.float64] = counts * pitch**3
        volumes[OUTSIDE] = 0.0
        return volumes

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Grain id at points (n, 3): (n,) int32, 0 outside."""
        return self.particle.grain_at(points)

    def reaches(self, points: NDArray[np.float64], step_um: float) -> NDArray[np.bool_]:
        """Whether points (n, 3) are in the body: a shell has no thin parts."""
        inside: NDArray[np.bool_] = self.grain_at(points) != OUTSIDE
        return inside

    def depths(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depth of points (n, 3) below the shell, (n,), along the line to the centre."""
        return self.particle.shell.depth(points)

    def voxel_labels(self, pitch_um: float) -> NDArray[np.int32]:
        """Grain ids at the centres of voxels, (nz, ny, nx).

        Raises
        ------
        ExportError
            If the memory does not hold them.
        """
        grid = Grid.around(self.radius_um, pitch_um)
        needed, available = VOXEL_BYTES * grid.n_voxels, available_memory()
        if needed > available:
            msg = (
                f"grains are measured in {grid.n_voxels:.2g} voxels of {pitch_um:g} um, which "
                f"take {needed / 1e9:.3g} GB of memory; {available / 1e9:.3g} GB are free here: "
                "mesh a smaller particle"
            )
            raise ExportError(msg)
        return label_grid(self.particle, grid)
