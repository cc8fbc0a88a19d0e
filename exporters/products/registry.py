"""All products of a particle, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...generator.progress import Progress
from ...generator.requirements import missing, require
from ..solvers.profiles import PROFILES, SolverProfile

if TYPE_CHECKING:
    from ...generator.particle import Particle
    from ..mesh.volume_mesh import VolumeMesh
    from .voxels import Voxels


@dataclass(frozen=True)
class Format:
    """One kind of product: what it is for, where its writer lives, what it needs.

    ``module`` has a function ``write(particle, path, **options)`` that returns the path
    written, a file or a folder, and never leaves half of it behind. If ``long`` it also
    takes ``progress``, if ``meshed`` also ``mesh``, a `VolumeMesh` that is at hand, if
    ``labelled`` also ``voxels``, likewise. If ``summarised`` the module has
    ``summary(path)``, facts about the product that belong into the particle's metadata.
    """

    name: str
    file: str  # name inside the particle's folder
    purpose: str
    opens_in: str
    module: str  # relative to this package
    options: Mapping[str, type] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    extra: str = ""
    long: bool = True
    summarised: bool = False
    writer: str = "write"
    meshed: bool = False
    labelled: bool = False

    @property
    def missing(self) -> list[str]:
        """Required packages that are not installed."""
        return missing(*self.requires)

    def require(self) -> None:
        """Raise an ExportError unless all that it needs is installed."""
        from ...generator.errors import ExportError

        purpose = f"products of the format {self.name!r}"
        require(self.extra, *self.requires, purpose=purpose, error=ExportError)


MESH_SIZES: Mapping[str, type] = {"size_um": float, "boundary_size_um": float, "force": bool}
MESH_FORM: Mapping[str, type] = {**MESH_SIZES, "order": int, "interfaces": str}


def _solver(profile: SolverProfile) -> Format:
    """Folder with mesh and decks for one solver."""
    return Format(
        profile.name,
        profile.name,
        profile.purpose,
        profile.name,
        ".products.mesh",
        {**MESH_FORM, "unit": str},
        summarised=True,
        writer="write_solver",
        meshed=True,
    )


FORMATS = {
    f.name: f
    for f in (
        Format(
            "voxels",
            "voxels.vtkhdf",
            "grain id on a regular grid, with a table of the grains",
            "ParaView >= 5.12, xarray, h5py, netCDF4, NeXus viewers",
            ".products.voxels",
            {"spacing_um": float},
        ),
        Format(
            "vti",
            "voxels.vti",
            "grain id on a regular grid as the cell array `material`, metres",
            "DAMASK, older ParaView",
            ".products.vti",
            {"spacing_um": float},
        ),
        Format(
            "grains",
            "grain_table.h5",
            "table of the grains: volume, centroid, principal lengths, alignment",
            "xarray, h5py, netCDF4",
            ".products.grain_table",
            {"spacing_um": float},
            labelled=True,
        ),
        Format(
            "surfaces",
            "surfaces",
            "one watertight triangle mesh per grain and for the shell (PLY), and the "
            "conforming complex of all grain boundaries (surfaces.vtkhdf)",
            "ParaView, MeshLab, Blender, trimesh",
            ".surfaces.grain_surfaces",
            {**MESH_SIZES, "surface_format": str},
            ("trimesh",),
            "mesh",
            meshed=True,
        ),
        Format(
            "mesh",
            "mesh.msh",
            "conforming tetrahedra with a physical group per grain (gmsh MSH 4.1)",
            "gmsh, FEniCSx, scikit-fem, MFEM, meshio",
            ".products.mesh",
            MESH_FORM,
            ("gmsh",),
            "mesh",
            summarised=True,
            meshed=True,
        ),
        Format(
            "vtk-mesh",
            "mesh.vtkhdf",
            "the same tetrahedra, wedges included, as a VTKHDF unstructured grid",
            "ParaView >= 5.12, pyvista, h5py",
            ".products.mesh",
            MESH_FORM,
            summarised=True,
            writer="write_vtkhdf",
            meshed=True,
        ),
        Format(
            "convergence",
            "convergence",
            "the mesh at several sizes (--size 0.4,0.2,0.1), with a table of quality and errors",
            "as mesh.msh; any spreadsheet",
            ".products.convergence",
            {"sizes_um": list, "force": bool},
            ("gmsh",),
            "mesh",
            summarised=True,
        ),
        Format(
            "interfaces",
            "interfaces.csv",
            "table of the grain boundaries: area, normal, depth, misorientation",
            "pandas, any spreadsheet",
            ".products.interfaces",
            MESH_SIZES,
            ("trimesh",),
            "mesh",
            meshed=True,
        ),
        Format(
            "report",
            "report.png",
            "one picture: outside, cut open, sections, grain statistics",
            "any image viewer",
            ".products.report",
            {},
            ("matplotlib",),
            "view",
            long=False,
        ),
        *(_solver(profile) for profile in PROFILES.values()),
    )
}


def export(
    particle: Particle,
    folder: str | Path,
    name: str,
    *,
    progress: Progress | None = None,
    mesh: VolumeMesh | None = None,
    voxels: Voxels | None = None,
    **options: Any,
) -> Path:
    """Write one product of ``particle`` into ``folder`` and return its path.

    Parameters
    ----------
    name
        A key of ``FORMATS``.
    progress
        Called with a message and the part of the work that is done.
    mesh
        The particle's bonded first-order mesh of the sizes in ``options``, if it is at hand.
    voxels
        The particle's labels on the grid of the spacing in ``options``, if they are at hand.
    options
        Those of the format, for example ``spacing_um=0.05``.

    Raises
    ------
    ExportError
        If the format is unknown, needs a package that is not installed, or cannot be
        written as asked.
    """
    from ...generator.errors import ExportError, suggestion

    if name not in FORMATS:
        msg = f"unknown format {name!r}; {suggestion(name, sorted(FORMATS))}"
        raise ExportError(msg)
    chosen = FORMATS[name]
    chosen.require()
    if unknown := sorted(set(options) - set(chosen.options)):
        meant = suggestion(unknown[0], sorted(chosen.options))
        msg = f"format {name!r} has no option {unknown[0]!r}; {meant}"
        raise ExportError(msg)
    target = Path(folder) / chosen.file
    if chosen.long:
        options["progress"] = progress
    if chosen.meshed:
        options["mesh"] = mesh
    if chosen.labelled:
        options["voxels"] = voxels
    write = getattr(import_module(chosen.module, __name__), chosen.writer)
    written: Path = write(particle, target, **options)
    return written
