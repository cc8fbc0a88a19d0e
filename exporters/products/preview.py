"""The product ``preview``: surfaces of all grains from voxels, for a first look, as GLB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...generator.progress import Progress, quiet
from ...generator.voxels.grid import Grid
from ...generator.voxels.labelling import SLAB, LabelSlab, label_slab
from ..files.atomic import replacing
from ..surfaces.closed_files import glb
from ..surfaces.preview import preview_surfaces
from . import voxels

if TYPE_CHECKING:
    from ...generator.particle import Particle

BYTES_PER_VOXEL = 8  # labels, and what VTK marks in them
TRIANGLES_PER_FACE = 1.5  # by area: a staircase is larger than what it follows
BYTES_PER_TRIANGLE, FILE_BYTES_PER_TRIANGLE = 250, 40


def write(
    particle: Particle,
    path: str | Path,
    *,
    pitch_um: float = 0.1,
    progress: Progress | None = None,
    label: LabelSlab = label_slab,
) -> Path:
    """Write a preview of ``particle``; equal particles give equal bytes with one VTK.

    Parameters
    ----------
    pitch_um
        Edge of the voxels that the surfaces are drawn around, um.
    progress
        Called with a message and the part of the work that is done.
    label
        What labels layers of voxels.

    Raises
    ------
    ExportError
        If the spacing is not a positive number or no voxel centre falls inside the
        particle, memory or disk are too small, trimesh or VTK is not installed, or the file
        cannot be written.
    """
    needed = plan(particle, pitch_um)
    with replacing(path) as temporary:
        voxels.require_room(needed, temporary.parent)
        labels = _labels(particle, needed.grid, progress or quiet, label)
        counts = np.bincount(labels.ravel(), minlength=particle.n_grains + 1)
        voxels.require_voxels(counts[1:], particle, pitch_um)
        facts = {"preview": f"surface nets, smoothed, of voxels of {pitch_um:g} um"}
        temporary.write_bytes(glb(preview_surfaces(labels, needed.grid), facts))
    return Path(path)


def plan(particle: Particle, pitch_um: float) -> voxels.Plan:
    """`voxels.plan` for a preview: all labels are in memory, and the triangles."""
    needed = voxels.plan(particle, pitch_um)
    n = TRIANGLES_PER_FACE * 2 * voxels.boundary_area_um2(particle) / pitch_um**2
    return replace(
        needed,
        file_bytes=int(n * FILE_BYTES_PER_TRIANGLE),
        memory_bytes=int(BYTES_PER_VOXEL * needed.voxels + n * BYTES_PER_TRIANGLE),
    )


def _labels(
    particle: Particle, grid: Grid, progress: Progress, label: LabelSlab
) -> NDArray[np.int32]:
    labels = np.empty(grid.shape, np.int32)
    for start in range(0, grid.shape[0], SLAB):
        progress("labelling", start / grid.shape[0])
        stop = min(start + SLAB, grid.shape[0])
        label(particle, grid, start, stop, out=labels[start:stop])
    progress("drawing surfaces", 1.0)
    return labels
