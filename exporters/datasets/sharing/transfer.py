"""Transfer of checked files into a folder: whole or not at all, taken up where it broke.

A file comes by way of a part, ``.<sha256>-<8 hex digits>.tmp``, which outlives a broken transfer
and a killed process, and is put in its place when its hash is right. Whoever appends to a part
has a lock on it, which ends with the process: one that nobody has is taken up, one that
another process has is left to it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedRandom
from pathlib import Path
from secrets import token_hex

from filelock import lock_descriptor

from ....generator.errors import DatasetError
from ...files.atomic import reason
from ...files.provenance import sha256
from .. import layout
from ..files import DOCUMENT_BYTES, Files


@dataclass(frozen=True, eq=False)
class Transfer:
    """Files that come from ``files`` to ``out``.

    Parameters
    ----------
    files
        Where they come from.
    out
        Folder that receives them under the same names.
    hashes
        SHA-256 of every file that may come, by name.
    overwrite
        Whether another file that is in the way is replaced.
    """

    files: Files
    out: Path
    hashes: Mapping[str, str]
    overwrite: bool = False
    done: list[str] = field(default_factory=list)
    fetched: list[int] = field(default_factory=list)  # bytes of each file

    def counts(self) -> dict[str, int]:
        """Files and bytes that came, and files that were there."""
        n = len(self.fetched)
        return {"files": n, "bytes": sum(self.fetched), "files_there": len(self.done) - n}

    def get(self, name: str, size: int | None = None) -> None:
        """Fetch one file unless it is there; ``size`` in bytes, if it is known.

        Raises
        ------
        DatasetError
            If it cannot be fetched, has other bytes than expected or too many, or
            another file is in the way.
        """
        target = layout.safe_path(self.out, name)
        there = target.exists()  # asked once: another process may put it there
        if there and target.is_file() and sha256(target) == self.hashes[name]:
            self.done.append(name)
            return
        if there and not self.overwrite:
            msg = f"{target} exists and is another file; --overwrite to replace it"
            raise DatasetError(msg)
        try:
            self._fetch(name, target, size)
        except OSError as error:
            msg = f"{target} cannot be written ({reason(error)}); is it writable, is there space?"
            raise DatasetError(msg) from error
        self.fetched.append(target.stat().st_size)
        self.done.append(name)

    def sweep(self) -> None:
        """Remove parts of files that are there, if nobody has them."""
        hashes = {self.hashes[name] for name in self.done}
        for path in self.out.glob(".*.tmp"):
            if path.name[1:65] in hashes and (file := _taken_up(path)) is not None:
                file.close()
                path.unlink(missing_ok=True)

    def _fetch(self, name: str, target: Path, size: int | None) -> None:
        """Bring a file to its place by way of its part."""
        self.out.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part(self.out, self.hashes[name]) as file:
            part = Path(file.name)
            whole = self._completed(name, file, DOCUMENT_BYTES if size is None else size)
        if not whole:
            part.unlink(missing_ok=True)
            msg = (
                f"{name} of {self.files.place} has other bytes than the manifest says: it was "
                "changed or damaged there; nothing of it was kept"
            )
            raise DatasetError(msg)
        try:
            os.replace(part, target)
        except FileNotFoundError:  # taken up, since it was ours no more, by another process
            if not target.exists():
                self._fetch(name, target, size)

    def _completed(self, name: str, file: BufferedRandom, limit: int) -> bool:
        """Append to a part what it lacks; whether it is then the file, else it is empty."""
        begun = file.seek(0, os.SEEK_END) > 0
        if begun and _sha256(file) == self.hashes[name]:
            return True  # and perhaps in its place by now: nothing may be appended
        self._receive(name, file, limit)
        if _sha256(file) == self.hashes[name]:
            return True
        file.truncate(0)  # begun with another file of that name, perhaps: once more
        return begun and self._completed(name, file, limit)

    def _receive(self, name: str, file: BufferedRandom, limit: int) -> None:
        for block in self.files.stream(name, file.seek(0, os.SEEK_END)):
            file.write(block)
            if file.tell() > limit:
                file.truncate(0)
                with suppress(OSError):  # Windows keeps the name while it is open
                    os.unlink(file.name)
                msg = f"{name} of {self.files.place} has more than the {limit} bytes expected"
                raise DatasetError(msg)
        file.flush()
        os.fsync(file.fileno())


def _part(folder: Path, sha256: str) -> BufferedRandom:
    """Part of a file that this process alone appends to: one that was left, or a new one."""
    for path in sorted(folder.glob(f".{sha256}*.tmp")):
        if (file := _taken_up(path)) is not None:
            return file
    file = (folder / f".{sha256}-{token_hex(4)}.tmp").open("x+b")
    with suppress(OSError):  # without locks nobody takes it up
        if not lock_descriptor(file.fileno(), blocking=False):  # another process was faster
            file.close()
            return _part(folder, sha256)
    return file


def _taken_up(path: Path) -> BufferedRandom | None:
    """A part that nobody has, or None."""
    try:
        file = path.open("r+b")
    except OSError:
        return None
    with suppress(OSError):  # no locks, or it is gone
        free = lock_descriptor(file.fileno(), blocking=False)
        if free and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    file.close()
    return None


def _sha256(file: BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()
