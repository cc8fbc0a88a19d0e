"""Small labelled meshes under change, and slow references for all that is known of them."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cathodegrain.exporters.mesh.material_field import NONE
from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.meshing.grain_pieces import whole_grains
from cathodegrain.exporters.meshing.outer_manifold import manifold_outside
from cathodegrain.exporters.optimisation.smoothing import Smoothing, smooth, trial_offsets
from cathodegrain.exporters.optimisation.tet_complex import (
    MAX_MATERIALS,
    VACANT,
    complex_of,
    hull_of,
    tet_quality,
)
from meshes import faces_of, kuhn_lattice


def lattice(shape, rng, jitter=0.2, pitch=1.0):
    """Points and tetrahedra of a lattice about the origin, inner points moved at random."""
    mesh = kuhn_lattice(shape)
    points = mesh.points.copy()
    inner = ((points > 0) & (points < shape)).all(axis=1)
    moved = points + jitter * rng.uniform(-1, 1, points.shape) * inner[:, None]
    while (signed_volumes(moved, mesh.tets) < 1e-4).any():
        moved = points + 0.7 * (moved - points)
    return pitch * (moved - np.array(shape) / 2), mesh.tets


def random_labels(points, tets, rng, n_grains, stray=0.0):
    """Voronoi labels 1..n_grains of the tetrahedra; a part of them at random; 0 at the hull."""
    centres = points[tets].mean(axis=1)
    seeds = rng.choice(centres, n_grains, replace=False)
    labels = 1 + np.linalg.norm(centres[:, None] - seeds, axis=2).argmin(axis=1)
    lost = rng.random(len(tets)) < stray
    labels[lost] = rng.integers(0, n_grains + 1, lost.sum())
    hull = np.abs(points).max(axis=0)
    labels[(np.abs(points[tets]) > hull - 1e-9).any(axis=(1, 2))] = 0
    return labels.astype(np.int32)


def made(points, tets, labels, targets=None, size=1.0):
    """Complex of a mesh; each grain's target is its volume unless given."""
    volumes = np.bincount(labels, signed_volumes(points, tets))
    n = len(volumes)
    return complex_of(
        points,
        tets,
        labels,
        hull_of(tets, len(points)),
        volumes if targets is None else targets,
        np.full(n, size),
    )


def manifold_case(rng, shape=(6, 6, 6), n_grains=4, stray=0.05, jitter=0.2, pitch=1.0):
    """Complex with random labels whose outer surface is a closed manifold."""
    points, tets = lattice(shape, rng, jitter, pitch)
    labels = random_labels(points, tets, rng, n_grains, stray)
    labels, _ = manifold_outside(points, tets, labels)
    return made(points, tets, labels, size=pitch)


def alive(c):
    """Tetrahedra and labels that are there."""
    there = c.labels != VACANT
    return c.tets[there], c.labels[there]


def qualities(c):
    """Quality of every tetrahedron that is there."""
    return np.array(
        [tet_quality(c.points, c.tets, c.labels, t) for t in np.flatnonzero(c.labels != VACANT)]
    )


@dataclass(frozen=True)
class Start:
    """What must not change, of a complex before anything is done to it."""

    volume: float
    hull: frozenset
    hull_points: dict
    errors: np.ndarray

    @classmethod
    def of(cls, c):
        tets, _ = alive(c)
        hull = frozenset(face for face, rows in faces_of(tets).items() if len(rows) == 1)
        ends = {v for face in hull for v in face}
        volume = signed_volumes(c.points, tets).sum()
        return cls(
            volume, hull, {v: c.points[v].tolist() for v in ends}, np.abs(c.volumes - c.targets)
        )

    def check(self, c):
        """A mesh of the same domain, every number about it exact."""
        tets, labels = alive(c)
        volumes = signed_volumes(c.points, tets)
        assert volumes.min() > 0
        assert abs(volumes.sum() / self.volume - 1) < 1e-12
        faces = faces_of(tets)
        assert max(len(rows) for rows in faces.values()) <= 2
        assert {face for face, rows in faces.items() if len(rows) == 1} == self.hull
        assert all(c.points[v].tolist() == x for v, x in self.hull_points.items())
        by_label = np.bincount(labels, volumes, minlength=len(c.volumes))
        np.testing.assert_allclose(c.volumes, by_label, rtol=0, atol=1e-12 * self.volume)
        assert_books_are_exact(c)

    def check_targets(self, c):
        """No grain farther from its target than before, or than the margin."""
        from cathodegrain.exporters.optimisation.tet_complex import VOLUME_MARGIN

        error = np.abs(c.volumes - c.targets)[1:]
        allowed = np.maximum(self.errors, VOLUME_MARGIN * c.targets)[1:]
        assert (error <= allowed + 1e-12 * self.volume).all()


def assert_books_are_exact(c):
    """Members, vacant rows and materials against a recount."""
    rows = np.flatnonzero(c.labels != VACANT)
    members = [set() for _ in c.points]
    around = [set() for _ in c.points]
    for t in rows.tolist():
        assert len(set(c.tets[t].tolist())) == 4
        for v in c.tets[t].tolist():
            members[v].add(t)
            around[v].add(int(c.labels[t]))
    for v, expected in enumerate(members):
        assert sorted(c.members[v, : c.n_members[v]].tolist()) == sorted(expected)
        known = set(c.materials[v].tolist()) - {NONE}
        assert around[v] <= known or len(known) == MAX_MATERIALS
    height = int(c.vacant[0])
    stack = c.vacant[1 : height + 1].tolist()
    assert sorted(stack) == np.flatnonzero(c.labels == VACANT).tolist()


def euler(simplices):
    """Euler characteristic of the complex of all faces of some simplices (n, k)."""
    size = simplices.shape[1]
    rows = [tuple(sorted(s)) for s in simplices.tolist()]
    parts = [{f for row in rows for f in combinations(row, k)} for k in range(1, size + 1)]
    return sum((-1) ** k * len(part) for k, part in enumerate(parts))


def n_pieces(tets):
    """Number of pieces that hang together over faces."""
    parent = list(range(len(tets)))

    def root(t):
        while parent[t] != t:
            t = parent[t]
        return t

    for rows in faces_of(tets).values():
        if len(rows) == 2:
            parent[root(rows[1])] = root(rows[0])
    return len({root(t) for t in range(len(tets))})


def outer_faces(tets, labels):
    """Sorted triangles between label 0 and the rest, (k, 3)."""
    return np.array(
        [
            face
            for face, rows in faces_of(tets).items()
            if len(rows) == 2 and (labels[rows[0]] == 0) != (labels[rows[1]] == 0)
        ]
    )


def smoothed(c, field, **settings):
    """Smooth with everyday settings but for those given."""
    usual = Smoothing(
        threshold=0.6, floor=0.2, relax_below=0.5, tolerance=0.05, hopeful=0.35, tries=14
    )
    return smooth(c, field, usual._replace(**settings), trial_offsets())


def cubes(labels):
    """Points, tetrahedra and labels of unit cubes."""
    labels = np.asarray(labels)
    mesh = kuhn_lattice(labels.shape)
    return mesh.points, mesh.tets, np.repeat(labels.ravel(), 6).astype(np.int32)


def whole_cubes(labels, smallest=0.0):
    """Labels of the cubes after `whole_grains`, and what moved."""
    labels = np.asarray(labels)
    found, moved = whole_grains(*cubes(labels), smallest)
    by_cube = found.reshape(-1, 6)
    assert (by_cube == by_cube[:, :1]).all()
    return by_cube[:, 0].reshape(labels.shape), moved
