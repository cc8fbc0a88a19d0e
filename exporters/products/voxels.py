"""Labelled voxels: one HDF5 file that is VTKHDF, netCDF-4/CF and NeXus at once.

``voxels.vtkhdf`` opens in ParaView >= 5.12, ``xarray.open_dataset``, netCDF4, h5py and the
NeXus viewers. Dimensions: ``z, y, x`` (voxel centres, um, ascending), ``grain`` (1..N, the
grain id everywhere), ``component`` (x, y, z), ``metric_component`` (xx, xy, xz, yy, yz, zz),
``quaternion`` (w, x, y, z). Variables:

=================== ======================== ===== ======= ===================================
name                dimensions               type  units   meaning
=================== ======================== ===== ======= ===================================
grain_id            z, y, x                  int32 1       grain at the voxel centre; 0 outside
grain_boundary      z, y, x                  int8  1       1 in a voxel of the particle with a
                                                           face neighbour of another id
grain_seed          grain, component         f8    um      s_i
grain_metric        grain, metric_component  f8    um^-2   M_i
grain_offset        grain                    f8    1       r_i
grain_voxels        grain                    int64 1       number of voxels, 0 for a grain that
                                                           holds no voxel centre
grain_volume        grain                    f8    um^3    that number times the voxel's volume
grain_orientation   grain, quaternion        f8    1       crystal to sample, if there is
=================== ======================== ===== ======= ===================================

The same arrays hang by hard links in two more places, at no cost: ``/VTKHDF/CellData`` (an
ImageData; its Origin is the *corner* of the first voxel) and ``/entry/data`` (the default
plot of NeXus). ``/provenance/metadata_json`` says what the particle was made from.

Labels are stored in chunks of 64^3, packed by libdeflate for the filter gzip, without shuffling
bytes, which would make them larger. There is no ``_FillValue``: xarray would turn the ids into
floating point numbers. No time stamps: equal particles are equal files.

Layers are labelled, compressed and forgotten 64 at a time, with a layer more on either side
for `grain_boundary`: the peak of memory is 66 int32 and 64 int8 layers, a few working layers
and the compressed file, `Plan.memory_bytes` (0.5 GB for 1024^3 voxels, whose labels alone
are 4 GB).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from ...generator import hdf5_files
from ...generator.errors import ExportError
from ...generator.machine import available_memory, readable_bytes
from ...generator.progress import Progress
from ...generator.voxels.grid import Grid
from ...generator.voxels.labelling import SLAB, LabelSlab, label_slab
from ...generator.voxels.morphology import GrainSums
from ...generator.voxels.slabs import Slab, for_each_slab
from ..files.cf import attach, dimension, new_file, set_text, variable
from ..files.packed import LABELS, create_packed, write_chunks
from ..files.provenance import source_text
from ..particles import recipe

if TYPE_CHECKING:
    from ...generator.particle import Particle

KIND = "cathodegrain/voxels"
VERSION = "1.0.0"
VOLUME_DIMENSIONS: tuple[Literal["z", "y", "x"], ...] = ("z", "y", "x")
CHUNK = 64  # voxels per edge

# Working layers of `boundary` and of counting, in bytes per voxel of one layer.
WORKING_BYTES = 16


@dataclass(frozen=True)
class Plan:
    """What an export of voxels takes.

    Parameters
    ----------
    grid
        Where the voxels lie.
    file_bytes
        Estimate of the size of the file.
    memory_bytes
        Peak of memory, besides the particle itself.
    """

    grid: Grid
    file_bytes: int
    memory_bytes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels (nz, ny, nx)."""
        return self.grid.shape

    @property
    def voxels(self) -> int:
        """Number of voxels of the grid."""
        return self.grid.n_voxels


@dataclass(frozen=True, eq=False)
class Voxels:
    """Content of a voxel file.

    Parameters
    ----------
    labels : (nz, ny, nx) int32
        Grain ids; 0 is outside.
    grid
        Where the voxels lie.
    """

    labels: NDArray[np.int32]
    grid: Grid


