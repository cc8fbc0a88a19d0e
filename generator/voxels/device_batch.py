"""Windows of voxels on a torch device: packed, cut to what fits, labelled by `gbpd_triton`.

All windows of a `Batch` share every launch: one `cull` for each level of tiles, one `label`. Tiles
have edges of 64, 32, 16, 8 and 4 voxels, each half the one before, so that a tile of the last level
keeps a few candidates. Their lists have room for ``cap`` entries; a fuller one is replaced by that
of the larger tile around it, so that memory is known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DeviceError
from ..grains.gbpd_kernels import INSIDE, MIXED, SHELL_HEADER
from ..grains.score_triton import EXACT
from ..machine import available_memory, readable_bytes
from . import gbpd_triton as kernels
from .window import Window

MANY_GRAINS = 50_000  # more of them, and the first level has tiles of 64
WIDE_GRAIN = 12.0  # voxels; wider ones, and the last level has tiles of 8
CANDIDATES = (14.0, 6.0)  # measured: 14 (edge / grain width)^3 + 3 survive in a tile, on average
ROOM = 3.0  # times that has a list
# by the edge of a tile: candidates that a program of `cull` takes at once
CHUNK = {64: 256, 32: 256, 16: 256, 8: 64, 4: 32}
WARPS = {64: 4, 32: 4, 16: 4, 8: 2, 4: 1}
LANES = 1024  # voxels of a program of `boundary`
TILE_BYTES = 16  # start, count and state of a list


class Levels(NamedTuple):
    """Edges of the tiles of each level, and the room of a list of each."""

    edges: tuple[int, ...]
    caps: tuple[int, ...]

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Levels:
        """Levels that suit all windows of a batch."""
        most = max(window.n_grains for window in windows)
        width = min(window.grain_width for window in windows)
        first, last = 64 if most > MANY_GRAINS else 32, 8 if width > WIDE_GRAIN else 4
        edges = tuple(edge for edge in CHUNK if last <= edge <= first)
        return cls(edges, tuple(_cap(edge, width, most) for edge in edges))

    def list_bytes(self, window: Window) -> int:
        """Memory of the lists of a window's tiles."""
        return sum(
            _tiles(window, edge) * (4 * cap + TILE_BYTES)
            for edge, cap in zip(self.edges, self.caps, strict=True)
        )


