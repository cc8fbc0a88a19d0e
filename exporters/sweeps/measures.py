"""What the table of a sweep says of a particle: measures of its grains, taken from voxels.

Voxels are a tenth of a mean seed distance, so that grains of every size are measured alike: aspect
ratios depend on the resolution. Only where that takes more than `MOST_VOXELS` are they larger.
Grains that touch the surface, which cuts them, are told apart from those inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE, Particle
from ...generator.voxels.grid import Grid
from ...generator.voxels.morphology import GrainMorphology, GrainSums
from ...generator.voxels.slabs import Slab, for_each_slab
from ..products.report import MIN_VOXELS

PER_DISTANCE, LEAST_ACROSS = 10, 60  # voxels along a mean seed distance, and across the particle
MOST_VOXELS = 64_000_000  # layers are forgotten one after the other; this bounds the time
INSIDE = "of grains that do not touch the surface"

# column: (unit, meaning); the unit stands in the name as well
MEASURES = {
    "n_grains": ("1", "grains of the recipe"),
    "n_inside": ("1", "grains that do not touch the surface"),
    "n_at_surface": ("1", "grains that touch the surface"),
    "diameter_mean_um": ("um", f"mean equivalent diameter {INSIDE}"),
    "diameter_std_um": ("um", f"standard deviation of the equivalent diameter {INSIDE}"),
    "surface_diameter_mean_um": ("um", "mean equivalent diameter of grains at the surface"),
    "surface_diameter_std_um": ("um", "standard deviation of the equivalent diameter of these"),
    "aspect_ratio_mean": ("1", f"mean of longest over shortest principal length {INSIDE}"),
    "radial_angle_mean_deg": ("degree", f"mean angle between long axis and radius {INSIDE}"),
    "radial_alignment": (
        "1",
        f"mean of (3 cos^2 - 1) / 2 of that angle {INSIDE}: 1 radial, 0 random, -1/2 tangential",
    ),
    "boundary_area_per_volume_per_um": (
        "1/um", "area of the boundaries between grains over the volume of the particle",
    ),
    "particle_diameter_um": ("um", "volume-equivalent diameter of the particle"),
    "particle_volume_um3": ("um^3", "volume of the particle"),
    "sphericity": ("1", "of the shell"),
    "pitch_um": ("um", "edge of the voxels that grains were measured on"),
}  # fmt: skip

DIFFERENCES = tuple(
    name for name in MEASURES if name not in ("pitch_um", "surface_diameter_std_um")
)
PAIRED = {
    "paired_grains": (
        "1", "grains inside that grew from the same seed points here and in the base",
    ),
    "paired_diameter_difference_um": ("um", "mean difference of the diameter of these"),
    "paired_diameter_difference_error_um": ("um", "its standard error"),
    "paired_aspect_ratio_difference": ("1", "mean difference of the aspect ratio of these"),
    "paired_aspect_ratio_difference_error": ("1", "its standard error"),
}  # fmt: skip
COLUMNS = {
    **MEASURES,
    **{
        f"difference_{name}": (MEASURES[name][0], f"{name} less that of the base")
        for name in DIFFERENCES
    },
    **PAIRED,
}


class Grains(NamedTuple):
    """Grains inside a particle, to be matched with those of another one of the same draws."""

    origin: NDArray[np.int32]  # (n, 4), identity of the seed point
    diameters: NDArray[np.float64]  # (n,), um
    aspect_ratios: NDArray[np.float64]  # (n,), NaN of grains of few voxels


@dataclass(frozen=True, eq=False)
class Measured:
    """Measures of a particle by the names of `MEASURES`, and its grains."""

    measures: dict[str, Any]
    grains: Grains


def pitch_um(particle: Particle) -> float:
    """Edge of the voxels that a particle is measured on, um."""
    card, edge = particle.provenance.card, 2 * particle.shell.radius_bounds[1]
    wanted = min(card.pixel_um * card.intensity ** (-1 / 3) / PER_DISTANCE, edge / LEAST_ACROSS)
    return float(f"{max(wanted, edge * MOST_VOXELS ** (-1 / 3)):.4g}")


def measured(particle: Particle) -> Measured:
    """Measures of a particle.

    Raises
    ------
    ExportError
        If no voxel lies inside.
    """
    pitch = pitch_um(particle)
    grid = Grid.around(particle.shell.radius_bounds[1], pitch)
    sums, faces = GrainSums.zero(particle.n_grains), [0]

    def add(slab: Slab) -> None:
        sums.add(slab.labels, slab.own, slab.start)
        faces[0] += boundary_faces(slab.labels, slab.own)

    for_each_slab(particle, grid, add)
    table = sums.morphology(grid)
    inside = (table.voxel_count > 0) & ~table.touches_shell
    shaped = inside & (table.voxel_count >= MIN_VOXELS)
    aspect = np.where(shaped, table.aspect_ratio, np.nan)
    grains = Grains(particle.origin[inside], table.equivalent_diameter_um[inside], aspect[inside])
    volume = table.volume_um3.sum()
    area = boundary_area_um2(faces[0], pitch) / volume if volume > 0 else None
    found = {
        "n_grains": particle.n_grains,
        **_of_grains(table, inside, shaped),
        "boundary_area_per_volume_per_um": area,
        "particle_diameter_um": particle.shell.diameter_um,
        "particle_volume_um3": particle.shell.volume_um3,
        "sphericity": particle.shell.sphericity,
        "pitch_um": pitch,
    }
    return Measured({name: _number(value) for name, value in found.items()}, grains)


def _of_grains(
    table: GrainMorphology, inside: NDArray[np.bool_], shaped: NDArray[np.bool_]
) -> dict[str, Any]:
    diameters, cut = table.equivalent_diameter_um, table.touches_shell
    angles = table.radial_angle_deg[shaped]
    cosines = np.cos(np.radians(angles))
    return {
        "n_inside": int(inside.sum()),
        "n_at_surface": int(cut.sum()),
        "diameter_mean_um": _mean(diameters[inside]),
        "diameter_std_um": _std(diameters[inside]),
        "surface_diameter_mean_um": _mean(diameters[cut]),
        "surface_diameter_std_um": _std(diameters[cut]),
        "aspect_ratio_mean": _mean(table.aspect_ratio[shaped]),
        "radial_angle_mean_deg": _mean(angles),
        "radial_alignment": _mean((3 * cosines**2 - 1) / 2),
    }


def boundary_faces(labels: NDArray[np.int32], own: slice) -> int:
    """Faces between voxels of two grains, of the layers ``own`` and to the layer after them."""
    n = 0
    for k in range(own.start, own.stop):
        layer = labels[k]
        pairs = [(layer[1:], layer[:-1]), (layer[:, 1:], layer[:, :-1])]
        pairs += [(labels[k + 1], layer)] if k + 1 < len(labels) else []
        for one, other in pairs:
            n += int(np.count_nonzero((one != other) & (one != OUTSIDE) & (other != OUTSIDE)))
    return n


def boundary_area_um2(faces: int, pitch_um: float) -> float:
    """Area of boundaries that are crossed ``faces`` times by the lines through voxel centres.

    Of lines in three directions S_V = 2 P_L (Saltykov): exact on average for boundaries that face
    everywhere alike, as those of grains about a centre do, and a third too small or, at most, 15 %
    too large for one plane.
    """
    return 2 / 3 * faces * pitch_um**2


def paired(base: Grains, other: Grains) -> dict[str, Any]:
    """Mean differences of the grains that both have, by the names of `PAIRED`."""
    mine, theirs = _common(base.origin, other.origin)
    diameters = other.diameters[theirs] - base.diameters[mine]
    ratios = other.aspect_ratios[theirs] - base.aspect_ratios[mine]
    ratios = ratios[np.isfinite(ratios)]
    values = (
        len(mine), _mean(diameters), _error(diameters), _mean(ratios), _error(ratios),
    )  # fmt: skip
    return {name: _number(value) for name, value in zip(PAIRED, values, strict=True)}


def _common(
    one: NDArray[np.int32], other: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that stand in both arrays (n, 4)."""
    first, second = (
        np.ascontiguousarray(array).view("i4,i4,i4,i4").ravel() for array in (one, other)
    )
    _, mine, theirs = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return mine, theirs


def differences(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Measures less those of the base; None where one of both has none."""
    return {
        f"difference_{name}": _number(
            None if None in (base[name], other[name]) else other[name] - base[name]
        )
        for name in DIFFERENCES
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if values.size else None


def _std(values: NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if values.size > 1 else None


def _error(values: NDArray[np.float64]) -> float | None:
    spread = _std(values)
    return None if spread is None else spread / float(np.sqrt(values.size))


def _number(value: Any) -> Any:
    """Whole numbers as they are, others with six digits."""
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")
