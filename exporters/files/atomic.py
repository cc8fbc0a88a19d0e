"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...generator.atomic import (
    REPLACED,
    beside,
    flush_folder,
    is_abandoned,
    reason,
    replacing,
    require_free,
)
from ...generator.errors import ExportError

__all__ = [
    "REPLACED",
    "beside",
    "exchange",
    "is_abandoned",
    "put",
    "reason",
    "replacing",
    "replacing_folder",
    "require_free",
]


class AlreadyThere(ExportError):
    """Something has the name that a new folder was to get."""


@contextmanager
def replacing_folder(
    path: str | Path, place: Callable[[Path, Path], None] | None = None
) -> Iterator[Path]:
    """Temporary folder that takes the place of the folder ``path`` if the block succeeds.

    It is made beside ``path``, with missing parents, and begins with a dot. At the end of
    the block an older folder is moved aside, the new one moved in, and only then is the
    old one deleted. If the block raises anything, an interrupt included, the temporary
    folder is removed and what was at ``path`` is untouched. Only a killed process leaves
    ``.*.tmp`` or ``.*.old`` behind, which are safe to delete once ``path`` is there. A
    symbolic link is followed, not replaced.

    Parameters
    ----------
    place
        Moves the new folder to its name; `exchange` if left out.

    Raises
    ------
    ExportError
        If ``path`` is a file, or the operating system refuses: no space, no permission.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        msg = f"{path} is a file, expected a folder or a new name; move it away or choose another"
        raise ExportError(msg)
    temporary = beside(target, "tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        (place or exchange)(temporary, target)
        flush_folder(target.parent)
    except OSError as error:
        msg = f"{path} cannot be written ({reason(error)}); is the folder writable, is there space?"
        raise ExportError(msg) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put(new: Path, target: Path) -> None:
    """Move a folder ``new`` to ``target``, which nothing else has.

    Raises
    ------
    AlreadyThere
        If something has that name: of two who want it, one gets it.
    OSError
        If the operating system refuses.
    """
    try:
        new.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) or not target.exists():
            raise
        msg = f"{target} is there already"
        raise AlreadyThere(msg) from None


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
    old = beside(target, "old")
    try:
        target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
