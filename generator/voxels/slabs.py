"""A grid that is labelled slab by slab, and what is summed on the way: bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..devices import Device
from ..progress import Progress
from .grid import Grid
from .labelling import SLAB, LabelSlab, label_slab
from .morphology import GrainSums

if TYPE_CHECKING:
    from ..particle import Particle


@dataclass(frozen=True, eq=False)
class Slab:
    """Layers of a labelled grid, with a layer more on either side where there is one.

    Parameters
    ----------
    labels : (k, ny, nx) int32
        Grain ids of its own layers and of those beside them.
    own
        Which of ``labels`` are its own.
    start
        Number of the first of its own layers in the grid.
    """

    labels: NDArray[np.int32]
    own: slice
    start: int


def for_each_slab(
    particle: Particle,
    grid: Grid,
    use: Callable[[Slab], None],
    progress: Progress | None = None,
    label: LabelSlab = label_slab,
) -> None:
    """Label the grid slab by slab, z ascending; one is in memory at a time.

    Parameters
    ----------
    use
        Called with each slab, of which it keeps nothing.
    progress
        Called after each slab with a message and the part of the work that is done.
    label
        What labels layers.
    """
    layers, *plane = grid.shape
    buffer = np.empty((min(SLAB + 2, layers), *plane), np.int32)
    first = labelled = 0  # the buffer holds the layers from first to labelled - 1
    for start in range(0, layers, SLAB):
        stop, before = min(start + SLAB, layers), max(start - 1, 0)
        after = min(stop + 1, layers)
        known = labelled - before  # the last two layers of the slab before
        buffer[:known] = buffer[before - first : labelled - first]
        if after > labelled:
            label(particle, grid, labelled, after, out=buffer[known : after - before])
        first, labelled = before, after
        use(Slab(buffer[: after - before], slice(start - before, stop - before), start))
        if progress is not None:
            progress("labelling voxels", stop / layers)


def label_slab_on(device: Device) -> LabelSlab:
    """What labels layers of voxels on a device."""
    if not device.is_gpu:
        return label_slab
    from .device_labels import DeviceSlabs

    return DeviceSlabs(device.name)


def grain_sums(
    particle: Particle,
    grid: Grid,
    progress: Progress | None = None,
    label: LabelSlab = label_slab,
) -> GrainSums:
    """Sums over the voxels of each grain; the labels are forgotten slab by slab."""
    sums = GrainSums.zero(particle.n_grains)

    def add(slab: Slab) -> None:
        sums.add(slab.labels, slab.own, slab.start)

    for_each_slab(particle, grid, add, progress, label)
    return sums
