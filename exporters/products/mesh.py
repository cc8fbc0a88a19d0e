"""The form of a mesh: its elements, their order, bonded or split along grain boundaries."""

from __future__ import annotations

from typing import Literal, get_args

from ...generator.errors import ExportError
from ...generator.particle import Particle
from ..mesh.cohesive import SplitMesh, split
from ..mesh.hex_mesh import HexMesh
from ..mesh.second_order import SecondOrderMesh, second_order
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.cut_body import planes_named
from ..meshing.detail import FINE, require_detail

Boundaries = Literal["bonded", "cohesive", "discontinuous"]
Elements = Literal["tets", "hex"]
Mesh = VolumeMesh | SecondOrderMesh | SplitMesh | HexMesh


def formed(bonded: VolumeMesh, particle: Particle | None, order: int, boundaries: str) -> Mesh:
    """The mesh of second order, which takes its particle, or split, if asked for."""
    if order == 2 and particle is not None:
        return second_order(bonded, particle)
    if boundaries == "bonded":
        return bonded
    parted = split(bonded)
    return parted if boundaries == "cohesive" else parted.without_wedges()


def require_form(
    order: int,
    boundaries: str,
    elements: str = "tets",
    boundary_size_um: float | None = None,
    cut: str = "",
    detail: str | float = FINE,
    tets: int | None = None,
    surface_size_um: float | None = None,
) -> None:
    """Raise an ExportError for forms that there are not, or that do not go together."""
    if order not in (1, 2):
        msg = f"order is {order}, expected 1 or 2"
        raise ExportError(msg)
    for name, value, kinds in (
        ("boundaries", boundaries, Boundaries),
        ("elements", elements, Elements),
    ):
        if value not in get_args(kinds):
            msg = f"{name} is {value!r}, expected one of {list(get_args(kinds))}"
            raise ExportError(msg)
    if order == 2 and boundaries != "bonded":
        msg = (
            f"order 2 and {boundaries} boundaries do not go together: solvers have no "
            "second-order cohesive wedge; leave one of them out"
        )
        raise ExportError(msg)
    if planes_named(cut) and order == 2:
        msg = "order 2 and cut do not go together: cut meshes have straight edges; leave one out"
        raise ExportError(msg)
    require_detail(detail, tets, surface_size_um)
    if elements == "hex":
        _require_plain(order, boundaries, boundary_size_um, detail, tets, surface_size_um)


def _require_plain(
    order: int,
    boundaries: str,
    boundary_size_um: float | None,
    detail: str | float,
    tets: int | None,
    surface_size_um: float | None,
) -> None:
    """Raise an ExportError for what hexahedra, bonded cubes of first order, cannot have."""
    asked = {
        "order 2": order == 2,
        f"{boundaries} boundaries": boundaries != "bonded",
        "a size of its own at boundaries": boundary_size_um is not None,
        "a size of its own at the surface": surface_size_um is not None,
        f"detail {detail}": detail != FINE,
        "a number of tetrahedra": tets is not None,
    }
    for what, wanted in asked.items():
        if wanted:
            msg = (
                f"elements 'hex' and {what} do not go together: hexahedra are equal cubes that "
                "share their nodes; leave one of them out"
            )
            raise ExportError(msg)
