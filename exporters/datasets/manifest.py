"""manifest-sha256.txt: the hash of every file of a dataset.

A line is ``<sha256>  <name>``, sorted by name, UTF-8, names as `layout.name_problem` allows
them. ``sha256sum -c manifest-sha256.txt`` checks it, pooch takes its pairs as a registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...generator.errors import DatasetError
from ..files.atomic import replacing
from ..files.provenance import sha256
from .layout import MANIFEST, is_passing, name_problem

LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def file_names(folder: str | Path) -> list[str]:
    """Names of all files below ``folder``, sorted; not the manifest, `is_passing` ones left out.

    Raises
    ------
    DatasetError
        If a name could not be read back from a manifest; lists all of them.
    """
    root = Path(folder)
    names = sorted(path.relative_to(root).as_posix() for path in _files(root))
    names = [name for name in names if name != MANIFEST]
    _require_safe(root, names)
    return names


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if is_passing(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def hashes(folder: str | Path) -> dict[str, str]:
    """Sha256 of every file below ``folder`` but the manifest, by name, sorted."""
    return {name: sha256(Path(folder, name)) for name in file_names(folder)}


def manifest_text(entries: Mapping[str, str]) -> str:
    """Text of the manifest of names and hashes.

    Examples
    --------
    >>> manifest_text({"b": 64 * "0", "a": 64 * "f"})[:67]
    'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff  a'
    """
    return "".join(f"{entries[name]}  {name}\n" for name in sorted(entries))


def write(entries: Mapping[str, str], folder: str | Path) -> Path:
    """Write the manifest of names and hashes into ``folder``, replacing an older one at once.

    Raises
    ------
    DatasetError
        If a name is not safe; lists all of them.
    ExportError
        If the file cannot be written.
    """
    _require_safe(folder, entries)
    path = Path(folder) / MANIFEST
    with replacing(path) as temporary:
        temporary.write_bytes(manifest_text(entries).encode())
    return path


def parse(text: str, source: str = MANIFEST) -> dict[str, str]:
    """Names and hashes of a manifest's text, which may come from the network.

    Raises
    ------
    DatasetError
        Lists every line that is malformed, unsafe or there twice.
    """
    entries: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = LINE.fullmatch(line)
        if match is None:
            problems.append(f"line {number}: {line[:100]!r}, expected '<sha256>  <name>'")
        elif problem := name_problem(match[2]):
            problems.append(f"line {number}: the name {match[2][:100]!r} {problem}")
        elif match[2] in entries:
            problems.append(f"line {number}: {match[2]!r} is there twice")
        else:
            entries[match[2]] = match[1]
    if not text.endswith("\n"):
        problems.append("the last line has no end, expected a whole file; it may be cut off")
    if problems:
        msg = f"{source} is not a manifest to follow:\n  " + "\n  ".join(problems)
        raise DatasetError(msg)
    return entries


def read(folder: str | Path) -> dict[str, str]:
    """Names and hashes of the manifest in ``folder``.

    Raises
    ------
    DatasetError
        If it is missing, or lists everything that is wrong with it.
    """
    path = Path(folder) / MANIFEST
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"{path} cannot be read ({error}); expected a finished dataset, "
            f"`cathodegrain dataset index {folder}` writes its manifest"
        )
        raise DatasetError(msg) from error
    return parse(text, str(path))


def _require_safe(folder: str | Path, names: Mapping[str, str] | list[str]) -> None:
    problems = [f"{name!r} {problem}" for name in names if (problem := name_problem(name))]
    if problems:
        msg = f"{folder} holds names that no manifest can list:\n  " + "\n  ".join(problems)
        raise DatasetError(msg)
