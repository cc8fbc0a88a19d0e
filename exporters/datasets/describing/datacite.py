"""DataCite 4.5 metadata of a dataset, ready for an archive that mints a DOI.

It holds no DOI. The publisher is named as the creator until an archive takes its place.
"""

from __future__ import annotations

from typing import Any

from .facts import KEYWORDS, LEGAL_CODE_URL, LICENCE, PAPER_DOI, Facts, creator

FORMATS = {
    ".h5": "application/x-hdf5",
    ".vtkhdf": "application/x-hdf5",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".msh": "model/mesh",
}


def datacite_fields(facts: Facts, year: int) -> dict[str, Any]:
    """JSON of DataCite's metadata schema 4.5 for a publication in ``year``."""
    contents = facts.document["contents"]
    suffixes = {f".{name.rpartition('.')[2]}" for name in facts.sizes}
    version = {} if facts.version is None else {"version": facts.version}
    return {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "creators": [{"name": creator(), "nameType": "Organizational"}],
        "titles": [{"title": facts.title}],
        "publisher": {"name": creator()},
        "publicationYear": str(year),
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Virtual particles"},
        "subjects": [{"subject": keyword} for keyword in KEYWORDS],
        "language": "en",
        "sizes": [f"{contents['particles']} particles", f"{facts.bytes} bytes"],
        "formats": sorted({FORMATS[s] for s in suffixes if s in FORMATS}),
        **version,
        "rightsList": [
            {
                "rights": "Creative Commons Attribution 4.0 International",
                "rightsUri": LEGAL_CODE_URL,
                "rightsIdentifier": LICENCE,
                "rightsIdentifierScheme": "SPDX",
                "schemeUri": "https://spdx.org/licenses/",
            }
        ],
        "descriptions": [{"description": facts.abstract, "descriptionType": "Abstract"}],
        "relatedIdentifiers": [
            {
                "relatedIdentifier": PAPER_DOI,
                "relatedIdentifierType": "DOI",
                "relationType": "References",
            }
        ],
    }
