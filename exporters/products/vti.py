"""Labelled voxels as VTK XML ImageData: for DAMASK, and ParaView before 5.12.

One int32 cell array ``material``, x fastest, equal to the grain id: 0 is outside, so entry 0
of DAMASK's ``material.yaml`` is what surrounds the particle and entry i is grain i. The
format has no place for a unit of length. DAMASK wants metres, the default here; the first
lines of the field array ``comments``, which DAMASK shows, name the unit of the file.

The array is inline base64 of zlib blocks ([number of blocks, bytes of a block, 0, compressed
bytes of each], then the blocks; UInt64), because DAMASK's grid solver reads neither appended
nor raw data; it also wants every tag and the whole array on one line each. A block is one
layer of voxels, so that a file is written layer by layer, 64 of which are in memory at a time.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.progress import Progress
from ...generator.voxels.grid import Grid
from ...generator.voxels.labelling import SLAB, LabelSlab, label_slab
from ..files.atomic import replacing
from .voxels import Plan, Voxels, count_voxels, plan, require_room, require_voxels

if TYPE_CHECKING:
    from ...generator.particle import Particle

Unit = Literal["m", "um"]

UM_PER_UNIT = {"m": 1e6, "um": 1.0}
UNIT_COMMENT = "length unit: "
ZLIB_LEVEL = 6

HEAD = """<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64" \
compressor="vtkZLibDataCompressor">
  <ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{spacing}" \
Direction="1 0 0 0 1 0 0 0 1">
    <FieldData>
      <Array type="String" Name="comments" NumberOfTuples="{n_comments}" format="ascii">
        {comments}
      </Array>
    </FieldData>
    <Piece Extent="{extent}">
      <CellData Scalars="material">
        <DataArray type="Int32" Name="material" format="binary">
"""
TAIL = """
        </DataArray>
      </CellData>
    </Piece>
  </ImageData>
