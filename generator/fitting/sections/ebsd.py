"""EBSD maps: the crystal orientations of one phase on square pixels.

=============================== ======================================== ====================
file                            of                                       read by
=============================== ======================================== ====================
``.ang``                        EDAX, EMsoft, ASTAR                      orix
``.ctf``                        Channel Text File: Oxford, Bruker, MTEX  orix
``.h5`` ``.hdf5`` ``.h5ebsd``   orix, Bruker Nano, EMsoft                orix
``.h5oina``                     Oxford Instruments                       here, orix symmetry
=============================== ======================================== ====================

**Hexagonal grids** are resampled, since EDAX measures on them unless told not to, and the
model needs pixels: each square pixel, of the area of a hexagon, has the nearest point. No
orientation is interpolated; boundaries move by half a step at most.

**Axes of trigonal crystals.** The two-fold axes of the Laue class -3m, that of layered NMC, lie
along a. Euler angles of Oxford's files (``.ctf``, ``.h5oina``) refer to a crystal frame with x
along a*, all others are taken to have x along a. Quaternions of this class refer to x along a,
whatever the file; those of all others to the crystal frame of the file. Monoclinic crystals are
taken to have their two-fold axis along z, as orix does.

**Axes of the sample.** Quaternions are taken to refer to x along columns, y along rows and z into
the map. Files of microscopes often have Euler angles that refer to another frame than the places
do: `FRAMES` has what is usual, and MTEX calls the remedy ``convertEuler2SpatialReferenceFrame``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from ... import hdf5_files
from ...errors import FitError, suggestion
from ...markers.orientations import multiply
from ...measured.volumes import FAILURES, UNITS_UM
from ...progress import Step
from ...requirements import require

MAPS = (".ang", ".ctf", ".h5ebsd", ".h5oina")
MAKERS = ("orix", "Bruker", "EMEBSD")  # of HDF5 files that orix reads
LAUE = ("-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m")

ON_GRID = 0.1  # of a step, by which points may miss a grid
SQUARE = 0.01  # part by which the steps along x and y may differ

HALF = np.sqrt(0.5)
FRAMES = {  # half turns, (w, x, y, z), from the frame of the Euler angles to that of the map
    "map": (1.0, 0.0, 0.0, 0.0),  # as this software writes
    "x": (0.0, 1.0, 0.0, 0.0),  # usual in files of Oxford
    "y": (0.0, 0.0, 1.0, 0.0),
    "x+y": (0.0, HALF, HALF, 0.0),  # usual in files of EDAX
    "x-y": (0.0, HALF, -HALF, 0.0),
}
A_STAR = np.array([[np.cos(np.pi / 12), 0.0, 0.0, np.sin(np.pi / 12)]])  # from a, about c

Floats = NDArray[np.float64]


class Crystal(NamedTuple):
    """A phase: its name, its proper point group and the rotations of that, (k, 4) quaternions."""

    name: str
    group: str
    symmetries: Floats


@dataclass(frozen=True, eq=False)
class EbsdMap:
    """Orientations on square pixels.

    Parameters
    ----------
    quaternions
        (ny, nx, 4) float, unit quaternions (w, x, y, z), crystal to map.
    indexed
        (ny, nx) bool, whether a pixel is of the phase that was kept.
    crystal
        That phase.
    pixel_um
        Edge of a pixel, um; None if the file does not say.
    steps
        What was done.
    """

    quaternions: Floats
    indexed: NDArray[np.bool_]
    crystal: Crystal
    pixel_um: float | None
    steps: tuple[Step, ...]


class _Points(NamedTuple):
    """Points of a file in any order: places in its unit, and what was measured there."""

    x: Floats  # (n,)
    y: Floats
    unit: str
    quaternions: Floats  # (n, 4), crystal to sample
    phases: NDArray[np.int64]  # (n,), keys of crystals where indexed
    crystals: Mapping[int, Crystal]
    a_star: bool  # whether x of hexagonal and trigonal crystals lies along a*
    remark: str


def manufacturer(path: Path) -> str:
    """The manufacturer that an HDF5 file names; empty if there is none."""
    with _readable(path), hdf5_files.measured(path) as file:
        for name, node in file.items():
            if name.lower() == "manufacturer" and isinstance(node, h5py.Dataset):
                value = np.ravel(node[()])[0]
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A sentence in place of what the libraries raise."""
    try:
        yield
    except FAILURES as error:
        msg = f"{path} cannot be read ({error}); expected an EBSD map, export it again"
        raise FitError(msg) from error


