"""Where the tasks of a dataset run: in this process, in processes, on dask or SLURM.

An engine is a function of a task and its items that yields results as they come. Every
engine gives the same results, since a task depends on its item only.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ....generator.errors import DatasetError
from ....generator.machine import usable_cores
from ..requirements import require

AHEAD = 4  # tasks that are submitted for each worker: enough to keep it busy
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
POLL, ASK_EVERY, GRACE = 2.0, 15.0, 30.0  # s: results, the queue, a file system that lags
LOST = "its process was killed; probably memory does not suffice"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Task(Protocol):
    """A function of an index that knows what to do about those whose process was killed."""

    def __call__(self, index: int, /) -> Any:
        """Result for an index."""

    def failed(self, index: int, why: str) -> Any:
        """Result for an index whose process was killed."""

    def sweep(self, index: int) -> None:
        """Remove what a killed process left of an index."""


Engine = Callable[[Task, Sequence[int]], Iterator[Any]]


def in_this_process(task: Task, items: Sequence[int]) -> Iterator[Any]:
    """Results one after the other."""
    return map(task, items)


@dataclass(frozen=True)
class Processes:
    """Engine of ``n`` processes, each with one thread.

    An item whose process dies is tried once more, alone; then it has failed. If the loop
    over the results is left, the processes are ended and what they were at is swept.
    """

    n: int

    def __call__(self, task: Task, items: Sequence[int]) -> Iterator[Any]:
        """Results as they come."""
        left = list(items)
        while left:
            running: dict[Future[Any], int] = {}
            done: set[int] = set()
            try:
                with self.pool() as pool:
                    for item, future in as_completed(pool, task, left, AHEAD * self.n, running):
                        result = future.result()
                        done.add(item)
                        yield result
            except BrokenProcessPool:
                for future, item in running.items():
                    arrived = future.done() and not future.exception()
                    yield future.result() if arrived else self._alone(task, item)
                    done.add(item)
            except BaseException:
                for item in running.values():
                    task.sweep(item)
                raise
            left = [item for item in left if item not in done]

    def _alone(self, task: Task, item: int) -> Any:
        """Result of an item in a process of its own."""
        try:
            with Processes(1).pool() as pool:
                return pool.submit(task, item).result()
        except BrokenProcessPool:
            task.sweep(item)
            return task.failed(item, LOST)

    @contextmanager
    def pool(self) -> Iterator[ProcessPoolExecutor]:
        """Pool of processes that end with this one, and at once if the block raises."""
        with one_thread(), spawned(self.n) as pool:
            yield pool


class _Spawning(SpawnContext):
    """Context that knows which processes were made through it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        self.made.append(SpawnProcess(*args, **options))
        return self.made[-1]


