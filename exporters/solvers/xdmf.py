"""XDMF for FEniCSx: one pair of XDMF and HDF5 files for cells, one for facets.

``mesh.xdmf`` has the tetrahedra with the grain id of each; ``facets.xdmf`` the triangles
with N + 1 on the outer surface and N + 2 between grains, N being the number of grains of
the particle. Both grids are called ``mesh``, the name that dolfinx looks for; it also
expects the arrays of ``facets.xdmf`` in ``facets.h5``. The points are in ``mesh.h5`` alone.
The arrays are not compressed: the HDF5 of dolfinx's wheels has no deflate filter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import h5py
import numpy as np
from numpy.typing import NDArray

from .solver_input import SolverInput

CELLS = {3: "Triangle", 4: "Tetrahedron", 6: "Triangle_6", 10: "Tetrahedron_10"}
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
    facets = np.concatenate([content.outer, content.grain_boundary])
    tags = np.full(len(facets), content.n_grains + 1, np.int32)
    tags[len(content.outer) :] += 1
    cells: dict[str, NDArray[Any]] = {
        "points": content.points,
        "tets": content.tets,
        "grain_id": content.grain_ids,
    }
    _write_pair(content, folder / "mesh", cells)
    surfaces: dict[str, NDArray[Any]] = {"triangles": facets, "surface": tags}
    _write_pair(content, folder / "facets", surfaces)


def _write_pair(content: SolverInput, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays, the cells and their tags last, and what says what they are."""
    name, tag = list(arrays)[-2:]
    m, k = arrays[name].shape
    with h5py.File(path.with_suffix(".h5"), "w", libver=("v108", "v108")) as file:
        for key, array in arrays.items():
            columns = array if array.ndim == 2 else array[:, None]
            file.create_dataset(key, data=columns, track_times=False)
    text = TEMPLATE.format(
        comment=escape("; ".join(content.heading())), kind=CELLS[k], m=m, k=k,
        n=len(content.points), file=path.name, name=name, tag=tag,
    )  # fmt: skip
    path.with_suffix(".xdmf").write_text(text, encoding="ascii")
