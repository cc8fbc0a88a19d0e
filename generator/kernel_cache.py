"""Where numba keeps compiled kernels if it can write neither beside them nor in the user's cache.

An account without a home folder, as batch systems and containers have, that uses a package
installed by another leaves numba no place, and it refuses to compile at all. It then gets a
folder among the temporary files. numba unpickles what it finds there, so that whoever may write
into it may run code: the folder belongs to the user and is closed to all others, or a new one
is made.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def find_place(package: Path) -> None:
    """Set ``NUMBA_CACHE_DIR`` for kernels in the folder ``package`` if numba has no place for them.

    It is to be called before numba is imported; what the user has set is kept.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or sys.platform == "win32":  # there all are the user's
        return
    caches = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
    if not (_is_writable(package / "__pycache__") or _is_writable(caches)):
        os.environ["NUMBA_CACHE_DIR"] = str(_own_folder())


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which may have to be made first."""
    if not folder.is_absolute():  # "~" of an account that has no home
        return False
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    return os.access(existing, os.W_OK | os.X_OK)


def _own_folder() -> Path:
    """Folder among the temporary files that is the same in every run of a user."""
    import tempfile  # in no other case, it takes a while

    folder = Path(tempfile.gettempdir(), f"cathodegrain-kernels-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()  # not stat: a link would lead to a folder of anybody's choice
        closed = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
        if found.st_uid != os.getuid() or not closed:
            return Path(tempfile.mkdtemp(prefix="cathodegrain-kernels-"))
    return folder
