"""Packages that datasets need and particles do not: the extra ``dataset``."""

from __future__ import annotations

from importlib.util import find_spec

from ...generator.errors import DatasetError

TABLES = ("pandas", "pyarrow")
TRANSFER = ("requests",)


def require(packages: tuple[str, ...], purpose: str) -> None:
    """Raise a DatasetError that names those of ``packages`` that are not installed.

    Examples
    --------
    >>> require(("sys", "no_such_package"), "this example")
    Traceback (most recent call last):
    cathodegrain.generator.errors.DatasetError: this example needs no_such_package, not installed \
here; try: pip install 'cathodegrain[dataset]'
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        msg = (
            f"{purpose} needs {' and '.join(missing)}, not installed here; "
            "try: pip install 'cathodegrain[dataset]'"
        )
        raise DatasetError(msg)
