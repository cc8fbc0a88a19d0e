import itertools

import numpy as np
import pytest
from scipy import ndimage

from cathodegrain.generator.measured.axis_order import (
    PAIRS,
    _lines,
    axis_order_problem,
    neighbour_correlation,
)
from places import SHARED

MASK = SHARED / "data/nmc-electrode-ct-mask.tif"


def blobs(shape, size, seed=0):
    """Smoothed noise, its blobs so large along z, y, x."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, size).astype(np.float32)


def with_noise(values, part):
    noise = np.random.default_rng(1).standard_normal(values.shape)
    return values + part * values.std() * noise.astype(np.float32)


def in_round_field(values):
    _, ny, nx = values.shape
    y, x = np.ogrid[-1 : 1 : ny * 1j, -1 : 1 : nx * 1j]
    return np.where(x**2 + y**2 < 0.8, values + 6 * values.std(), 0)


def kinds_of_volumes():
    for shape, sizes in (((30, 50, 40), (1.0, 3.0)), ((44, 48, 56), (6.0,))):
        for size in sizes:
            grey = blobs(shape, size)
            yield f"grey {shape} {size}", grey
            yield f"binary {shape} {size}", (grey > 0).astype(np.uint8)
            yield f"round {shape} {size}", in_round_field(grey)
            if size > 1:
                yield f"flat voxels {shape} {size}", blobs(shape, (size / 3, size, size))
                yield f"long voxels {shape} {size}", blobs(shape, (size, size, size / 3)) > 0
        yield f"noisy {shape}", with_noise(blobs(shape, 3.0), 1.0)


def assert_orders_are_told_apart(name, values):
    assert axis_order_problem(values) is None, name
    for shape in set(itertools.permutations(values.shape)) - {values.shape}:
        problem = axis_order_problem(values.reshape(shape))
        assert problem is not None, (name, shape)
        assert f"neighbours in the shape {shape} correlate by" in problem
        assert f"but more in {values.shape}: read it so" in problem, (name, shape)


def test_every_wrong_order_of_the_lengths_is_noticed_and_the_right_one_named():
    for name, values in kinds_of_volumes():
        assert_orders_are_told_apart(name, values)


@pytest.mark.skipif(not MASK.exists(), reason=f"{MASK} is not here")
def test_wrong_orders_of_a_real_electrode_are_noticed():
    tifffile = pytest.importorskip("tifffile")
    mask = tifffile.imread(MASK)[:90, :110, :100]
    scan = with_noise(ndimage.gaussian_filter(mask.astype(np.float32), 1.5), 2.0)
    assert_orders_are_told_apart("mask", mask)
    assert_orders_are_told_apart("scan", scan)
    assert_orders_are_told_apart("every third slice", np.ascontiguousarray(mask[::3]))
    assert_orders_are_told_apart("every third column", np.ascontiguousarray(scan[..., ::3]))


def test_strong_noise_hides_neither_the_right_order_nor_a_wrong_one():
    scan = with_noise(blobs((150, 160, 140), 3.0), 3.0)
    assert neighbour_correlation(scan).max() < 0.12
    assert axis_order_problem(scan) is None
    assert "but more in (150, 160, 140): read it so" in axis_order_problem(
        scan.reshape(160, 150, 140)
    )


@pytest.mark.parametrize("shape", [(100, 40, 70), (50, 160, 35), (100, 80, 35), (250, 16, 70)])
def test_wrong_lengths_that_are_no_other_order_are_noticed(shape):
    for grey in (blobs((50, 80, 70), 3.0), with_noise(blobs((50, 80, 70), 2.0), 1.0)):
        assert "correct the shape" in axis_order_problem(grey.reshape(shape))


def test_what_the_order_of_axes_does_not_show():
    cube, scan = blobs((60, 60, 60), 3.0), blobs((50, 80, 70), 3.0)
    assert axis_order_problem(cube.transpose(2, 0, 1)) is None
    assert axis_order_problem(np.ascontiguousarray(scan.transpose(2, 0, 1))) is None
    assert axis_order_problem(scan.reshape(50, 40, 140)) is None  # lines joined in pairs
    assert axis_order_problem(scan.view(np.int32)) is None  # a wrong type
    noise = np.random.default_rng(2).standard_normal((50, 80, 70))
    assert axis_order_problem(noise) is None
    assert axis_order_problem(np.ones((5, 6, 7))) is None
    assert axis_order_problem(scan[:1]) is None


def test_voxels_much_longer_along_one_axis_are_said_to_be():
    strangers = blobs((60, 64, 70), (0.2, 3.0, 3.0))
    assert "unless voxels are much longer along z" in axis_order_problem(strangers)


def test_the_correlation_is_that_of_all_pairs(rng):
    values = ndimage.gaussian_filter(rng.standard_normal((20, 30, 40)), (0.5, 1, 2))
    pairs = [
        (values[1:], values[:-1]),
        (values[:, 1:], values[:, :-1]),
        (values[..., 1:], values[..., :-1]),
    ]
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]
    np.testing.assert_allclose(neighbour_correlation(values), expected, rtol=1e-12)
    holes = np.where(np.random.default_rng(0).random(values.shape) < 0.01, np.nan, values)
    np.testing.assert_allclose(neighbour_correlation(holes), expected, atol=0.02)


@pytest.mark.parametrize(
    "shape", [(300, 310, 320), (2, 4000, 3000), (4000, 2, 3000), (2, 2, 3_000_000)]
)
def test_the_correlation_looks_at_a_bounded_number_of_pairs(shape):
    values = np.broadcast_to(np.uint8(0), shape)
    for axis in range(3):
        lines = _lines(values, axis)
        assert lines.shape[2] == shape[axis]
        assert lines.size <= max(1.01 * PAIRS, shape[axis])
        assert lines.size > 0.15 * min(PAIRS, values.size)
