"""Files of labelled voxels: VTKHDF images, NumPy arrays, TIFF stacks.

=============== =================================================== =========================
file            labels                                              pitch
=============== =================================================== =========================
``.vtkhdf``     cell array ``grain_id``, or the only one of whole   its Spacing, um; a
                numbers, of an ImageData                            Spacing of 1 says nothing
``.npy``        the array, axes z, y, x                             not in the file
``.tif``        the pages, axes z, y, x                             ImageJ's, if in micrometres
=============== =================================================== =========================

Voxels are cubes. Coordinates are those of the file where it has any; else the lower corner of
the first voxel is the origin.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..generator.errors import ExportError
from .label_volume import LabelVolume, require_memory

EQUAL = 1e-4  # lengths that differ by less than this part are equal: TIFF has 32 bits
MICROMETRES = ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "\\u00B5m")

Corner = tuple[float, float, float]


def read_labels(path: str | Path, pitch_um: float | None = None) -> LabelVolume:
    """Labelled voxels of a file.

    Parameters
    ----------
    pitch_um
        Edge of a voxel, um, for a file that does not say.

    Raises
    ------
    ExportError
        If the file cannot be read, holds no grain ids on a grid of cubes, or the pitch is
        not known or contradicts the file.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        msg = f"{path} has the suffix {path.suffix!r}, expected one of {sorted(READERS)}"
        raise ExportError(msg)
    if not path.is_file():
        msg = f"{path} is not a file; expected labelled voxels"
        raise ExportError(msg)
    labels, own, corner = READERS[path.suffix.lower()](path)
    pitch = _pitch(path, own, pitch_um)
    if own is None:
        corner = (corner[0] * pitch, corner[1] * pitch, corner[2] * pitch)
    try:
        return LabelVolume(labels, pitch, corner)
    except ExportError as error:
        msg = f"{path}: {error}"
        raise ExportError(msg) from error


def _pitch(path: Path, own: float | None, given: float | None) -> float:
    """The pitch of the file or the given one; they must not contradict each other."""
    if own is None and given is None:
        msg = f"{path} does not say how large a voxel is; give its edge in um, as in --pitch 0.1"
        raise ExportError(msg)
    if own is None or given is None:
        return float(own if given is None else given)  # type: ignore[arg-type]
    if not abs(given - own) <= EQUAL * own:
        msg = (
            f"{path} says that a voxel is {own:g} um, --pitch says {given:g} um; leave --pitch out "
            "or correct the file"
        )
        raise ExportError(msg)
    return own


def _cubes(path: Path, spacing: NDArray[np.float64]) -> float:
    """Edge of a voxel whose edges along x, y, z are equal."""
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        msg = f"{path} says that voxels are {spacing.tolist()}, expected positive lengths"
        raise ExportError(msg)
    if np.ptp(spacing) > EQUAL * spacing.max():
        x, y, z = spacing.tolist()
        msg = (
            f"{path} has voxels of {x:g} x {y:g} x {z:g}, expected cubes: smooth surfaces through "
            "voxels and errors in voxels need one length; resample the labels, for example "
            "scipy.ndimage.zoom(labels, factors, order=0)"
        )
        raise ExportError(msg)
    return float(spacing[0])


def _read_vtkhdf(path: Path) -> tuple[NDArray[Any], float | None, Corner]:
    try:
        with h5py.File(path) as file:
            image = file["VTKHDF"]
            kind = image.attrs["Type"]
            kind = kind.decode() if isinstance(kind, bytes) else str(kind)
            if kind != "ImageData":
                msg = f"{path} holds {kind}, expected ImageData: labelled voxels"
                raise ExportError(msg)
            if not np.allclose(image.attrs.get("Direction", np.eye(3).ravel()), np.eye(3).ravel()):
                msg = f"{path} has turned axes (Direction), expected x, y, z"
                raise ExportError(msg)
            data = _label_array(path, image)
            require_memory(data.shape)
            spacing = np.array(image.attrs["Spacing"], np.float64)
            origin = np.array(image.attrs["Origin"], np.float64)
            extent = np.array(image.attrs["WholeExtent"])
            labels = data[()]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        msg = f"{path} cannot be read ({error}); expected a VTKHDF file with an ImageData"
        raise ExportError(msg) from error
    pitch = _cubes(path, spacing)
    x, y, z = (origin + extent[::2] * spacing).tolist()
    return labels, None if (spacing == 1.0).all() else pitch, (x, y, z)


def _label_array(path: Path, image: h5py.Group) -> h5py.Dataset:
    """``grain_id``, or the only array of whole numbers on cells."""
    cells = image.get("CellData", {})
    if "grain_id" in cells:
        return cells["grain_id"]
    whole = [name for name in cells if cells[name].dtype.kind in "iu" and cells[name].ndim == 3]
    if len(whole) != 1:
        msg = (
            f"{path} has the cell arrays {sorted(cells)}, of which {len(whole)} hold whole "
            "numbers; expected one, or one that is named grain_id"
        )
        raise ExportError(msg)
    return cells[whole[0]]


def _read_npy(path: Path) -> tuple[NDArray[Any], float | None, Corner]:
    try:
        lazy = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path} cannot be read ({error}); expected a file that numpy.save made"
        raise ExportError(msg) from error
    require_memory(lazy.shape)
    return np.array(lazy), None, (0.0, 0.0, 0.0)


def _load_tifffile() -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        msg = (
            f"TIFF files need tifffile, not installed here ({error}); "
            "try: pip install 'cathodegrain[mesh]'"
        )
        raise ExportError(msg) from error
    module: ModuleType = tifffile
    return module


def _read_tiff(path: Path) -> tuple[NDArray[Any], float | None, Corner]:
    tifffile = _load_tifffile()
    try:
        with tifffile.TiffFile(path) as file:
            require_memory(file.series[0].shape)
            labels = file.asarray()
            spacing = _imagej_spacing(file)
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError) as error:
        msg = f"{path} cannot be read ({error}); expected a stack of TIFF images"
        raise ExportError(msg) from error
    return labels, None if spacing is None else _cubes(path, spacing), (0.0, 0.0, 0.0)


def _imagej_spacing(file: Any) -> NDArray[np.float64] | None:
    """Edges of a voxel along x, y, z in um, if ImageJ wrote them."""
    known = file.imagej_metadata or {}
    if known.get("unit") not in MICROMETRES or "spacing" not in known:
        return None
    tags = file.pages[0].tags
    if not {"XResolution", "YResolution"} <= {tag.name for tag in tags}:
        return None
    pixels = [tags[name].value for name in ("XResolution", "YResolution")]
    if any(up == 0 for up, _ in pixels):
        return None
    return np.array([*(down / up for up, down in pixels), float(known["spacing"])])


READERS: dict[str, Callable[[Path], tuple[NDArray[Any], float | None, Corner]]] = {
    ".vtkhdf": _read_vtkhdf,
    ".npy": _read_npy,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
}
