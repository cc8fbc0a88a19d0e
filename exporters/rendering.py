"""Pictures of a particle, cast ray by ray from its recipe: no mesh, no voxel staircase.

The shell is the star-shaped surface g(x) = |x| - X(x/|x|) = 0. Every pixel sends parallel
rays; the first point of a ray inside the shell is found by sphere tracing with a proven
step and then by bracketing (`first_entry`). The grain at that point is asked of the
tessellation, so that a picture is as sharp at any magnification as the recipe itself.

What is geometry: the silhouette, the position and the normal of every point hit, the grain
it belongs to, the planes of a cut. What is *drawn* on top, like the ink of a map: the domes
of the grains and the grooves along their boundaries (a bump of the shading normal and a
darkening, no displacement), the grey tone of a grain, the light. Colours are a hash of
``grain_id``: the same grain has the same colour in every picture, section and resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from ..generator.spherical_harmonics import curvature_bound

if TYPE_CHECKING:
    from ..generator.particle import Particle
    from ..generator.shell import Shell

Floats = NDArray[np.float64]
Plane = Literal["xy", "xz", "yz"]
Vector = tuple[float, float, float]
Wedge = tuple[Vector, ...]

FRONT: Vector = (0.62, 0.70, 0.36)  # towards the camera
RIM = 1.06

QUARTER: Wedge = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
HALF: Wedge = ((1.0, 0.0, 0.0),)
OCTANT: Wedge = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

KEY_LIGHT = np.array([-0.55, 0.65, 0.62])  # right, up, towards the camera

# Four rays per pixel on a rotated square: no two share a row or a column.
SUBPIXELS = ((0.125, 0.625), (0.375, 0.125), (0.625, 0.875), (0.875, 0.375))

LINE = 0.018  # half width of a drawn boundary, mean grain lengths
MARCH_FRACTION = 0.25  # shortest step of the ray march, pixels
REFINEMENTS = 6
BLOCK = 2.5  # edge of the blocks that share a list of grains, mean grain lengths


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
        right, up, _ = cls(position, 1.0, pixels).frame @ _surface_points(shell).T
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
        back = _unit(np.array(self.position, dtype=np.float64))
        right = _unit(np.cross(np.array(self.up, dtype=np.float64), back))
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


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered image and its scale.

    Parameters
    ----------
    rgb
        (h, w, 3) uint8, sRGB, first row on top.
    pixel_um
        Edge of a pixel, um.
    """

    rgb: NDArray[np.uint8]
    pixel_um: float


def render_outside(particle: Particle, pixels: int = 800, position: Vector = FRONT) -> Picture:
    """Particle from outside in the grey tones of an electron micrograph.

    Parameters
    ----------
    particle
        What to draw; it is not changed.
    pixels
        Edge of the square picture.
    position
        Direction from the particle to the camera.
    """
    return render_views(particle, [()], pixels, position)[0]


def render_cut(
    particle: Particle,
    pixels: int = 800,
    removed: Wedge = QUARTER,
    position: Vector = FRONT,
) -> Picture:
    """Particle with a wedge cut out: the shell in grey, the grains on the cut in colours.

    Parameters
    ----------
    particle
        What to draw; it is not changed.
    pixels
        Edge of the square picture.
    removed
        Unit normals n_k of the cutting planes through the origin; the points with
        n_k . x > 0 for all k are taken away. ``HALF``, ``QUARTER`` and ``OCTANT`` are given.
    position
        Direction from the particle to the camera.
    """
    return render_views(particle, [removed], pixels, position)[0]


def render_section(particle: Particle, plane: Plane, pixels: int = 440) -> Picture:
    """Labels of a section through the origin: grains in their colours, boundaries as lines.

    All three sections of a particle have the same scale, and the origin in the middle.

    Parameters
    ----------
    particle
        What to draw; it is not changed.
    plane
        The first axis points right in the picture, the second one up.
    pixels
        Edge of the square picture.
    """
    half_width = RIM * float(np.abs(_surface_points(particle.shell)).max())
    right, up = (np.eye(3)["xyz".index(axis)] for axis in plane)
    back = np.cross(right, up)
    camera = Camera(tuple(back), half_width, pixels, tuple(up))
    light = np.zeros((pixels * pixels, 3))
    for offset in SUBPIXELS:
        points = camera.origins(offset)
        light += _shade_section(particle, points, (right, up), camera.pixel_um) / len(SUBPIXELS)
    return Picture(_encode(light).reshape(pixels, pixels, 3), camera.pixel_um)


