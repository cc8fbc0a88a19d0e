"""Hexahedra of labelled voxels: a cube for each of them, or for each block of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.particle import OUTSIDE
from ..mesh.any_mesh import AXES, CUT
from ..mesh.hex_mesh import HexMesh
from ..meshing.cut_body import planes_named
from ..meshing.hex_mesher import certified_hexes, require_hex_size
from .label_volume import LabelVolume

EQUAL = 1e-6  # a size is a multiple of the pitch if it differs from one by less than this part


@dataclass(frozen=True, eq=False)
class GivenVoxels:
    """Labelled voxels as they were given, which hexahedra are compared with: a `Reference`."""

    volume: LabelVolume

    @property
    def n_grains(self) -> int:
        """The largest id."""
        return self.volume.n_grains

    @property
    def pixel_um(self) -> float:
        """The pitch."""
        return self.volume.pitch_um

    @property
    def volume_um3(self) -> float:
        """Volume of all labelled voxels."""
        return self.volume.volume_um3

    @property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of the voxels of each grain, (n_grains + 1,), um^3; 0 in row 0."""
        return self.volume.grain_volumes

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Label of the voxel at points (n, 3): (n,) int32; 0 beyond the array."""
        labels = self.volume.labels
        steps = np.floor((points - self.volume.corner_um) / self.volume.pitch_um)
        x, y, z = steps.astype(np.int64).T
        nz, ny, nx = labels.shape
        inside = (x >= 0) & (y >= 0) & (z >= 0) & (x < nx) & (y < ny) & (z < nz)
        found = np.full(len(points), OUTSIDE, np.int32)
        found[inside] = labels[z[inside], y[inside], x[inside]]
        return found


def hex_volume(
    volume: LabelVolume, size_um: float | None = None, *, cut: str = "", force: bool = False
) -> HexMesh:
    """Cubes of labelled voxels, in their coordinates, certified against the voxels as given.

    Parameters
    ----------
    size_um
        Edge of a cube, um, a multiple of the pitch; the pitch by default. A cube of several
        voxels is there if at least half of them are, with the commonest grain (`in_blocks`).
    cut
        Only the part beyond planes through the middle of the grains' box: "x", "x,y" and so on.
    force
        Return the mesh also if it fails its certificate.

    Raises
    ------
    ExportError
        If the size is no multiple of the pitch or too large, a plane would cut voxels, memory
        does not suffice, or the mesh fails its certificate.
    """
    size = volume.pitch_um if size_um is None else size_um
    require_hex_size(volume.volume_um3, size)
    step = round(size / volume.pitch_um)
    if step < 1 or abs(step * volume.pitch_um - size) > EQUAL * size:
        msg = (
            f"size_um is {size_um}, expected a multiple of the edge of a voxel, "
            f"{volume.pitch_um:g} um, as {max(step, 1) * volume.pitch_um:g}"
        )
        raise ExportError(msg)
    size = step * volume.pitch_um
    part, planes = _beyond(volume, planes_named(cut))
    labels = part.labels if step == 1 else in_blocks(part.labels, step)
    about = {"pitch_um": volume.pitch_um, "shape_zyx": list(volume.labels.shape)}
    facts = {"label_volume": about, **({CUT: planes} if planes else {})}
    return certified_hexes(labels, part.corner_um, size, GivenVoxels(part), facts, force=force)


def _beyond(volume: LabelVolume, axes: tuple[int, ...]) -> tuple[LabelVolume, dict[str, float]]:
    """The labels beyond the planes across some axes, and where these planes are, by name."""
    centre, planes = volume.centre_um.tolist(), {}
    labels, (x, y, z) = volume.labels, volume.corner_um
    corner = [x, y, z]
    for axis in axes:
        steps = (centre[axis] - corner[axis]) / volume.pitch_um
        first = round(steps)
        if abs(steps - first) > EQUAL:
            msg = (
                f"the plane across {AXES[axis]} through the middle of the grains goes through the "
                "middle of voxels, expected between them; leave a layer of voxels out"
            )
            raise ExportError(msg)
        labels = np.take(labels, range(first, labels.shape[2 - axis]), 2 - axis)
        corner[axis] += first * volume.pitch_um
        planes[AXES[axis]] = corner[axis]
    if not labels.any():
        msg = "no voxel is left beyond the planes; cut fewer of them"
        raise ExportError(msg)
    return LabelVolume(labels, volume.pitch_um, (corner[0], corner[1], corner[2])), planes


def in_blocks(labels: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """The commonest grain of each block of step^3 voxels, the lowest id of equally common ones.

    0 where more than half of the block is outside, as is all beyond the array.

    Examples
    --------
    >>> in_blocks(np.array([[[0, 0], [0, 0]], [[1, 2], [2, 3]]], np.int32), 2)
    array([[[2]]], dtype=int32)
    """
    padded = np.pad(labels, [(0, -n % step) for n in labels.shape])
    found: NDArray[np.int32] = _commonest(padded, step)
    return found


@njit(cache=True, nogil=True)
def _commonest(labels, step):  # type: ignore[no-untyped-def]
    nz, ny, nx = labels.shape[0] // step, labels.shape[1] // step, labels.shape[2] // step
    result = np.empty((nz, ny, nx), np.int32)
    for k in range(nz):
        for j in range(ny):
            for i in range(nx):
                block = labels[
                    k * step : (k + 1) * step, j * step : (j + 1) * step, i * step : (i + 1) * step
                ]
                ordered = np.sort(block.copy().ravel())
                n_outside = int(np.searchsorted(ordered, 1))
                best, most, start = np.int32(OUTSIDE), 0, n_outside
                for p in range(n_outside + 1, ordered.size + 1):
                    if p == ordered.size or ordered[p] != ordered[start]:
                        if p - start > most:
                            best, most = ordered[start], p - start
                        start = p
                result[k, j, i] = best if 2 * n_outside <= ordered.size else 0
    return result
