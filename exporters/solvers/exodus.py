"""Exodus II, for MOOSE: written and read with SciPy's netCDF-3.

A block for each grain, named ``grain_00001`` and so on, its id the grain id; side sets
``outer`` (1) and ``grain_boundary`` (2), the latter as sides of the grain with the higher
id, each facet once; node sets of the same names and ids, and ``support_1`` to
``support_3`` (3 to 5), the vertices that stop rigid motion. ``elem_num_map`` is the row of
the element in the mesh, from one. The layout follows the Exodus II manual (SAND92-2137)
with 8-byte floating-point numbers in netCDF's 64-bit-offset format. There is no time
stamp: equal meshes are equal files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from ...generator.errors import ExportError
from .solver_input import SolverInput

VERSION = np.float32(8.03)
NAME_LENGTH = 32
# sides, from 1, of the faces opposite to each vertex of a tetrahedron, of the faces of a hexahedron
OPPOSITE = np.array([2, 3, 1, 4])
SIDES = {4: OPPOSITE, 10: OPPOSITE, 8: np.array([5, 6, 1, 2, 3, 4])}
KINDS = {4: "TETRA4", 10: "TETRA10", 8: "HEX8"}


class ExodusMesh(NamedTuple):
    """What `read_exodus` finds in a file; rows and nodes count from zero."""

    points: NDArray[np.float64]  # (n, 3)
    cells: NDArray[np.int64]  # (m, 4), (m, 10) or (m, 8), in the order of elem_num_map
    grain_ids: NDArray[np.int32]  # (m,), ids of the blocks
    blocks: dict[int, str]  # id -> name
    side_sets: dict[str, NDArray[np.int64]]  # name -> (k, 2): row, side from 1
    node_sets: dict[str, NDArray[np.int64]]  # name -> (k,)
    title: str


def write_exodus(content: SolverInput, path: Path) -> None:
    """Write the mesh with its blocks, side sets and node sets."""
    by_grain = content.rows_by_grain()
    order = np.concatenate([rows for _, rows in by_grain])
    number = np.empty(len(order), np.int64)  # of each element in the file, from zero
    number[order] = np.arange(len(order))
    side_sets = {
        "outer": content.outer_sides,
        "grain_boundary": content.boundary_sides,
        **content.symmetry_sides,
    }
    node_sets = {
        "outer": np.unique(content.outer),
        "grain_boundary": content.boundary_nodes,
        **{f"support_{k}": np.array([n]) for k, (n, _) in enumerate(content.supports, 1)},
        **{name: np.unique(facets) for _, name, facets in content.surfaces()[2:]},
    }
    with netcdf_file(path, "w", version=2) as file:
        _write_head(file, content, by_grain)
        _write_nodes(file, content.points)
        _write_blocks(file, content.cells, by_grain)
        _variable(file, "elem_num_map", 1 + order, "num_elem")
        numbered = {name: _numbered(content, sides, number) for name, sides in side_sets.items()}
        _write_side_sets(file, {name: rows for name, rows in numbered.items() if len(rows)})
        _write_node_sets(file, {k: v for k, v in node_sets.items() if len(v)})


def _write_head(file: Any, content: SolverInput, by_grain: list[Any]) -> None:
    file.api_version = VERSION
    file.version = VERSION
    file.floating_point_word_size = np.int32(8)
    file.file_size = np.int32(1)
    file.title = "; ".join(content.heading())[:80]
    file.createDimension("time_step", None)  # readers want the record dimension first
    sizes = {
        "len_name": NAME_LENGTH + 1,
        "len_string": NAME_LENGTH + 1,
        "len_line": 81,
        "four": 4,
        "num_dim": 3,
        "num_nodes": len(content.points),
        "num_elem": len(content.cells),
        "num_el_blk": len(by_grain),
        "num_qa_rec": 1,
        "num_info": len(content.heading()),
    }
    for name, size in sizes.items():
        file.createDimension(name, size)
    file.createVariable("time_whole", "d", ("time_step",))
    record = _characters(["cathodegrain", "", "", ""], NAME_LENGTH + 1)
    _variable(file, "qa_records", record[None], "num_qa_rec", "four", "len_string")
    lines = _characters(content.heading(), 81)
    _variable(file, "info_records", lines, "num_info", "len_line")


def _write_nodes(file: Any, points: NDArray[np.float64]) -> None:
    for name, column in zip("xyz", points.T, strict=True):
        _variable(file, f"coord{name}", column, "num_nodes")
    _variable(file, "coor_names", _characters(list("xyz")), "num_dim", "len_name")


def _write_blocks(
    file: Any, cells: NDArray[np.int64], by_grain: list[tuple[int, NDArray[np.int64]]]
) -> None:
    grains = [grain for grain, _ in by_grain]
    names = [f"grain_{grain:05d}" for grain in grains]
    _write_ids(file, "eb", "num_el_blk", np.array(grains), names)
    for k, (_, rows) in enumerate(by_grain, start=1):
        count, nodes = f"num_el_in_blk{k}", f"num_nod_per_el{k}"
        file.createDimension(count, len(rows))
        file.createDimension(nodes, cells.shape[1])
        connect = _variable(file, f"connect{k}", 1 + cells[rows], count, nodes)
        connect.elem_type = KINDS[cells.shape[1]]


def _numbered(
    content: SolverInput, sides: NDArray[np.int64], number: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Sides as Exodus counts them: element and side from 1."""
    kinds = SIDES[content.cells.shape[1]]
    return np.stack([1 + number[sides[:, 0]], kinds[sides[:, 1]]], axis=1)


