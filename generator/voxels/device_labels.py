"""Voxel labels as torch tensors, on a GPU or the processor: `labelling.label_axes` to the bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..devices import Device
from ..errors import DeviceError
from ..machine import readable_bytes
from .device_batch import (
    Batch,
    Slab,
    add_moments,
    current,
    descend,
    free_bytes,
    label,
    mark_boundary,
    packed,
    parts,
)
from .grid import Axes, Grid
from .labelling import label_axes
from .morphology import GrainMorphology, morphology_from_sums

if TYPE_CHECKING:
    from ..particle import Particle

LISTS_PART = 0.5  # of the memory that labels leave, at most, goes to lists of candidates


def labels_of(particles: Sequence[Particle], axes: Sequence[Axes], device: Device) -> list[Tensor]:
    """Grain ids of several particles, on a GPU all in one set of launches.

    Parameters
    ----------
    axes
        For each particle the ascending coordinates (nx,), (ny,), (nz,) of the voxel centres, um.

    Returns
    -------
    list of (nz, ny, nx) int32 tensors
        On the device; 0 is outside the shell. They share memory.

    Raises
    ------
    DeviceError
        If the device's memory does not suffice.
    """
    if device.is_gpu:
        return label_windows(_slabs(particles, axes), device.name).volumes()
    return [
        torch.from_numpy(label_axes(p.tessellation, *xyz, shell=p.shell))
        for p, xyz in zip(particles, axes, strict=True)
    ]


def _slabs(particles: Sequence[Particle], axes: Sequence[Axes]) -> list[Slab]:
    slabs = []
    for particle, xyz in zip(particles, axes, strict=True):
        x, y, z = (np.ascontiguousarray(axis, np.float64) for axis in xyz)
        slabs.append(Slab(particle.tessellation, particle.shell, (x, y, z)))
    return slabs


@dataclass(frozen=True, eq=False)
class Windows:
    """Labelled windows on a device.

    Parameters
    ----------
    slabs
        The windows.
    labels : (voxels,) int32
        Of all of them, one after the other.
    gaps : (voxels,) float32, optional
        Second best score less the best, where asked for.
    sums : (grains, 10) int64, optional
        Moments of all grains, where asked for.
    """

    slabs: tuple[Slab, ...]
    labels: Tensor
    gaps: Tensor | None = None
    sums: Tensor | None = None

    def volumes(self) -> list[Tensor]:
        """Labels of each window, (nz, ny, nx)."""
        return self._split(self.labels)

    def gap_volumes(self) -> list[Tensor]:
        """Gaps of each window, (nz, ny, nx)."""
        assert self.gaps is not None
        return self._split(self.gaps)

    def _split(self, flat: Tensor) -> list[Tensor]:
        sizes = [slab.n_voxels for slab in self.slabs]
        return [part.view(s.shape) for part, s in zip(flat.split(sizes), self.slabs, strict=True)]

    def boundaries(self) -> tuple[list[Tensor], list[Tensor]]:
        """Flags of each window's boundary voxels, int8, and of its grains that meet label 0."""
        device = str(self.labels.device)
        flags = torch.empty(len(self.labels), dtype=torch.int8, device=device)
        grains = [len(slab.tessellation) for slab in self.slabs]
        exposed = torch.zeros(sum(grains), dtype=torch.int8, device=device)
        with current(device):
            mark_boundary(self.slabs, places_of(self.slabs), self.labels, flags, exposed)
        return self._split(flags), list(exposed.split(grains))


def places_of(slabs: Sequence[Slab]) -> list[int]:
    """First voxel of each window."""
    return [0, *accumulate(slab.n_voxels for slab in slabs)][:-1]


def label_windows(
    slabs: Sequence[Slab], device: str, *, margin: float | None = None, moments: bool = False
) -> Windows:
    """Label windows by the kernels, in as few launches as memory and metrics allow.

    Parameters
    ----------
    margin
        If given, gaps are wanted: the second best score less the best, at most this.
    moments
        Whether sums are wanted.

    Raises
    ------
    DeviceError
        If the device's memory does not suffice.
    """
    with current(device):
        return _label_windows(tuple(slabs), device, margin, moments)


def _label_windows(
    slabs: tuple[Slab, ...], device: str, margin: float | None, moments: bool
) -> Windows:
    voxels, grains = sum(s.n_voxels for s in slabs), sum(len(s.tessellation) for s in slabs)
    _require_memory((4 if margin is None else 8) * voxels, free_bytes(device), device)
    windows = Windows(
        slabs,
        torch.zeros(voxels, dtype=torch.int32, device=device),
        None if margin is None else torch.zeros(voxels, dtype=torch.float32, device=device),
        torch.zeros((grains, 10), dtype=torch.int64, device=device) if moments else None,
    )
    places = places_of(slabs)
    rows = [0, *accumulate(len(slab.tessellation) for slab in slabs)]
    for squared in (False, True):
        alike = [n for n, slab in enumerate(slabs) if slab.tessellation.squared == squared]
        for batch in parts([slabs[n] for n in alike], LISTS_PART * free_bytes(device)):
            numbers = [alike[n] for n, _ in batch]
            pieces = [piece for _, piece in batch]
            begin = [
                places[n] + (piece.below - slabs[n].below) * math.prod(piece.shape[1:])
                for n, piece in zip(numbers, pieces, strict=True)
            ]
            sums = _label_batch(packed(pieces, begin, device, margin or 0.0), windows, margin)
            if sums is not None and windows.sums is not None:
                for n, own in zip(numbers, sums, strict=True):
                    windows.sums[rows[n] : rows[n + 1]] += own
    return windows


def _label_batch(batch: Batch, windows: Windows, margin: float | None) -> list[Tensor] | None:
    """Labels, and gaps, of the batch into those of all; sums of each of its slabs, if wanted."""
    lists = descend(batch)
    label(batch, lists, windows.labels, windows.gaps, margin or 0.0)
    if windows.sums is None:
        return None
    sums = torch.zeros((len(batch.table), 10), dtype=torch.int64, device=batch.table.device)
    add_moments(batch, lists, windows.labels, sums)
    return list(sums.split([len(slab.tessellation) for slab in batch.slabs]))


def _require_memory(needed: float, free: float, device: str) -> None:
    if needed > free:
        msg = (
            f"device {device}: labels need {readable_bytes(needed)}, {readable_bytes(free)} are "
            "free; take a larger pitch, or cpu"
        )
        raise DeviceError(msg)


def moments_of(windows: Windows) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    """Sums and exposed grains of each window, as `morphology_from_sums` takes them."""
    assert windows.sums is not None
    grains = [len(slab.tessellation) for slab in windows.slabs]
    sums = windows.sums.double().cpu().split(grains)  # whole numbers below 2^53
    exposed = windows.boundaries()[1]
    return [s.numpy() for s in sums], [e.cpu().numpy().astype(np.bool_) for e in exposed]


def morphologies_of(
    particles: Sequence[Particle], grids: Sequence[Grid], device: Device
) -> list[GrainMorphology]:
    """Morphology of the grains of several particles; of a GPU's labels only sums are copied.

    Raises
    ------
    DeviceError
        If the device's memory does not suffice.
    """
    slabs = _slabs(particles, [grid.axes for grid in grids])
    sums, exposed = moments_of(label_windows(slabs, device.name, moments=True))
    return [morphology_from_sums(*found) for found in zip(sums, exposed, grids, strict=True)]
