"""Versions of installed packages, looked up once: files and documents name them."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version(package: str) -> str:
    """Version of an installed package.

    Raises
    ------
    PackageNotFoundError
        If it is not installed.
    """
    return metadata.version(package)
