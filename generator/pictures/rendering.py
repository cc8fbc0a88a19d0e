"""Pictures of a particle, cast ray by ray from its recipe: no mesh, no voxel staircase.

`ray_casting` finds the points that a picture shows; the grain at each of them is asked of
the tessellation, so that a picture is as sharp at any magnification as the recipe itself.

What is geometry: the silhouette, the position and the normal of every point hit, the grain
it belongs to, the planes of a cut. What is *drawn* on top, like the ink of a map: the domes
of the grains and the grooves along their boundaries (a bump of the shading normal and a
darkening, no displacement), the grey tone of a grain, the light. Colours are a hash of
``grain_id``: the same grain has the same colour in every picture, section and resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError
from .colours import grain_colours, hash01, srgb
from .ray_casting import (
    HALF,
    OCTANT,
    QUARTER,
    RIM,
    Camera,
    Floats,
    Hits,
    Vector,
    Wedge,
    cut_open,
    shell_entries,
    surface_points,
    unit,
)

if TYPE_CHECKING:
    from ..grains.tessellation import Tessellation
    from ..shell.shell import Shell

Plane = Literal["xy", "xz", "yz"]

FRONT: Vector = (0.62, 0.70, 0.36)  # towards the camera
KEY_LIGHT = np.array([-0.55, 0.65, 0.62])  # right, up, towards the camera

# Four rays per pixel on a rotated square: no two share a row or a column.
SUBPIXELS = ((0.125, 0.625), (0.375, 0.125), (0.625, 0.875), (0.875, 0.375))

LINE = 0.018  # half width of a drawn boundary, mean grain lengths
BACKDROP = 0.006  # behind shells without grains, linear light
CUTS: Mapping[str, Wedge] = {"none": (), "half": HALF, "quarter": QUARTER, "octant": OCTANT}
BLOCK = 2.5  # edge of the blocks that share a list of grains, mean grain lengths


class FilledShell(Protocol):
    """What is drawn: a `Particle`, which knows how to draw itself and so cannot be named here."""

    @property
    def shell(self) -> Shell:
        """Outer surface."""

    @property
    def tessellation(self) -> Tessellation:
        """Grains, row i the one with id i + 1."""

    @property
    def n_grains(self) -> int:
        """Number of grains."""

    def grain_at(self, points: Floats) -> NDArray[np.int32]:
        """Grain id at points (..., 3) um, 0 outside."""

    def nearest_grain(self, points: Floats) -> NDArray[np.int32]:
        """Grain id at points (..., 3) um as if there were no shell."""


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        height, width = self.rgb.shape[:2]
        return f"{type(self).__name__}({width} x {height} pixels of {self.pixel_um:.4g} um)"


def wedge(cut: str) -> Wedge:
    """What is cut away by the name of the cut, one of `CUTS`.

    Raises
    ------
    ExportError
        If there is no such cut.
    """
    if cut not in CUTS:
        msg = f"cut is {cut!r}, expected one of {sorted(CUTS)}"
        raise ExportError(msg)
    return CUTS[cut]


def render_outside(particle: FilledShell, pixels: int = 800, position: Vector = FRONT) -> Picture:
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
    particle: FilledShell,
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


def render_section(particle: FilledShell, plane: Plane, pixels: int = 440) -> Picture:
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
    half_width = RIM * float(np.abs(surface_points(particle.shell)).max())
    right, up = (np.eye(3)["xyz".index(axis)] for axis in plane)
    back = np.cross(right, up)
    camera = Camera(tuple(back), half_width, pixels, tuple(up))
    light = np.zeros((pixels * pixels, 3))
    for offset in SUBPIXELS:
        points = camera.origins(offset)
        light += _shade_section(particle, points, (right, up), camera.pixel_um) / len(SUBPIXELS)
    return Picture(srgb(light).reshape(pixels, pixels, 3), camera.pixel_um)


def render_views(
    particle: FilledShell, cuts: Sequence[Wedge], pixels: int, position: Vector = FRONT
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
    return [Picture(srgb(picture).reshape(shape), camera.pixel_um) for picture in light]


def render_shell(
    shell: Shell, half_width_um: float, pixels: int, position: Vector = FRONT
) -> Picture:
    """Shell without grains, smooth and grey, in the middle of a square picture.

    Parameters
    ----------
    shell
        What to draw.
    half_width_um
        Half of the edge of the picture, um; shells with the same one have the same scale.
    pixels
        Edge of the picture.
    position
        Direction from the shell to the camera.
    """
    framed = Camera.framing(shell, position, pixels)
    camera = replace(framed, half_width_um=half_width_um)
    planes = np.empty((0, 3))
    light, entries = np.zeros((pixels * pixels, 3)), None
    for offset in SUBPIXELS:
        entries = shell_entries(shell, camera, offset, entries)
        hits = cut_open(shell, camera, offset, entries, planes)
        layer = np.full((pixels * pixels, 3), BACKDROP)
        grey = 0.9 * _openness(shell, hits, planes) * _grey_light(hits.normals, camera)
        layer[hits.rays] = grey[:, None]
        light += layer / len(SUBPIXELS)
    return Picture(srgb(light).reshape(pixels, pixels, 3), camera.pixel_um)


def boundary_distance(
    particle: FilledShell,
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


def grain_length_um(particle: FilledShell) -> float:
    """Edge of a cube of the mean grain volume, um: the scale of drawn domes and grooves."""
    return float((particle.shell.volume_um3 / particle.n_grains) ** (1 / 3))


def _shade(particle: FilledShell, hits: Hits, camera: Camera, planes: Floats) -> Floats:
    """Linear RGB of the points hit, (n, 3) float."""
    light = np.empty((len(hits.points), 3))
    for part, shade in ((~hits.on_cut, _shade_shell), (hits.on_cut, _shade_cut)):
        if part.any():
            chosen = Hits(hits.rays[part], hits.points[part], hits.normals[part], hits.on_cut[part])
            light[part] = shade(particle, chosen, camera, planes)
    return light


def _shade_shell(particle: FilledShell, hits: Hits, camera: Camera, planes: Floats) -> Floats:
    """Grey of the shell: domed, slightly tilted grains with grooves between, bright edges.

    Slopes, tilts, widths (in mean grain lengths) and weights are chosen for the look.
    """
    grains = particle.nearest_grain(hits.points)
    tangents = _tangents(hits.normals)
    distance, away = boundary_distance(particle, hits.points, grains, tangents)
    length = grain_length_um(particle)
    slope = 0.70 * np.exp(-distance / (0.07 * length)) + 0.38 * np.exp(-distance / (0.4 * length))
    tilt = 0.30 * (hash01(grains, (1, 2)) - 0.5)
    bump = tilt - slope[:, None] * away
    normals = unit(hits.normals + bump[:, :1] * tangents[0] + bump[:, 1:] * tangents[1])
    openness = _openness(particle.shell, hits, planes)
    groove = 1 - 0.80 * np.exp(-distance / (0.035 * length))
    tone = 0.80 + 0.4 * hash01(grains, (3,))[:, 0]
    grey = tone * groove * openness * _grey_light(normals, camera)
    return np.repeat(grey[:, None], 3, axis=1)


def _grey_light(normals: Floats, camera: Camera) -> Floats:
    """Light that a surface sends to the camera: a lamp to the left, and bright edges."""
    facing = np.clip(normals @ camera.frame[2], 0.0, 1.0)
    key = np.clip(normals @ unit(KEY_LIGHT @ camera.frame), 0.0, 1.0)
    light: Floats = 0.05 + 0.10 * facing + 0.42 * key**1.5 + 0.30 * (1 - facing) ** 2
    return light


def _shade_cut(particle: FilledShell, hits: Hits, camera: Camera, planes: Floats) -> Floats:
    """Colours of the grains on the faces of a cut, with dark lines between."""
    grains = particle.nearest_grain(hits.points)
    distance, _ = boundary_distance(particle, hits.points, grains, _tangents(hits.normals))
    line = _line(distance, LINE * grain_length_um(particle), camera.pixel_um)
    key = np.clip(hits.normals @ unit(KEY_LIGHT @ camera.frame), 0.0, 1.0)
    light = (0.40 + 0.60 * _openness(particle.shell, hits, planes)) * (0.50 + 0.62 * key)
    return grain_colours(grains) * (light * (1 - 0.85 * line))[:, None]


def _shade_section(
    particle: FilledShell, points: Floats, tangents: tuple[Floats, Floats], pixel: float
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
    directions = unit(np.where(points.any(axis=1, keepdims=True), points, (0.0, 0.0, 1.0)))
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


def _tangents(normals: Floats) -> tuple[Floats, Floats]:
    """Two orthonormal directions across each normal, each (n, 3) float."""
    least = np.argmin(np.abs(normals), axis=1)
    first = unit(np.cross(normals, np.eye(3)[least]))
    return first, np.cross(normals, first)
