"""Unfold the surface of a particle's mesh: its facets lean little off the shell.

Vertices that have left the surface for the sake of their elements make pits, and with them
facets that stand upright or face inwards. Their vertices are moved to where the facets lean
less. Where that is not enough a tetrahedron beside the facet changes sides first: one outside
that fills a pit, or one inside that is a bump. What is no gain is undone: facets must lean less
in all, no element may become worse than before or than `FLOOR`, no grain may leave its margin,
and neither grains nor the body may change their form (`keeps_topology`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ...generator.particle import OUTSIDE
from ..mesh.material_field import (
    NONE,
    add_material,
    has_material,
    n_materials,
    nearest_on_interface,
    onto_planes,
    outward_at,
)
from ..mesh.tetrahedra import FACES
from .smoothing import N_OFFSETS, gather, mean_edge, moved_quality, volumes_allow, within
from .tet_complex import (
    MAX_AFFECTED,
    VOLUME_MARGIN,
    across_face,
    is_settled,
    mark_changed,
    relabel,
    star_quality,
)
from .topology import keeps_topology

LEAN = math.cos(math.radians(20.0))  # facets that lean farther are worked on
FLOOR = 0.53**3  # quality above which an element may become worse,
LAST_FLOOR = 0.5**3  # and in the later passes, which also try more tetrahedra
PASSES = 4
EASY = 2  # of them with the first floor, and with the two tetrahedra at a facet only
TRIES = 60  # places for each vertex
SWEEPS = 3  # over the vertices of a tetrahedron that has changed sides
FIRST_RADIUS = 0.4  # of the mean edge: spread of the first places tried
SHRINKING = 0.95  # of the spread, after a place that is no better
TOLERANCE = 0.3  # distance from the boundaries, as a part of the size
FLATNESS = 10.0  # fault of an element without volume; that of a facet is below 2
LESS = 1e-4  # by which a fault has to become less
MAX_FACETS = 64  # of the surface, at one vertex
MAX_LABELS = 64  # around one tetrahedron


@njit(cache=True, nogil=True)
def unfold(c, field, offsets, first=0, stop=PASSES):  # type: ignore[no-untyped-def]
    """Unfold what can be unfolded; returns how many facets the last pass saw lean too far.

    If it is 0 none is left: a facet that is mended may fold its neighbours. Of the `PASSES` only
    those from ``first`` on and before ``stop``.
    """
    tets, labels = c.tets, c.labels
    seen = 0
    for k in range(first, stop):
        c.round[0] += 1
        seen = 0
        for t in range(tets.shape[0]):
            if OUTSIDE < labels[t] <= field.n_grains and not (k > first and is_settled(c, t)):
                seen += _unfold_tet(c, field, offsets, t, FLOOR if k < EASY else LAST_FLOOR)
        if seen == 0:
            break
    return seen


@njit(cache=True, nogil=True)
def _unfold_tet(c, field, offsets, t, floor):  # type: ignore[no-untyped-def]
    """Number of facets of t that leaned too far."""
    seen = 0
    for f in range(4):
        i, j, k = c.tets[t, FACES[f, 0]], c.tets[t, FACES[f, 1]], c.tets[t, FACES[f, 2]]
        if c.labels[t] == OUTSIDE or not _at_surface(c, i, j, k):
            continue
        s = across_face(c, t, i, j, k)
        if s < 0 or c.labels[s] != OUTSIDE or _leans_little(c, field, i, j, k):
            continue
        seen += 1
        if not _unfold_facet(c, field, offsets, t, s, i, j, k, floor):
            mark_changed(c, i)  # comes again in the next pass, with other places
    return seen


@njit(cache=True, nogil=True)
def _at_surface(c, i, j, k):  # type: ignore[no-untyped-def]
    materials = c.materials
    return (
        has_material(materials[i], OUTSIDE)
        and has_material(materials[j], OUTSIDE)
        and has_material(materials[k], OUTSIDE)
    )


@njit(cache=True, nogil=True)
def _leans_little(c, field, i, j, k):  # type: ignore[no-untyped-def]
    outward = np.empty(3)
    _outward(c, field, i, j, k, outward)
    return _cosine(c.points, i, j, k, outward) >= LEAN


@njit(cache=True, nogil=True)
def _outward(c, field, i, j, k, out):  # type: ignore[no-untyped-def]
    """Write the direction out of the body at the centre of a facet."""
    points = c.points
    centre = np.empty(3)
    for x in range(3):
        centre[x] = (points[i, x] + points[j, x] + points[k, x]) / 3
    outward_at(centre, c.size_at[i], field, out)


@njit(inline="always")
def _cosine(points, i, j, k, outward):  # type: ignore[no-untyped-def]
    """Of the angle between a facet's normal and a direction."""
    ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
    ux, uy, uz = points[j, 0] - ax, points[j, 1] - ay, points[j, 2] - az
    vx, vy, vz = points[k, 0] - ax, points[k, 1] - ay, points[k, 2] - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    size = math.sqrt(nx * nx + ny * ny + nz * nz)
    along = nx * outward[0] + ny * outward[1] + nz * outward[2]
    return along / size if size > 0.0 else -1.0


