"""Windows of voxels on a torch device: packed, cut to what fits, labelled by `gbpd_triton`.

All windows of a `Batch` share every launch: one `cull` for each level of tiles, one `label`. Tiles
have edges of 64, 32, 16, 8 and 4 voxels, each half the one before, so that a tile of the last level
keeps a few candidates. Their lists have room for ``cap`` entries; a fuller one is replaced by that
of the larger tile around it, so that memory is known beforehand.
"""

from __future__ import annotations

import contextlib
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
from ..grains.gbpd_kernels import SHELL_HEADER
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


def parts(windows: Sequence[Window], budget: float) -> Iterator[list[tuple[int, Window]]]:
    """Batches whose lists take at most ``budget`` bytes, of pieces (number of a window, layers).

    A window that is too large alone is cut into layers of tiles of the first level.

    Raises
    ------
    DeviceError
        If one layer of tiles is too large.
    """
    batch: list[tuple[int, Window]] = []
    for number, window in enumerate(windows):
        for piece in _pieces(window, budget):
            grown = [*batch, (number, piece)]
            if batch and _needed([part for _, part in grown]) > budget:
                yield batch
                grown = grown[-1:]
            batch = grown
    if batch:
        yield batch


def _pieces(window: Window, budget: float) -> Iterator[Window]:
    levels, nz = Levels.of([window]), window.shape[0]
    edge = levels.edges[0]
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


def _needed(windows: Sequence[Window]) -> int:
    levels = Levels.of(windows)
    return sum(levels.list_bytes(window) for window in windows)


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows on a device, all of one metric: what the kernels read, and sizes on the host.

    Parameters
    ----------
    integers, numbers : (b, 12) int64, (b, 4) float64
        Rows of the windows, as `gbpd_triton` says.
    axes, table, shells : (a,), (g, 10), (c,) float64
        Padded axes, grain tables and coefficients of all windows, one after the other.
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
    windows: Sequence[Window], places: Sequence[int], device: str, margin: float = 0.0
) -> Batch:
    """Windows of one metric on a device.

    Parameters
    ----------
    places
        Where the voxels of each begin in the labels of all.
    margin
        Of scores, within which second best grains are wanted too.
    """
    levels = Levels.of(windows)
    padded = [
        np.pad(axis, (0, -len(axis) % levels.edges[0]), mode="edge")
        for window in windows
        for axis in window.axes
    ]
    shells = [window.shell[SHELL_HEADER:] for window in windows]
    tables = [window.table for window in windows]

    def put(values: Any, kind: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, kind)).to(device)

    return Batch(
        integers=put(_integers(windows, places, _starts(padded), _starts(shells)), np.int64),
        numbers=put([_numbers(window, margin) for window in windows], np.float64),
        axes=put(np.concatenate(padded), np.float64),
        table=put(np.concatenate(tables), np.float64),
        shells=put(np.concatenate([*shells, np.zeros(1)]), np.float64),  # never of no length
        windows=tuple(windows),
        levels=levels,
        squared=windows[0].squared,
    )


def _integers(
    windows: Sequence[Window], places: Sequence[int], axes: list[int], shells: list[int]
) -> list[list[int]]:
    grains = _starts([window.table for window in windows])
    rows = []
    for b, (window, place) in enumerate(zip(windows, places, strict=True)):
        nz, ny, nx = window.shape
        rows.append(
            [grains[b], window.n_grains, *axes[3 * b : 3 * b + 3], nx, ny, nz, place, shells[b],
             window.degree, window.below]
        )  # fmt: skip
    return rows


def _starts(arrays: Sequence[NDArray[np.float64]]) -> list[int]:
    """Where each begins when all are joined."""
    return [0, *accumulate(map(len, arrays))][:-1]


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
    state = torch.where(has_shell, kernels.MIXED, kernels.INSIDE).int()
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
    rows = np.array(_integers(windows, places, nothing, nothing), np.int64)
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


@contextlib.contextmanager
def current(device: str) -> Iterator[None]:
    """Make a device the one that kernels are launched on; say in words that its memory is full."""
    try:
        with torch.cuda.device(device) if device != "cpu" else contextlib.nullcontext():
            yield
    except torch.OutOfMemoryError as error:
        msg = f"device {device}: its memory is full ({error}); take a larger pitch, or cpu"
        raise DeviceError(msg) from error
