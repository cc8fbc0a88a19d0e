"""First points at which the parallel rays of a picture meet a particle, cut open or whole.

The shell is the star-shaped surface g(x) = |x| - X(x/|x|) = 0. Every pixel sends parallel
rays; the first point of a ray inside the shell is found by sphere tracing with a proven
step and then by bracketing (`first_entry`). What a wedge cuts away is taken off by the
interval in which a ray crosses it (`cut_open`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

if TYPE_CHECKING:
    from ..shell.shell import Shell

Floats = NDArray[np.float64]
Vector = tuple[float, float, float]
Wedge = tuple[Vector, ...]

QUARTER: Wedge = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
HALF: Wedge = ((1.0, 0.0, 0.0),)
OCTANT: Wedge = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

RIM = 1.06
MARCH_FRACTION = 0.25  # shortest step of the ray march, pixels
REFINEMENTS = 6


@dataclass(frozen=True)
class Camera:
    """Orthographic camera.

    Parameters
    ----------
    position
        Direction (x, y, z) from the particle to the camera, any length.
    half_width_um
        Half of the edge of the square picture, um.
    pixels
        Number of pixels per edge.
    up
        Direction that points up in the picture, not parallel to ``position``.
    centre
        Place (right, up) of the middle of the picture relative to the origin, um.
    """

    position: Vector
    half_width_um: float
    pixels: int
    up: Vector = (0.0, 0.0, 1.0)
    centre: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def framing(cls, shell: Shell, position: Vector, pixels: int) -> Camera:
        """Camera whose picture holds the whole shell, with a rim of about 6 %."""
        right, up, _ = cls(position, 1.0, pixels).frame @ surface_points(shell).T
        middle = (float(right.max() + right.min()) / 2, float(up.max() + up.min()) / 2)
        half_width = RIM * float(max(np.ptp(right), np.ptp(up))) / 2
        return cls(position, half_width, pixels, centre=middle)

    @property
    def pixel_um(self) -> float:
        """Edge of a pixel, um."""
        return 2 * self.half_width_um / self.pixels

    @property
    def frame(self) -> Floats:
        """Rows right, up and towards the camera, (3, 3) float, orthonormal."""
        back = unit(np.array(self.position, dtype=np.float64))
        right = unit(np.cross(np.array(self.up, dtype=np.float64), back))
        return np.stack([right, np.cross(back, right), back])

    def origins(self, offset: tuple[float, float]) -> Floats:
        """Start points of the rays in the plane through the origin, (pixels**2, 3) float, um.

        Row by row from the upper left corner, at ``offset`` (right, down) inside each pixel.
        """
        steps = np.arange(self.pixels)
        across = self.centre[0] + (steps + offset[0]) * self.pixel_um - self.half_width_um
        along = self.centre[1] - (steps + offset[1]) * self.pixel_um + self.half_width_um
        right, up, _ = self.frame
        points: Floats = (across[:, None] * right + (along[:, None] * up)[:, None]).reshape(-1, 3)
        return points


@dataclass(frozen=True, eq=False)
class Hits:
    """Points at which the rays of a picture first meet the particle.

    Parameters
    ----------
    rays
        (n,) int, index of the ray.
    points
        (n, 3) float, um.
    normals
        (n, 3) float, unit vectors out of the particle.
    on_cut
        (n,) bool, true on a cut face, false on the shell.
    """

    rays: NDArray[np.int64]
    points: Floats
    normals: Floats
    on_cut: NDArray[np.bool_]


def shell_entries(
    shell: Shell, camera: Camera, offset: tuple[float, float], nearby: Floats | None = None
) -> Floats:
    """Distances at which the rays of a camera enter the shell, um, (pixels**2,) float.

    Infinite for a ray that never does.

    Parameters
    ----------
    shell
        The outer shell.
    camera
        Where the rays start and go.
    offset
        Place (right, down) of the rays inside their pixels.
    nearby
        Result for another place in the pixels. Where a pixel and its eight neighbours
        hit the shell, the search begins at the nearest of those hits; where none of
        them does, there is no search.
    """
    start = None
    if nearby is not None:
        square = nearby.reshape(camera.pixels, camera.pixels)
        nearest, farthest = minimum_filter(square, 3), maximum_filter(square, 3)
        start = np.where((farthest < np.inf) | (nearest == np.inf), nearest, -np.inf).ravel()
    resolution = MARCH_FRACTION * camera.pixel_um
    return first_entry(shell, camera.origins(offset), -camera.frame[2], resolution, start)


def cut_open(
    shell: Shell, camera: Camera, offset: tuple[float, float], entries: Floats, planes: Floats
) -> Hits:
    """First points of the rays in the shell without the wedge that is cut out.

    The wedge { x : n_k . x > 0 for all k } is convex, so that a ray crosses it in one
    interval: a ray that enters the shell inside the wedge meets the particle where it
    leaves the wedge, if that is inside the shell, or where it enters the shell after that.

    Parameters
    ----------
    shell
        The outer shell.
    camera, offset
        Where the rays start and go.
    entries
        `shell_entries` of the whole shell.
    planes
        (k, 3) float, unit normals n_k; k = 0 cuts nothing.
    """
    origins, direction = camera.origins(offset), -camera.frame[2]
    enter, leave, face = _wedge_interval(planes, origins, direction)
    removed = np.flatnonzero((entries > enter) & (entries < leave))
    depth, on_cut = entries.copy(), np.zeros(len(origins), dtype=bool)
    depth[removed] = leave[removed]
    removed = removed[np.isfinite(leave[removed])]
    on_cut[removed] = shell.contains(origins[removed] + leave[removed, None] * direction)
    beyond = removed[~on_cut[removed]]
    resolution = MARCH_FRACTION * camera.pixel_um
    depth[beyond] = first_entry(shell, origins[beyond], direction, resolution, leave[beyond])
    rays = np.flatnonzero(np.isfinite(depth))
    points, cut = origins[rays] + depth[rays, None] * direction, on_cut[rays]
    normals = np.empty_like(points)
    normals[cut] = planes[face[rays[cut]]]
    normals[~cut] = shell.normal(points[~cut])
    return Hits(rays, points, normals, cut)


def first_entry(
    shell: Shell,
    origins: Floats,
    direction: Floats,
    resolution: float,
    start: Floats | None = None,
) -> Floats:
    r"""Distance along each ray to its first point inside the shell, um; inf if there is none.

    Sphere tracing: with G a bound of the surface gradient of X and g = |x| - X(x/|x|) > 0,
    the open ball of radius

    .. math:: g \, / \, \sqrt{1 + (G / X)^2}

    round x holds no point of the shell, because |y| >= |x| - g = X in that ball and
    :math:`|\nabla g|^2 = 1 + (|\nabla_{S^2} X| / |y|)^2`. The ray moves on by that radius,
    but at least by ``resolution``; where g changes its sign, the crossing is bracketed and
    refined.

    Parameters
    ----------
    shell
        The outer shell.
    origins
        (n, 3) float, um; the origin of a ray may lie anywhere on its line.
    direction
        (3,) float, unit vector common to all rays.
    resolution
        Shortest step, um. A chord shorter than that can be missed (at the silhouette).
    start
        (n,) float, distances at which the search starts; by default, and for a ray that
        is inside the shell there, outside the ball that holds the shell.

    Returns
    -------
    (n,) float
        Distances of points inside the shell or on it.
    """
    closest = -(origins @ direction)
    miss2 = np.einsum("ij,ij->i", origins, origins) - closest**2  # squared distance of the line
    half2 = shell.radius_bounds[1] ** 2 - miss2
    half = np.sqrt(np.maximum(half2, 0.0))
    distance, leave = closest - half, np.where(half2 > 0, closest + half, -np.inf)
    if start is not None:
        fits = (start > distance) & (start < leave)
        fits[fits] = ~shell.contains(origins[fits] + start[fits, None] * direction)
        distance = np.where(fits | (start >= leave), start, distance)
    steepness2 = shell.gradient_bound**2
    before, height_before = distance.copy(), np.ones_like(distance)
    height = np.full_like(distance, np.inf)
    active = np.flatnonzero(distance < leave)
    while active.size:
        t = distance[active]
        radius = shell.radius(origins[active] + t[:, None] * direction)
        g = np.sqrt(miss2[active] + (t - closest[active]) ** 2) - radius
        height[active] = g
        t, g, radius, active = (part[g > 0] for part in (t, g, radius, active))
        before[active], height_before[active] = t, g
        distance[active] = t + np.maximum(g / np.sqrt(1 + steepness2 / radius**2), resolution)
        active = active[distance[active] < leave[active]]
    entries = np.full(len(origins), np.inf)
    hit = np.flatnonzero(height <= 0)
    entries[hit] = _refine(
        shell, origins[hit], direction,
        (before[hit], height_before[hit]), (distance[hit], height[hit]),
    )  # fmt: skip
    return entries


def _refine(
    shell: Shell,
    origins: Floats,
    direction: Floats,
    outside: tuple[Floats, Floats],
    inside: tuple[Floats, Floats],
) -> Floats:
    """Crossings of the shell between a distance outside and one inside, with g at both.

    Regula falsi with the Illinois rule: always bracketed, and the bracket is so short that
    g is nearly linear on it. The end inside is returned.
    """
    (a, ga), (b, gb) = outside, inside
    last = np.zeros(len(a))
    for _ in range(REFINEMENTS):
        c = b - gb * (b - a) / (gb - ga)
        gc = -shell.depth(origins + c[:, None] * direction)
        side = np.where(gc > 0, 1.0, -1.0)
        repeated = side == last
        ga = np.where(gc > 0, gc, np.where(repeated, 0.5 * ga, ga))
        gb = np.where(gc > 0, np.where(repeated, 0.5 * gb, gb), gc)
        a, b, last = np.where(gc > 0, c, a), np.where(gc > 0, b, c), side
    return b


def _wedge_interval(
    planes: Floats, origins: Floats, direction: Floats
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Distances at which the rays enter and leave the wedge, and the plane they leave through."""
    n = len(origins)
    enter, leave = np.full(n, -np.inf), np.full(n, np.inf if len(planes) else -np.inf)
    face = np.zeros(n, dtype=np.int64)
    for k, normal in enumerate(planes):
        height, slope = origins @ normal, float(direction @ normal)
        if slope == 0.0:
            leave[height <= 0] = -np.inf
        elif slope > 0:
            enter = np.maximum(enter, -height / slope)
        else:
            face[-height / slope < leave] = k
            leave = np.minimum(leave, -height / slope)
    return enter, leave, face


def surface_points(shell: Shell) -> Floats:
    """Points spread over the shell, (n, 3) float, um."""
    directions = _fibonacci_sphere(4000)
    points: Floats = directions * shell.radius(directions)[:, None]
    return points


def _fibonacci_sphere(n: int) -> Floats:
    """Evenly spread unit vectors, (n, 3) float."""
    height = 1 - (2 * np.arange(n) + 1) / n
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)


def unit(vectors: Floats) -> Floats:
    """Vectors divided by their length."""
    unit_vectors: Floats = vectors / np.sqrt(np.einsum("...i,...i", vectors, vectors))[..., None]
    return unit_vectors
