import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from cathodegrain.generator.voxels.morphology import angle_between_lines_deg, grain_morphology


def voxel_centres(grid):
    z, y, x = np.meshgrid(grid.axis("z"), grid.axis("y"), grid.axis("x"), indexing="ij")
    return np.stack([x, y, z], axis=-1)


def ellipsoid_labels(grid, semi_axes, rotation, centre):
    local = rotation.inv().apply((voxel_centres(grid) - centre).reshape(-1, 3))
    inside = ((local / semi_axes) ** 2).sum(axis=1) <= 1
    return inside.astype(np.int32).reshape(grid.shape)


@pytest.fixture
def noise_labels(rng):
    """Four grains of scattered voxels; id 3 has none."""
    return rng.choice(np.array([0, 1, 2, 4, 5], dtype=np.int32), size=(7, 8, 9))


def test_an_ellipsoid_has_its_own_axes_as_principal_lengths(rng):
    grid = Grid.around(radius=1.5, spacing=0.04)
    rotation = Rotation.random(rng=rng)
    centre = np.array([0.3, -0.2, 0.1])
    semi_axes = np.array([1.0, 0.6, 0.4])
    grain = grain_morphology(ellipsoid_labels(grid, semi_axes, rotation, centre), grid)
    long_axis = rotation.as_matrix()[:, 0]
    np.testing.assert_allclose(grain.principal_lengths_um[0], 2 * semi_axes, rtol=0.01)
    np.testing.assert_allclose(grain.centroid_um[0], centre, atol=0.005)
    np.testing.assert_allclose(grain.volume_um3, 4 / 3 * np.pi * semi_axes.prod(), rtol=0.01)
    np.testing.assert_allclose(grain.equivalent_diameter_um, 2 * 0.24 ** (1 / 3), rtol=0.004)
    np.testing.assert_allclose(grain.aspect_ratio, 2.5, rtol=0.015)
    assert abs(grain.long_axis[0] @ long_axis) > np.cos(np.radians(0.5))


def test_a_box_is_measured_exactly():
    labels = np.zeros((10, 12, 14), dtype=np.int32)
    labels[2:5, 3:9, 4:12] = 1  # 3 x 6 x 8 voxels along z, y, x
    grid = Grid(origin=(1.0, -2.0, 0.5), spacing=0.25, shape=labels.shape)
    grain = grain_morphology(labels, grid)
    edges = 0.25 * np.array([8, 6, 3])
    assert grain.voxel_count.tolist() == [144]
    np.testing.assert_allclose(grain.volume_um3, edges.prod(), rtol=1e-14)
    np.testing.assert_allclose(grain.centroid_um[0], [1 + 2.0, -2 + 1.5, 0.5 + 0.875], rtol=1e-14)
    np.testing.assert_allclose(grain.principal_lengths_um[0], edges * np.sqrt(5 / 3), rtol=1e-12)
    np.testing.assert_allclose(np.abs(grain.long_axis[0]), [1, 0, 0], atol=1e-12)


def test_a_rod_has_the_angle_between_its_axis_and_its_place():
    labels = np.zeros((40, 40, 40), dtype=np.int32)
    labels[20, 20, 30:38] = 1  # along x, on the x axis
    labels[24:36, 20, 20] = 2  # along z, on the z axis
    labels[20, 4:16, 30] = 3  # along y, off the axes
    grid = Grid(origin=(-20.5, -20.5, -20.5), spacing=1.0, shape=labels.shape)
    angles = grain_morphology(labels, grid).radial_angle_deg
    np.testing.assert_allclose(angles[:2], 0, atol=1e-10)
    np.testing.assert_allclose(angles[2], np.degrees(np.arctan(10 / 10.5)), rtol=1e-12)


def test_moving_the_grid_and_the_centre_together_moves_the_centroids_only(noise_labels):
    here = Grid((0.0, 0.0, 0.0), 0.1, noise_labels.shape)
    there = Grid((5.0, -3.0, 2.0), 0.1, noise_labels.shape)
    one = grain_morphology(noise_labels, here, centre_um=(0.3, 0.2, 0.1))
    two = grain_morphology(noise_labels, there, centre_um=(5.3, -2.8, 2.1))
    np.testing.assert_allclose(two.centroid_um, one.centroid_um + np.array([5, -3, 2]), rtol=1e-12)
    np.testing.assert_allclose(two.radial_angle_deg, one.radial_angle_deg, rtol=1e-9)
    np.testing.assert_array_equal(two.principal_lengths_um, one.principal_lengths_um)


