"""Interruptions of a command: Ctrl-C and the SIGTERM that batch systems and containers send.

Python runs a handler of signals between any two of its instructions, also while compiled code
calls back. llvmlite, which loads and compiles kernels, does: its code in C++ cannot take an
exception from Python and reads what is not there. A signal that comes then waits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PAUSE_S = 0.02  # until a signal that came at a bad time is sent again
_KEPT = (signal.SIG_IGN, None)  # of a command in the background of a script; of a host in C


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt` as soon as Python may raise anything.

    A SIGINT that is ignored stays so. Threads other than the main one get no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) not in _KEPT:
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _is_called_back(frame):
        raise KeyboardInterrupt
    again = threading.Timer(PAUSE_S, signal.raise_signal, (number,))
    again.daemon = True
    again.start()


def _is_called_back(frame: FrameType | None) -> bool:
    """Whether code in C++ waits for this frame, or for one that called it."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite."):
            return True
        frame = frame.f_back
    return False
