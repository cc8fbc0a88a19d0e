"""Files of voxels: TIFF stacks, HDF5, netCDF, NumPy arrays, plain numbers.

===================== ======================================== =============================
file                  the volume                               edges of a voxel
===================== ======================================== =============================
``.tif`` ``.tiff``    its pages; BigTIFF, ImageJ, OME          ImageJ's or OME's, in a unit
a folder              its numbered TIFF files of one page      not in the files
``.h5`` ``.hdf5``     the only array of numbers with three     Spacing of an ImageData, else
``.hdf`` ``.nxs``     axes, or the one that is named; axes     ``element_size_um``, else its
``.vtkhdf`` ``.nc``   named z, y, x may stand in any order     dimension scales in a unit
``.npy`` ``.npz``     the array; of several the named one      not in the file
``.raw`` ``.bin``     numbers and nothing else, of a stated    not in the file
``.vol`` ``.dat``     shape and type, x running fastest
===================== ======================================== =============================

``.nc`` is netCDF-4 or netCDF-3. Lengths are read in nm, um and mm and given in um; a Spacing of
1 says nothing. Axes of length one are dropped where there are more than three. Values are those
in the file: netCDF's ``scale_factor`` is not applied.

An image, of labels for example, is read from ``.tif``, ``.png``, ``.h5``, ``.npy`` or ``.npz``
as a volume of one layer (`read_image`); PNG may have a palette, whose indices are the values.

A volume is read in blocks into one array in C order and the machine's byte order. Meanwhile
memory holds that array and a few blocks of `BLOCK_BYTES`, or chunks of the file if they are
larger.
"""

from __future__ import annotations

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import h5py
import numpy as np
from numpy.typing import NDArray

from .. import hdf5_files
from ..errors import VolumeFileError
from ..machine import available_memory
from ..requirements import require

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
        with _readable(self.source, f"{self.shape} values of type {self.dtype}"):
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


def read_volume(
    path: str | Path,
    *,
    dataset: str | None = None,
    shape: Shape | None = None,
    dtype: str | None = None,
) -> Volume:
    """Voxels of a file, or of a folder of TIFF files.

    Parameters
    ----------
    dataset
        Name of the array, for an HDF5, netCDF or ``.npz`` file that holds several.
    shape, dtype
        (nz, ny, nx) and NumPy's name of the type, ``uint16`` or ``>u2``, for a raw file.

    Raises
    ------
    VolumeFileError
        If the file cannot be read, does not hold one volume of real numbers or would not fit
        the free memory, or if more or less has to be stated.
    """
    with open_volume(path, dataset=dataset, shape=shape, dtype=dtype) as found:
        return found.read()


@contextmanager
def open_volume(
    path: str | Path,
    *,
    dataset: str | None = None,
    shape: Shape | None = None,
    dtype: str | None = None,
) -> Iterator[OpenVolume]:
    """What `read_volume` would read, for those who look at its shape first."""
    path = Path(path)
    form = FOLDER if path.is_dir() else _format(path, FORMATS)
    with _opened(path, form, {"dataset": dataset, "shape": shape, "dtype": dtype}) as found:
        yield found


def read_image(path: str | Path, *, dataset: str | None = None) -> Volume:
    """The pixels of a file that holds one image, as a volume of one layer, (1, ny, nx).

    Parameters
    ----------
    dataset
        Name of the array, for an HDF5 or ``.npz`` file that holds several.

    Raises
    ------
    VolumeFileError
        If the file cannot be read or does not hold one image of real numbers.
    """
    path = Path(path)
    with _opened(path, _format(path, IMAGES), {"dataset": dataset}) as found:
        return found.read()


@contextmanager
def _opened(path: Path, form: _Format, options: Mapping[str, Any]) -> Iterator[OpenVolume]:
    """What a file holds, opened with the options that have been stated."""
    given = {name: value for name, value in options.items() if value is not None}
    if unused := [name for name in given if name not in form.takes]:
        msg = (
            f"{path} is {form.name}, for which no {' or '.join(unused)} can be stated: leave it out"
        )
        raise VolumeFileError(msg)
    with ExitStack() as stack:
        with _readable(str(path), form.name):
            found = stack.enter_context(form.opened(path, **given))
        yield found


