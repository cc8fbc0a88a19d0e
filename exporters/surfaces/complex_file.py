"""The complex of all grain surfaces as VTKHDF PolyData."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.vtkhdf import existing_file

if TYPE_CHECKING:
    from .grain_surfaces import GrainSurfaces
from ..files.polydata import write_polydata

KIND = "cathodegrain/surfaces"
VERSION = "1.0.0"


def write(surfaces: GrainSurfaces, path: str | Path) -> Path:
    """Write the whole complex."""
    k = len(surfaces.triangles)
    return write_polydata(
        path,
        surfaces.points,
        {"Polygons": (surfaces.triangles.ravel(), np.full(k, 3))},
        {
            "grain_low": (surfaces.pairs[:, 0], "1"),
            "grain_high": (surfaces.pairs[:, 1], "1"),
        },
        numbers={"n_grains": surfaces.n_grains},
        schema=KIND,
        schema_version=VERSION,
        title="Surfaces between the grains of a virtual NMC811 particle",
    )


def read(
    path: str | Path,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32], int]:
    """Points, triangles, pairs and number of grains of a file that `write` made."""
    with existing_file(path, KIND, "grain surfaces") as file:
        root = file["VTKHDF"]
        data = root["CellData"]
        pairs = np.stack([data["grain_low"][()], data["grain_high"][()]], axis=1)
        triangles = root["Polygons/Connectivity"][()].reshape(-1, 3)
        return root["Points"][()], triangles, pairs, int(file.attrs["n_grains"])