@contextmanager
def spawned(n: int, initializer: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Pool of ``n`` processes that end with this one, and at once if the block raises.

    They start when the first tasks are submitted, each calling ``initializer``.
    """
    context = _Spawning()
    pool = ProcessPoolExecutor(n, context, initializer=initializer or end_with_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in filter(SpawnProcess.is_alive, context.made):
            child.terminate()
            child.join()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _off_standard_output(logger: logging.Logger) -> None:
    """Let submitit warn on standard error only: the standard output is the command's."""
    for handler in [each for each in logger.handlers if each.name == "submitit_out"]:
        logger.removeHandler(handler)


def end_with_parent() -> None:
    """Let this process end as soon as its parent does, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Environment in which processes that are started use one thread each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def as_completed(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
    running: dict[Future[Result], Item] | None = None,
) -> Iterator[tuple[Item, Future[Result]]]:
    """Items and finished futures as they come, at most ``ahead`` tasks submitted at a time.

    ``running`` is kept to what is submitted and not dealt with.
    """
    running = {} if running is None else running
    waiting = iter(items)
    while True:
        for item in islice(waiting, ahead - len(running)):
            running[executor.submit(function, item)] = item
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running[future], future
            del running[future]


@dataclass(frozen=True)
class Dask:
    """Engine of a dask scheduler at ``address``, such as tcp://host:8786.

    dask itself runs the items of a worker that dies again, on another; one that has killed
    several workers has failed.
    """

    address: str

    def __post_init__(self) -> None:
        require("dask")

    def __call__(self, task: Task, items: Sequence[int]) -> Iterator[Any]:
        """Results as they come."""
        from distributed import Client, KilledWorker

        try:
            client = Client(self.address, timeout=10)
        except OSError as error:
            msg = f"no dask scheduler answers at {self.address} ({error}); is it running?"
            raise DatasetError(msg) from error
        with client, client.get_executor(pure=False) as executor:
            workers = sum(client.nthreads().values())
            for item, future in as_completed(executor, task, items, AHEAD * max(workers, 1)):
                try:
                    result = future.result()
                except KilledWorker:
                    task.sweep(item)
                    result = task.failed(item, LOST)
                yield result


@dataclass(frozen=True)
class Slurm:
    """Engine of a SLURM job array of ``n`` tasks, through submitit.

    If the loop over the results is left, by an interrupt for example, the array is cancelled.

    Parameters
    ----------
    n
        Tasks of the array, one core each.
    logs
        Folder for scripts, logs and results; every node must see it.
    hours
        Limit of time of a task.
    """

    n: int
    logs: Path
    hours: float

    def __post_init__(self) -> None:
        require("cluster")

    def __call__(self, task: Task, items: Sequence[int]) -> Iterator[Any]:
        """Results of each array task when it ends."""
        import submitit

        _off_standard_output(logging.getLogger("submitit"))
        executor = submitit.AutoExecutor(folder=self.logs, cluster="slurm")
        executor.update_parameters(
            name="cathodegrain", timeout_min=max(1, round(60 * self.hours)), cpus_per_task=1
        )
        shares = [list(items[k :: self.n]) for k in range(min(self.n, len(items)))]
        with one_thread():
            jobs = executor.map_array(Share(task), shares)
        failed = []
        try:
            for job, why in _ended(jobs):
                if why:
                    failed.append((job, why))
                else:
                    yield from job.result()
        except BaseException:
            for job in jobs:
                job.cancel(check=False)
            raise
        if failed:
            raise _slurm_error(failed, len(jobs))


def _ended(jobs: list[Any]) -> Iterator[tuple[Any, str]]:
    """Jobs as they end, each with the reason why it has no result, or with "".

    A job whose process is killed leaves none, and where SLURM keeps no accounts submitit
    waits for it for ever: a job that has left the queue for ``GRACE`` seconds is lost.
    """
    left = {job.job_id: job for job in jobs}
    gone: dict[str, float] = {}
    asked = -math.inf
    queued: set[str] | None = None
    while left:
        if time.monotonic() - asked > ASK_EVERY:
            queued, asked = _queued(jobs[0].job_id.partition("_")[0]), time.monotonic()
        for name, job in list(left.items()):
            if job.done():
                error = job.exception()
                yield job, "" if error is None else str(error).strip().splitlines()[-1]
                del left[name]
            elif queued is None or name in queued:
                gone.pop(name, None)
            elif time.monotonic() - gone.setdefault(name, time.monotonic()) > GRACE:
                yield job, LOST
                del left[name]
        time.sleep(POLL if left else 0)


def _queued(array: str) -> set[str] | None:
    """Names of an array's jobs that wait or run; None if SLURM does not say."""
    argv = ["squeue", "--array", "--noheader", "--format=%i", f"--jobs={array}"]
    found = subprocess.run(argv, capture_output=True, text=True, check=False)
    if found.returncode and "Invalid job id" not in found.stderr:
        return None
    return set(found.stdout.split())


def _slurm_error(failed: list[tuple[Any, str]], of: int) -> DatasetError:
    """Error of the array's jobs that failed, once all others have ended."""
    job, why = failed[0]
    return DatasetError(
        f"{len(failed)} of {of} SLURM jobs failed, {job.job_id} the first ({why}); its log is "
        f"{job.paths.stderr}. What is finished is kept: the same command goes on from there"
    )


@dataclass(frozen=True)
class Share:
    """Function that does several items, one after the other."""

    task: Task

    def __call__(self, items: list[int]) -> list[Any]:
        """Results of ``items``."""
        return [self.task(item) for item in items]


def engine_for(
    jobs: int | None, executor: str | None = None, out: Path = Path(), hours: float = 1.0
) -> Engine:
    """Engine of ``jobs`` processes, as many as cores if None, or of an executor.

    Raises
    ------
    DatasetError
        If there is no such executor, or no job.
    """
    if jobs is not None and jobs < 1:
        msg = f"jobs is {jobs}, expected 1 or more"
        raise DatasetError(msg)
    n = jobs or usable_cores()
    if executor is None:
        return in_this_process if n == 1 else Processes(n)
    if executor == "slurm":
        return Slurm(n, out.resolve().with_name(f"{out.resolve().name}.slurm"), hours)
    if executor.startswith("dask://"):
        return Dask(f"tcp://{executor.removeprefix('dask://')}")
    msg = f"the executor is {executor!r}, expected slurm or dask://host:port"
    raise DatasetError(msg)
