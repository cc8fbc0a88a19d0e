"""gmsh's MSH 4.1 in binary, written without gmsh; `msh_sections` reads it.

Every element is in exactly one physical group: the tetrahedra of grain g in the group
``grain_0000g`` of dimension 3 and tag g; the triangles in ``outer``, tag N + 1, or
``grain_boundary``, tag N + 2, of dimension 2, N the number of grains of the particle. A split
mesh has no group ``grain_boundary`` but, unless its wedges were left out, the group
``cohesive`` of dimension 3 and tag N + 3: its wedges as prisms of no volume, the lower grain
id first. The grains of a prism are those of the tetrahedra at its nodes.

Under these groups the volume entities are the grains, and each pair of materials has a
surface entity of its own, unless there are more than `MAX_PAIR_ENTITIES` pairs: then there
are two. Triangles are facets of tetrahedra; their normals point out of the grain with the
higher id. Coordinates are um. A section ``$Comments`` says so, and how the mesh was made, in
JSON.

Which surfaces bound a volume stands in a second section ``$Entities``, after the elements:
gmsh adds it to the first, while meshio up to 5.3 takes the lists of the first for sets of
elements, and cannot convert the file; PETSc reads no further than the elements.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ..files.atomic import replacing
from .any_mesh import AnyMesh, wedges_of
from .tetrahedra import grouped

HEADER = b"$MeshFormat\n4.1 1 8\n" + struct.pack("<i", 1) + b"\n$EndMeshFormat\n"
ELEMENTS = {(2, 3): 2, (2, 6): 9, (3, 4): 4, (3, 6): 6, (3, 10): 11}  # by dimension and nodes
LAST_TWO_SWAPPED = [*range(8), 9, 8]  # gmsh numbers the middles of 23 and 13 the other way round
COMMENTS = "Comments"  # a section that every reader of MSH files passes over
MAX_PAIR_ENTITIES = 1000  # meshio's time and memory grow like groups times entities


class Block(NamedTuple):
    """The elements of an entity.

    Parameters
    ----------
    dimension, tag
        Of the entity.
    group
        Tag of its physical group.
    numbers : (k,) int
        Of the elements, from 1.
    nodes : (k, n) int
        Rows of points, in the order of gmsh.
    bounds
        Tags of the surfaces that bound a volume, negative where their normals point inwards.
    """

    dimension: int
    tag: int
    group: int
    numbers: NDArray[np.int64]
    nodes: NDArray[np.int64]
    bounds: tuple[int, ...] = ()


def write(mesh: AnyMesh, path: str | Path) -> Path:
    """Write ``mesh`` as binary MSH 4.1; equal meshes give equal bytes.

    Raises
    ------
    ExportError
        If there is no tetrahedron, a node belongs to none, or the file cannot be written.
    """
    if not len(mesh.tets):
        msg = "the mesh has no tetrahedron; make it with a smaller size_um"
        raise ExportError(msg)
    tags, pairs = _surface_tags(mesh.facets[1])
    blocks = [*_surfaces(mesh, tags), *_volumes(mesh, _bounds(pairs))]
    return write_blocks(path, mesh.points, blocks, group_names(mesh), comments_of(mesh))


def comments_of(mesh: AnyMesh) -> list[str]:
    """Lines that say the unit, and in JSON how the mesh was made."""
    return ["coordinates in um", json.dumps(dict(mesh.facts), sort_keys=True)]


def group_names(mesh: AnyMesh) -> dict[tuple[int, int], str]:
    """Name of each physical group that has an element, by dimension and tag, ascending."""
    n, low = mesh.n_grains, mesh.facets[1][:, 0]
    names = {(2, n + 1): "outer"} if (low == 0).any() else {}
    names |= {(2, n + 2): "grain_boundary"} if (low > 0).any() else {}
    names |= {(3, g): f"grain_{g:05d}" for g in np.unique(mesh.grain_ids).tolist()}
    return names | ({(3, n + 3): "cohesive"} if len(wedges_of(mesh)[0]) else {})


def tets_of_gmsh(tets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nodes of tetrahedra in the order of gmsh, from ours."""
    return tets if tets.shape[1] == 4 else tets[:, LAST_TWO_SWAPPED]


