"""Where patches of a complex of grain surfaces meet: triple lines and corner points.

A triple line is a polyline along which the same three or more materials meet, grains or
the outside (0). It ends in corner points, where further materials or other lines come in,
or it is closed.

The file of them is VTKHDF PolyData beside the surfaces: a vertex cell for each corner, then
a line cell for each triple line. Cell data: ``n_materials``, ``materials`` (int32, one
column for each, ascending, -1 where there are fewer) and ``length_um`` (0 for a corner).
Point data ``surface_point``: row of the point in the points of the surfaces.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.polydata import write_polydata
from ..files.vtkhdf import existing_file

if TYPE_CHECKING:
    from .grain_surfaces import GrainSurfaces

KIND = "cathodegrain/triple_lines"
VERSION = "1.0.0"
NONE = -1  # fills the rows of tables of materials
MIN_MATERIALS = 3

Materials = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TripleLines:
    """Lines and corners of a complex of surfaces. Made by `triple_lines`.

    Parameters
    ----------
    points : (n, 3) float
        um; those of the surfaces.
    lines
        Points along each line, (p,) int, in order; the first again at the end if closed.
        Sorted by material.
    line_materials
        Ascending ids of the materials that meet along each line, 0 for the outside.
    corners : (c,) int
        Points in which lines end, ascending.
    corner_materials
        Ascending ids of all materials at each corner.
    """

    points: NDArray[np.float64]
    lines: tuple[NDArray[np.int64], ...]
    line_materials: tuple[Materials, ...]
    corners: NDArray[np.int64]
    corner_materials: tuple[Materials, ...]

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Length of each line, um."""
        steps = [np.diff(self.points[line], axis=0) for line in self.lines]
        return np.array([np.linalg.norm(step, axis=1).sum() for step in steps])


def triple_lines(surfaces: GrainSurfaces) -> TripleLines:
    """Lines and corners at which three or more materials meet."""
    edges, materials = _triple_edges(surfaces)
    corners, corner_materials = _corners(surfaces, edges, materials)
    lines = _chains(edges, materials, corners.tolist())
    lines.sort(key=lambda line: (line[0], line[1]))
    return TripleLines(
        surfaces.points,
        tuple(np.array(nodes, np.int64) for _, nodes in lines),
        tuple(found for found, _ in lines),
        corners,
        corner_materials,
    )


def _triple_edges(surfaces: GrainSurfaces) -> tuple[NDArray[np.int64], list[Materials]]:
    """Edges (e, 2), lower point first, of three or more materials, and these."""
    ends = surfaces.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    key = ends.min(axis=1) * len(surfaces.points) + ends.max(axis=1)
    keys, materials = _materials_by_key(key, np.repeat(surfaces.pairs, 3, axis=0))
    edges = np.stack(np.divmod(keys, max(len(surfaces.points), 1)), axis=1)
    return edges, materials


def _materials_by_key(
    keys: NDArray[np.int64], pairs: NDArray[np.int32], at_least: int = MIN_MATERIALS
) -> tuple[NDArray[np.int64], list[Materials]]:
    """Keys, ascending, with ``at_least`` different materials among their pairs, and these."""
    n = int(pairs.max(initial=0)) + 1
    found = np.unique(np.concatenate([keys * n + pairs[:, 0], keys * n + pairs[:, 1]]))
    key, material = np.divmod(found, n)
    begin = np.flatnonzero(np.diff(key, prepend=-1))
    count = np.diff(begin, append=len(key))
    rows = np.flatnonzero(count >= at_least)
    parts = [tuple(material[begin[r] : begin[r] + count[r]].tolist()) for r in rows]
    return key[begin[rows]], parts


def _corners(
    surfaces: GrainSurfaces, edges: NDArray[np.int64], materials: list[Materials]
) -> tuple[NDArray[np.int64], tuple[Materials, ...]]:
    """Points of lines at which a line does not simply go on, and all materials there."""
    nodes, around = _materials_by_key(
        surfaces.triangles.ravel(), np.repeat(surfaces.pairs, 3, axis=0)
    )
    at_node = dict(zip(nodes.tolist(), around, strict=True))
    ending = defaultdict(list)
    for (a, b), found in zip(edges.tolist(), materials, strict=True):
        ending[a].append(found)
        ending[b].append(found)
    corners = sorted(
        node for node, found in ending.items() if found != [at_node[node], at_node[node]]
    )
    return np.array(corners, np.int64), tuple(at_node[node] for node in corners)


def _chains(
    edges: NDArray[np.int64], materials: list[Materials], corners: list[int]
) -> list[tuple[Materials, list[int]]]:
    """Materials and points of each line: from corner to corner, then the closed ones."""
    next_to = defaultdict(list)
    for (a, b), found in zip(edges.tolist(), materials, strict=True):
        next_to[a].append((b, found))
        next_to[b].append((a, found))
    ends, done, chains = set(corners), set(), []
    for start in [*corners, *sorted(next_to)]:
        for node, found in sorted(next_to[start]):
            if (start, node) in done:
                continue
            chain = [start, node]
            while chain[-1] != start and chain[-1] not in ends:
                (one, _), (other, _) = next_to[chain[-1]]
                chain.append(other if one == chain[-2] else one)
            done.update([*pairwise(chain), *pairwise(chain[::-1])])
            chains.append((found, chain))
    return chains


def write(lines: TripleLines, path: str | Path) -> Path:
    """Write corners and lines."""
    nodes = np.concatenate([lines.corners, *lines.lines])
    used, local = np.unique(nodes, return_inverse=True)
    sizes = np.array([len(line) for line in lines.lines], np.int64)
    materials = [*lines.corner_materials, *lines.line_materials]
    n_corners = len(lines.corners)
    return write_polydata(
        path,
        lines.points[used],
        {
            "Vertices": (local[:n_corners], np.ones(n_corners, np.int64)),
            "Lines": (local[n_corners:], sizes),
        },
        {
            "n_materials": (np.array([len(m) for m in materials], np.int32), "1"),
            "materials": (_table(materials), "1"),
            "length_um": (np.concatenate([np.zeros(n_corners), lines.lengths]), "um"),
        },
        point_data={"surface_point": (used, "1")},
        schema=KIND,
        schema_version=VERSION,
        title="Triple lines and corner points of a virtual NMC811 particle",
    )


def _table(materials: list[Materials]) -> NDArray[np.int32]:
    """One row for each set of materials, filled up with -1."""
    table = np.full((len(materials), max(map(len, materials), default=1)), NONE, np.int32)
    for row, found in zip(table, materials, strict=True):
        row[: len(found)] = found
    return table


def read(path: str | Path, surfaces: GrainSurfaces) -> TripleLines:
    """Lines and corners of a file that `write` made for these surfaces."""
    with existing_file(path, KIND, "a triple_lines.vtkhdf") as file:
        root = file["VTKHDF"]
        numbers = root["PointData/surface_point"][()]
        corners = numbers[root["Vertices/Connectivity"][()]]
        nodes = numbers[root["Lines/Connectivity"][()]]
        lines = np.split(nodes, root["Lines/Offsets"][()][:-1])[1:]
        table = root["CellData/materials"][()].tolist()
    materials = [tuple(m for m in row if m != NONE) for row in table]
    n = len(corners)
    return TripleLines(
        surfaces.points, tuple(lines), tuple(materials[n:]), corners, tuple(materials[:n])
    )
