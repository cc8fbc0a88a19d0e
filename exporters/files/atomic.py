"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...generator.errors import ExportError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Temporary path whose file takes the place of ``path`` if the block succeeds.

    The temporary file lies in the same folder, begins with a dot and has the suffix of
    ``path``: libraries that choose a format by it choose the right one. At the end of the
    block it is flushed to the disk and renamed, so that at every moment a reader, or a
    computer that lost its power, finds the old file or the new one. If the block raises
    anything, an interrupt included, the temporary file is removed and what was at
    ``path`` is untouched. Only a killed process leaves ``.*.tmp.*`` behind, which is safe
    to delete. A symbolic link is followed, not replaced.

    Raises
    ------
    ExportError
        If the folder does not exist, ``path`` is a folder, or the operating system
        refuses: no space, no permission, a block that wrote no file.
    """
    target = Path(os.path.realpath(path))
    _require_place(target)
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        msg = f"{path} cannot be written ({reason(error)}); is the folder writable, is there space?"
        raise ExportError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Temporary folder that takes the place of the folder ``path`` if the block succeeds.

    It is made beside ``path``, with missing parents, and begins with a dot. At the end of
    the block an older folder is moved aside, the new one moved in, and only then is the
    old one deleted. If the block raises anything, an interrupt included, the temporary
    folder is removed and what was at ``path`` is untouched. Only a killed process leaves
    ``.*.tmp`` or ``.*.old`` behind, which are safe to delete once ``path`` is there. A
    symbolic link is followed, not replaced.

    Raises
    ------
    ExportError
        If ``path`` is a file, or the operating system refuses: no space, no permission.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        msg = f"{path} is a file, expected a folder or a new name; move it away or choose another"
        raise ExportError(msg)
    temporary = _beside(target, "tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        exchange(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        msg = f"{path} cannot be written ({reason(error)}); is the folder writable, is there space?"
        raise ExportError(msg) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def reason(error: OSError) -> str:
    """What the operating system says, without the file's name and HDF5's own account.

    Examples
    --------
    >>> reason(OSError(28, "Unable to create file (time = ..., filename = ...)"))
    'No space left on device'
    """
    return str(error) if error.errno is None else os.strerror(error.errno)


def _beside(target: Path, suffix: str) -> Path:
    """Hidden name in the same folder that no other process has."""
    return target.with_name(f".{target.name}-{secrets.token_hex(4)}.{suffix}")


def exchange(new: Path, target: Path) -> None:
    """Move a file or folder ``new`` to ``target``, which it replaces; an older folder goes last.

    Raises
    ------
    OSError
        If the operating system refuses; ``target`` is then as it was.
    """
    if new.is_file() and not target.is_dir():
        os.replace(new, target)
        return
    if not target.exists():
        new.rename(target)
        return
    old = _beside(target, "old")
    try:
        target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _require_place(target: Path) -> None:
    if target.is_dir():
        msg = f"{target} is a folder, expected the name of a file to write"
        raise ExportError(msg)
    if not target.parent.is_dir():
        msg = f"{target.parent} is not a folder; create it to write {target.name} there"
        raise ExportError(msg)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a rename last; only POSIX lets one open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
