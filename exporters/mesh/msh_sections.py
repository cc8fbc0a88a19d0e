"""Binary MSH 4.1 read without gmsh: files of `msh_file`, and of earlier versions by gmsh.

No number of the file is trusted: a section must hold what it says, nodes are numbered from 1
without a gap, and elements are those that `msh_file` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from .msh_file import COMMENTS, ELEMENTS, HEADER

HEAD = HEADER.partition(b"\n$End")[0]  # sizes of 8 bytes, the least significant byte first
MOST_GRAINS = 2**31  # their ids are int32
N_NODES = {kind: nodes for (_, nodes), kind in ELEMENTS.items()}
DIMENSION = {kind: dimension for (dimension, _), kind in ELEMENTS.items()}
INT, SIZE, FLOAT = np.dtype("<i4"), np.dtype("<u8"), np.dtype("<f8")


@dataclass(frozen=True, eq=False)
class Elements:
    """The elements of a kind, in the order of their numbers.

    Parameters
    ----------
    nodes : (k, n) int
        Rows of points, in the order of gmsh.
    groups : (k,) int
        Tag of the physical group of each.
    """

    nodes: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MshContent:
    """What a file holds.

    Parameters
    ----------
    points : (n, 3) float
    elements
        By gmsh's number of their kind.
    facts
        How the mesh was made.
    """

    points: NDArray[np.float64]
    elements: Mapping[int, Elements]
    facts: Mapping[str, Any]


def read_content(path: str | Path) -> MshContent:
    """Read all of a file.

    Raises
    ------
    ExportError
        If it cannot be read, is another kind of file, or is damaged.
    """
    content = _content(Path(path))
    facts = _facts(content, path)
    cursor = _Cursor(content, len(HEAD), path)
    cursor.end("MeshFormat")
    groups: dict[tuple[int, int], int] = {}
    points, blocks = None, None
    while (section := cursor.begin()) is not None:
        if section == "Entities":
            groups |= _entities(cursor)
        elif section == "Nodes" and points is None:
            points = _nodes(cursor)
        elif section == "Elements" and blocks is None:
            blocks = _elements(cursor)
        else:
            cursor.skip(section)
            continue
        cursor.end(section)
    if points is None or blocks is None:
        msg = f"{path} is damaged: it has no nodes or no elements; write the mesh again"
        raise ExportError(msg)
    return MshContent(points, _joined(blocks, groups, len(points), cursor), facts)


def read_facts(path: str | Path) -> dict[str, Any]:
    """How the mesh of a file that `msh_file.write` made was made.

    Raises
    ------
    ExportError
        If it is no binary MSH 4.1 file, or does not say.
    """
    return _facts(_content(Path(path)), path)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(len(HEAD))
            file.seek(0)
            content = file.read() if head == HEAD else b""
    except OSError as error:
        msg = f"{path} cannot be read ({error}); expected a mesh.msh"
        raise ExportError(msg) from error
    if not content:
        msg = f"{path} begins with {head!r}, expected {HEAD!r}: a binary MSH 4.1 file"
        raise ExportError(msg)
    return content


def _facts(content: bytes, path: str | Path) -> dict[str, Any]:
    _, _, section = content.rpartition(f"${COMMENTS}\n".encode())
    text, _, _ = section.partition(f"\n$End{COMMENTS}".encode())
    try:
        facts: dict[str, Any] = json.loads(text.splitlines()[-1])
        n_grains = facts["n_grains"]
    except (IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        msg = f"{path} does not say how many grains there are; expected a file of this package"
        raise ExportError(msg) from error
    if not isinstance(n_grains, int) or not 0 < n_grains < MOST_GRAINS:
        msg = f"{path} says that there are {n_grains!r} grains, expected a number of them"
        raise ExportError(msg)
    return facts


class _Cursor:
    """A place in the bytes of a file; nothing is read beyond their end."""

    def __init__(self, content: bytes, place: int, path: str | Path) -> None:
        self.content, self.place, self.path = content, place, path

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            msg = f"{self.path} is damaged: {what}; write the mesh again"
            raise ExportError(msg)

    def take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        size = count * dtype.itemsize
        left = len(self.content) - self.place
        self.require(size <= left, f"{left} bytes follow byte {self.place}, expected {size}")
        found = np.frombuffer(self.content, dtype, count, self.place)
        self.place += size
        return found

    def begin(self) -> str | None:
        """Name of the section that begins here; None at the end of the file."""
        if not self.content[self.place : self.place + 64].strip():
            return None
        line, _, _ = self.content[self.place : self.place + 64].partition(b"\n")
        self.require(line.startswith(b"$"), f"{line!r} stands where a section should begin")
        self.place += len(line) + 1
        return line[1:].decode("ascii", "replace").strip()

    def end(self, section: str) -> None:
        expected = f"\n$End{section}\n".encode()
        there = self.content[self.place : self.place + len(expected)]
        self.require(there == expected, f"section {section} does not end where it should")
        self.place += len(expected)

    def skip(self, section: str) -> None:
        end = f"$End{section}\n".encode()
        found = self.content.find(end, self.place)
        self.require(found >= 0, f"section {section} has no end")
        self.place = found + len(end)


def _entities(cursor: _Cursor) -> dict[tuple[int, int], int]:
    """Physical group of each entity that is in one, by dimension and tag."""
    groups: dict[tuple[int, int], int] = {}
    for dimension, count in enumerate(cursor.take(SIZE, 4).tolist()):
        for _ in range(count):
            (tag,) = cursor.take(INT, 1).tolist()
            cursor.take(FLOAT, 6 if dimension else 3)
            physical = cursor.take(INT, *cursor.take(SIZE, 1).tolist()).tolist()
            if dimension:
                cursor.take(INT, *cursor.take(SIZE, 1).tolist())  # what bounds it
            if physical:
                groups[dimension, tag] = physical[0]
    return groups


def _nodes(cursor: _Cursor) -> NDArray[np.float64]:
    """Coordinates (n, 3) in the order of the numbers of the nodes."""
    n_blocks, n, _, _ = cursor.take(SIZE, 4).tolist()
    blocks = []
    for _ in range(n_blocks):
        _, _, parametric = cursor.take(INT, 3).tolist()
        (count,) = cursor.take(SIZE, 1).tolist()
        cursor.require(not parametric, "nodes have parameters, expected coordinates alone")
        numbers = cursor.take(SIZE, count)
        blocks.append((numbers, cursor.take(FLOAT, 3 * count).reshape(-1, 3)))
    numbers = np.concatenate([numbers for numbers, _ in blocks] or [np.empty(0, SIZE)])
    order = np.argsort(numbers, kind="stable")
    dense = n == len(numbers) and np.array_equal(numbers[order], 1 + np.arange(n))
    cursor.require(dense, f"the numbers of its {n} nodes are not 1 to {n}")
    points = np.concatenate([points for _, points in blocks])[order].astype(float)
    cursor.require(bool(np.isfinite(points).all()), "a coordinate is not finite")
    return points


def _elements(cursor: _Cursor) -> list[tuple[int, int, NDArray[np.uint64]]]:
    """Kind, tag of the entity, and rows (number, nodes) of each block of elements."""
    n_blocks, n, _, _ = cursor.take(SIZE, 4).tolist()
    blocks = []
    for _ in range(n_blocks):
        dimension, tag, kind = cursor.take(INT, 3).tolist()
        (count,) = cursor.take(SIZE, 1).tolist()
        known = DIMENSION.get(kind) == dimension
        cursor.require(known, f"it has elements of type {kind}, expected {sorted(N_NODES)}")
        width = 1 + N_NODES[kind]
        blocks.append((kind, tag, cursor.take(SIZE, count * width).reshape(-1, width)))
    found = sum(len(rows) for _, _, rows in blocks)
    cursor.require(found == n, f"it has {found} elements, expected {n}")
    return blocks


def _joined(
    blocks: list[tuple[int, int, NDArray[np.uint64]]],
    groups: Mapping[tuple[int, int], int],
    n_points: int,
    cursor: _Cursor,
) -> dict[int, Elements]:
    """Elements by kind, each in the order of their numbers."""
    found = {}
    for kind in sorted({kind for kind, _, rows in blocks if len(rows)}):
        own = [(tag, rows) for other, tag, rows in blocks if other == kind]
        rows = np.concatenate([rows for _, rows in own])
        nodes = rows[:, 1:]
        known = 1 <= nodes.min() <= nodes.max() <= n_points
        cursor.require(known, f"an element has a node that is not one of {n_points}")
        tags = [groups.get((DIMENSION[kind], tag), 0) for tag, _ in own]
        cursor.require(min(tags) > 0, "elements are in no physical group")
        order = np.argsort(rows[:, 0], kind="stable")
        numbers = rows[order, 0]
        cursor.require(bool((numbers[1:] > numbers[:-1]).all()), "two elements have one number")
        owners = np.repeat(np.array(tags, np.int64), [len(rows) for _, rows in own])
        found[kind] = Elements(nodes[order].astype(np.int64) - 1, owners[order])
    return found
