"""Where the c-axes of the grains of a section point: to the radius, the normal, the long axis.

The radius of a grain is the direction from the particle's centre to the centre of the grain's
pixels. In a section through the centre it lies in the plane, and its angle with the c-axis, which
is measured in space, is exact. In a plane at a height h from the centre it is inclined by
atan(h / distance in the plane): with the height the angle is exact again, without it is not known.

Models of orientations follow the radius of the grain's *seed*, which a section does not show. The
two differ the more, the wider a grain is seen from the centre; `orientation_fit` allows for it.

The rim of a particle cuts the shapes of grains, not their crystals: the c-axis of every grain
counts, and its angle with the long axis that of whole grains with enough pixels for one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...markers.orientations import c_axes
from .descriptors import grain_moments, long_axes, section_descriptors
from .section import Section

LEAST_DISTANCE = (
    3.0  # from the centre, in standard deviations of a grain's pixels across the radius
)
SECTORS = 180  # in which the distance of the rim is looked up

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CrystalAxes:
    """C-axes of the grains of a section; row i is the grain with label i + 1.

    Vectors have the components x along columns, y along rows and z along the map's normal, which
    points into the map.

    Parameters
    ----------
    source
        Name of the section.
    c_axes
        (n, 3) float, unit vectors; their sense has no meaning.
    places_um
        (n, 3) float, centres of the grains, from that of the particle, um; z is the height.
    across_um
        (n,) float, standard deviation of a grain's pixels across its radius, in the plane, um.
    rim_um
        (n,) float, distance of the section's rim in the direction of the grain, in the plane, um.
    long_axes
        (n, 3) float, unit vectors along the longest axis of whole grains, NaN for others.
    """

    source: str
    c_axes: Floats
    places_um: Floats
    across_um: Floats
    rim_um: Floats
    long_axes: Floats

    def __len__(self) -> int:
        """Number of grains."""
        return len(self.c_axes)

    def at_height(self, height_um: float) -> CrystalAxes:
        """Copy for a plane at another height."""
        places = self.places_um.copy()
        places[:, 2] = height_um
        return replace(self, places_um=places)

    @property
    def distances_um(self) -> Floats:
        """(n,) from the centre of the particle."""
        distances: Floats = np.linalg.norm(self.places_um, axis=1)
        return distances

    @property
    def has_radius(self) -> NDArray[np.bool_]:
        """(n,) bool, whether the grain is so far from the centre, in the plane, that it has one."""
        in_plane = np.linalg.norm(self.places_um[:, :2], axis=1)
        return in_plane > LEAST_DISTANCE * self.across_um

    @property
    def relative_radii(self) -> Floats:
        """(n,) distances over that of the surface in the same direction, of a round particle."""
        height = self.places_um[:, 2]
        relative: Floats = self.distances_um / np.hypot(self.rim_um, height)
        return relative

    @property
    def to_radius_deg(self) -> Floats:
        """(n,) angles in [0, 90] between c-axis and radius; NaN without a radius."""
        angles = _angles_deg(self.c_axes, self.places_um)
        angles[~self.has_radius] = np.nan
        return angles

    @property
    def to_normal_deg(self) -> Floats:
        """(n,) angles in [0, 90] between c-axis and the normal of the plane."""
        return _angles_deg(self.c_axes, np.tile([0.0, 0.0, 1.0], (len(self), 1)))

    @property
    def to_long_axis_deg(self) -> Floats:
        """(n,) angles in [0, 90] between c-axis and the grain's longest axis; NaN without one."""
        return _angles_deg(self.c_axes, self.long_axes)


def crystal_axes(section: Section, height_um: float = 0.0) -> CrystalAxes:
    """C-axes of a section with orientations.

    Parameters
    ----------
    height_um
        Of the plane, from the centre of the particle along z of the map, um.

    Raises
    ------
    FitError
        If the section was measured without orientations.
    """
    if section.orientations is None:
        msg = (
            f"{section.source} has no crystal orientations, expected those of its grains: an image "
            "of labels has none, read the EBSD map (.ctf, .ang, .h5oina)"
        )
        raise FitError(msg)
    mean, covariance = grain_moments(section.labels, section.pixel_counts)
    yy, xx, xy = covariance.T
    y, x = (mean - np.array(section.centre)).T
    distance = np.hypot(y, x)
    across = (yy * x**2 + xx * y**2 - 2 * xy * x * y) / np.maximum(distance, 1e-9) ** 2
    pixel = section.pixel_um
    return CrystalAxes(
        source=section.source,
        c_axes=c_axes(section.orientations),
        places_um=np.column_stack([pixel * x, pixel * y, np.full(len(x), height_um)]),
        across_um=pixel * np.sqrt(np.maximum(across, 0.0)),
        rim_um=pixel * _rim(section, np.arctan2(y, x)),
        long_axes=_long_axes(section, covariance),
    )


def _long_axes(section: Section, covariance: Floats) -> Floats:
    """(n, 3) unit vectors in the plane; NaN for grains that are cut or too small."""
    angle, _ = long_axes(covariance)
    found = np.column_stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])
    found[~section_descriptors(section).oriented] = np.nan
    return found


def _rim(section: Section, angles: Floats) -> Floats:
    """Distance of the rim in directions (n,), pixels: of the farthest pixel in a sector."""
    y, x = (np.argwhere(section.inside) - np.array(section.centre)).T
    farthest = np.zeros(SECTORS)
    np.maximum.at(farthest, _sector(np.arctan2(y, x)), np.hypot(y, x) + 0.5)
    known = np.flatnonzero(farthest)
    rim: Floats = np.interp(_sector(angles), known, farthest[known], period=SECTORS)
    return rim


def _sector(angles: Floats) -> NDArray[np.int64]:
    return np.floor((angles / (2 * np.pi) % 1.0) * SECTORS).astype(np.int64) % SECTORS


def _angles_deg(first: Floats, second: Floats) -> Floats:
    """Angles (n,) in [0, 90] between lines, of any lengths but 0."""
    along = np.abs(np.einsum("ij,ij->i", first, second))
    angles: Floats = np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second), axis=1), along))
    return angles
