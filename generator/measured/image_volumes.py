"""Volumes and images in TIFF and PNG files, and in folders of slices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..errors import VolumeFileError
from ..requirements import require
from .volumes import (
    NOWHERE,
    UNITS_UM,
    ZERO,
    Header,
    Lengths,
    OpenVolume,
    Place,
    array_volume,
    checked_edges,
    one_layer,
    readable,
)

STACK = "a stack of TIFF images"


def _load_tifffile() -> ModuleType:
    require("fit", "tifffile", purpose="TIFF files", error=VolumeFileError)
    import tifffile

    module: ModuleType = tifffile
    return module


@contextmanager
def open_tiff(path: Path) -> Iterator[OpenVolume]:
    """Volume of the pages of a TIFF file."""
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

    return array_volume(source, series, place=place, fill=fill)


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

    return array_volume(source, Header((n, *first.shape), first.dtype), place=place, fill=fill)


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
    return checked_edges(str(path), [edge * unit for edge in edges])


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
    return checked_edges(str(path), edges)


@contextmanager
def open_folder(path: Path) -> Iterator[OpenVolume]:
    """Volume of the numbered TIFF files of a folder."""
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
        with readable(str(path), STACK), _load_tifffile().TiffFile(path) as file:
            if len(file.pages) != 1:
                msg = (
                    f"{path} has {len(file.pages)} pages, expected one in each file of a "
                    "folder; name the file itself to read its pages"
                )
                raise VolumeFileError(msg)
            page = file.pages[0]
            return cls(path, page.shape, page.dtype, page.axes)

    def asarray(self, out: NDArray[Any]) -> None:
        with readable(str(self.path), STACK), _load_tifffile().TiffFile(self.path) as file:
            out[...] = file.pages[0].asarray()


@contextmanager
def open_tiff_image(path: Path) -> Iterator[OpenVolume]:
    """Image of a TIFF file of one page."""
    with _load_tifffile().TiffFile(path) as file:
        _require_whole(path, file)
        if len(file.series) != 1:
            msg = f"{path} holds {len(file.series)} images, expected one; save each in a file"
            raise VolumeFileError(msg)
        image = file.series[0]
        _require_grey(str(path), image)
        yield one_layer(str(path), image, lambda out: image.asarray(out=out))


@contextmanager
def open_png(path: Path) -> Iterator[OpenVolume]:
    """Image of a PNG file; of one with a palette its indices."""
    with _load_pillow().open(path) as image:
        bands = image.getbands()
        if len(bands) != 1:
            msg = (
                f"{path} is in colour (bands {', '.join(bands)}), expected one value for each "
                "pixel; save it as grey levels or with a palette"
            )
            raise VolumeFileError(msg)
        values = np.asarray(image)
        yield one_layer(str(path), values, partial(np.copyto, src=values))


def _load_pillow() -> ModuleType:
    require("fit", "PIL", purpose="PNG files", error=VolumeFileError)
    from PIL import Image

    module: ModuleType = Image
    return module
