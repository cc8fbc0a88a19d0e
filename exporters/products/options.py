"""Options of products: one name, type, default and meaning for each, wherever it is given.

They are keywords in Python, keys of a dataset's configuration and, without their unit, flags
of the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SIZES = (
    "size_um",
    "boundary_size_um",
    "surface_size_um",
    "detail",
    "tets",
    "force",
)  # what a mesh of first order depends on
USUAL_SIZE_UM = 0.15  # that of meshes of usual detail
FORM = (*SIZES, "elements", "cut", "order", "boundaries")


@dataclass(frozen=True)
class Option:
    """An option of some products."""

    kind: type
    default: Any
    meaning: str


OPTIONS = {
    "pitch_um": Option(float, 0.1, "edge of a voxel, um"),
    "size_um": Option(
        float,
        None,
        "length of edges inside grains, edge of the hexahedra, um; 0.15 if left out, in coarse "
        "meshes as long as the grains allow",
    ),
    "sizes_um": Option(list, [], "lengths of edges of several meshes, um"),
    "boundary_size_um": Option(
        float, None, "length of edges at grain boundaries, um; as size_um if left out"
    ),
    "surface_size_um": Option(
        float,
        None,
        "length of edges at the outer surface, um, below it longer by half the depth; as in grains "
        "if left out",
    ),
    "detail": Option(str, "fine", "fine, medium or coarse, or edges per radius of a grain"),
    "tets": Option(int, None, "number of tetrahedra, within a tenth; sets the detail"),
    "elements": Option(
        str, "tets", "tets; hex: a cube for each voxel of edge size_um, surfaces are staircases"
    ),
    "cut": Option(
        str, "", "only where these coordinates are positive: x, or x,y; symmetric faces are tagged"
    ),
    "order": Option(int, 1, "1, or 2 for ten-node tetrahedra"),
    "boundaries": Option(
        str,
        "bonded",
        "bonded; cohesive: split along grain boundaries, with wedges; discontinuous: without",
    ),
    "unit": Option(str, None, "unit of length of solver decks, um or m; the solver's if left out"),
    "surface_format": Option(str, "ply", "closed surfaces as ply, stl or glb"),
    "force": Option(bool, False, "write a mesh although it fails its certificate"),
}


def with_usual_size(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a product with the size of a mesh that is neither coarse nor of a number."""
    usual = {"size_um": None, "detail": OPTIONS["detail"].default, "tets": None}
    if all(options.get(name, ...) == value for name, value in usual.items()):
        return {**options, "size_um": USUAL_SIZE_UM}
    return dict(options)


def defaults(names: Iterable[str]) -> dict[str, Any]:
    """Options with their default values."""
    return {name: OPTIONS[name].default for name in names}
