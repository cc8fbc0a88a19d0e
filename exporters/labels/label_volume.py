"""Labelled voxels as a body that can be meshed.

Labels are grain ids; 0, and all beyond the array, is outside. Boundaries are smooth surfaces
through the staircase of the voxels (`material_field`): they lie within a voxel of it, edges
and corners are rounded by half a voxel or so. Weights (`balance`) let small and thin grains
keep the volume of their voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from ...generator.errors import ExportError
from ...generator.machine import available_memory
from ...generator.particle import OUTSIDE
from ...generator.voxels.grid import LARGEST_UM, Grid
from ..mesh.material_field import MaterialField, voxel_field, voxel_labels_at

MAX_ID = 1_000_000
MEMORY_SHARE = 0.5
BYTES_PER_VOXEL = 40  # labels, pieces, distances from boundaries
THIN_FACTOR = 0.72  # on the shortest edge in grains thinner than two voxels
TINY_FACTOR = 0.5  # and in those of at most
TINY = 2  # voxels
COVERING = 0.56  # of its step: distance of a point from the nearest one of a body-centred lattice
SIDES = (("-z", "+z"), ("-y", "+y"), ("-x", "+x"))


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """Labelled voxels: a `Body`.

    Parameters
    ----------
    labels : (nz, ny, nx) int32
        Grain ids >= 0; 0 is outside. An id may be missing.
    pitch_um
        Edge of a voxel, um.
    corner_um
        Lower corner (x, y, z) of the first voxel, um.
    weights : (n_grains + 1,) float, optional
        Of the indicators of the labels (`balance.balanced_weights`); 1 if left out.

    Raises
    ------
    ExportError
        For labels that are no ids, none inside, or a pitch that is no length.
    """

    labels: NDArray[np.int32]
    pitch_um: float
    corner_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        labels = np.array(grain_ids(self.labels), np.int32, order="C")  # our own copy
        labels.flags.writeable = False
        if not 0 < self.pitch_um <= LARGEST_UM:
            msg = (
                f"the pitch is {self.pitch_um}, expected the edge of a voxel in um, at most "
                f"{LARGEST_UM:g}"
            )
            raise ExportError(msg)
        if not np.isfinite(self.corner_um).all():
            msg = f"the first voxel lies at {self.corner_um} um, expected finite numbers"
            raise ExportError(msg)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "corner_um", tuple(float(c) for c in self.corner_um))

    @property
    def n_grains(self) -> int:
        """The largest id."""
        return int(self.labels.max())

    @property
    def pixel_um(self) -> float:
        """The pitch."""
        return self.pitch_um

    @cached_property
    def radius_um(self) -> float:
        """Radius of a ball about the origin that holds all labelled voxels."""
        z, y, x = (self._axis(axis) ** 2 for axis in range(3))
        plane = y[:, None] + x[None, :]
        layers = zip(z, self.labels, strict=True)
        farthest = max(h + plane[layer != OUTSIDE].max(initial=-np.inf) for h, layer in layers)
        return float(np.sqrt(farthest) + self.pitch_um * np.sqrt(3) / 2)

    def _axis(self, axis: int) -> NDArray[np.float64]:
        """Coordinates of voxel centres along an axis of the array."""
        numbers = np.arange(self.labels.shape[axis], dtype=np.float64)
        return self.corner_um[2 - axis] + self.pitch_um * (numbers + 0.5)

    @cached_property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of the voxels of each grain, (n_grains + 1,), um^3; 0 in row 0."""
        counts = np.zeros(self.n_grains + 1)
        for layer in self.labels:
            counts += np.bincount(layer.ravel(), minlength=len(counts))
        volumes: NDArray[np.float64] = counts * self.pitch_um**3
        volumes[OUTSIDE] = 0.0
        return volumes

    @property
    def volume_um3(self) -> float:
        """Volume of all labelled voxels."""
        return float(np.count_nonzero(self.labels)) * self.pitch_um**3

    @cached_property
    def field(self) -> MaterialField:
        """Smooth boundaries."""
        weights = np.ones(self.n_grains + 1) if self.weights is None else self.weights
        return voxel_field(self.labels, self.corner_um, self.pitch_um, weights)

    @property
    def keeps_pieces(self) -> bool:
        """True: voxels that touch in an edge are one grain, in a mesh they may lie apart."""
        return True

    @cached_property
    def thin_grains(self) -> NDArray[np.bool_]:
        """Whether each label is there and holds no cube of two voxels, (n_grains + 1,)."""
        thin = self.grain_volumes > 0
        cubes = sliding_window_view(self.labels, (2, 2, 2)) if min(self.labels.shape) > 1 else ()
        for layer in cubes:
            rows = layer.reshape(*layer.shape[:2], 8)
            thin[rows[(rows == rows[..., :1]).all(axis=-1), 0]] = False
        return thin

    @cached_property
    def thin_places(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Centres (k, 3) of the voxels of thin labels, and the label of each, (k,)."""
        zyx = np.nonzero(self.thin_grains[self.labels])
        places = np.stack([self._axis(a)[zyx[a]] for a in (2, 1, 0)], axis=1)
        return places, self.labels[zyx]

    @property
    def edge_factors(self) -> NDArray[np.float64]:
        """Part of the usual shortest edge for each label, (n_grains + 1,): less for thin ones."""
        tiny = self.grain_volumes < (TINY + 0.5) * self.pitch_um**3
        thin = np.where(tiny, TINY_FACTOR, THIN_FACTOR)
        factors: NDArray[np.float64] = np.where(self.thin_grains, thin, 1.0)
        return factors

    def voxels_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Label of the voxel that holds each point (n, 3): (n,) int32, 0 beyond the array."""
        return _looked_up(self.labels, np.array(self.corner_um), self.pitch_um, points)

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Grain id at points (..., 3): (...,) int32, 0 outside; by the smooth boundaries."""
        rows = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        found: NDArray[np.int32] = voxel_labels_at(rows, self.field)
        return found.reshape(np.shape(points)[:-1])

    def reaches(self, points: NDArray[np.float64], step_um: float) -> NDArray[np.bool_]:
        """Whether points (n, 3) are nearer to a voxel than those of a lattice are to any point."""
        reach = max(0, math.ceil(COVERING * step_um / self.pitch_um - 0.5))
        near = ndimage.maximum_filter(np.pad(self.labels != OUTSIDE, reach), 2 * reach + 1)
        corner = np.subtract(self.corner_um, reach * self.pitch_um)
        return _looked_up(near, corner, self.pitch_um, points)

    def depths(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of points (n, 3) from the nearest voxel outside, um: (n,); 0 outside."""
        zyx = (np.asarray(points) - self.corner_um)[:, ::-1] / self.pitch_um + 0.5
        between = ndimage.map_coordinates(self._layers, zyx.T, order=1)
        return self.pitch_um * np.maximum(between - 0.5, 0.0)

    @cached_property
    def _layers(self) -> NDArray[np.float64]:
        """Voxels from the centre of each to that of the nearest outside, one more all around."""
        layers: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(self.labels, 1))
        return layers

    def voxel_labels(self, pitch_um: float) -> NDArray[np.int32]:
        """The voxels with a layer outside around them; at another pitch, samples."""
        if pitch_um == self.pitch_um:
            return np.pad(self.labels, 1)
        grid = Grid.around(self.radius_um, pitch_um)
        z, y, x = np.meshgrid(*(grid.axis(a) for a in ("z", "y", "x")), indexing="ij")
        return self.grain_at(np.stack([x, y, z], axis=-1))

    @property
    def cut_sides(self) -> list[str]:
        """Sides of the window at which the body reaches its border."""
        return [
            SIDES[axis][end]
            for axis in range(3)
            for end in (0, 1)
            if np.take(self.labels, -end, axis).any()
        ]

    def centred(self) -> LabelVolume:
        """The same cropped to the grains and moved so that their box is about the origin."""
        labels = self.labels[tuple(slice(*span) for span in self._spans)]
        nz, ny, nx = (-0.5 * self.pitch_um * n for n in labels.shape)
        return replace(self, labels=labels, corner_um=(nx, ny, nz))

    @property
    def centre_um(self) -> NDArray[np.float64]:
        """Centre (x, y, z) of the box of the grains, which `centred` moves to the origin."""
        middle = np.array([(first + end) / 2 for first, end in self._spans[::-1]])
        return np.array(self.corner_um) + middle * self.pitch_um

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        """First and one past the last layer with a grain along each axis of the array."""
        inside = self.labels != OUTSIDE
        rows = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        return [(int(found[0]), int(found[-1]) + 1) for found in rows]