@njit(cache=True, nogil=True)
def _unfold_facet(c, field, offsets, t, s, i, j, k, floor):  # type: ignore[no-untyped-def]
    """Whether the facet between t and s, outside, leans little now or is gone."""
    for v in (i, j, k):
        _move(c, field, offsets, v, floor)
    if _leans_little(c, field, i, j, k):
        return True
    for x in (s, t):
        if _changes_sides(c, field, offsets, x, 1, floor):
            return True
    if floor < FLOOR:
        for v in (i, j, k):
            for q in range(c.n_members[v]):
                if _changes_sides(c, field, offsets, c.members[v, q], 2, floor):
                    return True
    return False


@njit(cache=True, nogil=True)
def _changes_sides(c, field, offsets, t, least, floor):  # type: ignore[no-untyped-def]
    """Whether t, with so many facets at least, went across the surface, which is a gain."""
    tets, labels = c.tets, c.labels
    inside, n_facets = labels[t] != OUTSIDE, 0
    receivers = np.full(4, NONE, np.int32)
    for f in range(4):
        i, j, k = tets[t, FACES[f, 0]], tets[t, FACES[f, 1]], tets[t, FACES[f, 2]]
        if _at_surface(c, i, j, k):
            s = across_face(c, t, i, j, k)
            if s >= 0 and (labels[s] == OUTSIDE) == inside:
                add_material(receivers, labels[s])
                n_facets += 1
    if n_facets < least:
        return False
    for to in receivers:
        if to == NONE or not keeps_topology(c, t, to, field.n_grains):
            continue
        if _handed(c, field, offsets, t, to, floor):
            return True
    return False


@njit(cache=True, nogil=True)
def _handed(c, field, offsets, t, to, floor):  # type: ignore[no-untyped-def]
    """Hand t over and move its vertices; undone if that is no gain."""
    points, labels, volumes, corners = c.points, c.labels, c.volumes, c.tets[t]
    around = np.full(MAX_LABELS, NONE, np.int32)
    if not _labels_around(c, corners, around):
        return False
    old_volumes, old_points, old = np.empty(MAX_LABELS), np.empty((4, 3)), labels[t]
    for k in range(4):
        for x in range(3):
            old_points[k, x] = points[corners[k], x]
    for k in range(n_materials(around)):
        old_volumes[k] = volumes[around[k]]
    floor = min(floor, _worst_around(c, corners))
    fault = _folds_around(c, field, corners)
    relabel(c, t, to)
    for _ in range(SWEEPS):
        moved = False
        for v in corners:
            moved = _move(c, field, offsets, v, floor) or moved
        if not moved:
            break
    if (
        _worst_around(c, corners) >= floor
        and _folds_around(c, field, corners) < fault - LESS
        and _volumes_kept(c, around, old_volumes)
    ):
        for v in corners:
            mark_changed(c, v)
        return True
    for k in range(4):
        for x in range(3):
            points[corners[k], x] = old_points[k, x]
    relabel(c, t, old)
    for k in range(n_materials(around)):
        volumes[around[k]] = old_volumes[k]
    return False


@njit(cache=True, nogil=True)
def _labels_around(c, corners, out):  # type: ignore[no-untyped-def]
    for v in corners:
        for q in range(c.n_members[v]):
            if not add_material(out, c.labels[c.members[v, q]]):
                return False
    return True


@njit(cache=True, nogil=True)
def _volumes_kept(c, labels, before):  # type: ignore[no-untyped-def]
    """Whether every grain is within its margin or no farther from its target than before."""
    volumes, targets = c.volumes, c.targets
    for k in range(n_materials(labels)):
        label = labels[k]
        error = abs(volumes[label] - targets[label])
        if (
            label != OUTSIDE
            and error > VOLUME_MARGIN * targets[label]
            and error > abs(before[k] - targets[label])
        ):
            return False
    return True


@njit(cache=True, nogil=True)
def _worst_around(c, corners):  # type: ignore[no-untyped-def]
    worst = np.inf
    for v in corners:
        worst = min(worst, star_quality(c, v, -np.inf))
    return worst


