"""Symmetric faces of a cut mesh: how large they are, and how large the section is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..mesh.any_mesh import AXES, symmetry_of

if TYPE_CHECKING:
    from ..mesh.any_mesh import AnyMesh


@dataclass(frozen=True)
class SymmetricFace:
    """The facets on a plane that a mesh was cut along.

    Parameters
    ----------
    section_um2
        Area that the plane cuts the body in, by squares of half a pixel; None of voxels as given,
        where it is that of the facets.
    """

    name: str
    n_facets: int
    area_um2: float
    section_um2: float | None


def symmetric_faces(mesh: AnyMesh, body: object) -> tuple[SymmetricFace, ...]:
    """Symmetric faces of a mesh of ``body``; none of a whole one."""
    section = getattr(body, "section_um2", lambda axis: None)
    return tuple(
        SymmetricFace(name, len(facets), area(mesh.points, facets), section(AXES.index(name[-1])))
        for name, facets in symmetry_of(mesh).items()
    )


def area(points: NDArray[np.float64], facets: NDArray[np.int64]) -> float:
    """Area of flat triangles (k, 3) or quadrilaterals (k, 4)."""
    corners = points[facets]
    others = corners[:, 3 % corners.shape[1]] - corners[:, 1]
    vectors = np.cross(corners[:, 2] - corners[:, 0], others) / 2
    return float(np.linalg.norm(vectors, axis=1).sum())


def face_lines(faces: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a certificate says about them, a line each."""
    for face in faces:
        section = "" if face["section_um2"] is None else f", the section {face['section_um2']:.4g}"
        yield (
            f"{face['name']:<18} {face['n_facets']:,} facets, {face['area_um2']:.4g} um^2{section}"
        )
