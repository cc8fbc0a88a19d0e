from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.exporters.pictures import canvas
from cathodegrain.exporters.products import report
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.pictures import rendering
from cathodegrain.generator.pictures.colours import grain_colours
from cathodegrain.generator.pictures.ray_casting import (
    HALF,
    QUARTER,
    Camera,
    cut_open,
    shell_entries,
)
from cathodegrain.generator.pictures.rendering import (
    FRONT,
    boundary_distance,
    render_cut,
    render_outside,
    render_section,
    render_views,
)
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.voxels.grid import Grid

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

MIDDLE = (0.5, 0.5)


@pytest.fixture(scope="session")
def ball():
    return Shell.sphere(radius_um=1.3)


@pytest.fixture(scope="session")
def halves(small_particle, ball):
    """Ball of two grains that meet in the plane x = 0; grain 1 has x < 0."""
    gbpd = Tessellation(
        np.array([[-1.0, 0, 0], [1.0, 0, 0]]), np.stack([np.eye(3)] * 2), np.zeros(2), "squared"
    )
    return filled(small_particle, ball, gbpd)


def filled(particle, shell, tessellation):
    n = len(tessellation)
    rows = {name: getattr(particle, name)[:n] for name in ("diagonals", "angles", "origin")}
    return replace(particle, shell=shell, tessellation=tessellation, orientations=None, **rows)


def single(particle):
    return filled(particle, particle.shell, particle.tessellation.select(np.array([0])))


