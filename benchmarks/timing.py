"""What the benchmarks share: fair timing, verdicts against bars, a table, the machine."""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
PACKAGES = (
    "cathodegrain",
    "numpy",
    "numba",
    "PyAPD",
    "pykeops",
    "pytetwild",
    "tetgen",
    "mmgpy",
    "pygalmesh",
    "vtk",
    "gmsh",
    "torch",
    "sphericart",
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measured number and what was promised.

    Parameters
    ----------
    name
        What was measured.
    value
        The number.
    low, high
        The promise: ``low <= value <= high``; None is no promise on that side.
    unit
        Unit of value and bars, empty for ratios and counts.
    details
        What the number was computed from.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    details: str = ""

    @property
    def verdict(self) -> str:
        """Whether the bar was "met" or "missed"; empty without a bar."""
        if self.low is None and self.high is None:
            return ""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return "met" if low <= self.value <= high else "missed"

    @property
    def bar(self) -> str:
        """The promise in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}{self.unit}"
        if self.low is not None:
            return f"at least {self.low:g}{self.unit}"
        return "" if self.high is None else f"at most {self.high:g}{self.unit}"

    @property
    def figure(self) -> str:
        """The number to three digits, rounded towards missing its bar."""
        if self.value == 0:
            return f"0{self.unit}"
        step = 10.0 ** (math.floor(math.log10(abs(self.value))) - 2)
        digits = self.value / step
        if (self.low is None) != (self.high is None):
            digits = math.floor(digits) if self.high is None else math.ceil(digits)
        return f"{round(digits) * step:.6g}{self.unit}"


def ratio(
    name: str, seconds: Mapping[str, float], ours: str, theirs: str, bar: float | None, more: str
) -> Result:
    """How many times longer ``theirs`` takes than ``ours``, with the seconds in the details."""
    details = f"{theirs} {seconds[theirs]:.3g} s, {ours} {seconds[ours]:.3g} s; {more}"
    return Result(name=name, value=seconds[theirs] / seconds[ours], low=bar, details=details)


def in_one_thread() -> None:
    """Start this program again with one thread for every library, if it has not been.

    OpenMP and the linear algebra libraries read these variables once, when they are loaded.
    """
    wanted = dict.fromkeys(THREADS, "1")
    if any(os.environ.get(name) != n for name, n in wanted.items()):
        os.execve(sys.executable, sys.orig_argv, os.environ | wanted)


def cpu_seconds(task: Callable[[], object]) -> float:
    """CPU seconds that this process spends on one call, all threads together."""
    start = time.process_time()
    task()
    return time.process_time() - start


def alternating(
    tasks: Mapping[str, Callable[[], object]],
    repeats: int,
    measure: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> dict[str, float]:
    """Median of ``repeats`` timings of each task, in seconds.

    The tasks take turns, so that a machine that slows down or speeds up on the way does so
    for all of them. Compiling and warming up is the caller's business.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(measure(task))
    return {name: statistics.median(values) for name, values in times.items()}


def peak_bytes() -> int:
    """Most memory that this process has had, interpreter and libraries included.

    On Linux getrusage tells a process that was started by a larger one the peak of that one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def table(results: Iterable[Result]) -> str:
    """Markdown table of the results, a line each."""
    rows = [("measured", "value", "bar", "verdict", "details"), ("---",) * 5]
    rows += [(r.name, r.figure, r.bar, r.verdict, r.details) for r in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machine() -> str:
    """One line about processor, load and versions."""
    load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    found = [f"Python {platform.python_version()}", *filter(None, map(_version, PACKAGES))]
    return f"{_processor()}, {os.cpu_count()} cores{load}; {', '.join(found)}"


def _processor() -> str:
    """Name of the processor, as well as the system knows it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    """Name and version of an installed package, None if it is not installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
