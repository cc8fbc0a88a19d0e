"""All products of a particle, by name: a class for each kind, registered once.

What a product needs is imported when it is written, so that a missing package never keeps
the others from working.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...generator.errors import ExportError, suggestion
from ..particles import renamed
from ..solvers.profiles import PROFILES, SolverProfile
from .options import FORM, OPTIONS, SIZES, with_usual_size
from .product import Product, Sources, Written

if TYPE_CHECKING:
    from ...generator.particle import Particle
    from .mesh import Mesh


class _Voxels(Product):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from . import voxels

        sums = voxels.write_and_sum(
            sources.particle, path, progress=sources.progress, label=sources.label, **options
        )
        sources.keep_sums(options["pitch_um"], sums)
        return Written(path)

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        return _voxel_plan(particle, options)


class _Vti(Product):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from . import vti

        made = vti.write(
            sources.particle, path, progress=sources.progress, label=sources.label, **options
        )
        return Written(made)

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        return _voxel_plan(particle, options)


class _GrainTable(Product):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from . import grain_table

        sums = sources.sums(options["pitch_um"])
        made = grain_table.write(
            sources.particle, path, sums=sums, progress=sources.progress, label=sources.label,
            **options,
        )  # fmt: skip
        return Written(made)

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        return _voxel_plan(particle, options)


class _Meshed(Product):
    """A product made of the particle's tetrahedra."""

    made_of = "mesh"

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        if options.get("elements") == "hex":
            return _hex_plan(particle, options["size_um"])
        return _mesh_plan(particle, [options["size_um"]], options)


