"""Make the elements of a cut mesh good, its boundaries true, its grains whole.

Rounds of collapsing, smoothing, swapping and handing over (`collapse`, `smoothing`, `swaps`,
`slivers`), in phases: first vertices are brought onto the boundaries, with few tries, since most
of these elements will be collapsed; then those of poor elements may leave them by a tolerance,
and very short edges are collapsed whatever meets at their ends; then the worst get more of both.
While an element is too flat after that, it gets still more. In the end each vertex goes back to
its boundaries as far as the elements around it allow, which slide along theirs to make room, the
surface is unfolded (`folds`), and necks of grains are mended (`necks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..mesh.material_field import MaterialField
from ..mesh.tetrahedra import dihedral_angles
from .blocks import Worked, n_blocks, worked_in_blocks
from .collapse import Collapsing, collapse
from .folds import EASY, PASSES, unfold
from .necks import mend_necks
from .slivers import hand_over
from .smoothing import Smoothing, smooth, trial_offsets
from .swaps import swap
from .tet_complex import VACANT, TetComplex, hull_of, next_round

POOR = 0.65  # mean ratio below which edges and faces of an element are exchanged
FAIR = 0.7  # and below which its vertices are moved
HOPEFUL = 0.53  # and below which they are moved again though nothing has changed
STEPS = (*range(1, 12), 14, 17)  # rounds after which a large mesh gets other blocks
FLAT_DEG = 11.0  # a smallest dihedral angle that is worked on to the last
LAST_ROUNDS = 12  # of that, at most
TOLERANCE = 0.1  # distance from the boundaries, as a part of the size: 0.15 px at 3 px
SHORT = 0.35  # edges below this part of the size are collapsed
LONGEST = 1.6  # no edge becomes longer than this part of the size
MERGING = 0.2  # edges below this part of the size are collapsed in any case
BAD = 0.25  # mean ratio below which every edge is a candidate for collapsing


@dataclass(frozen=True)
class Phase:
    """Some rounds with equal settings.

    Parameters
    ----------
    moved
        Mean ratio below which the vertices of an element are moved.
    floor
        Mean ratio that bringing a vertex onto its boundaries must not undercut.
    relax_below
        Mean ratio below which a vertex may leave its boundaries.
    tolerance
        By how much, as a part of the size there.
    merging
        Edges below this part of the size are collapsed whatever meets at their ends.
    tries
        Places tried for each vertex.
    hopeful
        Mean ratio below which vertices are moved again though nothing has changed.
    sliver
        Mean ratio below which an element may be handed over to the grain next to it, and
    sliver_volume
        its largest volume then, as a part of the size cubed.
    """

    rounds: int
    moved: float
    floor: float
    relax_below: float
    tolerance: float
    merging: float
    tries: int
    hopeful: float = HOPEFUL
    sliver: float = 0.2
    sliver_volume: float = 0.02


BEGINNING = (
    Phase(3, 0.4, 0.2, 0.0, 0.0, 0.0, 3),  # onto the boundaries
    Phase(2, POOR, 0.2, 0.0, 0.0, 0.0, 7),
)
LAST = Phase(1, 0.45, 0.5, 0.45, 16 * TOLERANCE, 2 * MERGING, 250)
RESCUE = Phase(
    3, HOPEFUL, 0.5, HOPEFUL, 4 * TOLERANCE, 2 * MERGING, 200, sliver=0.3, sliver_volume=1.0
)


@dataclass(frozen=True)
class Schedule:
    """Phases of work on a mesh, and how its vertices go back to their boundaries in the end."""

    phases: tuple[Phase, ...]
    back: Smoothing


FOR_FINE = Schedule(
    (
        *BEGINNING,
        Phase(6, FAIR, 0.5, 0.5, TOLERANCE, MERGING, 10),  # better elements
        Phase(3, 0.57, 0.5, 0.57, 1.5 * TOLERANCE, MERGING, 30),  # the few that are left
        Phase(6, HOPEFUL, 0.5, HOPEFUL, 3 * TOLERANCE, MERGING, 120),  # and of those, the worst
    ),
    Smoothing(0.57**3, 0.53**3, 0.0, 0.0, 2.0, 10),
)
TRUER = 0.48  # mean ratio below which vertices of coarse meshes, which cut corners, are moved
FOR_COARSE = Schedule(
    (
        *BEGINNING,
        Phase(6, POOR, 0.5, 0.5, TOLERANCE, MERGING, 10, TRUER),
        Phase(3, TRUER, 0.5, TRUER, 1.5 * TOLERANCE, MERGING, 60, TRUER),
        Phase(6, TRUER, 0.5, TRUER, 3 * TOLERANCE, MERGING, 120, TRUER),
    ),
    Smoothing(0.5**3, 0.46**3, 0.0, 0.0, 2.0, 10),
)


class Ending(NamedTuple):
    """What is done to a mesh when all rounds are done; large meshes take it in several steps."""

    n_back: int  # rounds in which vertices go back, after what is flat was worked on to the last
    first: int  # pass over the folds of the surface,
    stop: int  # and the one before which it ends

    @property
    def n_rounds(self) -> int:
        """Number of rounds, without those for what is flat."""
        return self.n_back + self.stop - self.first


ENDING = Ending(3, 0, PASSES)
IN_BLOCKS = (Ending(2, 0, 0), Ending(2, 0, EASY), Ending(0, EASY, 3), Ending(0, 3, PASSES))


def optimised(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    field: MaterialField,
    targets: NDArray[np.float64],
    sizes: NDArray[np.float64],
    schedule: Schedule,
    progress: Callable[[float], None],
    threads: int | None = None,
    limits: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Points, tetrahedra and labels of a better mesh.

    Parameters
    ----------
    labels : (m,) int32
        Grain ids, 0 outside.
    targets : (n_grains + 1,) float
        Volume that each grain should have; grains may miss it by a margin.
    sizes : (n_grains + 1,) float
        Length of edges that each grain should have at its boundary.
    threads
        Among which the blocks of a large mesh are shared out (`blocks`).
    limits : (n,) float, optional
        Longest edge that each vertex should have, whatever its grains.
    """
    offsets = trial_offsets()
    rounds = [phase for phase in schedule.phases for _ in range(phase.rounds)]
    total = len(rounds) + sum(ending.n_rounds for ending in IN_BLOCKS)
    hull, unchanged = hull_of(tets, len(points)), np.zeros(len(points), np.int32)
    limits = np.full(len(points), np.inf) if limits is None else limits
    mesh, done = Worked(points, tets, labels, hull, unchanged, limits), 0
    end = partial(_end, field=field, offsets=offsets, back=schedule.back)
    steps = [
        (stop, partial(_rounds, phases=rounds[start:stop], field=field, offsets=offsets))
        for start, stop in pairwise((0, *(k for k in STEPS if k < len(rounds)), len(rounds)))
    ]
    for ending in IN_BLOCKS:
        steps.append((steps[-1][0] + ending.n_rounds, partial(end, ending=ending)))
    for stop, work in steps:
        if n_blocks(len(mesh.tets)) == 1:
            break
        mesh = worked_in_blocks(mesh, targets, sizes, done, work, threads)
        progress(stop / total)
        done = stop
    _, c = mesh.complex(np.arange(len(mesh.tets)), hull, targets, sizes, done)
    del mesh
    for k, phase in enumerate(rounds[done:], done):
        _rounds(c, (phase,), field, offsets)
        progress((k + 1) / total)
    if done < total or _flattest_deg(c) < FLAT_DEG:
        end(c, ENDING)
    mend_necks(c, field.n_grains)
    alive = c.labels != VACANT
    return c.points, c.tets[alive], c.labels[alive]


