"""Radial bins of a particle: core, middle and outside, by the relative radius t.

t is the distance of a grain from the particle's centre over the particle's radius. Numbers
of all grains together hide a law that changes from the centre to the surface: what is missing
in one bin makes up for what is too much in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMES = ("core", "middle", "outside")
EDGES = (0.0, 0.25, 0.7, 1.0)  # what lies beyond the last one, in corners, counts as outside
LEAST_GRAINS = 30  # of a bin, below which a distribution says nothing


@dataclass(frozen=True)
class RadialBin:
    """Bins that are looked at as one: their numbers in `NAMES`, rising without a gap."""

    numbers: tuple[int, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the bins that it is made of."""
        return tuple(NAMES[k] for k in self.numbers)

    @property
    def name(self) -> str:
        """Its name."""
        return " and ".join(self.parts)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest t."""
        return EDGES[self.numbers[0]], EDGES[self.numbers[-1] + 1]


def bin_numbers(t: NDArray[np.float64]) -> NDArray[np.intp]:
    """Number of the bin of each relative radius, (n,).

    Examples
    --------
    >>> bin_numbers(np.array([0.1, 0.25, 0.7, 1.1])).tolist()
    [0, 1, 2, 2]
    """
    return np.digitize(t, EDGES[1:-1])


def merged_bins(counts: Sequence[Sequence[int]], least: int = LEAST_GRAINS) -> list[RadialBin]:
    """Bins in which every sample has ``least`` grains or more.

    One that has fewer is merged with the next one outwards, the outermost with the next one
    inwards.

    Parameters
    ----------
    counts
        Grains in each bin, for each sample.

    Examples
    --------
    >>> [one.name for one in merged_bins([[40, 50, 60], [12, 50, 60]])]
    ['core and middle', 'outside']
    """
    found: list[tuple[int, ...]] = [(k,) for k in range(len(NAMES))]
    numbers = np.array(counts)
    while len(found) > 1:
        poor = [k for k, own in enumerate(found) if numbers[:, own].sum(axis=1).min() < least]
        if not poor:
            break
        k = min(poor[0], len(found) - 2)
        found[k : k + 2] = [found[k] + found[k + 1]]
    return [RadialBin(own) for own in found]
