"""Make the elements of a cut mesh good, its boundaries true, its grains whole.

Rounds of collapsing, smoothing, swapping and handing over (`mesh_collapse`,
`mesh_smoothing`, `mesh_swaps`, `mesh_slivers`), in phases: first vertices are brought
onto the boundaries; then those of poor elements may leave them by a tolerance, and very
short edges are collapsed whatever meets at their ends; last, the worst few elements get
more of both, and the very worst more still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..mesh.material_field import MaterialField
from .collapse import Collapsing, collapse
from .slivers import hand_over
from .smoothing import Smoothing, smooth, trial_offsets
from .swaps import swap
from .tet_complex import VACANT, TetComplex, complex_of, next_round

POOR = 0.6  # mean ratio below which an element is worked on
HOPEFUL = 0.35  # and below which its vertices are moved again though nothing has changed
WORST = 0.3  # and below which they may go far, as hardly any need it
TOLERANCE = 0.05  # distance from the boundaries, as a part of the size: 0.15 px at 3 px
SHORT = 0.35  # edges below this part of the size are collapsed
LONGEST = 1.6  # no edge becomes longer than this part of the size
MERGING = 0.2  # edges below this part of the size are collapsed in any case
BAD = 0.25  # mean ratio below which every edge is a candidate for collapsing


@dataclass(frozen=True)
class Phase:
    """Some rounds with equal settings.

    Parameters
    ----------
    poor
        Mean ratio below which an element is worked on.
    floor
        Mean ratio that bringing a vertex onto its boundaries must not undercut.
    relax_below
        Mean ratio below which a vertex may leave its boundaries.
    tolerance
        By how much, as a part of the size.
    merging
        Edges below this part of the size are collapsed whatever meets at their ends.
    tries
        Places tried for each vertex.
    sliver
        Mean ratio below which an element may be handed over to the grain next to it, and
    sliver_volume
        its largest volume then, as a part of the size cubed.
    """

    rounds: int
    poor: float
    floor: float
    relax_below: float
    tolerance: float
    merging: float
    tries: int
    sliver: float = 0.2
    sliver_volume: float = 0.02


PHASES = (
    Phase(5, POOR, 0.2, 0.0, 0.0, 0.0, 14),  # onto the boundaries
    Phase(8, POOR, 0.5, 0.5, TOLERANCE, MERGING, 14),  # better elements
    Phase(3, HOPEFUL, 0.5, HOPEFUL, 2 * TOLERANCE, MERGING, 80),  # the few that are left
    Phase(6, WORST, 0.5, WORST, 6 * TOLERANCE, MERGING, 250),  # and of those, the worst
)
RESCUE = Phase(3, HOPEFUL, 0.5, HOPEFUL, 4 * TOLERANCE, 2 * MERGING, 200, 0.3, 1.0)


def optimised(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    field: MaterialField,
    targets: NDArray[np.float64],
    sizes: NDArray[np.float64],
    phases: tuple[Phase, ...],
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Points, tetrahedra and labels of a better mesh.

    Parameters
    ----------
    labels : (m,) int32
        Grain ids, 0 outside.
    targets : (n_grains + 1,) float
        Volume that each grain should have; grains may miss it by a margin.
    sizes : (n_grains + 1,) float
        Length of edges that each grain should have at its boundary; outside, the largest.
    """
    c = complex_of(points, tets, labels, targets, sizes)
    offsets = trial_offsets()
    rounds = [phase for phase in phases for _ in range(phase.rounds)]
    for k, phase in enumerate(rounds):
        _round(c, field, phase, sizes[OUTSIDE], offsets)
        progress((k + 1) / len(rounds))
    alive = c.labels != VACANT
    return c.points, c.tets[alive], c.labels[alive]


def _round(
    c: TetComplex,
    field: MaterialField,
    phase: Phase,
    size: float,
    offsets: NDArray[np.float64],
) -> None:
    smoothing = Smoothing(
        phase.poor**3,
        phase.floor**3,
        phase.relax_below**3,
        phase.tolerance * size,
        HOPEFUL**3,
        phase.tries,
    )
    next_round(c)
    collapse(c, Collapsing(SHORT, BAD**3, LONGEST, phase.merging))
    smooth(c, field, smoothing, offsets)
    swap(c, phase.poor**3)
    hand_over(c, phase.sliver**3, phase.sliver_volume * size**3)
