"""The surfaces of all grains for gmsh's own mesher: ``gmsh -3 grains.geo``.

A folder holds

* ``surfaces.msh``: every triangle between two grains or at the shell, once, in a surface
  entity for each pair; physical groups ``outer``, N + 1, and ``grain_boundary``, N + 2;
* ``grains.geo``: merges it and defines the volumes, each by its surface loops, the outer one
  first, then those of its holes; physical group ``grain_00001``, tag 1, and so on. A grain of
  several pieces has a volume for each, the further ones numbered from N + 4.

gmsh keeps the triangles as they are and fills the volumes. Coordinates are um.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...generator.errors import ExportError
from ..files.atomic import replacing_folder
from ..mesh.msh_file import Block, comments_of, write_blocks
from ..mesh.pieces import connected_pieces
from ..mesh.tetrahedra import FACES, grouped, material_sides
from ..mesh.volume_mesh import VolumeMesh

GEO, SURFACES = "grains.geo", "surfaces.msh"
HEAD = """\
// Grains of a virtual particle, for gmsh's own mesher:
//   gmsh -3 {geo}
//   gmsh -3 {geo} -setnumber size 0.1
// The triangles of {surfaces} stay as they are. Coordinates are um.
DefineConstant[ size = {{{size:g}, Name "Longest edges inside grains, um"}} ];
Mesh.MeshSizeMax = size;
Merge "{surfaces}";
"""


@dataclass(frozen=True, eq=False)
class Sides:
    """Triangles between the pieces of grains, sorted by surface.

    Parameters
    ----------
    triangles : (k, 3) int
        Normals point from behind to before.
    surface : (k,) int
        Surface entity of each, from 1: one for each pair of pieces.
    behind, before : (k,) int
        Tag of the volume on each side; 0 before the shell.
    grain_of
        Grain of each volume, by its tag.
    """

    triangles: NDArray[np.int64]
    surface: NDArray[np.int64]
    behind: NDArray[np.int64]
    before: NDArray[np.int64]
    grain_of: Mapping[int, int]


def write(mesh: VolumeMesh, folder: str | Path) -> Path:
    """Write ``grains.geo`` and ``surfaces.msh`` into a folder, which is replaced.

    Raises
    ------
    ExportError
        If something else is in ``folder``, or it cannot be written.
    """
    target = Path(folder)
    require_geo(target)
    sides = sides_of(mesh)
    loops = surface_loops(mesh.points, sides)
    size = float(mesh.facts.get("size_um", 1e22))  # gmsh's own default
    head = HEAD.format(geo=GEO, surfaces=SURFACES, size=size)
    with replacing_folder(target) as temporary:
        _write_surfaces(mesh, sides, temporary / SURFACES)
        lines = "\n".join(_lines(loops, sides.grain_of))
        (temporary / GEO).write_text(f"{head}{lines}\n", "ascii")
    return target


def require_geo(folder: Path) -> None:
    """Raise an ExportError if replacing ``folder`` would lose what is not of `write`."""
    if not folder.exists():
        return
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if further := sorted(there - {GEO, SURFACES}):
        msg = f"{folder} holds {further[0]}, which is not of this package; move it away"
        raise ExportError(msg)


def sides_of(mesh: VolumeMesh) -> Sides:
    """Triangles between pieces of grains."""
    tags, grain_of = _pieces(mesh)
    rows, faces, _ = material_sides(mesh.grain_ids, mesh.neighbours)
    across = mesh.neighbours[rows, faces]
    behind, before = tags[rows], np.where(across < 0, 0, tags[across])
    _, surface = np.unique(np.stack([before, behind], axis=1), axis=0, return_inverse=True)
    order = np.argsort(surface.ravel(), kind="stable")
    triangles = mesh.tets[rows[:, None], FACES[faces]]
    return Sides(
        triangles[order], 1 + surface.ravel()[order], behind[order], before[order], grain_of
    )


def _pieces(mesh: VolumeMesh) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Volume of each tetrahedron (m,), and the grain of each volume.

    The largest piece of a grain has its id, further ones follow from N + 4.
    """
    _, piece = np.unique(connected_pieces(mesh.neighbours, mesh.grain_ids), return_inverse=True)
    grains = np.zeros(piece.max() + 1, np.int64)
    grains[piece] = mesh.grain_ids
    order = np.lexsort((-np.bincount(piece, mesh.volumes), grains))
    is_first = np.diff(grains[order], prepend=0) > 0
    further = mesh.n_grains + 3 + np.cumsum(~is_first)
    tags = np.empty(len(grains), np.int64)
    tags[order] = np.where(is_first, grains[order], further)
    return tags[piece], dict(zip(tags.tolist(), grains.tolist(), strict=True))


