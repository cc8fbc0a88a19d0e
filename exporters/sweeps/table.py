"""Tables of a sweep: ``sweep.csv`` and ``sweep.json``, a row for each particle.

Both have the columns of `measures.COLUMNS`, with units in their names; the document says what each
means, and which recipe a row belongs to. A cell is empty, or null, where there is nothing to
measure. Equal sweeps give equal bytes, whatever was resumed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...generator.errors import ExportError
from ..files.atomic import replacing
from ..files.documents import document_text, read_document
from ..files.provenance import generator_name
from ..particles import metadata
from .measures import COLUMNS
from .plan import SweepPlan, Variant

if TYPE_CHECKING:
    import pandas as pd

NAME, CSV, PICTURE = "sweep.json", "sweep.csv", "sweep.png"


@dataclass(frozen=True)
class Row:
    """What is known of a particle of a sweep."""

    variant: Variant
    state: str
    error: str
    recipe_sha256: str
    measures: Mapping[str, Any] | None

    @property
    def cells(self) -> dict[str, Any]:
        """Cells of the table by their columns."""
        v = self.variant
        found = {"id": v.id, "base": v.base, "model": v.model, "seed": v.seed, "index": v.index}
        measures = self.measures or dict.fromkeys(COLUMNS)
        return found | dict(v.values) | dict(measures) | {"error": self.error or None}


@dataclass(frozen=True, repr=False)
class Sweep:
    """A sweep that was made.

    Parameters
    ----------
    path
        Its folder, with a folder for each particle, ``sweep.csv``, ``sweep.json`` and, if
        matplotlib is installed, ``sweep.png``.
    rows
        What is known of each particle: the bases, each followed by its variants.
    """

    path: Path
    rows: Sequence[Row]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items() if n)
        return f"Sweep({self.path}: {counts})"

    @property
    def counts(self) -> dict[str, int]:
        """How many particles were made, present and failed, or were not reached."""
        states = ("made", "present", "failed", "pending")
        return {state: sum(row.state == state for row in self.rows) for state in states}

    @property
    def failed(self) -> dict[str, str]:
        """Why particles could not be made, by their ids."""
        return {row.variant.id: row.error for row in self.rows if row.state == "failed"}

    def frame(self) -> pd.DataFrame:
        """The table for pandas: a row for each particle, units in the names of the columns."""
        import pandas as pd

        return pd.DataFrame([row.cells for row in self.rows])


def write(sweep: Sweep, plan: SweepPlan) -> None:
    """Write both tables; they replace those of the same sweep."""
    text = document_text(document(sweep, plan), "sweep")
    cells = [row.cells for row in sweep.rows]
    lines = io.StringIO()
    table = csv.DictWriter(lines, list(cells[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({k: _cell(v) for k, v in row.items()} for row in cells)
    for name, content in ((CSV, lines.getvalue()), (NAME, text)):
        if not _holds(sweep.path / name, content):
            with replacing(sweep.path / name) as temporary:
                temporary.write_text(content, "utf-8")


def _cell(value: Any) -> Any:
    return "" if value is None else value


def _holds(path: Path, content: str) -> bool:
    return path.is_file() and path.read_bytes() == content.encode()


def document(sweep: Sweep, plan: SweepPlan) -> dict[str, Any]:
    """Content of sweep.json."""
    return {
        "schema": "cathodegrain/sweep",
        "schema_version": "1.0.0",
        "generator": generator_name(),
        "particle": None if plan.parent is None else _parent(Path(plan.parent)),
        "models": {name: card.sha256 for name, card in plan.cards.items()},
        "fixed": dict(plan.fixed),
        "parameters": {name: list(values) for name, values in plan.grid.items()},
        "columns": {n: {"unit": u, "meaning": text} for n, (u, text) in COLUMNS.items()},
        "variants": [_row_fields(row) for row in sweep.rows],
    }


def _parent(folder: Path) -> dict[str, Any]:
    fields = metadata.read(folder)
    source = fields["provenance"]
    return {"id": fields["id"]} | {k: source[k] for k in ("model_sha256", "entropy", "index")}


def _row_fields(row: Row) -> dict[str, Any]:
    v = row.variant
    return {
        "id": v.id,
        "base": v.base,
        "model": v.model,
        "entropy": v.seed,
        "index": v.index,
        "parameters": dict(v.values),
        "recipe_sha256": row.recipe_sha256 or None,
        "measures": None if row.measures is None else dict(row.measures),
        "error": row.error or None,
    }


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of the document of a sweep by their ids; empty if there is none.

    Raises
    ------
    ExportError
        If it cannot be read or is not valid.
    """
    if not (folder / NAME).is_file():
        return {}
    return {row["id"]: row for row in read_document(folder / NAME, "sweep")["variants"]}


def require_own(folder: Path, plan: SweepPlan, overwrite: bool) -> dict[str, dict[str, Any]]:
    """Rows of a sweep that is resumed or widened.

    Raises
    ------
    ExportError
        If the folder has a table that another sweep, or somebody else, would lose.
    """
    if overwrite:
        return {}
    there = [name for name in (CSV, PICTURE) if (folder / name).exists()]
    if there and not (folder / NAME).is_file():
        msg = f"{folder / there[0]} exists and is of no sweep; choose another --out"
        raise ExportError(msg)
    rows = read(folder)
    if lost := sorted(set(rows) - {variant.id for variant in plan.variants}):
        msg = (
            f"{folder} holds a sweep with {lost[0]}, which this one has not; choose another "
            "--out, or --overwrite to replace its tables"
        )
        raise ExportError(msg)
    return rows
