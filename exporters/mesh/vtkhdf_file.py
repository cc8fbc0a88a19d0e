"""Meshes for VTK and ParaView: VTKHDF UnstructuredGrid, written with h5py alone.

Cells are the tetrahedra (of four or of ten nodes), then the wedges of a cohesive mesh, or the
hexahedra, in the order of the mesh. Cell data, int32: ``grain_id``, 0 at wedges; ``grain_low``
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

import h5py
import numpy as np
from numpy.typing import NDArray

from ..files.vtkhdf import add_cells, add_points, dataset, new_file
from .any_mesh import AnyMesh, parents_of, wedges_of

KIND = "cathodegrain/mesh"
VERSION = "1.0.0"
CELL_TYPES = {4: 10, 10: 24, 6: 13, 8: 12}  # VTK's, by the number of nodes


def write(mesh: AnyMesh, path: str | Path) -> Path:
    """Write a bonded, discontinuous or cohesive mesh; equal meshes give equal bytes."""
    (wedges, pairs), parents = wedges_of(mesh), parents_of(mesh)
    title = "Finite-element mesh of a virtual NMC811 particle"
    with new_file(
        path, "UnstructuredGrid", schema=KIND, schema_version=VERSION, title=title
    ) as file:
        file.attrs["n_grains"] = np.int64(mesh.n_grains)
        root = file["VTKHDF"]
        add_points(root, mesh.points)
        _add_elements(root, mesh.cells, wedges)
        _add_cell_data(root.create_group("CellData"), mesh.grain_ids, pairs)
        if parents is not None:
            meaning = "node of the bonded mesh"
            data = root.create_group("PointData")
            dataset(data, "parent", parents, long_name=meaning, units="1")
        text = json.dumps(dict(mesh.facts), sort_keys=True)
        file.create_group("provenance").create_dataset(
            "facts_json", data=text, dtype=h5py.string_dtype(), track_times=False
        )
    return Path(path)


def _add_elements(root: h5py.Group, cells: NDArray[np.int64], wedges: NDArray[np.int64]) -> None:
    sizes = np.repeat([cells.shape[1], 6], [len(cells), len(wedges)])
    kinds = np.array([CELL_TYPES[cells.shape[1]], CELL_TYPES[6]], np.uint8)
    add_cells(root, np.concatenate([cells.ravel(), wedges.ravel()]), sizes)
    dataset(root, "Types", np.repeat(kinds, [len(cells), len(wedges)]))


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
