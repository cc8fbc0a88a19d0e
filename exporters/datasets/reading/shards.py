"""Packed datasets: few ZIP files, of which a part can be read without the rest.

``shards.json`` lists the shards (``schemas/shards-1.0.0.schema.json``). Members are stored,
not compressed, and sorted by name: one is found by bisection over the shards' first names,
then in the directory at the shard's end, and read by its offset.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from .... import schemas
from ....generator.errors import DatasetError
from ..files import Files, MissingFile, SeekableReader, read_bytes
from ..layout import PARTICLE_FOLDER, name_problem

NAME = "shards.json"
LOCAL_HEADER_BYTES = 30  # of a ZIP member, before its name
KINDS = ("metadata", "particles")


@dataclass(frozen=True, order=True)
class Shard:
    """One ZIP file of a packed dataset.

    Parameters
    ----------
    first
        Name of its first member.
    name
        Of the shard.
    bytes, sha256
        Of the whole file.
    """

    first: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Member:
    """Where the content of a file lies in a shard."""

    shard: Shard
    start: int
    size: int


def kind(name: str) -> str:
    """Kind of shard that holds the file ``name`` of a dataset."""
    return KINDS[name.startswith(f"{PARTICLE_FOLDER}/")]


def read_shards(files: Files) -> list[Shard]:
    """Shards that ``shards.json`` lists.

    Raises
    ------
    MissingFile
        If the dataset is not packed.
    DatasetError
        If the document is not valid.
    """
    try:
        fields: dict[str, Any] = json.loads(read_bytes(files, NAME))
    except (ValueError, RecursionError) as error:
        msg = f"{NAME} of {files.place} cannot be read ({error}); pack or download it again"
        raise DatasetError(msg) from error
    if problems := schemas.problems(fields, "shards"):
        msg = f"{NAME} of {files.place} is not valid:\n  " + "\n  ".join(problems)
        raise DatasetError(msg)
    return [Shard(**row) for row in fields["shards"]]


@dataclass(frozen=True, eq=False)
class PackedFiles:
    """Files of a dataset that lie in shards.

    Parameters
    ----------
    outer
        Where the shards lie.
    shards
        As `read_shards` gives them.
    """

    outer: Files
    shards: list[Shard]
    _directories: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)
    _sizes: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> str:
        """Where the shards lie."""
        return self.outer.place

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See `Files.stream`."""
        found = self.member(name)
        stop = found.size if stop is None else min(stop, found.size)
        if start < stop:
            yield from self.outer.stream(found.shard.name, found.start + start, found.start + stop)

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """See `Files.open`."""
        found = self.member(name)
        shard = self.outer.open(found.shard.name, found.shard.bytes)
        return cast(BinaryIO, io.BufferedReader(_Section(shard, found.start, found.size)))

    def member(self, name: str) -> Member:
        """Where a file lies.

        Raises
        ------
        MissingFile
            If no shard holds it.
        DatasetError
            If the shard is damaged.
        """
        candidates = sorted(shard for shard in self.shards if kind(shard.first) == kind(name))
        position = bisect_right([shard.first for shard in candidates], name)
        shard = candidates[position - 1] if position else None
        header = self._directory(shard).get(name) if shard else None
        if shard is None or header is None:
            msg = f"no shard of {self.place} holds {name}; is it part of this dataset?"
            raise MissingFile(msg)
        return Member(shard, self._start(shard, header), self._sizes[name])

    def _start(self, shard: Shard, header: int) -> int:
        """Where a member's content begins: behind its own header, of variable length."""
        stop = header + LOCAL_HEADER_BYTES
        fixed = b"".join(self.outer.stream(shard.name, header, stop))
        name, extra = (int.from_bytes(fixed[at : at + 2], "little") for at in (26, 28))
        return stop + name + extra

    def _directory(self, shard: Shard) -> dict[str, int]:
        """Offset of the header of every member, by name; read once."""
        if shard.name not in self._directories:
            members = _members(self.outer, shard)
            self._sizes.update({info.filename: info.file_size for info in members})
            self._directories[shard.name] = {i.filename: i.header_offset for i in members}
        return self._directories[shard.name]


def _members(files: Files, shard: Shard) -> list[zipfile.ZipInfo]:
    """Directory of a shard, checked."""
    try:
        with files.open(shard.name, shard.bytes) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        msg = f"{shard.name} of {files.place} is no sound ZIP file ({error}); download it again"
        raise DatasetError(msg) from error
    if problems := [text for info in members if (text := _problem(info, shard))]:
        msg = f"{shard.name} of {files.place} is not a shard of a dataset:\n  "
        raise DatasetError(msg + "\n  ".join(problems))
    return members


def _problem(info: zipfile.ZipInfo, shard: Shard) -> str | None:
    if problem := name_problem(info.filename):
        return f"{info.filename!r} {problem}"
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"{info.filename}: a symbolic link, expected a file"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return f"{info.filename}: compressed, expected stored"
    if info.header_offset + info.file_size > shard.bytes:
        return f"{info.filename}: {info.file_size} bytes do not fit into {shard.bytes}"
    return None


class _Section(SeekableReader):
    """Part of a file as a stream of its own: HDF5 reads it as if it were a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__(size)
        self._file, self._start = file, start

    def _read(self, start: int, stop: int) -> bytes:
        self._file.seek(self._start + start)
        return self._file.read(stop - start)

    def close(self) -> None:
        self._file.close()
        super().close()
