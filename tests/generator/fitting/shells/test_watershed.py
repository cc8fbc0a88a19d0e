import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from cathodegrain.generator.fitting.shells.segmentation import squared_depth
from cathodegrain.generator.fitting.shells.watershed import catchments


def balls(shape, centres, radii):
    grid = np.indices(shape)
    mask = np.zeros(shape, bool)
    for centre, radius in zip(centres, radii, strict=True):
        mask |= sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2
    return mask


@pytest.mark.parametrize(("overlap", "n"), [(9.0, 2), (4.0, 1)])
def test_two_balls_are_cut_at_a_narrow_neck_only(overlap, n):
    mask = balls((31, 31, 51), [(15, 15, 15), (15, 15, 15 + 2 * overlap)], [10, 10])
    labels = catchments(squared_depth(mask), 0.8)
    neck = np.sqrt(100 - overlap**2) / 10
    assert (neck < 0.8) == (n == 2)
    assert labels.max() == n
    assert ((labels > 0) == mask).all()


def test_the_cut_lies_in_the_plane_of_the_neck():
    mask = balls((31, 31, 51), [(15, 15, 14), (15, 15, 33)], [10, 10])
    labels = catchments(squared_depth(mask), 0.8)
    x = np.indices(mask.shape)[2]
    assert (labels[mask & (x < 23)] == 1).all()
    assert (labels[mask & (x > 24)] == 2).all()


def random_body(seed):
    noise = np.random.default_rng(seed).standard_normal((24, 30, 27))
    return ndimage.gaussian_filter(noise, 2.0) > 0.02


@pytest.mark.parametrize("seed", range(3))
def test_unmerged_catchments_differ_from_those_of_scikit_image_at_ties_only(seed):
    """Both flood from the regional maxima; a voxel as near to two of them may go to either."""
    depth2 = squared_depth(random_body(seed))
    labels = catchments(depth2, 1.0)
    labels = catchments(depth2, np.nextafter(1.0, 2.0)) if labels.max() == 0 else labels
    seeds = np.zeros_like(labels)
    for label in range(1, labels.max() + 1):
        inside = np.where(labels == label, depth2, 0)
        seeds.flat[int(inside.argmax())] = label
    reference = watershed(-depth2.astype(float), seeds, mask=depth2 > 0)
    part = (labels != reference)[depth2 > 0].mean()
    assert labels.max() > 10
    assert part < 0.25


@pytest.mark.parametrize("seed", range(3))
def test_every_catchment_is_connected_and_the_labels_are_numbered_by_first_voxel(seed):
    depth2 = squared_depth(random_body(seed))
    labels = catchments(depth2, 0.8)
    for label in range(1, labels.max() + 1):
        assert ndimage.label(labels == label)[1] == 1
    _, first = np.unique(labels.ravel(), return_index=True)
    assert (np.diff(first[1:]) > 0).all()


def test_a_wider_neck_joins_more():
    depth2 = squared_depth(random_body(5))
    fine = catchments(depth2, 0.9)
    coarse = catchments(depth2, 0.5)
    assert fine.max() > coarse.max()
    for label in range(1, fine.max() + 1):  # each lies in one of the coarse ones
        assert len(np.unique(coarse[fine == label])) == 1


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_the_type_of_the_depth_does_not_matter(kind):
    depth2 = squared_depth(random_body(1))
    assert (catchments(depth2.astype(kind), 0.8) == catchments(depth2, 0.8)).all()


def test_a_volume_without_a_body_has_no_label():
    assert catchments(np.zeros((3, 4, 5), np.uint16), 0.8).max() == 0