def plan(particle: Particle, pitch_um: float) -> Plan:
    """Grid, memory and disk that ``write`` would use; nothing is labelled.

    Raises
    ------
    ExportError
        If the spacing is not a positive number.
    """
    try:
        grid = Grid.around(particle.shell.radius_bounds[1], pitch_um)
    except ValueError as error:
        raise ExportError(str(error)) from error
    _, ny, nx = grid.shape
    layers = 4 * (SLAB + 2) + SLAB + WORKING_BYTES
    file_bytes = _file_bytes(particle, grid)
    return Plan(grid, file_bytes, layers * ny * nx + file_bytes)


def _file_bytes(particle: Particle, grid: Grid) -> int:
    """Estimate: what gzip spends at grain boundaries and elsewhere, and the table.

    Bytes per boundary voxel, voxel and grain were measured with the shipped model card: 32^3
    to 512^3 voxels, 50 to 3800 grains, all within a quarter.
    """
    n = particle.n_grains
    area = boundary_area_um2(particle) / grid.spacing**2
    return int(0.8 * area + 0.02 * grid.n_voxels + 105 * n + 25_000)


def boundary_area_um2(particle: Particle) -> float:
    """Estimate of the area of all grain boundaries, um^2: that of a Poisson-Voronoi tessellation.

    It has 2.91 n^(1/3) per volume for n grains per unit volume (Okabe et al., Spatial
    Tessellations, 2000).
    """
    return 2.91 * particle.n_grains ** (1 / 3) * particle.shell.volume_um3 ** (2 / 3)


def require_room(needed: Plan, folder: Path) -> None:
    """Raise an ExportError if memory or disk are too small for the plan."""
    memory, disk = available_memory(), shutil.disk_usage(folder).free
    needs = (
        f"{needed.voxels:.3g} voxels of {needed.grid.spacing:g} um need "
        f"{readable_bytes(needed.memory_bytes)} of memory and about "
        f"{readable_bytes(needed.file_bytes)} of disk"
    )
    if needed.memory_bytes > memory:
        msg = f"{needs}; {readable_bytes(memory)} of memory are free; choose a larger spacing"
        raise ExportError(msg)
    if needed.file_bytes > disk:
        msg = (
            f"{needs}; {folder} has {readable_bytes(disk)} free; choose a larger spacing or "
            "another folder"
        )
        raise ExportError(msg) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write(
    particle: Particle,
    path: str | Path,
    *,
    pitch_um: float = 0.1,
    progress: Progress | None = None,
    label: LabelSlab = label_slab,
) -> Path:
    """Write the voxels of ``particle``; equal particles give equal bytes.

    Parameters
    ----------
    pitch_um
        Edge of a voxel, um.
    progress
        Called after each slab with a message and the part of the work that is done.
    label
        What labels layers of voxels.

    Raises
    ------
    ExportError
        If the spacing is not a positive number or no voxel centre falls inside the
        particle, memory or disk are too small, or the file cannot be written.
    """
    write_and_sum(particle, path, pitch_um=pitch_um, progress=progress, label=label)
    return Path(path)


def write_and_sum(
    particle: Particle,
    path: str | Path,
    *,
    pitch_um: float = 0.1,
    progress: Progress | None = None,
    label: LabelSlab = label_slab,
) -> GrainSums:
    """As `write`; the sums over the voxels of each grain, for a table of the grains."""
    needed = plan(particle, pitch_um)
    with new_file(path) as file:
        require_room(needed, Path(path).parent)
        _describe(file, particle)
        _create_volumes(file, needed.grid)
        sums = _stream(file, particle, needed.grid, progress, label)
        require_voxels(sums.voxel_count, particle, pitch_um)
        _write_grains(file, particle, sums.voxel_count, needed.grid)
        _link_vtk(file, needed.grid)
        _link_nexus(file)
        _write_provenance(file, particle)
    return sums


def _describe(file: h5py.File, particle: Particle) -> None:
    set_text(
        file,
        schema=KIND,
        schema_version=VERSION,
        Conventions="CF-1.11 ACDD-1.3",
        title=f"Grain-labelled voxels of the virtual NMC811 particle {particle.id}",
        summary="Grain id on a regular grid and a table of the grains of one simulated "
        "secondary particle of a lithium-ion battery cathode. Lengths in micrometres.",
        keywords="NMC811, lithium-ion battery, cathode, microstructure, grains, tessellation",
        source=source_text(particle.provenance.draws),
        history=recipe.HISTORY,
        references=recipe.REFERENCE,
        id=particle.id,
    )


