"""Meshes for VTK and ParaView: VTKHDF UnstructuredGrid, written with h5py alone.

Cells are the tetrahedra (of four or of ten nodes), then the wedges of a cohesive mesh,
both in the order of the mesh. Cell data, int32: ``grain_id``, 0 at wedges; ``grain_low``
and ``grain_high``, the grains that a wedge joins, 0 at tetrahedra. A split mesh has the
point data ``parent``, the node of the bonded mesh that each node is a copy of. Root
attributes: schema, schema_version, length_unit, n_grains; ``/provenance/facts_json`` says
how the mesh was made.

A wedge is written as in `cohesive`: the normal of its first triangle points to its second.
VTK takes it so now, and said the opposite up to 9.3 at least; without a volume it makes no
difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..files.vtkhdf import add_cells, add_points, dataset, existing_file, new_file
from .cohesive import SplitMesh
from .second_order import SecondOrderMesh
from .volume_mesh import AnyMesh, VolumeMesh

KIND = "cathodegrain/mesh"
VERSION = "1.0.0"
CELL_TYPES = {4: 10, 10: 24, 6: 13}  # VTK's, by the number of nodes
NO_WEDGES = np.empty((0, 6), np.int64)
NO_PAIRS = np.empty((0, 2), np.int32)


def write(mesh: AnyMesh, path: str | Path) -> Path:
    """Write a bonded, discontinuous or cohesive mesh; equal meshes give equal bytes."""
    wedges, pairs = NO_WEDGES, NO_PAIRS
    if isinstance(mesh, SplitMesh):
        wedges, pairs = mesh.wedges, mesh.wedge_pairs
    title = "Finite-element mesh of a virtual NMC811 particle"
    with new_file(
        path, "UnstructuredGrid", schema=KIND, schema_version=VERSION, title=title
    ) as file:
        file.attrs["n_grains"] = np.int64(mesh.n_grains)
        root = file["VTKHDF"]
        add_points(root, mesh.points)
        _add_elements(root, mesh.tets, wedges)
        _add_cell_data(root.create_group("CellData"), mesh.grain_ids, pairs)
        if isinstance(mesh, SplitMesh):
            meaning = "node of the bonded mesh"
            data = root.create_group("PointData")
            dataset(data, "parent", mesh.parent, long_name=meaning, units="1")
        text = json.dumps(dict(mesh.facts), sort_keys=True)
        file.create_group("provenance").create_dataset(
            "facts_json", data=text, dtype=h5py.string_dtype(), track_times=False
        )
    return Path(path)


def _add_elements(root: h5py.Group, tets: NDArray[np.int64], wedges: NDArray[np.int64]) -> None:
    sizes = np.repeat([tets.shape[1], 6], [len(tets), len(wedges)])
    kinds = np.array([CELL_TYPES[tets.shape[1]], CELL_TYPES[6]], np.uint8)
    add_cells(root, np.concatenate([tets.ravel(), wedges.ravel()]), sizes)
    dataset(root, "Types", np.repeat(kinds, [len(tets), len(wedges)]))


def _add_cell_data(
    group: h5py.Group, grain_ids: NDArray[np.int32], pairs: NDArray[np.int32]
) -> None:
    columns = {
        "grain_id": (np.pad(grain_ids, (0, len(pairs))), "grain id, 0 at wedges"),
        "grain_low": (np.pad(pairs[:, 0], (len(grain_ids), 0)), "lower grain id of a wedge"),
        "grain_high": (np.pad(pairs[:, 1], (len(grain_ids), 0)), "higher grain id of a wedge"),
    }
    for name, (values, meaning) in columns.items():
        dataset(group, name, values, long_name=meaning, units="1")


def read(path: str | Path) -> VolumeMesh | SecondOrderMesh | SplitMesh:
    """Mesh of a file that `write` made.

    Raises
    ------
    ExportError
        If the file cannot be read or is another kind of file.
    """
    with existing_file(path, KIND, "a mesh.vtkhdf") as file:
        root, data = file["VTKHDF"], file["VTKHDF/CellData"]
        facts: dict[str, Any] = json.loads(file["provenance/facts_json"][()])
        n_grains = int(file.attrs["n_grains"])
        points, sizes = root["Points"][()], np.diff(root["Offsets"][()])
        is_wedge = root["Types"][()] == CELL_TYPES[6]
        connectivity = root["Connectivity"][()]
        columns = [data[name][()] for name in ("grain_id", "grain_low", "grain_high")]
        parent = root["PointData/parent"][()] if "PointData" in root else None
    n_tets = int((~is_wedge).sum())
    tets = connectivity[: sizes[:n_tets].sum()].reshape(n_tets, -1)
    wedges = connectivity[tets.size :].reshape(-1, 6)
    grain_ids, pairs = columns[0][:n_tets], np.stack(columns[1:], axis=1)[n_tets:]
    if parent is not None:
        return SplitMesh(points, tets, grain_ids, n_grains, wedges, pairs, parent, facts)
    if tets.shape[1] == 4:
        return VolumeMesh(points, tets, grain_ids, n_grains, facts)
    vertices = points[: tets[:, :4].max() + 1]
    linear = VolumeMesh(vertices, tets[:, :4], grain_ids, n_grains, facts)
    return SecondOrderMesh(linear, points, tets, facts)
