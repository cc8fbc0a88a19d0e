"""Index of a dataset: a row per particle and a row per grain, parquet and CSV.

Columns of the particles: ``COLUMNS``, then the bytes, and for products of one file the
sha256, of each product. Columns of the grains: ``GRAIN_COLUMNS``, in parts of a hundred
particles; the exact markers of a grain are in the recipe. Units are in the names, and once
more in the metadata of the parquet columns. A value that does not exist is null: the shape
of a grain without a voxel. CSV numbers of the grains have the precision of float32, as the
parquet ones.

Equal datasets give equal files, whoever wrote them.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ....generator import hdf5_files
from ....generator.errors import CathodegrainError, DatasetError
from ...files.atomic import replacing
from ...files.provenance import sha256
from ...particles import metadata, recipe
from ...products import grain_table
from ...products.registry import PRODUCTS
from .. import layout
from ..columns import table_of
from ..config import GRAINS, DatasetConfig
from ..folder import Dataset, on_disk, read
from .particle_task import is_finished

LEAST_VOXELS = 30  # smaller grains have no shape that counts in means
QUANTILES = (5, 25, 50, 75, 95)  # per cent

COLUMNS = {
    "particle_id": "id of the particle and name of its folder",
    "path": "folder of the particle",
    "model_sha256": "model card that it was drawn from",
    "entropy": "seed of the series, an integer in decimal digits",
    "index": "number of the particle in the series",
    "wasDerivedFrom": "particle of the same draws in the dataset that this one is derived from",
    "shell_draws": "draws of the shell until one was accepted",
    "volume_um3": "volume of the shell",
    "area_um2": "area of the shell",
    "diameter_um": "diameter of the ball of equal volume",
    "max_radius_um": "proven upper bound of the radius",
    "sphericity": "pi^(1/3) (6 V)^(2/3) / A",
    "a00_um": "first coefficient of the shell",
    "n_grains": "grains, each of which owns a point inside the shell",
    "n_grains_without_voxel": "grains that hold no voxel of the grain table's spacing",
    "n_grains_at_shell": "grains that touch the shell",
    **{
        f"grain_diameter_q{q:02d}_um": f"{q} % quantile of the diameter of the grains (by number)"
        for q in QUANTILES
    },
    "grain_diameter_mean_um": "mean diameter of the grains",
    "grain_volume_mean_um3": "mean volume of the grains",
    "grain_elongation_mean": f"mean of longest / middle axis, grains of {LEAST_VOXELS} voxels",
    "grain_flatness_mean": f"mean of middle / shortest axis, grains of {LEAST_VOXELS} voxels",
    "grain_radial_angle_mean_deg": "mean angle of long axis and radius; 57.3 if independent",
    "bytes": "size of all files of the particle",
}
GRAIN_COLUMNS = {
    "particle_id": "id of the particle",
    "grain_id": "id of the grain, 1..n_grains, in every product",
    **{f"seed_{axis}_um": "seed point" for axis in "xyz"},
    "offset": "additive marker r_i",
    "voxels": "number of voxels of the grain table",
    "volume_um3": "volume of the voxels",
    "diameter_um": "diameter of the ball of equal volume",
    **{f"centroid_{axis}_um": "centre of mass" for axis in "xyz"},
    **{f"{name}_um": f"{name} axis of the ellipsoid of equal moments"
       for name in ("longest", "middle", "shortest")},
    "radial_angle_deg": "angle between longest axis and radius",
    "touches_shell": "whether a voxel lies at the shell",
}  # fmt: skip
QUATERNION = {f"orientation_{q}": "unit quaternion, crystal to sample" for q in "wxyz"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What the index needs to know of a hundred particles.

    Parameters
    ----------
    rows
        Of the index of particles.
    hashes
        Of the files in their folders, as their documents list them, by name.
    """

    rows: tuple[Row, ...]
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class PartTask:
    """Write a part of the index of grains and give the rows of its particles."""

    folder: str

    def __call__(self, part: int) -> Part:
        """Part number ``part``.

        Raises
        ------
        DatasetError
            Lists every particle whose files are damaged.
        """
        dataset = read(self.folder)
        config = dataset.config
        rows: list[Row] = []
        tables: list[pa.Table] = []
        hashes: dict[str, str] = {}
        problems = []
        for index in indices_of(part, config):
            folder = Path(self.folder, layout.particle_path(index))
            if not (folder / metadata.NAME).is_file():
                continue
            try:
                _require_finished(folder, dataset, index)
                row, table = particle_rows(folder, config)
            except (CathodegrainError, *hdf5_files.FAILURES) as error:
                problems.append(str(error))
                continue
            rows.append(row)
            tables.append(table)
            hashes |= file_hashes(folder, row["path"])
        if problems:
            msg = f"{self.folder} cannot be indexed:\n  " + "\n  ".join(problems)
            raise DatasetError(msg)
        with on_disk(self.folder):
            self._write(part, tables)
        return Part(tuple(rows), hashes)

    def _write(self, part: int, tables: list[pa.Table]) -> None:
        places = {s: Path(self.folder, layout.grain_part_path(part, s)) for s in SUFFIXES}
        if not tables:
            for path in places.values():
                path.unlink(missing_ok=True)
            return
        table = pa.concat_tables(tables)
        for suffix, path in places.items():
            write_bytes(path, SUFFIXES[suffix](table))

    def failed(self, part: int, why: str) -> Part:
        """Say that a part could not be made.

        Raises
        ------
        DatasetError
            Always.
        """
        msg = f"part {part} of the index of {self.folder} was not made: {why}"
        raise DatasetError(msg)

    def sweep(self, part: int) -> None:
        """Leave all as it is: files are written whole."""


