"""Files that are there whole or not at all, and never replaced unasked.

The ground floor, since model cards are saved here; folders are in ``exporters/files/atomic.py``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from .errors import ExportError

OWNER = re.compile(r"-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}\.(?:tmp|old)(?:\..*)?")
REPLACED = "choose another name, or overwrite=True to replace"


def require_free(
    paths: Iterable[str | Path],
    overwrite: bool,
    instead: str = REPLACED,
) -> None:
    """Refuse to replace what is there, unless asked to.

    Parameters
    ----------
    instead
        What to do, in words that "it" or "them" follows.

    Raises
    ------
    ExportError
        Names everything that is in the way.
    """
    there = [str(path) for path in paths if Path(path).exists()]
    if there and not overwrite:
        exist, it = ("exists", "it") if len(there) == 1 else ("exist", "them")
        msg = f"{' and '.join(there)} {exist}; {instead} {it}"
        raise ExportError(msg)


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
    temporary = beside(target.with_suffix(""), f"tmp{target.suffix}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
        flush_folder(target.parent)
    except OSError as error:
        msg = f"{path} cannot be written ({reason(error)}); is the folder writable, is there space?"
        raise ExportError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """What the operating system says, without the file's name and HDF5's own account.

    Examples
    --------
    >>> reason(OSError(28, "Unable to create file (time = ..., filename = ...)"))
    'No space left on device'
    """
    return str(error) if error.errno is None else os.strerror(error.errno)


def beside(target: Path, suffix: str) -> Path:
    """Hidden name in the same folder that no other process has, and that says whose it is."""
    return target.with_name(
        f".{target.name}-{_computer()}-{os.getpid()}-{secrets.token_hex(4)}.{suffix}"
    )


def is_abandoned(name: str) -> bool:
    """Whether a name was given by `beside` in a process of this computer that has ended."""
    found = OWNER.search(name)
    return found is not None and found[1] == _computer() and not _runs(int(found[2]))


@cache
def _computer() -> str:
    """What tells this computer, or container, from others that may have the same processes."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


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


def flush_folder(folder: Path) -> None:
    """Make a rename last; only POSIX lets one open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
