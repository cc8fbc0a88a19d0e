"""JSON documents of products: valid by their schema, or not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ... import schemas
from ...generator.errors import ExportError


def document_text(fields: dict[str, Any], schema: str) -> str:
    """Text of a document that follows ``schema``, one of `schemas.SCHEMAS`."""
    if problems := schemas.problems(fields, schema):
        msg = f"{fields.get('schema')} is not valid and not written:\n  " + "\n  ".join(problems)
        raise ExportError(msg)
    return json.dumps(fields, indent=1, allow_nan=False) + "\n"


def read_document(path: str | Path, schema: str) -> dict[str, Any]:
    """Validated content of a document.

    Raises
    ------
    ExportError
        If it is missing, or lists every way in which it is not valid.
    """
    try:
        fields: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path} cannot be read ({error}), expected cathodegrain/{schema}; write it again"
        raise ExportError(msg) from error
    if problems := schemas.problems(fields, schema):
        msg = f"{path} is not valid:\n  " + "\n  ".join(problems)
        raise ExportError(msg)
    return fields
