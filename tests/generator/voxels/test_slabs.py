import tracemalloc

import numpy as np
import pytest

from cathodegrain.generator.voxels import slabs
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from cathodegrain.generator.voxels.morphology import grain_morphology
from cathodegrain.generator.voxels.slabs import for_each_slab, grain_sums


@pytest.fixture
def grid(small_particle):
    grid = Grid.around(small_particle.shell.radius_bounds[1], 0.06)
    assert grid.shape[0] == 60
    return grid


@pytest.mark.parametrize("layers", [1, 2, 7, 30, 59, 60, 64])
def test_slabs_are_the_grid_with_a_layer_on_either_side(small_particle, grid, monkeypatch, layers):
    monkeypatch.setattr(slabs, "SLAB", layers)
    whole, done = np.pad(label_grid(small_particle, grid), ((1, 1), (0, 0), (0, 0))), []

    def compare(slab):
        n = slab.own.stop - slab.own.start
        assert slab.own.start == (slab.start > 0)
        beyond = np.pad(slab.labels, ((1 - slab.own.start, 1), (0, 0), (0, 0)))[: n + 2]
        np.testing.assert_array_equal(beyond, whole[slab.start : slab.start + n + 2])
        done.extend(range(slab.start, slab.start + n))

    for_each_slab(small_particle, grid, compare)
    assert done == list(range(60))


@pytest.mark.parametrize("layers", [1, 7, 59])
def test_sums_of_slabs_give_the_morphology_of_the_whole(small_particle, grid, monkeypatch, layers):
    monkeypatch.setattr(slabs, "SLAB", layers)
    found = grain_sums(small_particle, grid).morphology(grid)
    labels = label_grid(small_particle, grid)
    expected = grain_morphology(labels, grid, small_particle.n_grains)
    assert expected.touches_shell.any()
    assert not expected.touches_shell.all()
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_every_layer_is_labelled_once(small_particle, grid, monkeypatch):
    labelled = []

    def noting(particle, grid, start, stop, *, out):
        labelled.extend(range(start, stop))
        out[:] = 0

    monkeypatch.setattr(slabs, "SLAB", 7)
    for_each_slab(small_particle, grid, lambda slab: None, label=noting)
    assert labelled == list(range(60))


def test_a_grid_is_summed_in_the_memory_of_a_slab(small_particle):
    grid = Grid.around(small_particle.shell.radius_bounds[1], 0.012)
    layers, ny, nx = grid.shape
    assert layers > 3 * slabs.SLAB
    grain_sums(small_particle, Grid.around(1.0, 0.5))  # caches filled
    tracemalloc.start()
    try:
        grain_sums(small_particle, grid)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * 4 * (slabs.SLAB + 2) * ny * nx
