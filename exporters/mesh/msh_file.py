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

HEAD = b"$MeshFormat\n4.1 1 8\n" + struct.pack("<i", 1) + b"\n$EndMeshFormat\n"
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
    """

    dimension: int
    tag: int
    group: int
    numbers: NDArray[np.int64]
    nodes: NDArray[np.int64]


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
    surfaces, bounds = _surfaces(mesh)
    n_triangles = sum(len(block.nodes) for block in surfaces)
    volumes = list(_volumes(mesh, n_triangles))
    comments = ["coordinates in um", json.dumps(dict(mesh.facts), sort_keys=True)]
    return write_blocks(
        path, mesh.points, [*surfaces, *volumes], group_names(mesh), bounds, comments
    )


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


def _surfaces(mesh: AnyMesh) -> tuple[list[Block], dict[int, list[int]]]:
    """Blocks of triangles, and the surfaces of each grain, negative where normals point in."""
    triangles, pairs = mesh.facets
    found, index = np.unique(pairs, axis=0, return_inverse=True)
    tags, kinds = 1 + index.ravel(), found
    if len(found) > MAX_PAIR_ENTITIES:
        tags, kinds = 1 + (pairs[:, 0] > 0).astype(np.int64), np.empty((0, 2), np.int32)
    blocks = [
        Block(2, tag, mesh.n_grains + (1 if pairs[rows[0], 0] == 0 else 2), 1 + rows,
              triangles[rows])
        for tag, rows in grouped(tags)
    ]  # fmt: skip
    bounds: dict[int, list[int]] = {}
    for tag, (low, high) in enumerate(kinds.tolist(), start=1):
        bounds.setdefault(high, []).append(tag)
        bounds.setdefault(low, []).append(-tag)
    bounds.pop(0, None)  # outside is no volume
    return blocks, bounds


def _volumes(mesh: AnyMesh, n_before: int) -> Iterator[Block]:
    """Blocks of tetrahedra and wedges, numbered after the triangles."""
    tets, (wedges, _) = tets_of_gmsh(mesh.tets), wedges_of(mesh)
    for grain, rows in grouped(mesh.grain_ids):
        yield Block(3, grain, grain, 1 + n_before + rows, tets[rows])
    if len(wedges):
        tag, first = mesh.n_grains + 3, 1 + n_before + len(tets)
        yield Block(3, tag, tag, first + np.arange(len(wedges)), wedges)


def write_blocks(
    path: str | Path,
    points: NDArray[np.float64],
    blocks: Sequence[Block],
    names: Mapping[tuple[int, int], str],
    bounds: Mapping[int, list[int]],
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
    bounds
        Surfaces that bound a volume, by its tag.
    comments
        Lines of the section ``$Comments``.

    Raises
    ------
    ExportError
        If a node belongs to no element, or the file cannot be written.
    """
    owner = _owners(points, blocks)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(HEAD)
        _write_text(file, "PhysicalNames", [str(len(names)), *_name_lines(names)])
        _write_entities(file, _entities(points, blocks))
        _write_nodes(file, points, blocks, owner)
        _write_elements(file, blocks)
        if bounds:
            _write_entities(file, _bounding(points, blocks, bounds))
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


def _entities(points: NDArray[np.float64], blocks: Sequence[Block]) -> Iterator[tuple[int, bytes]]:
    """Dimension and record of each entity: its box and group."""
    for block in blocks:
        yield block.dimension, _record(points, block, (block.group,), ())


def _bounding(
    points: NDArray[np.float64], blocks: Sequence[Block], bounds: Mapping[int, list[int]]
) -> Iterator[tuple[int, bytes]]:
    """Dimension and record of each volume that surfaces bound: its box and these."""
    for block in blocks:
        if block.dimension == 3 and block.tag in bounds:
            yield 3, _record(points, block, (), bounds[block.tag])


def _record(
    points: NDArray[np.float64], block: Block, groups: Sequence[int], bounds: Sequence[int]
) -> bytes:
    corners = points[block.nodes.ravel()]
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    head = struct.pack("<i6d", block.tag, *box)
    lists = [struct.pack(f"<Q{len(tags)}i", len(tags), *tags) for tags in (groups, bounds)]
    return b"".join([head, *lists])


def _write_entities(file: IO[bytes], records: Iterable[tuple[int, bytes]]) -> None:
    found = list(records)
    counts = np.bincount([dimension for dimension, _ in found], minlength=4)
    file.write(b"$Entities\n" + counts.astype("<u8").tobytes())
    file.writelines(record for _, record in found)
    file.write(b"\n$EndEntities\n")


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
    for dimension, tag, _, numbers, nodes in blocks:
        kind = ELEMENTS[dimension, nodes.shape[1]]
        file.write(struct.pack("<3iQ", dimension, tag, kind, len(nodes)))
        file.write(np.column_stack([numbers, 1 + nodes]).astype("<u8").tobytes())
    file.write(b"\n$EndElements\n")
