"""Croissant 1.0 metadata of a dataset: its indices as record sets, with their hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...files.provenance import sha256
from .. import layout
from ..columns import Column, read_columns
from .facts import KEYWORDS, LICENCE_URL, PAPER_DOI, Facts, creator

PARQUET = "application/x-parquet"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty",
            "fileObject", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key",
            "md5", "parentField", "path", "recordSet", "references", "regex", "repeated",
            "replace", "samplingRate", "separator", "source", "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
}  # fmt: skip


def croissant_fields(facts: Facts) -> dict[str, Any]:
    """JSON-LD of croissant.json."""
    tables = {"particles": layout.PARTICLE_INDEX}
    tables |= {_name(part, facts.grain_parts): part for part in facts.grain_parts}
    keys = {"particles": ["particle_id"]}
    published = {} if facts.year is None else {"datePublished": str(facts.year)}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.config["name"],
        "alternateName": facts.title,
        "description": facts.abstract,
        "citeAs": f"https://doi.org/{PAPER_DOI}",
        "creator": {"@type": "sc:Organization", "name": creator()},
        **published,
        "keywords": list(KEYWORDS),
        "license": LICENCE_URL,
        **({} if facts.version is None else {"version": facts.version}),
        "distribution": [_file(facts, path) for path in tables.values()],
        "recordSet": [
            _records(name, facts.folder / path, path, keys.get(name, ["particle_id", "grain_id"]))
            for name, path in tables.items()
        ],
    }


def _name(part: str, parts: list[str]) -> str:
    """Name of the record set of a part of the index of grains."""
    return "grains" if len(parts) == 1 else f"grains-{Path(part).stem}"


def _file(facts: Facts, path: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{facts.sizes[path]} B",
        "encodingFormat": PARQUET,
        "sha256": sha256(facts.folder / path),
    }


def _records(name: str, path: Path, file: str, keys: list[str]) -> dict[str, Any]:
    fields = [_field(name, file, column) for column in read_columns(path)]
    key = [{"@id": f"{name}/{k}"} for k in keys]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Rows of {file}.",
        "key": key[0] if len(key) == 1 else key,
        "field": fields,
    }


def _field(records: str, file: str, column: Column) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": f"sc:{column.kind}",
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
