"""How much memory there is, and work for all cores."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

PROCESSES, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    """Names of what a version of cgroups says in the folder of a group."""

    limit: str
    usage: str
    idle_cache: str  # a line of memory.stat, with the groups below


VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = _Files("memory.max", "memory.current", "inactive_file")


def available_memory() -> float:
    """Bytes of memory that can be had without swapping: of the computer, or of a container.

    On Linux the computer has ``MemAvailable`` of ``/proc/meminfo``, elsewhere all its memory is
    taken as free. A container or a batch job is a control group whose limit may be less, as may
    those of the groups around it: the least counts (kernel documentation, ``cgroup-v2`` and
    ``cgroup-v1/memory``). What is left of a limit is the limit without the working set, which is
    the usage without file pages that were not used lately, as Kubernetes reckons
    ``memory.available`` ("Node-pressure eviction").
    """
    return min([_of_computer(), *_of_groups()])


def _of_computer() -> float:
    with suppress(OSError):
        for line in (PROCESSES / "meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    if hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return 8e9


def _of_groups() -> Iterator[float]:
    """What is left to each group that this process is in, from its own to the outermost.

    In a container the group may have its name outside, and lie at the root all the same:
    folders that are not there have no limit.
    """
    try:
        lines = (PROCESSES / "self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, files = (GROUPS / "memory", VERSION_1) if controllers else (GROUPS, VERSION_2)
        group = PurePosixPath(name.lstrip("/"))
        yield from (_left(root / part, files) for part in (group, *group.parents))


def _left(group: Path, files: _Files) -> float:
    """What is left of the limit of a group; infinite if it has none, or if it has gone."""
    try:
        limit, usage, statistics = (
            (group / name).read_text("ascii") for name in (files.limit, files.usage, "memory.stat")
        )
    except OSError:
        return math.inf
    if limit.strip() == "max":
        return math.inf
    idle = dict(line.split() for line in statistics.splitlines()).get(files.idle_cache, 0)
    return max(0.0, float(limit) - max(0.0, float(usage) - float(idle)))


def run_all(
    task: Callable[[tuple[int, ...]], None], items: Iterable[tuple[int, ...]], threads: int | None
) -> None:
    """Call ``task`` on all items with a pool of threads; the kernels release the GIL.

    If anything is raised, an interrupt included, what has not started is not done any more.
    """
    n = threads or usable_cores()
    if n == 1:
        for item in items:
            task(item)
        return
    with ThreadPoolExecutor(n) as pool:
        try:
            for _ in pool.map(task, items):
                pass
        except BaseException:  # `map` alone forgets what it submitted before an interrupt
            pool.shutdown(cancel_futures=True)
            raise


def in_threads(
    task: Callable[[Item], Result], items: Sequence[Item], threads: int | None
) -> list[Result]:
    """Results of ``task`` for all items, in their order, as `run_all` makes them."""
    found: dict[int, Result] = {}

    def each(place: tuple[int, ...]) -> None:
        found[place[0]] = task(items[place[0]])

    run_all(each, ((k,) for k in range(len(items))), threads)
    return [found[k] for k in range(len(items))]


def usable_cores() -> int:
    """Cores that this process may use: fewer than the computer has under SLURM or taskset.

    At most ``NUMBA_NUM_THREADS`` if the environment sets it.
    """
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(int(limit), _cores()) if limit.isdigit() and int(limit) else _cores()


def _cores() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def readable_bytes(n: float) -> str:
    """Number of bytes with two digits and a decimal unit.

    Examples
    --------
    >>> readable_bytes(999), readable_bytes(25_300_000_000), readable_bytes(1.2e21)
    ('999 B', '25 GB', '1200 EB')
    """
    power = min(max(0, (len(f"{n:.0f}") - 1) // 3), len(BYTE_UNITS) - 1)
    value = n / 1000**power
    return (
        f"{value:.2g} {BYTE_UNITS[power]}" if value < 99.5 else f"{value:.0f} {BYTE_UNITS[power]}"
    )