def _format(path: Path, formats: Mapping[str, _Format]) -> _Format:
    """The format of a file that is there."""
    suffix = path.suffix.lower()
    if suffix not in formats:
        folder = "a folder or " if formats is FORMATS else ""
        msg = f"{path} has the suffix {path.suffix!r}, expected {folder}one of {list(formats)}"
        raise VolumeFileError(msg)
    expected = formats[suffix].name
    if not path.is_file():
        msg = f"{path} is not a file, expected {expected}; correct the path"
        raise VolumeFileError(msg)
    if path.stat().st_size == 0:
        msg = f"{path} is empty, expected {expected}; copy or export it again"
        raise VolumeFileError(msg)
    return formats[suffix]


@contextmanager
def _readable(source: str, expected: str) -> Iterator[None]:
    """A sentence in place of what the libraries raise."""
    try:
        yield
    except FAILURES as error:
        msg = f"{source} cannot be read ({str(error) or type(error).__name__}); expected {expected}"
        raise VolumeFileError(msg) from error


def _is_numeric(dtype: Any) -> bool:
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


def _axes(source: str, shape: Sequence[int], dtype: Any, names: Sequence[str] = ()) -> Shape:
    """Axes z, y, x of an array that is a volume of numbers."""
    if not _is_numeric(dtype):
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


