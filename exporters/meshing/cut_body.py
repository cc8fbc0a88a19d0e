"""Half, quarter and eighth bodies: what lies beyond planes through the origin is cut away.

While a mesh is made, what lies beyond a plane is a material of its own beside the body, with a
label above those of the grains. So the plane is a boundary like any other, and the line where it
meets the shell one where three materials meet. Beyond the first plane everything is of the first
such material; beyond the second plane only what is not beyond the first, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.particle import OUTSIDE
from ..mesh.any_mesh import AXES, CUT
from ..mesh.body import Body, ParticleBody
from ..mesh.material_field import MaterialField, with_planes


def planes_named(text: str) -> tuple[int, ...]:
    """Axes, ascending, of planes by their names: "x,z" is (0, 2), nothing none.

    Raises
    ------
    ExportError
        If they are not x, y, z or several of them.

    Examples
    --------
    >>> planes_named("z,x"), planes_named("")
    ((0, 2), ())
    """
    names = [name.strip() for name in text.split(",")] if text else []
    if len(set(names)) < len(names) or not set(names) <= set(AXES):
        msg = f"cut is {text!r}, expected x, y, z or several of them, as x,y"
        raise ExportError(msg)
    return tuple(sorted(AXES.index(name) for name in names))


@dataclass(frozen=True, eq=False)
class CutBody:
    """The part of a body where the coordinates ``axes`` are positive: a `Body`.

    Its grains are those of ``body``, then what lies beyond each plane.
    """

    body: Body
    axes: tuple[int, ...]

    @property
    def n_grains(self) -> int:
        """Number of grains, and of materials beyond planes."""
        return self.body.n_grains + len(self.axes)

    @property
    def radius_um(self) -> float:
        """Radius of a ball about the origin that holds the whole body."""
        return self.body.radius_um

    @property
    def pixel_um(self) -> float:
        """That of the whole body."""
        return self.body.pixel_um

    @property
    def keeps_pieces(self) -> bool:
        """That of the whole body."""
        return self.body.keeps_pieces

    @property
    def edge_factors(self) -> NDArray[np.float64]:
        """Those of the whole body; 1 beyond planes."""
        return np.concatenate([self.body.edge_factors, np.ones(len(self.axes))])

    @property
    def thin_places(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Those of the whole body that are left."""
        points, grains = self.body.thin_places
        left = (points[:, list(self.axes)] >= 0).all(axis=1)
        return points[left], grains[left]

    @property
    def field(self) -> MaterialField:
        """Boundaries of the whole body, and the planes."""
        return with_planes(self.body.field, self.body.n_grains, self.axes)

    @property
    def volume_um3(self) -> float:
        """Volume of what is left, by the same voxels."""
        return float(self.grain_volumes[: self.body.n_grains + 1].sum())

    @cached_property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of each material, (n_grains + 1,), um^3; 0 in row 0.

        In the voxels that the whole body counts; one that a plane halves is half on each side.
        """
        pitch = self.body.pixel_um / (2 if isinstance(self.body, ParticleBody) else 1)
        labels, volumes = self.body.voxel_labels(pitch), np.zeros(self.n_grains + 1)
        beyond = [_part_beyond(labels.shape, axis) for axis in self.axes]
        for k, layer in enumerate(labels):
            left = np.ones(layer.shape)  # halves, quarters: their sums are exact
            for label, part in enumerate(beyond, start=self.body.n_grains + 1):
                in_layer = part[min(k, len(part) - 1)]
                volumes[label] += (left * in_layer)[layer != OUTSIDE].sum()
                left *= 1 - in_layer
            volumes += np.bincount(layer.ravel(), left.ravel(), minlength=len(volumes))
        volumes[OUTSIDE] = 0.0
        return volumes * pitch**3

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Material at points (..., 3): (...,) int32, 0 outside."""
        found = self.body.grain_at(points).copy()
        return self._relabelled(found, [points[..., axis] < 0 for axis in self.axes])

    def reaches(self, points: NDArray[np.float64], step_um: float) -> NDArray[np.bool_]:
        """As the whole body."""
        return self.body.reaches(points, step_um)

    def depths(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """As in the whole body: planes are no part of the outer surface."""
        return self.body.depths(points)

    def voxel_labels(self, pitch_um: float) -> NDArray[np.int32]:
        """Materials on voxels (nz, ny, nx) of that edge; one that a plane halves is kept."""
        found = self.body.voxel_labels(pitch_um).copy()
        return self._relabelled(
            found, [_part_beyond(found.shape, axis) > 0.5 for axis in self.axes]
        )

    def _relabelled(
        self, labels: NDArray[np.int32], beyond: Sequence[NDArray[np.bool_]]
    ) -> NDArray[np.int32]:
        inside = labels != OUTSIDE
        for k in reversed(range(len(self.axes))):
            labels[inside & beyond[k]] = self.body.n_grains + 1 + k
        return labels

    def section_um2(self, axis: int) -> float:
        """Area that the plane across an axis cuts the body in, by squares of half a pixel."""
        pitch = self.body.pixel_um / 2
        n = int(np.ceil(self.body.radius_um / pitch)) + 1
        places = pitch * (np.arange(-n, n) + 0.5)
        points = np.zeros((2 * n, 2 * n, 3))
        others = [k for k in range(3) if k != axis]
        points[..., others[0]], points[..., others[1]] = places[:, None], places[None, :]
        labels = self.grain_at(points.reshape(-1, 3))
        kept = (labels != OUTSIDE) & (labels <= self.body.n_grains)
        return float(kept.sum()) * pitch**2


def _part_beyond(shape: tuple[int, ...], axis: int) -> NDArray[np.float64]:
    """Part of each layer of voxels about the origin where a coordinate is negative."""
    n = shape[2 - axis]
    part = np.clip(n / 2 - np.arange(n), 0.0, 1.0)
    return part.reshape([n if k == 2 - axis else 1 for k in range(3)])


def cut_body(body: Body, cut: str) -> Body:
    """The body, or the part of it beyond the planes named (`planes_named`)."""
    axes = planes_named(cut)
    return CutBody(body, axes) if axes else body


def cut_facts(body: Any) -> dict[str, Any]:
    """The fact about the planes of a cut body, about the origin; none of a whole one."""
    return {CUT: {AXES[axis]: 0.0 for axis in body.axes}} if isinstance(body, CutBody) else {}


def n_kept(body: Any) -> int:
    """Number of grains of a body; what lies beyond planes is none."""
    found: int = body.body.n_grains if isinstance(body, CutBody) else body.n_grains
    return found


def flattened(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    body: Body,
) -> tuple[NDArray[np.float64], float]:
    """Points with those that the kept grains share with what lies beyond a plane on the plane.

    Also the longest way that one went, um.
    """
    if not isinstance(body, CutBody):
        return points, 0.0
    points, farthest = points.copy(), 0.0
    inside = np.zeros(len(points), bool)
    inside[tets[(labels != OUTSIDE) & (labels <= body.body.n_grains)]] = True
    for label, axis in enumerate(body.axes, start=body.body.n_grains + 1):
        shared = np.zeros(len(points), bool)
        shared[tets[labels == label]] = True
        shared &= inside
        farthest = max(farthest, float(np.abs(points[shared, axis]).max(initial=0.0)))
        points[shared, axis] = 0.0
    return points, farthest
