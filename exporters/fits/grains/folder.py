"""The folder of a fit of grains: what is kept on the way, so that nothing is done twice.

``plan.json`` says what is fitted to what (``schemas/grain_fit_plan-1.0.0.schema.json``);
``section-000.safetensors``, ... hold the fitted tessellations, ``run-0.safetensors``, ... the
training of each seed as of its last score. A fit that was stopped resumes there, to the bit,
whatever the number of processes: each trains one seed, with one thread for the nets. The device
that nets are trained on is no part of the plan; another one gives other last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ....generator.errors import DeviceError, FitError
from ....generator.fitting.grains import run as grain_fit
from ....generator.fitting.grains.fit import config_document
from ....generator.fitting.grains.planar_fit import PlanarFitSettings, fit_section
from ....generator.fitting.grains.planar_tessellation import SectionTessellation
from ....generator.fitting.grains.repeatable import repeatable
from ....generator.fitting.grains.run import GrainRun
from ....generator.fitting.grains.training import TrainingConfig
from ....generator.fitting.sections.section import Section
from ....generator.fitting.sections.usable import labels_sha256
from ....generator.progress import Progress
from ...files.atomic import replacing
from .. import plan_folder

POLL_S = 0.5
TRAINING_PART = 0.65  # of the time of a run that is tuned at its end


@dataclass(frozen=True, eq=False, kw_only=True)
class GrainFitPlan:
    """What is fitted to what, and how.

    Parameters
    ----------
    sections
        Those that are kept.
    planar
        How tessellations are fitted to them.
    config
        How nets are trained.
    entropies
        Seed of each run.
    """

    sections: tuple[Section, ...]
    planar: PlanarFitSettings
    config: TrainingConfig
    entropies: tuple[int, ...]

    @property
    def document(self) -> dict[str, Any]:
        """What must be the same for a folder to be gone on with; more seeds may be added."""
        return {
            "schema": "cathodegrain/grain_fit_plan",
            "schema_version": "1.0.0",
            "sections": [labels_sha256(section) for section in self.sections],
            "planar": asdict(self.planar),
            "config": config_document(self.config),
        }


class Status(NamedTuple):
    """Where a run stands."""

    seed: int
    part: float
    sentence: str


def open_folder(plan: GrainFitPlan, folder: Path) -> bool:
    """Make the folder of a fit, or find that it is one of this plan; whether it was there.

    Raises
    ------
    FitError
        If it is of another plan, with what differs.
    """
    return plan_folder.open_folder(plan.document, "grain_fit_plan", folder)


def planar_fits(
    plan: GrainFitPlan, folder: Path, jobs: int, progress: Progress
) -> tuple[SectionTessellation, ...]:
    """Tessellations of the sections, those that are not in the folder fitted now."""
    paths = [folder / f"section-{k:03d}.safetensors" for k in range(len(plan.sections))]
    with _processes(jobs, len(paths)) as (pool, _, _):
        pairs = zip(plan.sections, paths, strict=True)
        futures = [pool.submit(_fit, s, plan.planar, p) for s, p in pairs if not p.exists()]
        for n_done in _completed(futures):
            progress(f"{n_done} of {len(futures)} sections fitted", n_done / len(futures))
    return tuple(_read(path) for path in paths)


def _fit(section: Section, settings: PlanarFitSettings, path: Path) -> None:
    from safetensors.numpy import save

    found = fit_section(section, settings)
    arrays = {name: getattr(found, name) for name in ("seeds", "diagonals", "offsets")}
    arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata={"agreement": repr(found.agreement)}))


def _read(path: Path) -> SectionTessellation:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return SectionTessellation(**arrays, agreement=float(file.metadata()["agreement"]))
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        msg = f"{path} cannot be read ({error}); delete it, and it is fitted again"
        raise FitError(msg) from error


def trained(
    plan: GrainFitPlan,
    folder: Path,
    planar: Sequence[SectionTessellation],
    jobs: int,
    device: str,
    progress: Progress,
) -> tuple[GrainRun, ...]:
    """Runs of all seeds, each gone on with from its file, to their ends; nets on the CPU."""
    paths = [folder / f"run-{seed}.safetensors" for seed in plan.entropies]
    with _processes(jobs, len(paths)) as (pool, queue, stop):
        futures = [
            pool.submit(_train, plan, tuple(planar), seed, path, device, queue, stop)
            for seed, path in zip(plan.entropies, paths, strict=True)
        ]
        _follow(futures, queue, progress)
    return tuple(_ended(f.result(), p) for f, p in zip(futures, paths, strict=True))


@contextmanager
def _processes(jobs: int, n: int) -> Iterator[tuple[ProcessPoolExecutor, Any, Any]]:
    """Pool, a queue for what its processes tell, and an event that makes them stop."""
    context = get_context("spawn")
    with context.Manager() as manager:
        queue, stop = manager.Queue(), manager.Event()
        with ProcessPoolExecutor(min(jobs, n), context, _one_thread) as pool:
            try:
                yield pool, queue, stop
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _one_thread() -> None:
    """Results do not depend on the number of threads if there is one."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _train(
    plan: GrainFitPlan,
    planar: tuple[SectionTessellation, ...],
    seed: int,
    path: Path,
    device: str,
    queue: Any,
    stop: Any,
) -> str:
    """Train one seed and tune its best net, a file for each score; why training ended early."""
    stopped = ""
    with repeatable(device), _fitting_on(device):
        for run in grain_fit.runs(_start(plan, seed, path, device), plan.sections, planar):
            if run.is_usable:
                with replacing(path) as temporary:
                    grain_fit.save(run, temporary)
            part = run.part * (TRAINING_PART if plan.config.tuning else 1)
            queue.put(Status(seed, part, sentence(run)))
            stopped = run.stopped
            if stop.is_set():
                return stopped
    if path.exists():
        with suppress(_Stopped):
            _tune(plan, path, queue, stop)
    return stopped