def linear(rgb):
    value = rgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def test_the_distance_to_a_plane_between_two_grains_is_exact(halves, rng):
    points = rng.uniform(-0.6, 0.6, (500, 3))
    grains = halves.nearest_grain(points)
    distance, away = boundary_distance(halves, points, grains, (np.eye(3)[0], np.eye(3)[1]))
    np.testing.assert_allclose(distance, np.abs(points[:, 0]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(away[:, 0], np.sign(points[:, 0]), rtol=1e-12)
    np.testing.assert_allclose(away[:, 1], 0, atol=1e-12)


def test_the_distance_within_an_inclined_surface_is_longer_by_its_slope(halves, rng):
    points = rng.uniform(-0.6, 0.6, (500, 3))
    tangents = (np.array([0.6, 0.8, 0.0]), np.array([0.0, 0.0, 1.0]))
    distance, _ = boundary_distance(halves, points, halves.nearest_grain(points), tangents)
    np.testing.assert_allclose(distance, np.abs(points[:, 0]) / 0.6, rtol=1e-9, atol=1e-12)


def test_points_at_the_drawn_distance_from_a_boundary_reach_another_grain(small_particle):
    shell = small_particle.shell
    camera = Camera.framing(shell, FRONT, pixels=150)
    hits = cut_open(shell, camera, MIDDLE, shell_entries(shell, camera, MIDDLE), np.array(HALF))
    points = hits.points[hits.on_cut]
    grains = small_particle.nearest_grain(points)
    tangents = (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    distance, away = boundary_distance(small_particle, points, grains, tangents)
    near = distance < 0.01  # um: where lines are drawn
    beyond = points - (1.1 * distance[:, None]) * (away @ np.stack(tangents))
    crossed = small_particle.nearest_grain(beyond) != grains
    assert near.sum() > 100
    assert crossed[near].mean() > 0.98


def test_a_particle_of_one_grain_has_no_boundary(small_particle):
    particle = single(small_particle)
    points = np.zeros((5, 3))
    grains = particle.nearest_grain(points)
    distance, away = boundary_distance(particle, points, grains, (np.eye(3)[0], np.eye(3)[1]))
    assert np.isinf(distance).all()
    assert not away.any()
    assert render_outside(particle, pixels=24).rgb.max() > 100


def test_grains_keep_their_colours_and_neighbours_have_different_ones():
    ids = np.arange(1, 5001, dtype=np.int32)
    colours = grain_colours(ids)
    assert colours.min() >= 0
    assert colours.max() <= 1
    np.testing.assert_array_equal(grain_colours(ids[[7, 3]]), colours[[7, 3]])
    pairs = np.linalg.norm(np.diff(colours, axis=0), axis=1)
    assert np.mean(pairs > 0.1) > 0.9


def test_a_section_shows_the_grains_on_their_sides(halves):
    rgb = render_section(halves, "xy", pixels=100).rgb
    sides = [linear(rgb[50, column]) for column in (25, 75)]
    for side, grain in zip(sides, (1, 2), strict=True):
        np.testing.assert_allclose(side, grain_colours(np.int32(grain)), atol=0.01)
    assert rgb[50, 49:51].max() < min(rgb[50, 25].max(), rgb[50, 75].max())  # the boundary
    assert (rgb[0, 0] == 255).all()  # outside is white


@pytest.mark.parametrize(("plane", "right", "up"), [("xy", 0, 1), ("xz", 0, 2), ("yz", 1, 2)])
def test_axes_of_a_section_point_right_and_up(small_particle, plane, right, up):
    tessellation = Tessellation(
        np.concatenate([np.eye(3), -np.eye(3)]),
        np.stack([np.eye(3)] * 6),
        np.zeros(6),
    )
    particle = filled(small_particle, Shell.sphere(1.0), tessellation)
    rgb = render_section(particle, plane, pixels=90).rgb
    np.testing.assert_allclose(linear(rgb[45, 75]), grain_colours(np.int32(right + 1)), atol=0.01)
    np.testing.assert_allclose(linear(rgb[15, 45]), grain_colours(np.int32(up + 1)), atol=0.01)


def test_pictures_drawn_together_equal_pictures_drawn_alone(small_particle):
    outside, cut = render_views(small_particle, [(), QUARTER], pixels=40)
    np.testing.assert_array_equal(outside.rgb, render_outside(small_particle, pixels=40).rgb)
    np.testing.assert_array_equal(cut.rgb, render_cut(small_particle, pixels=40).rgb)
    assert (outside.rgb != cut.rgb).any()


def test_the_outside_is_grey_and_the_cut_is_coloured(small_particle):
    outside, cut = render_views(small_particle, [(), QUARTER], pixels=40)
    assert np.ptp(outside.rgb, axis=2).max() == 0
    assert np.mean(np.ptp(cut.rgb, axis=2) > 20) > 0.1


def write_small(particle, path):
    """A report with small pictures, the rest as always."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "VIEW", 60)
        patch.setattr(report, "SECTION", 50)
        return report.write(particle, path, pitch_um=0.1)


@pytest.fixture(scope="session")
def written(small_particle, tmp_path_factory):
    """Report of the small particle, and what the particle was made of before it."""
    before = arrays(small_particle)
    return write_small(small_particle, tmp_path_factory.mktemp("report") / "report.png"), before


def arrays(particle):
    """Bytes of everything that makes up a particle."""
    parts = [particle.shell.coefficients, particle.diagonals, particle.angles, particle.origin]
    gbpd = particle.tessellation
    parts += [gbpd.seeds, gbpd.matrices, gbpd.offsets]
    return [part.tobytes() for part in parts]


def test_a_report_is_a_png_of_its_size_and_leaves_the_particle_as_it_was(small_particle, written):
    path, before = written
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (report.WIDTH, report.HEIGHT)
        assert "Software" not in image.info
    assert arrays(small_particle) == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.png"]


def test_equal_particles_give_equal_bytes_whatever_the_style_of_the_user(
    small_particle, written, tmp_path
):
    import matplotlib as mpl

    style = {"font.size": 30, "axes.facecolor": "red", "savefig.transparent": True}
    with mpl.rc_context(style):
        path = write_small(replace(small_particle), tmp_path / "again.png")
        assert mpl.rcParams["font.size"] == 30
    assert path.read_bytes() == written[0].read_bytes()


def test_the_view_in_the_report_is_the_rendered_picture_pixel_by_pixel(small_particle, written):
    with Image.open(written[0]) as image:
        page = np.asarray(image.convert("RGB"))
    expected = render_outside(small_particle, pixels=60).rgb
    above_the_bar = slice(0, 35)
    view = page[report.TOP : report.TOP + 60, 30 : 30 + 60]
    np.testing.assert_array_equal(view[above_the_bar], expected[above_the_bar])


def test_a_particle_of_one_grain_and_one_with_orientations_have_reports(small_particle, tmp_path):
    n = small_particle.n_grains
    turned = replace(small_particle, orientations=np.tile([1.0, 0.0, 0.0, 0.0], (n, 1)))
    sizes = set()
    for k, particle in enumerate((single(small_particle), turned)):
        with Image.open(write_small(particle, tmp_path / f"{k}.png")) as image:
            sizes.add(image.size)
    assert sizes == {(report.WIDTH, report.HEIGHT)}


def test_a_spacing_that_misses_the_particle_is_refused_and_leaves_no_file(small_particle, tmp_path):
    with pytest.raises(ExportError, match=r"no voxel centre .* diameter is 2\.6 um"):
        report.write(small_particle, tmp_path / "report.png", pitch_um=50.0)
    assert not list(tmp_path.iterdir())


def test_a_picture_is_written_pixel_by_pixel_with_a_white_scale_bar(halves, tmp_path):
    picture = render_section(halves, "xy", pixels=120)
    picture = replace(picture, rgb=picture.rgb // 2)  # no white but that of the bar
    with Image.open(canvas.write_picture(picture, tmp_path / "section.png")) as image:
        rgb = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(rgb[:90], picture.rgb[:90])
    bar = (rgb[110:] == 255).all(axis=2).sum(axis=1).max() * picture.pixel_um
    assert bar == pytest.approx(canvas.nice_length(0.3 * 120 * picture.pixel_um), abs=0.06)


def test_scale_bars_are_one_two_or_five_and_fit():
    for longest in np.geomspace(1e-4, 1e4, 300):
        length = canvas.nice_length(longest)
        assert 0.4 * longest < length <= longest * (1 + 1e-9)
        assert f"{length:e}"[0] in "125"


def test_the_default_spacing_resolves_the_mean_grain(small_particle):
    tenth = rendering.grain_length_um(small_particle) / 10
    assert tenth <= report.default_pitch_um(small_particle) < 1.11 * tenth


def test_the_default_spacing_keeps_to_the_voxel_budget(small_particle, monkeypatch, rng):
    monkeypatch.setattr(report, "MAX_VOXELS", 30**3)
    for factor in rng.uniform(0.5, 5.0, 20):
        particle = replace(small_particle, shell=small_particle.shell.scaled(factor))
        spacing = report.default_pitch_um(particle)
        grid = Grid.around(particle.shell.radius_bounds[1], spacing)
        assert 20**3 < grid.n_voxels <= 30**3


@pytest.mark.slow
def test_a_full_report_of_thousands_of_grains_can_be_read(card, tmp_path):
    from cathodegrain.generator.generate import generate_particle

    particle = generate_particle(card.with_parameters({"shell.diameter_um": 7.0}), seed=7)
    assert particle.n_grains > 2000
    with Image.open(report.write(particle, tmp_path / "report.png")) as image:
        image.load()
        assert image.size == (report.WIDTH, report.HEIGHT)
