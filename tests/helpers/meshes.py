"""Particles of known geometry, and slow references for the connectivity of meshes."""

from collections import Counter, defaultdict
from itertools import combinations, permutations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.particle import Particle, Provenance
from cathodegrain.generator.shell.shell import Shell


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
        provenance=Provenance(card=card, seed=0, index=0),
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


def kuhn_lattice(shape, labels=None):
    """Unit cubes of six tetrahedra each, the grain id of a cube or of a tetrahedron.

    ``labels`` is an array of shape ``shape`` or (n_tets,); 1 everywhere if not given.
    """
    corners = np.array(list(np.ndindex(*(n + 1 for n in shape))))
    number = np.arange(len(corners)).reshape([n + 1 for n in shape])
    cells = np.array(list(np.ndindex(*shape)))
    tets = []
    for axes in permutations(range(3)):
        path = np.cumsum([np.zeros(3, int), *np.eye(3, dtype=int)[list(axes)]], axis=0)
        odd = np.linalg.det(np.diff(path, axis=0)) < 0
        path = path[[0, 2, 1, 3]] if odd else path
        tets.append(np.stack([number[tuple((cells + step).T)] for step in path], axis=1))
    tets = np.stack(tets, axis=1).reshape(-1, 4)
    labels = np.ones(shape, int) if labels is None else np.asarray(labels)
    ids = np.repeat(labels.ravel(), 6) if labels.shape == tuple(shape) else labels
    n_grains = int(labels.max())
    return VolumeMesh(corners.astype(float), tets, ids, n_grains, {"n_grains": n_grains})


def pieces(tets, n_points, *ties):
    """Number of connected components of nodes; ``ties`` are further edges (k, 2)."""
    edges = np.concatenate([tets[:, [0, 1]], tets[:, [0, 2]], tets[:, [0, 3]], *ties])
    graph = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(n_points, n_points))
    return connected_components(graph, directed=False)[0]
