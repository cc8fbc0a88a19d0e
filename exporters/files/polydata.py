"""Surfaces and lines for VTK and ParaView: VTKHDF PolyData, written with h5py alone.

The complex of all grain surfaces has its triangles as ``Polygons`` and, as cell data, int32,
``grain_low`` and ``grain_high``: the grain ids on the two sides of each triangle, 0 outside;
normals point out of high into low. Root attributes: schema, schema_version, length_unit,
n_grains.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .vtkhdf import add_cells, add_points, dataset, new_file

CELL_KINDS = ("Vertices", "Lines", "Polygons", "Strips")
NO_CELLS = (np.empty(0, np.int64), np.empty(0, np.int64))

Cells = tuple[NDArray[np.int64], NDArray[np.int64]]  # nodes of all cells, nodes of each
Data = Mapping[str, tuple[NDArray[Any], str]]  # values and unit by name


def write_polydata(
    path: str | Path,
    points: NDArray[np.float64],
    cells: Mapping[str, Cells],
    cell_data: Data,
    *,
    point_data: Data | None = None,
    numbers: Mapping[str, int] | None = None,
    **attributes: str,
) -> Path:
    """Write points (um), cells by kind, and data; ``numbers`` become attributes, too.

    Cell data are in VTK's order: vertices, lines, polygons, strips.
    """
    with new_file(path, "PolyData", **attributes) as file:
        for name, number in (numbers or {}).items():
            file.attrs[name] = np.int64(number)
        root = file["VTKHDF"]
        add_points(root, points)
        for kind in CELL_KINDS:
            add_cells(root.create_group(kind), *cells.get(kind, NO_CELLS))
        for group, data in (("CellData", cell_data), ("PointData", point_data or {})):
            for name, (values, units) in data.items():
                dataset(root.require_group(group), name, values, units=units)
    return Path(path)