def test_moments_equal_the_covariance_of_the_voxel_centres(noise_labels):
    grid = Grid((0.4, 0.5, -0.6), 0.2, noise_labels.shape)
    grains = grain_morphology(noise_labels, grid)
    for grain_id in (1, 2, 4, 5):
        points = voxel_centres(grid)[noise_labels == grain_id]
        covariance = np.cov(points.T, bias=True) + np.eye(3) * 0.2**2 / 12
        lengths = 2 * np.sqrt(5 * np.linalg.eigvalsh(covariance)[::-1])
        row = grain_id - 1
        assert grains.voxel_count[row] == len(points)
        np.testing.assert_allclose(grains.centroid_um[row], points.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(grains.principal_lengths_um[row], lengths, rtol=1e-10)


def test_a_grain_without_voxels_keeps_its_row(noise_labels):
    grains = grain_morphology(noise_labels, Grid((0, 0, 0), 1.0, noise_labels.shape), n_grains=6)
    assert len(grains) == 6
    for row in (2, 5):
        assert grains.voxel_count[row] == 0
        assert grains.equivalent_diameter_um[row] == 0
        assert not grains.touches_shell[row]
        assert np.isnan(grains.centroid_um[row]).all()
        assert np.isnan(grains.aspect_ratio[row])
        assert np.isnan(grains.radial_angle_deg[row])


def test_a_cube_has_no_long_axis():
    labels = np.zeros((6, 6, 6), dtype=np.int32)
    labels[1:4, 1:4, 1:4] = 1
    grain = grain_morphology(labels, Grid((0, 0, 0), 1.0, labels.shape))
    assert np.isnan(grain.long_axis).all()
    assert np.isnan(grain.radial_angle_deg).all()
    assert grain.aspect_ratio[0] == pytest.approx(1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_the_slab_behind_the_opening_of_a_shell_touches_the_outside(axis):
    stack = np.zeros((8, 8, 8), dtype=np.int32)
    stack[1:-1, 1:-1, 1:-1] = 4  # a rim that hides the slabs from the sides
    core = stack[2:-2, 2:-2, 2:-2]
    core[:] = np.array([1, 2, 2, 3]).reshape(np.where(np.arange(3) == axis, 4, 1))
    opening = [slice(2, -2)] * 3
    opening[axis] = slice(0, 2)
    stack[tuple(opening)] = 0
    grains = grain_morphology(stack, Grid((0, 0, 0), 1.0, stack.shape))
    assert grains.touches_shell.tolist() == [True, False, False, True]


def test_the_edge_of_the_array_counts_as_outside():
    labels = np.ones((3, 3, 3), dtype=np.int32)
    labels[1, 1, 1] = 2
    grains = grain_morphology(labels, Grid((0, 0, 0), 1.0, labels.shape))
    assert grains.touches_shell.tolist() == [True, False]


def test_random_lines_follow_the_sine_law(rng):
    n = 20_000
    angles = angle_between_lines_deg(rng.normal(size=(n, 3)), rng.normal(size=(n, 3)))
    levels = np.linspace(5, 85, 9)
    expected = 1 - np.cos(np.radians(levels))
    found = np.array([(angles <= level).mean() for level in levels])
    assert np.all(np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / n))


def test_the_volumes_of_the_grains_sum_to_that_of_the_shell(small_particle):
    grid = Grid.around(small_particle.shell.radius_bounds[1], 0.05)
    labels = label_grid(small_particle, grid)
    grains = grain_morphology(labels, grid, small_particle.n_grains)
    assert grains.voxel_count.sum() == np.count_nonzero(labels)
    assert grains.volume_um3.sum() == pytest.approx(small_particle.shell.volume_um3, rel=0.005)
    occupied = grains.voxel_count > 0
    reached = small_particle.shell.contains(grains.centroid_um[occupied & ~grains.touches_shell])
    assert reached.all()


@pytest.mark.parametrize("bad", [-1, 7])
def test_labels_out_of_range_are_refused(bad):
    labels = np.ones((2, 2, 2), dtype=np.int32)
    labels[0, 0, 0] = bad
    with pytest.raises(ValueError, match=r"expected 0 \(outside\) to 6"):
        grain_morphology(labels, Grid((0, 0, 0), 1.0, labels.shape), n_grains=6)


def test_labels_of_another_shape_than_the_grid_are_refused():
    with pytest.raises(ValueError, match="expected that of the grid"):
        grain_morphology(np.ones((2, 2, 3), dtype=np.int32), Grid((0, 0, 0), 1.0, (3, 2, 2)))
