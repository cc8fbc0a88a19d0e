"""Command group ``cathodegrain dataset``: many particles as one product.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..console.arguments import Device, Json, Set, assignments, usable
from ..console.terminal import progress_bar, tell

if TYPE_CHECKING:
    from ..datasets.config import DatasetConfig
    from ..datasets.making.build import Report


Folder = Annotated[Path, Parameter(help="Folder of a dataset.")]
Jobs = Annotated[
    int | None,
    Parameter(help="Processes, or tasks of a SLURM array; as many as cores if left out."),
]


def build(
    config: Annotated[
        Path | None, Parameter(help="TOML file that says what to make (docs/dataset.md).")
    ] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of the dataset.")],
    parent: Annotated[
        Path | None,
        Parameter(name="--from", help="Dataset to make again with --set, draws kept."),
    ] = None,
    settings: Set = None,
    jobs: Jobs = None,
    executor: Annotated[
        str | None, Parameter(help="slurm, or a dask scheduler as dask://host:8786.")
    ] = None,
    hours: Annotated[float, Parameter(help="Limit of time of a SLURM task.")] = 24.0,
    shard: Annotated[
        str | None,
        Parameter(help="i/n: every n-th particle from the i-th on, i from 0; no index is made."),
    ] = None,
    device: Device = "cpu",
    strict: Annotated[
        bool, Parameter(negative="", help="Stop at the first particle that cannot be made.")
    ] = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Estimate time and size from a sample; write nothing.")
    ] = False,
    json_output: Json = False,
) -> int:
    """Make a dataset, or go on with one; exit code 1 if particles could not be made."""
    from ..datasets.making.build import Shard, build as build_dataset, planned
    from ..datasets.making.engines import engine_for

    place = usable(device)
    plan = planned(config, parent, assignments(settings))
    if dry_run:
        _tell_estimate(plan, parent, out, jobs, json_output)
        return 0
    engine = engine_for(jobs, executor, out, hours)
    part = None if shard is None else Shard.parse(shard)
    with progress_bar(plan.name) as show:
        report = build_dataset(
            plan, out, engine, parent=parent, shard=part, strict=strict, show=show, device=place
        )
    taken = {} if device == "cpu" else {"device": str(place)}
    _tell_report(report, plan, out, taken, json_output)
    return 1 if report.failed else 0


def verify(
    folder: Folder,
    /,
    *,
    level: Annotated[
        str, Parameter(help="sizes, hashes, schema or geometry; each includes those before.")
    ] = "geometry",
    jobs: Jobs = None,
    json_output: Json = False,
) -> int:
    """Say everything that is wrong with a dataset; exit code 1 if something is."""
    from ..datasets.checking.verify import verify as problems_of
    from ..datasets.making.engines import engine_for

    with progress_bar("verify") as show:
        found = problems_of(folder, level, engine_for(jobs), show)
    if json_output:
        tell({"dataset": str(folder), "level": level, "problems": found}, json_output)
        return 1 if found else 0
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{folder}: {'sound' if not found else f'problems: {len(found)}'} ({level})")
    return 1 if found else 0


def index(folder: Folder, /, *, jobs: Jobs = None, json_output: Json = False) -> None:
    """Write index, totals and manifest again: the last step after a build in shards."""
    from ..datasets.making.build import index_folder
    from ..datasets.making.engines import engine_for

    with progress_bar("index") as show:
        contents = index_folder(folder, engine_for(jobs), show)
    tell({"dataset": str(folder), **contents}, json_output)


def _tell_report(
    report: Report, plan: DatasetConfig, out: Path, taken: dict[str, str], json_output: bool
) -> None:
    failed = {outcome.index: outcome.reason for outcome in report.failed}
    rows: dict[str, Any] = {
        "dataset": str(out),
        "name": plan.name,
        "made": report.made,
        "present": report.present,
        "failed": len(failed),
        **taken,
    }
    if json_output:
        tell(rows | {"failures": {str(k): why for k, why in failed.items()}}, json_output)
        return
    for index, why in failed.items():
        print(f"particle {index}: {why}", file=sys.stderr)
    if report.stopped:
        print("stopped at the first failure (--strict)", file=sys.stderr)
    tell(rows, json_output)


def _tell_estimate(
    plan: DatasetConfig, parent: Path | None, out: Path, jobs: int | None, json_output: bool
) -> None:
    from ...generator.machine import usable_cores
    from ..datasets.making.estimate import estimate_rows

    with progress_bar("sample") as show:
        rows = estimate_rows(plan, parent, jobs or usable_cores(), show)
    tell({"dataset": str(out), "name": plan.name} | rows, json_output)
