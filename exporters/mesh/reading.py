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
from .msh_file import PRISM, TETRAHEDRON, gmsh_model, read_facts
from .second_order import SecondOrderMesh
from .volume_mesh import VolumeMesh
from .vtkhdf_file import CELL_TYPES, KIND

N_NODES = {TETRAHEDRON: 4, PRISM: 6}


def read_msh(path: str | Path) -> VolumeMesh | SplitMesh:
    """Mesh of first order of a file that `msh_file.write` made, bonded or split.

    Raises
    ------
    ExportError
        If it cannot be read, or holds a mesh of second order.
    """
    points, tets, grain_ids, wedges, facts = _arrays(Path(path))
    if not len(tets):
        msg = f"{path} has no four-node tetrahedra, expected a mesh of first order"
        raise ExportError(msg)
    if "interfaces" not in facts:
        return VolumeMesh(points, tets, grain_ids, facts["n_grains"], facts)
    _, first, place = np.unique(points, axis=0, return_index=True, return_inverse=True)
    owner = np.zeros(len(points), np.int32)
    owner[tets] = grain_ids[:, None]
    pairs = owner[wedges[:, [0, 3]]]
    parent = first[place.ravel()]  # copies lie at the same place, the first has the lowest number
    return SplitMesh(points, tets, grain_ids, facts["n_grains"], wedges, pairs, parent, facts)


def _arrays(
    path: Path,
) -> tuple[
    NDArray[np.float64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], dict[str, Any]
]:
    """Points, tetrahedra, grain ids, wedges and facts."""
    facts = read_facts(path)
    with gmsh_model() as gmsh:
        try:
            gmsh.merge(str(path))
        except Exception as error:  # gmsh raises nothing more specific
            msg = f"{path} cannot be read by gmsh: {error}"
            raise ExportError(msg) from error
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        points = np.empty((len(tags), 3))
        points[tags.astype(np.int64) - 1] = coordinates.reshape(-1, 3)
        tets, owners = _elements(gmsh.model, TETRAHEDRON)
        wedges, _ = _elements(gmsh.model, PRISM)
    return points, tets, owners, wedges, facts


def _elements(model: Any, kind: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Nodes of all elements of a kind in the order of their numbers, and their volumes."""
    rows, nodes, owners = [], [], []
    for _, volume in model.getEntities(3):
        elements, corners = model.mesh.getElementsByType(kind, volume)
        rows.append(elements.astype(np.int64))
        nodes.append(corners.astype(np.int64).reshape(-1, N_NODES[kind]) - 1)
        owners.append(np.full(len(elements), volume, np.int32))
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(nodes)[order], np.concatenate(owners)[order]


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
