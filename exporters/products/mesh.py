"""The mesh of a particle in the form asked for: its order, bonded or split along boundaries."""

from __future__ import annotations

from typing import Literal, get_args

from ...generator.errors import ExportError
from ...generator.particle import Particle
from ...generator.progress import Progress
from ..mesh.cohesive import SplitMesh, split
from ..mesh.second_order import SecondOrderMesh, second_order
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.mesher import DEFAULT_SIZE_UM, volume_mesh

Boundaries = Literal["bonded", "cohesive", "discontinuous"]
Mesh = VolumeMesh | SecondOrderMesh | SplitMesh


def particle_mesh(
    particle: Particle,
    *,
    size_um: float = DEFAULT_SIZE_UM,
    boundary_size_um: float | None = None,
    order: int = 1,
    boundaries: Boundaries = "bonded",
    force: bool = False,
    progress: Progress | None = None,
) -> Mesh:
    """Certified mesh of a particle, in the form asked for.

    Parameters
    ----------
    size_um, boundary_size_um
        Longest edges inside grains and at their boundaries.
    order
        2 for mid-side nodes on the boundaries (`second_order`).
    boundaries
        "cohesive": split along the grain boundaries, with wedges; "discontinuous": without
        (`cohesive.split`).
    force
        Return a mesh that fails its certificate all the same.

    Raises
    ------
    ExportError
        For options that do not go together, and what `volume_mesh` raises.
    """
    require_form(order, boundaries)
    bonded = volume_mesh(particle, size_um, boundary_size_um, progress, force=force)
    return formed(bonded, particle, order, boundaries)


def formed(bonded: VolumeMesh, particle: Particle | None, order: int, boundaries: str) -> Mesh:
    """The mesh of second order, which takes its particle, or split, if asked for."""
    if order == 2 and particle is not None:
        return second_order(bonded, particle)
    if boundaries == "bonded":
        return bonded
    parted = split(bonded)
    return parted if boundaries == "cohesive" else parted.without_wedges()


def require_form(order: int, boundaries: str) -> None:
    """Raise an ExportError for orders and boundaries that there are not, or not together."""
    if order not in (1, 2):
        msg = f"order is {order}, expected 1 or 2"
        raise ExportError(msg)
    if boundaries not in get_args(Boundaries):
        msg = f"boundaries is {boundaries!r}, expected one of {list(get_args(Boundaries))}"
        raise ExportError(msg)
    if order == 2 and boundaries != "bonded":
        msg = (
            f"order 2 and {boundaries} boundaries do not go together: solvers have no "
            "second-order cohesive wedge; leave one of them out"
        )
        raise ExportError(msg)
