"""Which grains matter where: short candidate lists on a regular grid of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import candidate_kernels

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class CandidateCells:
    """Cubic cells, each with the ascending indices of the grains that matter in it.

    A grain is missing from a cell only if another one beats it by more than ``margin``
    at every point of the cell (`gbpd_kernels` has the proof). Memory:
    four bytes for every pair of a cell and a candidate.

    Parameters
    ----------
    table : (n, 10) float
        Grain table.
    squared
        Whether scores are squared.
    half_width
        Half the edge of the cube of all cells; its centre is the origin.
    n_edge
        Number of cells along an edge, a power of two.
    margin
        tau, dimensionless.
    start, members : (cells + 1,) int64, (m,) int32
        Lists in compressed row form; cells in row-major order of (x, y, z).
    """

    table: NDArray[np.float64]
    squared: bool
    half_width: float
    n_edge: int
    margin: float
    start: NDArray[np.int64]
    members: NDArray[np.int32]

    @classmethod
    def build(
        cls,
        table: NDArray[np.float64],
        squared: bool,
        half_width: float,
        cell: float,
        margin: float,
        slack: float,
    ) -> CandidateCells:
        """Lists for the cube of ``half_width`` round the origin, cells of at most ``cell``."""
        if not (margin >= 0 and cell > 0 and half_width > 0):
            msg = f"margin {margin}, cell {cell}, half_width {half_width}: expected >= 0, > 0, > 0"
            raise ValueError(msg)
        levels = max(0, math.ceil(math.log2(2 * half_width / cell)))
        start, members = candidate_kernels.candidate_cells(
            -float(half_width), 2 * half_width / 2**levels, levels, table, squared, margin + slack,
            np.empty(0), 0,
        )  # fmt: skip
        return cls(table, squared, half_width, 2**levels, margin, start, members)

    @property
    def cell(self) -> float:
        """Edge of a cell."""
        return 2 * self.half_width / self.n_edge

    def labels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Index of the best grain at each point (n, 3): (n,) int32, equal to brute force."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        out = np.empty(len(points), np.int32)
        candidate_kernels.best_in_cells(
            points, -self.half_width, self.cell, self.n_edge, self.start, self.members,
            self.table, self.squared, out,
        )  # fmt: skip
        return out

    def soft_indicator(self, points: NDArray[np.float64]) -> csr_array:
        """T_i(x) of Eq. (11) at points (n, 3), sparse (n, n_grains), rows summing to one.

        Only the grains on the list of a point's cell have an entry; each of the others
        weighs at most e^-margin of the winner. Points outside the cells get all grains.
        """
        from scipy.sparse import csr_array  # slow to import

        rows, columns = self._pairs(np.asarray(points, dtype=np.float64))
        offset = points[rows] - self.table[columns, :3]
        u = self.table[columns, 3:9]
        u0 = u[:, 0] * offset[:, 0] + (u[:, 1] * offset[:, 1] + u[:, 2] * offset[:, 2])
        u1 = u[:, 3] * offset[:, 1] + u[:, 4] * offset[:, 2]
        u2 = u[:, 5] * offset[:, 2]
        q = u0 * u0 + (u1 * u1 + u2 * u2)
        scores = (q if self.squared else np.sqrt(q)) - self.table[columns, 9]
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        best = np.minimum.reduceat(scores, first)[rows]
        weights = np.exp(best - scores)
        total = np.add.reduceat(weights, first)[rows]
        return csr_array((weights / total, (rows, columns)), shape=(len(points), len(self.table)))

    def _pairs(self, points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows (points) and columns (their candidates), every point with at least one."""
        index = np.floor((points + self.half_width) / self.cell).astype(np.intp)
        within = ((index >= 0) & (index < self.n_edge)).all(axis=1)
        cells = np.where(within, index @ [self.n_edge**2, self.n_edge, 1], 0)
        counts = np.where(within, self.start[cells + 1] - self.start[cells], 0)
        listed = counts > 0
        counts = np.where(listed, counts, len(self.table))
        rows = np.repeat(np.arange(len(points)), counts)
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        position = np.where(listed[rows], self.start[cells][rows] + rank, 0)
        columns = np.where(listed[rows], self.members[position], rank)
        return rows, columns