def _looked_up(
    voxels: NDArray[Any], corner: NDArray[np.float64], pitch: float, points: NDArray[np.float64]
) -> NDArray[Any]:
    """Value of the voxel that holds each point (n, 3); 0 beyond the array."""
    zyx = np.floor((points - corner) / pitch).astype(np.int64)[:, ::-1]
    inside = ((zyx >= 0) & (zyx < voxels.shape)).all(axis=1)
    found = np.zeros(len(points), voxels.dtype)
    found[inside] = voxels[tuple(zyx[inside].T)]
    return found


def grain_ids(labels: NDArray[Any]) -> NDArray[Any]:
    """Return ``labels`` if they are ids of grains on a grid; else say what is wrong.

    Raises
    ------
    ExportError
        If they are not three-dimensional, no whole numbers from 0 to `MAX_ID`, or all 0.
    """
    array = np.asarray(labels)
    if array.ndim != 3:
        msg = f"the labels have shape {array.shape}, expected three axes z, y, x" + (
            "; take one channel or time" if array.ndim > 3 else ""
        )
        raise ExportError(msg)
    if array.dtype.kind == "f":
        raise ExportError(_about_floats(array))
    if array.dtype.kind not in "iub":
        msg = f"the labels are of type {array.dtype}, expected whole numbers: grain ids, 0 outside"
        raise ExportError(msg)
    if array.size == 0 or not array.any():
        msg = f"no voxel of {array.shape} has a label other than 0, the outside: nothing to mesh"
        raise ExportError(msg)
    low, high = int(array.min()), int(array.max())
    if low < 0:
        n = int(np.count_nonzero(array < 0))
        msg = f"{n} labels are negative, down to {low}; expected grain ids, 0 outside"
        raise ExportError(msg)
    if high > MAX_ID:
        msg = (
            f"the largest label is {high}, expected at most {MAX_ID}; number the grains from 1, "
            "for example by numpy.unique(labels, return_inverse=True)"
        )
        raise ExportError(msg)
    return array


def _about_floats(array: NDArray[Any]) -> str:
    unfit = int(np.count_nonzero(~np.isfinite(array)))
    if unfit:
        return f"{unfit} labels are no numbers (NaN or infinite); expected whole grain ids"
    if (array == np.rint(array)).all():
        return (
            f"the labels are whole numbers of type {array.dtype}, expected integers; convert "
            "them: labels.astype('int32')"
        )
    return (
        f"the labels are fractions (type {array.dtype}), expected whole grain ids: is this a "
        "grey image rather than a segmentation?"
    )


def require_memory(shape: tuple[int, ...]) -> None:
    """Refuse labels whose meshing would not fit, before they are read."""
    needed, available = float(np.prod(shape, dtype=float)) * BYTES_PER_VOXEL, available_memory()
    if needed > MEMORY_SHARE * available:
        msg = (
            f"labels of shape {shape} take about {needed / 1e9:.3g} GB of memory to mesh; "
            f"expected at most {MEMORY_SHARE:.0%} of the {available / 1e9:.3g} GB that are free "
            "here: crop them, or take every second voxel"
        )
        raise ExportError(msg)
