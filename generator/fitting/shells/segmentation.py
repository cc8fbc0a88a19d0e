"""Particles of a CT volume: from grey levels to labelled, whole particles.

Section 2.1 of the paper: Gaussian filter, Otsu's threshold, watershed, disconnected pieces
made labels of their own, small and non-spherical ones merged with a neighbour, particles at
the border of the window removed. Volumes are (nz, ny, nx); lengths are voxels, cubes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...progress import Progress, Step
from ...voxels.morphology import sphericity
from .watershed import catchments

Box = tuple[slice, slice, slice]

CLASSES = 1024  # of the histogram that Otsu's threshold is found from


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings:
    """How particles are found.

    Parameters
    ----------
    sigma
        Standard deviation of the Gaussian filter, voxels; the paper's is 1.8.
    neck
        Bodies that touch are two particles if the inscribed radius of the neck between
        them is below this part of that of the smaller one. Not in the paper.
    min_voxels
        Components with fewer voxels are merged with a neighbour; the paper's 10.
    min_sphericity
        So are those of lower sphericity; the paper's 0.5.
    """

    sigma: float = 1.8
    neck: float = 0.8
    min_voxels: int = 10
    min_sphericity: float = 0.5

    def __post_init__(self) -> None:
        limits = {
            "sigma": (0, 20),
            "neck": (0, 1),
            "min_voxels": (1, 1e9),
            "min_sphericity": (0, 1),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:  # true for NaN
                msg = f"{name} is {getattr(self, name)}, expected {low} to {high:g}"
                raise FitError(msg)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labelled particles.

    Parameters
    ----------
    labels
        (nz, ny, nx) int32: 0, or 1 ... n for whole particles.
    boxes
        (n,) box of each particle in ``labels``.
    steps
        What was done, in order.
    """

    labels: NDArray[np.int32]
    boxes: tuple[Box, ...]
    steps: tuple[Step, ...]

    @property
    def n_particles(self) -> int:
        """Number of whole particles."""
        return len(self.boxes)

    def mask(self, label: int) -> NDArray[np.bool_]:
        """Voxels of a particle in its box, with a margin of one voxel without it."""
        box = self.boxes[label - 1]
        return np.pad(self.labels[box] == label, 1)


def segmented_grey(
    values: NDArray[Any],
    settings: SegmentationSettings,
    progress: Progress,
) -> Segmentation:
    """Particles of a grey-level volume, in which they are bright.

    Raises
    ------
    FitError
        If a value is not finite, all are equal, or no whole particle is found.
    """
    progress("smoothing", 0.0)
    mask, step = bright_phase(values, settings.sigma)
    return _particles(mask, settings, (step,), progress)


def segmented_binary(
    values: NDArray[Any],
    settings: SegmentationSettings,
    progress: Progress,
) -> Segmentation:
    """Particles of a volume of two values, 0 and that of the particles."""
    found = np.unique(values)
    if len(found) > 2 or found[0] != 0:
        shown = ", ".join(f"{value:g}" for value in found[:6].tolist())
        more = ", ..." if len(found) > 6 else ""
        msg = (
            f"the volume has the values {shown}{more}, expected two, 0 and that of the "
            "particles; leave --segmented out for grey levels, or say --labelled"
        )
        raise FitError(msg)
    mask = values != 0
    return _particles(mask, settings, (_phase("as given", mask),), progress)


def segmented_labels(
    values: NDArray[Any],
    settings: SegmentationSettings,
    progress: Progress,
) -> Segmentation:
    """Particles of a volume of labels, 0 between them: only split, merged and bordered."""
    if values.dtype.kind not in "iub" or (values.dtype.kind == "i" and values.min() < 0):
        msg = (
            f"labels have the type {values.dtype} and the least value {values.min()}, expected "
            "whole numbers, 0 between the particles"
        )
        raise FitError(msg)
    _require_both_phases(values != 0)
    labels, step = connected(values)
    return _whole(labels, settings, (step,), progress)


