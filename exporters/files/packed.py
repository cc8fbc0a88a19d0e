"""HDF5 datasets whose chunks are packed by libdeflate and written as they are.

HDF5's filter "gzip" is the zlib format, so that every reader opens them. libdeflate packs the
labels of voxels in less than half the time of zlib at the same level and into as many bytes.
What it makes of a chunk depends on its version alone, not on the processor (ebiggers/libdeflate,
issue 400); a test holds the hash of a chunk.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import h5py
import numpy as np
from deflate import zlib_compress
from numpy.typing import NDArray

from ...generator.machine import run_all

LABELS = 6  # level for ids and flags of voxels
NUMBERS = 1  # level for floating point numbers, of which a longer search saves 1 %


def create_packed(
    file: h5py.File,
    name: str,
    shape: tuple[int, ...],
    kind: np.dtype[Any],
    chunks: tuple[int, ...],
    level: int,
) -> h5py.Dataset:
    """Empty dataset that `write_chunks` fills, packed at ``level``."""
    return file.create_dataset(
        name,
        shape,
        kind,
        chunks=chunks,
        compression="gzip",
        compression_opts=level,
        shuffle=False,
        track_times=False,
    )


def write_chunks(dataset: h5py.Dataset, start: int, data: NDArray[Any]) -> None:
    """Write rows ``start`` and following, which begin and end with a chunk or the dataset.

    A chunk that the dataset does not fill is padded with zeros. The cores of the process pack
    chunks at the same time; the file does not depend on how many.
    """
    shape, level, packed = dataset.chunks, dataset.compression_opts, {}
    corners = list(product(*(range(0, n, k) for n, k in zip(data.shape, shape, strict=True))))

    def pack(corner: tuple[int, ...]) -> None:
        packed[corner] = zlib_compress(_chunk(data, corner, shape), level)

    run_all(pack, corners, None)
    for corner in corners:
        dataset.id.write_direct_chunk((start + corner[0], *corner[1:]), packed.pop(corner))


def _chunk(data: NDArray[Any], corner: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    """A chunk of an array, C-contiguous, zero beyond the array."""
    part = data[tuple(slice(k, k + n) for k, n in zip(corner, shape, strict=True))]
    if part.shape == shape:
        return np.ascontiguousarray(part)
    chunk = np.zeros(shape, data.dtype)
    chunk[tuple(slice(n) for n in part.shape)] = part
    return chunk
