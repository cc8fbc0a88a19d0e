"""What commands print: rows, progress bars, costs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...generator.progress import Progress, quiet


@contextmanager
def progress_bar(name: str) -> Iterator[Progress]:
    """Give a function that moves a progress bar if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield quiet
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)

        def show(message: str, part: float) -> None:
            bar.update(task, description=f"{name}: {message}", completed=part)

        yield show


def cost(started: float) -> str:
    """CPU time since ``started`` and the largest memory of the process so far."""
    seconds = time.process_time() - started
    if sys.platform == "win32":
        return f"{seconds:.1f} s CPU"
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bytes_used = kilobytes * (1 if sys.platform == "darwin" else 1024)
    return f"{seconds:.1f} s CPU, peak memory {bytes_used / 1e9:.2f} GB"


def file_rows(products: list[dict[str, Any]]) -> dict[str, str]:
    """A row for each file, and one for all files of a folder."""
    sizes: dict[str, list[int]] = {}
    for product in products:
        top, slash, _ = product["path"].partition("/")
        sizes.setdefault(top + slash, []).append(product["bytes"])
    return {
        path: f"{sum(n):,} bytes" + (f" in {len(n)} files" if path.endswith("/") else "")
        for path, n in sizes.items()
    }


def tell(rows: dict[str, Any], json_output: bool) -> None:
    """Print rows of names and values, a list over several lines; or JSON."""
    if json_output:
        print(json.dumps(rows))
        return
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        for k, line in enumerate(value if isinstance(value, list) else [value]):
            print(f"{'' if k else name:<{width}}  {line}")
