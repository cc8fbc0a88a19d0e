"""gmsh itself, started where a user asks for it: no file of ours needs it.

gmsh is imported in here only, when it is needed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from ...generator.errors import ExportError
from ...generator.requirements import require

APT_PACKAGES = "libglu1-mesa libxcursor1 libxft2 libxinerama1 libxrender1"


def load_gmsh() -> ModuleType:
    """Return the module gmsh, or say what is missing.

    Raises
    ------
    ExportError
        If gmsh is not installed, or a shared library that its wheel needs is not.
    """
    require("gmsh", "gmsh", purpose="checks by gmsh", error=ExportError)
    try:
        import gmsh
    except OSError as error:  # "libGLU.so.1: cannot open shared object file: ..."
        library = str(error).partition(":")[0]
        msg = (
            f"gmsh needs the shared library {library}, not found here ({error}); "
            f"on Debian and Ubuntu: apt-get install {APT_PACKAGES}"
        )
        raise ExportError(msg) from error
    module: ModuleType = gmsh
    return module


@contextmanager
def gmsh_model() -> Iterator[ModuleType]:
    """Give gmsh with an empty model, silent, without its configuration files; finalized after.

    Raises
    ------
    ExportError
        If gmsh is in use in this process already: its state is global.
    """
    gmsh = load_gmsh()
    if gmsh.isInitialized():
        msg = "gmsh is in use in this process; call gmsh.finalize() first"
        raise ExportError(msg)
    gmsh.initialize([], readConfigFiles=False, run=False, interruptible=False)
    _ignore_closed_pipes()
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("particle")
        yield gmsh
    finally:
        gmsh.finalize()


def _ignore_closed_pipes() -> None:
    """Undo what gmsh does to the process: to write into a closed pipe would end it, silently.

    Python ignores SIGPIPE and raises BrokenPipeError. Only the main thread may set that.
    """
    if hasattr(signal, "SIGPIPE") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPIPE, signal.getsignal(signal.SIGPIPE) or signal.SIG_IGN)