def _array(
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
        Of `_axes`, if they have been looked at already.
    """
    axes = axes or _axes(source, data.shape, data.dtype)
    nz, ny, nx = (int(data.shape[k]) for k in axes)
    native = np.dtype(np.dtype(data.dtype).str).newbyteorder("=")
    return OpenVolume(source, (nz, ny, nx), native, fill or partial(_copy, data, axes), *place)


def _copy(data: Any, axes: Shape, out: NDArray[Any]) -> None:
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


def _chosen(path: Path, arrays: Mapping[str, Any], dataset: str | None, n_axes: int = 3) -> str:
    """The name of the only array that can be a volume, or ``dataset`` if there is one."""
    fits = _spatial if n_axes == 3 else _is_flat
    fit = [n for n, a in arrays.items() if _is_numeric(a.dtype) and fits(a.shape)]
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


def _place(source: str, axes: Sequence[Coordinates | None]) -> Place:
    """Place of voxels whose centres have coordinates along z, y, x; nowhere if one has no unit."""
    edges, corner = [], []
    for name, along in zip("zyx", axes, strict=True):
        if along is None or along[1] not in UNITS_UM or len(along[0]) < 2:
            return NOWHERE
        first, step = _steps(source, name, np.asarray(along[0], np.float64))
        edges.append(step * UNITS_UM[along[1]])
        corner.append((first - step / 2) * UNITS_UM[along[1]])
    return _checked(source, edges), (corner[2], corner[1], corner[0])


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


def _checked(source: str, edges: Sequence[float]) -> Lengths:
    """Edges z, y, x that are lengths."""
    if not (len(edges) == 3 and np.isfinite(edges).all() and min(edges) > 0):
        msg = f"{source} says that voxels are {list(edges)}, expected positive lengths; correct it"
        raise VolumeFileError(msg)
    z, y, x = (float(edge) for edge in edges)
    return z, y, x


def _text(attribute: Any) -> str:
    """A text, which netCDF-4 puts into an array if it is not ASCII."""
    value = np.ravel(attribute)[0] if np.size(attribute) == 1 else attribute
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


@contextmanager
def _hdf5(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    with hdf5_files.measured(path) as file:
        data = _hdf5_array(path, file, dataset)
        source = f"{path}:{data.name}"
        names = [_text(_dimension_name(dim)) for dim in data.dims]
        axes = _axes(source, data.shape, data.dtype, names)
        yield _array(source, data, axes, _hdf5_place(source, file, data, axes))


def _hdf5_array(path: Path, file: h5py.File, dataset: str | None, n_axes: int = 3) -> h5py.Dataset:
    if dataset is not None and isinstance(file.get(dataset), h5py.Dataset):
        hdf5_files.require_no_raw_file(file[dataset])  # it may be linked from another file
        return file[dataset]
    arrays: dict[str, h5py.Dataset] = {}

    def note(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[f"/{name}"] = node

    file.visititems(note)  # an array with several names is met once
    return arrays[_chosen(path, arrays, dataset, n_axes)]


def _dimension_name(dimension: Any) -> Any:
    return dimension[0].name.rsplit("/", 1)[-1] if len(dimension) else dimension.label


def _hdf5_place(source: str, file: h5py.File, data: h5py.Dataset, axes: Shape) -> Place:
    """Place by VTK's ImageData, by the attribute of Fiji's plugin, or by dimension scales."""
    if "VTKHDF" in file and (place := _image_place(source, file["VTKHDF"], data)) is not None:
        return place
    if "element_size_um" in data.attrs:
        edges = np.ravel(data.attrs["element_size_um"]).tolist()
        return _checked(source, [edges[k] for k in axes] if len(edges) > 3 else edges), ZERO
    return _place(source, [_scale(data.dims[k]) for k in axes])


def _image_place(source: str, image: h5py.Group, data: h5py.Dataset) -> Place | None:
    """Place of an array on the cells or points of an ImageData; None for any other array."""
    if (kind := _text(image.attrs["Type"])) != "ImageData":
        msg = f"{source.partition(':/')[0]} holds {kind}, expected ImageData: voxels"
        raise VolumeFileError(msg)
    if not np.allclose(image.attrs.get("Direction", np.eye(3).ravel()), np.eye(3).ravel()):
        msg = f"{source} has turned axes (Direction), expected x, y, z; resample it"
        raise VolumeFileError(msg)
    extent = np.reshape(image.attrs["WholeExtent"], (3, 2))
    n_cells = np.ptp(extent, axis=1)[::-1]
    if data.shape not in (tuple(n_cells), tuple(n_cells + 1)):
        return None
    points = data.shape[0] - n_cells[0]  # 0 for values of cells, 1 for those of points
    spacing = np.array(image.attrs["Spacing"], np.float64)
    corner = np.array(image.attrs["Origin"]) + (extent[:, 0] - points / 2) * spacing
    x, y, z = corner.tolist()
    edges = _checked(source, spacing[::-1].tolist())
    return None if (spacing == 1.0).all() else edges, (x, y, z)


def _scale(dimension: Any) -> Coordinates | None:
    """Coordinates that a dimension scale holds."""
    if not len(dimension):
        return None
    scale = dimension[0]
    blank = bytes(np.bytes_(scale.attrs.get("NAME", b""))).startswith(NO_VARIABLE)
    if blank or scale.ndim != 1 or not _is_numeric(scale.dtype):
        return None
    return scale[()], _text(scale.attrs.get("units", ""))


@contextmanager
def _netcdf(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    with (_netcdf3 if classic else _hdf5)(path, dataset) as found:
        yield found


@contextmanager
def _netcdf3(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    from scipy.io import netcdf_file

    # without the map scipy reads all variables, twice; nothing may refer to it at the end
    with netcdf_file(path, mmap=True) as file:
        yield _netcdf3_array(path, file, dataset)


def _netcdf3_array(path: Path, file: Any, dataset: str | None) -> OpenVolume:
    shapes = {name: _Header(v.shape, v.data.dtype) for name, v in file.variables.items()}
    name = _chosen(path, shapes, dataset)
    source, names = f"{path}:{name}", file.variables[name].dimensions
    axes = _axes(source, *shapes[name], names)
    coordinates = [_netcdf3_scale(file.variables.get(names[k])) for k in axes]

    def fill(out: NDArray[Any]) -> None:
        _copy(file.variables[name].data, axes, out)

    return _array(source, shapes[name], axes, _place(source, coordinates), fill)


def _netcdf3_scale(variable: Any) -> Coordinates | None:
    if variable is None or len(variable.shape) != 1 or not _is_numeric(variable.data.dtype):
        return None
    return np.array(variable.data), _text(getattr(variable, "units", ""))


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: Any


@contextmanager
def _npy(path: Path) -> Iterator[OpenVolume]:
    yield _array(str(path), _mapped_npy(path))


def _mapped_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:  # numpy would tell to trust what is no array
        np.lib.format.read_magic(file)
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@contextmanager
def _npz(path: Path, dataset: str | None = None, n_axes: int = 3) -> Iterator[OpenVolume]:
    opened = _array if n_axes == 3 else _layer
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        arrays = {name.removesuffix(".npy"): _npz_header(archive, name)[0] for name in members}
        name = _chosen(path, arrays, dataset, n_axes)
        fill = partial(_fill_npz, archive, f"{name}.npy")
        yield opened(f"{path}:{name}", arrays[name], fill=fill)


def _npz_header(archive: zipfile.ZipFile, name: str) -> tuple[_Header, bool]:
    """Shape and type of an array, and whether its first axis runs fastest."""
    with archive.open(name) as stream:
        return _read_header(stream)


def _read_header(stream: Any) -> tuple[_Header, bool]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    return _Header(shape, dtype), fortran


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
def _raw(path: Path, shape: Shape | None = None, dtype: str | None = None) -> Iterator[OpenVolume]:
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
    yield _array(str(path), np.memmap(path, kind, "r", shape=tuple(shape)))


def _raw_type(path: Path, dtype: str) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):
        kind = np.dtype("O")
    if not _is_numeric(kind):
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


def _load_tifffile() -> ModuleType:
    require("fit", "tifffile", purpose="TIFF files", error=VolumeFileError)
    import tifffile

    module: ModuleType = tifffile
    return module


@contextmanager
def _tiff(path: Path) -> Iterator[OpenVolume]:
    with _load_tifffile().TiffFile(path) as file:
        _require_whole(path, file)
        place = (_imagej_edges(path, file) or _ome_edges(path, file)), ZERO
        if len(file.series) > 1:
            yield _stack(str(path), [(str(path), one) for one in file.series], place)
        else:
            yield _series(str(path), file.series[0], place)


def _require_whole(path: Path, file: Any) -> None:
    """Refuse a file that ends before its last page; tifffile drops such pages."""
    n_pages = len(file.pages)
    file.filehandle.seek(file.pages.next_page_offset)
    following = file.filehandle.read(file.tiff.offsetsize)
    missing = sum(page is None for series in file.series for page in series.pages)
    if following != bytes(file.tiff.offsetsize) or missing:
        msg = (
            f"{path} is not whole: pages after the first {n_pages - missing} are missing, expected "
            "all; copy or export it again"
        )
        raise VolumeFileError(msg)


def _series(source: str, series: Any, place: Place) -> OpenVolume:
    _require_grey(source, series)

    def fill(out: NDArray[Any]) -> None:
        series.asarray(out=out.reshape(series.shape))

    return _array(source, series, place=place, fill=fill)


def _require_grey(source: str, image: Any) -> None:
    if "S" in image.axes:
        msg = (
            f"{source} is in colour (axes {image.axes}, shape {tuple(image.shape)}), expected one "
            "value for each voxel; convert it to grey"
        )
        raise VolumeFileError(msg)


def _stack(source: str, images: Sequence[tuple[str, Any]], place: Place = NOWHERE) -> OpenVolume:
    """Named images of the same shape and type, one for each layer."""
    (first_name, first), n = images[0], len(images)
    for name, image in images:
        _require_grey(name, image)
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            msg = (
                f"{name} has an image of shape {tuple(image.shape)} and type {image.dtype}, "
                f"{first_name} one of {tuple(first.shape)} and {first.dtype}; expected all alike"
            )
            raise VolumeFileError(msg)

    def fill(out: NDArray[Any]) -> None:
        for layer, (_, image) in zip(out, images, strict=True):
            image.asarray(out=layer)

    return _array(source, _Header((n, *first.shape), first.dtype), place=place, fill=fill)


def _imagej_edges(path: Path, file: Any) -> Lengths | None:
    """Edges of a voxel, if ImageJ wrote them with a unit."""
    known = file.imagej_metadata or {}
    unit = UNITS_UM.get(str(known.get("unit")))
    tags = [file.pages[0].tags.get(name) for name in ("YResolution", "XResolution")]
    if unit is None or "spacing" not in known or None in tags:
        return None
    pixels = [tag.value for tag in tags]
    if any(up == 0 for up, _ in pixels):
        return None
    edges = [float(known["spacing"]), *(down / up for up, down in pixels)]
    return _checked(str(path), [edge * unit for edge in edges])


def _ome_edges(path: Path, file: Any) -> Lengths | None:
    """Edges of a voxel, if OME's metadata have all three with a unit; um where none is named."""
    if not file.ome_metadata:
        return None
    pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
    named = {} if pixels is None else pixels.attrib
    edges = []
    for axis in "ZYX":
        size = named.get(f"PhysicalSize{axis}")
        unit = UNITS_UM.get(named.get(f"PhysicalSize{axis}Unit", "um"))
        if size is None or unit is None:
            return None
        edges.append(float(size) * unit)
    return _checked(str(path), edges)


@contextmanager
def _folder(path: Path) -> Iterator[OpenVolume]:
    files = _numbered(path)
    source = f"{path} ({len(files)} TIFF files)"
    yield _stack(source, [(str(file), _Page.of(file)) for file in files])


def _numbered(folder: Path) -> list[Path]:
    """TIFF files of a folder in the order of the number that tells them apart."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and p.is_file()]
    files = sorted((p for p in found if not p.name.startswith(".")), key=lambda p: _parts(p)[1])
    if not files:
        msg = f"{folder} holds no .tif or .tiff file, expected one for each layer of a volume"
        raise VolumeFileError(msg)
    for file in files:
        if _parts(file)[0] != _parts(files[0])[0]:
            msg = (
                f"{folder} holds {files[0].name} and {file.name}, expected names that differ by "
                "a number only; move files of other images away"
            )
            raise VolumeFileError(msg)
    _require_equal_steps(folder, files)
    return files


def _parts(file: Path) -> tuple[list[str], list[int]]:
    """The text of a name and the numbers in it."""
    parts = re.split(r"([0-9]+)", file.name)
    return parts[::2], [int(digits) for digits in parts[1::2]]


def _require_equal_steps(folder: Path, files: Sequence[Path]) -> None:
    """Refuse a folder in which layers seem to be missing or to be of several volumes."""
    numbers = np.array([_parts(file)[1] for file in files])
    steps = np.diff(numbers, axis=0)
    odd = np.flatnonzero((steps != steps[:1]).any(axis=1))
    if len(odd) or (np.count_nonzero(steps[:1]) != 1 and len(files) > 1):
        at = int(odd[0]) if len(odd) else 0
        msg = (
            f"{folder} goes from {files[at].name} to {files[at + 1].name}, expected one number "
            "that rises in equal steps; add what is missing, or move other files away"
        )
        raise VolumeFileError(msg)


class _Page(NamedTuple):
    """The image of a TIFF file of one page."""

    path: Path
    shape: tuple[int, ...]
    dtype: Any
    axes: str

    @classmethod
    def of(cls, path: Path) -> _Page:
        with _readable(str(path), TIFF.name), _load_tifffile().TiffFile(path) as file:
            if len(file.pages) != 1:
                msg = (
                    f"{path} has {len(file.pages)} pages, expected one in each file of a "
                    "folder; name the file itself to read its pages"
                )
                raise VolumeFileError(msg)
            page = file.pages[0]
            return cls(path, page.shape, page.dtype, page.axes)

    def asarray(self, out: NDArray[Any]) -> None:
        with _readable(str(self.path), TIFF.name), _load_tifffile().TiffFile(self.path) as file:
            out[...] = file.pages[0].asarray()


def _layer(source: str, data: Any, fill: Callable[[NDArray[Any]], None]) -> OpenVolume:
    """An image of a file, (ny, nx), as a volume of one layer; ``fill`` reads (ny, nx) values."""
    if not _is_flat(data.shape):
        msg = (
            f"{source}: the array has shape {tuple(data.shape)}, expected the two axes y, x of "
            "one image; take one layer"
        )
        raise VolumeFileError(msg)
    header = _Header((1, *data.shape), data.dtype)
    return _array(source, header, fill=lambda out: fill(out[0]))


def _is_flat(shape: Sequence[int]) -> bool:
    return len(shape) == 2


@contextmanager
def _tiff_image(path: Path) -> Iterator[OpenVolume]:
    with _load_tifffile().TiffFile(path) as file:
        _require_whole(path, file)
        if len(file.series) != 1:
            msg = f"{path} holds {len(file.series)} images, expected one; save each in a file"
            raise VolumeFileError(msg)
        image = file.series[0]
        _require_grey(str(path), image)
        yield _layer(str(path), image, lambda out: image.asarray(out=out))


@contextmanager
def _png(path: Path) -> Iterator[OpenVolume]:
    with _load_pillow().open(path) as image:
        bands = image.getbands()
        if len(bands) != 1:
            msg = (
                f"{path} is in colour (bands {', '.join(bands)}), expected one value for each "
                "pixel; save it as grey levels or with a palette"
            )
            raise VolumeFileError(msg)
        values = np.asarray(image)
        yield _layer(str(path), values, partial(np.copyto, src=values))


def _load_pillow() -> ModuleType:
    require("fit", "PIL", purpose="PNG files", error=VolumeFileError)
    from PIL import Image

    module: ModuleType = Image
    return module


@contextmanager
def _hdf5_image(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    with hdf5_files.measured(path) as file:
        data = _hdf5_array(path, file, dataset, n_axes=2)
        yield _layer(f"{path}:{data.name}", data, data.read_direct)


@contextmanager
def _npy_image(path: Path) -> Iterator[OpenVolume]:
    data = _mapped_npy(path)
    yield _layer(str(path), data, partial(np.copyto, src=data))


class _Format(NamedTuple):
    """How files of a kind are opened, and what of it can be stated."""

    name: str
    opened: Callable[..., AbstractContextManager[OpenVolume]]
    takes: tuple[str, ...] = ()


FOLDER = _Format("a folder of TIFF images", _folder)
TIFF = _Format("a stack of TIFF images", _tiff)
HDF5 = _Format("an HDF5 file", _hdf5, ("dataset",))
RAW = _Format("a raw file of numbers", _raw, ("shape", "dtype"))
FORMATS = {
    **dict.fromkeys((".tif", ".tiff"), TIFF),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".nxs"), HDF5),
    ".vtkhdf": HDF5._replace(name="a VTKHDF file with an ImageData"),
    ".nc": _Format("a netCDF file", _netcdf, ("dataset",)),
    ".npy": _Format("a file that numpy.save made", _npy),
    ".npz": _Format("a file that numpy.savez made", _npz, ("dataset",)),
    **dict.fromkeys((".raw", ".bin", ".vol", ".dat"), RAW),
}
IMAGES = {
    **dict.fromkeys((".tif", ".tiff"), _Format("a TIFF image", _tiff_image)),
    ".png": _Format("a PNG image", _png),
    **dict.fromkeys((".h5", ".hdf5"), HDF5._replace(opened=_hdf5_image)),
    ".npy": FORMATS[".npy"]._replace(opened=_npy_image),
    ".npz": FORMATS[".npz"]._replace(opened=partial(_npz, n_axes=2)),
}
