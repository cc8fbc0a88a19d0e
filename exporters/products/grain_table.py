"""Table of a particle's grains as they are inside the shell: ``grain_table.h5``, netCDF-4/CF.

Dimensions: ``grain`` (1..N, the grain id everywhere), ``component`` (x, y, z), ``principal``
(longest, middle, shortest). Measured on voxels of the spacing that the attribute
``pitch_um`` gives; what the measures mean is said in `generator.voxels.morphology`. Variables:

======================== ================ ===== ====== =====================================
name                     dimensions       type  units  meaning
======================== ================ ===== ====== =====================================
grain_voxels             grain            int64 1      number of voxels, 0 if too small for one
grain_volume             grain            f8    um^3   that number times the voxel's volume
grain_centroid           grain, component f8    um     centre of mass
grain_diameter           grain            f8    um     of the ball of equal volume
grain_principal_length   grain, principal f8    um     axes of the ellipsoid of equal moments
grain_long_axis          grain, component f8    1      direction of the longest
grain_aspect_ratio       grain            f8    1      longest over shortest
grain_radial_angle       grain            f8    degree between long axis and radius, 0 to 90
grain_touches_shell      grain            int8  1      1 if a voxel lies at the shell
======================== ================ ===== ====== =====================================

A grain without a voxel keeps its row: its counts and lengths are 0, the rest NaN. Voxels are
labelled, summed and forgotten 64 layers at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...generator import hdf5_files
from ...generator.errors import ExportError
from ...generator.progress import Progress
from ...generator.voxels.labelling import LabelSlab, label_slab
from ...generator.voxels.morphology import GrainMorphology, GrainSums
from ...generator.voxels.slabs import grain_sums
from ..files.cf import dimension, new_file, set_text, variable
from ..files.provenance import source_text
from ..particles import recipe
from .voxels import plan, require_voxels

if TYPE_CHECKING:
    from ...generator.particle import Particle

KIND = "cathodegrain/grains"
VERSION = "1.0.0"

# variable -> (field of `GrainMorphology`, dimensions, units, long name)
VARIABLES = {
    "grain_voxels": ("voxel_count", ("grain",), "1", "number of voxels, 0 if too small for one"),
    "grain_volume": ("volume_um3", ("grain",), "um^3", "volume of the voxels"),
    "grain_centroid": ("centroid_um", ("grain", "component"), "um", "centre of mass"),
    "grain_diameter": (
        "equivalent_diameter_um", ("grain",), "um", "diameter of the ball of equal volume",
    ),
    "grain_principal_length": (
        "principal_lengths_um", ("grain", "principal"), "um",
        "axes of the ellipsoid of equal second moments",
    ),
    "grain_long_axis": ("long_axis", ("grain", "component"), "1", "direction of the longest axis"),
    "grain_aspect_ratio": ("aspect_ratio", ("grain",), "1", "longest over shortest axis"),
    "grain_radial_angle": (
        "radial_angle_deg", ("grain",), "degree", "angle between the longest axis and the radius",
    ),
    "grain_touches_shell": ("touches_shell", ("grain",), "1", "1 if a voxel lies at the shell"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GrainTable:
    """Content of a table of grains.

    Parameters
    ----------
    particle_id
        Particle that the grains belong to.
    pitch_um
        Edge of the voxels that they were measured on, um.
    morphology
        Row i is the grain with id i + 1.
    """

    particle_id: str
    pitch_um: float
    morphology: GrainMorphology


def write(
    particle: Particle,
    path: str | Path,
    *,
    pitch_um: float,
    progress: Progress | None = None,
    sums: GrainSums | None = None,
    label: LabelSlab = label_slab,
) -> Path:
    """Measure the grains of ``particle`` on voxels of ``pitch_um`` and write their table.

    ``sums`` are those over its voxels of that spacing, if the caller has them; if not, ``label``
    labels them.

    Raises
    ------
    ExportError
        If the spacing is not a positive number, no voxel lies inside, or the file cannot
        be written.
    """
    grid = plan(particle, pitch_um).grid
    table = (sums or grain_sums(particle, grid, progress, label)).morphology(grid)
    require_voxels(table.voxel_count, particle, pitch_um)
    with new_file(path) as file:
        _describe(file, particle, pitch_um)
        _write_rows(file, table)
    return Path(path)


def _describe(file: h5py.File, particle: Particle, pitch_um: float) -> None:
    set_text(
        file,
        schema=KIND,
        schema_version=VERSION,
        Conventions="CF-1.11 ACDD-1.3",
        title=f"Grains of the virtual NMC811 particle {particle.id}",
        source=source_text(particle.provenance.draws),
        history=recipe.HISTORY,
        references=recipe.REFERENCE,
        id=particle.id,
    )
    file.attrs["pitch_um"] = float(pitch_um)
    fields = recipe.provenance_fields(particle.provenance)
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    group = file.create_group("provenance")
    group.create_dataset("json", data=np.bytes_(text.encode()), track_times=False)


def _write_rows(file: h5py.File, table: GrainMorphology) -> None:
    ids = np.arange(1, len(table) + 1, dtype=np.int32)
    dimension(file, "grain", ids, long_name="grain id; 0 is outside")
    numbers = np.arange(3, dtype=np.int32)
    dimension(file, "component", numbers, long_name="x, y, z")
    dimension(file, "principal", numbers, long_name="longest, middle, shortest")
    for name, (field, dimensions, units, long_name) in VARIABLES.items():
        data = getattr(table, field)
        data = data.astype(np.int8) if data.dtype == bool else data
        variable(file, name, data, dimensions, units=units, long_name=long_name, packed=True)


def read(path: str | Path) -> GrainTable:
    """Table of grains of a file.

    Raises
    ------
    ExportError
        If the file is missing, damaged, or no table of grains.
    """
    try:
        with hdf5_files.self_contained(path) as file:
            if (found := file.attrs["schema"].decode()) != KIND:
                msg = f"it holds {found!r}, expected {KIND!r}"
                raise ValueError(msg)
            rows: dict[str, NDArray[Any]] = {
                field: file[name][:] for name, (field, *_) in VARIABLES.items()
            }
            rows["touches_shell"] = rows["touches_shell"].astype(bool)
            pitch = file.attrs.get("pitch_um", file.attrs.get("spacing_um"))  # until version 0.1.0
            return GrainTable(file.attrs["id"].decode(), float(pitch), GrainMorphology(**rows))
    except hdf5_files.FAILURES as error:
        msg = f"{path} is not a readable table of grains ({error}); export the particle again"
        raise ExportError(msg) from error
