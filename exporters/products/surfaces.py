"""The product ``surfaces``: a folder with the complex of all boundaries and closed surfaces."""

from __future__ import annotations

from pathlib import Path

from ...generator.errors import ExportError
from ...generator.particle import Particle
from ...generator.progress import Progress
from ..files.atomic import replacing_folder
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.mesher import volume_mesh
from ..meshing.sizes import DEFAULT_SIZE_UM
from ..surfaces import complex_file, triple_lines
from ..surfaces.closed_files import SurfaceFormat, require_format, write_surfaces
from ..surfaces.grain_surfaces import GrainSurfaces, grain_surfaces

COMPLEX = "surfaces.vtkhdf"
LINES = "triple_lines.vtkhdf"


def write(
    source: Particle | VolumeMesh | GrainSurfaces,
    folder: str | Path,
    *,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    force: bool = False,
    surface_format: SurfaceFormat = "ply",
    mesh: VolumeMesh | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the surfaces of a particle, of a mesh, or surfaces that are there, to a folder.

    A folder of surfaces of that name is replaced when the new one is complete. The format
    is that of the closed surfaces: ply, stl or glb.

    Raises
    ------
    ExportError
        If the name is taken by anything else, the format is unknown, or the surfaces cannot
        be made or written.
    """
    require_format(surface_format)
    target = Path(folder)
    require_surfaces(target)
    surfaces = source
    if isinstance(surfaces, Particle):
        surfaces = mesh or volume_mesh(surfaces, size_um, boundary_size_um, progress, force=force)
    if isinstance(surfaces, VolumeMesh):
        surfaces = grain_surfaces(surfaces)
    with replacing_folder(target) as temporary:
        _write_all(surfaces, temporary, surface_format)
    return target


def require_surfaces(folder: Path) -> None:
    """Raise an ExportError if something is at ``folder`` that is no folder of surfaces."""
    if folder.exists() and not (folder / COMPLEX).is_file():
        msg = f"{folder} exists and is not a folder of surfaces; choose another name"
        raise ExportError(msg)


def _write_all(surfaces: GrainSurfaces, folder: Path, surface_format: SurfaceFormat) -> None:
    complex_file.write(surfaces, folder / COMPLEX)
    triple_lines.write(triple_lines.triple_lines(surfaces), folder / LINES)
    grains = ((g, surfaces.to_trimesh(g)) for g in surfaces.grain_ids.tolist())
    write_surfaces(surfaces.to_trimesh(), grains, folder, surface_format)


def read(path: str | Path) -> GrainSurfaces:
    """Surfaces of a folder that `write` made, or of its ``surfaces.vtkhdf``."""
    path = Path(path)
    arrays = complex_file.read(path / COMPLEX if path.is_dir() else path)
    return GrainSurfaces(*arrays)
