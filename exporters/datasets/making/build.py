"""Build of a dataset: its particles, by any engine; then index, totals and manifest.

Builds of one folder at the same time, shards or not, end with the same bytes as one: of a
particle that two make one is kept, and whoever ends finishes what is there then, alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....generator.devices import CPU, Device
from ....generator.errors import DatasetError
from ....generator.voxels.labelling import LabelSlab
from ....generator.voxels.slabs import label_slab_on
from ...files.provenance import sha256
from ...particles import metadata
from ...products.registry import PRODUCTS
from .. import layout, manifest
from ..config import DatasetConfig, from_fields, load
from ..folder import Dataset, changing, derived, on_disk, prepare, read, write_document
from ..requirements import require
from .engines import Engine, Processes, in_this_process
from .particle_task import Outcome, ParticleTask

if TYPE_CHECKING:
    from .index import Part

FINISH_WAIT_S = 3600.0  # the index of many particles takes a while, and hours of work wait for it
Show = Callable[[str, float], None]  # (what is going on, part of the work that is done)


@dataclass(frozen=True)
class Shard:
    """Every ``of``-th particle, from number ``number`` on, counted from 0."""

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            msg = f"shard {self.number}/{self.of}, expected i/n with i from 0 to n - 1"
            raise DatasetError(msg)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Shard written as i/n.

        Examples
        --------
        >>> Shard.parse("3/10")
        Shard(number=3, of=10)
        """
        number, _, of = text.partition("/")
        if not (number.strip().isdecimal() and of.strip().isdecimal()):
            msg = f"shard {text!r}, expected i/n, as 0/10 for the first of ten"
            raise DatasetError(msg)
        return cls(int(number), int(of))


@dataclass(frozen=True, repr=False)
class Report:
    """What a build did.

    Parameters
    ----------
    made, present
        Particles made during this build, and finished before it.
    failed
        Those that could not be made.
    stopped
        Whether it ended at the first of them.
    """

    made: int
    present: int
    failed: tuple[Outcome, ...]
    stopped: bool = False

    def __repr__(self) -> str:
        numbers = f"{self.made} made, {self.present} present, {len(self.failed)} failed"
        return f"Report({numbers}{', stopped at the first' if self.stopped else ''})"


def build(
    config: DatasetConfig,
    folder: Path,
    engine: Engine,
    *,
    parent: Path | None = None,
    shard: Shard | None = None,
    strict: bool = False,
    show: Show | None = None,
    device: Device = CPU,
) -> Report:
    """Make the particles of a dataset that are not there yet, and finish it.

    With a shard its particles are made only; `finish` is called when all are there. On a GPU one
    process labels the voxels for all processes of the engine; files do not depend on the device.

    Raises
    ------
    DatasetError
        If the folder holds something else, or cannot be written.
    ExportError
        If a package that a product needs is not installed.
    """
    require("dataset")
    for product in config.products:
        PRODUCTS[product.name].require()
    dataset = prepare(config, folder)
    origin = None if parent is None else str(parent.resolve())
    indices = config.indices if shard is None else config.indices[shard.number :: shard.of]
    with _labelling(engine, device) as label:
        task = ParticleTask(str(folder.resolve()), config.sha256, origin, label)
        report = _run(task, indices, engine, strict, show)
    if shard is None and not report.stopped and not _is_current(dataset, report):
        finish(folder, engine, show, FINISH_WAIT_S)
    return report


@contextmanager
def _labelling(engine: Engine, device: Device) -> Iterator[LabelSlab | None]:
    """What labels voxels for the tasks of an engine."""
    if not device.is_gpu:
        yield None
    elif isinstance(engine, Processes):
        from .label_process import label_process

        with label_process(device.name) as label:
            yield label
    elif engine is in_this_process:
        yield label_slab_on(device)
    else:
        msg = (
            f"the device {device.name} is this computer's: tasks of an executor cannot use it; "
            "build with --shard on each computer that has a GPU"
        )
        raise DatasetError(msg)


def _run(
    task: ParticleTask, indices: range, engine: Engine, strict: bool, show: Show | None
) -> Report:
    before = _folders(task)
    found: list[Outcome] = []
    failed: list[Outcome] = []
    outcomes: Iterator[Outcome] = iter(engine(task, indices))
    for done, outcome in enumerate(outcomes, 1):
        found.append(outcome)
        if show is not None:
            show(f"particle {done} of {len(indices)}", done / len(indices))
        if outcome.state == "failed":
            failed.append(outcome)
            if strict:
                getattr(outcomes, "close", lambda: None)()
                break
    after = _folders(task)
    names = [layout.particle_id(outcome.index) for outcome in found if outcome.state == "present"]
    present = sum(before.get(name) == after.get(name) for name in names)
    ordered = tuple(sorted(failed, key=lambda outcome: outcome.index))
    return Report(len(found) - len(failed) - present, present, ordered, strict and bool(failed))


def _folders(task: ParticleTask) -> dict[str, int]:
    """Inodes of the particles' folders by their names: one that is made again has another.

    The task alone cannot say what was there before: if the process that made a particle is
    killed before it can answer, the next one finds it finished.
    """
    root = Path(task.folder, layout.PARTICLE_FOLDER)
    if not root.is_dir():
        return {}
    with on_disk(root):
        hundreds = [entry.path for entry in os.scandir(root) if entry.is_dir()]
        return {e.name: e.inode() for hundred in hundreds for e in os.scandir(hundred)}