@njit(cache=True, nogil=True)
def _folds_around(c, field, corners):  # type: ignore[no-untyped-def]
    """By how much the facets at some vertices lean too far: squares, in all."""
    facets, total = np.empty((MAX_FACETS, 5)), 0.0
    for v in corners:
        n = _facets_at(c, field, v, facets)
        total += _folds(c.points, v, facets, n)
    return total


@njit(cache=True, nogil=True)
def _folds(points, v, facets, n):  # type: ignore[no-untyped-def]
    total = 0.0
    for q in range(n):
        cosine = _cosine(points, v, int(facets[q, 0]), int(facets[q, 1]), facets[q, 2:])
        total += max(0.0, LEAN - cosine) ** 2
    return total


@njit(cache=True, nogil=True)
def _facets_at(c, field, v, out):  # type: ignore[no-untyped-def]
    """Write j, k and the direction out of the body of the facets (v, j, k); returns how many."""
    tets, labels, members = c.tets, c.labels, c.members
    outward, n = np.empty(3), 0
    for q in range(c.n_members[v]):
        t = members[v, q]
        if labels[t] == OUTSIDE or labels[t] > field.n_grains:
            continue
        for f in range(4):
            ends = (tets[t, FACES[f, 0]], tets[t, FACES[f, 1]], tets[t, FACES[f, 2]])
            if tets[t, f] == v or n == MAX_FACETS or not _at_surface(c, *ends):
                continue
            s = across_face(c, t, *ends)
            if s >= 0 and labels[s] == OUTSIDE:
                _outward(c, field, *ends, outward)
                first = 0 if ends[0] == v else (1 if ends[1] == v else 2)
                out[n, 0], out[n, 1] = ends[(first + 1) % 3], ends[(first + 2) % 3]
                out[n, 2], out[n, 3], out[n, 4] = outward
                n += 1
    return n


@njit(cache=True, nogil=True)
def _fault(folds, quality, floor):  # type: ignore[no-untyped-def]
    return folds + (FLATNESS * (1.0 - quality / floor) if quality < floor else 0.0)


@njit(cache=True, nogil=True)
def _move(c, field, offsets, v, floor):  # type: ignore[no-untyped-def]
    """Whether v was moved to where facets lean less, or elements are less far below the floor."""
    points, materials, n = c.points, c.materials[v], c.n_members[v]
    if c.fixed[v]:
        return False
    facets, star = np.empty((MAX_FACETS, 5)), np.empty((c.members.shape[1], 9))
    n_facets, worst = _facets_at(c, field, v, facets), star_quality(c, v, -np.inf)
    fault = _fault(_folds(points, v, facets, n_facets), worst, floor)
    first_fault = fault
    start, best, candidate, place = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    changes, affected = np.empty(MAX_AFFECTED), np.empty(MAX_AFFECTED, np.int64)
    for x in range(3):
        start[x] = best[x] = points[v, x]
    gather(c, v, star)
    reach, bound = mean_edge(c, v), n_materials(materials)
    radius = FIRST_RADIUS * reach
    for k in range(TRIES):
        if fault == 0.0:
            break
        offset = offsets[(v * 31 + c.round[0] * TRIES + k) % N_OFFSETS]
        for x in range(3):
            candidate[x] = best[x] + (radius * offset[x] if k > 0 else 0.0)
        enough = min(worst, floor)
        quality = _quality_at(star, n, start, candidate, enough)
        if bound > 1 and (k == 0 or quality >= enough):
            nearest_on_interface(candidate, materials, reach, field, place)
            within(place, 0.0 if k % 3 == 0 else TOLERANCE * c.size_at[v], candidate)
            if field.planes.size > 0:
                onto_planes(candidate, materials, field)
            quality = _quality_at(star, n, start, candidate, enough)
        now = np.inf
        if quality >= enough:
            for x in range(3):
                points[v, x] = candidate[x]
            now = _fault(_folds(points, v, facets, n_facets), quality, floor)
        if now < fault - LESS and volumes_allow(c, v, best, changes, affected):
            fault, worst = now, quality
            for x in range(3):
                best[x] = candidate[x]
        else:
            radius *= SHRINKING
            for x in range(3):
                points[v, x] = best[x]
    if fault < first_fault:
        mark_changed(c, v)
    return fault < first_fault


@njit(cache=True, nogil=True)
def _quality_at(star, n, start, place, enough):  # type: ignore[no-untyped-def]
    x, y, z = place[0] - start[0], place[1] - start[1], place[2] - start[2]
    return moved_quality(star, n, x, y, z, enough)
