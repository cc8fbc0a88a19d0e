"""Volumes and images in HDF5 and netCDF files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .. import hdf5_files
from ..errors import VolumeFileError
from .volumes import (
    NO_VARIABLE,
    ZERO,
    Coordinates,
    Header,
    OpenVolume,
    Place,
    Shape,
    array_volume,
    checked_edges,
    chosen_array,
    copy_volume,
    is_numeric,
    one_layer,
    place_of,
    spatial_axes,
    text_of,
)


@contextmanager
def open_hdf5(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    """Volume of an HDF5 file: its only array with three axes, or the named one."""
    with hdf5_files.measured(path) as file:
        data = _hdf5_array(path, file, dataset)
        source = f"{path}:{data.name}"
        names = [text_of(_dimension_name(dim)) for dim in data.dims]
        axes = spatial_axes(source, data.shape, data.dtype, names)
        yield array_volume(source, data, axes, _hdf5_place(source, file, data, axes))


def _hdf5_array(path: Path, file: h5py.File, dataset: str | None, n_axes: int = 3) -> h5py.Dataset:
    if dataset is not None and isinstance(file.get(dataset), h5py.Dataset):
        hdf5_files.require_no_raw_file(file[dataset])  # it may be linked from another file
        return file[dataset]
    arrays: dict[str, h5py.Dataset] = {}

    def note(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[f"/{name}"] = node

    file.visititems(note)  # an array with several names is met once
    return arrays[chosen_array(path, arrays, dataset, n_axes)]


def _dimension_name(dimension: Any) -> Any:
    return dimension[0].name.rsplit("/", 1)[-1] if len(dimension) else dimension.label


def _hdf5_place(source: str, file: h5py.File, data: h5py.Dataset, axes: Shape) -> Place:
    """Place by VTK's ImageData, by the attribute of Fiji's plugin, or by dimension scales."""
    if "VTKHDF" in file and (place := _image_place(source, file["VTKHDF"], data)) is not None:
        return place
    if "element_size_um" in data.attrs:
        edges = np.ravel(data.attrs["element_size_um"]).tolist()
        return checked_edges(source, [edges[k] for k in axes] if len(edges) > 3 else edges), ZERO
    return place_of(source, [_scale(data.dims[k]) for k in axes])


def _image_place(source: str, image: h5py.Group, data: h5py.Dataset) -> Place | None:
    """Place of an array on the cells or points of an ImageData; None for any other array."""
    if (kind := text_of(image.attrs["Type"])) != "ImageData":
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
    edges = checked_edges(source, spacing[::-1].tolist())
    return None if (spacing == 1.0).all() else edges, (x, y, z)


def _scale(dimension: Any) -> Coordinates | None:
    """Coordinates that a dimension scale holds."""
    if not len(dimension):
        return None
    scale = dimension[0]
    blank = bytes(np.bytes_(scale.attrs.get("NAME", b""))).startswith(NO_VARIABLE)
    if blank or scale.ndim != 1 or not is_numeric(scale.dtype):
        return None
    return scale[()], text_of(scale.attrs.get("units", ""))


@contextmanager
def open_netcdf(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    """Volume of a netCDF-4 or netCDF-3 file."""
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    with (_netcdf3 if classic else open_hdf5)(path, dataset) as found:
        yield found


@contextmanager
def _netcdf3(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    from scipy.io import netcdf_file

    # without the map scipy reads all variables, twice; nothing may refer to it at the end
    with netcdf_file(path, mmap=True) as file:
        yield _netcdf3_array(path, file, dataset)


def _netcdf3_array(path: Path, file: Any, dataset: str | None) -> OpenVolume:
    shapes = {name: Header(v.shape, v.data.dtype) for name, v in file.variables.items()}
    name = chosen_array(path, shapes, dataset)
    source, names = f"{path}:{name}", file.variables[name].dimensions
    axes = spatial_axes(source, *shapes[name], names)
    coordinates = [_netcdf3_scale(file.variables.get(names[k])) for k in axes]

    def fill(out: NDArray[Any]) -> None:
        copy_volume(file.variables[name].data, axes, out)

    return array_volume(source, shapes[name], axes, place_of(source, coordinates), fill)


def _netcdf3_scale(variable: Any) -> Coordinates | None:
    if variable is None or len(variable.shape) != 1 or not is_numeric(variable.data.dtype):
        return None
    return np.array(variable.data), text_of(getattr(variable, "units", ""))


@contextmanager
def open_hdf5_image(path: Path, dataset: str | None = None) -> Iterator[OpenVolume]:
    """Image of an HDF5 file: its only array with two axes, or the named one."""
    with hdf5_files.measured(path) as file:
        data = _hdf5_array(path, file, dataset, n_axes=2)
        yield one_layer(f"{path}:{data.name}", data, data.read_direct)
