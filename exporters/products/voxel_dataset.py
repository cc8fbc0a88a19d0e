"""Voxels in memory, as the file of the product ``voxels`` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

from ...generator.voxels.labelling import label_grid
from .voxels import VOLUME_DIMENSIONS, boundary, count_voxels, plan, require_voxels

if TYPE_CHECKING:
    from ...generator.particle import Particle


def voxel_dataset(particle: Particle, pitch_um: float) -> xarray.Dataset:
    """Grain ids of ``particle`` on voxels of ``pitch_um`` with the volume of each grain.

    Raises
    ------
    ExportError
        If the pitch is not a positive number, or no voxel lies inside.
    """
    grid = plan(particle, pitch_um).grid
    labels = label_grid(particle, grid)
    counts = count_voxels(labels, particle.n_grains)
    require_voxels(counts, particle, pitch_um)
    um, one = {"units": "um"}, {"units": "1"}
    return xarray.Dataset(
        {
            "grain_id": (VOLUME_DIMENSIONS, labels, one),
            "grain_boundary": (VOLUME_DIMENSIONS, boundary(labels, slice(0, len(labels))), one),
            "grain_voxels": ("grain", counts[1:], one),
            "grain_volume": ("grain", counts[1:] * grid.voxel_um3, {"units": "um^3"}),
        },
        {axis: (axis, grid.axis(axis), um) for axis in VOLUME_DIMENSIONS}
        | {"grain": np.arange(1, particle.n_grains + 1, dtype=np.int32)},
        {"id": particle.id, "pitch_um": pitch_um},
    )
