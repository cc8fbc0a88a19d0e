"""Where the background mesh is too coarse for the grains, and what a mesh will cost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..generator.errors import ExportError
from ..generator.grid import Grid
from ..generator.labelling import label_grid
from ..generator.particle import OUTSIDE, Particle
from .lattice import TETS_PER_CELL

VOXELS_PER_SIZE = 3  # a grain is thin if it holds no voxel of size / 3 with like neighbours
GRAIN_FACTOR = 20.0  # fitted: tetrahedra are 1 + 20 (size / grain)^2 times those of the lattice
GRADING_FACTOR = 2.0  # fitted: as many again where the lattice is coarser than the boundary
BYTES_PER_TET = 700  # measured: memory in use at most, the writing of the file included
SMALLEST = 1e-5  # edge length that is thinkable at all, as a part of the radius
MEMORY_SHARE = 0.5  # of the available memory that a mesh may take
ROUNDING = 1.01  # an edge this much longer than asked for is left alone
BLOCK = 100_000  # tetrahedra sampled at a time

SAMPLES = np.array(
    [[0.25] * 4]
    + [[0.7 if i == k else 0.1 for i in range(4)] for k in range(4)]
    + [[0.5 if i in pair else 0.0 for i in range(4)] for pair in combinations(range(4), 2)]
)  # (11, 4) barycentric: the centre, near each vertex, the middle of each edge
N_INNER = 5  # samples that lie inside the tetrahedron


@dataclass(frozen=True, eq=False)
class MeshSizes:
    """Edge lengths that a mesh of ``particle`` should have.

    Parameters
    ----------
    particle
        What is meshed.
    size_um
        Step of the background lattice and longest edge inside a grain, um.
    boundary_size_um
        Longest edge where grains meet, and at the shell, um. Where a grain is too thin
        for it the edges are halved once more.
    """

    particle: Particle
    size_um: float
    boundary_size_um: float

    def __post_init__(self) -> None:
        radius = self.particle.shell.diameter_um / 2
        limits = {"size_um": radius / 2, "boundary_size_um": self.size_um}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not SMALLEST * radius <= value <= limit:  # true for NaN
                msg = (
                    f"{name} is {value}, expected a length in um from {SMALLEST * radius:.1g} to "
                    f"{limit:.4g} for a particle of mean radius {radius:.4g} um"
                )
                raise ExportError(msg)

    @property
    def floor_um(self) -> float:
        """Length below which no edge is bisected for being too long, um."""
        return self.boundary_size_um / 2

    def voxel_labels(self) -> NDArray[np.int32]:
        """Grain ids on voxels of a third of ``boundary_size_um``, (nz, ny, nx) int32."""
        radius = self.particle.shell.radius_bounds[1]
        grid = Grid.around(radius, self.boundary_size_um / VOXELS_PER_SIZE)
        return label_grid(self.particle, grid, threads=1)

    def thin_grains(self, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each grain is too thin for ``boundary_size_um``, (n_grains + 1,), by grain id.

        A grain is thick if it owns one of the voxels ``labels`` together with the six
        around it.
        """
        core = labels[1:-1, 1:-1, 1:-1]
        deep = np.ones(core.shape, bool)
        for axis in range(3):
            for shift in (0, 2):
                window = [slice(1, -1)] * 3
                window[axis] = slice(shift, labels.shape[axis] - 2 + shift)
                deep &= labels[tuple(window)] == core
        thin = np.ones(self.particle.n_grains + 1, bool)
        thin[core[deep]] = False
        thin[OUTSIDE] = False
        return thin

    def too_coarse(
        self, points: NDArray[np.float64], tets: NDArray[np.int64], thin: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Whether each tetrahedron has to be bisected: (m,) bool.

        It has to be if its longest edge is longer than

        * ``boundary_size_um`` and eleven samples in it and its vertices differ in grain;
        * ``floor_um`` and one sample lies in a thin grain, or in one that owns no vertex.

        Parameters
        ----------
        points : (n, 3) float
            um.
        thin
            Of `thin_grains`.
        """
        coarse = np.zeros(len(tets), bool)
        candidates = np.flatnonzero(longest_edges(points, tets) > ROUNDING * self.floor_um)
        used, corners = np.unique(tets[candidates], return_inverse=True)
        at_corner = self.particle.grain_at(points[used])[corners.reshape(-1, 4)]
        for start in range(0, len(candidates), BLOCK):
            block = slice(start, start + BLOCK)
            chosen = tets[candidates[block]]
            length = longest_edges(points, chosen)
            samples = np.einsum("sk,mkd->msd", SAMPLES, points[chosen])
            inside = self.particle.grain_at(samples)
            absent = (inside[:, :N_INNER, None] != at_corner[block][:, None, :]).all(axis=2)
            absent &= inside[:, :N_INNER] != OUTSIDE
            small = absent.any(axis=1) | thin[inside].any(axis=1)
            mixed = (inside != inside[:, :1]).any(axis=1)
            mixed |= (at_corner[block] != inside[:, :1]).any(axis=1)
            long = length > ROUNDING * self.boundary_size_um
            coarse[candidates[block]] = small | (mixed & long)
        return coarse

    def expected_tets(self) -> float:
        """Rough number of tetrahedra of the mesh, within a factor of two or so."""
        size, volume = self.boundary_size_um, self.particle.shell.volume_um3
        grain = (volume / self.particle.n_grains) ** (1 / 3)
        grading = GRADING_FACTOR if size < self.size_um else 1.0
        cells = volume / size**3
        return grading * TETS_PER_CELL * cells * (1 + GRAIN_FACTOR * (size / grain) ** 2)

    def check_memory(self) -> None:
        """Refuse a mesh that would not fit, before anything is computed."""
        n_tets, available = self.expected_tets(), available_memory()
        needed = n_tets * BYTES_PER_TET
        if needed > MEMORY_SHARE * available:
            msg = (
                f"a mesh with edges of {self.boundary_size_um} um would have about {n_tets:.2g} "
                f"tetrahedra and take about {needed / 1e9:.3g} GB of memory; expected at most "
                f"{MEMORY_SHARE:.0%} of the {available / 1e9:.3g} GB that are free here: ask for "
                "longer edges"
            )
            raise ExportError(msg)


def longest_edges(points: NDArray[np.float64], tets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Length of the longest edge of each tetrahedron, (m,)."""
    squared = np.zeros(len(tets))
    for i, j in combinations(range(4), 2):
        edge = points[tets[:, i]] - points[tets[:, j]]
        np.maximum(squared, np.einsum("md,md->m", edge, edge), out=squared)
    return np.sqrt(squared)


def available_memory() -> float:
    """Bytes of memory that can be had without swapping; all there is where that is not told."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    if hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return 8e9
