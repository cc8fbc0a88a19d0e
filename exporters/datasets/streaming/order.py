"""The order in which items of a stream come, and who gives which.

Item k is crop k % crops of particle k // crops. A part, which is a worker of a rank, takes whole
particles: recipes are what costs. The particles of a range are dealt out in turn, so that parts
have equal numbers of them, or one more. A part has ``mix`` particles at a time, whose crops take
turns: one batch then holds several particles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Share:
    """Part ``part`` of ``parts`` of the items from ``start`` to ``stop``, which is left out.

    Parameters
    ----------
    start, stop
        Range of items; without end if ``stop`` is None.
    crops
        Items of a particle.
    part, parts
        Which part, from 0, of how many.

    Examples
    --------
    >>> share = Share(start=1, stop=8, crops=2, part=0, parts=2)
    >>> list(share.particles())
    [0, 2]
    >>> list(share.items([0, 2]))
    [(2, 4), (0, 1), (2, 5)]
    """

    start: int
    stop: int | None
    crops: int
    part: int
    parts: int

    def particles(self) -> Iterator[int]:
        """Numbers of the particles of this part, ascending."""
        first = self.start // self.crops
        numbers = count(first + self.part, self.parts)
        if self.stop is None:
            return numbers
        end = -(-self.stop // self.crops)
        return iter(range(first + self.part, end, self.parts))

    def items(self, particles: list[int]) -> Iterator[tuple[int, int]]:
        """Particle and number of each of their items in the range; their crops take turns."""
        for crop in range(self.crops):
            for particle in particles:
                k = particle * self.crops + crop
                if k >= self.start and (self.stop is None or k < self.stop):
                    yield particle, k


def in_groups(values: Iterator[Value], size: int) -> Iterator[list[Value]]:
    """Lists of ``size`` values, the last one shorter."""
    while group := list(islice(values, size)):
        yield group
