"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...generator.atomic import REPLACED, flush_folder, reason, replacing, require_free
from ...generator.errors import ExportError

__all__ = ["REPLACED", "exchange", "reason", "replacing", "replacing_folder", "require_free"]


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
        flush_folder(target.parent)
    except OSError as error:
        msg = f"{path} cannot be written ({reason(error)}); is the folder writable, is there space?"
        raise ExportError(msg) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
