"""Where a file comes from: names of programs with their versions, hashes of files."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

NAME = "cathodegrain"


@cache
def version(package: str) -> str:
    """Version of an installed package.

    Raises
    ------
    PackageNotFoundError
        If it is not installed.
    """
    return metadata.version(package)


def generator_name() -> str:
    """Name and version of this program, for documents; no file of a particle has it."""
    return f"{NAME} {version(NAME)}"


def source_text(draws: int | None) -> str:
    """Attribute ``source`` of a particle's files: the same for every version of equal draws."""
    return f"{NAME} 0.1.0" if draws is None else f"{NAME}, draws {draws}"


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
