"""Names and places of the files of a dataset, and which names are safe to follow.

::

    dataset.json               what the dataset is: configuration, model, totals
    manifest-sha256.txt        sha256 of every other file; `sha256sum -c` reads it
    schema/                    the JSON schemas that its documents follow
    index/particles.parquet    a row per particle, and the same as particles.csv
    index/grains/              a row per grain: part-00.parquet, part-00.csv.gz, ...
    model/                     the model card as used, its weights, README.md
    failures/                  a document for each particle that could not be made
    fetched.json               of a fetched part: the dataset that it is a part of
    particles/00/p000000/      at most a hundred particles in a folder

All names are relative, in the POSIX form, and the same on every system.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from ...generator.errors import DatasetError
from ..files.lock import is_lock

DATASET = "dataset.json"
MANIFEST = "manifest-sha256.txt"
FETCHED = "fetched.json"
README = "README.md"
SCHEMA_FOLDER = "schema"
INDEX_FOLDER = "index"
PARTICLE_INDEX = "index/particles.parquet"
PARTICLE_INDEX_CSV = "index/particles.csv"
GRAIN_INDEX_FOLDER = "index/grains"
MODEL_FOLDER = "model"
MODEL_CARD = "model/model.json"
MODEL_README = "model/README.md"
FAILURE_FOLDER = "failures"
PARTICLE_FOLDER = "particles"

PARTICLES_PER_FOLDER = 100
PARTICLES_PER_PART = 100  # of the index of grains
TEMPORARY = re.compile(r"\..*\.(tmp|old)(\..*)?")  # what `atomic` names while writing


def particle_id(index: int) -> str:
    """Id of the particle number ``index``.

    Examples
    --------
    >>> particle_id(7)
    'p000007'
    """
    return f"p{index:06d}"


def particle_index(name: str) -> int:
    """Number of the particle called ``name``; the inverse of `particle_id`.

    Raises
    ------
    DatasetError
        If it is no id of a particle.
    """
    digits = name[1:]
    plain = name.startswith("p") and digits.isascii() and digits.isdigit()
    if not plain or particle_id(int(digits)) != name:
        msg = f"{name!r} is no id of a particle, expected the form p000007"
        raise DatasetError(msg)
    return int(digits)


def particle_path(index: int) -> str:
    """Folder of a particle inside the dataset.

    Examples
    --------
    >>> particle_path(12345)
    'particles/123/p012345'
    """
    group = index // PARTICLES_PER_FOLDER
    return f"{PARTICLE_FOLDER}/{group:02d}/{particle_id(index)}"


def failure_path(index: int) -> str:
    """Document that says why a particle could not be made."""
    return f"{FAILURE_FOLDER}/{particle_id(index)}.json"


def grain_part_path(part: int, suffix: str = "parquet") -> str:
    """A part of the index of grains; ``suffix`` is parquet or csv.gz.

    Examples
    --------
    >>> grain_part_path(0)
    'index/grains/part-00.parquet'
    """
    return f"{GRAIN_INDEX_FOLDER}/part-{part:02d}.{suffix}"


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is being written, or was left by a killed process.

    Examples
    --------
    >>> [is_temporary(n) for n in (".p000000-0123abcd.tmp", ".a-01.tmp.json", "recipe.h5")]
    [True, True, False]
    """
    return TEMPORARY.fullmatch(name) is not None


def is_passing(name: str) -> bool:
    """Whether a file or folder of this name belongs to a command that runs or was killed.

    Examples
    --------
    >>> [is_passing(n) for n in (".p000000-0123abcd.tmp", ".lock", "recipe.h5")]
    [True, True, False]
    """
    return is_temporary(name) or is_lock(name)


def temporaries(folder: str | Path) -> list[Path]:
    """Temporary files and folders below ``folder``; others may vanish or appear meanwhile."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        found += [Path(place, name) for name in folders + files if is_temporary(name)]
        folders[:] = [name for name in folders if not is_temporary(name)]
    return sorted(found)


def name_problem(name: str) -> str | None:
    r"""Why a relative name must not be followed; None if it is safe.

    Safe names stay below the folder that they are relative to, on every system: no
    absolute paths, ``..``, ``.``, empty parts, backslashes, drive letters or control
    characters.

    Examples
    --------
    >>> name_problem("particles/00/p000000/recipe.h5")
    >>> name_problem("../secret")
    "has the part '..'"
    >>> name_problem("C:/Windows")
    'names a drive'
    """
    if not name:
        return "is empty"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        return "has a control character"
    if "\\" in name:
        return "has a backslash"
    if ":" in name:
        return "names a drive" if name[1:2] == ":" else "has a colon"
    if name.startswith("/"):
        return "is absolute"
    parts = name.split("/")
    for part in ("", ".", ".."):
        if part in parts:
            return f"has the part {part!r}" if part else "has an empty part"
    return None


def safe_path(root: str | Path, name: str) -> Path:
    """``root / name`` for a name that was read from a file or the network.

    Raises
    ------
    DatasetError
        If the name is not safe to follow, see `name_problem`.
    """
    if problem := name_problem(name):
        msg = f"{name!r} {problem}, expected a relative name with / between its parts; not followed"
        raise DatasetError(msg)
    return Path(root, *name.split("/"))
