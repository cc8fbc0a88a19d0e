"""Command line of cathodegrain: commands, their arguments, exit codes.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import cyclopts

from ..console.interruption import interruptible
from .app import app


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; whatever ends it is said in one sentence.

    0 on success; 1 for a failed check, an interruption or a bug of cathodegrain; 2 for input,
    or a place to write to, that cannot be used. With ``CATHODEGRAIN_TRACEBACK=1`` in the
    environment the traceback comes before the sentence.
    """
    try:
        _open_closed_streams()
        with interruptible(), _spoken_warnings():
            result = app(argv, exit_on_error=False, print_error=True, result_action="return_value")
            sys.stdout.flush()  # here a reader that is gone is noticed, not at the very end
    except cyclopts.CycloptsError:
        return 2
    except KeyboardInterrupt:
        return _failed("interrupted; nothing half-written is left", 1)
    except BrokenPipeError:  # the reader of our output is gone: `cathodegrain formats | head -1`
        return 1
    except Exception as error:  # the last line of defence
        return _failed(*_sentence(error))
    finally:
        _empty(sys.stdout)
        _empty(sys.stderr)
    return result if isinstance(result, int) else 0


def _sentence(error: Exception) -> tuple[str, int]:
    """What is said about an error, and the exit code."""
    from ...generator.errors import CathodegrainError
    from ..files.atomic import reason

    if isinstance(error, CathodegrainError):
        return str(error), 2
    if isinstance(error, MemoryError):
        remedy = "choose a larger --pitch or --size, a smaller particle or fewer grains"
        return f"memory does not suffice ({error}); {remedy}", 2
    if isinstance(error, OSError):
        place = error.filename or "a file or the standard output"
        remedy = "correct the path, its permissions or the free space"
        return f"{place} cannot be read or written ({reason(error)}); {remedy}", 2
    first_line = str(error).partition("\n")[0]
    remedy = "please report it with the traceback, which CATHODEGRAIN_TRACEBACK=1 shows"
    return f"{type(error).__name__} ({first_line}) is a bug of cathodegrain; {remedy}", 1


def _failed(message: str, code: int) -> int:
    with suppress(OSError):  # nobody can be told
        if os.environ.get("CATHODEGRAIN_TRACEBACK"):
            traceback.print_exc()
        print(f"cathodegrain: {message}", file=sys.stderr)
    return code


def _open_closed_streams() -> None:
    """Let standard streams that are closed lead nowhere.

    Python has None in their place, and the next file that is opened would take their number:
    what a library prints would go into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _empty(stream: TextIO) -> None:
    """Write what a stream still holds, to nowhere if it takes nothing: Python would complain."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _spoken_warnings() -> Iterator[None]:
    """Say what a user has to change, such as the former name of an option, in a sentence."""
    before = warnings.showwarning

    def say(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, FutureWarning):
            print(f"cathodegrain: {message}", file=sys.stderr)
        else:
            before(message, category, *where, **more)

    warnings.showwarning = say
    try:
        yield
    finally:
        warnings.showwarning = before


if __name__ == "__main__":
    sys.exit(main())