def _create_volumes(file: h5py.File, grid: Grid) -> None:
    """Axes and empty label volumes."""
    for axis in VOLUME_DIMENSIONS:
        name = f"{axis} of the voxel centre"
        dimension(file, axis, grid.axis(axis), units="um", long_name=name)
    for name, kind, meaning in (
        ("grain_id", np.int32, "grain id; 0 is outside the particle"),
        ("grain_boundary", np.int8, "whether a face neighbour has another grain id"),
    ):
        chunks = tuple(min(CHUNK, n) for n in grid.shape)
        volume = create_packed(file, name, grid.shape, np.dtype(kind), chunks, LABELS)
        attach(file, volume, VOLUME_DIMENSIONS)
        set_text(volume, units="1", long_name=meaning)
    flags = file["grain_boundary"]
    flags.attrs["flag_values"] = np.array([0, 1], np.int8)
    set_text(
        flags,
        flag_meanings="not_at_boundary at_boundary",
        comment="only voxels of the particle are flagged, at grain boundaries and at the shell",
    )


def _stream(
    file: h5py.File, particle: Particle, grid: Grid, progress: Progress | None, label: LabelSlab
) -> GrainSums:
    """Write all layers; the sums over the voxels of each grain."""
    sums = GrainSums.zero(particle.n_grains)

    def write(slab: Slab) -> None:
        write_chunks(file["grain_id"], slab.start, slab.labels[slab.own])
        write_chunks(file["grain_boundary"], slab.start, boundary(slab.labels, slab.own))
        sums.add(slab.labels, slab.own, slab.start)

    for_each_slab(particle, grid, write, progress, label)
    return sums


def boundary(labels: NDArray[np.int32], layers: slice) -> NDArray[np.int8]:
    """1 in each labelled voxel of ``layers`` with a face neighbour of another label, int8.

    Beyond the array all is outside, 0.

    Examples
    --------
    >>> row = np.array([[[0, 1, 1, 1, 2, 0]]], dtype=np.int32)
    >>> slab = np.pad(row, ((1, 1), (1, 1), (0, 0)), mode="edge")
    >>> boundary(slab, slice(1, 2))[0, 1]
    array([0, 1, 0, 1, 1, 0], dtype=int8)
    """
    outside = np.zeros(labels.shape[1:], np.int32)
    result = np.empty((layers.stop - layers.start, *outside.shape), np.int8)
    for out, k in zip(result, range(layers.start, layers.stop), strict=True):
        layer = labels[k]
        below = labels[k - 1] if k > 0 else outside
        above = labels[k + 1] if k + 1 < len(labels) else outside
        differs = (layer != below) | (layer != above)
        along_y, along_x = layer[1:] != layer[:-1], layer[:, 1:] != layer[:, :-1]
        differs[1:] |= along_y
        differs[:-1] |= along_y
        differs[:, 1:] |= along_x
        differs[:, :-1] |= along_x
        differs[[0, -1]] = True
        differs[:, [0, -1]] = True
        np.logical_and(differs, layer, out=out.view(np.bool_))
    return result


def count_voxels(labels: NDArray[np.int32], n_grains: int) -> NDArray[np.int64]:
    """Voxels per grain id, (n_grains + 1,); layer by layer, since bincount copies to int64."""
    counts = np.zeros(n_grains + 1, np.int64)
    for layer in labels:
        counts += np.bincount(layer.ravel(), minlength=n_grains + 1)
    return counts


def require_voxels(counts: NDArray[np.int64], particle: Particle, pitch_um: float) -> None:
    """Raise an ExportError if no voxel is inside: ``counts`` are those of the grains."""
    if not counts.any():
        msg = (
            f"no voxel centre lies inside the particle at a spacing of {pitch_um:g} um; its "
            f"diameter is {particle.shell.diameter_um:.3g} um, choose a small part of that"
        )
        raise ExportError(msg)


