"""Families of tessellations that the tests draw from."""

import numpy as np

from cathodegrain.generator.grains.gbpd_kernels import OUTSIDE, cull, shell_state
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.markers.radial_frame import radial_rotations
from cathodegrain.generator.shell.shell import Shell

FAMILIES = {  # ranges of d_1, d_2 and d_3, r
    "mild": ((0.8, 1.2), (3, 5), (1, 4)),
    "long": ((0.5, 2), (15, 40), (1, 10)),
    "wild": ((0.05, 10), (1, 50), (1, 10)),
}
STRESS = [
    "ill-conditioned", "duplicated seeds", "seeds on voxel centres", "equal grains",
    "huge offsets", "huge matrices", "tiny matrices", "one line", "far seeds",
]  # fmt: skip


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


def stressed(name, metric):
    """A wild tessellation that is hard on the arithmetic in the way of ``STRESS``."""
    rng = np.random.default_rng(5)
    gbpd = random_tessellation(100, "wild", metric)
    q = np.linalg.qr(rng.normal(size=(100, 3, 3)))[0]
    change = {
        "ill-conditioned": lambda: {"matrices": np.einsum(
            "nki,nk,nkj->nij", q, 10.0 ** rng.uniform(-3, 2.7, (100, 3)), q)},
        "duplicated seeds": lambda: {"seeds": np.repeat(gbpd.seeds[:10], 10, axis=0)},
        "seeds on voxel centres": lambda: {
            "seeds": rng.choice(voxel_axis(32), (100, 3)), "matrices": np.stack([np.eye(3)] * 100),
            "offsets": np.zeros(100)},
        "equal grains": lambda: {
            "seeds": np.repeat(gbpd.seeds[:1], 100, axis=0),
            "matrices": np.repeat(gbpd.matrices[:1], 100, axis=0), "offsets": np.zeros(100)},
        "huge offsets": lambda: {"offsets": gbpd.offsets * 1e3},
        "huge matrices": lambda: {"matrices": gbpd.matrices * 1e8},
        "tiny matrices": lambda: {"matrices": gbpd.matrices * 1e-8},
        "one line": lambda: {"seeds": gbpd.seeds * [1, 0, 0]},
        "far seeds": lambda: {"seeds": gbpd.seeds + 1e4},
    }[name]()  # fmt: skip
    fields = {"seeds": gbpd.seeds, "matrices": gbpd.matrices, "offsets": gbpd.offsets} | change
    fields["matrices"] = (fields["matrices"] + fields["matrices"].transpose(0, 2, 1)) / 2
    return Tessellation(**fields, metric=metric)


def lobed_shell():
    """A shell of radius 8, give or take 2, pixels."""
    coefficients = np.zeros(16)
    coefficients[[0, 2, 7, 12]] = 8 * np.sqrt(4 * np.pi), 1.5, 1.0, -1.2
    return Shell(coefficients)


def left_by_cull(gbpd, source, centre, half, slack):
    """What convex dominance leaves of the grains ``source`` on a box."""
    target, work = np.empty(len(source), np.int32), np.empty((4, len(source)))
    n = cull(source, len(source), target, centre, half, gbpd.table, gbpd.squared, slack, work)
    return target[:n]


def lists_of_boxes(gbpd, lower, edge, levels, slack, shell=None):
    """Lists of the boxes of an edge in a cube by their places; those outside the shell have none.

    By recursion, as they are defined: each of the (2^levels)^3 boxes is visited.
    """
    found = {}

    def visit(level, place, source):
        half = np.full(3, edge / 2 * 2.0 ** (levels - level))
        centre = lower + (2 * np.array(place) + 1) * half
        if shell and shell_state(centre, half, shell.table, shell.max_degree) == OUTSIDE:
            return
        own = left_by_cull(gbpd, source, centre, half, slack)
        if level == levels:
            found[place] = own
            return
        for part in np.ndindex(2, 2, 2):
            visit(level + 1, tuple(2 * p + q for p, q in zip(place, part, strict=True)), own)

    visit(0, (0, 0, 0), np.arange(len(gbpd)).astype(np.int32))
    return found