def read_map(path: str | Path, phase: str | None = None, frame: str = "map") -> EbsdMap:
    """Orientations of one phase of an EBSD map, on square pixels.

    Parameters
    ----------
    frame
        Key of `FRAMES`.
    """
    path = Path(path)
    if frame not in FRAMES:
        msg = f"the frame of the Euler angles is {frame!r}; {suggestion(frame, FRAMES)}"
        raise FitError(msg)
    orix = _load_orix(path)
    with _readable(path):
        points = _oina(path) if path.suffix.lower() == ".h5oina" else _orix_points(path, orix)
    _require_finite(path, points)
    index, step, grid = _grid(path, points)
    kept, choice = _kept_phase(path, points, phase)
    indexed = (index >= 0) & (points.phases[index] == kept)
    unit = UNITS_UM.get(points.unit)
    shape = f"{index.shape[0]} x {index.shape[1]} pixels (y, x)"
    steps = (
        Step("map", 0, f"{shape}{grid}, step {step:.6g} {points.unit}; {points.remark}"),
        Step("phase", 0, choice),
        Step("frame", 0, _frame_sentence(frame)),
    )
    return EbsdMap(
        quaternions=_to_map(points, kept, frame)[index],
        indexed=indexed,
        crystal=points.crystals[kept],
        pixel_um=None if unit is None else step * unit,
        steps=steps,
    )


def _to_map(points: _Points, kept: int, frame: str) -> Floats:
    """Quaternions (n, 4) from the crystal of one phase, x along a if it is -3m, to the map."""
    found = points.quaternions
    if points.a_star and points.crystals[kept].group == "32":
        found = multiply(found, np.tile(A_STAR * [1.0, -1.0, -1.0, -1.0], (len(found), 1)))
    return found if frame == "map" else multiply(np.tile(FRAMES[frame], (len(found), 1)), found)


def _frame_sentence(frame: str) -> str:
    about = "" if frame == "map" else f", turned by 180 degrees about {frame}"
    return f"Euler angles are taken to refer to the axes of the map{about}"


def _load_orix(path: Path) -> Any:
    require("ebsd", "orix", purpose=f"EBSD maps as {path}", error=FitError)
    import orix
    import orix.io

    return orix


def _orix_points(path: Path, orix: Any) -> _Points:
    """Points of a map that orix reads."""
    if h5py.is_hdf5(path) and not any(name in (maker := manufacturer(path)) for name in MAKERS):
        msg = (
            f"{path} is by {maker or 'no named manufacturer'}, expected one of {list(MAKERS)}; "
            "export it as .ang, .ctf or .h5oina"
        )
        raise FitError(msg)
    with warnings.catch_warnings(record=True) as said, redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        found = orix.io.load(str(path))
    remark = f"read by orix {orix.__version__}"
    if said:
        remark += ", which warns: " + "; ".join(str(warning.message) for warning in said)
    n = found.size
    return _Points(
        x=np.zeros(n) if found.x is None else np.asarray(found.x, np.float64),
        y=np.zeros(n) if found.y is None else np.asarray(found.y, np.float64),
        unit=str(found.scan_unit),
        quaternions=_crystal_to_sample(found.rotations),
        phases=np.asarray(found.phase_id, np.int64),
        crystals={
            int(key): _crystal(path, one.name, one.point_group)
            for key, one in found.phases_in_data
            if key >= 0
        },
        a_star=path.suffix.lower() == ".ctf",
        remark=remark,
    )


def _crystal_to_sample(rotations: Any) -> Floats:
    """Quaternions (n, 4) of orix's rotations, which go from sample to crystal."""
    q: Floats = np.asarray(rotations.data, np.float64)
    best = q[:, 0] if q.ndim == 3 else q  # dictionary indexing has several, the best one first
    return best * [1.0, -1.0, -1.0, -1.0]


def _crystal(path: Path, name: str, point_group: Any) -> Crystal:
    """A phase with the proper rotations of its Laue class."""
    if point_group is None:
        msg = (
            f"{path} does not say the symmetry of phase {name!r}, expected its point group: "
            "misorientations need it; export the map with its phases"
        )
        raise FitError(msg)
    group = point_group.laue_proper_subgroup
    symmetries = np.asarray(group.data, np.float64).reshape(-1, 4)
    return Crystal(name, group.name, symmetries)


def _oina(path: Path) -> _Points:
    """Points of a file by the H5OINA specification: the EBSD data of its first slice."""
    from orix.crystal_map import Phase
    from orix.quaternion import Rotation

    with hdf5_files.measured(path) as file:
        ebsd = file["1/EBSD"]
        header = ebsd["Header"]
        nx, ny = (int(np.ravel(header[f"{axis} Cells"])[0]) for axis in "XY")
        dx, dy = (float(np.ravel(header[f"{axis} Step"])[0]) for axis in "XY")
        y, x = np.divmod(np.arange(nx * ny), nx)
        euler = np.nan_to_num(np.asarray(ebsd["Data/Euler"], np.float64).reshape(nx * ny, 3))
        phases = np.ravel(ebsd["Data/Phase"]).astype(np.int64)
        crystals = {}
        for key, node in header["Phases"].items():
            group = Phase(point_group=LAUE[int(np.ravel(node["Laue Group"])[0]) - 1]).point_group
            name = np.ravel(node["Phase Name"])[0]
            name = name.decode() if isinstance(name, bytes) else str(name)
            crystals[int(key)] = _crystal(path, name, group)
    return _Points(
        x=x * dx,
        y=y * dy,
        unit="um",
        quaternions=_crystal_to_sample(Rotation.from_euler(euler)),
        phases=np.where(phases == 0, -1, phases),
        crystals=crystals,
        a_star=True,
        remark="read by the H5OINA specification",
    )


