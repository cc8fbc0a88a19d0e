"""YAML of plain values, as front matter and CITATION.cff need it, without a YAML library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def yaml_text(fields: Mapping[str, Any]) -> str:
    """Block of YAML that any parser reads back as ``fields``.

    Texts are quoted as in JSON, which YAML takes over, so that none is mistaken for a
    number, a date or a truth value.

    Examples
    --------
    >>> print(yaml_text({"license": "cc-by-4.0", "configs": [{"n": 1, "files": ["a", "b"]}]}))
    license: "cc-by-4.0"
    configs:
      - n: 1
        files:
          - "a"
          - "b"
    <BLANKLINE>
    """
    return "\n".join(_lines(fields)) + "\n"


def front_matter(fields: Mapping[str, Any]) -> str:
    """Head of a Markdown file: the YAML of ``fields`` between two rules."""
    return f"---\n{yaml_text(fields)}---\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{key}:", item)
    else:
        for item in value:
            yield from _item(list(_lines(item)) if _is_block(item) else [_scalar(item)])


def _entry(key: str, item: Any) -> Iterator[str]:
    if not _is_block(item):
        yield f"{key} {_scalar(item)}"
        return
    yield key
    yield from (f"  {line}" for line in _lines(item))


def _item(lines: list[str]) -> Iterator[str]:
    yield f"- {lines[0]}"
    yield from (f"  {line}" for line in lines[1:])


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and len(value) > 0


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "." not in text:
        return text.replace("e", ".0e")  # YAML 1.1 takes 1e-09 for a text
    return text
