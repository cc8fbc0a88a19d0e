import numpy as np
import pytest

from cathodegrain.generator.pictures.ray_casting import (
    HALF,
    OCTANT,
    QUARTER,
    Camera,
    cut_open,
    first_entry,
    shell_entries,
)
from cathodegrain.generator.pictures.rendering import FRONT, SUBPIXELS
from cathodegrain.generator.shell.shell import Shell

MIDDLE = (0.5, 0.5)


@pytest.fixture(scope="session")
def ball():
    return Shell.sphere(radius_um=1.3)


def first_inside(origins, direction, distances, inside):
    """Slow reference: first of the sampled distances at which a ray is inside, or inf."""
    first = np.full(len(origins), np.inf)
    for t in distances[::-1]:
        first[inside(origins + t * direction)] = t
    return first


def test_the_silhouette_of_a_ball_has_the_area_of_a_disc(ball):
    camera = Camera(FRONT, half_width_um=1.5, pixels=300)
    hits = np.isfinite(shell_entries(ball, camera, MIDDLE))
    area = np.count_nonzero(hits) * camera.pixel_um**2
    assert abs(area - np.pi * 1.3**2) < 2 * np.pi * 1.3 * camera.pixel_um


def test_the_points_hit_lie_on_the_shell(small_particle):
    shell = small_particle.shell
    camera = Camera.framing(shell, FRONT, pixels=120)
    entries = shell_entries(shell, camera, MIDDLE)
    hits = cut_open(shell, camera, MIDDLE, entries, np.empty((0, 3)))
    assert len(hits.rays) > 0.3 * 120**2
    assert not hits.on_cut.any()
    distances = np.linalg.norm(hits.points, axis=1)
    np.testing.assert_allclose(distances, shell.radius(hits.points), rtol=1e-9)
    assert (hits.normals @ camera.frame[2]).min() > -1e-3  # no hit from behind


def test_rays_find_the_first_point_inside_that_dense_sampling_finds(small_particle):
    shell = small_particle.shell
    camera = Camera.framing(shell, FRONT, pixels=32)
    origins, direction = camera.origins(MIDDLE), -camera.frame[2]
    entries = first_entry(shell, origins, direction, resolution=1e-3)
    bound = shell.radius_bounds[1]
    distances = np.linspace(-bound, bound, 1500)
    step = distances[1] - distances[0]
    sampled = first_inside(origins, direction, distances, shell.contains)
    both = np.isfinite(sampled) & np.isfinite(entries)
    assert np.array_equal(both, np.isfinite(sampled))  # every ray that samples hit
    assert ((sampled[both] - entries[both] >= 0) & (sampled[both] - entries[both] < step)).all()
    grazing = np.isfinite(entries) & ~both  # chords shorter than a step of the samples
    assert np.count_nonzero(grazing) < 10


def test_a_start_from_neighbouring_rays_finds_the_same_points(small_particle):
    shell = small_particle.shell
    camera = Camera.framing(shell, FRONT, pixels=100)
    nearby = shell_entries(shell, camera, SUBPIXELS[0])
    quick = shell_entries(shell, camera, SUBPIXELS[1], nearby)
    full = shell_entries(shell, camera, SUBPIXELS[1])
    assert np.array_equal(np.isfinite(quick), np.isfinite(full))
    hit = np.isfinite(full)
    np.testing.assert_allclose(quick[hit], full[hit], atol=1e-9)


@pytest.mark.parametrize("wedge", [HALF, QUARTER, OCTANT])
def test_cut_faces_lie_in_their_planes_and_nothing_is_left_in_the_wedge(small_particle, wedge):
    shell, planes = small_particle.shell, np.array(wedge)
    camera = Camera.framing(shell, FRONT, pixels=80)
    hits = cut_open(shell, camera, MIDDLE, shell_entries(shell, camera, MIDDLE), planes)
    faces, normals = hits.points[hits.on_cut], hits.normals[hits.on_cut]
    assert {tuple(normal) for normal in normals} == set(wedge)
    np.testing.assert_allclose(np.einsum("ij,ij->i", faces, normals), 0, atol=1e-12)
    assert shell.contains(faces).all()
    assert np.min(hits.points @ planes.T, axis=1).max() < 1e-12


def test_a_cut_particle_is_first_met_where_dense_sampling_meets_it(small_particle):
    shell, planes = small_particle.shell, np.array(QUARTER)
    camera = Camera.framing(shell, FRONT, pixels=32)
    origins, direction = camera.origins(MIDDLE), -camera.frame[2]
    hits = cut_open(shell, camera, MIDDLE, shell_entries(shell, camera, MIDDLE), planes)
    found = np.full(len(origins), np.inf)
    found[hits.rays] = (hits.points - origins[hits.rays]) @ direction
    distances = np.linspace(-1.05, 1.05, 1500) * shell.radius_bounds[1]
    sampled = first_inside(
        origins,
        direction,
        distances,
        lambda x: shell.contains(x) & ~(x @ planes.T > 0).all(axis=1),
    )
    late = np.where(np.isfinite(sampled), sampled, 0) - np.where(np.isfinite(found), found, 0)
    agree = (late >= 0) & (late <= distances[1] - distances[0])
    assert np.count_nonzero(~agree) < 10  # rays that graze the rim
    assert hits.on_cut.sum() > 100


def test_a_ball_cut_in_half_shows_its_great_circle(ball):
    camera = Camera((1.0, 0.0, 0.0), half_width_um=1.5, pixels=200)
    hits = cut_open(ball, camera, MIDDLE, shell_entries(ball, camera, MIDDLE), np.array(HALF))
    area = np.count_nonzero(hits.on_cut) * camera.pixel_um**2
    assert hits.on_cut.all()
    assert abs(area - np.pi * 1.3**2) < 2 * np.pi * 1.3 * camera.pixel_um


def test_the_framed_shell_does_not_touch_the_edge_of_the_picture(small_particle):
    camera = Camera.framing(small_particle.shell, FRONT, pixels=64)
    hit = np.isfinite(shell_entries(small_particle.shell, camera, MIDDLE)).reshape(64, 64)
    assert hit.any()
    assert not hit[[0, -1]].any()
    assert not hit[:, [0, -1]].any()
