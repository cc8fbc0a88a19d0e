"""Columns of a dataset's tables as their parquet files describe them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

PRODUCT_COLUMNS = {"_bytes": "bytes of the product", "_sha256": "sha256 of the file of the product"}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name
        As in the file.
    kind
        Boolean, Integer, Float or Text.
    meaning
        For readers.
    """

    name: str
    kind: str
    meaning: str


def table_of(content: bytes) -> pyarrow.Table:
    """Table of the bytes of a parquet file, read by this thread alone.

    A thread of Arrow that still looks at Python's objects when the interpreter ends aborts the
    process (apache/arrow, issue 34314).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(content), use_threads=False, pre_buffer=False)


def read_columns(path: Path) -> list[Column]:
    """Columns of a parquet file, in its order."""
    import pyarrow.parquet as pq

    with path.open("rb") as file:  # pyarrow opens no path that is not UTF-8
        schema = pq.read_schema(file)
    return [
        Column(field.name, _kind(field.type), _meaning(field.name, field.metadata or {}))
        for field in schema
    ]


def _kind(type_: object) -> str:
    from pyarrow import types

    if types.is_boolean(type_):
        return "Boolean"
    if types.is_integer(type_):
        return "Integer"
    return "Float" if types.is_floating(type_) else "Text"


def _meaning(name: str, metadata: dict[bytes, bytes]) -> str:
    if b"description" in metadata:
        return metadata[b"description"].decode()
    for end, text in PRODUCT_COLUMNS.items():
        if name.endswith(end):
            return f"{text} {name.removesuffix(end).replace('_', '-')}"
    return name