def _require_finite(path: Path, points: _Points) -> None:
    """Refuse places, and orientations of indexed points, that are no numbers."""
    placed = np.isfinite(points.x) & np.isfinite(points.y)
    turned = np.isfinite(points.quaternions).all(axis=1) | (points.phases < 0)
    if n_bad := int(np.count_nonzero(~(placed & turned))):
        msg = (
            f"{path} has {n_bad} points whose place or Euler angles are no finite numbers, "
            "expected none among the indexed ones; export it again"
        )
        raise FitError(msg)


def _kept_phase(path: Path, points: _Points, phase: str | None) -> tuple[int, str]:
    """Key of the phase that is named, or of the most frequent one, and a sentence on it."""
    counts = {key: int(np.count_nonzero(points.phases == key)) for key in points.crystals}
    names = [points.crystals[key].name for key in counts]
    chosen = [key for key in counts if phase in (None, points.crystals[key].name)]
    if not chosen or not any(counts.values()):
        msg = f"{path} has the phases {names}, expected {phase or 'one with indexed points'!r}"
        raise FitError(msg)
    kept = max(chosen, key=lambda key: counts[key])
    part = {key: f"{count / len(points.phases):.1%}" for key, count in counts.items()}
    others = ", ".join(f"{points.crystals[k].name} ({part[k]})" for k in counts if k != kept)
    name, group, _ = points.crystals[kept]
    rest = f"; not kept, their pixels are missing: {others}" if others else ""
    return kept, f"{name} kept ({part[kept]} of the points), proper point group {group}{rest}"


def _grid(path: Path, points: _Points) -> tuple[NDArray[np.int64], float, str]:
    """Index of the point of each square pixel (ny, nx), or -1; their edge; what was resampled."""
    (columns, dx), (rows, dy) = (_along(path, *axis) for axis in (("x", points.x), ("y", points.y)))
    if _is_hexagonal(columns, rows, dx, dy):
        edge = float(2 * dx * np.sqrt(np.sqrt(0.75)))  # of the square as large as the hexagon
        return (
            _nearest(points, edge, 2 * dx),
            edge,
            f" resampled from a hexagonal grid of {2 * dx:.6g}",
        )
    if abs(dx - dy) > SQUARE * dx:
        msg = (
            f"{path} has steps of {dx:.4g} along x and {dy:.4g} {points.unit} along y, expected "
            "square pixels; resample the map"
        )
        raise FitError(msg)
    index = np.full((rows.max() + 1, columns.max() + 1), -1, np.int64)
    index[rows, columns] = np.arange(len(rows))
    return index, (dx + dy) / 2, ""


def _along(path: Path, name: str, places: Floats) -> tuple[NDArray[np.int64], float]:
    """Number of each place on an axis of equal steps, from 0, and the step."""
    values = np.unique(places)
    if len(values) < 2:
        msg = f"{path} has one {name} only, expected a map of pixels; line scans are no sections"
        raise FitError(msg)
    gaps = np.diff(values)
    step = float(np.median(gaps[gaps > ON_GRID * gaps.max()]))
    step = float(values[-1] - values[0]) / max(1, round(float(values[-1] - values[0]) / step))
    numbers = np.rint((places - values[0]) / step).astype(np.int64)
    if np.abs(places - values[0] - numbers * step).max() > ON_GRID * step:
        msg = (
            f"{path} has points between the steps of {step:.4g} along {name}, expected a regular "
            "grid; resample the map"
        )
        raise FitError(msg)
    return numbers, step


def _is_hexagonal(
    columns: NDArray[np.int64], rows: NDArray[np.int64], dx: float, dy: float
) -> bool:
    """Whether rows are shifted by half a step against each other: every second place is empty."""
    parity = (columns + rows) % 2
    return bool((parity == parity[0]).all()) and abs(dy / dx - np.sqrt(3)) < 0.05


def _nearest(points: _Points, edge: float, reach: float) -> NDArray[np.int64]:
    """Index of the nearest point of each square pixel (ny, nx); -1 beyond ``reach``."""
    from scipy.spatial import cKDTree

    x, y = (np.arange(a.min(), a.max() + edge / 2, edge) for a in (points.x, points.y))
    pixels = np.stack(np.meshgrid(x, y), axis=-1)
    tree = cKDTree(np.column_stack([points.x, points.y]))
    distance, index = tree.query(pixels.reshape(-1, 2))
    nearest: NDArray[np.int64] = np.where(distance <= reach, index, -1).reshape(pixels.shape[:2])
    return nearest
