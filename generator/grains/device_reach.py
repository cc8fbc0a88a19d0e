"""Which grains can own a point inside a shell, on a torch device, for many particles at once.

The definition is that of `Tessellation.reachable`. The boxes of one level of all particles share a
launch; boxes outside the shell, and those all of whose grains are marked, are not divided. Between
two levels their number comes to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..shell.shell import Shell
from . import reach_triton as kernels
from .gbpd_kernels import MIXED
from .score_triton import EXACT
from .tessellation import BOX_LEVELS, BoxGrid

CHUNK = 128  # candidates that a program takes at once, at most
FEWEST = 32  # where lists are short


class ReachBatch(NamedTuple):
    """Particles on a device, all of one metric.

    Parameters
    ----------
    table : (g, 10) float64
        Grain tables of all particles, one after the other.
    first
        First grain of each particle.
    slacks
        Bounds on rounding errors of scores.
    shells, grids
        Of each particle.
    squared
        The metric.
    """

    table: Tensor
    first: Sequence[int]
    slacks: Sequence[float]
    shells: Sequence[Shell]
    grids: Sequence[BoxGrid]
    squared: bool

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Integers, numbers and coefficients of the shells, as `reach_triton` has them."""
        numbers, integers, place = [], [], 0
        for first, slack, shell, grid in zip(
            self.first, self.slacks, self.shells, self.grids, strict=True
        ):
            integers.append([first, place, shell.max_degree])
            numbers.append([slack, *shell.radius_bounds, shell.gradient_bound, grid.lower])
            place += len(shell.scaled_coefficients)
        coefficients = torch.cat([torch.tensor(s.scaled_coefficients) for s in self.shells])
        device = self.table.device
        return (
            torch.tensor(integers, dtype=torch.int64).to(device),
            torch.tensor(numbers, dtype=torch.float64).to(device),
            coefficients.to(device),
        )


class Boxes(NamedTuple):
    """Boxes of one level: their particles, places (b, 3), and what their parents hand on.

    ``state`` is the parent's; its list is ``source[start : start + size]``.
    """

    particle: Tensor
    place: Tensor
    state: Tensor
    start: Tensor
    size: Tensor
    source: Tensor

    def take(self, rows: Tensor) -> Boxes:
        """Some of the boxes."""
        particle, place, state, start, size = (column[rows] for column in self[:5])
        return Boxes(particle, place, state, start, size, self.source)

    def parts(self) -> Boxes:
        """The eight parts of each box, to which it hands on what it has."""
        octants = torch.cartesian_prod(*[torch.arange(2, device=self.place.device)] * 3)
        particle, place, state, start, size = (c.repeat_interleave(8, 0) for c in self[:5])
        place = 2 * place + octants.repeat(len(self.place), 1)
        return Boxes(particle, place, state, start, size, self.source)


def reachable(batch: ReachBatch) -> Tensor:
    """Whether each grain of the batch can own a point inside its shell, (g,) bool.

    Memory: four bytes for every box and every grain on the list of its parent, of two levels.
    """
    rows = batch.rows()
    depths = [grid.levels + BOX_LEVELS for grid in batch.grids]
    roots = [grid.cell / 2 * 2**grid.levels for grid in batch.grids]
    marked = torch.zeros(len(batch.table), dtype=torch.int8, device=batch.table.device)
    boxes = _roots(batch)
    for level in range(max(depths) + 1):
        halves = torch.tensor(roots, dtype=torch.float64).to(marked.device) / 2**level
        boxes = _divided(batch, rows, halves, boxes, marked)
        last = torch.tensor([depth == level for depth in depths]).to(boxes.particle.device)
        ends = last[boxes.particle]
        if level in depths:
            _mark(rows[0], boxes.take(ends.nonzero()[:, 0]), marked)
            boxes = boxes.take((~ends).nonzero()[:, 0])
        boxes = boxes.take(_unfinished(rows[0], boxes, marked)).parts()
        if len(boxes.particle) == 0:
            break
    return marked.bool()


def _roots(batch: ReachBatch) -> Boxes:
    """The cube of each particle; its list is all grains."""
    n, device = len(batch.first), batch.table.device
    ends = [*batch.first[1:], len(batch.table)]
    sizes = torch.tensor([b - a for a, b in zip(batch.first, ends, strict=True)])
    return Boxes(
        particle=torch.arange(n).to(device),
        place=torch.zeros((n, 3), dtype=torch.int64, device=device),
        state=torch.full((n,), MIXED, dtype=torch.int32, device=device),
        start=torch.zeros(n, dtype=torch.int64, device=device),
        size=sizes.int().to(device),
        source=torch.arange(int(sizes.max()), dtype=torch.int32, device=device),
    )


def _divided(
    batch: ReachBatch,
    rows: tuple[Tensor, Tensor, Tensor],
    halves: Tensor,
    boxes: Boxes,
    marked: Tensor,
) -> Boxes:
    """The boxes with their own lists and states, those outside the shell with an empty list."""
    n = len(boxes.particle)
    ends = boxes.size.cumsum(0, dtype=torch.int64)
    total = int(ends[-1])
    slot = ends - boxes.size
    target = torch.empty(total, dtype=torch.int32, device=marked.device)
    left, state = torch.empty_like(boxes.size), torch.empty_like(boxes.state)
    integers, numbers, shells = rows
    chunk = CHUNK if total > FEWEST * n else FEWEST
    kernels.divide[(n,)](
        integers, numbers, halves, batch.table, shells, boxes.particle, boxes.place, boxes.state,
        boxes.start, boxes.size, boxes.source, slot, target, left, state, marked,
        CHUNK=chunk, SQUARED=batch.squared, num_warps=chunk // 32, **EXACT,
    )  # fmt: skip
    return boxes._replace(state=state, start=slot, size=left, source=target)


def _mark(integers: Tensor, boxes: Boxes, marked: Tensor) -> None:
    if n := len(boxes.particle):
        kernels.mark[(n,)](
            integers, boxes.particle, boxes.start, boxes.size, boxes.source, marked,
            CHUNK=FEWEST, num_warps=1,
        )  # fmt: skip


def _unfinished(integers: Tensor, boxes: Boxes, marked: Tensor) -> Tensor:
    """Rows of the boxes with a grain that is not marked."""
    n = len(boxes.particle)
    unmarked = torch.zeros_like(boxes.size)
    if n:
        kernels.look[(n,)](
            integers, boxes.particle, boxes.start, boxes.size, boxes.source, marked, unmarked,
            CHUNK=CHUNK, num_warps=CHUNK // 32,
        )  # fmt: skip
    return unmarked.nonzero()[:, 0]
