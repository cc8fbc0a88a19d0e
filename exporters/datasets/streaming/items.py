"""Items of a stream: what a network is given of a window of a particle, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....generator.devices import Device
from ....generator.grains.orientations import c_axes
from ....generator.voxels.labelling import label_axes
from ....generator.voxels.score_gaps import gap_axes
from .windows import Axes, Window

if TYPE_CHECKING:
    import torch

    from ....generator.particle import Particle

Item = dict[str, Any]
RIM = 1  # voxels that are labelled around a window: `boundary` looks at neighbours
TABLES = ("grain", "seeds", "matrices", "offsets", "orientations")  # a row for each grain


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an item holds besides labels and boundary.

    Parameters
    ----------
    gap
        Largest value of ``gap``; none if None.
    c_axis
        Whether it has the crystals' c-axes.
    grains
        Whether it has the rows of the recipe.
    """

    gap: float | None
    c_axis: bool
    grains: bool

    def bytes(self, edge: int) -> int:
        """Peak of memory while an item of ``edge``^3 voxels is made on the processor."""
        return (edge + 2 * RIM) ** 3 * (20 + 8 * (self.gap is not None) + 28 * self.c_axis)


def labels_of(
    requests: Sequence[tuple[Particle, Axes]], device: Device, threads: int | None
) -> list[torch.Tensor]:
    """Grain ids (nz, ny, nx) int32 at the voxels of each request, on the device."""
    import torch

    found = []
    for particle, axes in requests:
        labels = label_axes(particle.tessellation, *axes, shell=particle.shell, threads=threads)
        found.append(torch.from_numpy(labels).to(device.name))
    return found


def item_of(particle: Particle, window: Window, labels: torch.Tensor, contents: Contents) -> Item:
    """Tensors of a window, on the device of ``labels``, which reach a voxel beyond it.

    ``labels`` of the item are 1 to K in the order of the grain ids, 0 outside.
    """
    import torch

    inner = labels[RIM:-RIM, RIM:-RIM, RIM:-RIM]
    rows = inner.reshape(-1)
    present = torch.zeros(particle.n_grains + 1, dtype=torch.bool, device=labels.device)
    present[rows] = True
    present[0] = False
    compact = present.cumsum(0, dtype=torch.int32).index_select(0, rows).reshape(inner.shape)
    ids = present.nonzero()[:, 0]
    item = {"labels": compact, "boundary": boundary(labels)}
    if contents.gap is not None:
        gap = torch.from_numpy(gap_axes(particle.tessellation, *window.axes(), contents.gap))
        item["gap"] = torch.where(compact > 0, gap.to(labels.device), 0)
    found = ids.cpu().numpy() - 1
    if contents.c_axis and particle.orientations is not None:
        item["c_axis"] = _painted(compact, c_axes(particle.orientations[found]))
    if contents.grains:
        item |= {name: table.to(labels.device) for name, table in tables(particle, found).items()}
    return item | {"n_grains": len(ids)}


def boundary(labels: torch.Tensor) -> torch.Tensor:
    """Voxels of the particle with a face neighbour of another label, bool; without the rim.

    The rule of the product ``voxels``: at grain boundaries and at the shell.
    """
    import torch

    differs = torch.zeros_like(labels, dtype=torch.bool)
    for axis, n in enumerate(labels.shape):
        changes = labels.narrow(axis, 1, n - 1) != labels.narrow(axis, 0, n - 1)
        differs.narrow(axis, 1, n - 1).logical_or_(changes)
        differs.narrow(axis, 0, n - 1).logical_or_(changes)
    return (differs & (labels > 0))[RIM:-RIM, RIM:-RIM, RIM:-RIM].contiguous()


def tables(particle: Particle, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Item:
    """Rows of the recipe: grain ids, seeds (um), matrices (um^-2), offsets, orientations."""
    import torch

    grains = particle.tessellation
    found = {
        "grain": rows + 1,
        "seeds": grains.seeds[rows],
        "matrices": grains.matrices[rows],
        "offsets": grains.offsets[rows],
    }
    if particle.orientations is not None:
        found["orientations"] = particle.orientations[rows]
    return {name: torch.from_numpy(table) for name, table in found.items()}


def _painted(compact: torch.Tensor, vectors: np.ndarray[Any, np.dtype[np.float64]]) -> torch.Tensor:
    """Vectors (K, 3) at the voxels of labels 1..K, (3, z, y, x) float32, 0 outside."""
    import torch

    table = torch.zeros(len(vectors) + 1, 3)
    table[1:] = torch.from_numpy(vectors)
    table = table.to(compact.device)
    rows = compact.reshape(-1)
    return torch.stack([table[:, k].index_select(0, rows).reshape(compact.shape) for k in range(3)])


def collated(items: Sequence[Item]) -> Item:
    """Batch of items: tables of grains padded with 0 to the longest, the rest stacked.

    ``n_grains`` (B,) says how many rows count.
    """
    from torch.nn.utils.rnn import pad_sequence
    from torch.utils.data import default_collate

    ragged = [name for name in TABLES if name in items[0]]
    rest = [{name: v for name, v in item.items() if name not in ragged} for item in items]
    padded = {
        name: pad_sequence([item[name] for item in items], batch_first=True) for name in ragged
    }
    batch: Item = default_collate(rest)
    return batch | padded