def bright_phase(values: NDArray[Any], sigma: float) -> tuple[NDArray[np.bool_], Step]:
    """Voxels above Otsu's threshold of the smoothed volume.

    The histogram has `CLASSES` classes between the extremes.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    smooth = np.empty(values.shape, np.float32)
    ndimage.gaussian_filter(values, sigma, output=smooth)
    low, high = float(smooth.min()), float(smooth.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        msg = (
            "the volume holds NaN or infinite values, expected grey levels; replace them, for "
            "example with numpy.nan_to_num, or cut the part without them out"
        )
        raise FitError(msg)
    if low == high:
        msg = f"all grey levels are {low:g}: the volume is empty, expected particles in a matrix"
        raise FitError(msg)
    counts = np.zeros(CLASSES, np.int64)
    for layer in smooth:
        counts += np.histogram(layer, CLASSES, (low, high))[0]
    edges = np.linspace(low, high, CLASSES + 1)
    threshold = float(threshold_otsu(hist=(counts, (edges[1:] + edges[:-1]) / 2)))
    mask = smooth > threshold
    remark = f"Gaussian filter of {sigma:g} voxels, Otsu's threshold {threshold:.6g}"
    return mask, _phase(remark, mask)


def _phase(remark: str, mask: NDArray[np.bool_]) -> Step:
    _require_both_phases(mask)
    return Step("phase", 0, f"{remark}: {mask.mean():.1%} of the volume")


def _require_both_phases(mask: NDArray[np.bool_]) -> None:
    part = float(mask.mean()) if mask.size else 0.0
    if part in (0.0, 1.0):
        msg = f"{part:.0%} of the volume is particle, expected particles and what is between them"
        raise FitError(msg)


def _particles(
    mask: NDArray[np.bool_],
    settings: SegmentationSettings,
    steps: tuple[Step, ...],
    progress: Progress,
) -> Segmentation:
    """Particles of the phase ``mask``, cut at their necks."""
    progress("distance to the matrix", 0.1)
    depth2 = squared_depth(mask)
    del mask
    progress("watershed", 0.3)
    labels = catchments(depth2, settings.neck)
    remark = f"cut at necks below {settings.neck:g} of the inscribed radius"
    steps = (*steps, Step("watershed", int(labels.max()), remark))
    return _whole(labels, settings, steps, progress)


def squared_depth(mask: NDArray[np.bool_]) -> NDArray[np.unsignedinteger]:
    """Squared distance to the nearest voxel outside ``mask``, whole numbers, voxels^2."""
    import edt

    exact = edt.edtsq(np.ascontiguousarray(mask), parallel=1)
    kind = np.uint16 if exact.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
    return exact.astype(kind)


def connected(labels: NDArray[Any]) -> tuple[NDArray[np.int32], Step]:
    """Labels 1 ... n of the pieces, connected through faces, of each label."""
    import cc3d

    before = int(np.count_nonzero(np.unique(labels)))
    own = np.require(labels, requirements=["C", "W"])  # cc3d refuses read-only memory
    found: Any = cc3d.connected_components(own, connectivity=6)
    pieces: NDArray[np.int32] = found.astype(np.int32)
    n = int(pieces.max())
    return pieces, Step("pieces", n, f"{n - before} more than labels: disconnected pieces")


def _whole(
    labels: NDArray[np.int32],
    settings: SegmentationSettings,
    steps: tuple[Step, ...],
    progress: Progress,
) -> Segmentation:
    progress("merging", 0.6)
    labels, merging = merged(labels, settings)
    progress("removing what the border cuts", 0.9)
    labels, border = inside_window(labels)
    steps = (*steps, merging, border)
    if border.n_components == 0:
        listed = "; ".join(f"{s.name}: {s.n_components or ''} {s.remark}" for s in steps)
        msg = (
            f"no whole particle is in the volume ({listed}); expected particles that do not "
            "touch its border: take a larger part of the scan"
        )
        raise FitError(msg)
    progress("particles found", 1.0)
    return Segmentation(labels, _boxes(labels), steps)


def _boxes(labels: NDArray[np.int32]) -> tuple[Box, ...]:
    from scipy import ndimage

    return tuple((a, b, c) for a, b, c in ndimage.find_objects(labels))


def merged(
    labels: NDArray[np.int32], settings: SegmentationSettings
) -> tuple[NDArray[np.int32], Step]:
    """Labels with small and non-spherical components given to a neighbour, or dropped.

    From the smallest component on; each goes to the one with which it shares the most
    faces of voxels, and is dropped if there is none. What has grown by then is judged as it
    has become. ``labels`` is changed.
    """
    boxes = dict(enumerate(_boxes(labels), start=1))
    poor = [k for k, box in boxes.items() if _is_poor(labels[box] == k, settings)]
    counts = {k: np.count_nonzero(labels[boxes[k]] == k) for k in poor}
    n_merged = n_dropped = 0
    for k in sorted(poor, key=lambda k: (counts[k], k)):
        box = boxes[k]
        if not _is_poor(labels[box] == k, settings):
            continue
        wide = _widened(box, labels.shape)
        neighbour = _closest_neighbour(labels[wide], k)
        labels[box][labels[box] == k] = neighbour
        del boxes[k]
        if neighbour:
            boxes[neighbour] = _joined(boxes[neighbour], box)
            n_merged += 1
        else:
            n_dropped += 1
    remark = (
        f"below {settings.min_voxels} voxels or a sphericity of {settings.min_sphericity:g}: "
        f"{n_merged} merged with a neighbour, {n_dropped} without one dropped"
    )
    return labels, Step("merging", len(boxes), remark)


def _is_poor(mask: NDArray[np.bool_], settings: SegmentationSettings) -> bool:
    if np.count_nonzero(mask) < settings.min_voxels:
        return True
    return sphericity(mask) < settings.min_sphericity


def _widened(box: Box, shape: tuple[int, ...]) -> Box:
    """The box with a margin of one voxel, as far as there are any."""
    a, b, c = (
        slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True)
    )
    return a, b, c


def _joined(box: Box, other: Box) -> Box:
    a, b, c = (
        slice(min(s.start, o.start), max(s.stop, o.stop)) for s, o in zip(box, other, strict=True)
    )
    return a, b, c


def _closest_neighbour(labels: NDArray[np.int32], label: int) -> int:
    """The label with the most faces to voxels of ``label``, of equal ones the lowest; or 0."""
    touching = []
    for axis in range(3):
        low = np.moveaxis(labels, axis, 0)[:-1]
        high = np.moveaxis(labels, axis, 0)[1:]
        touching += [high[low == label], low[high == label]]
    found = np.concatenate(touching)
    found = found[(found != label) & (found != 0)]
    return int(np.bincount(found).argmax()) if len(found) else 0


def inside_window(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], Step]:
    """Labels, numbered anew, without those that touch the border. ``labels`` is changed."""
    cut = np.zeros(int(labels.max()) + 1, bool)
    present = cut.copy()
    for layer in labels:
        present[layer] = True
    for axis in range(3):
        for end in (0, -1):
            cut[np.take(labels, end, axis)] = True
    kept = present & ~cut
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    for layer in labels:
        layer[:] = numbers[layer]
    n_cut = int(np.count_nonzero(cut[1:]))
    return labels, Step(
        "border", int(kept.sum()), f"{n_cut} touch the border of the window: dropped"
    )
