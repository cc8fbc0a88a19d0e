"""Families of tessellations that the tests draw from."""

import numpy as np

from cathodegrain.generator.radial_frame import radial_rotations
from cathodegrain.generator.tessellation import Tessellation

FAMILIES = {  # ranges of d_1, d_2 and d_3, r
    "mild": ((0.8, 1.2), (3, 5), (1, 4)),
    "long": ((0.5, 2), (15, 40), (1, 10)),
    "wild": ((0.05, 10), (1, 50), (1, 10)),
}


def random_tessellation(n, family="mild", metric="norm", half=16.0, seed=0):
    """Tessellation of n uniform seeds in a cube with radial markers, in pixels."""
    rng = np.random.default_rng(seed)
    radial, transverse, offset = FAMILIES[family]
    seeds = rng.uniform(-half, half, (n, 3))
    q = radial_rotations(seeds, rng.uniform(0, np.pi, n))
    d = np.column_stack([rng.uniform(*radial, n), rng.uniform(*transverse, (n, 2))])
    matrices = np.einsum("nki,nk,nkj->nij", q, d, q)
    matrices = (matrices + matrices.transpose(0, 2, 1)) / 2
    return Tessellation(seeds, matrices, rng.uniform(*offset, n), metric)


def voxel_axis(n, half=16.0):
    """Centres of n voxels from -half to half."""
    return -half + (np.arange(n) + 0.5) * (2 * half / n)
