"""Fast text tables: one line for each row of some columns."""

from __future__ import annotations

from typing import IO, Any

from numpy.typing import NDArray

BLOCK = 65_536  # rows in memory as Python numbers


def write_rows(file: IO[str], template: str, *columns: NDArray[Any]) -> None:
    """Write ``template % row`` for each row; a column is (n,) or (n, k), then k numbers."""
    for begin in range(0, len(columns[0]), BLOCK):
        parts = [c[begin : begin + BLOCK] for c in columns]
        lists = [c.tolist() for part in parts for c in (part.T if part.ndim == 2 else [part])]
        file.writelines(template % row for row in zip(*lists, strict=True))


def write_list(file: IO[str], values: NDArray[Any], per_line: int, separator: str) -> None:
    """Write numbers, a fixed number of them on each line."""
    for begin in range(0, len(values), per_line):
        file.write(separator.join(map(str, values[begin : begin + per_line].tolist())) + "\n")