def _require_finished(folder: Path, dataset: Dataset, index: int) -> None:
    if not is_finished(folder, dataset.config, index, dataset.draws):
        msg = f"{folder} is damaged: files are missing or not as long as listed; build it again"
        raise DatasetError(msg)


def parts(config: DatasetConfig) -> range:
    """Numbers of the parts of the index of grains."""
    return range(_part(config.first), _part(config.first + config.count - 1) + 1)


def indices_of(part: int, config: DatasetConfig) -> Sequence[int]:
    """Particles of a part."""
    first = part * layout.PARTICLES_PER_PART
    inside = range(first, first + layout.PARTICLES_PER_PART)
    return range(max(first, config.indices.start), min(inside.stop, config.indices.stop))


def _part(index: int) -> int:
    return index // layout.PARTICLES_PER_PART


def file_hashes(folder: Path, name: str) -> dict[str, str]:
    """Hashes of a particle's files by their names in the dataset; those of products as listed."""
    fields = metadata.read(folder)
    found = {f"{name}/{product['path']}": product["sha256"] for product in fields["products"]}
    return {**found, f"{name}/{metadata.NAME}": sha256(folder / metadata.NAME)}


def particle_rows(folder: Path, config: DatasetConfig) -> tuple[Row, pa.Table]:
    """Row of a particle, and the table of its grains.

    Raises
    ------
    CathodegrainError, or one of `hdf5_files.FAILURES`
        If its files are damaged.
    """
    fields = metadata.read(folder)
    table = grain_table.read(folder / PRODUCTS[GRAINS].file)
    with hdf5_files.self_contained(folder / recipe.NAME) as file:
        found = {name: file[name][:] for name in RECIPE_VARIABLES if name in file}
    row = _identity(fields) | _shell(fields, found) | _grains(table)
    row |= _files(fields, folder, config)
    columns = _grain_columns(fields["id"], table, found)
    return row, _arrow(columns, GRAIN_COLUMNS | QUATERNION)


RECIPE_VARIABLES = ("shell_coefficient", "grain_seed", "grain_offset", "grain_orientation")


def _identity(fields: Mapping[str, Any]) -> Row:
    source = fields["provenance"]
    parent = source["wasDerivedFrom"]
    return {
        "particle_id": fields["id"],
        "path": layout.particle_path(source["index"]),
        "model_sha256": source["model_sha256"],
        "entropy": str(source["entropy"]),
        "index": source["index"],
        "wasDerivedFrom": parent and parent["id"],
        "shell_draws": source["shell_attempt"] + 1,
        "n_grains": fields["n_grains"],
    }


def _shell(fields: Mapping[str, Any], found: Mapping[str, NDArray[Any]]) -> Row:
    units = {"volume": "_um3", "area": "_um2", "diameter": "_um", "max_radius": "_um",
             "sphericity": ""}  # fmt: skip
    row: Row = {f"{k}{unit}": fields["shell"][k]["value"] for k, unit in units.items()}
    return row | {"a00_um": float(found["shell_coefficient"][0])}