def _write_side_sets(file: Any, sets: dict[str, NDArray[np.int64]]) -> None:
    file.createDimension("num_side_sets", len(sets))
    _write_ids(file, "ss", "num_side_sets", 1 + np.arange(len(sets)), list(sets))
    for k, sides in enumerate(sets.values(), start=1):
        file.createDimension(f"num_side_ss{k}", len(sides))
        _variable(file, f"elem_ss{k}", sides[:, 0], f"num_side_ss{k}")
        _variable(file, f"side_ss{k}", sides[:, 1], f"num_side_ss{k}")


def _write_node_sets(file: Any, sets: dict[str, NDArray[np.int64]]) -> None:
    file.createDimension("num_node_sets", len(sets))
    _write_ids(file, "ns", "num_node_sets", 1 + np.arange(len(sets)), list(sets))
    for k, nodes in enumerate(sets.values(), start=1):
        file.createDimension(f"num_nod_ns{k}", len(nodes))
        _variable(file, f"node_ns{k}", 1 + nodes, f"num_nod_ns{k}")


def _write_ids(
    file: Any, prefix: str, dimension: str, ids: NDArray[np.int64], names: list[str]
) -> None:
    _variable(file, f"{prefix}_status", np.ones(len(ids), np.int64), dimension)
    _variable(file, f"{prefix}_prop1", ids, dimension).name = "ID"
    _variable(file, f"{prefix}_names", _characters(names), dimension, "len_name")


def _variable(file: Any, name: str, data: NDArray[Any], *dimensions: str) -> Any:
    kind = {"f": "d", "S": "c"}.get(data.dtype.kind, "i")
    variable = file.createVariable(name, kind, dimensions)
    variable[:] = data
    return variable


def _characters(lines: list[str], length: int = NAME_LENGTH + 1) -> NDArray[np.bytes_]:
    """Lines of text as a matrix of characters, padded with zeros, (len(lines), length)."""
    padded = np.array([line.encode("ascii")[: length - 1] for line in lines], f"S{length}")
    return padded.view("S1").reshape(len(lines), length)


def read_exodus(path: str | Path) -> ExodusMesh:
    """Mesh, blocks and sets of a file that `write_exodus` made.

    Raises
    ------
    ExportError
        If it is not such a file.
    """
    try:
        with netcdf_file(path, "r", mmap=False) as file:
            return _read(file)
    except (OSError, TypeError, KeyError, ValueError) as error:
        msg = f"{path} cannot be read ({error!r}); expected an Exodus file of this package"
        raise ExportError(msg) from error


def _read(file: Any) -> ExodusMesh:
    points = np.stack([_values(file, f"coord{c}") for c in "xyz"], axis=1)
    ids = _values(file, "eb_prop1").tolist()
    parts = [_values(file, f"connect{k}") - 1 for k in range(1, len(ids) + 1)]
    row = _values(file, "elem_num_map").astype(np.int64) - 1
    cells = np.empty((len(row), parts[0].shape[1]), np.int64)
    cells[row] = np.concatenate(parts)
    grain_ids = np.empty(len(row), np.int32)
    grain_ids[row] = np.repeat(ids, [len(part) for part in parts])
    sides = {
        name: np.stack([row[_values(file, f"elem_ss{k}") - 1], _values(file, f"side_ss{k}")], 1)
        for k, name in enumerate(_names(file, "ss_names"), start=1)
    }
    nodes = {
        name: _values(file, f"node_ns{k}").astype(np.int64) - 1
        for k, name in enumerate(_names(file, "ns_names"), start=1)
    }
    blocks = dict(zip(ids, _names(file, "eb_names"), strict=True))
    return ExodusMesh(points, cells, grain_ids, blocks, sides, nodes, file.title.decode("ascii"))


def _values(file: Any, name: str) -> NDArray[Any]:
    """Copy of a variable in the byte order of this machine."""
    data = file.variables[name][:]
    return data.astype(data.dtype.newbyteorder("="))


def _names(file: Any, name: str) -> list[str]:
    lines = np.ascontiguousarray(file.variables[name][:])
    return [line.tobytes().rstrip(b"\0").decode("ascii") for line in lines]
