"""The benchmark of the shell fit packs its particles apart and asks what it says it asks."""

from importlib import import_module

import numpy as np
from scipy import ndimage

from cathodegrain.generator.shell.shell import Shell

shell_fitting = import_module("shell_fitting")


def test_bodies_are_packed_whole_and_apart():
    rng = np.random.default_rng(0)
    bodies = [np.ones(rng.integers(2, 9, 3), bool) for _ in range(45)]
    volume = shell_fitting.packed(bodies)
    labels, n = ndimage.label(volume, np.ones((3, 3, 3)))
    assert n == len(bodies)
    assert sorted(np.bincount(labels.ravel())[1:]) == sorted(body.size for body in bodies)
    assert not volume[[0, -1]].any()
    assert not volume[:, [0, -1]].any()
    assert not volume[:, :, [0, -1]].any()


def test_a_turned_body_has_the_volume_of_its_shell():
    shell = Shell.sphere(2.0)
    mask = shell_fitting.body(shell, np.eye(3))
    assert abs(mask.sum() * shell_fitting.VOXEL_UM**3 / shell.volume_um3 - 1) < 0.01


def test_scans_have_two_levels_and_noise():
    mask = np.zeros((24, 24, 24), bool)
    mask[6:18, 6:18, 6:18] = True
    values = shell_fitting.scanned(mask, np.random.default_rng(0))
    assert abs(values[9:15, 9:15, 9:15].mean() - shell_fitting.PARTICLE) < 3
    assert abs(values[:3].mean() - shell_fitting.MATRIX) < 3
    assert abs(values[:3].std() - shell_fitting.NOISE) < 1.5


def test_turned_coefficients_keep_the_power_of_each_degree():
    rng = np.random.default_rng(1)
    rows = np.concatenate([[[120.0]], rng.standard_normal((1, 99))], axis=1)
    turned = shell_fitting._turned(rows)
    for degree in range(10):
        block = slice(degree**2, (degree + 1) ** 2)
        np.testing.assert_allclose((turned[:, block] ** 2).sum(), (rows[:, block] ** 2).sum())