def _end(
    c: TetComplex,
    ending: Ending,
    field: MaterialField,
    offsets: NDArray[np.float64],
    back: Smoothing,
) -> None:
    for _ in range(LAST_ROUNDS if ending.n_back else 0):
        if _flattest_deg(c) >= FLAT_DEG:
            break
        _rounds(c, (LAST,), field, offsets)
    for _ in range(ending.n_back):
        next_round(c)
        smooth(c, field, back, offsets)
    if field.voxels.size == 0:  # labelled voxels may have sharp edges, which are no folds
        unfold(c, field, offsets, ending.first, ending.stop)


def _flattest_deg(c: TetComplex) -> float:
    """Smallest dihedral angle inside the grains, degrees, but at vertices that stay."""
    rows = (c.labels > OUTSIDE) & ~c.fixed[c.tets].any(axis=1)
    angles = dihedral_angles(c.points, c.tets[rows])
    return float(angles.min(initial=180.0))


def _rounds(
    c: TetComplex,
    phases: Sequence[Phase],
    field: MaterialField,
    offsets: NDArray[np.float64],
) -> None:
    for phase in phases:
        smoothing = Smoothing(
            phase.moved**3,
            phase.floor**3,
            phase.relax_below**3,
            phase.tolerance,
            phase.hopeful**3,
            phase.tries,
        )
        next_round(c)
        collapse(c, Collapsing(SHORT, BAD**3, LONGEST, phase.merging))
        smooth(c, field, smoothing, offsets)
        swap(c, min(phase.moved, POOR) ** 3)
        hand_over(c, phase.sliver**3, phase.sliver_volume, field.n_grains)
