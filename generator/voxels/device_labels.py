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

from ..devices import Device, current
from ..errors import DeviceError
from ..machine import readable_bytes
from .device_batch import (
    Batch,
    Levels,
    add_moments,
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
from .window import Window

if TYPE_CHECKING:
    from ..particle import Particle

ADVICE = "take a larger pitch"
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
        return label_windows(_windows(particles, axes), device.name).volumes()
    return [
        torch.from_numpy(label_axes(p.tessellation, *xyz, shell=p.shell))
        for p, xyz in zip(particles, axes, strict=True)
    ]


@dataclass(frozen=True)
class DeviceSlabs:
    """Layers of a grid by a GPU: a `labelling.LabelSlab`.

    Parameters
    ----------
    device
        Name of the GPU, as torch has it.
    """

    device: str

    def __call__(
        self,
        particle: Particle,
        grid: Grid,
        start: int,
        stop: int,
        *,
        out: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """Layers ``start`` to ``stop - 1``, (stop - start, ny, nx) int32, in ``out`` if given.

        Raises
        ------
        DeviceError
            If the device's memory does not suffice.
        """
        window = Window.of(particle.tessellation, particle.shell, grid.axes).layers(start, stop)
        labels = label_windows([window], self.device).volumes()[0]
        if out is None:
            return labels.cpu().numpy()
        torch.from_numpy(out).copy_(labels)
        return out


def _windows(particles: Sequence[Particle], axes: Sequence[Axes]) -> list[Window]:
    pairs = zip(particles, axes, strict=True)
    return [Window.of(particle.tessellation, particle.shell, xyz) for particle, xyz in pairs]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled windows on a device.

    Parameters
    ----------
    windows
        As they were given.
    labels : (voxels,) int32
        Of all of them, one after the other.
    gaps : (voxels,) float32, optional
        Second best score less the best, where asked for.
    sums : (grains, 10) int64, optional
        Moments of all grains, where asked for.
    """

    windows: tuple[Window, ...]
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
        sizes = [window.n_voxels for window in self.windows]
        return [part.view(s.shape) for part, s in zip(flat.split(sizes), self.windows, strict=True)]

    def boundaries(self) -> tuple[list[Tensor], list[Tensor]]:
        """Flags of each window's boundary voxels, int8, and of its grains that meet label 0."""
        device = str(self.labels.device)
        flags = torch.empty(len(self.labels), dtype=torch.int8, device=device)
        grains = [window.n_grains for window in self.windows]
        exposed = torch.zeros(sum(grains), dtype=torch.int8, device=device)
        with current(device, ADVICE):
            mark_boundary(self.windows, places_of(self.windows), self.labels, flags, exposed)
        return self._split(flags), list(exposed.split(grains))


def places_of(windows: Sequence[Window]) -> list[int]:
    """First voxel of each window."""
    return [0, *accumulate(window.n_voxels for window in windows)][:-1]


def label_windows(
    windows: Sequence[Window], device: str, *, margin: float | None = None, moments: bool = False
) -> Labelled:
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
    with current(device, ADVICE):
        return _label_windows(tuple(windows), device, margin, moments)


def _label_windows(
    windows: tuple[Window, ...], device: str, margin: float | None, moments: bool
) -> Labelled:
    voxels, grains = sum(s.n_voxels for s in windows), sum(s.n_grains for s in windows)
    _require_memory((4 if margin is None else 8) * voxels, free_bytes(device), device)
    labelled = Labelled(
        windows,
        torch.zeros(voxels, dtype=torch.int32, device=device),
        None if margin is None else torch.zeros(voxels, dtype=torch.float32, device=device),
        torch.zeros((grains, 10), dtype=torch.int64, device=device) if moments else None,
    )
    for squared in (False, True):
        alike = [n for n, window in enumerate(windows) if window.squared == squared]
        if alike:
            _label_alike(labelled, alike, device, margin)
    return labelled


def _label_alike(
    labelled: Labelled, alike: Sequence[int], device: str, margin: float | None
) -> None:
    """Label the windows of these numbers, all of one metric."""
    windows = [labelled.windows[n] for n in alike]
    levels = Levels.of(windows)
    places = [places_of(labelled.windows)[n] for n in alike]
    rows = [0, *accumulate(window.n_grains for window in labelled.windows)]
    for batch in parts(windows, levels, LISTS_PART * free_bytes(device)):
        pieces = [piece for _, piece in batch]
        begin = [
            places[n] + (piece.below - windows[n].below) * math.prod(piece.shape[1:])
            for n, piece in batch
        ]
        sums = _label_batch(packed(pieces, begin, levels, device, margin or 0.0), labelled, margin)
        if sums is not None and labelled.sums is not None:
            for (n, _), own in zip(batch, sums, strict=True):
                labelled.sums[rows[alike[n]] : rows[alike[n] + 1]] += own


def _label_batch(batch: Batch, labelled: Labelled, margin: float | None) -> list[Tensor] | None:
    """Labels, and gaps, of the batch into those of all; sums of each of its windows, if wanted."""
    lists = descend(batch)
    label(batch, lists, labelled.labels, labelled.gaps, margin or 0.0)
    if labelled.sums is None:
        return None
    grains = [window.n_grains for window in batch.windows]
    sums = torch.zeros((sum(grains), 10), dtype=torch.int64, device=batch.table.device)
    add_moments(batch, lists, labelled.labels, sums)
    return list(sums.split(grains))


def _require_memory(needed: float, free: float, device: str) -> None:
    if needed > free:
        msg = (
            f"device {device}: labels need {readable_bytes(needed)}, {readable_bytes(free)} are "
            "free; take a larger pitch, or cpu"
        )
        raise DeviceError(msg)


def moments_of(labelled: Labelled) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    """Sums and exposed grains of each window, as `morphology_from_sums` takes them."""
    assert labelled.sums is not None
    grains = [window.n_grains for window in labelled.windows]
    sums = labelled.sums.double().cpu().split(grains)  # whole numbers below 2^53
    exposed = labelled.boundaries()[1]
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
    windows = _windows(particles, [grid.axes for grid in grids])
    sums, exposed = moments_of(label_windows(windows, device.name, moments=True))
    return [morphology_from_sums(*found) for found in zip(sums, exposed, grids, strict=True)]
