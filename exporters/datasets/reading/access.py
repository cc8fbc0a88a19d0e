"""Datasets in Python: an index, and particles that are read when they are asked for.

`open_dataset` opens a folder that was built or fetched, a folder of ZIP shards, or the web
address of either. Nothing is unpacked: HDF5 reads inside the shards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from .... import schemas
from ....generator import hdf5_files
from ....generator.errors import DatasetError
from ...particles import metadata, recipe
from ...products.registry import PRODUCTS
from .. import layout, manifest
from ..columns import table_of
from ..files import Files, LocalFiles, MissingFile, read_bytes
from ..requirements import require
from .http_files import HttpFiles
from .selection import selected
from .shards import PackedFiles, read_shards
from .torch_view import TorchView

if TYPE_CHECKING:
    import pandas as pd
    import xarray

    from ....generator.particle import Particle
    from ....generator.pictures.plotting import Axes

SHOWN = 10  # particles of a dataset in a notebook
FOR_MACHINES = ("path", "bytes", "sha256")  # ends of columns
REQUIRED = ("particle_id", "bytes")  # columns of every index


@dataclass(frozen=True, eq=False)
class DatasetParticle:
    """One particle of a dataset; what it holds is read when it is asked for.

    Parameters
    ----------
    id
        For example p000007.
    row
        Its row of the index, by column.
    files
        Those of the dataset.
    """

    id: str
    row: Mapping[Hashable, Any]
    files: Files

    def __repr__(self) -> str:
        facts = [f"{self.row['n_grains']} grains"] if "n_grains" in self.row else []
        if "diameter_um" in self.row:
            facts.append(f"diameter {self.row['diameter_um']:.4g} um")
        return f"DatasetParticle({', '.join([self.id, *facts, f'of {self.files.place}'])})"

    @property
    def folder(self) -> str:
        """Its folder inside the dataset."""
        return particle_folder(self.id)

    def open(self, name: str) -> BinaryIO:
        """File ``name`` of the particle's folder, for example ``mesh.msh``.

        Raises
        ------
        MissingFile
            If it is not there, or was not fetched.
        """
        return self.files.open(f"{self.folder}/{name}")

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Its particle.json."""
        name = f"{self.folder}/{metadata.NAME}"
        fields: dict[str, Any] = _json(self.files, name)
        if problems := schemas.problems(fields, "particle"):
            msg = f"{name} of {self.files.place} is not valid:\n  " + "\n  ".join(problems)
            raise DatasetError(msg)
        return fields

    def particle(self) -> Particle:
        """The particle itself, from its recipe."""
        with self.open(recipe.NAME) as file:
            return recipe.read_stream(file, f"{self.id}/{recipe.NAME} of {self.files.place}")

    def plot(self, ax: Axes | None = None, *, cut: str = "quarter", pixels: int = 400) -> Axes:
        """Draw it as `Particle.plot` does."""
        return self.particle().plot(ax, cut=cut, pixels=pixels)

    def voxels(self) -> xarray.Dataset:
        """Its voxels; arrays are read when they are used. Close it, or use it in ``with``.

        Raises
        ------
        DatasetError
            If the file is missing, damaged, or takes data from another file.
        """
        import xarray

        file = self.open(PRODUCTS["voxels"].file)
        try:
            with hdf5_files.self_contained(file):
                pass  # xarray would follow links and read what others store
        except hdf5_files.FAILURES as error:
            file.close()
            msg = f"voxels of {self.id} of {self.files.place} cannot be read ({error})"
            raise DatasetError(msg) from error
        opened = xarray.open_dataset(file, engine="h5netcdf")
        opened.set_close(_both(opened._close, file.close))
        return opened


