"""Products made of a particle's tetrahedra: gmsh's ``mesh.msh``, ``mesh.vtkhdf``, solver folders.

Each is of first or second order, bonded or split along the grain boundaries.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from ...generator.errors import ExportError
from ...generator.particle import Particle
from ...generator.progress import Progress
from ..mesh import vtkhdf_file as vtu
from ..mesh.cohesive import SplitMesh, split
from ..mesh.msh_file import read_facts, read_msh, write_msh
from ..mesh.second_order import SecondOrderMesh, second_order
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.mesher import DEFAULT_SIZE_UM, volume_mesh
from ..solvers.folder import MARKER, write_for

Interfaces = Literal["bonded", "cohesive", "discontinuous"]
AnyMesh = VolumeMesh | SecondOrderMesh | SplitMesh


def particle_mesh(
    particle: Particle,
    *,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    order: int = 1,
    interfaces: Interfaces = "bonded",
    force: bool = False,
    mesh: VolumeMesh | None = None,
    progress: Progress | None = None,
) -> AnyMesh:
    """Certified mesh of a particle, in the form asked for.

    Parameters
    ----------
    order
        2 for mid-side nodes on the boundaries (`second_order`).
    interfaces
        "cohesive": split along the grain boundaries, with wedges; "discontinuous": without
        (`cohesive.split`).
    force
        Return a mesh that fails its certificate all the same.
    mesh
        The first-order mesh of these sizes, if it is at hand.

    Raises
    ------
    ExportError
        For options that do not go together, and what `volume_mesh` raises.
    """
    _require_options(order, interfaces)
    bonded = mesh or volume_mesh(particle, size_um, boundary_size_um, progress, force=force)
    if order == 2:
        return second_order(bonded, particle)
    if interfaces == "bonded":
        return bonded
    parted = split(bonded)
    return parted if interfaces == "cohesive" else parted.without_wedges()


def _require_options(order: int, interfaces: str) -> None:
    if order not in (1, 2):
        msg = f"order is {order}, expected 1 or 2"
        raise ExportError(msg)
    if interfaces not in get_args(Interfaces):
        msg = f"interfaces is {interfaces!r}, expected one of {list(get_args(Interfaces))}"
        raise ExportError(msg)
    if order == 2 and interfaces != "bonded":
        msg = (
            f"order 2 and {interfaces} interfaces do not go together: solvers have no "
            "second-order cohesive wedge; leave one of them out"
        )
        raise ExportError(msg)


def write(source: Particle | AnyMesh, path: str | Path, **options: Any) -> Path:
    """Write a mesh, or that of a particle (`particle_mesh`), as MSH 4.1 (`write_msh`)."""
    return write_msh(_mesh_of(source, options), path)


def write_vtkhdf(source: Particle | AnyMesh, path: str | Path, **options: Any) -> Path:
    """Write a mesh, or that of a particle (`particle_mesh`), as VTKHDF (`vtu`)."""
    return vtu.write(_mesh_of(source, options), path)


def write_solver(
    particle: Particle, folder: str | Path, *, unit: str | None = None, **options: Any
) -> Path:
    """Write mesh and decks for the solver that ``folder`` is named after (`write_for`)."""
    folder = Path(folder)
    mesh = _mesh_of(particle, options)
    wedges = (mesh.wedges, mesh.wedge_pairs) if isinstance(mesh, SplitMesh) else (None, None)
    write_for(
        mesh,
        folder,
        folder.name,
        orientations=particle.orientations,
        unit=unit,
        wedges=wedges[0],
        wedge_pairs=wedges[1],
    )
    return folder


def _mesh_of(source: Particle | AnyMesh, options: dict[str, Any]) -> AnyMesh:
    return particle_mesh(source, **options) if isinstance(source, Particle) else source


def read(path: str | Path) -> VolumeMesh:
    """Bonded first-order mesh of a file that `write` made; `cohesive.read` has split ones."""
    points, tets, grain_ids, facts = read_msh(path)
    return VolumeMesh(points, tets, grain_ids, facts["n_grains"], facts)


def summary(path: str | Path) -> dict[str, Any]:
    """How the mesh of a product was made, with its certificate: names and JSON values."""
    path = Path(path)
    if path.is_dir():
        facts: dict[str, Any] = json.loads((path / MARKER).read_text("utf-8"))["mesh"]
        return facts
    return read_facts(path) if path.suffix == ".msh" else dict(vtu.read(path).facts)