def _cap(edge: int, width: float, most: int) -> int:
    """Room of the list of a tile, a multiple of 16: three times the mean, all grains at most."""
    slope, constant = CANDIDATES
    expected = ROOM * (slope * (edge / width) ** 3 + constant)
    return 16 * min(-(-most // 16), math.ceil(expected / 16))


def _tiles(window: Window, edge: int) -> int:
    return math.prod(-(-n // edge) for n in window.shape)


def parts(
    windows: Sequence[Window], levels: Levels, budget: float
) -> Iterator[list[tuple[int, Window]]]:
    """Batches whose lists take at most ``budget`` bytes, of pieces (number of a window, layers).

    A window that is too large alone is cut into layers of tiles of the first level.

    Raises
    ------
    DeviceError
        If one layer of tiles is too large.
    """
    batch: list[tuple[int, Window]] = []
    used = 0
    for number, window in enumerate(windows):
        for piece in _pieces(window, levels, budget):
            needed = levels.list_bytes(piece)
            if batch and used + needed > budget:
                yield batch
                batch, used = [], 0
            batch.append((number, piece))
            used += needed
    if batch:
        yield batch


def _pieces(window: Window, levels: Levels, budget: float) -> Iterator[Window]:
    edge, nz = levels.edges[0], window.shape[0]
    layer = levels.list_bytes(window.layers(0, min(edge, nz)))
    if layer > budget:
        msg = (
            f"lists of candidates of {edge} layers of voxels need {readable_bytes(layer)} of the "
            f"device's memory, {readable_bytes(budget)} can be had; take a larger pitch, or cpu"
        )
        raise DeviceError(msg)
    depth = edge * int(budget // layer)
    for start in range(0, nz, depth):
        yield window.layers(start, min(start + depth, nz))


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows on a device, all of one metric: what the kernels read, and sizes on the host.

    Parameters
    ----------
    integers, numbers : (b, 13) int64, (b, 4) float64
        Rows of the windows, as `gbpd_triton` says.
    axes, table, shells : (a,), (g, 10), (c,) float64
        Padded axes, grain tables and shell tables, one after the other.
    windows
        As they were given.
    levels
        Of the tiles.
    squared
        The metric.
    """

    integers: Tensor
    numbers: Tensor
    axes: Tensor
    table: Tensor
    shells: Tensor
    windows: tuple[Window, ...]
    levels: Levels
    squared: bool


class Lists(NamedTuple):
    """Candidates of the tiles of the last level.

    ``starts`` and ``sizes`` say where in ``members`` the list of each tile is, ``states`` how it
    lies to the shell, ``first`` which tile is the first of each window.
    """

    first: Tensor
    members: Tensor
    starts: Tensor
    sizes: Tensor
    states: Tensor


def packed(
    windows: Sequence[Window],
    places: Sequence[int],
    levels: Levels,
    device: str,
    margin: float = 0.0,
) -> Batch:
    """Windows of one metric on a device; those of one particle share its tables.

    Parameters
    ----------
    places
        Where the voxels of each begin in the labels of all.
    margin
        Of scores, within which second best grains are wanted too.
    """
    padded = [_padded(axis, levels.edges[0]) for window in windows for axis in window.axes]
    axes, coordinates = _joined(padded)
    table, rows = _joined([window.table for window in windows])
    shells, numbers = _joined([window.shell for window in windows])

    def put(values: Any, kind: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, kind)).to(device)

    return Batch(
        integers=put(_integers(windows, places, coordinates, rows, numbers), np.int64),
        numbers=put([_numbers(window, margin) for window in windows], np.float64),
        axes=put(axes, np.float64),
        table=put(table, np.float64),
        shells=put(np.append(shells, 0.0), np.float64),  # never of no length
        windows=tuple(windows),
        levels=levels,
        squared=windows[0].squared,
    )


def _padded(axis: NDArray[np.float64], edge: int) -> NDArray[np.float64]:
    """Axis of whole tiles, the last coordinate repeated."""
    return np.concatenate([axis, np.full(-len(axis) % edge, axis[-1])])


def _joined(
    arrays: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[int]]:
    """Arrays one after the other, each once, and where each begins."""
    starts: dict[int, int] = {}
    different, end = [], 0
    for array in arrays:
        if id(array) not in starts:
            starts[id(array)] = end
            different.append(array)
            end += len(array)
    return np.concatenate(different), [starts[id(array)] for array in arrays]


def _integers(
    windows: Sequence[Window],
    places: Sequence[int],
    axes: Sequence[int],
    rows: Sequence[int],
    shells: Sequence[int],
) -> list[list[int]]:
    sums = [0, *accumulate(window.n_grains for window in windows)]
    integers = []
    for b, (window, place) in enumerate(zip(windows, places, strict=True)):
        nz, ny, nx = window.shape
        integers.append(
            [rows[b], window.n_grains, *axes[3 * b : 3 * b + 3], nx, ny, nz, place,
             shells[b] + SHELL_HEADER, window.degree, window.below, sums[b]]
        )  # fmt: skip
    return integers


def _numbers(window: Window, margin: float) -> list[float]:
    bounds = window.shell[:SHELL_HEADER] if len(window.shell) else np.zeros(SHELL_HEADER)
    return [window.slack + margin, *bounds]


def descend(batch: Batch) -> Lists:
    """Candidates of the tiles of the last level: one launch a level, no waiting."""
    edges, caps = batch.levels
    device, n = batch.table.device, len(batch.windows)
    most = max(window.n_grains for window in batch.windows)
    tiles = [[_tiles(window, edge) for window in batch.windows] for edge in edges]
    room = most + sum(sum(t) * cap for t, cap in zip(tiles, caps, strict=True))
    members = torch.empty(room, dtype=torch.int32, device=device)
    torch.arange(most, dtype=torch.int32, device=device, out=members[:most])
    zeros = torch.zeros(n, dtype=torch.int64, device=device)
    has_shell = batch.integers[:, 10] >= 0
    state = torch.where(has_shell, MIXED, INSIDE).int()
    lists = Lists(zeros, members, zeros, batch.integers[:, 1].int(), state)
    slot = most
    for edge, cap, own in zip(edges, caps, tiles, strict=True):
        lists = _level(batch, lists, edge, cap, own, slot)
        slot += sum(own) * cap
    return lists


def _level(batch: Batch, parents: Lists, edge: int, cap: int, tiles: list[int], slot: int) -> Lists:
    """Lists of the tiles of one level, of those of the level before."""
    device, total = batch.table.device, sum(tiles)
    lists = parents._replace(
        first=torch.tensor([0, *np.cumsum(tiles)[:-1]], dtype=torch.int64).to(device),
        starts=torch.empty(total, dtype=torch.int64, device=device),
        sizes=torch.empty(total, dtype=torch.int32, device=device),
        states=torch.empty(total, dtype=torch.int32, device=device),
    )
    kernels.cull[max(tiles), len(tiles)](
        batch.integers, batch.numbers, batch.axes, batch.table, batch.shells,
        parents.first, parents.starts, parents.sizes, parents.states, slot, cap,
        lists.first, lists.members, lists.starts, lists.sizes, lists.states,
        EDGE=edge, ROOT=edge == batch.levels.edges[0], CHUNK=CHUNK[edge], SQUARED=batch.squared,
        **EXACT, num_warps=WARPS[edge],
    )  # fmt: skip
    return lists


def label(
    batch: Batch, lists: Lists, labels: Tensor, gaps: Tensor | None = None, margin: float = 0.0
) -> None:
    """Write the labels of all windows into ``labels`` (voxels,) int32, which are 0.

    ``gaps`` (voxels,) float32 receives the second best score less the best, at most ``margin``,
    with which the batch must have been packed.
    """
    limit = torch.tensor([margin], dtype=torch.float64).to(labels.device)
    edge = batch.levels.edges[-1]
    kernels.label[_grid(batch)](
        batch.integers, batch.axes, batch.table, batch.shells, *lists,
        labels, labels if gaps is None else gaps, limit,
        EDGE=edge, SQUARED=batch.squared, GAP=gaps is not None,
        **EXACT, num_warps=1 if edge == 4 else 4,
    )  # fmt: skip


def add_moments(batch: Batch, lists: Lists, labels: Tensor, sums: Tensor) -> None:
    """Add the moments of all grains of the batch to ``sums`` (grains, 10) int64."""
    edge = batch.levels.edges[-1]
    kernels.moments[_grid(batch)](
        batch.integers, *lists, labels, sums, EDGE=edge, num_warps=1 if edge == 4 else 4
    )


def _grid(batch: Batch) -> tuple[int, int]:
    tiles = [_tiles(window, batch.levels.edges[-1]) for window in batch.windows]
    return max(tiles), len(tiles)


def mark_boundary(
    windows: Sequence[Window], places: Sequence[int], labels: Tensor, flags: Tensor, exposed: Tensor
) -> None:
    """Write ``flags`` (voxels,) int8 of whole windows, and ``exposed`` (grains,) int8."""
    nothing = [0] * (3 * len(windows))
    rows = np.array(_integers(windows, places, nothing, nothing, nothing), np.int64)
    voxels = max(window.n_voxels for window in windows)
    kernels.boundary[-(-voxels // LANES), len(windows)](
        torch.from_numpy(rows).to(labels.device), labels, flags, exposed, LANES=LANES
    )


def free_bytes(device: str) -> float:
    """Memory of a device that can be had: free, or kept by torch and not in use."""
    if device == "cpu":  # of the interpreter
        return available_memory()
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(free + kept)
