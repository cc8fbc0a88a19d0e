"""The product ``mesh.msh``: a particle's tetrahedra, of first or second order, bonded or split."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from ..generator.errors import ExportError
from ..generator.particle import Particle
from . import Progress
from .cohesive import SplitMesh, split
from .mesher import DEFAULT_SIZE_UM, volume_mesh
from .msh_file import read_facts, read_msh, write_msh
from .second_order import SecondOrderMesh, second_order
from .volume_mesh import VolumeMesh

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

    Raises
    ------
    ExportError
        For options that do not go together, and what `volume_mesh` raises.
    """
    _require_options(order, interfaces)
    mesh = volume_mesh(particle, size_um, boundary_size_um, progress, force=force)
    if order == 2:
        return second_order(mesh, particle)
    if interfaces == "bonded":
        return mesh
    parted = split(mesh)
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


def write(
    source: Particle | AnyMesh,
    path: str | Path,
    *,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    order: int = 1,
    interfaces: Interfaces = "bonded",
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the mesh of a particle, or a mesh that is there, as MSH 4.1 (`write_msh`)."""
    mesh = source
    if isinstance(mesh, Particle):
        mesh = particle_mesh(
            mesh,
            size_um=size_um,
            boundary_size_um=boundary_size_um,
            order=order,
            interfaces=interfaces,
            force=force,
            progress=progress,
        )
    return write_msh(mesh, path)


def read(path: str | Path) -> VolumeMesh:
    """Bonded first-order mesh of a file that `write` made; `cohesive.read` has split ones."""
    points, tets, grain_ids, facts = read_msh(path)
    return VolumeMesh(points, tets, grain_ids, facts["n_grains"], facts)


def summary(path: str | Path) -> dict[str, Any]:
    """How the mesh of a file was made, with its certificate: names and JSON values."""
    return read_facts(path)
