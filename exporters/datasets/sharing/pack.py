"""Packing: a dataset of many small files as few ZIP shards that archives take.

Every file of the manifest, and the manifest, is a member of one shard; the files of a
particle are never parted. Members are stored and sorted, time stamps and rights fixed, so
that equal datasets give equal bytes. Unpacked into one folder, the shards are the dataset.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ....generator.errors import DatasetError
from ....generator.progress import Progress
from ...files.atomic import reason, replacing
from ...files.documents import document_text
from ...files.lock import locked
from ...files.provenance import sha256
from .. import manifest
from ..files import BLOCK
from ..layout import MANIFEST, temporaries
from ..reading.shards import KINDS, NAME, Shard, kind

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
LARGEST = 20 * 10**9  # bytes: what archives recommend for one file
MANY = 100  # files that a record of some archives holds
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP knows
RIGHTS = 0o100644 << 16
UNIX = 3
MEMBER_BYTES = 76 + 2 * 20  # headers of a member besides twice its name, ZIP64 included
OPEN_COPIES = ("README.md", "LICENSE", "CITATION.cff")  # also beside the shards, to be seen


@dataclass(frozen=True)
class PlannedShard:
    """Files that one shard is to hold.

    Parameters
    ----------
    name
        Of the shard.
    sizes
        Bytes of every member, by name, sorted.
    """

    name: str
    sizes: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Size of the shard, at most."""
        return sum(_member_bytes(name, size) for name, size in self.sizes.items())


def parsed_bytes(text: str) -> int:
    """Number of bytes of a text such as ``2GB``.

    Raises
    ------
    DatasetError
        If it is no positive number with a unit, or more than archives take in one file.

    Examples
    --------
    >>> parsed_bytes("2GB"), parsed_bytes("0.5 MB"), parsed_bytes("100")
    (2000000000, 500000, 100)
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?B?)\s*", text, re.IGNORECASE)
    unit = found and found[2].upper()
    if not found or unit not in UNITS or not 0 < float(found[1]) * UNITS[unit] <= LARGEST:
        msg = f"shard size {text!r}, expected up to 20GB with a unit B, kB, MB or GB, as 2GB"
        raise DatasetError(msg)
    return int(float(found[1]) * UNITS[unit])


def plan(dataset: Path, shard_bytes: int) -> list[PlannedShard]:
    """Shards of at most ``shard_bytes``, larger only where the files of one particle are.

    Raises
    ------
    DatasetError
        If the manifest is missing or names files that are.
    """
    names = sorted([*manifest.read(dataset), MANIFEST])
    if missing := [name for name in names if not (dataset / name).is_file()]:
        msg = (
            f"{dataset} lacks {len(missing)} files of its manifest, {missing[0]} for one; "
            "`cathodegrain dataset verify` lists them"
        )
        raise DatasetError(msg)
    sizes = {name: (dataset / name).stat().st_size for name in names}
    return [
        PlannedShard(f"{which}-{k:05d}.zip", {name: sizes[name] for name in members})
        for which in KINDS
        for k, members in enumerate(
            _filled([n for n in names if kind(n) == which], sizes, shard_bytes)
        )
    ]


def _filled(names: list[str], sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    """Names in their order, by particles, as many to a shard as fit."""
    members: list[str] = []
    filled = 0
    for _, group in groupby(names, _unit):
        together = list(group)
        needed = sum(_member_bytes(name, sizes[name]) for name in together)
        if members and filled + needed > limit:
            yield members
            members, filled = [], 0
        members += together
        filled += needed
    if members:
        yield members


def _unit(name: str) -> str:
    """What is not parted: the folder of a particle, or a single file."""
    return "/".join(name.split("/")[:3]) if kind(name) == "particles" else name


def _member_bytes(name: str, size: int) -> int:
    return size + MEMBER_BYTES + 2 * len(name.encode())


def remark(shards: list[PlannedShard]) -> str | None:
    """What stands against uploading so many files, if anything does."""
    if len(shards) <= MANY:
        return None
    return f"some archives take {MANY} files for a record; a larger --shard-size makes fewer"


def pack(
    dataset: Path,
    out: Path,
    shards: list[PlannedShard],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the shards of a `plan` into the folder ``out``; finished ones are kept.

    Raises
    ------
    DatasetError
        If ``out`` holds something else and ``overwrite`` is not set, or a file of the
        dataset is not as its manifest says.
    ExportError
        If another command packs into ``out``.
    """
    expected = manifest.read(dataset)
    expected[MANIFEST] = sha256(dataset / MANIFEST)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{out} cannot be made ({reason(error)}); choose another --out"
        raise DatasetError(msg) from error
    with locked(out):
        _pack(dataset, out, shards, expected, overwrite, progress)
    return out


