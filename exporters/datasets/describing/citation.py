"""CITATION.cff of a dataset: the data, and the paper whose model it follows."""

from __future__ import annotations

from typing import Any

from .facts import KEYWORDS, LICENCE, PAPER_DOI, Facts, creator

PAPER: dict[str, Any] = {
    "type": "article",
    "title": "Generating multi-scale Li-ion battery cathode particles with radial grain "
    "architectures using stereological generative adversarial networks",
    "authors": [
        {"family-names": family, "given-names": given}
        for family, given in (
            ("Fuchs", "Lukas"),
            ("Furat", "Orkun"),
            ("Finegan", "Donal P."),
            ("Allen", "Jeffery"),
            ("Usseglio-Viretta", "Francois L. E."),
            ("Ozdogru", "Bertan"),
            ("Weddle", "Peter J."),
            ("Smith", "Kandler"),
            ("Schmidt", "Volker"),
        )
    ],
    "journal": "Communications Materials",
    "volume": 6,
    "start": 4,
    "year": 2025,
    "doi": PAPER_DOI,
}


def citation_fields(facts: Facts) -> dict[str, Any]:
    """Fields of CITATION.cff (Citation File Format 1.2.0)."""
    version = {} if facts.version is None else {"version": facts.version}
    return {
        "cff-version": "1.2.0",
        "title": facts.title,
        "message": "If you use this dataset, please cite it and the paper whose model it follows.",
        "type": "dataset",
        "authors": [{"name": creator()}],
        **version,
        "license": LICENCE,
        "abstract": facts.abstract,
        "keywords": list(KEYWORDS),
        "references": [PAPER],
    }
