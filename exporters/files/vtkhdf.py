"""What all VTKHDF files of meshes share: an HDF5 file that VTK and ParaView open.

A group ``VTKHDF``, version 2.2, as VTK's documentation has it; lengths in um. No time
stamps: equal contents are equal files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from ...generator import hdf5_files
from ...generator.errors import ExportError
from . import cf
from .cf import set_text

VERSION = (2, 2)
GZIP_LEVEL = 6


@contextmanager
def new_file(
    path: str | Path, kind: Literal["PolyData", "UnstructuredGrid"], **attributes: str
) -> Iterator[h5py.File]:
    """Give a file with the group ``VTKHDF`` of a kind; it is at ``path`` when complete."""
    with cf.new_file(path) as file:
        set_text(file, length_unit="um", **attributes)
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array(VERSION, np.int64)
        set_text(root, Type=kind)
        yield file


@contextmanager
def existing_file(path: str | Path, schema: str, expected: str) -> Iterator[h5py.File]:
    """Give a file of that schema to read.

    Raises
    ------
    ExportError
        If it is missing, damaged, of another schema, or lacks what the block looks for.
    """
    try:
        with hdf5_files.self_contained(path) as file:
            if file.attrs.get("schema") != schema.encode("ascii"):
                msg = f"{path} is no file of {expected}: its schema is not {schema}"
                raise ExportError(msg)
            yield file
    except hdf5_files.FAILURES as error:
        msg = f"{path} cannot be read ({error}); expected {expected}"
        raise ExportError(msg) from error


def dataset(group: h5py.Group, name: str, data: NDArray[np.generic], **text: str) -> h5py.Dataset:
    """Add an array, compressed, with attributes."""
    options = {"compression": "gzip", "compression_opts": GZIP_LEVEL} if data.size > 1 else {}
    added = group.create_dataset(name, data=data, track_times=False, **options)
    set_text(added, **text)
    return added


def add_points(root: h5py.Group, points: NDArray[np.float64]) -> None:
    """Add ``Points``."""
    dataset(root, "NumberOfPoints", np.array([len(points)]))
    dataset(root, "Points", points, units="um")


def add_cells(group: h5py.Group, connectivity: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    """Add cells of ``sizes`` nodes, one after the other in ``connectivity``."""
    dataset(group, "NumberOfConnectivityIds", np.array([len(connectivity)]))
    dataset(group, "NumberOfCells", np.array([len(sizes)]))
    dataset(group, "Offsets", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
    dataset(group, "Connectivity", connectivity)
