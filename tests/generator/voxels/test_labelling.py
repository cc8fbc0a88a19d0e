import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial import cKDTree

from cathodegrain.generator import machine
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.machine import run_all
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import (
    label_axes,
    label_brute_force,
    label_grid,
    label_slab,
)
from places import HELPERS
from tessellations import FAMILIES, STRESS, random_tessellation, stressed, voxel_axis

EYE = np.eye(3)


def test_an_interrupt_while_work_is_handed_out_leaves_the_rest_undone(monkeypatch):
    ended, ran = threading.Event(), []

    class Held(ThreadPoolExecutor):  # its threads do not get on until the pool is shut down
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            ended.set()
            super().shutdown(wait)

    def items():
        yield from ((k,) for k in range(100))
        raise KeyboardInterrupt

    def task(item):
        ran.append(item)
        ended.wait()

    monkeypatch.setattr(machine, "ThreadPoolExecutor", Held)
    with pytest.raises(KeyboardInterrupt):
        run_all(task, items(), 2)
    assert len(ran) <= 2


def assert_exact(gbpd, x, y, z):
    np.testing.assert_array_equal(label_axes(gbpd, x, y, z), label_brute_force(gbpd, x, y, z))


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 30, 1500])
def test_labels_equal_brute_force(n, family, metric):
    axis = voxel_axis(48)
    assert_exact(random_tessellation(n, family, metric), axis, axis, axis)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [500, 8000])
def test_labels_equal_brute_force_on_128_cubed(n, family, metric):
    gbpd = random_tessellation(n, family, metric, half=128)
    axis = voxel_axis(128, half=128)
    z = axis[::8]  # an eighth of the layers: the reference is slow
    assert_exact(gbpd, axis, axis, z)
    np.testing.assert_array_equal(
        label_axes(gbpd, axis, axis, axis)[::8], label_axes(gbpd, axis, axis, z)
    )


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("name", STRESS)
def test_labels_equal_brute_force_under_stress(name, metric):
    axis = voxel_axis(32)
    assert_exact(stressed(name, metric), axis, axis, axis)


@pytest.mark.parametrize("metric", ["norm", "squared"])
def test_labels_far_from_the_origin_equal_brute_force(metric):
    near, far = random_tessellation(300, "mild", metric), 3e7  # single precision has steps of 2
    gbpd = Tessellation(near.seeds + far, near.matrices, near.offsets, metric)
    axis = voxel_axis(32) + far
    assert_exact(gbpd, axis, axis, axis)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 70)] * 3),
    corner=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.floats(1e-3, 3),
    n=st.integers(1, 60),
    family=st.sampled_from(list(FAMILIES)),
    metric=st.sampled_from(["norm", "squared"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_labels_equal_brute_force_on_any_grid(shape, corner, spacing, n, family, metric, seed):
    grid = Grid(corner, spacing, shape)
    axes = [grid.axis(a) for a in "xyz"]
    assert_exact(random_tessellation(n, family, metric, seed=seed), *axes)


def test_axes_need_not_be_equidistant():
    axis = np.sort(np.random.default_rng(0).uniform(-16, 16, 50))
    assert_exact(random_tessellation(300), axis, axis[:30], axis[10:])


@pytest.mark.parametrize(
    "form", ["every second", "backwards stored", "float32", "integers", "list"]
)
def test_axes_of_any_layout_and_type_give_the_labels_of_their_values(form):
    plain = np.arange(-20.0, 20.0, 2.0)
    axis = {
        "every second": np.arange(-20.0, 20.0)[::2],
        "backwards stored": plain[::-1].copy()[::-1],
        "float32": plain.astype(np.float32),
        "integers": plain.astype(int),
        "list": plain.tolist(),
    }[form]
    gbpd = random_tessellation(200)
    expected = label_brute_force(gbpd, plain, plain, plain)
    np.testing.assert_array_equal(label_axes(gbpd, plain, plain, axis), expected)
    np.testing.assert_array_equal(label_brute_force(gbpd, plain, axis, plain), expected)


def test_unit_matrices_give_the_nearest_seed():
    rng = np.random.default_rng(2)
    seeds = rng.uniform(-16, 16, (400, 3))
    voronoi = Tessellation(seeds, np.stack([EYE] * 400), np.zeros(400))
    axis = voxel_axis(40)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    nearest = cKDTree(seeds).query(np.stack([x, y, z], -1))[1]
    np.testing.assert_array_equal(label_axes(voronoi, axis, axis, axis), nearest + 1)


def test_labels_do_not_depend_on_threads():
    gbpd, axis = random_tessellation(500, "long"), voxel_axis(80)
    one, four = (label_axes(gbpd, axis, axis, axis, threads=t) for t in (1, 4))
    np.testing.assert_array_equal(one, four)


def test_particle_labels_equal_grain_at_in_every_voxel(small_particle):
    grid = Grid.around(small_particle.shell.radius_bounds[1], 0.05)
    z, y, x = np.meshgrid(*(grid.axis(a) for a in "zyx"), indexing="ij")
    points = np.stack([x, y, z], -1)
    labels = label_grid(small_particle, grid)
    np.testing.assert_array_equal(labels, small_particle.grain_at(points))
    inside = small_particle.shell.contains(points.reshape(-1, 3)).reshape(labels.shape)
    np.testing.assert_array_equal(labels > 0, inside)
    brute = small_particle.tessellation.labels(points[inside]) + 1
    np.testing.assert_array_equal(labels[inside], brute)


def test_slabs_are_layers_of_the_whole(small_particle):
    grid = Grid.around(small_particle.shell.radius_bounds[1], 0.06)
    whole = label_grid(small_particle, grid)
    for start, stop in ((0, 1), (3, 29), (20, grid.shape[0])):
        np.testing.assert_array_equal(
            label_slab(small_particle, grid, start, stop), whole[start:stop]
        )


def test_grain_ids_do_not_depend_on_the_spacing(small_particle):
    radius = small_particle.shell.radius_bounds[1]
    coarse = Grid((-1.8, -1.8, -1.8), 0.1, (36, 36, 36))
    fine = Grid((-1.8, -1.8, -1.8), 0.1 / 3, (108, 108, 108))  # centres of a third coincide
    assert radius < 1.8
    a, b = label_grid(small_particle, coarse), label_grid(small_particle, fine)[1::3, 1::3, 1::3]
    assert (a == b).mean() > 0.9999  # centres agree to rounding only


JIT_OFF = """
import numpy as np
from tessellations import random_tessellation, voxel_axis
from cathodegrain.generator.voxels.labelling import label_axes, label_brute_force
axis = voxel_axis(9)
for metric in ("norm", "squared"):
    gbpd = random_tessellation(12, "long", metric)
    assert (label_axes(gbpd, axis, axis, axis) == label_brute_force(gbpd, axis, axis, axis)).all()
"""


def test_kernels_say_the_same_uncompiled():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(HELPERS)}
    subprocess.run([sys.executable, "-c", JIT_OFF], check=True, env=environment, timeout=300)
