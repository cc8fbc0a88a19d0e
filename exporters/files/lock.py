"""One command at a time changes a folder: a lock beside it, which others wait for.

The lock of ``out/p000000`` is the file ``out/.p000000.lock``: a folder that is replaced as a
whole keeps it. The operating system frees it when its process ends, however that ends; the
file stays and is safe to delete while nothing runs. It holds who has the lock, in JSON.

It is flock(2), on Windows LockFileEx. On NFS Linux makes byte-range locks of it, which hold
between computers if the server supports them; file systems without locks (some mounts of
Lustre without ``flock``) refuse, and then the sentence says so.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ...generator.errors import ExportError

WAIT_S = 60.0


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep other commands from changing ``folder``, which need not exist, during the block.

    Raises
    ------
    ExportError
        If another process has the lock for longer than `WAIT_S`, or there can be none.
    """
    path = lock_path(folder)
    lock = FileLock(path, timeout=WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"{folder} is being changed by {holder(path)}; waited {WAIT_S:g} s, try again later"
        raise ExportError(msg) from error
    except (OSError, NotImplementedError) as error:
        msg = f"{path} cannot be locked ({error}); is its folder writable, does it allow locks?"
        raise ExportError(msg) from error
    try:
        path.write_text(json.dumps(_holder()), "ascii")
        yield
    finally:
        lock.release()


def lock_path(folder: str | Path) -> Path:
    """Place of a folder's lock."""
    target = Path(os.path.realpath(folder))
    return target.with_name(f".{target.name}.lock")


def _holder() -> dict[str, object]:
    return {
        "process": os.getpid(),
        "computer": platform.node(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:3]],
    }


def holder(path: Path) -> str:
    """Who has a lock, in words."""
    try:
        fields = json.loads(path.read_text("ascii"))
        command = " ".join(fields["command"])
        return f"process {fields['process']} on {fields['computer']} ({command})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
