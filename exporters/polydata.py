"""The complex of all grain surfaces in one file: VTKHDF PolyData.

An HDF5 file with a group ``VTKHDF``, version 2.2, as VTK's documentation has it: ``Points``
in um, ``Polygons`` with the triangles, ``CellData`` with ``grain_low`` and ``grain_high``,
int32, the grain ids on the two sides of each triangle, 0 outside; normals point out of
high into low. Root attributes: schema, length_unit, n_grains. No time stamps: equal
surfaces are equal files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from ..generator.errors import ExportError
from .atomic import replacing
from .cf import set_text

if TYPE_CHECKING:
    from .grain_surfaces import GrainSurfaces

KIND = "cathodegrain/surfaces"
VERSION = "1.0.0"
VTKHDF_VERSION = (2, 2)
CELL_KINDS = ("Vertices", "Lines", "Polygons", "Strips")
GZIP_LEVEL = 6


def write(surfaces: GrainSurfaces, path: Path) -> None:
    """Write the whole complex."""
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=("v108", "v108")) as file:
        set_text(
            file,
            schema=KIND,
            schema_version=VERSION,
            title="Surfaces between the grains of a virtual NMC811 particle",
            length_unit="um",
        )
        file.attrs["n_grains"] = np.int64(surfaces.n_grains)
        root = file.create_group("VTKHDF")
        set_text(root, Type="PolyData")
        root.attrs["Version"] = np.array(VTKHDF_VERSION, np.int64)
        _dataset(root, "NumberOfPoints", np.array([len(surfaces.points)]))
        set_text(_dataset(root, "Points", surfaces.points), units="um")
        for kind in CELL_KINDS:
            cells = surfaces.triangles if kind == "Polygons" else np.empty((0, 3), np.int64)
            _write_cells(root.create_group(kind), cells)
        data = root.create_group("CellData")
        for name, column in (("grain_low", 0), ("grain_high", 1)):
            dataset = _dataset(data, name, surfaces.pairs[:, column])
            set_text(dataset, long_name="grain id on one side, 0 is outside", units="1")


def _write_cells(group: h5py.Group, cells: NDArray[np.int64]) -> None:
    n, corners = cells.shape
    _dataset(group, "NumberOfConnectivityIds", np.array([cells.size]))
    _dataset(group, "NumberOfCells", np.array([n]))
    _dataset(group, "Offsets", corners * np.arange(n + 1))
    _dataset(group, "Connectivity", cells.ravel())


def _dataset(group: h5py.Group, name: str, data: NDArray[np.generic]) -> h5py.Dataset:
    options = {"compression": "gzip", "compression_opts": GZIP_LEVEL} if data.size > 1 else {}
    return group.create_dataset(name, data=data, track_times=False, **options)


def read(
    path: Path,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32], int]:
    """Points, triangles, pairs and number of grains of a file that `write` made."""
    try:
        with h5py.File(path) as file:
            if file.attrs.get("schema") != KIND.encode("ascii"):
                msg = f"{path} is no file of grain surfaces: its schema is not {KIND}"
                raise ExportError(msg)
            root = file["VTKHDF"]
            data = root["CellData"]
            pairs = np.stack([data["grain_low"][()], data["grain_high"][()]], axis=1)
            triangles = root["Polygons/Connectivity"][()].reshape(-1, 3)
            return root["Points"][()], triangles, pairs, int(file.attrs["n_grains"])
    except (OSError, KeyError) as error:
        msg = f"{path} cannot be read ({error}); expected a surfaces.vtkhdf"
        raise ExportError(msg) from error
