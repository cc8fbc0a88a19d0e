"""How true a mesh is to the body that it was made from: distances, volumes, grains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ...generator.shell.spherical_harmonics import gradients_at
from ..mesh.any_mesh import symmetric
from ..mesh.material_field import NONE, MaterialField, interface_distance

if TYPE_CHECKING:
    from ..mesh.body import Body
    from ..mesh.volume_mesh import VolumeMesh

SAMPLES = 200_000  # points at which the grain of the mesh is compared with that of the body
LARGE_PIXELS = 50  # volume, in pixels of the grain frame, from which errors are judged


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of a distance or an error."""

    p50: float
    p95: float
    p99: float
    largest: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Percentiles:
        """Percentiles of some values; zero if there is none."""
        if len(values) == 0:
            return cls(0.0, 0.0, 0.0, 0.0)
        return cls(*(float(v) for v in np.percentile(values, [50, 95, 99, 100])))


@dataclass(frozen=True)
class ShellFacets:
    """How far the triangles of the outer surface lean off the shell.

    Parameters
    ----------
    worst_deg
        Largest angle between the normal of a triangle and that of the shell below or above
        its centroid.
    n_beyond_45_deg, n_inward
        Triangles with more than 45 and more than 90 degrees: the latter face inwards.
    """

    n_facets: int
    worst_deg: float
    n_beyond_45_deg: int
    n_inward: int


@dataclass(frozen=True)
class Fidelity:
    """How true a mesh is.

    Parameters
    ----------
    grain_boundary_um
        Distance of the vertices of facets between two grains from where the two have equal
        scores: abs(f_i - f_j) / norm(grad(f_i - f_j)), each vertex once for each pair.
    shell_um
        Distance of the vertices of the outer surface from the shell.
    shell_facets
        Its directions; None for labelled voxels, which have no shell of their own.
    mislabelled
        Part of the volume that the body gives to another grain, by sampling.
    mislabelled_error
        Its standard error.
    volume_um3, body_volume_um3
        Of the mesh, and of what was meshed.
    grain_volume_error
        abs(mesh / body - 1) of the grains of at least `LARGE_PIXELS` pixels.
    """

    grain_boundary_um: Percentiles
    shell_um: Percentiles
    shell_facets: ShellFacets | None
    mislabelled: float
    mislabelled_error: float
    volume_um3: float
    body_volume_um3: float
    grain_volume_error: Percentiles


def fidelity(mesh: VolumeMesh, body: Body, volumes: NDArray[np.float64]) -> Fidelity:
    """How true a mesh is to ``body`` with grains of ``volumes`` (n_grains + 1,), um^3."""
    triangles, pairs = mesh.facets
    inner = pairs[:, 0] != OUTSIDE
    shell = ~inner & (symmetric(mesh) == 0)
    large = volumes[1:] >= LARGE_PIXELS * body.pixel_um**3
    error = np.abs(mesh.grain_volumes[large] / volumes[1:][large] - 1)
    part = _mislabelled(mesh, body)
    return Fidelity(
        grain_boundary_um=Percentiles.of(_distances(mesh, body, triangles[inner], pairs[inner])),
        shell_um=Percentiles.of(_distances(mesh, body, triangles[shell], pairs[shell])),
        shell_facets=_shell_facets(mesh.points, triangles[shell], body.field),
        mislabelled=part,
        mislabelled_error=float(np.sqrt(part * (1 - part) / SAMPLES)),
        volume_um3=float(mesh.volumes.sum()),
        body_volume_um3=body.volume_um3,
        grain_volume_error=Percentiles.of(error),
    )


def _distances(
    mesh: VolumeMesh, body: Body, triangles: NDArray[np.int64], pairs: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Distance of each vertex from the boundary of each pair of materials it is a facet's of."""
    rows = np.column_stack([np.repeat(pairs, 3, axis=0), triangles.ravel()])
    order = np.lexsort(rows.T)
    rows = rows[order]
    rows = rows[np.diff(rows, axis=0, prepend=-1).any(axis=1)]
    out = np.empty(len(rows))
    _fill_distances(mesh.points, rows, body.pixel_um, body.field, out)
    return out


@njit(cache=True, nogil=True)
def _fill_distances(points, rows, reach, field, out):  # type: ignore[no-untyped-def]
    materials = np.full(3, NONE, np.int32)
    place = np.empty(3)
    for k in range(rows.shape[0]):
        materials[0], materials[1] = rows[k, 0], rows[k, 1]
        for i in range(3):
            place[i] = points[rows[k, 2], i]
        out[k] = interface_distance(place, materials, reach, field)


def _shell_facets(
    points: NDArray[np.float64], triangles: NDArray[np.int64], field: MaterialField
) -> ShellFacets | None:
    """Directions of the triangles of the outer surface against u - grad X(u) / X(u)."""
    if field.voxels.size > 0:
        return None
    a, b, c = (points[triangles[:, k]] for k in range(3))
    centroids = (a + b + c) / 3
    radii, gradients = np.empty(len(triangles)), np.empty((len(triangles), 3))
    gradients_at(centroids, field.shell, field.degree, radii, gradients)
    units = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    outward = radii[:, None] * units - gradients
    normals = np.cross(b - a, c - a)
    along = np.einsum("ij,ij->i", normals, outward)
    across = np.linalg.norm(np.cross(normals, outward), axis=1)
    angles = np.degrees(np.arctan2(across, along))
    return ShellFacets(
        n_facets=len(triangles),
        worst_deg=float(angles.max(initial=0.0)),
        n_beyond_45_deg=int((angles > 45).sum()),
        n_inward=int((angles > 90).sum()),
    )


def _mislabelled(mesh: VolumeMesh, body: Body) -> float:
    """Part of the volume that has another grain in ``body``."""
    points, grain_ids = even_samples(mesh)
    return float((body.grain_at(points) != grain_ids).mean())


def even_samples(mesh: VolumeMesh) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """`SAMPLES` points spread evenly over the volume, and the grain of each."""
    k = np.arange(SAMPLES)
    ends = np.cumsum(mesh.volumes)
    rows = np.searchsorted(ends, (k + 0.5) / SAMPLES * ends[-1]).clip(max=len(ends) - 1)
    irrational = np.array([0.8191725133961645, 0.6710436067037893, 0.5497004779019703])
    cuts = np.sort((k[:, None] * irrational) % 1.0, axis=1)  # R3 sequence, sorted: a simplex
    weights = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    points = np.einsum("sk,skd->sd", weights, mesh.points[mesh.tets[rows]])
    return points, mesh.grain_ids[rows]