class _Surfaces(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..surfaces.closed_files import require_format
        from . import surfaces

        require_format(options["surface_format"])
        mesh = sources.mesh(options)
        return Written(surfaces.write(mesh, path, surface_format=options["surface_format"]))

    def require_replaceable(self, path: Path) -> None:
        from .surfaces import require_surfaces

        require_surfaces(path)


class _Preview(Product):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from . import preview

        made = preview.write(
            sources.particle, path, progress=sources.progress, label=sources.label, **options
        )
        return Written(made)

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        from . import preview

        needed = preview.plan(particle, options["pitch_um"])
        return {
            "voxel_shape_zyx": list(needed.shape),
            "preview_bytes_estimate": needed.file_bytes,
        }


class _Interfaces(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..surfaces.grain_surfaces import grain_surfaces
        from . import interfaces

        surfaces = grain_surfaces(sources.mesh(options))
        return Written(interfaces.write(interfaces.interfaces(surfaces, sources.particle), path))


class _Geo(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..surfaces import gmsh_geo

        return Written(gmsh_geo.write(sources.mesh(options), path))

    def require_replaceable(self, path: Path) -> None:
        from ..surfaces.gmsh_geo import require_geo

        require_geo(path)


class _Msh(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..mesh import msh_file

        mesh = _formed(sources, options)
        return Written(msh_file.write(mesh, path), mesh.facts)


class _Msh2(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..mesh import msh2_file

        mesh = _formed(sources, options)
        return Written(msh2_file.write(mesh, path), mesh.facts)


class _VtkhdfMesh(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..mesh import vtkhdf_file

        mesh = _formed(sources, options)
        return Written(vtkhdf_file.write(mesh, path), mesh.facts)


class _SolverFolder(_Meshed):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from ..solvers.folder import write_for

        mesh = _formed(sources, options)
        orientations = sources.particle.orientations
        write_for(mesh, path, self.name, orientations=orientations, unit=options["unit"])
        return Written(path, mesh.facts)

    def require_replaceable(self, path: Path) -> None:
        from ..solvers.folder import require_unchanged

        require_unchanged(path)


class _Convergence(Product):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from . import convergence

        made = convergence.write(sources.particle, path, progress=sources.progress, **options)
        return Written(made, convergence.summary(made))

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        return _mesh_plan(particle, options["sizes_um"], options)


class _Report(Product):
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        from . import report

        return Written(report.write(sources.particle, path))


def _formed(sources: Sources, options: Mapping[str, Any]) -> Mesh:
    """The mesh in the form asked for."""
    from .mesh import formed, require_form

    order, boundaries = options["order"], options["boundaries"]
    require_form(
        order, boundaries, options["elements"], options["boundary_size_um"], options["cut"],
        options["detail"], options["tets"], options["surface_size_um"],
    )  # fmt: skip
    if options["elements"] == "hex":
        return sources.hexes(options)
    return formed(sources.mesh(options), sources.particle, order, boundaries)


def _voxel_plan(particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
    from .voxels import plan

    needed = plan(particle, options["pitch_um"])
    return {"voxel_shape_zyx": list(needed.shape), "voxel_bytes_estimate": needed.file_bytes}


def _mesh_plan(
    particle: Particle, sizes_um: Sequence[float | None], options: Mapping[str, Any]
) -> dict[str, Any]:
    from ..mesh.body import ParticleBody
    from ..meshing.cut_body import cut_body
    from ..meshing.mesher import planned
    from ..meshing.sizes import at_a_time, bytes_together

    body = cut_body(ParticleBody(particle), options.get("cut", ""))
    further = ("detail", "tets", "surface_size_um")
    chosen = {name: options.get(name, OPTIONS[name].default) for name in further}
    boundary = options.get("boundary_size_um")
    meshes = [planned(body, size, boundary, **chosen) for size in sizes_um]
    return {
        "mesh_tetrahedra_estimate": round(max(each.expected_tets for each in meshes), -3),
        "mesh_memory_bytes_estimate": round(bytes_together(meshes)[at_a_time(meshes) - 1]),
    }


def _hex_plan(particle: Particle, size_um: float | None) -> dict[str, Any]:
    from ..meshing.hex_mesher import expected_bytes, require_hex_size
    from ..meshing.sizes import DEFAULT_SIZE_UM

    size_um = size_um or DEFAULT_SIZE_UM
    volume = particle.shell.volume_um3
    require_hex_size(volume, size_um)
    return {
        "mesh_hexahedra_estimate": round(volume / size_um**3),
        "mesh_memory_bytes_estimate": round(expected_bytes(volume, size_um)),
    }


def _solver(profile: SolverProfile) -> Product:
    name = profile.name
    return _SolverFolder(name, name, profile.purpose, name, (*FORM, "unit"))


PRODUCTS = {
    product.name: product
    for product in (
        _Voxels(
            "voxels",
            "voxels.vtkhdf",
            "grain id on a regular grid, with a table of the grains",
            "ParaView >= 5.12, xarray, h5py, netCDF4, NeXus viewers",
            ("pitch_um",),
        ),
        _Vti(
            "voxels-vti",
            "voxels.vti",
            "grain id on a regular grid as the cell array `material`, metres",
            "DAMASK, older ParaView",
            ("pitch_um",),
        ),
        _GrainTable(
            "grain-table",
            "grain_table.h5",
            "table of the grains: volume, centroid, principal lengths, alignment",
            "xarray, h5py, netCDF4",
            ("pitch_um",),
        ),
        _Surfaces(
            "surfaces",
            "surfaces",
            "one watertight triangle mesh per grain and for the shell (PLY), and the "
            "conforming complex of all grain boundaries (surfaces.vtkhdf)",
            "ParaView, MeshLab, Blender, trimesh",
            (*SIZES, "surface_format"),
            ("trimesh",),
            "mesh",
        ),
        _Preview(
            "preview",
            "preview.glb",
            "surfaces of all grains for a first look, from voxels: coarse, not always closed",
            "Blender, Windows 3D Viewer, web viewers, trimesh",
            ("pitch_um",),
            ("trimesh", "vtk"),
            "preview",
        ),
        _Msh(
            "mesh",
            "mesh.msh",
            "conforming tetrahedra or hexahedra with a physical group per grain (gmsh MSH 4.1)",
            "gmsh, FEniCSx, scikit-fem, MFEM, meshio",
            FORM,
        ),
        _Msh2(
            "mesh-msh2",
            "mesh-2.2.msh",
            "the same mesh and groups as text, for programs that read no newer MSH than 2.2",
            "NGSolve, getfem, MFEM, OpenFOAM",
            FORM,
        ),
        _VtkhdfMesh(
            "mesh-vtkhdf",
            "mesh.vtkhdf",
            "the same elements, wedges included, as a VTKHDF unstructured grid",
            "ParaView >= 5.12, pyvista, h5py",
            FORM,
        ),
        _Geo(
            "geo",
            "geo",
            "the surfaces of all grains for gmsh's own mesher: gmsh -3 geo/grains.geo",
            "gmsh",
            SIZES,
        ),
        _Convergence(
            "convergence",
            "convergence",
            "the mesh at several sizes (--size 0.4,0.2,0.1), with a table of quality and errors",
            "as mesh.msh; any spreadsheet",
            ("sizes_um", "force"),
        ),
        _Interfaces(
            "interfaces",
            "interfaces.csv",
            "table of the grain boundaries: area, normal, depth, misorientation",
            "pandas, any spreadsheet",
            SIZES,
        ),
        _Report(
            "report",
            "report.png",
            "one picture: outside, cut open, sections, grain statistics",
            "any image viewer",
            (),
            ("matplotlib",),
            "view",
        ),
        *(_solver(profile) for profile in PROFILES.values()),
    )
}


def product_named(name: str) -> Product:
    """Product of a name; that of version 0.1.0 is taken with a warning.

    Raises
    ------
    ExportError
        If there is none; it names the nearest.
    """
    if name in renamed.PRODUCTS:
        now = renamed.PRODUCTS[name]
        warnings.warn(f"the product {name!r} is now {now!r}", FutureWarning, stacklevel=2)
        name = now
    if name not in PRODUCTS:
        msg = f"unknown product {name!r}; {suggestion(name, sorted(PRODUCTS))}"
        raise ExportError(msg)
    return PRODUCTS[name]


def require_elements(products: Iterable[Product], elements: str, cut: str) -> None:
    """Raise an ExportError if one is made of a mesh, and not of such elements or not cut."""
    for product in products:
        if "force" not in product.options or "elements" in product.options:
            continue
        if elements != "tets":
            msg = (
                f"{product.name} is made of tetrahedra, not of elements {elements!r}; leave one out"
            )
            raise ExportError(msg)
        if cut:
            msg = (
                f"{product.name} is made of whole particles, not of a part, {cut!r}; leave one out"
            )
            raise ExportError(msg)


def completed(product: Product, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a product: those given, the others with their defaults.

    Raises
    ------
    ExportError
        If it does not take one of them.
    """
    if unknown := sorted(set(given) - set(product.options)):
        meant = suggestion(unknown[0], sorted(product.options))
        msg = f"product {product.name!r} has no option {unknown[0]!r}; {meant}"
        raise ExportError(msg)
    return with_usual_size(product.defaults | dict(given))