@dataclass(frozen=True, eq=False)
class Dataset:
    """Particles of one dataset, or some of them; made by `open_dataset`.

    Parameters
    ----------
    files
        Where they lie.
    index
        A row for each particle, ``particle_id`` among its columns.
    """

    files: Files
    index: pd.DataFrame

    def __repr__(self) -> str:
        return f"Dataset({len(self)} particles of {self.files.place})"

    def _repr_html_(self) -> str:
        """What notebooks show: the index without what is there for machines."""
        shown = [name for name in self.index.columns if not name.endswith(FOR_MACHINES)]
        rows = self.index[shown].to_html(max_rows=SHOWN, float_format="{:.4g}".format)
        return f"<p>{escape(repr(self))}</p>{rows}"

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[DatasetParticle]:
        return (self[k] for k in range(len(self)))

    @overload
    def __getitem__(self, key: int | str) -> DatasetParticle: ...
    @overload
    def __getitem__(self, key: slice) -> Dataset: ...
    def __getitem__(self, key: int | str | slice) -> DatasetParticle | Dataset:
        """Particle by its number in the index, or by its id; of a slice a dataset."""
        if isinstance(key, slice):
            return replace(self, index=self.index.iloc[key].reset_index(drop=True))
        row = self._row(key) if isinstance(key, str) else self.index.iloc[key]
        return DatasetParticle(str(row["particle_id"]), row.to_dict(), self.files)

    def _row(self, key: str) -> pd.Series[Any]:
        found = self.index[self.index["particle_id"] == key]
        if found.empty:
            msg = f"{self.files.place} holds no particle {key!r}; `index.particle_id` lists them"
            raise DatasetError(msg)
        return found.iloc[0]

    def select(self, expression: str) -> Dataset:
        """Those for which an expression over the index's columns holds, see `selected`."""
        return replace(self, index=selected(self.index, expression))

    def as_torch(self, what: str) -> TorchView:
        """``voxels`` or ``recipes`` as what ``torch.utils.data.DataLoader`` takes."""
        return TorchView(self, what)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Its dataset.json."""
        return _json(self.files, layout.DATASET)


def particle_folder(id: str) -> str:
    """Folder of the particle called ``id`` inside a dataset."""
    return layout.particle_path(layout.particle_index(id))


def open_dataset(source: str | Path) -> Dataset:
    """Dataset of a folder, of a folder of shards, or of the web address of either.

    Of a dataset that was fetched in part, the particles that are there.

    Raises
    ------
    DatasetError
        If there is none, or its index or manifest cannot be read.
    """
    files = files_of(source)
    return Dataset(files, present_index(files, read_manifest(files)))


def present_index(files: Files, hashes: Mapping[str, str]) -> pd.DataFrame:
    """Rows of the index whose particles are among the files that the manifest lists.

    Raises
    ------
    DatasetError
        If the index cannot be read, or is not the one of the manifest.
    """
    content = _document(files, layout.PARTICLE_INDEX)
    if hashlib.sha256(content).hexdigest() != hashes.get(layout.PARTICLE_INDEX):
        msg = (
            f"{layout.PARTICLE_INDEX} of {files.place} is not the file that {layout.MANIFEST} "
            "lists: one of them was changed or damaged; get them again"
        )
        raise DatasetError(msg)
    index = parsed_index(content, files.place)
    there = [f"{particle_folder(id)}/{metadata.NAME}" in hashes for id in index["particle_id"]]
    return index[there].reset_index(drop=True)


def read_manifest(files: Files) -> dict[str, str]:
    """SHA-256 of every file of a dataset, by name.

    Raises
    ------
    DatasetError
        If there is none, or it lists every way in which it is not valid.
    """
    content = _document(files, layout.MANIFEST)
    return manifest.parse(content.decode("utf-8", "replace"), f"{layout.MANIFEST} of {files.place}")


def parsed_index(content: bytes, place: str) -> pd.DataFrame:
    """Index of the particles of a dataset, of the bytes of its parquet file.

    Raises
    ------
    DatasetError
        If it cannot be read, or pandas or pyarrow are not installed.
    """
    require("dataset")
    try:
        index = table_of(content).to_pandas(use_threads=False)
    except (ValueError, OSError) as error:
        msg = f"{layout.PARTICLE_INDEX} of {place} is no readable table ({error}); get it again"
        raise DatasetError(msg) from error
    if lacking := [name for name in REQUIRED if name not in index.columns]:
        msg = f"{layout.PARTICLE_INDEX} of {place} has no column {lacking[0]!r}, expected it"
        raise DatasetError(msg)
    return index


def _document(files: Files, name: str) -> bytes:
    """A file that every dataset has."""
    try:
        return read_bytes(files, name)
    except MissingFile as error:
        msg = (
            f"{files.place} holds no {name}, expected a dataset: a folder that `cathodegrain "
            "dataset build`, `pack` or `fetch` made, or its web address"
        )
        raise DatasetError(msg) from error


def _json(files: Files, name: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(read_bytes(files, name))
    except (ValueError, RecursionError) as error:
        msg = f"{name} of {files.place} cannot be read ({error}), expected JSON; get it again"
        raise DatasetError(msg) from error
    return fields


def _both(first: Callable[[], None] | None, second: Callable[[], None]) -> Callable[[], None]:
    def close() -> None:
        if first is not None:
            first()
        second()

    return close


def files_of(source: str | Path) -> Files:
    """Files of a dataset, packed or not, in a folder or on the web.

    Raises
    ------
    DatasetError
        If there is no dataset.
    """
    outer = _outer(source)
    try:
        return PackedFiles(outer, read_shards(outer))
    except MissingFile:
        return outer


def _outer(source: str | Path) -> Files:
    text = str(source)
    if text.startswith(("http://", "https://")):
        require("dataset")
        return HttpFiles(text)
    if "://" in text:
        msg = f"{text} has a protocol that is not read; give http://, https:// or a folder"
        raise DatasetError(msg)
    return LocalFiles(Path(source))
