# mypy: allow-untyped-defs, allow-incomplete-defs
"""GPU kernels: which grains can own a point inside a shell, as `Tessellation.reachable` defines it.

The boxes of one level of all particles of a batch share a launch, one program for each box. In
what order they are visited changes nothing, and neither does what has been marked on the way.

The rows of a batch, one for each particle:

* integers (3): 0 first grain, 1 first number of the shell, 2 its degree;
* numbers (5): 0 slack, 1 and 2 lower and upper bound of X, 3 bound of its gradient, 4 lowest
  corner of the cube.

What is written by a launch is read by the next, never by the same.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .score_triton import left_on_box, shell_state


@triton.jit
def divide(
    integers, numbers, halves, table, shells,
    particle, place, parent_state, start, size, source,
    slot, target, left, state, marked,
    CHUNK: tl.constexpr, SQUARED: tl.constexpr,
):  # fmt: skip
    """Write list, its length and the shell's state of each box of a level, -1 if it is outside.

    ``halves`` are half the edges of the boxes, one for each particle; ``place`` (boxes, 3). The
    list of the parent of a box is ``source[start : start + size]``, its own goes to ``slot`` of
    ``target``. The owner of a centre that lies inside is marked.
    """
    box = tl.program_id(0)
    p = tl.load(particle + box)
    row, reals = integers + p * 3, numbers + p * 5
    h = tl.load(halves + p)
    corner = tl.load(reals + 4)
    cx = corner + (2 * tl.load(place + box * 3) + 1).to(tl.float64) * h
    cy = corner + (2 * tl.load(place + box * 3 + 1) + 1).to(tl.float64) * h
    cz = corner + (2 * tl.load(place + box * 3 + 2) + 1).to(tl.float64) * h
    proven = tl.load(parent_state + box)
    inside = proven > 0
    if proven == 0:
        proven, inside = shell_state(
            cx, cy, cz, h, h, h, tl.load(reals + 1), tl.load(reals + 2), tl.load(reals + 3),
            shells + tl.load(row + 1), tl.load(row + 2).to(tl.int32),
        )  # fmt: skip
    used = 0
    if proven >= 0:
        first = tl.load(row)
        own = source + tl.load(start + box)
        used, best = left_on_box(
            cx, cy, cz, h, h, h, table + first * 10, own, tl.load(size + box), tl.load(reals),
            target + tl.load(slot + box), tl.load(size + box), CHUNK, SQUARED,
        )  # fmt: skip
        if inside:
            tl.store(marked + first + tl.load(own + best), 1)
    tl.store(left + box, used)
    tl.store(state + box, proven)


@triton.jit
def mark(integers, particle, start, size, source, marked, CHUNK: tl.constexpr):
    """Mark the grains on the list of each box."""
    box = tl.program_id(0)
    own = marked + tl.load(integers + tl.load(particle + box) * 3)
    first, n = tl.load(start + box), tl.load(size + box)
    for base in range(0, n, CHUNK):
        mask = base + tl.arange(0, CHUNK) < n
        g = tl.load(source + first + base + tl.arange(0, CHUNK), mask, 0)
        tl.store(own + g, tl.full((CHUNK,), 1, tl.int8), mask)


@triton.jit
def look(integers, particle, start, size, source, marked, unmarked, CHUNK: tl.constexpr):
    """Write how many grains on the list of each box are not marked yet."""
    box = tl.program_id(0)
    own = marked + tl.load(integers + tl.load(particle + box) * 3)
    first, n = tl.load(start + box), tl.load(size + box)
    found = 0
    for base in range(0, n, CHUNK):
        mask = base + tl.arange(0, CHUNK) < n
        g = tl.load(source + first + base + tl.arange(0, CHUNK), mask, 0)
        found += tl.sum(tl.where(tl.load(own + g, mask, 1) == 0, 1, 0), 0)
    tl.store(unmarked + box, found)