def render_views(
    particle: Particle, cuts: Sequence[Wedge], pixels: int, position: Vector = FRONT
) -> list[Picture]:
    """Pictures of one particle, from one place, with different wedges cut out.

    As `render_cut` for each of ``cuts``, where ``()`` cuts nothing; the shell is traced once
    for all of them.
    """
    camera = Camera.framing(particle.shell, position, pixels)
    planes = [np.array(cut, dtype=np.float64).reshape(-1, 3) for cut in cuts]
    light, entries = np.zeros((len(cuts), pixels * pixels, 3)), None
    for offset in SUBPIXELS:
        entries = shell_entries(particle.shell, camera, offset, entries)
        for picture, removed in zip(light, planes, strict=True):
            hits = cut_open(particle.shell, camera, offset, entries, removed)
            layer = _background(camera)
            layer[hits.rays] = _shade(particle, hits, camera, removed)
            picture += layer / len(SUBPIXELS)
    shape = (pixels, pixels, 3)
    return [Picture(_encode(picture).reshape(shape), camera.pixel_um) for picture in light]


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
    steepness2 = steepness_bound(shell) ** 2
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


def steepness_bound(shell: Shell) -> float:
    """Proven bound of the surface gradient of X, um, closer than ``shell.gradient_bound``.

    The gradient is evaluated on a grid of directions; between them it changes by no more
    than their angular distance times the curvature bound.
    """
    cells = 100
    axis = (np.arange(cells) + 0.5) * (2 / cells) - 1
    u, v = (part.ravel() for part in np.meshgrid(axis, axis))
    face = np.stack([u, v, np.ones_like(u)], axis=1)
    faces = [sign * np.roll(face, k, axis=1) for k in range(3) for sign in (1, -1)]
    directions = _unit(np.concatenate(faces))
    cosine = np.einsum("ij,ij->i", shell.normal(directions), directions)
    gradient = shell.radius(directions) * np.sqrt(np.maximum(1 / cosine**2 - 1, 0.0))
    reach = 2**0.5 / cells  # half the diagonal of a cell on the cube that holds the sphere
    bound = float(gradient.max()) + reach * float(curvature_bound(shell.coefficients))
    return min(bound, float(shell.gradient_bound))


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


def boundary_distance(
    particle: Particle,
    points: Floats,
    grains: NDArray[np.int32],
    tangents: tuple[Floats, Floats],
) -> tuple[Floats, Floats]:
    """Distance to the nearest grain boundary within a surface, to first order, um.

    With f_i the score of the grain i at a point and f_j the second best, f_j - f_i vanishes
    on their boundary, so that (f_j - f_i) / |grad (f_j - f_i)| is the distance near it; the
    gradient is taken within the surface. The second best is looked for among the grains
    that own one of ``points`` nearby: others have no boundary there to be drawn.

    Parameters
    ----------
    particle
        Whose tessellation is asked; its shell is ignored.
    points
        (n, 3) float, um; dense, as the pixels of a picture are.
    grains
        (n,) int, ids of the grains at the points.
    tangents
        Two orthonormal directions in the surface, each (n, 3) or (3,) float.

    Returns
    -------
    distance : (n,) float
        um; inf where there is no second grain.
    away : (n, 2) float
        Unit vector, in the two tangents, that points away from the boundary.
    """
    distance, away = np.full(len(points), np.inf), np.zeros((len(points), 2))
    tessellation = particle.tessellation
    for chosen, rows in _neighbourhoods(points, grains, BLOCK * grain_length_um(particle)):
        if len(rows) < 2:
            continue
        local, here = tessellation.select(rows), points[chosen]
        index, scores = local.two_best(here)
        own, other = (local.score_gradients(here, index[:, k]) for k in (0, 1))
        slope = np.stack(
            [np.einsum("ij,ij->i", other - own, _rows(t, chosen)) for t in tangents], axis=1
        )
        steepness = np.hypot(*slope.T) + np.finfo(np.float64).tiny
        distance[chosen] = (scores[:, 1] - scores[:, 0]) / steepness
        away[chosen] = slope / steepness[:, None]
    return distance, away


def _rows(vectors: Floats, chosen: NDArray[np.intp]) -> Floats:
    """Rows of an array of vectors, or the one vector that stands for all."""
    return vectors[chosen] if vectors.ndim == 2 else vectors[None]


