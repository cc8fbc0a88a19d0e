"""JSON Schema documents of everything cathodegrain writes as JSON, and their checker."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

SCHEMAS = {
    "citation": "citation-1.2.0.schema.json",
    "dataset": "dataset-1.0.0.schema.json",
    "dataset_card": "dataset_card-1.0.0.schema.json",
    "failure": "failure-1.0.0.schema.json",
    "fetched": "fetched-1.0.0.schema.json",
    "grain_calibration_report": "grain_calibration_report-1.0.0.schema.json",
    "grain_fit_plan": "grain_fit_plan-1.0.0.schema.json",
    "grain_fit_report": "grain_fit_report-1.0.0.schema.json",
    "law_fit_plan": "law_fit_plan-1.0.0.schema.json",
    "law_fit_report": "law_fit_report-1.0.0.schema.json",
    "model_card": "model_card-1.0.0.schema.json",
    "particle": "particle-1.0.0.schema.json",
    "phantom": "phantom-1.0.0.schema.json",
    "section": "section-1.0.0.schema.json",
    "shards": "shards-1.0.0.schema.json",
    "shell_fit_report": "shell_fit_report-1.0.0.schema.json",
    "solver": "solver-1.0.0.schema.json",
    "sweep": "sweep-1.0.0.schema.json",
}


@cache
def load(name: str) -> dict[str, Any]:
    """Schema document (draft 2020-12) called ``name``, one of ``SCHEMAS``.

    Examples
    --------
    >>> load("model_card")["title"]
    'cathodegrain model card'
    """
    document: dict[str, Any] = json.loads(
        files(__name__).joinpath(SCHEMAS[name]).read_text("utf-8")
    )
    return document


def problems(document: object, name: str) -> list[str]:
    """Every way in which ``document`` violates the schema, one line each; empty if valid.

    A line names the field, the value found and what is expected. NaN and infinities,
    which JSON Schema lets pass, are violations too. A document that says to be of another
    kind is not compared any further.

    Examples
    --------
    >>> problems([], "model_card")
    ["document: [] is not of type 'object'"]
    >>> problems({"schema": "cathodegrain/particle"}, "model_card")
    ["schema: 'cathodegrain/particle', expected 'cathodegrain/model_card'"]
    """
    from jsonschema import Draft202012Validator

    kind = load(name)["properties"].get("schema", {}).get("const")  # formats of others have none
    if kind and isinstance(document, dict) and document.get("schema", kind) != kind:
        return [f"schema: {document['schema']!r}, expected {kind!r}"]
    errors = Draft202012Validator(load(name)).iter_errors(document)
    found = [f"{_field(e.absolute_path)}: {_short(e.message)}" for e in errors]
    return sorted([*found, *_not_finite(document, ())])


def _field(path: Any) -> str:
    return ".".join(str(part) for part in path) or "document"


def _short(message: str, limit: int = 300) -> str:
    return message if len(message) <= limit else message[: limit - 4] + " ..."


def _not_finite(value: object, path: tuple[object, ...]) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{_field(path)}: {value} is not a finite number"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, (*path, key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from _not_finite(item, (*path, k))
