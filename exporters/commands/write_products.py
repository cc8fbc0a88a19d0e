"""Products that the command line is asked for: their options, and what is told about them.

While one is written its progress is shown if standard error is a terminal; afterwards the
certificate of a mesh, the table of several and the cost are told. Nothing heavy is
imported before a product is written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .terminal import cost, progress_bar


@Parameter(name="*")
@dataclass(frozen=True)
class ProductOptions:
    """How products are made; each takes those that concern it."""

    pitch: Annotated[float, Parameter(help="Edge of a voxel, um.")] = 0.1
    size: Annotated[
        str,
        Parameter(
            help="Longest edge of the tetrahedra, um; several, as 0.4,0.2,0.1, for a mesh of each."
        ),
    ] = "0.15"
    boundary_size: Annotated[
        float | None, Parameter(help="Longest edge at grain boundaries, um; as --size if left out.")
    ] = None
    order: Annotated[int, Parameter(help="1, or 2 for ten-node tetrahedra.")] = 1
    cohesive: Annotated[
        bool, Parameter(negative="", help="Split along grain boundaries, with cohesive wedges.")
    ] = False
    discontinuous: Annotated[
        bool, Parameter(negative="", help="Split along grain boundaries, without wedges.")
    ] = False
    unit: Annotated[str | None, Parameter(help="Unit of length of solver decks: um or m.")] = None
    surface_format: Annotated[str, Parameter(help="Closed surfaces as ply, stl or glb.")] = "ply"
    force: Annotated[
        bool, Parameter(negative="", help="Write a mesh although it fails its certificate.")
    ] = False

    def of(self, name: str) -> dict[str, Any]:
        """Options of one product."""
        from ..products.registry import FORMATS

        given = {
            "spacing_um": self.pitch,
            "size_um": self.sizes[0],
            "sizes_um": self.sizes,
            "boundary_size_um": self.boundary_size,
            "order": self.order,
            "interfaces": self._interfaces(),
            "unit": self.unit,
            "surface_format": self.surface_format,
            "force": self.force,
        }
        return {option: given[option] for option in FORMATS[name].options}

    @property
    def sizes(self) -> list[float]:
        """Longest edges, um."""
        from ...generator.errors import ExportError

        try:
            return [float(text) for text in self.size.split(",")]
        except ValueError as error:
            msg = f"--size is {self.size!r}, expected a length in um, or several: 0.4,0.2,0.1"
            raise ExportError(msg) from error

    def _interfaces(self) -> str:
        from ...generator.errors import ExportError

        if self.cohesive and self.discontinuous:
            msg = "--cohesive and --discontinuous exclude each other; give one of them"
            raise ExportError(msg)
        if self.cohesive:
            return "cohesive"
        return "discontinuous" if self.discontinuous else "bonded"


def write_products(
    folder: Path, names: list[str], options: ProductOptions, overwrite: bool
) -> dict[str, Any]:
    """Write products; rows of what was written, with a mesh's certificate, once, after it."""
    rows: dict[str, Any] = {}
    shown: list[str] = []
    names = _for_several_sizes(names, options.sizes)
    for name in sorted(names, key=lambda name: name != "mesh"):  # others are made of it
        started = time.process_time()
        rows[name] = _add(folder, name, options.of(name), overwrite)
        if name == "convergence":
            rows["table"] = _ladder(folder)
        if (certificate := _certificate(folder, name)) and certificate != shown:
            shown = certificate
            rows |= {f"{name} certificate": certificate, f"{name} cost": cost(started)}
    return rows


def _add(folder: Path, name: str, options: dict[str, Any], overwrite: bool) -> str:
    """Write one product, with a progress bar if standard error is a terminal."""
    from ..products.particle_folder import add

    with progress_bar(name) as show:
        return str(add(folder, name, overwrite=overwrite, progress=show, **options))


def _for_several_sizes(names: list[str], sizes: list[float]) -> list[str]:
    """The products, with the ladder of meshes for ``mesh`` where several sizes are asked for."""
    from ...generator.errors import ExportError
    from ..products.registry import FORMATS

    if len(sizes) < 2:
        return names
    names = ["convergence" if name == "mesh" else name for name in names]
    if single := [name for name in names if FORMATS[name].meshed]:
        msg = f"{single[0]} takes one --size, not {sizes}; several go with --to mesh only"
        raise ExportError(msg)
    return names


def _ladder(folder: Path) -> list[str]:
    from ..products.convergence import Rung, lines, summary

    rows = summary(folder / "convergence")["rows"]
    return list(lines([Rung(**row) for row in rows]))


def _certificate(folder: Path, name: str) -> list[str]:
    from ..certificate.certificate import certificate_lines
    from ..particles import metadata

    products = metadata.read(folder)["products"]
    found = [p["summary"] for p in products if p["format"] == name and "summary" in p]
    documents = [facts["certificate"] for facts in found if "certificate" in facts]
    return [line for document in documents for line in certificate_lines(document)]


def plan_rows(
    particle: Any, out: Path, names: list[str], options: ProductOptions
) -> dict[str, Any]:
    """What would be written: rows of names, numbers of voxels and elements, memory."""
    from ..products.registry import FORMATS
    from ..products.voxels import plan

    rows: dict[str, Any] = {
        "particle": str(out / particle.id),
        "grains": particle.n_grains,
        "diameter_um": round(particle.shell.diameter_um, 3),
    }
    if {"voxels", "vti", "grains"} & set(names):
        voxels = plan(particle, options.pitch)
        rows["voxel_shape_zyx"] = list(voxels.shape)
        rows["voxel_bytes_estimate"] = voxels.file_bytes
    if any(FORMATS[name].meshed for name in names):
        rows |= _mesh_plan(particle, options)
    return rows


def _mesh_plan(particle: Any, options: ProductOptions) -> dict[str, Any]:
    from ..mesh.body import ParticleBody
    from ..meshing.sizes import MeshSizes, at_a_time

    body, fine = ParticleBody(particle), options.boundary_size
    meshes = [MeshSizes(body, size, size if fine is None else fine) for size in options.sizes]
    needed = sorted((each.expected_bytes() for each in meshes), reverse=True)
    return {
        "mesh_tetrahedra_estimate": round(max(each.expected_tets() for each in meshes), -3),
        "mesh_memory_bytes_estimate": round(sum(needed[: at_a_time(meshes)])),
    }


def row_names(paths: Sequence[Path]) -> list[str]:
    """Names of the files; whole paths if two have the same name.

    Examples
    --------
    >>> row_names([Path("a/map.ctf"), Path("b/other.ctf")])
    ['map.ctf', 'other.ctf']
    """
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
