"""What a particle becomes: files, pictures, metadata, and the command line.

`FORMATS` lists every product. A format's module is imported when it is used, so that one
missing package never keeps the others from working.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..generator.particle import Particle


Progress = Callable[[str, float], None]  # (what is going on, part of the work that is done)


@dataclass(frozen=True)
class Format:
    """One kind of product: what it is for, where its writer lives, what it needs.

    ``module`` has a function ``write(particle, path, **options)`` that returns the path
    written, a file or a folder, and never leaves half of it behind. If ``long`` it also
    takes ``progress``. If ``summarised`` the module has ``summary(path)``, facts about the
    product that belong into the particle's metadata.
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

    @property
    def missing(self) -> list[str]:
        """Required packages that are not installed."""
        return [package for package in self.requires if find_spec(package) is None]


FORMATS = {
    f.name: f
    for f in (
        Format(
            "voxels",
            "voxels.vtkhdf",
            "grain id on a regular grid, with a table of the grains",
            "ParaView >= 5.12, xarray, h5py, netCDF4, NeXus viewers",
            ".voxels",
            {"spacing_um": float},
        ),
        Format(
            "vti",
            "voxels.vti",
            "grain id on a regular grid as the cell array `material`, metres",
            "DAMASK, older ParaView",
            ".vti",
            {"spacing_um": float},
        ),
        Format(
            "surfaces",
            "surfaces",
            "one watertight triangle mesh per grain and for the shell (PLY), and the "
            "conforming complex of all grain boundaries (surfaces.vtkhdf)",
            "ParaView, MeshLab, Blender, trimesh",
            ".grain_surfaces",
            {"size_um": float},
            ("trimesh",),
            "mesh",
        ),
        Format(
            "mesh",
            "mesh.msh",
            "conforming tetrahedra with a physical group per grain (gmsh MSH 4.1)",
            "gmsh, FEniCSx, scikit-fem, MFEM, meshio",
            ".mesh_export",
            {
                "size_um": float,
                "boundary_size_um": float,
                "order": int,
                "interfaces": str,
                "force": bool,
            },
            ("gmsh",),
            "mesh",
            summarised=True,
        ),
        Format(
            "report",
            "report.png",
            "one picture: outside, cut open, sections, grain statistics",
            "any image viewer",
            ".report",
            {},
            ("matplotlib",),
            "view",
            long=False,
        ),
    )
}


def export(
    particle: Particle,
    folder: str | Path,
    name: str,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write one product of ``particle`` into ``folder`` and return its path.

    Parameters
    ----------
    name
        A key of ``FORMATS``.
    progress
        Called with a message and the part of the work that is done.
    options
        Those of the format, for example ``spacing_um=0.05``.

    Raises
    ------
    ExportError
        If the format is unknown, needs a package that is not installed, or cannot be
        written as asked.
    """
    from ..generator.errors import ExportError

    if name not in FORMATS:
        msg = f"unknown format {name!r}; choose one of {sorted(FORMATS)}"
        raise ExportError(msg)
    chosen = FORMATS[name]
    if chosen.missing:
        msg = (
            f"format {name!r} needs {', '.join(chosen.missing)}, not installed here; "
            f"try: pip install 'cathodegrain[{chosen.extra}]'"
        )
        raise ExportError(msg)
    if unknown := sorted(set(options) - set(chosen.options)):
        msg = f"format {name!r} has no option {unknown}; it takes {sorted(chosen.options)}"
        raise ExportError(msg)
    target = Path(folder) / chosen.file
    if chosen.long:
        options["progress"] = progress
    written: Path = import_module(chosen.module, __name__).write(particle, target, **options)
    return written
