"""Volumes and images in NumPy and raw files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VolumeFileError
from .volumes import (
    BLOCK_BYTES,
    COMMON_TYPES,
    Header,
    OpenVolume,
    Shape,
    array_volume,
    chosen_array,
    is_numeric,
    one_layer,
)


@contextmanager
def open_npy(path: Path) -> Iterator[OpenVolume]:
    """Volume of a file that numpy.save made, mapped into memory."""
    yield array_volume(str(path), _mapped_npy(path))


def _mapped_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:  # numpy would tell to trust what is no array
        np.lib.format.read_magic(file)
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@contextmanager
def open_npz(path: Path, dataset: str | None = None, n_axes: int = 3) -> Iterator[OpenVolume]:
    """Array of an archive that numpy.savez made; of several the named one."""
    opened = array_volume if n_axes == 3 else one_layer
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        arrays = {name.removesuffix(".npy"): _npz_header(archive, name)[0] for name in members}
        name = chosen_array(path, arrays, dataset, n_axes)
        fill = partial(_fill_npz, archive, f"{name}.npy")
        yield opened(f"{path}:{name}", arrays[name], fill=fill)


def _npz_header(archive: zipfile.ZipFile, name: str) -> tuple[Header, bool]:
    """Shape and type of an array, and whether its first axis runs fastest."""
    with archive.open(name) as stream:
        return _read_header(stream)


def _read_header(stream: Any) -> tuple[Header, bool]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    return Header(shape, dtype), fortran


def _fill_npz(archive: zipfile.ZipFile, name: str, out: NDArray[Any]) -> None:
    """Read a compressed array by blocks; axes of length one do not change the order of values."""
    with archive.open(name) as stream:
        header, fortran = _read_header(stream)
        layers = out.T if fortran else out
        step = max(1, BLOCK_BYTES // layers[0].nbytes)
        for start in range(0, len(layers), step):
            block = layers[start : start + step]
            raw = stream.read(block.nbytes)
            block[...] = np.frombuffer(raw, header.dtype).reshape(block.shape)


@contextmanager
def open_raw(
    path: Path, shape: Shape | None = None, dtype: str | None = None
) -> Iterator[OpenVolume]:
    """Volume of a file of numbers of a stated shape and type."""
    if shape is None or dtype is None:
        msg = (
            f"{path} does not say its shape and type; state both, the shape as z, y, x, for "
            "example 180, 300, 250 and uint16"
        )
        raise VolumeFileError(msg)
    if len(shape) != 3 or min(shape) < 1:
        msg = f"{path}: the shape is {tuple(shape)}, expected three positive lengths z, y, x"
        raise VolumeFileError(msg)
    kind = _raw_type(path, dtype)
    _require_size(path, shape, kind)
    yield array_volume(str(path), np.memmap(path, kind, "r", shape=tuple(shape)))


def _raw_type(path: Path, dtype: str) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):
        kind = np.dtype("O")
    if not is_numeric(kind):
        msg = f"{path}: the type is {dtype!r}, expected one of {list(COMMON_TYPES)}, or as '>u2'"
        raise VolumeFileError(msg)
    return kind


def _require_size(path: Path, shape: Shape, kind: np.dtype[Any]) -> None:
    size, expected = path.stat().st_size, prod(shape) * kind.itemsize
    if size == expected:
        return
    fit = [name for name in COMMON_TYPES if prod(shape) * np.dtype(name).itemsize == size]
    cure = f"it fits {' or '.join(fit)}" if fit else "correct the shape, or cut off a header"
    msg = (
        f"{path} has {size} bytes, expected {expected} for {shape[0]} x {shape[1]} x {shape[2]} "
        f"(z, y, x) of {kind}; {cure}"
    )
    raise VolumeFileError(msg)


@contextmanager
def open_npy_image(path: Path) -> Iterator[OpenVolume]:
    """Image of a file that numpy.save made."""
    data = _mapped_npy(path)
    yield one_layer(str(path), data, partial(np.copyto, src=data))