def surface_loops(points: NDArray[np.float64], sides: Sides) -> dict[int, list[list[int]]]:
    """Surfaces of the closed parts of each volume's boundary; the first holds the others.

    Parts are connected by vertices. A hole encloses a negative volume, its normals being those
    of the volume around it.
    """
    volume = np.concatenate([sides.behind, sides.before])
    surface = np.tile(sides.surface, 2)
    corners = points[sides.triangles]
    enclosed = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    enclosed = np.concatenate([enclosed, -enclosed])
    part = _connected(volume, np.tile(sides.triangles, (2, 1)))
    size = np.bincount(part, enclosed)
    found: dict[int, dict[int, set[int]]] = {}
    for of_part, rows in grouped(part):
        found.setdefault(int(volume[rows[0]]), {})[of_part] = set(surface[rows].tolist())
    found.pop(0, None)  # outside is no volume
    return {
        tag: [sorted(parts[p]) for p in sorted(parts, key=lambda p: -size[p])]
        for tag, parts in sorted(found.items())
    }


def _connected(volume: NDArray[np.int64], triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the part of each triangle (k,): those of a volume that share vertices."""
    keys = volume[:, None] * (triangles.max() + 1) + triangles
    _, node = np.unique(keys, return_inverse=True)
    node = node.reshape(-1, 3)
    ends = np.concatenate([node[:, :2], node[:, 1:]])
    n = node.max() + 1
    graph = coo_array((np.ones(len(ends), np.int8), tuple(ends.T)), shape=(n, n))
    part: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return part[node[:, 0]]


def _lines(loops: Mapping[int, list[list[int]]], grain_of: Mapping[int, int]) -> Iterator[str]:
    """Surface loops and volumes, then the physical groups."""
    n_before = 0
    for tag, parts in loops.items():
        numbers = range(n_before + 1, n_before + 1 + len(parts))
        n_before += len(parts)
        for number, surfaces in zip(numbers, parts, strict=True):
            yield f"Surface Loop({number}) = {{{_list(surfaces)}}};"
        yield f"Volume({tag}) = {{{_list(numbers)}}};"
    volumes: dict[int, list[int]] = {}
    for tag in loops:
        volumes.setdefault(grain_of[tag], []).append(tag)
    for grain, tags in sorted(volumes.items()):
        yield f'Physical Volume("grain_{grain:05d}", {grain}) = {{{_list(tags)}}};'


def _list(tags: Iterable[int]) -> str:
    return ", ".join(map(str, tags))


def _write_surfaces(mesh: VolumeMesh, sides: Sides, path: Path) -> None:
    used, local = np.unique(sides.triangles, return_inverse=True)
    triangles, n = local.reshape(-1, 3), mesh.n_grains
    blocks = [
        Block(2, tag, n + (2 if sides.before[rows[0]] else 1), 1 + rows, triangles[rows])
        for tag, rows in grouped(sides.surface)
    ]
    names = {(2, n + 1): "outer", (2, n + 2): "grain_boundary"}
    names = {key: name for key, name in names.items() if key[1] in {b.group for b in blocks}}
    write_blocks(path, mesh.points[used], blocks, names, comments_of(mesh))
