"""Finite-element meshes: conforming tetrahedra, every one in exactly one grain.

The background lattice is refined (`lattice`, `mesh_sizes`), cut along the exact grain
boundaries (`lattice_cut`), its surface made a manifold (`outer_manifold`) and its vertices
moved onto the boundaries (`interface_projection`). `msh_file` has the file format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..generator.particle import OUTSIDE, Particle
from . import Progress
from .interface_projection import projected
from .lattice import body_centred_lattice, refined
from .lattice_cut import cut
from .mesh_sizes import MeshSizes
from .mesh_summary import MeshSummary, summarised
from .msh_file import read_msh, write_msh
from .outer_manifold import manifold_outside
from .tetrahedra import FACES, compacted, face_neighbours, signed_volumes

DEFAULT_SIZE_UM = 0.15
SHORTEST = 0.1  # edges are not split below this part of the boundary size
OFF_BOUNDARY = 0.1  # farther from its boundary than this part of the size, a vertex is reported


@dataclass(frozen=True, eq=False)
class VolumeMesh:
    """Conforming tetrahedra of a particle, each in one grain.

    Parameters
    ----------
    points : (n, 3) float
        um.
    tets : (m, 4) int
        Positively oriented.
    grain_ids : (m,) int32
        1..n_grains.
    n_grains
        Number of grains of the particle; some may have no tetrahedron.
    facts
        How the mesh was made: numbers and texts by name, kept in the file.
    """

    points: NDArray[np.float64]
    tets: NDArray[np.int64]
    grain_ids: NDArray[np.int32]
    n_grains: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        m = len(self.tets)
        expected = {
            "points": (np.float64, (len(self.points), 3)),
            "tets": (np.int64, (m, 4)),
            "grain_ids": (np.int32, (m,)),
        }
        for name, (dtype, shape) in expected.items():
            array = np.array(getattr(self, name), dtype)  # our own copy
            if array.shape != shape:
                msg = f"{name} has shape {array.shape}, expected {shape}"
                raise ValueError(msg)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if m and not (self.grain_ids.min() >= 1 and self.grain_ids.max() <= self.n_grains):
            msg = (
                f"grain_ids reach from {self.grain_ids.min()} to {self.grain_ids.max()}, "
                f"expected 1 to n_grains = {self.n_grains}"
            )
            raise ValueError(msg)

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """Tetrahedron across the face opposite to each vertex, (m, 4); -1 at the shell."""
        neighbours: NDArray[np.int64] = face_neighbours(self.tets, len(self.points))
        return neighbours

    @cached_property
    def facets(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Triangles (k, 3) between materials, and the pair (low, high) of each, (k, 2).

        Low is 0 where high meets the outside. Normals point out of high into low. They
        are sorted by pair.
        """
        across = self.neighbours
        own = np.repeat(self.grain_ids[:, None], 4, axis=1)
        other = np.where(across >= 0, self.grain_ids[across], OUTSIDE)
        rows, faces = np.nonzero(own > other)
        pairs = np.stack([other[rows, faces], own[rows, faces]], axis=1)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        triangles = self.tets[rows[:, None], FACES[faces]]
        return triangles[order], pairs[order]

    @property
    def outer(self) -> NDArray[np.int64]:
        """Triangles of the outer surface, normals outwards, (k, 3)."""
        triangles, pairs = self.facets
        return triangles[pairs[:, 0] == OUTSIDE]

    @property
    def grain_boundary(self) -> NDArray[np.int64]:
        """Triangles between two grains, each once, (k, 3)."""
        triangles, pairs = self.facets
        return triangles[pairs[:, 0] != OUTSIDE]

    @cached_property
    def volumes(self) -> NDArray[np.float64]:
        """Volume of each tetrahedron, (m,), um^3."""
        return signed_volumes(self.points, self.tets)

    @property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of each grain, (n_grains,), um^3; grain id g is row g - 1."""
        totals = np.zeros(self.n_grains + 1)
        np.add.at(totals, self.grain_ids, self.volumes)
        return totals[1:]

    def summary(self) -> MeshSummary:
        """Size, quality and defects."""
        return summarised(self)


def volume_mesh(
    particle: Particle,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    progress: Progress | None = None,
) -> VolumeMesh:
    """Tetrahedra of ``particle`` whose faces follow its grain boundaries and its shell.

    Parameters
    ----------
    size_um
        Longest edge inside grains, um.
    boundary_size_um
        Longest edge at grain boundaries and at the shell, um; ``size_um`` by default.
        Grains too thin for it get edges of half of it.
    progress
        Called with a message and the part of the work that is done.

    Returns
    -------
    VolumeMesh
        Its ``facts`` say what could not be had: ``lost_grains``, ids of grains that are
        there at a third of the size but have no tetrahedron;
        ``n_tets_relabelled_at_the_shell`` to make the outer surface a manifold;
        ``n_vertices_off_boundary``, farther from a boundary that they should lie on than
        a tenth of the size.

    Raises
    ------
    ExportError
        If a size is not a positive number or too large for the particle, or the mesh
        would not fit the memory.
    """
    report = progress or (lambda message, fraction: None)
    fine = size_um if boundary_size_um is None else boundary_size_um
    sizes = MeshSizes(particle, size_um, fine)
    sizes.check_memory()
    report("finding thin grains", 0.0)
    voxels = sizes.voxel_labels()
    thin = sizes.thin_grains(voxels)
    report("refining the lattice", 0.05)
    points, tets = body_centred_lattice(
        lambda x: particle.shell.contains(size_um * x), particle.shell.radius_bounds[1] / size_um
    )
    points, tets = refined(points, tets, lambda x, t: sizes.too_coarse(size_um * x, t, thin))
    report("cutting along the grain boundaries", 0.6)
    points, tets, labels = cut(size_um * points, tets, particle.grain_at, SHORTEST * fine)
    report("closing the outer surface", 0.85)
    labels, n_relabelled = manifold_outside(points, tets, labels)
    report("moving vertices onto the grain boundaries", 0.9)
    points, gap = projected(points, tets, labels, particle)
    inside = labels != OUTSIDE
    points, tets = compacted(points, tets[inside])
    report("done", 1.0)
    grain_ids = labels[inside]
    facts = {
        "length_unit": "um",
        "n_grains": particle.n_grains,
        "size_um": size_um,
        "boundary_size_um": fine,
        "lost_grains": np.setdiff1d(voxels, [OUTSIDE, *grain_ids]).tolist(),
        "n_tets_relabelled_at_the_shell": n_relabelled,
        "n_vertices_off_boundary": int((gap > OFF_BOUNDARY * fine).sum()),
    }
    return VolumeMesh(points, tets, grain_ids, particle.n_grains, facts)


def write(
    source: Particle | VolumeMesh,
    path: str | Path,
    *,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the mesh of a particle, or a mesh that is there, as MSH 4.1 (`write_msh`)."""
    mesh = source
    if not isinstance(mesh, VolumeMesh):
        mesh = volume_mesh(mesh, size_um, boundary_size_um, progress)
    return write_msh(mesh, path)


def read(path: str | Path) -> VolumeMesh:
    """Mesh of a file that `write` made."""
    points, tets, grain_ids, facts = read_msh(path)
    return VolumeMesh(points, tets, grain_ids, facts["n_grains"], facts)


def summary(path: str | Path) -> dict[str, Any]:
    """How the mesh of a file was made, and what it is like: names and JSON values."""
    mesh = read(path)
    return {**mesh.facts, **asdict(mesh.summary())}
