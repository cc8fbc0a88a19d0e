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

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import VolumeFileError
from .array_volumes import open_npy, open_npy_image, open_npz, open_raw
from .hdf5_volumes import open_hdf5, open_hdf5_image, open_netcdf
from .image_volumes import STACK, open_folder, open_png, open_tiff, open_tiff_image
from .volumes import (
    OpenVolume,
    Shape,
    Volume,
    readable,
)


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
        with readable(str(path), form.name):
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


class _Format(NamedTuple):
    """How files of a kind are opened, and what of it can be stated."""

    name: str
    opened: Callable[..., AbstractContextManager[OpenVolume]]
    takes: tuple[str, ...] = ()


FOLDER = _Format("a folder of TIFF images", open_folder)
TIFF = _Format(STACK, open_tiff)
HDF5 = _Format("an HDF5 file", open_hdf5, ("dataset",))
RAW = _Format("a raw file of numbers", open_raw, ("shape", "dtype"))
FORMATS = {
    **dict.fromkeys((".tif", ".tiff"), TIFF),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".nxs"), HDF5),
    ".vtkhdf": HDF5._replace(name="a VTKHDF file with an ImageData"),
    ".nc": _Format("a netCDF file", open_netcdf, ("dataset",)),
    ".npy": _Format("a file that numpy.save made", open_npy),
    ".npz": _Format("a file that numpy.savez made", open_npz, ("dataset",)),
    **dict.fromkeys((".raw", ".bin", ".vol", ".dat"), RAW),
}
IMAGES = {
    **dict.fromkeys((".tif", ".tiff"), _Format("a TIFF image", open_tiff_image)),
    ".png": _Format("a PNG image", open_png),
    **dict.fromkeys((".h5", ".hdf5"), HDF5._replace(opened=open_hdf5_image)),
    ".npy": FORMATS[".npy"]._replace(opened=open_npy_image),
    ".npz": FORMATS[".npz"]._replace(opened=partial(open_npz, n_axes=2)),
}
