"""Move the vertices of a labelled mesh: onto the boundaries, and to better elements.

A vertex where several materials meet stays within a tolerance of where they meet. A place is
brought there only if the elements are better already without that, which is cheap to see. Every
move is a hill climb: the worst element around the vertex must not get worse, or not below
a floor while vertices are brought onto their boundaries.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..mesh.material_field import NONE, n_materials, nearest_on_interface, onto_planes
from ..mesh.tetrahedra import FACES
from .tet_complex import (
    MAX_AFFECTED,
    OUTSIDE_WEIGHT,
    admitted,
    book,
    local_index,
    mark_changed,
    star_quality,
    tet_volume,
)

N_OFFSETS = 251
FIRST_RADIUS = 0.3  # of the mean edge at the vertex: spread of the first places tried
SHRINKING = 0.85  # of the spread, after a place that is no better
FARTHEST = 0.6  # of the mean edge: no vertex goes farther from where it was
GAIN = 1.015  # a place is better if the worst element there is, by this factor
HALVINGS = 4  # of a projection that would spoil an element
WORST = 0.25**3  # of this quality and below, twice the tolerance is allowed


class Smoothing(NamedTuple):
    """How vertices may move."""

    threshold: float  # vertices whose worst element is better than this are left alone
    floor: float  # quality that a projection must not undercut
    relax_below: float  # quality below which a vertex may leave its boundaries
    tolerance: float  # by how much, as a part of the size there
    hopeful: float  # below this quality other places are tried although nothing has changed
    tries: int  # places tried for each vertex


def trial_offsets() -> NDArray[np.float64]:
    """Points (N_OFFSETS, 3) spread evenly over the unit ball, in an order without pattern."""
    k = np.arange(N_OFFSETS)
    z = 1 - (2 * k + 1) / N_OFFSETS
    azimuth = math.pi * (3 - math.sqrt(5)) * k  # golden angle
    ring = np.sqrt(1 - z * z)
    radius = ((k * 0.7548776662466927) % 1.0) ** (1 / 3)
    ball = radius[:, None] * np.column_stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z])
    return ball[(k * 97) % N_OFFSETS]  # 97 and 251 are coprime


@njit(cache=True, nogil=True)
def smooth(c, field, settings, offsets):  # type: ignore[no-untyped-def]
    """Move vertices in place, one after the other; returns how many are better off."""
    n_members, materials, fixed = c.n_members, c.materials, c.fixed
    changed, this_round = c.changed, c.round[0]
    changes, affected = np.empty(MAX_AFFECTED), np.empty(MAX_AFFECTED, np.int64)
    work, star = np.empty((4, 3)), np.empty((c.members.shape[1], 9))
    n_better = 0
    for v in range(n_members.size):
        if n_members[v] == 0 or fixed[v]:
            continue
        settled = changed[v] < this_round - 1
        if settled and star_quality(c, v, settings.hopeful) >= settings.hopeful:
            continue
        before = star_quality(c, v, -np.inf)
        reach = mean_edge(c, v)
        now = before
        if settings.floor < 1.0 and n_materials(materials[v]) > 1:
            now = _onto_interface(c, field, v, reach, before, settings, work, changes, affected)
        if now < settings.threshold:
            now = _climb(c, field, v, reach, now, settings, offsets, work, star, changes, affected)
        if now != before:
            mark_changed(c, v)
        n_better += int(now > before)
    return n_better


@njit(cache=True, nogil=True)
def mean_edge(c, v):  # type: ignore[no-untyped-def]
    """Mean length of the edges at a vertex, by the tetrahedra at them."""
    points, tets, members = c.points, c.tets, c.members
    total, n = 0.0, 0
    for q in range(c.n_members[v]):
        t = members[v, q]
        for k in range(4):
            w = tets[t, k]
            if w != v:
                total += math.sqrt(
                    (points[w, 0] - points[v, 0]) ** 2
                    + (points[w, 1] - points[v, 1]) ** 2
                    + (points[w, 2] - points[v, 2]) ** 2
                )
                n += 1
    return total / n


@njit(cache=True, nogil=True)
def _onto_interface(  # type: ignore[no-untyped-def]
    c, field, v, reach, before, settings, work, changes, affected
):
    """Go towards the boundaries as far as the elements allow; returns the quality then."""
    points = c.points
    old, target = work[0], work[1]
    for i in range(3):
        old[i] = points[v, i]
    distance = nearest_on_interface(old, c.materials[v], reach, field, target)
    if distance < 1e-4 * reach:
        return before
    limit = min(before, settings.floor)
    part = min(1.0, reach / distance)
    for _ in range(HALVINGS):
        for i in range(3):
            points[v, i] = old[i] + part * (target[i] - old[i])
        now = star_quality(c, v, limit)
        if now >= limit and volumes_allow(c, v, old, changes, affected):
            return now
        for i in range(3):
            points[v, i] = old[i]
        part /= 2
    return before


@njit(cache=True, nogil=True)
def _climb(  # type: ignore[no-untyped-def]
    c, field, v, reach, before, settings, offsets, work, star, changes, affected
):
    """Try places around the vertex; keep the best; returns the quality there."""
    points, materials, this_round = c.points, c.materials[v], c.round[0]
    start, best, candidate, place = work[0], work[1], work[2], work[3]
    for i in range(3):
        start[i] = points[v, i]
        best[i] = start[i]
    n = c.n_members[v]
    gather(c, v, star)
    now, radius = before, FIRST_RADIUS * reach
    bound = n_materials(materials)
    for k in range(settings.tries):
        if k == 0:
            _towards_neighbours(c, v, best, 1.0 if bound == 1 else 0.5, candidate)
        else:
            offset = offsets[(v * 31 + this_round * settings.tries + k) % N_OFFSETS]
            for i in range(3):
                candidate[i] = best[i] + radius * offset[i]
        if bound > 1:
            relaxed = now < settings.relax_below and (k % 2 == 1 or bound > 3)
            if bound > 3 and not relaxed:
                continue
            x, y, z = candidate[0] - start[0], candidate[1] - start[1], candidate[2] - start[2]
            if moved_quality(star, n, x, y, z, GAIN * now) < GAIN * now:
                radius *= SHRINKING
                continue
            tolerance = 0.0
            if relaxed:
                tolerance = settings.tolerance * c.size_at[v] * (2.0 if now < WORST else 1.0)
            nearest_on_interface(candidate, materials, reach, field, place)
            within(place, tolerance, candidate)
            if field.planes.size > 0:
                onto_planes(candidate, materials, field)
        if _distance(candidate, start) > FARTHEST * reach:
            continue
        for i in range(3):
            points[v, i] = candidate[i]
            candidate[i] -= start[i]
        quality = moved_quality(star, n, candidate[0], candidate[1], candidate[2], GAIN * now)
        if quality > GAIN * now and (bound == 1 or volumes_allow(c, v, best, changes, affected)):
            now = quality
            for i in range(3):
                best[i] = points[v, i]
        else:
            radius *= SHRINKING
            for i in range(3):
                points[v, i] = best[i]
    return now


@njit(cache=True, nogil=True)
def gather(c, v, star):  # type: ignore[no-untyped-def]
    r"""Write what the quality of the elements at v depends on to rows of ``star``.

    .. math:: \det = d + n \cdot x, \qquad \sum l^2 = 3 |x|^2 - 2 s \cdot x + e

    for v moved by x; the rows hold n, d, s, e and the weight of the element.
    """
    points, tets, labels, members = c.points, c.tets, c.labels, c.members
    a, b, w = np.empty(3), np.empty(3), np.empty(3)
    for q in range(c.n_members[v]):
        t = members[v, q]
        k = local_index(tets, t, v)
        ends = (tets[t, FACES[k, 0]], tets[t, FACES[k, 1]], tets[t, FACES[k, 2]])
        for i in range(3):
            a[i] = points[ends[0], i] - points[v, i]
            b[i] = points[ends[1], i] - points[v, i]
            w[i] = points[ends[2], i] - points[v, i]
        row = star[q]
        row[3] = row[7] = 0.0
        for i in range(3):
            j, m = (i + 1) % 3, (i + 2) % 3
            # normal of the opposite face, inwards: that of `FACES` points outwards
            row[i] = (b[j] - a[j]) * (a[m] - w[m]) - (b[m] - a[m]) * (a[j] - w[j])
            row[3] -= row[i] * a[i]
            row[4 + i] = a[i] + b[i] + w[i]
            row[7] += a[i] ** 2 + b[i] ** 2 + w[i] ** 2
            row[7] += (a[i] - b[i]) ** 2 + (b[i] - w[i]) ** 2 + (w[i] - a[i]) ** 2
        row[8] = OUTSIDE_WEIGHT if labels[t] == OUTSIDE else 1.0


@njit(cache=True, nogil=True)
def moved_quality(star, n, x, y, z, enough):  # type: ignore[no-untyped-def]
    """`star_quality` of a vertex moved by (x, y, z); the element that decides comes first then."""
    worst, squared = np.inf, 3.0 * (x * x + y * y + z * z)
    for q in range(n):
        det = star[q, 3] + (star[q, 0] * x + star[q, 1] * y + star[q, 2] * z)
        squares = squared + star[q, 7]
        squares -= 2.0 * (star[q, 4] * x + star[q, 5] * y + star[q, 6] * z)
        if det <= 0.0:
            ratio = det
        else:
            ratio = min(1.0, star[q, 8] * 432.0 * det * det / (squares * squares * squares))
        worst = min(worst, ratio)
        if worst < enough:
            for i in range(9):
                star[0, i], star[q, i] = star[q, i], star[0, i]
            break
    return worst


@njit(cache=True, nogil=True)
def _towards_neighbours(c, v, origin, part, out):  # type: ignore[no-untyped-def]
    """Write the place a part of the way from ``origin`` to the mean of the neighbours."""
    points, tets, members = c.points, c.tets, c.members
    n = 0
    for i in range(3):
        out[i] = 0.0
    for q in range(c.n_members[v]):
        t = members[v, q]
        for k in range(4):
            w = tets[t, k]
            if w != v:
                n += 1
                for i in range(3):
                    out[i] += points[w, i]
    for i in range(3):
        out[i] = origin[i] + part * (out[i] / n - origin[i])


@njit(cache=True, nogil=True)
def within(centre, tolerance, point):  # type: ignore[no-untyped-def]
    """Bring ``point`` to within ``tolerance`` of ``centre``."""
    distance = _distance(point, centre)
    if distance > tolerance:
        for i in range(3):
            point[i] = centre[i] + (point[i] - centre[i]) * (tolerance / distance)


@njit(cache=True, nogil=True)
def _distance(a, b):  # type: ignore[no-untyped-def]
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit(cache=True, nogil=True)
def volumes_allow(c, v, old, changes, affected):  # type: ignore[no-untyped-def]
    """Whether the move of v from ``old`` keeps the volumes; if so they are brought up to date."""
    points, tets, labels, volumes = c.points, c.tets, c.labels, c.volumes
    members, n = c.members[v], c.n_members[v]
    affected[:] = NONE
    new = (points[v, 0], points[v, 1], points[v, 2])
    fits = True
    for q in range(n):
        t = members[q]
        fits = fits and book(changes, affected, labels[t], tet_volume(points, tets, t))
    for i in range(3):
        points[v, i] = old[i]
    for q in range(n):
        t = members[q]
        fits = fits and book(changes, affected, labels[t], -tet_volume(points, tets, t))
    for i in range(3):
        points[v, i] = new[i]
    if not (fits and admitted(c, changes, affected)):
        return False
    for k in range(MAX_AFFECTED):
        if affected[k] == NONE:
            break
        volumes[affected[k]] += changes[k]
    return True
