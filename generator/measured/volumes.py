"""What volumes of voxels are, whatever file holds them: shapes, lengths, places, blocks."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from .. import hdf5_files
from ..errors import VolumeFileError
from ..machine import available_memory

MICROMETRES = ("um", "µm", "μm", "micron", "micrometer", "micrometre", "\\u00B5m")
UNITS_UM = {
    unit + plural: length
    for units, length in (
        (MICROMETRES, 1.0),
        (("nm", "nanometer", "nanometre"), 1e-3),
        (("mm", "millimeter", "millimetre"), 1e3),
    )
    for unit in units
    for plural in ("", "s")
}
COMMON_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
BLOCK_BYTES = 4_000_000
STEP_ERROR = 0.01  # of a step, by which coordinates may miss equal steps: float32 has 24 bits
LISTED = 12  # arrays of a file that a message lists
NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"
FAILURES = (  # of the libraries, for damaged files
    *hdf5_files.FAILURES,
    AssertionError,  # tifffile
    EOFError,
    SyntaxError,  # Pillow; Python, which reads headers of .npy files
    tokenize.TokenError,  # the same
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    ElementTree.ParseError,
)
Shape = tuple[int, int, int]
Lengths = tuple[float, float, float]
Place = tuple[Lengths | None, Lengths]  # edges z, y, x and first corner x, y, z
Coordinates = tuple[NDArray[Any], str]  # of voxel centres along an axis, and their unit
ZERO: Lengths = (0.0, 0.0, 0.0)
NOWHERE: Place = (None, ZERO)


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a regular grid of voxels.

    Parameters
    ----------
    values : (nz, ny, nx)
        Of the file's own type; read-only.
    voxel_um
        Edges (z, y, x) of a voxel, um; None if the file does not say.
    origin_um
        Corner (x, y, z) of the first voxel, um; in voxels if ``voxel_um`` is None.
    source
        What was read: ``scan.h5:/exchange/data``.
    """

    values: NDArray[Any]
    voxel_um: Lengths | None
    origin_um: Lengths
    source: str

    def __post_init__(self) -> None:
        values = self.values.view()
        values.flags.writeable = False
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, eq=False)
class OpenVolume:
    """A volume in an open file, not yet read.

    Parameters
    ----------
    source, voxel_um, origin_um
        As in `Volume`.
    shape
        (nz, ny, nx).
    dtype
        Of the values, in the machine's byte order.
    fill
        Reads the values into an array in C order that has this shape and type.
    """

    source: str
    shape: Shape
    dtype: np.dtype[Any]
    fill: Callable[[NDArray[Any]], None]
    voxel_um: Lengths | None = None
    origin_um: Lengths = ZERO

    def read(self) -> Volume:
        """The volume; `VolumeFileError` if memory does not suffice or the file is damaged."""
        self._require_memory()
        values = np.empty(self.shape, self.dtype)
        with readable(self.source, f"{self.shape} values of type {self.dtype}"):
            self.fill(values)
        return Volume(values, self.voxel_um, self.origin_um, self.source)

    def _require_memory(self) -> None:
        needed, available = float(prod(self.shape)) * self.dtype.itemsize, available_memory()
        if needed > available:
            msg = (
                f"{self.source} of shape {self.shape} and type {self.dtype} takes "
                f"{needed / 1e9:.3g} GB of memory; expected at most the {available / 1e9:.3g} GB "
                "that are free here: crop it, or take every second voxel"
            )
            raise VolumeFileError(msg)


@contextmanager
def readable(source: str, expected: str) -> Iterator[None]:
    """A sentence in place of what the libraries raise."""
    try:
        yield
    except FAILURES as error:
        msg = f"{source} cannot be read ({str(error) or type(error).__name__}); expected {expected}"
        raise VolumeFileError(msg) from error


def is_numeric(dtype: Any) -> bool:
    """Whether a type is one of numbers."""
    return dtype is not None and np.dtype(dtype).kind in "biuf"


def _spatial(shape: Sequence[int], names: Sequence[str] = ()) -> Shape | None:
    """Axes z, y, x of an array: those so named, or the three left without those of length one."""
    lower = [name.lower() for name in names]
    named = [lower.index(name) for name in "zyx" if name in lower]
    if len(named) == 3 and prod(shape[k] for k in named) == prod(shape):
        return named[0], named[1], named[2]
    kept = list(range(len(shape)))
    while len(kept) > 3 and 1 in (lengths := [shape[k] for k in kept]):
        del kept[lengths.index(1)]
    return (kept[0], kept[1], kept[2]) if len(kept) == 3 else None


def spatial_axes(source: str, shape: Sequence[int], dtype: Any, names: Sequence[str] = ()) -> Shape:
    """Axes z, y, x of an array that is a volume of numbers."""
    if not is_numeric(dtype):
        msg = f"{source}: the values are of type {dtype}, expected whole numbers or fractions"
        raise VolumeFileError(msg)
    if min(shape, default=1) < 1:
        msg = f"{source}: there is no voxel of shape {tuple(shape)}, expected some; export it again"
        raise VolumeFileError(msg)
    axes = _spatial(shape, names)
    if axes is None:
        cure = "take one channel or time" if len(shape) > 3 else "one image is no volume: stack it"
        msg = f"{source}: the array has shape {tuple(shape)}, expected three axes z, y, x; {cure}"
        raise VolumeFileError(msg)
    return axes


