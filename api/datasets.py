"""Datasets of particles: built, checked, delivered and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .generator.progress import Progress

if TYPE_CHECKING:
    from .exporters.datasets.making.build import Report
    from .exporters.datasets.reading.access import Dataset


def open_dataset(source: str | Path) -> Dataset:
    """Dataset of a folder, of a folder of ZIP shards, or of the web address of either.

    It iterates over particles that are read when they are used; ``index`` is a DataFrame,
    ``select("diameter_um > 8")``, ``dataset[0:3]`` and ``dataset["p000004"]`` choose.

    Raises
    ------
    DatasetError
        If there is none, it cannot be read, or the extra ``dataset`` is not installed.
    """
    from .exporters.datasets.reading.access import open_dataset as opened

    return opened(source)


def build_dataset(
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    out: str | Path,
    parent: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    executor: str | None = None,
    hours: float = 24.0,
    shard: str | None = None,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Make a dataset, or resume one; as ``cathodegrain dataset build``.

    Parameters
    ----------
    config
        TOML file that says what to make, or its content as a dictionary (docs/dataset.md).
    out
        Folder of the dataset.
    parent, parameters
        Dataset to make again with changed parameters of its model, draws kept, instead of a
        ``config``.
    jobs
        Processes, or tasks of a SLURM array; as many as cores if left out.
    executor
        "slurm", or a dask scheduler as "dask://host:8786".
    hours
        Limit of time of a SLURM task.
    shard
        "i/n": every n-th particle from the i-th on; no index is made.
    device
        Where voxels are labelled: "cpu", "cuda", "cuda:N" or "auto". Files are the same. On a GPU
        one process labels for all; not with an ``executor``.
    strict
        Stop at the first particle that cannot be made.
    progress
        Called with a message and the part of the particles that is done.

    Returns
    -------
    Report
        Numbers of particles made and found finished, and those that failed, with reasons.

    Raises
    ------
    DatasetError
        Lists every way in which the configuration is not valid; or if files cannot be
        written.
    DeviceError
        If the device is not there or not usable.
    """
    from .exporters.datasets.making.build import Shard, build, planned
    from .exporters.datasets.making.engines import engine_for
    from .generator.devices import device_named

    place = device_named(device)
    plan = planned(config, parent, parameters or {})
    engine = engine_for(jobs, executor, Path(out), hours)
    part = None if shard is None else Shard.parse(shard)
    origin = None if parent is None else Path(parent)
    return build(
        plan, Path(out), engine, parent=origin, shard=part, strict=strict, show=progress,
        device=place,
    )  # fmt: skip


def verify_dataset(
    folder: str | Path,
    *,
    level: str = "geometry",
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Everything that is wrong with a dataset, a sentence each; empty if it is sound.

    Parameters
    ----------
    level
        "sizes", "hashes", "schema" or "geometry"; each includes those before.
    """
    from .exporters.datasets.checking.verify import verify
    from .exporters.datasets.making.engines import engine_for

    return verify(folder, level, engine_for(jobs), progress)


def index_dataset(
    folder: str | Path, *, jobs: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write index, totals and manifest of a dataset again; the last step after shards."""
    from .exporters.datasets.making.build import index_folder
    from .exporters.datasets.making.engines import engine_for

    return dict(index_folder(Path(folder), engine_for(jobs), progress))


def pack_dataset(
    folder: str | Path,
    *,
    out: str | Path,
    shard_size: str = "2GB",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Pack a dataset into few ZIP files that are read without unpacking; their number.

    Raises
    ------
    DatasetError
        If there is no dataset, a shard is in the way, or one cannot be written.
    """
    from .exporters.datasets.sharing import pack

    shards = pack.plan(Path(folder), pack.parsed_bytes(shard_size))
    pack.pack(Path(folder), Path(out), shards, overwrite=overwrite, progress=progress)
    return len(shards)


def fetch_dataset(
    source: str | Path,
    *,
    out: str | Path,
    select: str | None = None,
    limit: int | None = None,
    products: Sequence[str] = ("recipe",),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Download chosen particles of a dataset, verified; resumes where it was interrupted.

    Parameters
    ----------
    source
        Folder or web address of a dataset, packed or not.
    select
        Particles by columns of the index, as "diameter_um > 8".
    limit
        Number of particles, at most.

    Raises
    ------
    DatasetError
        If nothing fits, or a file cannot be had or is not what the manifest lists.
    """
    from .exporters.datasets.reading.access import files_of
    from .exporters.datasets.sharing import fetch

    wanted = fetch.choose(files_of(source), select=select, limit=limit, products=list(products))
    fetch.fetch(wanted, Path(out), overwrite=overwrite, progress=progress)
    return open_dataset(out)


def describe_dataset(folder: str | Path) -> list[Path]:
    """Write card, citation and catalogue metadata of a dataset from its own numbers."""
    from .exporters.datasets.describing.describe import describe

    return describe(folder)