def _pack(
    dataset: Path,
    out: Path,
    shards: list[PlannedShard],
    expected: Mapping[str, str],
    overwrite: bool,
    progress: Progress | None,
) -> None:
    for path in temporaries(out):
        path.unlink(missing_ok=True)  # of a killed process: the lock is ours
    _require_free(out, shards, overwrite)
    rows = []
    for k, shard in enumerate(shards):
        rows.append(_shard(dataset, out / shard.name, shard, expected, overwrite))
        if progress is not None:
            progress(shard.name, (k + 1) / len(shards))
    for name in OPEN_COPIES:
        if (dataset / name).is_file():
            _copy(dataset / name, out / name, overwrite)
    fields = {"schema": "cathodegrain/shards", "schema_version": "1.0.0", "shards": rows}
    text = document_text(fields, "shards")
    if not _same(out / NAME, text.encode()):
        with replacing(out / NAME) as temporary:
            temporary.write_text(text, "utf-8")


def _require_free(out: Path, shards: list[PlannedShard], overwrite: bool) -> None:
    """Raise a DatasetError if ``out`` holds what packing neither writes nor may delete."""
    ours = {NAME, *OPEN_COPIES, *(shard.name for shard in shards)}
    others = [p for p in out.iterdir() if p.name not in ours and not p.name.startswith(".")]
    stale = [p for p in others if re.fullmatch(r"(metadata|particles)-[0-9]{5}\.zip", p.name)]
    if len(others) > len(stale) or (stale and not overwrite):
        msg = (
            f"{out} holds {others[0].name}, which does not belong to this packing; choose an "
            "empty folder, or --overwrite to replace the shards of another packing"
        )
        raise DatasetError(msg)
    needed = sum(shard.bytes for shard in shards if not (out / shard.name).exists())
    if needed > (free := shutil.disk_usage(out).free):
        msg = f"{out} has {free} bytes free, the shards need {needed}; choose another folder"
        raise DatasetError(msg)
    for path in stale:
        path.unlink()


def _shard(
    dataset: Path, path: Path, shard: PlannedShard, expected: Mapping[str, str], overwrite: bool
) -> dict[str, Any]:
    """Row of ``shards.json`` for one shard, written unless it is there."""
    if not _holds(path, shard, expected):
        if path.exists() and not overwrite:
            msg = f"{path} exists and does not hold what it should; --overwrite to replace it"
            raise DatasetError(msg)
        (path.parent / NAME).unlink(missing_ok=True)  # what it says is no longer so
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, size in shard.sizes.items():
                _add(archive, dataset / name, name, size, expected[name])
    row = Shard(next(iter(shard.sizes)), path.name, path.stat().st_size, sha256(path))
    return asdict(row)


def _add(archive: zipfile.ZipFile, path: Path, name: str, size: int, expected: str) -> None:
    """Copy one file into the archive and compare it with its hash."""
    member = zipfile.ZipInfo(name, DATE)
    member.external_attr, member.create_system, member.file_size = RIGHTS, UNIX, size
    found = hashlib.sha256()
    with path.open("rb") as source, archive.open(member, "w") as target:
        while block := source.read(BLOCK):
            found.update(block)
            target.write(block)
    if found.hexdigest() != expected:
        msg = (
            f"{path} was changed since the manifest was written; "
            "`cathodegrain dataset verify` lists what is wrong"
        )
        raise DatasetError(msg)


def _holds(path: Path, shard: PlannedShard, expected: Mapping[str, str]) -> bool:
    """Whether the shard is there, whole and as it would be written."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
            sizes = {i.filename: i.file_size for i in found}
            same = list(sizes.items()) == list(shard.sizes.items())
            same &= {(i.date_time, i.compress_type) for i in found} == {(DATE, zipfile.ZIP_STORED)}
            return same and all(_member_hash(archive, n) == expected[n] for n in sizes)
    except (OSError, zipfile.BadZipFile):
        return False


def _member_hash(archive: zipfile.ZipFile, name: str) -> str:
    found = hashlib.sha256()
    with archive.open(name) as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _copy(source: Path, target: Path, overwrite: bool) -> None:
    content = source.read_bytes()
    if _same(target, content):
        return
    if target.exists() and not overwrite:
        msg = f"{target} exists and is another file; --overwrite to replace it"
        raise DatasetError(msg)
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