</VTKFile>
"""


def write(
    particle: Particle,
    path: str | Path,
    *,
    pitch_um: float = 0.1,
    unit: Unit = "m",
    progress: Progress | None = None,
    label: LabelSlab = label_slab,
) -> Path:
    """Write the grain ids of ``particle``; equal particles give equal bytes.

    Parameters
    ----------
    pitch_um
        Edge of a voxel, um, whatever the unit of the file.
    unit
        Unit of the lengths in the file, "m" or "um".
    progress
        Called after each slab with a message and the part of the work that is done.
    label
        What labels layers of voxels.

    Raises
    ------
    ExportError
        If the spacing is not a positive number or no voxel centre falls inside the
        particle, the unit is unknown, memory or disk are too small, or the file cannot be
        written.
    """
    if unit not in UM_PER_UNIT:
        msg = f"unit is {unit!r}, expected one of {sorted(UM_PER_UNIT)}"
        raise ExportError(msg)
    needed = _plan(particle, pitch_um)
    with replacing(path) as temporary:
        require_room(needed, temporary.parent)
        with temporary.open("wb") as file:
            file.write(_head(particle, needed.grid, unit).encode("ascii", "xmlcharrefreplace"))
            _write_array(file, particle, needed.grid, progress, label)
            file.write(TAIL.encode())
    return Path(path)


def _plan(particle: Particle, pitch_um: float) -> Plan:
    """`voxels.plan` for this format: base64 makes four bytes of three, not kept in memory."""
    voxels = plan(particle, pitch_um)
    memory_bytes = voxels.memory_bytes - voxels.file_bytes
    return replace(voxels, file_bytes=voxels.file_bytes * 4 // 3, memory_bytes=memory_bytes)


def _head(particle: Particle, grid: Grid, unit: Unit) -> str:
    nz, ny, nx = grid.shape
    comments = [
        UNIT_COMMENT + unit,
        f"cathodegrain: particle {particle.id}, voxels of {grid.spacing!r} um",
        f"material = grain id, 1 to {particle.n_grains}; 0 is outside the particle",
    ]
    return HEAD.format(
        extent=f"0 {nx} 0 {ny} 0 {nz}",
        origin=" ".join(_length(x, unit) for x in grid.origin),
        spacing=" ".join([_length(grid.spacing, unit)] * 3),
        n_comments=len(comments),
        comments=" ".join(str(code) for text in comments for code in (*text.encode(), 0)),
    )


def _length(um: float, unit: Unit) -> str:
    return f"{um / UM_PER_UNIT[unit]:.15g}"


def _write_array(
    file: IO[bytes], particle: Particle, grid: Grid, progress: Progress | None, label: LabelSlab
) -> None:
    """Write compressed layers, then go back and fill in their sizes."""
    nz, ny, nx = grid.shape
    counts = np.zeros(particle.n_grains + 1, np.int64)
    sizes, pending = [], b""
    start = file.tell()
    file.write(_sizes(nz, ny, nx, [0] * nz))
    for block in _blocks(particle, grid, counts, progress, label):
        sizes.append(len(block))
        pending = _write_base64(file, pending + block)
    require_voxels(counts[1:], particle, grid.spacing)
    file.write(b64encode(pending))
    end = file.tell()
    file.seek(start)
    file.write(_sizes(nz, ny, nx, sizes))
    file.seek(end)


def _blocks(
    particle: Particle,
    grid: Grid,
    counts: NDArray[np.int64],
    progress: Progress | None,
    label: LabelSlab,
) -> Iterator[bytes]:
    """Compressed layers, z ascending; adds the voxels of each grain id to ``counts``."""
    layers = grid.shape[0]
    for start in range(0, layers, SLAB):
        stop = min(start + SLAB, layers)
        labels = label(particle, grid, start, stop)
        counts += count_voxels(labels, particle.n_grains)
        yield from (zlib.compress(layer.astype("<i4", copy=False), ZLIB_LEVEL) for layer in labels)
        del labels  # else it would be there while the next slab is labelled
        if progress is not None:
            progress("labelling voxels", stop / layers)


def _sizes(nz: int, ny: int, nx: int, compressed: list[int]) -> bytes:
    return b64encode(np.array([nz, 4 * ny * nx, 0, *compressed], "<u8").tobytes())


def _write_base64(file: IO[bytes], data: bytes) -> bytes:
    """Write as much of ``data`` as makes whole groups of three bytes; return the rest."""
    cut = len(data) - len(data) % 3
    file.write(b64encode(data[:cut]))
    return data[cut:]


def read(path: str | Path) -> Voxels:
    """Labels and grid (um) of a file that ``write`` wrote.

    Raises
    ------
    ExportError
        If the file is missing, truncated, damaged, or of another layout.
    """
    try:
        root = ElementTree.parse(path).getroot()
        image, array = root[0], root.find(".//DataArray[@Name='material']")
        nx, ny, nz = map(int, image.attrib["WholeExtent"].split()[1::2])
        unit = _unit(root)
        x, y, z = (_um(text, unit) for text in image.attrib["Origin"].split())
        spacing = _um(image.attrib["Spacing"].split()[0], unit)
        labels = _decoded(_text(array), nz).reshape(nz, ny, nx)
        return Voxels(labels, Grid((x, y, z), spacing, (nz, ny, nx)))
    except (OSError, ElementTree.ParseError, LookupError, ValueError, zlib.error) as error:
        msg = f"{path} is not a readable voxel file ({error}); export the particle again"
        raise ExportError(msg) from error


def _um(text: str, unit: str) -> float:
    """Inverse of `_length`."""
    return float(f"{float(text) * UM_PER_UNIT[unit]:.15g}")


def _text(element: ElementTree.Element | None) -> str:
    if element is None or element.text is None:
        msg = "an array is missing"
        raise ValueError(msg)
    return element.text.strip()


def _unit(root: ElementTree.Element) -> str:
    codes = _text(root.find(".//Array[@Name='comments']")).split()
    first = bytes(map(int, codes)).split(b"\0")[0].decode()
    return first.removeprefix(UNIT_COMMENT)


def _decoded(text: str, n_blocks: int) -> NDArray[np.int32]:
    n_characters = 4 * -(-8 * (3 + n_blocks) // 3)
    sizes = np.frombuffer(b64decode(text[:n_characters]), "<u8")[3:]
    data = b64decode(text[n_characters:])
    ends = np.cumsum(sizes).tolist()
    blocks = [zlib.decompress(data[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    return np.frombuffer(b"".join(blocks), "<i4").astype(np.int32)
