"""Plane cuts through a virtual particle: the map that a microscope would see of it.

**Axes of the map.** Columns run along u, rows along v, and u x v is the plane's normal: the
map is seen along its normal, as volumes (z, y, x) show their layers. u is the coordinate axis
that lies most nearly in the plane (x before y before z), projected onto it; for the normal z
columns run along x and rows along y, for y along x and -z, for x along y and z.

The middle pixel lies at the point of the plane that is nearest to the particle's centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...errors import FitError
from ...markers.orientations import multiply, tangents
from ...particle import Particle
from ...progress import Step
from ...streams import stream
from .phantom import AT_BOUNDARIES, FRAME, boundary_weights
from .reconstruction import ReconstructionSettings, pieces, renumbered
from .section import MISSING, OUTSIDE, Section

if TYPE_CHECKING:
    import xarray

MAX_PIXELS = 16_000_000
BLOCK = 262_144  # points that are asked for their grain at a time: 6 MB
KEY_STEP = 1e-6  # of normals and offsets (um) that have random numbers of their own
MOST_MISSING = 1 / AT_BOUNDARIES  # part, up to which no pixel is certain to be missing

Vector = tuple[float, float, float]
DEFAULTS = ReconstructionSettings()


@dataclass(frozen=True)
class Plane:
    """A plane: its normal, made a unit vector, and its distance from the particle's centre, um."""

    normal: Vector
    offset_um: float = 0.0

    def __post_init__(self) -> None:
        given = np.asarray(self.normal, np.float64)
        length = float(np.linalg.norm(given))
        if given.shape != (3,) or not (math.isfinite(length) and length > 0):
            msg = f"the normal is {self.normal}, expected three numbers x, y, z that are not all 0"
            raise FitError(msg)
        if not math.isfinite(self.offset_um):
            msg = f"the offset is {self.offset_um} um, expected a distance from the centre"
            raise FitError(msg)
        x, y, z = (float(value) for value in given / length)
        object.__setattr__(self, "normal", (x, y, z))

    @property
    def frame(self) -> NDArray[np.float64]:
        """(3, 3) rows u (along columns), v (along rows) and the normal, right-handed."""
        normal = np.array([self.normal])
        across, along = tangents(normal)
        return np.concatenate([along, -across, normal]) + 0.0  # no -0

    def turned(self, quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quaternions (n, 4), crystal to map, of those crystal to particle."""
        x, y, z, w = Rotation.from_matrix(self.frame).as_quat()
        return multiply(np.tile([w, x, y, z], (len(quaternions), 1)), quaternions)


@dataclass(frozen=True, eq=False, repr=False)
class PlaneCut:
    """Grains of a particle on square pixels of a plane.

    Parameters
    ----------
    grain_id
        (ny, nx) int32: ids of the particle's recipe; 0 outside, -1 missing.
    orientations
        (n_grains, 4) float, unit quaternions (w, x, y, z), crystal to map, row i that of the
        grain i + 1; None if the particle has none.
    plane
        Where the particle was cut.
    pixel_um
        Edge of a pixel, um.
    centre
        (y, x) of the point that is nearest to the particle's centre, pixels.
    source
        Name of the particle.
    """

    grain_id: NDArray[np.int32]
    orientations: NDArray[np.float64] | None
    plane: Plane
    pixel_um: float
    centre: tuple[float, float]
    source: str

    def __repr__(self) -> str:
        height, width = self.grain_id.shape
        x, y, z = self.plane.normal
        return (
            f"PlaneCut({self.source}, {self.n_grains} grains, {width} x {height} pixels of "
            f"{self.pixel_um:g} um, normal ({x:.3g}, {y:.3g}, {z:.3g}), "
            f"{self.plane.offset_um:g} um from the centre)"
        )

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(ny, nx) pixels of the particle, missing ones among them."""
        return self.grain_id != OUTSIDE

    @property
    def n_grains(self) -> int:
        """Number of grains that are seen."""
        return len(np.unique(self.grain_id[self.grain_id > 0]))

    @property
    def missing_part(self) -> float:
        """Part of the particle's pixels that are missing."""
        return float(np.count_nonzero(self.grain_id == MISSING) / np.count_nonzero(self.inside))

    def to_xarray(self) -> xarray.DataArray:
        """``grain_id`` (v, u) int32; u and v are distances from the middle pixel, um.

        The attributes have the plane: its normal and its distance from the particle's centre.
        """
        import xarray

        coordinates = {
            name: (name, self.pixel_um * (np.arange(n) - middle), {"units": "um"})
            for name, n, middle in zip("vu", self.grain_id.shape, self.centre, strict=True)
        }
        plane = {"normal": self.plane.normal, "offset_um": self.plane.offset_um}
        return xarray.DataArray(self.grain_id, coordinates, ("v", "u"), "grain_id", plane)

    def with_missing(self, part: float, rng: np.random.Generator) -> PlaneCut:
        """Copy in which ``part`` of the particle's pixels are missing, mostly at boundaries.

        As in sections of phantoms; no grain is lost for being small.
        """
        if not 0 <= part <= MOST_MISSING:
            msg = f"the missing part is {part}, expected 0 to {MOST_MISSING:.3g}; EBSD: about 0.03"
            raise FitError(msg)
        weights = boundary_weights(self.grain_id)
        chance = part * weights / weights[self.inside].mean()
        missing = self.inside & (rng.random(self.grain_id.shape) < chance)
        return replace(self, grain_id=np.where(missing, np.int32(MISSING), self.grain_id))

    def section(self, settings: ReconstructionSettings = DEFAULTS) -> Section:
        """The cut as fits take it, and as `section_files.read_section` reads it from an image.

        Pieces of a grain that do not hang together are grains of their own, those below
        ``settings.min_pixels`` are missing; the rest is numbered anew, 1 ... n.
        """
        labels = pieces(self.grain_id)
        kept = np.bincount(labels.ravel())[1:] >= settings.min_pixels
        if not kept.any():
            msg = (
                f"{self.source} shows no grain of {settings.min_pixels} pixels or more on this "
                "plane, expected many; choose smaller pixels or a smaller offset"
            )
            raise FitError(msg)
        labels = renumbered(labels, kept)
        labels[self.inside & (labels == 0)] = MISSING
        plane = self.plane
        remark = f"normal {plane.normal}, {plane.offset_um:g} um from the centre"
        steps = (Step("plane", int(kept.sum()), remark),)
        turned = self.orientations
        if turned is not None:
            first = np.unique(labels[labels > 0], return_index=True)[1]
            turned = turned[self.grain_id[labels > 0][first] - 1]
        return Section(labels, self.pixel_um, self.centre, self.source, steps, turned)


def plane_cut(particle: Particle, plane: Plane, pixel_um: float, missing: float = 0.0) -> PlaneCut:
    """Grains of ``particle`` on ``plane``, in a square that holds all of it.

    The pixels of which a part ``missing`` has no grain are the same whenever it is cut there.

    Raises
    ------
    FitError
        If the plane does not cut the particle, pixels are too large or too many, or the missing
        part is.
    """
    half = _half_width(particle, plane, pixel_um)
    axis = pixel_um * np.arange(-half, half + 1)
    u, v, normal = plane.frame
    ids = np.empty((len(axis), len(axis)), np.int32)
    step = max(1, BLOCK // len(axis))
    for start in range(0, len(axis), step):
        rows = slice(start, start + step)
        points = plane.offset_um * normal + axis[rows, None, None] * v + axis[:, None] * u
        ids[rows] = particle.grain_at(points)
    if not ids.any():
        raise FitError(_missed(particle, plane, f" on a pixel of {pixel_um:g} um"))
    q = particle.orientations
    turned = None if q is None else plane.turned(q)
    cut = PlaneCut(ids, turned, plane, pixel_um, (float(half), float(half)), particle.id)
    return cut.with_missing(missing, plane_stream(particle, plane)) if missing else cut


def particle_section(
    particle: Particle, normal: Vector, offset_um: float, pixel_um: float
) -> Section:
    """Section of a particle by a plane; `plane_cut` gives the ids of its recipe."""
    return plane_cut(particle, Plane(normal, offset_um), pixel_um).section()


def plane_stream(particle: Particle, plane: Plane) -> np.random.Generator:
    """Random numbers of a particle's plane: the same whenever it is cut there."""
    key = np.rint(np.array([*plane.normal, plane.offset_um]) / KEY_STEP).astype(np.int64)
    source = particle.provenance
    return stream(source.seed, source.index, "section", *(int(k) for k in key))


def _half_width(particle: Particle, plane: Plane, pixel_um: float) -> int:
    """Pixels from the middle of the map to its edge."""
    if not (math.isfinite(pixel_um) and 1e-4 <= pixel_um <= 100):
        msg = f"the edge of a pixel is {pixel_um} um, expected 0.0001 to 100"
        raise FitError(msg)
    radius = particle.shell.radius_bounds[1]
    if abs(plane.offset_um) >= radius:
        raise FitError(_missed(particle, plane, ""))
    reach = math.sqrt(radius**2 - plane.offset_um**2)
    half = math.ceil(reach / pixel_um) + FRAME
    if (2 * half + 1) ** 2 > MAX_PIXELS:
        finest = 2 * reach / (math.isqrt(MAX_PIXELS) - 2 * FRAME - 3)
        msg = (
            f"pixels of {pixel_um:g} um are {(2 * half + 1) ** 2:.3g}, expected at most "
            f"{MAX_PIXELS:.3g}; choose {finest:.2g} um or more"
        )
        raise FitError(msg)
    return half


def _missed(particle: Particle, plane: Plane, where: str) -> str:
    radius = particle.shell.radius_bounds[1]
    return (
        f"the plane at {plane.offset_um:g} um does not meet {particle.id}{where}, expected a "
        f"distance below that of its surface, which is at most {radius:.3g} um from the centre; "
        "choose a smaller offset"
    )
