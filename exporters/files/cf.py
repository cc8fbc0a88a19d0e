"""netCDF-4/CF conventions on top of h5py: named dimensions, units, fixed-length text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .atomic import replacing
from .packed import NUMBERS, create_packed, write_chunks


@contextmanager
def new_file(path: str | Path) -> Iterator[h5py.File]:
    """HDF5 file that is at ``path``, whole, when the block has succeeded.

    It is built in memory, compressed as it will be, and written in one go: HDF5 itself
    crashes the process when a disk fills while it writes.

    Raises
    ------
    ExportError
        As `atomic.replacing` does.
    """
    with replacing(path) as temporary:
        memory = io.BytesIO()
        # no chunk cache: chunks stand in the order of the writing, not in that in which Python
        # happens to close the datasets, which a profiler that holds frames changes
        with h5py.File(memory, "w", libver=("v108", "v108"), rdcc_nbytes=0) as file:
            yield file
        temporary.write_bytes(memory.getbuffer())


def set_text(target: Any, **attributes: str) -> None:
    """Set new attributes as fixed-length ASCII, which every HDF5 reader understands.

    By h5py's lower level, in half the time: a particle's files have a hundred of them.
    """
    for name, text in attributes.items():
        data = text.encode("ascii", "xmlcharrefreplace") or b" "
        kind = h5py.h5t.py_create(np.dtype(f"S{len(data)}"))
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(target.id, name.encode(), kind, space).write(np.array(data))


def dimension(file: h5py.File, name: str, data: NDArray[Any], **attributes: str) -> h5py.Dataset:
    """Coordinate variable that gives a dimension its name and its values."""
    dataset = file.create_dataset(name, data=data, track_times=False)
    dataset.make_scale(name)
    set_text(dataset, **attributes)
    return dataset


def variable(
    file: h5py.File,
    name: str,
    data: NDArray[Any],
    dimensions: tuple[str, ...],
    *,
    units: str,
    long_name: str,
    packed: bool = False,
) -> h5py.Dataset:
    """Variable on named dimensions, with its unit; packed into one chunk if asked to."""
    if packed:
        dataset = create_packed(file, name, data.shape, data.dtype, data.shape, NUMBERS)
        write_chunks(dataset, 0, data)
    else:
        dataset = file.create_dataset(name, data=data, track_times=False)
    attach(file, dataset, dimensions)
    set_text(dataset, units=units, long_name=long_name)
    return dataset


def attach(file: h5py.File, dataset: h5py.Dataset, dimensions: tuple[str, ...]) -> None:
    """Name the dimensions of a dataset."""
    for axis, name in enumerate(dimensions):
        dataset.dims[axis].attach_scale(file[name])
