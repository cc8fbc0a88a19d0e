"""XDMF for FEniCSx: one pair of XDMF and HDF5 files for cells, one for facets.

``mesh.xdmf`` has the tetrahedra or hexahedra with the grain id of each; ``facets.xdmf`` the
triangles or quadrilaterals with N + 1 on the outer surface, N + 2 between grains and N + 4 to
N + 6 on symmetric faces, N being the number of grains of the particle. Both grids are called
``mesh``, the name that dolfinx looks for; it also expects the arrays of ``facets.xdmf`` in
``facets.h5``. The points are in ``mesh.h5`` alone. The arrays are not compressed: the HDF5 of
dolfinx's wheels has no deflate filter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import h5py
import numpy as np
from numpy.typing import NDArray

from .solver_input import SolverInput

CELLS = {4: "Tetrahedron", 10: "Tetrahedron_10", 8: "Hexahedron"}  # by the number of nodes
FACETS = {3: "Triangle", 6: "Triangle_6", 4: "Quadrilateral"}
TEMPLATE = """<?xml version="1.0"?>
<!-- {comment} -->
<Xdmf Version="3.0">
  <Domain>
    <Grid Name="mesh" GridType="Uniform">
      <Topology TopologyType="{kind}" NumberOfElements="{m}" NodesPerElement="{k}">
        <DataItem Dimensions="{m} {k}" NumberType="Int" Precision="8" Format="HDF">{file}.h5:/{name}</DataItem>
      </Topology>
      <Geometry GeometryType="XYZ">
        <DataItem Dimensions="{n} 3" NumberType="Float" Precision="8" Format="HDF">mesh.h5:/points</DataItem>
      </Geometry>
      <Attribute Name="{tag}" AttributeType="Scalar" Center="Cell">
        <DataItem Dimensions="{m} 1" NumberType="Int" Precision="4" Format="HDF">{file}.h5:/{tag}</DataItem>
      </Attribute>
    </Grid>
  </Domain>
</Xdmf>
"""  # noqa: E501


def write_xdmf(content: SolverInput, folder: Path) -> None:
    """Write ``mesh.xdmf``, ``mesh.h5``, ``facets.xdmf`` and ``facets.h5``."""
    surfaces = content.surfaces()
    facets = np.concatenate([nodes for _, _, nodes in surfaces])
    tags = np.repeat(
        np.array([tag for tag, _, _ in surfaces], np.int32),
        [len(nodes) for _, _, nodes in surfaces],
    )
    cells: dict[str, NDArray[Any]] = {
        "points": content.points,
        "cells": content.cells,
        "grain_id": content.grain_ids,
    }
    kind = CELLS[content.cells.shape[1]]
    _write_pair(content, folder / "mesh", kind, cells)
    rows: dict[str, NDArray[Any]] = {"facets": facets, "surface": tags}
    _write_pair(content, folder / "facets", FACETS[facets.shape[1]], rows)


def _write_pair(
    content: SolverInput, path: Path, kind: str, arrays: dict[str, NDArray[Any]]
) -> None:
    """Write arrays, the cells and their tags last, and what says what they are."""
    name, tag = list(arrays)[-2:]
    m, k = arrays[name].shape
    with h5py.File(path.with_suffix(".h5"), "w", libver=("v108", "v108")) as file:
        for key, array in arrays.items():
            columns = array if array.ndim == 2 else array[:, None]
            file.create_dataset(key, data=columns, track_times=False)
    text = TEMPLATE.format(
        comment=escape("; ".join(content.heading())), kind=kind, m=m, k=k,
        n=len(content.points), file=path.name, name=name, tag=tag,
    )  # fmt: skip
    path.with_suffix(".xdmf").write_text(text, encoding="ascii")
