"""Commands that deliver datasets: ``dataset pack``, ``dataset fetch``, ``dataset describe``.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..console.arguments import DryRun, Json, Overwrite
from ..console.terminal import progress_bar, tell


def pack(
    folder: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder that receives the shards.")],
    shard_size: Annotated[str, Parameter(help="Largest shard, as 500MB or 2GB.")] = "2GB",
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> None:
    """Pack a dataset into few ZIP files for archives; finished ones are kept."""
    from ..datasets.sharing import pack as packing

    shards = packing.plan(folder, packing.parsed_bytes(shard_size))
    rows: dict[str, Any] = {
        "shards": len(shards),
        "files": sum(len(shard.sizes) for shard in shards),
        "bytes": sum(shard.bytes for shard in shards),
    }
    if remark := packing.remark(shards):
        rows["remark"] = remark
    if not dry_run:
        with progress_bar("pack") as show:
            packing.pack(folder, out, shards, overwrite=overwrite, progress=show)
        rows = {"packed": str(out)} | rows
    tell(rows, json_output)


def fetch(
    source: Annotated[str, Parameter(help="Folder or web address of a dataset, packed or not.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder that receives the dataset's part.")],
    select: Annotated[
        str | None,
        Parameter(help="Particles by columns of the index, as 'diameter_um > 8'."),
    ] = None,
    limit: Annotated[int | None, Parameter(help="Number of particles, at most.")] = None,
    products: Annotated[str, Parameter(help="Products, separated by commas.")] = "recipe",
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> None:
    """Fetch chosen particles of a dataset, checked; goes on where it was broken off."""
    from ..datasets.reading.access import files_of
    from ..datasets.sharing import fetch as fetching

    names = [name.strip() for name in products.split(",") if name.strip()]
    wanted = fetching.choose(files_of(source), select=select, limit=limit, products=names)
    rows: dict[str, Any] = {
        f"without {product}": f"{n} of {len(wanted.particles)} particles"
        for product, n in wanted.lacking().items()
    }
    if dry_run:
        tell(fetching.estimate(wanted) | rows, json_output)
        return
    with progress_bar("fetch") as show:
        counts = fetching.fetch(wanted, out, overwrite=overwrite, progress=show)
    tell({"fetched": str(out)} | counts | rows, json_output)


def describe(
    folder: Annotated[Path, Parameter(help="Folder of a dataset.")],
    /,
    *,
    json_output: Json = False,
) -> None:
    """Write card, citation and catalogue metadata of a dataset anew, from its own numbers."""
    from ..datasets.describing.describe import describe as write
    from ..datasets.describing.facts import DESCRIPTIONS

    written = [path.name for path in write(folder)]
    rows: dict[str, Any] = {"dataset": str(folder), "written": written}
    if left := [name for name in DESCRIPTIONS if name not in written]:
        rows["not written"] = f"{', '.join(left)}: the configuration has no year"
    tell(rows, json_output)
