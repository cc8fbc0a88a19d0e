"""Measures of particles, against closed forms and the table of the grains; paired differences."""

import numpy as np
import pytest

from cathodegrain.exporters.products import grain_table
from cathodegrain.exporters.products.interfaces import interfaces
from cathodegrain.exporters.surfaces.grain_surfaces import grain_surfaces
from cathodegrain.exporters.sweeps.measures import (
    COLUMNS,
    Grains,
    boundary_area_um2,
    boundary_faces,
    differences,
    measured,
    paired,
)
from cathodegrain.generator.generate import regenerate


@pytest.fixture(scope="module")
def base(small_particle):
    return measured(small_particle)


def test_a_ball_in_a_ball_has_the_area_of_its_surface():
    axis = np.arange(-39.5, 40)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    square = x * x + y * y + z * z
    labels = np.select([square < 25**2, square < 37**2], [1, 2], 0).astype(np.int32)
    faces = boundary_faces(labels, slice(0, 80))
    assert boundary_area_um2(faces, 0.1) == pytest.approx(4 * np.pi * 2.5**2, rel=0.01)


def test_faces_of_slabs_add_up_and_the_surface_is_no_boundary():
    labels = np.zeros((6, 4, 4), np.int32)
    labels[1:5, 1:3, 1:3] = 1
    assert boundary_faces(labels, slice(0, 6)) == 0
    labels[3:5] *= 2
    assert boundary_faces(labels, slice(0, 6)) == 4
    assert boundary_faces(labels[:4], slice(0, 3)) + boundary_faces(labels[3:], slice(0, 3)) == 4


def test_measures_are_those_of_the_table_of_the_grains(small_particle, base, tmp_path):
    found = base.measures
    path = grain_table.write(small_particle, tmp_path / "t.h5", pitch_um=found["pitch_um"])
    table = grain_table.read(path).morphology
    inside = (table.voxel_count > 0) & ~table.touches_shell
    diameters = table.equivalent_diameter_um[inside]
    assert found["n_grains"] == small_particle.n_grains
    assert (found["n_inside"], found["n_at_surface"]) == (inside.sum(), table.touches_shell.sum())
    assert found["diameter_mean_um"] == pytest.approx(diameters.mean(), rel=1e-5)
    assert found["diameter_std_um"] == pytest.approx(diameters.std(ddof=1), rel=1e-5)
    angles = np.radians(table.radial_angle_deg[inside & (table.voxel_count >= 30)])
    alignment = np.mean((3 * np.cos(angles) ** 2 - 1) / 2)
    assert found["radial_alignment"] == pytest.approx(alignment, rel=1e-5)
    assert found["particle_volume_um3"] == pytest.approx(small_particle.shell.volume_um3, rel=1e-5)


def test_the_boundary_area_is_that_of_the_mesh(crystals):
    particle, mesh = crystals
    area = interfaces(grain_surfaces(mesh), particle).area_um2.sum()
    found = measured(particle).measures
    expected = area / particle.shell.volume_um3
    # lines in three directions cross the boundaries of few grains, none of them random
    assert found["boundary_area_per_volume_per_um"] == pytest.approx(expected, rel=0.1)


def test_a_particle_differs_in_nothing_from_itself(base):
    assert set(differences(base.measures, base.measures).values()) == {0}
    same = paired(base.grains, base.grains)
    assert same["paired_grains"] == base.measures["n_inside"]
    assert same["paired_diameter_difference_um"] == same["paired_diameter_difference_error_um"] == 0


def test_grains_of_a_scale_are_paired_and_smaller_by_it(small_particle, base):
    """A similarity: every grain inside both is smaller by the same factor, and of equal shape."""
    other = measured(regenerate(small_particle, {"grains.scale": 0.8}))
    found = paired(base.grains, other.grains)
    assert found["paired_grains"] > 0.9 * base.measures["n_inside"]
    expected = -0.2 * base.grains.diameters.mean()
    assert found["paired_diameter_difference_um"] == pytest.approx(expected, rel=0.05)
    assert abs(found["paired_aspect_ratio_difference"]) < 0.01
    columns = {**other.measures, **differences(base.measures, other.measures), **found}
    assert set(columns) == set(COLUMNS)


def test_grains_are_matched_by_their_seed_points():
    def grains(numbers, diameters):
        origin = np.zeros((len(numbers), 4), np.int32)
        origin[:, 0], origin[:, 3] = -1, numbers
        return Grains(origin, np.array(diameters), np.full(len(numbers), np.nan))

    found = paired(grains([5, 1, 2], [1.0, 2.0, 3.0]), grains([2, 9, 5], [3.5, 7.0, 2.0]))
    assert found["paired_grains"] == 2
    assert found["paired_diameter_difference_um"] == 0.75
    assert found["paired_diameter_difference_error_um"] == pytest.approx(0.25)
    assert found["paired_aspect_ratio_difference"] is None
    none = paired(grains([5], [1.0]), grains([], []))
    assert none["paired_grains"] == 0
    assert none["paired_diameter_difference_um"] is None