def _is_current(dataset: Dataset, report: Report) -> bool:
    """Whether nothing was to do and the index and manifest are those of what is there."""
    contents = dataset.contents
    if report.made or contents is None:
        return False
    if (contents["particles"], contents["failed"]) != (report.present, len(report.failed)):
        return False
    try:
        return list(manifest.read(dataset.folder)) == _files(dataset.folder)
    except DatasetError:
        return False


def _files(folder: Path) -> list[str]:
    return [] if layout.temporaries(folder) else manifest.file_names(folder)


def finish(
    folder: Path, engine: Engine, show: Show | None = None, wait_s: float | None = None
) -> dict[str, int]:
    """Write index, totals and manifest of what is there; the totals.

    Raises
    ------
    DatasetError
        If particles are damaged (lists them), files cannot be written, or another command
        changes the dataset for longer than ``wait_s``, as `locked` takes it.
    """
    require("dataset")
    with changing(folder, wait_s):
        dataset = read(folder)  # as it is now: another build may have made it larger
        parts = _index_parts(dataset, engine, show)
        with on_disk(folder):
            return _write_totals(dataset, parts)


def _index_parts(dataset: Dataset, engine: Engine, show: Show | None) -> list[Part]:
    """Parts of the index, written."""
    from . import index

    task, numbers = index.PartTask(str(dataset.folder.resolve())), index.parts(dataset.config)
    found: list[Part] = []
    for part in engine(task, numbers):
        found.append(part)
        if show is not None:
            show("index", len(found) / len(numbers))
    return found


def _write_totals(dataset: Dataset, parts: list[Part]) -> dict[str, int]:
    """Write all that is made of the parts of the index; the totals."""
    from ..describing.describe import write_descriptions
    from .index import write_particles

    folder, config = dataset.folder, dataset.config
    failures = _failures(dataset)
    rows = sorted((row for part in parts for row in part.rows), key=_number)
    write_particles(rows, config, folder)
    contents = {
        "particles": len(rows),
        "failed": len(failures),
        "grains": sum(row["n_grains"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
    }
    write_document(config, folder, contents)
    if len(rows) + len(failures) == config.count:
        sweep(folder)  # who is still at work makes a particle that is there
        (folder / layout.FETCHED).unlink(missing_ok=True)  # no part any more
    write_descriptions(folder)
    write_manifest(folder, {name: h for part in parts for name, h in part.hashes.items()})
    return contents


def _number(row: dict[str, int]) -> int:
    return row["index"]


def _failures(dataset: Dataset) -> list[int]:
    """Particles that could not be made; documents of those that are there by now are removed."""
    folder, failed = dataset.folder, []
    documents = folder / layout.FAILURE_FOLDER
    for path in sorted(documents.glob("p*.json")):
        number = layout.particle_index(path.stem)
        if (folder / layout.particle_path(number) / metadata.NAME).is_file():
            path.unlink(missing_ok=True)
        else:
            failed.append(number)
    if documents.is_dir() and not any(documents.iterdir()):
        documents.rmdir()
    return failed


def sweep(folder: Path) -> None:
    """Remove what killed processes left; under the dataset's lock, all particles being there."""
    for path in layout.temporaries(folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # its owner may do the same
        else:
            path.unlink(missing_ok=True)


def write_manifest(folder: Path, particle_hashes: dict[str, str]) -> None:
    """Write the manifest: the particles' files as listed, all others as they are."""
    inside = f"{layout.PARTICLE_FOLDER}/"
    others = [name for name in manifest.file_names(folder) if not name.startswith(inside)]
    own = {name: sha256(folder / name) for name in others}
    manifest.write(particle_hashes | own, folder)


def index_folder(folder: Path, engine: Engine, show: Show | None = None) -> dict[str, int]:
    """Write index, totals and manifest of a dataset's folder again; the totals.

    Raises
    ------
    DatasetError
        As `finish`, if it is of other draws than this program's, or if it is a fetched
        part: its index describes the whole.
    """
    dataset = read(folder)
    if dataset.is_part:
        msg = (
            f"{folder} is a part that was fetched, its index is that of the whole dataset; "
            "`cathodegrain dataset build` with the same configuration makes the rest of it"
        )
        raise DatasetError(msg)
    prepare(dataset.config, folder)
    return finish(folder, engine, show)


def planned(
    config: str | Path | Mapping[str, Any] | None,
    parent: str | Path | None,
    changes: Mapping[str, Any],
) -> DatasetConfig:
    """What to make: of a configuration or its TOML file, or of another dataset with changes.

    Raises
    ------
    DatasetError
        Unless one of ``config`` and ``parent`` is given; lists every way in which a
        configuration is not valid.
    """
    if (config is None) == (parent is None):
        msg = "give a CONFIG.toml, or --from DATASET with --set NAME=VALUE, one of the two"
        raise DatasetError(msg)
    if parent is not None:
        return derived(parent, changes)
    if changes:
        msg = f"{sorted(changes)} go with --from; write them into the configuration"
        raise DatasetError(msg)
    if isinstance(config, Mapping):
        return from_fields(config)
    return load(config or "")
