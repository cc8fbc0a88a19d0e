"""Descriptions of a finished dataset: for readers, for citation, for catalogues.

All are made from the dataset's own documents, index and files: equal datasets have equal
descriptions, and no time, address or name is invented. DataCite and RO-Crate want a year of
publication; without ``year`` in the configuration they are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .... import schemas
from ....generator.errors import DatasetError
from ...files.atomic import replacing
from ...files.provenance import sha256
from .. import layout, manifest
from ..folder import changing
from ..yaml_text import yaml_text
from .citation import citation_fields
from .croissant import croissant_fields
from .data_card import card_head, data_card
from .datacite import datacite_fields
from .facts import (
    CITATION,
    CRATE,
    CROISSANT,
    DATACITE,
    DESCRIPTIONS,
    LEGAL_CODE_URL,
    LICENCE,
    LICENCE_FILE,
    Facts,
    creator,
    read_facts,
)
from .ro_crate import crate_fields


def write_descriptions(folder: str | Path) -> list[Path]:
    """Write the descriptions of the finished dataset in ``folder``; those written.

    The manifest is left as it is: whoever calls this writes it afterwards.

    Raises
    ------
    DatasetError
        If there is no finished dataset, or a description would not be valid.
    ExportError
        If a file cannot be written.
    """
    facts = read_facts(folder)
    written = [_write(facts.folder / name, make(facts)) for name, make in PLAIN.items()]
    if facts.year is None:
        return written
    cited = _json(datacite_fields(facts, facts.year))
    written.append(_write(facts.folder / DATACITE, cited))
    crate = _json(crate_fields(facts, _all_sizes(facts)))
    return [*written, _write(facts.folder / CRATE, crate)]


def describe(folder: str | Path) -> list[Path]:
    """Write the descriptions anew and their hashes into the manifest; those written.

    Raises
    ------
    DatasetError, ExportError
        As `write_descriptions` and `manifest.read`.
    """
    root = Path(folder)
    manifest.read(root)  # what holds none gets no lock
    with changing(root):
        entries = manifest.read(root)
        written = write_descriptions(root)
        kept = {name: h for name, h in entries.items() if name not in DESCRIPTIONS}
        manifest.write(kept | {path.name: sha256(path) for path in written}, root)
    return written


def _card(facts: Facts) -> str:
    _require_valid(card_head(facts), "dataset_card", layout.README)
    return data_card(facts)


def _citation(facts: Facts) -> str:
    fields = citation_fields(facts)
    _require_valid(fields, "citation", CITATION)
    return yaml_text(fields)


def _licence(facts: Facts) -> str:
    return (
        f"{facts.title}\n{creator()}\n\n"
        "This dataset is licensed under the Creative Commons Attribution 4.0 International\n"
        f"licence ({LICENCE}). The legal code:\n{LEGAL_CODE_URL}\n"
    )


def _croissant(facts: Facts) -> str:
    return _json(croissant_fields(facts))


PLAIN: dict[str, Callable[[Facts], str]] = {
    LICENCE_FILE: _licence,
    layout.README: _card,
    CITATION: _citation,
    CROISSANT: _croissant,
}


def _all_sizes(facts: Facts) -> dict[str, int | None]:
    """Bytes of every file of the dataset; those of the crate and the manifest come later."""
    there = [name for name in DESCRIPTIONS if name != CRATE]
    sizes = {name: (facts.folder / name).stat().st_size for name in there}
    return {**facts.sizes, **sizes, layout.MANIFEST: None, CRATE: None}


def _require_valid(fields: dict[str, Any], schema: str, name: str) -> None:
    if problems := schemas.problems(fields, schema):
        msg = f"{name} would not be valid and is not written:\n  " + "\n  ".join(problems)
        raise DatasetError(msg)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> Path:
    if not path.is_file() or path.read_bytes() != text.encode():
        with replacing(path) as temporary:
            temporary.write_bytes(text.encode())
    return path
