"""RO-Crate metadata of a dataset: every file, and what the whole is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .facts import CRATE, KEYWORDS, LICENCE_URL, PAPER_DOI, Facts, creator

VERSION = "1.1"
TYPES = {
    "h5": "application/x-hdf5",
    "vtkhdf": "application/x-hdf5",
    "json": "application/json",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "md": "text/markdown",
    "txt": "text/plain",
}


def crate_fields(facts: Facts, sizes: Mapping[str, int | None]) -> dict[str, Any]:
    """JSON-LD of ro-crate-metadata.json.

    Parameters
    ----------
    sizes
        Bytes of every file, by name; None where they are not known beforehand.
    """
    files = sorted(name for name in sizes if name != CRATE)
    return {
        "@context": f"https://w3id.org/ro/crate/{VERSION}/context",
        "@graph": [
            {
                "@id": CRATE,
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": {"@id": f"https://w3id.org/ro/crate/{VERSION}"},
            },
            _root(facts, files),
            {"@id": "#creator", "@type": "Organization", "name": creator()},
            {"@id": "#program", "@type": "SoftwareApplication", "name": "cathodegrain",
             "version": facts.document["generator"].partition(" ")[2]},
            {"@id": f"https://doi.org/{PAPER_DOI}", "@type": "ScholarlyArticle"},
            *(_file(name, sizes[name]) for name in files),
        ],
    }  # fmt: skip


def _root(facts: Facts, files: list[str]) -> dict[str, Any]:
    version = {} if facts.version is None else {"version": facts.version}
    published = {} if facts.year is None else {"datePublished": str(facts.year)}
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": facts.title,
        "description": facts.abstract,
        **published,
        **version,
        "license": {"@id": LICENCE_URL},
        "creator": {"@id": "#creator"},
        "keywords": ", ".join(KEYWORDS),
        "citation": {"@id": f"https://doi.org/{PAPER_DOI}"},
        "mentions": {"@id": "#program"},
        "hasPart": [{"@id": _id(name)} for name in files],
    }


def _file(name: str, size: int | None) -> dict[str, Any]:
    known = {} if size is None else {"contentSize": str(size)}
    kind = TYPES.get(name.rpartition(".")[2])
    return {
        "@id": _id(name),
        "@type": "File",
        "name": name.rpartition("/")[2],
        **known,
        **({} if kind is None else {"encodingFormat": kind}),
    }


def _id(name: str) -> str:
    """Relative URI of a file."""
    from urllib.parse import quote

    return quote(name)
