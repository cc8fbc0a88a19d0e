"""Virtual particles: a shell filled with grains, and what can be asked of them directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .grains.candidates import CandidateCells
from .grains.tessellation import Tessellation
from .html import table
from .model_card import ModelCard
from .shell.shell import Shell
from .streams import DRAWS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from .pictures.plotting import Axes

THUMBNAIL = 180  # pixels
OUTSIDE = 0  # grain ids are 1..n_grains, the rows of the grain table counted from one


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """Which particle a regenerated one comes from, and what was changed."""

    parent: str
    model_sha256: str
    changes: Mapping[str, tuple[Any, Any]]  # parameter -> (value of the parent, value here)


@dataclass(frozen=True, kw_only=True, eq=False)
class Provenance:
    """Everything that determines a particle, and how it was found.

    Parameters
    ----------
    card
        Resolved model card.
    seed, index
        Seed of the series and number of the particle in it.
    shell_attempt
        Number of the accepted draw of the shell, from 0.
    shells_rejected
        Draws rejected before it, by reason.
    derivation
        Set for a regenerated particle.
    draws
        `streams.DRAWS` of the program that drew it; None for version 0.1.0, which gave none.
    """

    card: ModelCard
    seed: int
    index: int
    shell_attempt: int = 0
    shells_rejected: Mapping[str, int] = field(default_factory=dict)
    derivation: Derivation | None = None
    draws: int | None = DRAWS

    @property
    def id(self) -> str:
        """Name of the particle and of its folder, for example p000007."""
        return f"p{self.index:06d}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Particle:
    """Star-shaped shell filled with the grains of a GBPD; the origin is its centroid.

    All lengths are micrometres. A particle is what its recipe file holds: voxels,
    surfaces and meshes are functions of it and of a resolution.

    Parameters
    ----------
    shell
        Outer surface.
    tessellation
        Grains; row i of its arrays is the grain with id i + 1.
    diagonals : (n, 3) float
        D_i, 1/um^2, the radial entry first.
    angles : (n,) float
        gamma_i, radians.
    axes : (n, 3) float or None
        Unit vectors that belong to the first entry of D_i, where grains are tilted out of the
        radial direction; None where it is the radial one.
    origin : (n, 4) int
        Cell (i, j, k) and rank of the seed point in the point process: grains of two
        particles with equal origin grew from the same point.
    orientations : (n, 4) float or None
        Unit quaternions (w, x, y, z), crystal to sample.
    provenance
        What it was made from.
    """

    shell: Shell
    tessellation: Tessellation
    diagonals: NDArray[np.float64]
    angles: NDArray[np.float64]
    axes: NDArray[np.float64] | None = None
    origin: NDArray[np.int32]
    orientations: NDArray[np.float64] | None
    provenance: Provenance

    def __repr__(self) -> str:
        diameter = self.shell.diameter_um
        return f"Particle({self.id}, {self.n_grains} grains, diameter {diameter:.4g} um)"

    def _repr_html_(self) -> str:
        """What notebooks show: the particle cut open, if matplotlib is there, and its measures."""
        from .pictures.plotting import image_tag
        from .pictures.rendering import render_cut

        shell = self.shell
        rows = [
            ("grains", f"{self.n_grains:,}"),
            ("diameter", f"{shell.diameter_um:.4g} um"),
            ("sphericity", f"{shell.sphericity:.3f}"),
            ("model", self.provenance.card.name),
            ("seed, index", f"{self.provenance.seed}, {self.provenance.index}"),
        ]
        return image_tag(render_cut(self, THUMBNAIL)) + table(rows, f"Particle {self.id}")

    def plot(self, ax: Axes | None = None, *, cut: str = "quarter", pixels: int = 400) -> Axes:
        """Draw the particle, with a part cut away, into matplotlib axes scaled in um.

        Parameters
        ----------
        ax
            The current ones of pyplot if left out.
        cut
            "none", "half", "quarter" or "octant".
        pixels
            Edge of the square picture.

        Raises
        ------
        CathodegrainError
            If there is no such cut, or matplotlib is not installed.
        """
        from .pictures.plotting import draw
        from .pictures.rendering import render_cut, wedge

        return draw(render_cut(self, pixels, wedge(cut)), ax, self.id)

    def __post_init__(self) -> None:
        n = self.n_grains
        shapes = {
            "diagonals": (n, 3), "angles": (n,), "axes": (n, 3), "origin": (n, 4),
            "orientations": (n, 4),
        }  # fmt: skip
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                msg = f"{name} has shape {array.shape}, expected {shape} for {n} grains"
                raise ValueError(msg)

    @property
    def id(self) -> str:
        """Name of the particle, for example p000007."""
        return self.provenance.id

    @property
    def n_grains(self) -> int:
        """Number of grains of the recipe, each of which owns a point inside the shell.

        In recipes of draws before 6, those of version 0.2.0 and older, some own none.
        """
        return len(self.tessellation)

    @cached_property
    def cells(self) -> CandidateCells:
        """Candidate lists that answer `grain_at`; built on first use."""
        return self._candidates(margin=0.0)

    @cached_property
    def soft_cells(self) -> CandidateCells:
        """Candidate lists with the margin tau = 15 for `soft_indicator`; built on first use."""
        return self._candidates(margin=15.0)

    def _candidates(self, margin: float) -> CandidateCells:
        radius = self.shell.radius_bounds[1]
        spacing = (self.shell.volume_um3 / self.n_grains) ** (1 / 3)
        cell = max(spacing / 3, radius / 64)  # at most 128^3 cells
        return self.tessellation.candidate_cells(radius, cell, margin)

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Grain id at points (..., 3) um: (...,) int32, 0 outside the shell."""
        points = np.asarray(points, dtype=np.float64)
        flat = points.reshape(-1, 3)
        ids = np.full(len(flat), OUTSIDE, np.int32)
        inside = self.shell.contains(flat)
        ids[inside] = self.nearest_grain(flat[inside])
        return ids.reshape(points.shape[:-1])

    def nearest_grain(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Grain id at points (..., 3) um as if there were no shell: (...,) int32, never 0."""
        points = np.asarray(points, dtype=np.float64)
        ids: NDArray[np.int32] = self.cells.labels(points.reshape(-1, 3)) + np.int32(1)
        return ids.reshape(points.shape[:-1])

    def margin(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score by which the best grain wins over the second best, (...,) float, dimensionless.

        0 on a grain boundary, infinite if there is one grain only. Every grain is
        evaluated.
        """
        _, scores = self.tessellation.two_best(points)
        gap: NDArray[np.float64] = scores[..., 1] - scores[..., 0]
        return gap

    def boundary_normal(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit normals (..., 3) of the nearest grain boundary, from the best grain to the second.

        grad(f_i - f_j) / |grad(f_i - f_j)| for the best grain i and the second best j: on
        the boundary it is the exact normal. NaN if there is one grain only.
        """
        points = np.asarray(points, dtype=np.float64)
        flat = points.reshape(-1, 3)
        index, _ = self.tessellation.two_best(flat)
        own, other = (self.tessellation.score_gradients(flat, index[:, k]) for k in (0, 1))
        difference = own - other
        with np.errstate(invalid="ignore", divide="ignore"):
            normals = difference / np.linalg.norm(difference, axis=1, keepdims=True)
        normals[index[:, 1] < 0] = np.nan
        return normals.reshape(points.shape)

    def soft_indicator(self, points: NDArray[np.float64]) -> csr_array:
        """T_i(x) of Eq. (11) at points (n, 3) um: sparse (n, n_grains), column i is grain i + 1.

        Grains that weigh less than e^-15 of the winner everywhere near a point have no
        entry.
        """
        return self.soft_cells.soft_indicator(np.asarray(points, dtype=np.float64))

    def depth(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radial depth X(x/|x|) - |x| below the shell, (...,) um; negative outside."""
        points = np.asarray(points, dtype=np.float64)
        return self.shell.depth(points.reshape(-1, 3)).reshape(points.shape[:-1])