def _grains(table: grain_table.GrainTable) -> Row:
    grains = table.morphology
    there = grains.voxel_count > 0
    shaped = grains.voxel_count >= LEAST_VOXELS
    diameters, lengths = grains.equivalent_diameter_um[there], grains.principal_lengths_um[shaped]
    return {
        "n_grains_without_voxel": int((~there).sum()),
        "n_grains_at_shell": int(grains.touches_shell.sum()),
        **{f"grain_diameter_q{q:02d}_um": float(np.percentile(diameters, q)) for q in QUANTILES},
        "grain_diameter_mean_um": float(diameters.mean()),
        "grain_volume_mean_um3": float(grains.volume_um3[there].mean()),
        "grain_elongation_mean": _mean(lengths[:, 0] / lengths[:, 1]),
        "grain_flatness_mean": _mean(lengths[:, 1] / lengths[:, 2]),
        "grain_radial_angle_mean_deg": _mean(grains.radial_angle_deg[shaped]),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of the values that exist."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _files(fields: Mapping[str, Any], folder: Path, config: DatasetConfig) -> Row:
    """Bytes of all files and of each product, and hashes of those of one file."""
    own = (folder / metadata.NAME).stat().st_size
    row: Row = {"bytes": own + sum(product["bytes"] for product in fields["products"])}
    for name in ("recipe", *(product.name for product in config.products)):
        files = [product for product in fields["products"] if product["format"] == name]
        column = name.replace("-", "_")
        row[f"{column}_bytes"] = sum(f["bytes"] for f in files) if files else None
        row[f"{column}_sha256"] = files[0]["sha256"] if len(files) == 1 else None
    return row


def _grain_columns(
    particle_id: str, table: grain_table.GrainTable, found: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    grains, n = table.morphology, len(table.morphology)
    orientations = found.get("grain_orientation")
    there = grains.voxel_count > 0
    lengths = np.where(there[:, None], grains.principal_lengths_um, np.nan)
    columns = {
        "particle_id": pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), [particle_id]),
        "grain_id": np.arange(1, n + 1, dtype=np.int32),
        **_named("seed_{}_um", "xyz", found["grain_seed"]),
        "offset": found["grain_offset"],
        "voxels": grains.voxel_count,
        "volume_um3": grains.volume_um3,
        "diameter_um": grains.equivalent_diameter_um,
        **_named("centroid_{}_um", "xyz", grains.centroid_um),
        **_named("{}_um", ("longest", "middle", "shortest"), lengths),
        "radial_angle_deg": grains.radial_angle_deg,
        "touches_shell": grains.touches_shell,
    }
    if orientations is not None:
        columns |= _named("orientation_{}", "wxyz", orientations)
    return columns


def _named(pattern: str, names: Sequence[str], array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {pattern.format(name): array[:, k] for k, name in enumerate(names)}


def _arrow(columns: Mapping[str, Any], meanings: Mapping[str, str]) -> pa.Table:
    """Table of columns, floats as float32 and NaN as null."""
    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype == np.float64:
            values = values.astype(np.float32)
        arrays[name] = (
            values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
        )
    return _described(pa.table(arrays), meanings)


def _described(table: pa.Table, meanings: Mapping[str, str]) -> pa.Table:
    """Table whose columns say what they mean."""
    fields = [
        field.with_metadata({"description": meanings[field.name]})
        if field.name in meanings
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def particle_table(rows: Sequence[Row], config: DatasetConfig) -> pa.Table:
    """Index of particles of its rows."""
    names = list(COLUMNS)
    for name in ("recipe", *(product.name for product in config.products)):
        names += [f"{name.replace('-', '_')}_{what}" for what in ("bytes", "sha256")]
    types = {name: _type(name) for name in names}
    arrays = {name: pa.array([row[name] for row in rows], types[name]) for name in names}
    return _described(pa.table(arrays), COLUMNS)


def _type(column: str) -> pa.DataType:
    if column in ("particle_id", "path", "entropy", "wasDerivedFrom") or column.endswith("_sha256"):
        return pa.string()
    whole = column in ("index", "shell_draws") or column.startswith("n_grains")
    return pa.int64() if whole or column.endswith("bytes") else pa.float64()


def parquet_bytes(table: pa.Table) -> bytes:
    """Parquet file of a table."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def csv_bytes(table: pa.Table) -> bytes:
    """CSV file of a table: UTF-8, commas, points, a header; null is empty."""
    sink = io.BytesIO()
    plain = pa.table([_plain(column) for column in table.columns], table.column_names)
    pa_csv.write_csv(plain, sink, pa_csv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def csv_gz_bytes(table: pa.Table) -> bytes:
    """Compressed CSV file of a table, without a time stamp."""
    return gzip.compress(csv_bytes(table), compresslevel=1, mtime=0)  # 6: six times as long


SUFFIXES = {"parquet": parquet_bytes, "csv.gz": csv_gz_bytes}


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, unless it holds that already."""
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_particles(rows: Sequence[Row], config: DatasetConfig, folder: Path) -> None:
    """Write the index of particles."""
    table = particle_table(rows, config)
    write_bytes(folder / layout.PARTICLE_INDEX, parquet_bytes(table))
    write_bytes(folder / layout.PARTICLE_INDEX_CSV, csv_bytes(table))


def read_particles(folder: str | Path) -> list[Row]:
    """Rows of the index of particles.

    Raises
    ------
    DatasetError
        If it is missing or damaged.
    """
    path = Path(folder) / layout.PARTICLE_INDEX
    try:
        rows: list[Row] = table_of(path.read_bytes()).to_pylist()
    except (OSError, pa.ArrowException) as error:
        msg = f"{path} cannot be read ({error}); write it again with cathodegrain dataset index"
        raise DatasetError(msg) from error
    return rows
