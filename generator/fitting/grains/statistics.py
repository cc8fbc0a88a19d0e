"""Descriptors of grains in space, and distances between samples of them.

Volumes are cubic pixels, from voxels of one pixel. Principal lengths are those of the
ellipsoid of equal second moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...voxels.grid import Grid
from ...voxels.morphology import grain_morphology, sphericity
from ..sections.grain_model import Block

LEAST_VOXELS = 30  # smaller grains have no shape
SPATIAL = {
    "volume": "volume (px^3)",
    "elongation": "longest / middle axis",
    "flatness": "middle / shortest axis",
    "radial_angle": "angle of the long axis to the radius (rad)",
    "sphericity": "sphericity",
    "neighbours": "neighbours",
}

Values = NDArray[np.float64]
Sample = dict[str, Values]


class BlockGrains(NamedTuple):
    """The measured grains of a block."""

    values: Sample  # (n,) of each of `SPATIAL`
    relative_radii: Values  # (n,) t of their seed points


def spatial_sample(blocks: list[Block]) -> Sample:
    """Values of each of `SPATIAL`, of all measured grains of some blocks."""
    parts = [block_grains(block).values for block in blocks]
    return {name: np.concatenate([part[name] for part in parts]) for name in SPATIAL}


def block_grains(block: Block) -> BlockGrains:
    """The measured grains of one block that have `LEAST_VOXELS` or more."""
    grid = Grid(block.origin, 1.0, block.labels.shape)
    n = len(block.measured)
    shape = grain_morphology(block.labels, grid, n)
    kept = block.measured & (shape.voxel_count >= LEAST_VOXELS)
    lengths = shape.principal_lengths_um[kept]
    values = {
        "volume": shape.volume_um3[kept],
        "elongation": lengths[:, 0] / lengths[:, 1],
        "flatness": lengths[:, 1] / lengths[:, 2],
        "radial_angle": np.radians(shape.radial_angle_deg[kept]),
        "sphericity": _sphericities(block.labels, np.flatnonzero(kept) + 1),
        "neighbours": _neighbours(block.labels, n)[kept].astype(float),
    }
    return BlockGrains(values, block.relative_radii[kept])


def _sphericities(labels: NDArray[np.int32], chosen: NDArray[np.int64]) -> Values:
    from scipy import ndimage

    boxes = ndimage.find_objects(labels)
    return np.array([sphericity(labels[boxes[k - 1]] == k) for k in chosen])


def _neighbours(labels: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """Number of grains that share a face of a voxel with each grain, (n,)."""
    pairs = []
    for axis in range(3):
        moved = np.moveaxis(labels, axis, 0)
        low, high = moved[:-1], moved[1:]
        differ = low != high
        pairs.append(np.stack([low[differ], high[differ]], axis=1))
    both = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    return np.bincount(both.ravel(), minlength=n + 1)[1 : n + 1]


@dataclass(frozen=True)
class Difference:
    """How far one descriptor of a sample is from that of another.

    Parameters
    ----------
    ks
        Kolmogorov-Smirnov statistic.
    wasserstein
        Wasserstein distance of order 1, in standard deviations of the reference.
    mean, spread
        Mean and standard deviation of the sample over those of the reference.
    """

    descriptor: str
    ks: float
    wasserstein: float
    mean: float
    spread: float


def differences(sample: Sample, reference: Sample) -> list[Difference]:
    """`Difference` of each descriptor of the reference."""
    from scipy.stats import ks_2samp, wasserstein_distance

    found = []
    for name, expected in reference.items():
        values = sample[name]
        found.append(
            Difference(
                descriptor=name,
                ks=float(ks_2samp(values, expected, method="asymp").statistic),
                wasserstein=float(wasserstein_distance(values, expected) / expected.std()),
                mean=float(values.mean() / expected.mean()),
                spread=float(values.std() / expected.std()),
            )
        )
    return found
