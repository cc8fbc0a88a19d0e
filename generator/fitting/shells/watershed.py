"""Watershed of a distance map: a body of touching particles cut at its necks.

Voxels are flooded from the deepest to the shallowest, those of equal depth breadth-first
from what is labelled already; a voxel or plateau without labelled neighbour is a new
catchment. Where two meet first, at their neck, they become one if the neck is wide. This is
the flooding of Vincent and Soille (IEEE Trans. Pattern Anal. Mach. Intell. 13, 1991, 583)
without lines between the catchments, with markers chosen by relative depth.

It is here for its memory, 4 bytes for each voxel and 4 to 8 for each of the body;
``skimage.segmentation.watershed`` takes 30, and its markers have to be found before.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def catchments(distance2: NDArray[np.unsignedinteger], neck: float) -> NDArray[np.int32]:
    """Label of the catchment of each voxel.

    Parameters
    ----------
    distance2
        (nz, ny, nx) unsigned integers, squared distance from the background, 0 in it.
    neck
        Catchments whose neck has at least this part of the depth of the shallower one are
        one: 0 joins all that touch, above 1 none.

    Returns
    -------
    (nz, ny, nx) int32
        0 in the background, 1, 2, ... in the order of the first voxel of each.

    Examples
    --------
    >>> row = np.array([[[0, 1, 4, 1, 4, 9, 4, 1, 0]]], np.uint16)
    >>> catchments(row, neck=0.8)
    array([[[0, 1, 1, 2, 2, 2, 2, 2, 0]]], dtype=int32)
    >>> int(catchments(row, neck=0.5).max())
    1
    """
    levels = np.ascontiguousarray(distance2).reshape(-1)
    index = np.int32 if levels.size < np.iinfo(np.int32).max else np.int64
    counts = _level_counts(levels, int(levels.max(initial=0)))
    order = np.empty(int(counts[1:].sum()), index)
    _deepest_first(levels, counts, order)
    labels = np.zeros(levels.size, np.int32)
    queue = np.empty(int(counts[1:].max(initial=1)), index)
    parents = _flood(levels, distance2.shape, counts, order, queue, neck * neck, labels)
    del order, queue
    _relabel(labels, parents)
    return labels.reshape(distance2.shape)


@njit(cache=True, nogil=True)
def _level_counts(levels, top):  # type: ignore[no-untyped-def]
    counts = np.zeros(top + 1, np.int64)
    for level in levels:
        counts[level] += 1
    return counts


@njit(cache=True, nogil=True)
def _deepest_first(levels, counts, order):  # type: ignore[no-untyped-def]
    """Write the indices of all voxels above 0, by falling level, equal ones as they come."""
    starts = np.zeros_like(counts)
    for level in range(len(counts) - 2, 0, -1):
        starts[level] = starts[level + 1] + counts[level + 1]
    for v in range(len(levels)):
        if levels[v] > 0:
            order[starts[levels[v]]] = v
            starts[levels[v]] += 1


@njit(cache=True, nogil=True)
def _flood(levels, shape, counts, order, queue, neck2, labels):  # type: ignore[no-untyped-def]
    """Write the catchment of each voxel; returns the one that each has been joined to."""
    parents, peaks = np.zeros(1024, np.int32), np.zeros(1024, np.int64)
    near = np.empty(6, np.int64)
    n_labels, end = 0, 0
    for level in range(len(counts) - 1, 0, -1):
        start, end = end, end + counts[level]
        tail = 0
        for k in range(start, end):
            source = _deepest_labelled(order[k], levels, shape, labels, near)
            if source >= 0:
                queue[tail] = order[k]
                labels[order[k]] = labels[source]
                tail += 1
        _grow(queue, tail, level, levels, shape, labels, near)
        for k in range(start, end):
            if labels[order[k]] == 0:
                n_labels += 1
                if n_labels == len(parents):
                    parents = np.append(parents, np.zeros_like(parents))
                    peaks = np.append(peaks, np.zeros_like(peaks))
                parents[n_labels], peaks[n_labels] = n_labels, level
                labels[order[k]] = n_labels
                queue[0] = order[k]
                _grow(queue, 1, level, levels, shape, labels, near)
        for k in range(start, end):
            _join(order[k], level, shape, labels, parents, peaks, neck2, near)
    return parents[: n_labels + 1]


@njit(cache=True, nogil=True)
def _neighbours(v, shape, near):  # type: ignore[no-untyped-def]
    """Write the indices of the voxels that share a face with v; returns how many there are."""
    plane = shape[1] * shape[2]
    z, rest = v // plane, v % plane
    y, x = rest // shape[2], rest % shape[2]
    n = 0
    if z > 0:
        near[n], n = v - plane, n + 1
    if z < shape[0] - 1:
        near[n], n = v + plane, n + 1
    if y > 0:
        near[n], n = v - shape[2], n + 1
    if y < shape[1] - 1:
        near[n], n = v + shape[2], n + 1
    if x > 0:
        near[n], n = v - 1, n + 1
    if x < shape[2] - 1:
        near[n], n = v + 1, n + 1
    return n


@njit(cache=True, nogil=True)
def _deepest_labelled(v, levels, shape, labels, near):  # type: ignore[no-untyped-def]
    """The deepest neighbour that has a label, of equal ones that of the lowest; -1: none."""
    found = -1
    for k in range(_neighbours(v, shape, near)):
        w = near[k]
        if labels[w] == 0 or levels[w] <= levels[v]:
            continue
        if (
            found < 0
            or levels[w] > levels[found]
            or (levels[w] == levels[found] and labels[w] < labels[found])
        ):
            found = w
    return found


@njit(cache=True, nogil=True)
def _grow(queue, tail, level, levels, shape, labels, near):  # type: ignore[no-untyped-def]
    """Label what is connected to the queue at its level, breadth-first."""
    head = 0
    while head < tail:
        v = queue[head]
        head += 1
        for k in range(_neighbours(v, shape, near)):
            w = near[k]
            if levels[w] == level and labels[w] == 0:
                labels[w] = labels[v]
                queue[tail] = w
                tail += 1


@njit(cache=True, nogil=True)
def _join(v, level, shape, labels, parents, peaks, neck2, near):  # type: ignore[no-untyped-def]
    """Make the catchments that meet in v at this level one, if that is wide for a neck."""
    for k in range(_neighbours(v, shape, near)):
        if labels[near[k]] == 0:
            continue
        a, b = _root(parents, labels[v]), _root(parents, labels[near[k]])
        if a == b:
            continue
        if peaks[a] < peaks[b] or (peaks[a] == peaks[b] and a > b):
            a, b = b, a
        if level >= neck2 * peaks[b]:
            parents[b] = a


@njit(cache=True, nogil=True)
def _root(parents, label):  # type: ignore[no-untyped-def]
    while parents[label] != label:
        parents[label] = parents[parents[label]]
        label = parents[label]
    return label


@njit(cache=True, nogil=True)
def _relabel(labels, parents):  # type: ignore[no-untyped-def]
    """Number what is left from 1 on, in the order of the first voxel."""
    new = np.zeros(len(parents), np.int32)
    n = 0
    for v in range(len(labels)):
        if labels[v] == 0:
            continue
        root = _root(parents, labels[v])
        if new[root] == 0:
            n += 1
            new[root] = n
        labels[v] = new[root]
