"""Particles of known geometry, and slow references for the connectivity of meshes."""

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np

from cathodegrain.generator.particle import Particle, Provenance
from cathodegrain.generator.shell import Shell
from cathodegrain.generator.tessellation import Tessellation


def ball(card, seeds, radius_um=1.0):
    """Ball divided by the Voronoi tessellation of some seeds."""
    n = len(seeds)
    tessellation = Tessellation(np.asarray(seeds, float), np.stack([np.eye(3)] * n), np.ones(n))
    return Particle(
        shell=Shell.sphere(radius_um),
        tessellation=tessellation,
        diagonals=np.ones((n, 3)),
        angles=np.zeros(n),
        origin=np.zeros((n, 4), np.int32),
        orientations=None,
        provenance=Provenance(card=card, entropy=0, index=0),
    )


def faces_of(tets):
    """Rows of the tetrahedra that have each face, by its sorted vertices."""
    faces = defaultdict(list)
    for row, tet in enumerate(tets.tolist()):
        for face in combinations(sorted(tet), 3):
            faces[face].append(row)
    return faces


def edge_counts(triangles):
    """How many triangles have each edge, by its sorted vertices."""
    return Counter(
        edge for triangle in triangles.tolist() for edge in combinations(sorted(triangle), 2)
    )


def umbrellas(triangles):
    """Number of edge-connected groups of triangles around each vertex."""
    around = defaultdict(list)
    for triangle in triangles.tolist():
        for vertex in triangle:
            around[vertex].append(frozenset(triangle) - {vertex})
    return {vertex: _n_components(links) for vertex, links in around.items()}


def _n_components(links):
    groups = []
    for link in links:
        touching = [group for group in groups if group & link]
        groups = [group for group in groups if not group & link]
        groups.append(frozenset(link).union(*touching))
    return len(groups)
