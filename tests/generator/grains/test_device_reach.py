"""Which grains are reachable, by the kernels of a GPU; without one the interpreter runs them."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("triton")
torch = pytest.importorskip("torch")

from cathodegrain.generator.grains.device_reach import ReachBatch, reachable
from cathodegrain.generator.grains.tessellation import BoxGrid, farthest
from cathodegrain.generator.shell.shell import Shell
from kernel_device import KERNEL_DEVICE
from tessellations import lobed_shell, random_tessellation

pytestmark = pytest.mark.parametrize("device", [KERNEL_DEVICE], ids=lambda name: f"device-{name}")


@pytest.fixture(autouse=True)
def as_quiet_as_a_gpu():
    """The interpreter computes with NumPy, which warns of a division by 0 in an unused lane."""
    with np.errstate(all="ignore"):
        yield


def found_and_expected(cases, device):
    """Reachable grains of (tessellation, shell, resolution) by a device and by the processor."""
    grids = [BoxGrid.around(shell, resolution) for _, shell, resolution in cases]
    first = [0, *np.cumsum([len(gbpd) for gbpd, _, _ in cases])]
    batch = ReachBatch(
        table=torch.from_numpy(np.concatenate([gbpd.table for gbpd, _, _ in cases])).to(device),
        first=first[:-1],
        slacks=[
            gbpd.slack(farthest(gbpd.seeds, -grid.lower))
            for (gbpd, _, _), grid in zip(cases, grids, strict=True)
        ],
        shells=[shell for _, shell, _ in cases],
        grids=grids,
        squared=cases[0][0].squared,
    )
    marked = reachable(batch).cpu().numpy()
    found = [np.flatnonzero(marked[a:b]) for a, b in pairwise(first)]
    return found, [gbpd.reachable(shell, resolution) for gbpd, shell, resolution in cases]


def test_reachable_grains_of_a_batch_are_those_of_the_processor(device):
    cases = [
        (random_tessellation(60, "wild", seed=1), Shell.sphere(1.0), 0.3),
        (random_tessellation(40, "mild", half=4.0), Shell.sphere(1.0), 0.24),  # one level deeper
    ]
    assert [BoxGrid.around(shell, r).levels for _, shell, r in cases] == [0, 1]
    found, expected = found_and_expected(cases, device)
    for own, processor in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, processor)
    assert 2 < sum(map(len, found)) < 100


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", ["mild", "long", "wild"])
def test_reachable_grains_in_finer_boxes_are_those_of_the_processor(family, metric, device):
    cases = [
        (random_tessellation(150, family, metric, seed=k), shell, resolution)
        for k, (shell, resolution) in enumerate([(lobed_shell(), 2.6), (Shell.sphere(4.0), 0.6)])
    ]
    found, expected = found_and_expected(cases, device)
    for own, processor in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, processor)


def test_a_shell_inside_one_grain_reaches_that_grain_only(device):
    gbpd = random_tessellation(2, "mild")
    (found,), (expected,) = found_and_expected([(gbpd, Shell.sphere(1e-3), 1e-3)], device)
    np.testing.assert_array_equal(found, expected)
    assert len(found) == 1
