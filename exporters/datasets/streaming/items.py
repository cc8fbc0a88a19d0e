"""Items of a stream: what a network is given of a cube of a particle, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ....generator.devices import Device
from ....generator.markers.orientations import c_axes
from ....generator.voxels.labelling import label_axes
from ....generator.voxels.score_gaps import gap_axes
from ....generator.voxels.window import Window
from .cubes import Cube

if TYPE_CHECKING:
    import torch

    from ....generator.particle import Particle

Item = dict[str, Any]
RIM = 1  # voxels that are labelled around a cube: `boundary` looks at neighbours
INNER = slice(RIM, -RIM)
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


class Voxels(NamedTuple):
    """What is computed at the voxels of a cube, on the device.

    Parameters
    ----------
    grain_id : (z, y, x) int32
        0 outside; reaches ``RIM`` voxels beyond the cube.
    gap : (z, y, x) float32, optional
        Second best score less the best, at most ``Contents.gap``.
    """

    grain_id: torch.Tensor
    gap: torch.Tensor | None


def labelled(
    requests: Sequence[tuple[Particle, Cube]],
    contents: Contents,
    device: Device,
    threads: int | None,
) -> list[Voxels]:
    """Voxels of cubes of particles, on a GPU all in one set of launches."""
    if device.is_gpu:
        return _on_gpu(requests, contents, device)
    return [_on_processor(particle, cube, contents, threads) for particle, cube in requests]


def _on_processor(
    particle: Particle, cube: Cube, contents: Contents, threads: int | None
) -> Voxels:
    import torch

    grains = particle.tessellation
    labels = label_axes(grains, *cube.axes(RIM), shell=particle.shell, threads=threads)
    if contents.gap is None:
        return Voxels(torch.from_numpy(labels), None)
    gap = gap_axes(grains, *cube.axes(), contents.gap)
    return Voxels(torch.from_numpy(labels), torch.from_numpy(gap))


def _on_gpu(
    requests: Sequence[tuple[Particle, Cube]], contents: Contents, device: Device
) -> list[Voxels]:
    from ....generator.voxels.device_labels import label_windows

    windows = [Window.of(p.tessellation, p.shell, cube.axes(RIM)) for p, cube in requests]
    found = label_windows(windows, device.name, margin=contents.gap)
    if contents.gap is None:
        return [Voxels(labels, None) for labels in found.volumes()]
    pairs = zip(found.volumes(), found.gap_volumes(), strict=True)
    return [Voxels(labels, gap[INNER, INNER, INNER]) for labels, gap in pairs]


def item_of(particle: Particle, voxels: Voxels, contents: Contents) -> Item:
    """Tensors of a cube; its ``labels`` are 1 to K in the order of the grain ids, 0 outside."""
    import torch

    inner = voxels.grain_id[INNER, INNER, INNER]
    rows = inner.reshape(-1)
    present = torch.zeros(particle.n_grains + 1, dtype=torch.bool, device=rows.device)
    present[rows] = True
    present[0] = False
    labels = present.cumsum(0, dtype=torch.int32).index_select(0, rows).reshape(inner.shape)
    item = {"labels": labels, "boundary": boundary(voxels.grain_id)}
    if voxels.gap is not None:
        item["gap"] = torch.where(labels > 0, voxels.gap, 0)
    found = present.nonzero()[:, 0].cpu().numpy() - 1
    if contents.c_axis and particle.orientations is not None:
        item["c_axis"] = _painted(labels, c_axes(particle.orientations[found]))
    if contents.grains:
        item |= {name: table.to(rows.device) for name, table in tables(particle, found).items()}
    return item | {"n_grains": len(found)}


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
    return (differs & (labels > 0))[INNER, INNER, INNER].contiguous()


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
