"""The table of the interfaces: one row for each pair of grains that share a boundary.

It is written as CSV, where every column has its unit in its name, or as netCDF-4/CF, which
xarray opens, by the suffix of the file: ``.csv`` or ``.nc``. `COLUMNS` says what the columns
mean; both hold all digits.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator import hdf5_files
from ...generator.errors import ExportError
from ...generator.grains.misorientation import disorientation_deg
from ...generator.particle import OUTSIDE, Particle
from ...generator.progress import Progress
from ..files.array_fields import take_arrays
from ..files.atomic import replacing
from ..files.cf import dimension, new_file, set_text, variable
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.mesher import volume_mesh
from ..meshing.sizes import DEFAULT_SIZE_UM
from ..surfaces.grain_surfaces import GrainSurfaces, grain_surfaces

if TYPE_CHECKING:
    import pandas as pd

KIND = "cathodegrain/interfaces"
VERSION = "1.0.0"
KINDS: dict[str, type] = {"grain_low": np.int32, "grain_high": np.int32, "n_facets": np.int64}
CLOSED = 1e-9  # sum of the normals, as a part of the area: below it there is no mean normal

COLUMNS = {  # name in the files: (unit, meaning)
    "grain_low": ("1", "lower grain id"),
    "grain_high": ("1", "higher grain id"),
    "n_facets": ("1", "number of triangles"),
    "area_um2": ("um^2", "area"),
    "perimeter_um": ("um", "length of its edge: triple lines and where it meets the shell"),
    "normal_x": ("1", "mean unit normal from low to high, x; nan if the interface is closed"),
    "normal_y": ("1", "mean unit normal from low to high, y"),
    "normal_z": ("1", "mean unit normal from low to high, z"),
    "radial_angle_deg": (
        "degree",
        "angle between normal and the line from the centre of the particle, 0 to 90, mean over "
        "the area: 0 where the interface faces the shell, 90 where it points to the centre",
    ),
    "depth_um": ("um", "depth below the shell along that line, mean over the area"),
    "misorientation_deg": (
        "degree",
        "smallest angle of rotation between the crystals, symmetry 32 (R-3m: c = e_3, a = e_1)",
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class Interfaces:
    """Boundaries between pairs of grains, n of them, sorted by pair. Made by `interfaces`.

    Parameters
    ----------
    grain_low, grain_high : (n,) int32
        Grain ids.
    n_facets : (n,) int
        Number of triangles.
    area_um2 : (n,) float
    perimeter_um : (n,) float
        Length of the edges that have one triangle of the interface.
    normal : (n, 3) float
        Area vector from low to high, as a unit vector; NaN for a closed interface.
    radial_angle_deg : (n,) float
        Angle in [0, 90] between the normal of a triangle and the line from the particle's
        centre, the origin, to its centroid; mean over the area.
    depth_um : (n,) float
        Radius of the shell in the direction of a triangle's centroid, minus the distance of
        that from the centre; mean over the area.
    misorientation_deg : (n,) float or None
        Smallest angle of rotation between the two crystals; None without orientations.
    """

    grain_low: NDArray[np.int32]
    grain_high: NDArray[np.int32]
    n_facets: NDArray[np.int64]
    area_um2: NDArray[np.float64]
    perimeter_um: NDArray[np.float64]
    normal: NDArray[np.float64]
    radial_angle_deg: NDArray[np.float64]
    depth_um: NDArray[np.float64]
    misorientation_deg: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        n = len(self)
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        shapes = {name: (n, 3) if name == "normal" else (n,) for name in given}
        take_arrays(self, **{name: (KINDS.get(name, np.float64), shapes[name]) for name in given})

    def __repr__(self) -> str:
        n_grains = len(np.union1d(self.grain_low, self.grain_high))
        area = self.area_um2.sum()
        return f"Interfaces({len(self)} between {n_grains} grains, area {area:.4g} um^2)"

    def __len__(self) -> int:
        """Number of interfaces."""
        return len(self.grain_low)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of the files by name, as in `COLUMNS`."""
        normals = dict(zip(("normal_x", "normal_y", "normal_z"), self.normal.T, strict=True))
        found = {name: normals.get(name, getattr(self, name, None)) for name in COLUMNS}
        return {name: values for name, values in found.items() if values is not None}

    def frame(self) -> pd.DataFrame:
        """The table for pandas: a row for each interface, units in the names of the columns."""
        import pandas as pd

        return pd.DataFrame(self.columns)


