"""Packages that datasets need and particles do not: those of our extras."""

from __future__ import annotations

from ...generator import requirements
from ...generator.errors import DatasetError

EXTRAS = {
    "dataset": ("pandas", "pyarrow", "requests"),
    "dask": ("distributed",),
    "cluster": ("submitit",),
}


def require(extra: str) -> None:
    """Raise a DatasetError unless the packages of one of ``EXTRAS`` are installed."""
    requirements.require(extra, *EXTRAS[extra], purpose="datasets", error=DatasetError)
