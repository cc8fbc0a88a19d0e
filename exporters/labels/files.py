"""Files of labelled voxels: VTKHDF images, NumPy arrays, TIFF stacks.

=============== =================================================== =========================
file            labels                                              pitch
=============== =================================================== =========================
``.vtkhdf``     cell array ``grain_id``, or the only one of whole   its Spacing, um; a
                numbers, of an ImageData                            Spacing of 1 says nothing
``.npy``        the array, axes z, y, x                             not in the file
``.tif``        the pages, axes z, y, x                             ImageJ's, if in micrometres
=============== =================================================== =========================

`generator.measured.open` reads them. Voxels are cubes. Coordinates are those of the file where
it has any; else the lower corner of the first voxel is the origin.
"""

from __future__ import annotations

from pathlib import Path

from ...generator import hdf5_files
from ...generator.errors import ExportError, VolumeFileError
from ...generator.measured.open import open_volume
from ...generator.measured.volumes import Volume
from .label_volume import LabelVolume, require_memory

EQUAL = 1e-4  # lengths that differ by less than this part are equal: TIFF has 32 bits
SUFFIXES = (".npy", ".tif", ".tiff", ".vtkhdf")


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
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path} has the suffix {path.suffix!r}, expected one of {list(SUFFIXES)}"
        raise ExportError(msg)
    if not path.is_file():
        msg = f"{path} is not a file; expected labelled voxels"
        raise ExportError(msg)
    volume = _read(path)
    pitch = _pitch(path, _cubes(path, volume), pitch_um)
    scale = pitch if volume.voxel_um is None else 1.0
    x, y, z = (scale * c for c in volume.origin_um)
    try:
        return LabelVolume(volume.values, pitch, (x, y, z))
    except ExportError as error:
        msg = f"{path}: {error}"
        raise ExportError(msg) from error


def _read(path: Path) -> Volume:
    try:
        dataset = _label_array(path) if path.suffix.lower() == ".vtkhdf" else None
        with open_volume(path, dataset=dataset) as found:
            require_memory(found.shape)
            return found.read()
    except VolumeFileError as error:
        raise ExportError(str(error)) from error


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


def _cubes(path: Path, volume: Volume) -> float | None:
    """Edge of a voxel whose edges are equal; None if the file does not say."""
    if volume.voxel_um is None:
        return None
    z, y, x = volume.voxel_um
    if max(z, y, x) - min(z, y, x) > EQUAL * max(z, y, x):
        msg = (
            f"{path} has voxels of {x:g} x {y:g} x {z:g}, expected cubes: smooth surfaces through "
            "voxels and errors in voxels need one length; resample the labels, for example "
            "scipy.ndimage.zoom(labels, factors, order=0)"
        )
        raise ExportError(msg)
    return x


def _label_array(path: Path) -> str:
    """Name of ``grain_id``, or of the only array of whole numbers on cells."""
    try:
        with hdf5_files.measured(path) as file:
            cells = file["VTKHDF"].get("CellData", {})
            whole = [n for n in cells if cells[n].dtype.kind in "iu" and cells[n].ndim == 3]
            names = sorted(cells)
    except hdf5_files.FAILURES as error:
        msg = f"{path} cannot be read ({error}); expected a VTKHDF file with an ImageData"
        raise ExportError(msg) from error
    chosen = ["grain_id"] if "grain_id" in names else whole
    if len(chosen) != 1:
        msg = (
            f"{path} has the cell arrays {names}, of which {len(whole)} hold whole "
            "numbers; expected one, or one that is named grain_id"
        )
        raise ExportError(msg)
    return f"VTKHDF/CellData/{chosen[0]}"