def interfaces(surfaces: GrainSurfaces, particle: Particle) -> Interfaces:
    """Measures of the boundary between each pair of grains of ``particle``."""
    between = surfaces.pairs[:, 0] != OUTSIDE
    triangles, pairs = surfaces.triangles[between], surfaces.pairs[between]
    found, row = np.unique(pairs, axis=0, return_inverse=True)
    row, n = row.ravel(), len(found)
    a, b, c = (surfaces.points[triangles[:, k]] for k in range(3))
    vectors = np.cross(c - a, b - a) / 2  # of the triangle's area, from low to high
    centroids = (a + b + c) / 3
    areas = np.linalg.norm(vectors, axis=1)
    total = _summed(areas, row, n)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _summed(areas * values, row, n) / total

    along = np.abs(np.einsum("ij,ij->i", vectors, centroids))
    across = np.linalg.norm(np.cross(vectors, centroids), axis=1)
    return Interfaces(
        grain_low=found[:, 0],
        grain_high=found[:, 1],
        n_facets=np.bincount(row, minlength=n),
        area_um2=total,
        perimeter_um=_perimeters(surfaces.points, triangles, row, n),
        normal=_mean_normals(vectors, row, total),
        radial_angle_deg=mean(np.degrees(np.arctan2(across, along))),
        depth_um=mean(particle.depth(centroids)),
        misorientation_deg=_misorientations(particle, found),
    )


def _mean_normals(
    vectors: NDArray[np.float64], row: NDArray[np.int64], areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums = np.stack([_summed(column, row, len(areas)) for column in vectors.T], axis=1)
    length = np.linalg.norm(sums, axis=1)
    length[length <= CLOSED * areas] = np.nan
    normals: NDArray[np.float64] = sums / length[:, None]
    return normals


def _perimeters(
    points: NDArray[np.float64], triangles: NDArray[np.int64], row: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Length of the edges with one triangle of each row."""
    ends = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    keys = np.column_stack([np.repeat(row, 3), ends])
    edges, count = np.unique(keys, axis=0, return_counts=True)
    rim = edges[count == 1]
    lengths = np.linalg.norm(points[rim[:, 1]] - points[rim[:, 2]], axis=1)
    return _summed(lengths, rim[:, 0], n)


def _summed(values: NDArray[np.float64], row: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Sum of the values of each of n rows."""
    sums = np.zeros(n)
    np.add.at(sums, row, values)
    return sums


def _misorientations(particle: Particle, pairs: NDArray[np.int32]) -> NDArray[np.float64] | None:
    if particle.orientations is None:
        return None
    return disorientation_deg(*(particle.orientations[pairs[:, k] - 1] for k in range(2)))


def write(
    source: Particle | Interfaces,
    path: str | Path,
    *,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    force: bool = False,
    mesh: VolumeMesh | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the table of a particle, or a table that is there, as ``.csv`` or ``.nc``.

    Raises
    ------
    ExportError
        If the suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".nc"):
        msg = f"{path} ends in {path.suffix!r}, expected '.csv' or '.nc'"
        raise ExportError(msg)
    table = source
    if isinstance(table, Particle):
        mesh = mesh or volume_mesh(table, size_um, boundary_size_um, progress, force=force)
        table = interfaces(grain_surfaces(mesh), table)
    (_write_csv if path.suffix == ".csv" else _write_netcdf)(table, path)
    return path


def _write_csv(table: Interfaces, path: Path) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table.columns)
    rows.writerows(zip(*(values.tolist() for values in table.columns.values()), strict=True))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), "ascii")


def _write_netcdf(table: Interfaces, path: Path) -> None:
    with new_file(path) as file:
        set_text(
            file,
            schema=KIND,
            schema_version=VERSION,
            Conventions="CF-1.11",
            title="Interfaces between the grains of a virtual NMC811 particle",
            source="cathodegrain",
        )
        numbers = np.arange(1, len(table) + 1, dtype=np.int32)
        dimension(file, "interface", numbers, long_name="number of the interface")
        for name, values in table.columns.items():
            units, meaning = COLUMNS[name]
            variable(file, name, values, ("interface",), units=units, long_name=meaning)


def read(path: str | Path) -> Interfaces:
    """Table of a file that `write` made.

    Raises
    ------
    ExportError
        If the file cannot be read or is no such table.
    """
    try:
        read_columns = _read_netcdf if Path(path).suffix == ".nc" else _read_csv
        columns = read_columns(Path(path))
        normal = np.stack([columns.pop(f"normal_{axis}") for axis in "xyz"], axis=1)
        columns.setdefault("misorientation_deg", None)
        return Interfaces(normal=normal, **columns)
    except hdf5_files.FAILURES as error:
        msg = f"{path} is no readable table of interfaces ({error}); write it again"
        raise ExportError(msg) from error


def _read_csv(path: Path) -> dict[str, Any]:
    names, *rows = csv.reader(path.read_text("ascii").splitlines())
    cells = np.array(rows, dtype=str).reshape(len(rows), len(names))
    return {name: cells[:, k].astype(KINDS.get(name, np.float64)) for k, name in enumerate(names)}


def _read_netcdf(path: Path) -> dict[str, Any]:
    with hdf5_files.self_contained(path) as file:
        return {name: file[name][()] for name in COLUMNS if name in file}
