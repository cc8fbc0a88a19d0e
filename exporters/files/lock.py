"""One command at a time changes a folder: a lock, which others wait for.

The lock of a dataset is the file ``.lock`` in its folder, the same for every computer and
container that sees the folder. A particle's folder ``out/p000000`` is at times replaced as a
whole: its lock is ``out/.p000000.lock`` beside it, or in it where only itself is writable.
It holds who has the lock, in JSON. The operating system frees a lock when its process ends,
however that ends; whoever releases one deletes it. What a killed process leaves keeps nobody
out and is deleted with the next release.

It is flock(2), on Windows LockFileEx. On NFS Linux makes byte-range locks of it, which hold
between computers if the server supports them; file systems without locks (some mounts of
Lustre without ``flock``) refuse, and then the sentence says so.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...generator.errors import ExportError

WAIT_S = 60.0
NAME = ".lock"
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
LOCKED_BYTE = 1  # Windows lets nobody else read the first byte


@contextmanager
def locked(
    folder: str | Path, *, beside: bool = False, wait_s: float | None = None
) -> Iterator[None]:
    """Keep other commands from changing ``folder`` during the block.

    Parameters
    ----------
    beside
        Whether the folder may be replaced as a whole.
    wait_s
        How long to wait for another process, s; `WAIT_S` if left out.

    Raises
    ------
    ExportError
        If another process has the lock for longer than that, or there can be none.
    """
    lock = _acquired(Path(os.path.realpath(folder)), beside, WAIT_S if wait_s is None else wait_s)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows deletes it on release
            os.unlink(lock.lock_file)
        lock.release()


def is_lock(name: str) -> bool:
    """Whether a file of this name is the lock of a folder.

    Examples
    --------
    >>> [is_lock(name) for name in (".lock", ".p000000.lock", "poetry.lock")]
    [True, True, False]
    """
    return re.fullmatch(r"\.(.+\.)?lock", name) is not None


def _acquired(folder: Path, beside: bool, wait_s: float) -> FileLock:
    """The lock, held."""
    inside = folder / NAME
    path = folder.with_name(f".{folder.name}{NAME}") if beside else inside
    lock = FileLock(path, wait_s, fallback_to_soft=False, on_acquired=_sign)
    try:
        _acquire(lock)
    except Timeout:
        msg = f"{folder} is being changed by {holder(path)}; waited {wait_s:g} s, try again later"
        raise ExportError(msg) from None
    except OSError as error:
        if path != inside and error.errno in NOT_ALLOWED:
            return _acquired(folder, False, wait_s)
        msg = f"{path} cannot be locked ({error}); is its folder writable, does it allow locks?"
        raise ExportError(msg) from error
    return lock


def _acquire(lock: FileLock) -> None:
    try:
        lock.acquire()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        lock.acquire()  # on NFS: another computer has deleted the one that was opened


def _sign(descriptor: int) -> None:
    """Write into a lock who has it."""
    fields = {
        "process": os.getpid(),
        "computer": platform.node(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:3]],
    }
    with suppress(OSError):  # a full disk: a lock without a name is still one
        os.ftruncate(descriptor, LOCKED_BYTE)
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        os.write(descriptor, json.dumps(fields).encode())


def holder(path: Path) -> str:
    """Who has a lock, in words."""
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(LOCKED_BYTE)
            fields = json.loads(file.read())
        command = " ".join(fields["command"])
        return f"process {fields['process']} on {fields['computer']} ({command})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
