"""Transfer of checked files into a folder: whole or not at all, taken up where it broke.

A file comes by way of ``.<sha256>.tmp``, which outlives a broken transfer and a killed
process, and is put in its place when its hash is right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
        if target.is_file() and sha256(target) == self.hashes[name]:
            self.done.append(name)
            return
        if target.exists() and not self.overwrite:
            msg = f"{target} exists and is another file; --overwrite to replace it"
            raise DatasetError(msg)
        try:
            self._fetch(name, target, size)
        except OSError as error:
            msg = f"{target} cannot be written ({reason(error)}); is it writable, is there space?"
            raise DatasetError(msg) from error
        self.fetched.append(target.stat().st_size)
        self.done.append(name)

    def _fetch(self, name: str, target: Path, size: int | None) -> None:
        """Bring a file to its place by way of its part."""
        self.out.mkdir(parents=True, exist_ok=True)
        part = self.out / f".{self.hashes[name]}.tmp"
        begun = part.exists()
        self._receive(name, part, DOCUMENT_BYTES if size is None else size)
        if sha256(part) == self.hashes[name]:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
            return
        part.unlink()
        if begun:  # with another file of that name, perhaps: once more from the beginning
            self._fetch(name, target, size)
            return
        msg = (
            f"{name} of {self.files.place} has other bytes than the manifest says: it was "
            "changed or damaged there; nothing of it was kept"
        )
        raise DatasetError(msg)

    def _receive(self, name: str, part: Path, limit: int) -> None:
        """Append to a part what it lacks."""
        with part.open("ab") as file:
            for block in self.files.stream(name, file.tell()):
                file.write(block)
                if file.tell() > limit:
                    break
            file.flush()
            os.fsync(file.fileno())
            received = file.tell()
        if received > limit:
            part.unlink()
            msg = f"{name} of {self.files.place} has more than the {limit} bytes expected"
            raise DatasetError(msg)
