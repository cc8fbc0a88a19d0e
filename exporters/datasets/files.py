"""Where the files of a dataset lie: a folder, a web address, ZIP shards in either.

All answer the same three questions, so that what reads a dataset need not know which it is.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from ...generator.errors import DatasetError
from ..files.atomic import reason

BLOCK = 1 << 20  # bytes read at a time
DOCUMENT_BYTES = 1 << 30  # no manifest, index or JSON document is larger


class MissingFile(DatasetError):
    """A file that is not where it was looked for."""


class Files(Protocol):
    """Files by their names, which are relative and separated by ``/``."""

    @property
    def place(self) -> str:
        """Folder or address, for messages."""

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes from ``start`` to before ``stop``, or to the end, block by block.

        Raises
        ------
        MissingFile
            If there is no such file.
        DatasetError
            If it cannot be read.
        """

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """The file, to be read at any position; ``size`` is its number of bytes, if known."""


@dataclass(frozen=True)
class LocalFiles:
    """Files of a folder."""

    folder: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See `Files.stream`."""
        left = None if stop is None else stop - start
        with self.open(name) as file:
            file.seek(start)
            while block := file.read(BLOCK if left is None else min(BLOCK, left)):
                left = None if left is None else left - len(block)
                yield block

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """See `Files.open`; a file that a symbolic link puts elsewhere is refused."""
        path = self.folder / name
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                msg = f"{path} leads out of the dataset's folder, expected a file in it"
                raise DatasetError(msg)
            return path.open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            msg = f"{path} does not exist; is it part of this dataset, was it fetched?"
            raise MissingFile(msg) from error
        except OSError as error:
            msg = f"{path} cannot be read ({reason(error)})"
            raise DatasetError(msg) from error


class SeekableReader(io.RawIOBase):
    """Bytes that lie elsewhere as a file: HDF5, ZIP and parquet are read from it in parts.

    Parameters
    ----------
    size
        Number of bytes.
    """

    def __init__(self, size: int) -> None:
        self._size, self._position = size, 0

    @abstractmethod
    def _read(self, start: int, stop: int) -> bytes:
        """Bytes from ``start`` to before ``stop``, both inside."""

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; it is returned."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill ``buffer`` from the position on; the number of bytes, 0 at the end."""
        stop = min(self._position + len(buffer), self._size)
        if stop <= self._position:
            return 0
        content = self._read(self._position, stop)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


def read_bytes(files: Files, name: str, limit: int = DOCUMENT_BYTES) -> bytes:
    """All bytes of a file that is small enough to be held in memory.

    Raises
    ------
    DatasetError
        If it is missing, unreadable or larger than ``limit``.
    """
    content = bytearray()
    for block in files.stream(name):
        content += block
        if len(content) > limit:
            msg = f"{name} of {files.place} has more than {limit} bytes, expected at most that"
            raise DatasetError(msg)
    return bytes(content)