def _neighbourhoods(
    points: Floats, grains: NDArray[np.int32], edge: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Points of each occupied cubic block, and the grains of it and of the blocks around it.

    Yields indices into ``points`` and ascending rows of the grain table (ids less one).
    """
    blocks = np.floor((points - points.min(axis=0)) / edge).astype(np.int64)
    key = np.ravel_multi_index(tuple(blocks.T), tuple(blocks.max(axis=0) + 1))
    order = np.argsort(key, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
    owners = [np.unique(grains[group]) for group in groups]
    number = {tuple(blocks[group[0]].tolist()): k for k, group in enumerate(groups)}
    for (x, y, z), group in zip(number, groups, strict=True):
        around = product((x - 1, x, x + 1), (y - 1, y, y + 1), (z - 1, z, z + 1))
        near = [owners[number[block]] for block in around if block in number]
        yield group, np.unique(np.concatenate(near)).astype(np.intp) - 1


def grain_length_um(particle: Particle) -> float:
    """Edge of a cube of the mean grain volume, um: the scale of drawn domes and grooves."""
    return float((particle.shell.volume_um3 / particle.n_grains) ** (1 / 3))


def _shade(particle: Particle, hits: Hits, camera: Camera, planes: Floats) -> Floats:
    """Linear RGB of the points hit, (n, 3) float."""
    light = np.empty((len(hits.points), 3))
    for part, shade in ((~hits.on_cut, _shade_shell), (hits.on_cut, _shade_cut)):
        if part.any():
            chosen = Hits(hits.rays[part], hits.points[part], hits.normals[part], hits.on_cut[part])
            light[part] = shade(particle, chosen, camera, planes)
    return light


def _shade_shell(particle: Particle, hits: Hits, camera: Camera, planes: Floats) -> Floats:
    """Grey of the shell: domed, slightly tilted grains with grooves between, bright edges.

    Slopes, tilts, widths (in mean grain lengths) and weights are chosen for the look.
    """
    grains = particle.nearest_grain(hits.points)
    tangents = _tangents(hits.normals)
    distance, away = boundary_distance(particle, hits.points, grains, tangents)
    length = grain_length_um(particle)
    slope = 0.70 * np.exp(-distance / (0.07 * length)) + 0.38 * np.exp(-distance / (0.4 * length))
    tilt = 0.30 * (_hash01(grains, (1, 2)) - 0.5)
    bump = tilt - slope[:, None] * away
    normals = _unit(hits.normals + bump[:, :1] * tangents[0] + bump[:, 1:] * tangents[1])
    facing = np.clip(normals @ camera.frame[2], 0.0, 1.0)
    key = np.clip(normals @ _unit(KEY_LIGHT @ camera.frame), 0.0, 1.0)
    openness = _openness(particle.shell, hits, planes)
    groove = 1 - 0.80 * np.exp(-distance / (0.035 * length))
    tone = 0.80 + 0.4 * _hash01(grains, (3,))[:, 0]
    edge = (1 - facing) ** 2
    grey = tone * groove * openness * (0.05 + 0.10 * facing + 0.42 * key**1.5 + 0.30 * edge)
    return np.repeat(grey[:, None], 3, axis=1)


def _shade_cut(particle: Particle, hits: Hits, camera: Camera, planes: Floats) -> Floats:
    """Colours of the grains on the faces of a cut, with dark lines between."""
    grains = particle.nearest_grain(hits.points)
    distance, _ = boundary_distance(particle, hits.points, grains, _tangents(hits.normals))
    line = _line(distance, LINE * grain_length_um(particle), camera.pixel_um)
    key = np.clip(hits.normals @ _unit(KEY_LIGHT @ camera.frame), 0.0, 1.0)
    light = (0.40 + 0.60 * _openness(particle.shell, hits, planes)) * (0.50 + 0.62 * key)
    return grain_colours(grains) * (light * (1 - 0.85 * line))[:, None]


def _shade_section(
    particle: Particle, points: Floats, tangents: tuple[Floats, Floats], pixel: float
) -> Floats:
    """Linear RGB of points of a plane, (n, 3) float; white outside the shell."""
    light = np.ones((len(points), 3))
    grains = particle.grain_at(points)
    inside = np.flatnonzero(grains)
    if inside.size:
        points, grains = points[inside], grains[inside]
        distance, _ = boundary_distance(particle, points, grains, tangents)
        line = _line(distance, LINE * grain_length_um(particle), pixel)
        rim = _line(_rim_distance(particle.shell, points, tangents), pixel, pixel)
        light[inside] = grain_colours(grains) * (1 - 0.9 * np.maximum(line, rim))[:, None]
    return light


def _rim_distance(shell: Shell, points: Floats, tangents: tuple[Floats, Floats]) -> Floats:
    """Distance of points to the shell within a plane, to first order, um.

    The gradient of |x| - X has the component 1 along the radius, and so the length
    1 / (n . u) with the unit normal n of the shell in the radial direction u.
    """
    directions = _unit(np.where(points.any(axis=1, keepdims=True), points, (0.0, 0.0, 1.0)))
    normals = shell.normal(directions)
    in_plane = np.hypot(normals @ tangents[0], normals @ tangents[1])
    facing = np.einsum("ij,ij->i", normals, directions)
    distance: Floats = shell.depth(points) * facing / np.maximum(in_plane, 1e-3)
    return distance


def _line(distance: Floats, half_width: float, pixel: float) -> Floats:
    """Ink of a line along the boundaries, 1 on it and 0 off it; never thinner than a pixel."""
    ink: Floats = np.clip((max(half_width, 0.5 * pixel) - distance) / pixel + 0.5, 0.0, 1.0)
    return ink


def _openness(shell: Shell, hits: Hits, planes: Floats) -> Floats:
    """How little of the sky above a point is hidden, 0 to 1, from the clearance along the normal.

    A point at height s over a flat surface has the clearance s; less says that something
    else is near. Both the shell and the faces of the cut hide.
    """
    heights = np.array([0.06, 0.18, 0.45]) * shell.diameter_um / 2
    total = np.zeros(len(hits.points))
    for height in heights:
        above = hits.points + height * hits.normals
        clearance = -shell.depth(above)
        if len(planes):
            clearance = np.maximum(clearance, np.min(above @ planes.T, axis=1))
        total += 1 - (1 - np.clip(clearance / height, 0.0, 1.0)) ** 2
    openness: Floats = 0.20 + 0.80 * (total / len(heights)) ** 2.5
    return openness


def _background(camera: Camera) -> Floats:
    """Dark, a little lighter in the middle, (pixels**2, 3) float, linear."""
    place = (np.arange(camera.pixels) + 0.5) * (2 / camera.pixels) - 1
    glow = np.exp(-(place[:, None] ** 2 + place**2)).ravel()
    return np.repeat((0.003 + 0.011 * glow)[:, None], 3, axis=1)


def grain_colours(grains: NDArray[np.int32]) -> Floats:
    """Linear RGB of grains, (..., 3) float: hue, lightness and chroma are hashed from the id.

    Colours are chosen in the perceptual space OKLab (Ottosson 2020), so that no hue is
    glaring and neighbours differ in lightness where they happen not to differ in hue.
    """
    hue, lightness, chroma = np.moveaxis(_hash01(grains, (4, 5, 6)), -1, 0)
    lightness, chroma, angle = 0.58 + 0.26 * lightness, 0.060 + 0.055 * chroma, 2 * np.pi * hue
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
    rgb: Floats = np.clip((lab @ _LAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T, 0.0, 1.0)
    return rgb


_LAB_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _hash01(grains: NDArray[np.int32], salts: tuple[int, ...]) -> Floats:
    """Numbers in [0, 1) that depend on grain id and salt alone, (..., len(salts)) float.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    salted = np.asarray(grains)[..., None].astype(np.uint64) * np.uint64(64)
    z = (salted + np.array(salts, dtype=np.uint64)) * golden
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _encode(light: Floats) -> NDArray[np.uint8]:
    """Bytes of linear light in the sRGB encoding (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * value).astype(np.uint8)


def _unit(vectors: Floats) -> Floats:
    """Vectors divided by their length."""
    unit: Floats = vectors / np.sqrt(np.einsum("...i,...i", vectors, vectors))[..., None]
    return unit


def _tangents(normals: Floats) -> tuple[Floats, Floats]:
    """Two orthonormal directions across each normal, each (n, 3) float."""
    least = np.argmin(np.abs(normals), axis=1)
    first = _unit(np.cross(normals, np.eye(3)[least]))
    return first, np.cross(normals, first)


def _surface_points(shell: Shell) -> Floats:
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