def _write_grains(
    file: h5py.File, particle: Particle, voxels: NDArray[np.int64], grid: Grid
) -> None:
    """Table of the grains."""
    grains = particle.tessellation
    ids = np.arange(1, particle.n_grains + 1, dtype=np.int32)
    dimension(file, "grain", ids, long_name="grain id; 0 is outside")
    dimension(file, "component", _numbers(3), long_name="x, y, z")
    dimension(file, "metric_component", _numbers(6), long_name="xx, xy, xz, yy, yz, zz")
    rows: list[tuple[str, NDArray[Any], tuple[str, ...], str, str]] = [
        ("grain_seed", grains.seeds, ("grain", "component"), "um", "seed point s_i"),
        ("grain_metric", grains.matrices[:, *recipe.UPPER], ("grain", "metric_component"),
         "um^-2", "marker matrix M_i"),
        ("grain_offset", grains.offsets, ("grain",), "1", "additive marker r_i"),
        ("grain_voxels", voxels, ("grain",), "1", "number of voxels, 0 if too small for one"),
        ("grain_volume", voxels * grid.voxel_um3, ("grain",), "um^3", "volume of the voxels"),
    ]  # fmt: skip
    if particle.orientations is not None:
        dimension(file, "quaternion", _numbers(4), long_name="w, x, y, z")
        rows.append(
            ("grain_orientation", particle.orientations, ("grain", "quaternion"), "1",
             "unit quaternion q = (w, x, y, z): a vector with crystal components v has the "
             "sample components q v q*; the c-axis is e_3 of the crystal")
        )  # fmt: skip
    for name, data, dimensions, units, long_name in rows:
        variable(file, name, data, dimensions, units=units, long_name=long_name)
    set_text(file["grain_metric"], comment=f"the metric of the tessellation is {grains.metric}")


def _numbers(n: int) -> NDArray[np.int32]:
    return np.arange(n, dtype=np.int32)


def _link_vtk(file: h5py.File, grid: Grid) -> None:
    """VTKHDF ImageData; its readers want every one of these attributes."""
    image = file.create_group("VTKHDF")
    nz, ny, nx = grid.shape
    image.attrs["Version"] = np.array([2, 2], np.int64)
    image.attrs["WholeExtent"] = np.array([0, nx, 0, ny, 0, nz], np.int64)
    image.attrs["Origin"] = np.array(grid.origin)
    image.attrs["Spacing"] = np.full(3, grid.spacing)
    image.attrs["Direction"] = np.eye(3).ravel()
    set_text(image, Type="ImageData")
    cells = image.create_group("CellData")
    set_text(file["grain_id"], Attribute="Scalars")  # VTK: the array to show first
    for name in ("grain_id", "grain_boundary"):
        cells[name] = file[name]


def _link_nexus(file: h5py.File) -> None:
    """Default plot of NeXus."""
    set_text(file, NX_class="NXroot", default="entry")
    entry = file.create_group("entry")
    set_text(entry, NX_class="NXentry", default="data")
    data = entry.create_group("data")
    set_text(data, NX_class="NXdata", signal="grain_id")
    data.attrs["axes"] = np.array(VOLUME_DIMENSIONS, "S1")
    for name in ("grain_id", *VOLUME_DIMENSIONS):
        data[name] = file[name]


def _write_provenance(file: h5py.File, particle: Particle) -> None:
    fields = recipe.provenance_fields(particle.provenance)
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    group = file.create_group("provenance")
    group.create_dataset("metadata_json", data=text, dtype=h5py.string_dtype(), track_times=False)


def read(path: str | Path) -> Voxels:
    """Labels and grid of a voxel file.

    Raises
    ------
    ExportError
        If the file is missing, truncated, damaged, or no voxel file.
    """
    try:
        with hdf5_files.self_contained(path) as file:
            image = file["VTKHDF"].attrs
            labels: NDArray[np.int32] = file["grain_id"][:]
            x, y, z = map(float, image["Origin"])
            nz, ny, nx = labels.shape
            return Voxels(labels, Grid((x, y, z), float(image["Spacing"][0]), (nz, ny, nx)))
    except hdf5_files.FAILURES as error:
        msg = f"{path} is not a readable voxel file ({error}); export the particle again"
        raise ExportError(msg) from error
