"""Packages that datasets need and particles do not: those of our extras."""

from __future__ import annotations

from importlib.util import find_spec

from ...generator.errors import DatasetError

EXTRAS = {
    "dataset": ("pandas", "pyarrow", "requests"),
    "dask": ("distributed",),
    "cluster": ("submitit",),
}


def require(extra: str) -> None:
    """Raise a DatasetError unless the packages of one of ``EXTRAS`` are installed."""
    if missing := [name for name in EXTRAS[extra] if find_spec(name) is None]:
        msg = (
            f"{' and '.join(missing)}: not installed here; try: pip install 'cathodegrain[{extra}]'"
        )
        raise DatasetError(msg)
