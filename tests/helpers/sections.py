"""Sections that several test files look at, and slow references."""

from collections import deque

import numpy as np
from scipy.spatial import cKDTree

from cathodegrain.generator.fitting.sections.reconstruction import pieces
from cathodegrain.generator.fitting.sections.section import Section, centroid

PIXEL = 0.05


def disc(shape, centre, radius):
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def flooded(present, same):
    """Components by breadth-first search, pixel by pixel."""
    labels, n = np.zeros(present.shape, int), 0
    for start in zip(*np.nonzero(present), strict=True):
        if labels[start]:
            continue
        n += 1
        labels[start] = n
        queue = deque([start])
        while queue:
            y, x = queue.popleft()
            for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= other[0] < present.shape[0] and 0 <= other[1] < present.shape[1]
                if inside and present[other] and not labels[other] and same((y, x), other):
                    labels[other] = n
                    queue.append(other)
    return labels


def section_of(labels, centre=(0.0, 0.0)):
    return Section(np.asarray(labels), PIXEL, centre, "here")


def voronoi(rng, radius, intensity=0.0012):
    """Section of a Poisson-Voronoi tessellation without preferred orientation, cut to a disc."""
    half = radius + 40
    n = rng.poisson(intensity * (2 * half) ** 2 * 80)
    seeds = rng.uniform(-1, 1, (n, 3)) * [half, half, 40]
    u, v = np.meshgrid(*[np.arange(-radius - 2, radius + 3)] * 2)
    points = np.stack([u, v, 0 * u], axis=-1).reshape(-1, 3)
    nearest = cKDTree(seeds).query(points)[1].reshape(u.shape) + 1
    labels = pieces(np.where(np.hypot(u, v) <= radius, nearest, 0))
    return section_of(labels, centroid(labels > 0))


def plane(particle, part, axis=2):
    """Section of a particle normal to an axis, at a part of its radius from the centre."""
    half = 1.3 * particle.shell.diameter_um / 2
    across = np.arange(-half, half, PIXEL)
    u, v = np.meshgrid(across, across)
    depth = np.full_like(u, part * particle.shell.diameter_um / 2)
    points = np.roll(np.stack([u, v, depth], axis=-1), axis - 2, axis=-1)
    labels = pieces(particle.grain_at(points))
    return section_of(labels, centroid(labels > 0))
