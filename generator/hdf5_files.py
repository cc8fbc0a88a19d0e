"""HDF5 files to read: what they hold lies in them, not in other files that they name.

HDF5 lets a dataset have its bytes in any file (external storage), be put together from other
HDF5 files (virtual datasets) and a name stand for an object of another file (external links).
Who opens a file that others made does not expect that a local file is read because of it, less
that its content comes into what is written next. So all of it is looked for, and refused,
before any number is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py

# what h5py raises for damaged files: sizes, types, offsets and names may hold anything
FAILURES = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
)


@contextmanager
def self_contained(source: str | Path | BinaryIO) -> Iterator[h5py.File]:
    """HDF5 file to read, all of whose contents lie in it.

    Raises
    ------
    ValueError
        If it names another file to take data from.
    """
    with h5py.File(source) as file:
        _refuse(file.visititems_links(_linked) or file.visititems(_stored_elsewhere))
        yield file


@contextmanager
def measured(path: str | Path) -> Iterator[h5py.File]:
    """HDF5 file of an instrument to read, which may be put together from HDF5 files.

    Detectors write master files whose external links and virtual datasets name the HDF5 files
    of the frames: they are followed. No instrument that we know needs external storage, with
    which any local file would pass for a measurement.

    Raises
    ------
    ValueError
        If a dataset has its bytes in a file that is not HDF5.
    """
    with h5py.File(path) as file:
        _refuse(file.visititems(_raw))
        yield file


def require_no_raw_file(data: h5py.Dataset) -> None:
    """Raise a ValueError if a dataset, perhaps of a linked file, has its bytes in a raw file."""
    _refuse(_raw(data.name, data))


def _refuse(place: str | None) -> None:
    if place is not None:
        msg = f"{place}; expected the data in the HDF5 file itself"
        raise ValueError(msg)


# These return instead of raising: h5py passes no exception through its visit of links.
def _linked(name: str, link: Any) -> str | None:
    return f"/{name} is in {link.filename}" if isinstance(link, h5py.ExternalLink) else None


def _stored_elsewhere(name: str, node: Any) -> str | None:
    if isinstance(node, h5py.Dataset) and node.is_virtual:
        return f"/{name} is put together from other datasets"
    return _raw(name, node)


def _raw(name: str, node: Any) -> str | None:
    if isinstance(node, h5py.Dataset) and node.external:
        return f"/{name.lstrip('/')} has its bytes in {node.external[0][0]}"
    return None
