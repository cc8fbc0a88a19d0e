"""Hexahedra of labelled voxels."""

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.labels.hex_labels import hex_volume, in_blocks
from cathodegrain.exporters.labels.label_volume import LabelVolume
from cathodegrain.generator.errors import ExportError

PITCH = 0.1
CORNER = (5.0, -3.0, 1.0)


@pytest.fixture(scope="module")
def labels():
    """A box of 8 x 10 x 12 voxels in a frame of two, in grains of about two voxels."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(1, 40, (4, 5, 6)).astype(np.int32)
    return np.pad(coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2), 2)


def test_there_is_a_cube_for_each_voxel_in_its_coordinates(labels):
    mesh = hex_volume(LabelVolume(labels, PITCH, CORNER))
    z, y, x = np.nonzero(labels)
    centres = mesh.points[mesh.hexes].mean(axis=1)
    expected = CORNER + PITCH * (np.stack([x, y, z], axis=1) + 0.5)
    np.testing.assert_allclose(centres, expected, rtol=0, atol=1e-12)
    assert mesh.grain_ids.tolist() == labels[z, y, x].tolist()
    certificate = mesh.facts["certificate"]
    assert certificate["certified"]
    assert (certificate["mislabelled"], certificate["lost"]) == (0.0, [])
    assert certificate["volume_um3"] == pytest.approx(certificate["body_volume_um3"], rel=1e-5)
    assert mesh.facts["label_volume"]["pitch_um"] == PITCH


def test_cubes_of_several_voxels_lose_nothing_of_blocks(labels):
    mesh = hex_volume(LabelVolume(labels, PITCH, CORNER), 2 * PITCH)
    assert len(mesh.hexes) == 4 * 5 * 6
    assert mesh.facts["size_um"] == pytest.approx(2 * PITCH)
    assert mesh.facts["certificate"]["mislabelled"] == 0.0


def test_blocks_have_the_commonest_grain_unless_they_are_mostly_outside(rng):
    labels = rng.integers(0, 4, (5, 7, 6)).astype(np.int32)
    labels[0] = 0
    found = in_blocks(labels, 3)
    assert found.shape == (2, 3, 2)
    padded = np.pad(labels, [(0, 1), (0, 2), (0, 0)])
    for k, j, i in np.ndindex(found.shape):
        block = padded[3 * k : 3 * k + 3, 3 * j : 3 * j + 3, 3 * i : 3 * i + 3]
        counts = np.bincount(block.ravel(), minlength=4)
        expected = 0 if counts[0] > 27 / 2 else 1 + counts[1:].argmax()
        assert found[k, j, i] == expected


@pytest.mark.parametrize("size", [0.05, 0.15, 0.199])
def test_sizes_that_are_no_multiple_of_the_voxels_are_refused(size, labels):
    with pytest.raises(ExportError, match="expected a multiple of the edge of a voxel"):
        hex_volume(LabelVolume(labels, PITCH), size)


def test_grains_that_coarse_cubes_lose_are_refused():
    labels = np.ones((12, 12, 12), np.int32)
    labels[4, 4] = 2  # a needle, never the commonest of a block
    with pytest.raises(ExportError, match=r"1 grains have no element \(2: 0.012 um\^3\)"):
        cg.mesh(labels, elements="hex", pitch_um=PITCH, size_um=2 * PITCH)


def test_a_multiple_with_a_rounding_error_is_one(labels):
    mesh = hex_volume(LabelVolume(labels, PITCH), 0.1 + 0.2 - 0.1)
    assert len(mesh.hexes) == 4 * 5 * 6
