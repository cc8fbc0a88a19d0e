"""Angles of c-axes in sections: closed forms, planes off the centre, turned maps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.sections.crystal_axes import crystal_axes
from cathodegrain.generator.fitting.sections.descriptors import section_descriptors
from cathodegrain.generator.fitting.sections.section import Section
from sections import PIXEL, disc, voronoi


def turns(n, rng):
    return Rotation.random(n, rng=rng).as_quat(scalar_first=True)


def with_c_axes(section, directions):
    """Copy whose crystals have their c-axes along (n, 3) directions."""
    found = [Rotation.align_vectors([d], [[0, 0, 1]])[0] for d in directions]
    q = np.array([one.as_quat(scalar_first=True) for one in found])
    return replace(section, orientations=q)


@pytest.fixture(scope="module")
def section():
    return voronoi(np.random.default_rng(2), 60)


def places(section):
    """(n, 3) centres of the grains from the section's, um, x right and y down."""
    labels = section.labels
    at = [np.argwhere(labels == k + 1).mean(axis=0) for k in range(section.n_grains)]
    y, x = (PIXEL * (np.array(at) - section.centre)).T
    return np.column_stack([x, y, 0 * x])


def test_angles_of_known_c_axes(section):
    """Along the radius, the normal and across both."""
    radius = places(section) / np.linalg.norm(places(section), axis=1)[:, None]
    normal = np.tile([0.0, 0.0, 1.0], (len(radius), 1))
    along, above = (crystal_axes(with_c_axes(section, d)) for d in (radius, normal))
    across = crystal_axes(with_c_axes(section, np.cross(radius, normal)))
    far = along.has_radius
    assert far.sum() > 0.9 * section.n_grains
    for axes, to_radius, to_normal in ((along, 0, 90), (above, 90, 0), (across, 90, 90)):
        np.testing.assert_allclose(axes.to_radius_deg[far], to_radius, atol=1e-5)
        np.testing.assert_allclose(axes.to_normal_deg, to_normal, atol=1e-5)
    theta, whole = section_descriptors(section), section_descriptors(section).oriented
    np.testing.assert_allclose(
        along.to_long_axis_deg[whole], np.degrees(theta.theta[whole]), atol=1e-5
    )
    assert np.isnan(along.to_long_axis_deg[~whole]).all()
    assert np.isnan(along.to_radius_deg[~far]).all()


def test_a_height_inclines_the_radius(section):
    """c-axes along the radius of a plane at a height are so there, and nowhere else."""
    height = 1.3
    above = places(section) + np.array([0, 0, height])
    crystals = with_c_axes(section, above)
    there, centre = crystal_axes(crystals, height), crystal_axes(crystals)
    far = there.has_radius
    np.testing.assert_allclose(there.to_radius_deg[far], 0, atol=1e-5)
    np.testing.assert_array_equal(there.at_height(0.0).to_radius_deg, centre.to_radius_deg)
    inclined = np.degrees(np.arctan2(height, np.linalg.norm(places(section), axis=1)))
    np.testing.assert_allclose(centre.to_radius_deg[far], inclined[far], atol=1e-5)


def test_random_crystals_have_the_sine_of_the_angle_as_density(section, rng):
    """To the radius, the normal and the long axis; Kolmogorov and Smirnov's test."""
    from scipy.stats import kstest

    found = [
        crystal_axes(replace(section, orientations=turns(section.n_grains, rng))) for _ in range(9)
    ]
    for name in ("to_radius_deg", "to_normal_deg", "to_long_axis_deg"):
        angles = np.concatenate([getattr(one, name) for one in found])
        angles = angles[np.isfinite(angles)]
        assert len(angles) > 500
        assert kstest(1 - np.cos(np.radians(angles)), "uniform").pvalue > 0.001, name


def test_angles_do_not_change_with_the_frame_of_the_map(section, rng):
    """A map that is turned by a quarter, places and crystals, has the same angles."""
    labels = section.labels
    q = turns(section.n_grains, rng)
    first = crystal_axes(replace(section, orientations=q), 0.4)
    ny, _ = labels.shape
    quarter = Rotation.from_euler("z", 90, degrees=True)  # x to y: of rows and columns
    turned = (quarter * Rotation.from_quat(q, scalar_first=True)).as_quat(scalar_first=True)
    y, x = section.centre
    other = Section(np.rot90(labels, -1), PIXEL, (x, ny - 1 - y), "turned", (), turned)
    second = crystal_axes(other, 0.4)
    for name in ("to_radius_deg", "to_normal_deg", "to_long_axis_deg", "across_um"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-6)
    np.testing.assert_allclose(first.relative_radii, second.relative_radii, rtol=0.02)


def test_relative_radii_reach_from_the_centre_to_the_rim():
    """Squares of four pixels in a disc."""
    y, x = np.indices((101, 101))
    inside = disc((101, 101), (50, 50), 48)
    numbers = np.where(inside, (y // 2) * 51 + x // 2 + 1, 0)
    labels = np.unique(numbers, return_inverse=True)[1].reshape(inside.shape).astype(np.int32)
    section = Section(labels, PIXEL, (50.0, 50.0), "disc")
    axes = crystal_axes(
        replace(section, orientations=np.tile([1.0, 0, 0, 0], (section.n_grains, 1)))
    )
    expected = np.linalg.norm(axes.places_um, axis=1) / (48 * PIXEL)
    np.testing.assert_allclose(axes.relative_radii, expected, atol=0.03)
    np.testing.assert_allclose(axes.across_um, PIXEL * np.sqrt(3 / 12 + 1 / 12), rtol=0.5)


def test_a_section_without_orientations_says_what_to_read(section):
    with pytest.raises(FitError, match=r"has no crystal orientations.*read the EBSD map"):
        crystal_axes(section)
