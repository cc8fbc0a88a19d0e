"""Meshes of the files that `msh_file` and `vtkhdf_file` write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ..files.vtkhdf import existing_file
from .cohesive import SplitMesh
from .msh_file import ELEMENTS
from .msh_sections import MshContent, read_content
from .second_order import SecondOrderMesh
from .volume_mesh import VolumeMesh
from .vtkhdf_file import CELL_TYPES, KIND

TETRAHEDRON, PRISM = ELEMENTS[3, 4], ELEMENTS[3, 6]


def read_msh(path: str | Path) -> VolumeMesh | SplitMesh:
    """Mesh of first order of a file that `msh_file.write` made, bonded or split.

    Raises
    ------
    ExportError
        If it cannot be read, is damaged, or holds a mesh of second order.
    """
    content = read_content(path)
    n_grains = content.facts["n_grains"]
    if TETRAHEDRON not in content.elements:
        msg = f"{path} has no four-node tetrahedra, expected a mesh of first order"
        raise ExportError(msg)
    tets = content.elements[TETRAHEDRON].nodes
    grain_ids = content.elements[TETRAHEDRON].groups.astype(np.int32)
    if not 1 <= grain_ids.min() <= grain_ids.max() <= n_grains:
        low, high = grain_ids.min(), grain_ids.max()
        msg = f"{path} has tetrahedra of the groups {low} to {high}, expected 1 to {n_grains}"
        raise ExportError(msg)
    if "interfaces" not in content.facts:
        return VolumeMesh(content.points, tets, grain_ids, n_grains, content.facts)
    return _split_mesh(content, tets, grain_ids)


def _split_mesh(
    content: MshContent, tets: NDArray[np.int64], grain_ids: NDArray[np.int32]
) -> SplitMesh:
    points, facts, n_grains = content.points, content.facts, content.facts["n_grains"]
    wedges = content.elements[PRISM].nodes if PRISM in content.elements else np.empty((0, 6), int)
    _, first, place = np.unique(points, axis=0, return_index=True, return_inverse=True)
    owner = np.zeros(len(points), np.int32)
    owner[tets] = grain_ids[:, None]
    pairs = owner[wedges[:, [0, 3]]]
    parent = first[place.ravel()]  # copies lie at the same place, the first has the lowest number
    return SplitMesh(points, tets, grain_ids, n_grains, wedges, pairs, parent, facts)


def read_vtkhdf(path: str | Path) -> VolumeMesh | SecondOrderMesh | SplitMesh:
    """Mesh of a file that `vtkhdf_file.write` made.

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
