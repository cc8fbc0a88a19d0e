"""Voxels in memory: as the file of the product ``voxels`` has them, or at the points of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

from ...generator.errors import ExportError
from ...generator.voxels.grid import Axes
from ...generator.voxels.labelling import label_axes
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
    found = window_dataset(particle, grid.axes)
    counts = found["grain_voxels"]
    require_voxels(counts.to_numpy(), particle, pitch_um)
    volume = ("grain", counts.to_numpy() * grid.voxel_um3, {"units": "um^3"})
    return found.assign(grain_volume=volume).assign_attrs(pitch_um=pitch_um)


def window_dataset(particle: Particle, axes: Axes) -> xarray.Dataset:
    """Grain ids of ``particle`` at the points of three axes, as `checked_axes` takes them.

    Raises
    ------
    ExportError
        If the axes are not as expected.
    """
    x, y, z = checked_axes(axes)
    labels = label_axes(particle.tessellation, x, y, z, shell=particle.shell)
    um, one = {"units": "um"}, {"units": "1"}
    return xarray.Dataset(
        {
            "grain_id": (VOLUME_DIMENSIONS, labels, one),
            "grain_boundary": (VOLUME_DIMENSIONS, boundary(labels, slice(0, len(labels))), one),
            "grain_voxels": ("grain", count_voxels(labels, particle.n_grains)[1:], one),
        },
        {"z": ("z", z, um), "y": ("y", y, um), "x": ("x", x, um)}
        | {"grain": np.arange(1, particle.n_grains + 1, dtype=np.int32)},
        {"id": particle.id},
    )


def checked_axes(axes: Axes) -> Axes:
    """The same axes as float64 arrays.

    Raises
    ------
    ExportError
        Unless they are three, each of one dimension, not empty, finite and ascending.
    """
    if len(axes) != 3:
        msg = f"axes has {len(axes)} arrays, expected three: coordinates along x, y and z, um"
        raise ExportError(msg)
    x, y, z = (np.ascontiguousarray(axis, np.float64) for axis in axes)
    for name, axis in zip("xyz", (x, y, z), strict=True):
        if (
            axis.ndim != 1
            or not len(axis)
            or not np.isfinite(axis).all()
            or (np.diff(axis) <= 0).any()
        ):
            msg = f"axis {name} of shape {axis.shape} is not a list of ascending coordinates in um"
            raise ExportError(msg)
    return x, y, z
