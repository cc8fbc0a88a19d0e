"""Volumes of voxelised shells of the published law, and how they are fitted."""

import numpy as np

from cathodegrain.generator.fitting.shells import comparison as shell_comparison
from cathodegrain.generator.fitting.shells.fit import FitSettings
from cathodegrain.generator.model_card import ModelCard

VOXEL_UM = 0.5
SETTINGS = FitSettings(voxel_um=VOXEL_UM, input="segmented", max_degree=4, n_bootstrap=100)
CARD = ModelCard.load("nmc811").with_parameters({"shell.max_degree": 4, "shell.size_scale": 0.9})


def quiet(message, part):
    pass


def scene(first, n=27):
    """Shells of the published law on voxels, a grid of them, apart from each other."""
    shells, _ = shell_comparison.generated_shells(CARD.shell, n, 3, first)
    pitch = 58
    side = round(n ** (1 / 3))
    volume = np.zeros((side * pitch,) * 3, np.uint8)
    axis = (np.arange(pitch) - pitch / 2 + 0.5) * VOXEL_UM
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], axis=-1)
    for k, shell in enumerate(shells):
        a, b, c = (pitch * i for i in np.unravel_index(k, (side,) * 3))
        volume[a : a + pitch, b : b + pitch, c : c + pitch] = shell.contains(points)
    return volume, shells


def bumpy_balls(pitch=24):
    """Numbers 1 to 27 of small bumpy balls on voxels, 0 between them: (3 pitch,) * 3 int32."""
    rng = np.random.default_rng(3)
    z, y, x = np.indices((3 * pitch,) * 3) % pitch - pitch / 2 + 0.5
    radius, polar, skew = (
        np.kron(rng.uniform(low, high, (3, 3, 3)), np.ones((pitch,) * 3))
        for low, high in ((6, 9), (-0.2, 0.2), (-0.1, 0.1))
    )
    away = np.sqrt(z * z + y * y + x * x)
    inside = away < radius * (1 + polar * (z / away) ** 2 + skew * (x / away) ** 3)
    numbers = np.arange(1, 28, dtype=np.int32).reshape(3, 3, 3)
    return np.kron(numbers, np.ones((pitch,) * 3, np.int32)) * inside
