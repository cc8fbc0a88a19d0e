"""Processes that end with the test that starts them."""

import subprocess
from contextlib import contextmanager


@contextmanager
def started(command, **options):
    """A process that is killed, and whose pipes are closed, if the test fails before it ends.

    Else the garbage collector finds them, and its ResourceWarning fails whatever test runs then.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
