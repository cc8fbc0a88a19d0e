"""A labelled tetrahedral mesh that compiled kernels change in place, element by element.

The tetrahedra fill space around the particle: those outside it have the label 0. All
operations keep every tetrahedron positively oriented and every face shared by two, but for
the hull, whose vertices never change.

Each grain has a volume that it should have; an operation may take a grain farther from it
only within a margin (`admitted`).

A kernel takes the arrays that it loops over out of the complex first: in a loop or an inlined
function numba counts the references to all of its arrays each time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..mesh.material_field import MAX_MATERIALS, NONE, add_material
from ..mesh.tetrahedra import EDGES, FACES, cubed_mean_ratio, face_neighbours

VACANT = -2  # label of a row of ``tets`` that holds no tetrahedron
ROOM = 64  # for tetrahedra at one vertex, or
MORE_ROOM = 32  # more than there are at first
MAX_RING = 40  # tetrahedra at one edge, at most
MAX_AFFECTED = 24  # materials whose volume one operation changes, at most
OUTSIDE_WEIGHT = 1000.0  # a tetrahedron outside counts as this much better than it is
VOLUME_MARGIN = 0.08  # relative error of a grain's volume that any operation may cause
SPARE = 0.2  # rows kept vacant, as a part of the tetrahedra

# local vertices (p, q) besides (i, j), such that (i, j, p, q) is positively oriented
OPPOSITE = np.zeros((4, 4, 2), np.int64)
for _i, _j in EDGES:
    _p, _q = sorted(set(range(4)) - {_i, _j})
    _even = (_i + _j) % 2 == 1  # parity of the permutation (i, j, p, q), i < j, p < q
    OPPOSITE[_i, _j] = (_p, _q) if _even else (_q, _p)
    OPPOSITE[_j, _i] = OPPOSITE[_i, _j][::-1]


class TetComplex(NamedTuple):
    """Arrays of a mesh under change. Made by `complex_of`."""

    points: NDArray[np.float64]  # (n, 3)
    tets: NDArray[np.int64]  # (rows, 4)
    labels: NDArray[np.int32]  # (rows,), VACANT where there is none
    members: NDArray[np.int32]  # (n, room) rows of the tetrahedra at each vertex
    n_members: NDArray[np.int32]  # (n,) how many they are
    materials: NDArray[np.int32]  # (n, MAX_MATERIALS) labels around each vertex, NONE after them
    fixed: NDArray[np.bool_]  # (n,) on the hull
    vacant: NDArray[np.int64]  # (rows + 1,) stack of vacant rows below, its height in front
    volumes: NDArray[np.float64]  # (n_grains + 1,) by label
    targets: NDArray[np.float64]  # (n_grains + 1,)
    sizes: NDArray[np.float64]  # (n_grains + 1,) edge that each label should have
    limits: NDArray[np.float64]  # (n,) longest edge that each vertex should have
    size_at: NDArray[np.float64]  # (n,) that, or the smallest of the sizes around the vertex
    changed: NDArray[np.int32]  # (n,) round in which an element at the vertex last changed
    round: NDArray[np.int32]  # (1,) that is going on
    tried: NDArray[np.int64]  # hashed edges that were tried in this round


def complex_of(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    labels: NDArray[np.int32],
    fixed: NDArray[np.bool_],
    targets: NDArray[np.float64],
    sizes: NDArray[np.float64],
    limits: NDArray[np.float64] | None = None,
) -> TetComplex:
    """Working copy of a conforming, positively oriented mesh.

    Parameters
    ----------
    fixed : (n,) bool
        Vertices that do not change: those of the hull (`hull_of`), at least.
    labels : (m,) int32
        Grain ids, 0 outside.
    targets : (n_grains + 1,) float
        Volume that each grain should have.
    sizes : (n_grains + 1,) float
        Length of edges that each grain should have at its boundary.
    limits : (n,) float, optional
        Longest edge that each vertex should have, whatever its grains.
    """
    m, n = len(tets), len(points)
    rows = m + int(SPARE * m) + 1000
    room = max(ROOM, int(np.bincount(tets.ravel()).max()) + MORE_ROOM)
    c = TetComplex(
        points=points.copy(),
        tets=np.zeros((rows, 4), np.int64),
        labels=np.full(rows, VACANT, np.int32),
        members=np.empty((n, room), np.int32),
        n_members=np.zeros(n, np.int32),
        materials=np.empty((n, MAX_MATERIALS), np.int32),
        fixed=fixed.copy(),
        vacant=np.concatenate([[rows - m], np.arange(rows - 1, -1, -1)]),
        volumes=np.zeros(len(targets)),
        targets=targets,
        sizes=sizes,
        limits=np.full(n, np.inf) if limits is None else limits,
        size_at=np.empty(n),
        changed=np.zeros(n, np.int32),
        round=np.zeros(1, np.int32),
        tried=np.full(4 * n + 1, -1),
    )
    c.tets[:m], c.labels[:m] = tets, labels
    _register(c, m)
    update_materials(c)
    return c


def hull_of(tets: NDArray[np.int64], n_points: int) -> NDArray[np.bool_]:
    """Whether each vertex is on the hull of a mesh, (n_points,)."""
    rows, faces = np.nonzero(face_neighbours(tets, n_points) == -1)
    fixed = np.zeros(n_points, bool)
    fixed[tets[rows[:, None], FACES[faces]]] = True
    return fixed


@njit(cache=True, nogil=True)
def _register(c, m):  # type: ignore[no-untyped-def]
    points, tets, labels = c.points, c.tets, c.labels
    members, n_members, volumes = c.members, c.n_members, c.volumes
    for t in range(m):
        for k in range(4):
            v = tets[t, k]
            members[v, n_members[v]] = t
            n_members[v] += 1
        volumes[labels[t]] += tet_volume(points, tets, t)


@njit(cache=True, nogil=True)
def update_materials(c):  # type: ignore[no-untyped-def]
    """Write the labels of the tetrahedra around each vertex to ``materials``."""
    tets, labels, materials = c.tets, c.labels, c.materials
    sizes, size_at = c.sizes, c.size_at
    materials[:] = NONE
    size_at[:] = c.limits
    for t in range(tets.shape[0]):
        if labels[t] != VACANT:
            for k in range(4):
                v = tets[t, k]
                add_material(materials[v], labels[t])
                size_at[v] = min(size_at[v], sizes[labels[t]])


@njit(cache=True, nogil=True)
def next_round(c):  # type: ignore[no-untyped-def]
    """Begin a round: what has not changed since the last one began counts as settled."""
    update_materials(c)
    c.round[0] += 1


@njit(cache=True, nogil=True)
def is_settled(c, t):  # type: ignore[no-untyped-def]
    """Whether nothing at the vertices of row t has changed since the last round began."""
    tets, changed = c.tets, c.changed
    latest = changed[tets[t, 0]]
    for k in range(1, 4):
        latest = max(latest, changed[tets[t, k]])
    return latest < c.round[0] - 1


@njit(cache=True, nogil=True)
def mark_changed(c, v):  # type: ignore[no-untyped-def]
    """Note that the elements at a vertex have changed, and so those at its neighbours."""
    tets, members, changed, this_round = c.tets, c.members, c.changed, c.round[0]
    for q in range(c.n_members[v]):
        for k in range(4):
            changed[tets[members[v, q], k]] = this_round


@njit(inline="always")
def volume_of(points, i, j, k, m):  # type: ignore[no-untyped-def]
    """Signed volume of a tetrahedron."""
    ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
    ux, uy, uz = points[j, 0] - ax, points[j, 1] - ay, points[j, 2] - az
    vx, vy, vz = points[k, 0] - ax, points[k, 1] - ay, points[k, 2] - az
    wx, wy, wz = points[m, 0] - ax, points[m, 1] - ay, points[m, 2] - az
    det = (uy * vz - uz * vy) * wx + (uz * vx - ux * vz) * wy + (ux * vy - uy * vx) * wz
    return det / 6.0


@njit(inline="always")
def tet_volume(points, tets, t):  # type: ignore[no-untyped-def]
    """Volume of the tetrahedron in row t."""
    return volume_of(points, tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3])


@njit(inline="always")
def quality(points, label, i, j, k, m):  # type: ignore[no-untyped-def]
    """Cube of the mean ratio of a tetrahedron; outside it counts as better than it is."""
    ratio = cubed_mean_ratio(points, i, j, k, m)
    return min(1.0, OUTSIDE_WEIGHT * ratio) if label == OUTSIDE else ratio


@njit(inline="always")
def tet_quality(points, tets, labels, t):  # type: ignore[no-untyped-def]
    """Quality of the tetrahedron in row t."""
    return quality(points, labels[t], tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3])


@njit(cache=True, nogil=True)
def star_quality(c, v, enough):  # type: ignore[no-untyped-def]
    """Lowest quality of the tetrahedra at a vertex; some value below ``enough`` if it is below."""
    points, tets, labels, members = c.points, c.tets, c.labels, c.members
    worst = np.inf
    for q in range(c.n_members[v]):
        worst = min(worst, tet_quality(points, tets, labels, members[v, q]))
        if worst < enough:
            break
    return worst


@njit(inline="always")
def has_vertex(tets, t, v):  # type: ignore[no-untyped-def]
    """Whether the tetrahedron in row t has the vertex v."""
    return tets[t, 0] == v or tets[t, 1] == v or tets[t, 2] == v or tets[t, 3] == v


@njit(cache=True, nogil=True)
def local_index(tets, t, v):  # type: ignore[no-untyped-def]
    """Place of the vertex v in row t."""
    for k in range(3):
        if tets[t, k] == v:
            return k
    return 3


@njit(cache=True, nogil=True)
def erase(c, t):  # type: ignore[no-untyped-def]
    """Remove the tetrahedron in row t."""
    tets, labels, vacant = c.tets, c.labels, c.vacant
    members, n_members = c.members, c.n_members
    changed, this_round = c.changed, c.round[0]
    c.volumes[labels[t]] -= tet_volume(c.points, tets, t)
    for k in range(4):
        v = tets[t, k]
        changed[v] = this_round
        for q in range(n_members[v]):
            if members[v, q] == t:
                members[v, q] = members[v, n_members[v] - 1]
                n_members[v] -= 1
                break
    labels[t] = VACANT
    vacant[0] += 1
    vacant[vacant[0]] = t


@njit(cache=True, nogil=True)
def place(c, label, i, j, k, m):  # type: ignore[no-untyped-def]
    """Add a tetrahedron; a row and room at its vertices must be there."""
    tets, vacant = c.tets, c.vacant
    members, n_members = c.members, c.n_members
    changed, this_round = c.changed, c.round[0]
    t = vacant[vacant[0]]
    vacant[0] -= 1
    tets[t, 0], tets[t, 1], tets[t, 2], tets[t, 3] = i, j, k, m
    c.labels[t] = label
    for v in (i, j, k, m):
        members[v, n_members[v]] = t
        n_members[v] += 1
        changed[v] = this_round
    c.volumes[label] += volume_of(c.points, i, j, k, m)


@njit(cache=True, nogil=True)
def ring_around(c, a, b, ring, rows):  # type: ignore[no-untyped-def]
    """Number of tetrahedra around the edge (a, b); 0 if they do not close a ring.

    Writes the vertices of the ring and the tetrahedra to ``ring`` and ``rows`` (`MAX_RING`):
    the tetrahedron k has the vertices a, b, ring[k], ring[k + 1], positively oriented.
    """
    tets, members = c.tets, c.members
    n = 0
    following = np.empty(MAX_RING, np.int64)
    for q in range(c.n_members[a]):
        t = members[a, q]
        if has_vertex(tets, t, b):
            if n == MAX_RING:
                return 0
            i, j = local_index(tets, t, a), local_index(tets, t, b)
            rows[n] = t
            ring[n] = tets[t, OPPOSITE[i, j, 0]]
            following[n] = tets[t, OPPOSITE[i, j, 1]]
            n += 1
    for k in range(n - 1):
        found = False
        for q in range(k + 1, n):
            if ring[q] == following[k]:
                ring[k + 1], ring[q] = ring[q], ring[k + 1]
                rows[k + 1], rows[q] = rows[q], rows[k + 1]
                following[k + 1], following[q] = following[q], following[k + 1]
                found = True
                break
        if not found:
            return 0
    return n if n > 2 and following[n - 1] == ring[0] else 0


@njit(cache=True, nogil=True)
def is_first_try(c, a, b, kind):  # type: ignore[no-untyped-def]
    """Whether an edge was not yet tried in this round by operations of this kind, 0 or 1.

    A table without chains: an edge may be forgotten and tried again, never passed over.
    """
    low, high = min(a, b), max(a, b)
    n = c.points.shape[0]
    slot = (low * 2654435761 + high * 40503 + kind) % c.tried.size
    key = ((2 * c.round[0] + kind) * n + low) * n + high
    if c.tried[slot] == key:
        return False
    c.tried[slot] = key
    return True


@njit(cache=True, nogil=True)
def across_face(c, t, i, j, k):  # type: ignore[no-untyped-def]
    """The other tetrahedron with the face (i, j, k) of row t; -1 if there is none."""
    tets, members = c.tets, c.members
    for q in range(c.n_members[i]):
        s = members[i, q]
        if s != t and has_vertex(tets, s, j) and has_vertex(tets, s, k):
            return s
    return -1


@njit(cache=True, nogil=True)
def book(changes, materials, label, volume):  # type: ignore[no-untyped-def]
    """Add a change of volume to those of its label; false if there are too many labels."""
    for k in range(MAX_AFFECTED):
        if materials[k] == label or materials[k] == NONE:
            if materials[k] == NONE:
                materials[k] = label
                changes[k] = 0.0
            changes[k] += volume
            return True
    return False


@njit(cache=True, nogil=True)
def admitted(c, changes, materials):  # type: ignore[no-untyped-def]
    """Whether the changes of volume leave every grain near its target, or bring it nearer."""
    volumes, targets = c.volumes, c.targets
    for k in range(MAX_AFFECTED):
        if materials[k] == NONE:
            break
        label = materials[k]
        if label != OUTSIDE:
            before = abs(volumes[label] - targets[label])
            after = abs(volumes[label] + changes[k] - targets[label])
            if after > before and after > VOLUME_MARGIN * targets[label]:
                return False
    return True


@njit(cache=True, nogil=True)
def relabel(c, t, to):  # type: ignore[no-untyped-def]
    """Give t to another label; volumes, and materials at its vertices, are brought up to date."""
    volume = tet_volume(c.points, c.tets, t)
    c.volumes[c.labels[t]] -= volume
    c.volumes[to] += volume
    c.labels[t] = to
    for v in c.tets[t]:
        c.materials[v, :] = NONE
        for q in range(c.n_members[v]):
            add_material(c.materials[v], c.labels[c.members[v, q]])