def _surface_tags(pairs: NDArray[np.int32]) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Surface entity of each triangle, from 1, and the pair of each entity if it has one."""
    found, index = np.unique(pairs, axis=0, return_inverse=True)
    if len(found) <= MAX_PAIR_ENTITIES:
        return 1 + index.ravel(), found.tolist()
    return 1 + (pairs[:, 0] > 0).astype(np.int64), []


def _bounds(pairs: list[list[int]]) -> dict[int, list[int]]:
    """Surfaces that bound each grain, those with the normals inwards negative."""
    bounds: dict[int, list[int]] = {}
    for tag, (low, high) in enumerate(pairs, start=1):
        bounds.setdefault(high, []).append(tag)
        bounds.setdefault(low, []).append(-tag)
    return bounds


def _surfaces(mesh: AnyMesh, tags: NDArray[np.int64]) -> Iterator[Block]:
    triangles, pairs = mesh.facets
    for tag, rows in grouped(tags):
        group = mesh.n_grains + (1 if pairs[rows[0], 0] == 0 else 2)
        yield Block(2, tag, group, 1 + rows, triangles[rows])


def _volumes(mesh: AnyMesh, bounds: Mapping[int, list[int]]) -> Iterator[Block]:
    """Blocks of tetrahedra and wedges, numbered after the triangles."""
    tets, (wedges, _), first = tets_of_gmsh(mesh.tets), wedges_of(mesh), 1 + len(mesh.facets[0])
    for grain, rows in grouped(mesh.grain_ids):
        yield Block(3, grain, grain, first + rows, tets[rows], tuple(bounds.get(grain, ())))
    if len(wedges):
        tag = mesh.n_grains + 3
        yield Block(3, tag, tag, first + len(tets) + np.arange(len(wedges)), wedges)


def write_blocks(
    path: str | Path,
    points: NDArray[np.float64],
    blocks: Sequence[Block],
    names: Mapping[tuple[int, int], str],
    comments: Iterable[str],
) -> Path:
    """Write entities with their elements; every node goes to the first that has it.

    Parameters
    ----------
    points : (n, 3) float
    blocks
        In ascending order of dimensions and tags.
    names
        Of the physical groups, by dimension and tag.
    comments
        Lines of the section ``$Comments``.

    Raises
    ------
    ExportError
        If a node belongs to no element, or the file cannot be written.
    """
    owner = _owners(points, blocks)
    boxes = list(_boxes(points, blocks))
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(HEADER)
        _write_text(file, "PhysicalNames", [str(len(names)), *_name_lines(names)])
        _write_entities(file, blocks, boxes, bounding=False)
        _write_nodes(file, points, blocks, owner)
        _write_elements(file, blocks)
        _write_entities(file, blocks, boxes, bounding=True)
        _write_text(file, COMMENTS, comments)
    return Path(path)


def _owners(points: NDArray[np.float64], blocks: Sequence[Block]) -> NDArray[np.int64]:
    """Row of the first block that has each node, (n,)."""
    owner = np.full(len(points), -1)
    for row in reversed(range(len(blocks))):
        owner[blocks[row].nodes] = row
    if n_free := int((owner < 0).sum()):
        msg = f"{n_free} nodes belong to no element, expected 0; leave them out of the mesh"
        raise ExportError(msg)
    return owner


def _name_lines(names: Mapping[tuple[int, int], str]) -> Iterator[str]:
    return (f'{dimension} {tag} "{name}"' for (dimension, tag), name in names.items())


def _write_text(file: IO[bytes], section: str, lines: Iterable[str]) -> None:
    text = "\n".join(lines)
    file.write(f"${section}\n{text}\n$End{section}\n".encode())


def _boxes(points: NDArray[np.float64], blocks: Sequence[Block]) -> Iterator[list[float]]:
    """Lowest x, y, z and highest x, y, z of the nodes of each block."""
    axes = np.ascontiguousarray(points.T)
    for block in blocks:
        own = [x[block.nodes] for x in axes]
        yield [float(x.min()) for x in own] + [float(x.max()) for x in own]


def _write_entities(
    file: IO[bytes], blocks: Sequence[Block], boxes: Sequence[list[float]], *, bounding: bool
) -> None:
    """Write all entities with their groups, or those that are bounded with what bounds them."""
    rows = [row for row, block in enumerate(blocks) if block.bounds or not bounding]
    if not rows:
        return
    counts = np.bincount([blocks[row].dimension for row in rows], minlength=4)
    file.write(b"$Entities\n" + counts.astype("<u8").tobytes())
    for row in rows:
        block = blocks[row]
        groups, bounds = ((), block.bounds) if bounding else ((block.group,), ())
        file.write(struct.pack("<i6d", block.tag, *boxes[row]))
        file.write(_packed(groups) + _packed(bounds))
    file.write(b"\n$EndEntities\n")


def _packed(tags: Sequence[int]) -> bytes:
    return struct.pack(f"<Q{len(tags)}i", len(tags), *tags)


def _write_nodes(
    file: IO[bytes],
    points: NDArray[np.float64],
    blocks: Sequence[Block],
    owner: NDArray[np.int64],
) -> None:
    found = grouped(owner)
    n = len(points)
    file.write(b"$Nodes\n" + struct.pack("<4Q", len(found), n, 1, n))
    for row, nodes in found:
        block = blocks[row]
        file.write(struct.pack("<3iQ", block.dimension, block.tag, 0, len(nodes)))
        file.write((1 + nodes).astype("<u8").tobytes())
        file.write(points[nodes].astype("<f8", copy=False).tobytes())
    file.write(b"\n$EndNodes\n")


def _write_elements(file: IO[bytes], blocks: Sequence[Block]) -> None:
    n = sum(len(block.nodes) for block in blocks)
    file.write(b"$Elements\n" + struct.pack("<4Q", len(blocks), n, 1, n))
    for block in blocks:
        kind = ELEMENTS[block.dimension, block.nodes.shape[1]]
        file.write(struct.pack("<3iQ", block.dimension, block.tag, kind, len(block.nodes)))
        file.write(np.column_stack([block.numbers, 1 + block.nodes]).astype("<u8").tobytes())
    file.write(b"\n$EndElements\n")
