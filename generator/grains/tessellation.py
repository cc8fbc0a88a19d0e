"""Generalised balanced power diagrams (GBPD): Eq. (8), and its soft form, Eq. (11)."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..markers.radial_frame import UPPER
from . import candidate_kernels, gbpd_kernels, owner_kernels, reach_kernels
from .candidates import CandidateCells

if TYPE_CHECKING:
    from ..shell.shell import Shell

Metric = Literal["norm", "squared"]
METRICS = ("norm", "squared")
BOX_LEVELS = 3  # a cell as large as a grain has 8^3 boxes of a resolution of an eighth
OWNER_LEVELS = 12  # halvings of such a cell until a grain is left open


@dataclass(frozen=True, eq=False, repr=False)
class Tessellation:
    r"""GBPD of space into grains, one grain per seed point.

    .. math:: f_i(x) = |x - s_i|_{M_i} - r_i, \qquad |y|_M = \sqrt{y^\top M y}

    for the metric "norm", the one of Eqs. (8) and (11) as printed; "squared" has
    f_i(x) = |x - s_i|_{M_i}^2 - r_i, as anisotropic power diagrams do. Grain i is where
    f_i is smallest.

    Parameters
    ----------
    seeds : (n, 3) float
        Seed points s_i, in some unit of length.
    matrices : (n, 3, 3) float
        Marker matrices M_i, symmetric positive definite, 1 / length^2.
    offsets : (n,) float
        Additive markers r_i, dimensionless.
    metric
        "norm" or "squared".

    Raises
    ------
    ValueError
        For a wrong shape, a value that is not finite, an unknown metric, or a matrix that
        is not symmetric positive definite.
    """

    seeds: NDArray[np.float64]
    matrices: NDArray[np.float64]
    offsets: NDArray[np.float64]
    metric: Metric = "norm"

    def __post_init__(self) -> None:
        n = len(self.seeds)
        expected = {"seeds": (n, 3), "matrices": (n, 3, 3), "offsets": (n,)}
        for name, shape in expected.items():
            array = np.array(getattr(self, name), dtype=np.float64, order="C")  # our own copy
            if array.shape != shape or n == 0:
                msg = f"{name} has shape {array.shape}, expected {shape} for {n} > 0 seeds"
                raise ValueError(msg)
            if not np.isfinite(array).all():
                msg = f"{name} holds a value that is not finite, expected numbers"
                raise ValueError(msg)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.metric not in METRICS:
            msg = f"metric is {self.metric!r}, expected one of {METRICS}"
            raise ValueError(msg)
        self.table  # noqa: B018  factorises, and so checks the matrices

    def __repr__(self) -> str:
        return f"Tessellation({len(self)} grains, metric {self.metric!r})"

    def __len__(self) -> int:
        """Number of grains."""
        return len(self.seeds)

    @property
    def squared(self) -> bool:
        """Whether the metric is "squared"."""
        return self.metric == "squared"

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """Grain table of the kernels, (n, 10) float: s_i, upper triangle of U_i, r_i."""
        return np.column_stack([self.seeds, upper_factors(self.matrices), self.offsets])

    def scaled(self, factor: float) -> Tessellation:
        """Copy with all lengths multiplied by ``factor``; labels move along."""
        return replace(self, seeds=self.seeds * factor, matrices=self.matrices / factor**2)

    def select(self, rows: NDArray[np.intp]) -> Tessellation:
        """Copy with some of the grains, in the order of ``rows``."""
        return replace(
            self,
            seeds=self.seeds[rows],
            matrices=self.matrices[rows],
            offsets=self.offsets[rows],
        )

    def slack(self, extent: float) -> float:
        """Bound on the rounding error of score differences over ``extent``, generously.

        A thousand units in the last place of the largest score that points within
        ``extent`` of any seed can have.
        """
        sums = absolute_sum(self.table[:, 3:9].T)
        largest = float(np.abs(self.offsets).max())
        return rounding_slack(float(sums.max()), largest, extent, self.squared)

    def scores(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """f_i(x) at each point, (..., n) float, written as in Eq. (8): small cases only."""
        offset = np.asarray(points)[..., None, :] - self.seeds
        q = np.einsum("...ni,nij,...nj->...n", offset, self.matrices, offset)
        values: NDArray[np.float64] = (q if self.squared else np.sqrt(q)) - self.offsets
        return values

    def labels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Index of the grain at each point, Eq. (8); the lowest index wins a tie.

        Every grain is evaluated: for many points of one particle use `candidate_cells`.

        Parameters
        ----------
        points : (..., 3) float

        Examples
        --------
        >>> seeds = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
        >>> gbpd = Tessellation(seeds, np.stack([np.eye(3)] * 2), np.zeros(2))
        >>> gbpd.labels(np.array([[-0.1, 0, 0], [0.1, 0, 0]]))
        array([0, 1], dtype=int32)
        """
        return self.two_best(points)[0][..., 0]

    def two_best(
        self, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Best and second best grain, (..., 2) int32, and their scores, (..., 2) float.

        Without a second grain its index is -1 and its score infinite.
        """
        points = np.asarray(points, dtype=np.float64)
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        index = np.empty((len(flat), 2), np.int32)
        scores = np.empty((len(flat), 2))
        gbpd_kernels.two_best(flat, self.table, self.squared, index, scores)
        shape = (*points.shape[:-1], 2)
        return index.reshape(shape), scores.reshape(shape)

    def score_gradients(
        self, points: NDArray[np.float64], index: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Gradient of f_i at points (n, 3) for grains ``index`` (n,): (n, 3) float."""
        offset = points - self.seeds[index]
        pulled = np.einsum("nij,nj->ni", self.matrices[index], offset)
        if self.squared:
            return 2 * pulled
        norm = np.sqrt(np.einsum("ni,ni->n", offset, pulled))[:, None]
        return np.where(norm > 0, pulled / np.where(norm > 0, norm, 1.0), 0.0)

    def soft_indicator(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        r"""T_i(x) = softmax_i(-f_i(x)), (..., n) float, Eq. (11); all grains: small cases only.

        Examples
        --------
        >>> seeds = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
        >>> gbpd = Tessellation(seeds, np.stack([np.eye(3)] * 2), np.zeros(2))
        >>> gbpd.soft_indicator(np.zeros(3))
        array([0.5, 0.5])
        """
        scores = self.scores(points)
        weights = np.exp(scores.min(axis=-1, keepdims=True) - scores)
        total: NDArray[np.float64] = weights.sum(axis=-1, keepdims=True)
        return weights / total

    def candidate_cells(
        self, half_width: float, cell: float, margin: float = 0.0
    ) -> CandidateCells:
        """Short lists of the grains that matter in each cell of a cube round the origin.

        Parameters
        ----------
        half_width
            Half the edge of the cube.
        cell
            Largest edge of a cell.
        margin
            tau: grains whose score is within ``margin`` of the best somewhere in the cell
            are kept; what is left out weighs at most e^-tau of the winner in Eq. (11).
        """
        slack = self.slack(farthest(self.seeds, half_width))
        return CandidateCells.build(self.table, self.squared, half_width, cell, margin, slack)

    def reachable(self, shell: Shell, resolution: float) -> NDArray[np.intp]:
        """Indices of the grains that can own a point inside ``shell``, ascending.

        A grain is left out only if it is proven to own none: without it no label inside
        the shell changes. What is left out is defined by boxes, not by the order in which
        anything is looked at:

        * the cube round the largest radius of the shell has n^3 cells with an edge of at most
          eight times ``resolution``. A cube of 2^m cells an edge, the smallest m with
          2^m >= n, that shares the lowest corner is halved m times down to the cells, and
          three times more down to the smallest boxes;
        * the list of the large cube is what `gbpd_kernels.cull` leaves of all grains, the list
          of a box what it leaves of its parent's list;
        * a grain is reachable if it is on the list of a smallest box, and neither that box nor
          one around it is proven to lie outside the shell (`gbpd_kernels.shell_state`).

        A finer resolution leaves out more. Memory: four bytes for every pair of a cell and a
        grain on its list, about a hundred for each grain, and 112 bytes for each grain of
        the longest list, which is all grains.
        """
        cells = self._cells_within(shell, resolution)
        marked = np.isfinite(self._owned_seeds(shell, cells)).all(axis=1)
        reach_kernels.mark_reachable(
            *cells.place, cells.start, cells.members, BOX_LEVELS, self.table, self.squared,
            cells.slack, shell.table, shell.max_degree, marked,
        )  # fmt: skip
        return np.flatnonzero(marked)

    def owning(self, shell: Shell, resolution: float) -> NDArray[np.intp]:
        """Indices of the grains that `ownership` does not prove to own nothing, ascending."""
        return np.flatnonzero(self.ownership(shell, resolution)[0])

    def ownership(
        self, shell: Shell, resolution: float
    ) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Whether each grain owns a point inside ``shell``, and such a point.

        The first is (n,) int8: `owner_kernels.OWNS`, NONE or OPEN; the second (n, 3), NaN without.
        A grain stays if a point inside the shell is found at which its score is the least, exactly
        as `labels` compares scores, and is left out if it is proven to own none. Both are facts,
        and so depend on no order and no processor. A grain stays as well if neither is found
        down to boxes of 1 / 512 of ``resolution``, where it owns nothing or less than the boxes
        left, or with `owner_kernels.MOST_BOXES` left on the way. Without the grains left out no
        label inside the shell changes.

        Memory: 16 MiB, and about 30 bytes for every pair of a grain and a cell of `reachable` whose
        list has it.
        """
        cells = self._cells_within(shell, resolution)
        witnesses = self._owned_seeds(shell, cells)
        found = np.array(np.isfinite(witnesses).all(axis=1), np.int8)  # OWNS or, as yet, NONE
        doubtful = found[cells.members] == owner_kernels.NONE
        members = cells.members[doubtful]
        having = np.repeat(np.arange(len(cells.start) - 1), np.diff(cells.start))[doubtful]
        order = np.argsort(members, kind="stable")
        first = np.searchsorted(members[order], np.arange(len(self) + 1))
        owner_kernels.settle(
            np.flatnonzero(found == owner_kernels.NONE), first, having[order], *cells.place,
            cells.start, cells.members, OWNER_LEVELS, self.table, self.squared, cells.slack,
            shell.table, shell.max_degree, shell.bend_bound, found, witnesses,
        )  # fmt: skip
        witnesses[found != owner_kernels.OWNS] = np.nan
        return found, witnesses

    def _cells_within(self, shell: Shell, resolution: float) -> _CellsWithin:
        """Lists of the grains that matter in the cells of `reachable` that meet the shell."""
        grid = BoxGrid.around(shell, resolution)
        slack = self.slack(farthest(self.seeds, -grid.lower))
        start, members = candidate_kernels.candidate_cells(
            grid.lower, grid.cell, grid.levels, self.table, self.squared, slack, shell.table,
            shell.max_degree,
        )  # fmt: skip
        return _CellsWithin((grid.lower, grid.cell, 2**grid.levels), start, members, slack)

    def _owned_seeds(self, shell: Shell, cells: _CellsWithin) -> NDArray[np.float64]:
        """A seed point inside the shell that each grain owns, (n, 3): most do; NaN without one."""
        inside = self.seeds[shell.contains(self.seeds)]
        owners = np.empty(len(inside), np.int32)
        candidate_kernels.best_in_cells(
            inside, *cells.place, cells.start, cells.members, self.table, self.squared, owners
        )
        owned = np.full((len(self), 3), np.nan)
        owned[owners] = inside
        return owned


class _CellsWithin(NamedTuple):
    """Cells of a `BoxGrid`: lowest corner, edge and number along an edge; their lists; slack."""

    place: tuple[float, float, int]
    start: NDArray[np.int64]
    members: NDArray[np.int32]
    slack: float


class BoxGrid(NamedTuple):
    """Cubic cells round a shell: a cube of 2^levels of them an edge, as `reachable` has it.

    ``lower`` is the coordinate of its lowest corner along each axis, ``cell`` the edge of a cell.
    """

    lower: float
    cell: float
    levels: int

    @classmethod
    def around(cls, shell: Shell, resolution: float) -> BoxGrid:
        """Cells with an edge of at most 2^BOX_LEVELS times ``resolution``."""
        half_width = shell.radius_bounds[1]
        n_cells = math.ceil(2 * half_width / (2**BOX_LEVELS * resolution))
        return cls(-half_width, 2 * half_width / n_cells, math.ceil(math.log2(n_cells)))


def farthest(seeds: NDArray[np.float64], half_width: float) -> float:
    """Largest distance between a seed and a point of a cube round the origin, at least."""
    return float(np.sqrt(3.0) * half_width + np.linalg.norm(seeds, axis=1).max())


def absolute_sum(columns: Iterable[Any]) -> Any:
    """Sum of absolute values, one column after the other: arrays or tensors."""
    return reduce(operator.add, map(abs, columns))


def rounding_slack(
    largest_factor: float, largest_offset: float, extent: float, squared: bool
) -> float:
    """What `Tessellation.slack` says, from the largest sum of |U| and the largest |r|."""
    norm = largest_factor * extent
    score = norm * norm if squared else norm
    return 1e3 * float(np.finfo(np.float64).eps) * (score + largest_offset)


def upper_factors(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cholesky factors U of M = U^T U, (n, 6) float: U_xx, U_xy, U_xz, U_yy, U_yz, U_zz.

    Written out element by element: LAPACK's last bits depend on the processor, these do
    not.

    Raises
    ------
    ValueError
        If a matrix is not symmetric positive definite; names the first one.

    Examples
    --------
    >>> upper_factors(np.diag([4.0, 9.0, 16.0])[None])
    array([[2., 0., 0., 3., 0., 4.]])
    """
    m = np.asarray(matrices)
    asymmetric = (m != m.transpose(0, 2, 1)).any(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = np.column_stack(cholesky([m[:, j, k] for j, k in UPPER]))
        diagonal = factors[:, [0, 3, 5]]
        bad = asymmetric | ~(np.isfinite(factors).all(axis=1) & (diagonal > 0).all(axis=1))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        msg = (
            f"matrix {i} is not symmetric positive definite: {m[i].tolist()}; "
            f"{int(bad.sum())} of {len(m)} are not"
        )
        raise ValueError(msg)
    return factors


def cholesky(entries: Sequence[Any], xp: Any = np) -> tuple[Any, ...]:
    """Entries of U from those of M = U^T U: xx, xy, xz, yy, yz, zz; arrays or, by ``xp``, tensors.

    What is not positive definite gives entries that are not finite or not positive.
    """
    m_xx, m_xy, m_xz, m_yy, m_yz, m_zz = entries
    xx = xp.sqrt(m_xx)
    xy, xz = m_xy / xx, m_xz / xx
    yy = xp.sqrt(m_yy - xy * xy)
    yz = (m_yz - xy * xz) / yy
    zz = xp.sqrt(m_zz - xz * xz - yz * yz)
    return xx, xy, xz, yy, yz, zz