def _start(plan: GrainFitPlan, seed: int, path: Path, device: str) -> GrainRun:
    if path.exists():
        return grain_fit.load(path, device)
    return grain_fit.first_run(plan.config, seed, device)


@contextmanager
def _fitting_on(device: str) -> Iterator[None]:
    """Say what to do if the memory of a GPU is not enough."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        msg = (
            f"device {device}: its free memory is not enough ({error}); take fewer jobs, or cpu; "
            "the same command resumes"
        )
        raise DeviceError(msg) from error


class _Stopped(Exception):
    """The command was interrupted."""


def _tune(plan: GrainFitPlan, path: Path, queue: Any, stop: Any) -> None:
    """Tune the best net of a run's file to the sections; the file is left if it is stopped."""
    run, last = grain_fit.load(path), plan.config.tuning

    def told(n: int, score: float) -> None:
        part = TRAINING_PART + (1 - TRAINING_PART) * n / last
        text = f"seed {run.seed}: last layer tuned, {n} of at most {last}, score {score:.2f}"
        queue.put(Status(run.seed, part, text))
        if stop.is_set():
            raise _Stopped

    with replacing(path) as temporary:
        grain_fit.save(grain_fit.tuned(run, plan.sections, told), temporary)


def _ended(stopped: str, path: Path) -> GrainRun:
    if not path.exists():
        msg = f"{path.stem} ended before its first file: {stopped}; try another --seed"
        raise FitError(msg)
    return replace(grain_fit.load(path), stopped=stopped)


def sentence(run: GrainRun) -> str:
    """Losses, intensity, grains and score of a run."""
    words = [f"seed {run.seed}: step {run.state.step}"]
    if run.state.curve:
        row = run.state.curve[-1]
        words.append(f"losses {row['discriminator_loss']:.2f} {row['generator_loss']:.2f}")
        words.append(f"grains {row['grains_generated']:.1f} of {row['grains_measured']:.1f}")
    words.append(f"lambda {run.state.intensity:.3g}")
    if run.best:
        words.append(f"score {run.scores[-1][1]:.2f} (best {run.best.score:.2f}, {run.best.step})")
    return ", ".join(words)


def _completed(futures: Sequence[Future[Any]]) -> Iterator[int]:
    """Number of finished futures, each time that one finishes; raises what they raise."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        yield len(futures) - len(waiting)


def _follow(futures: Sequence[Future[Any]], queue: Any, progress: Progress) -> None:
    """Show what the processes tell until all have finished; raises what they raise."""
    parts: dict[int, float] = {}
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for status in _told(queue.get_nowait, queue.empty):
            parts[status.seed] = status.part
            progress(status.sentence, sum(parts.values()) / len(futures))
        for future in done:
            future.result()


def _told(take: Callable[[], Status], is_empty: Callable[[], bool]) -> Iterator[Status]:
    while not is_empty():
        yield take()