def array_volume(
    source: str,
    data: Any,
    axes: Shape | None = None,
    place: Place = NOWHERE,
    fill: Callable[[NDArray[Any]], None] | None = None,
) -> OpenVolume:
    """An array of a file as a volume.

    Parameters
    ----------
    data
        Has ``shape``, ``dtype`` and, without ``fill``, slices.
    axes
        Of `spatial_axes`, if they have been looked at already.
    """
    axes = axes or spatial_axes(source, data.shape, data.dtype)
    nz, ny, nx = (int(data.shape[k]) for k in axes)
    native = np.dtype(np.dtype(data.dtype).str).newbyteorder("=")
    return OpenVolume(
        source, (nz, ny, nx), native, fill or partial(copy_volume, data, axes), *place
    )


def copy_volume(data: Any, axes: Shape, out: NDArray[Any]) -> None:
    """Copy an array that lies in a file to ``out`` (nz, ny, nx) by blocks."""
    kept, n_axes = sorted(axes), len(data.shape)
    in_order = out.transpose([axes.index(k) for k in kept])
    cut, step = _blocks(data, axes)
    for start in range(0, data.shape[cut], step):
        rows = {cut: slice(start, start + step)} | {k: 0 for k in range(n_axes) if k not in axes}
        index = tuple(rows.get(k, slice(None)) for k in range(n_axes))
        in_order[tuple(index[k] for k in kept)] = data[index]


def _blocks(data: Any, axes: Shape) -> tuple[int, int]:
    """The axis along which an array is read by blocks, and how many layers at a time."""
    chunks = getattr(data, "chunks", None) or (1,) * len(data.shape)
    if getattr(data, "chunks", None):
        cut = max(sorted(axes), key=lambda k: data.shape[k] / chunks[k])
    else:
        strides = getattr(data, "strides", None) or [-k for k in range(len(data.shape))]
        cut = max(axes, key=lambda k: strides[k])
    layers = chunks[cut] * prod(data.shape) // data.shape[cut] * data.dtype.itemsize
    return cut, chunks[cut] * max(1, BLOCK_BYTES // layers)


def chosen_array(
    path: Path, arrays: Mapping[str, Any], dataset: str | None, n_axes: int = 3
) -> str:
    """The name of the only array that can be a volume, or ``dataset`` if there is one."""
    fits = _spatial if n_axes == 3 else _is_flat
    fit = [n for n, a in arrays.items() if is_numeric(a.dtype) and fits(a.shape)]
    kind = "three axes" if n_axes == 3 else "two axes"
    if dataset in arrays:
        return str(dataset)
    if dataset is None and len(fit) == 1:
        return fit[0]
    rows = [f"{name} {tuple(arrays[name].shape)} {arrays[name].dtype}" for name in fit]
    listed = ", ".join([*rows[:LISTED], *(["..."] if len(rows) > LISTED else [])]) or "none"
    if dataset is None:
        msg = (
            f"{path} holds {len(fit)} arrays of numbers with {kind}, expected one"
            f"{'; name the dataset' if fit else ''}: {listed}"
        )
    else:
        msg = f"{path} holds no array {dataset!r}, expected one with {kind}: {listed}"
    raise VolumeFileError(msg)


def place_of(source: str, axes: Sequence[Coordinates | None]) -> Place:
    """Place of voxels whose centres have coordinates along z, y, x; nowhere if one has no unit."""
    edges, corner = [], []
    for name, along in zip("zyx", axes, strict=True):
        if along is None or along[1] not in UNITS_UM or len(along[0]) < 2:
            return NOWHERE
        first, step = _steps(source, name, np.asarray(along[0], np.float64))
        edges.append(step * UNITS_UM[along[1]])
        corner.append((first - step / 2) * UNITS_UM[along[1]])
    return checked_edges(source, edges), (corner[2], corner[1], corner[0])


def _steps(source: str, name: str, centres: NDArray[np.float64]) -> tuple[float, float]:
    """First coordinate and step of coordinates with equal steps."""
    step = float(centres[-1] - centres[0]) / (len(centres) - 1)
    equal = centres[0] + step * np.arange(len(centres))
    if not (step > 0 and np.abs(centres - equal).max() <= STEP_ERROR * step):
        msg = (
            f"{source} has coordinates {name} from {centres[0]:g} to {centres[-1]:g} that do not "
            "rise in equal steps, expected voxels of one size; interpolate, or turn the axis round"
        )
        raise VolumeFileError(msg)
    return float(centres[0]), step


def checked_edges(source: str, edges: Sequence[float]) -> Lengths:
    """Edges z, y, x that are lengths."""
    if not (len(edges) == 3 and np.isfinite(edges).all() and min(edges) > 0):
        msg = f"{source} says that voxels are {list(edges)}, expected positive lengths; correct it"
        raise VolumeFileError(msg)
    z, y, x = (float(edge) for edge in edges)
    return z, y, x


def text_of(attribute: Any) -> str:
    """A text, which netCDF-4 puts into an array if it is not ASCII."""
    value = np.ravel(attribute)[0] if np.size(attribute) == 1 else attribute
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


class Header(NamedTuple):
    """Shape and type of an array that is not read yet."""

    shape: tuple[int, ...]
    dtype: Any


def one_layer(source: str, data: Any, fill: Callable[[NDArray[Any]], None]) -> OpenVolume:
    """An image of a file, (ny, nx), as a volume of one layer; ``fill`` reads (ny, nx) values."""
    if not _is_flat(data.shape):
        msg = (
            f"{source}: the array has shape {tuple(data.shape)}, expected the two axes y, x of "
            "one image; take one layer"
        )
        raise VolumeFileError(msg)
    header = Header((1, *data.shape), data.dtype)
    return array_volume(source, header, fill=lambda out: fill(out[0]))


def _is_flat(shape: Sequence[int]) -> bool:
    return len(shape) == 2
