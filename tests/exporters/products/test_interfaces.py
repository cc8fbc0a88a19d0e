from dataclasses import fields, replace

import numpy as np
import pytest
import xarray

from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.products import interfaces as module
from cathodegrain.exporters.products.interfaces import COLUMNS, Interfaces, interfaces
from cathodegrain.exporters.surfaces.grain_surfaces import GrainSurfaces, grain_surfaces
from cathodegrain.exporters.surfaces.triple_lines import triple_lines
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.generate import generate_particle
from meshes import ball, kuhn_lattice

COLUMN_LABELS = np.repeat([[[1], [2]], [[3], [2]]], 2, axis=2)


@pytest.fixture(scope="module")
def particle(card):
    """About 60 grains with orientations."""
    changes = {"shell.diameter_um": 1.2, "orientations.model": "uniform"}
    return generate_particle(card.with_parameters(changes), seed=7)


@pytest.fixture(scope="module")
def mesh(particle):
    return volume_mesh(particle, 0.15)


@pytest.fixture(scope="module")
def table(mesh, particle):
    return interfaces(grain_surfaces(mesh), particle)


def assert_same(one, other):
    for field in fields(Interfaces):
        a, b = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(a, b)
        assert (a is None) == (b is None)
        assert a is None or a.dtype == b.dtype


def test_half_balls_share_a_disc(card):
    particle = ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]])
    table = interfaces(grain_surfaces(volume_mesh(particle, 0.1)), particle)
    assert (table.grain_low.tolist(), table.grain_high.tolist()) == ([1], [2])
    assert table.area_um2[0] == pytest.approx(np.pi, rel=0.01)
    assert table.perimeter_um[0] == pytest.approx(2 * np.pi, rel=0.01)
    np.testing.assert_allclose(table.normal[0], [1, 0, 0], atol=0.01)
    assert table.radial_angle_deg[0] == pytest.approx(90, abs=1)
    assert table.depth_um[0] == pytest.approx(1 / 3, rel=0.02)  # mean of 1 - r over the disc
    assert table.misorientation_deg is None


def test_flat_interfaces_of_cubes_are_exact(card):
    surfaces = grain_surfaces(kuhn_lattice((2, 2, 2), COLUMN_LABELS))
    particle = ball(card, [[0, 0, 0]] * 3, radius_um=10.0)
    table = interfaces(surfaces, particle)
    assert table.grain_low.tolist() == [1, 1, 2]
    assert table.grain_high.tolist() == [2, 3, 3]
    assert table.n_facets.tolist() == [4, 4, 4]
    assert table.area_um2.tolist() == [2, 2, 2]
    assert table.perimeter_um.tolist() == [6, 6, 6]
    assert table.normal.tolist() == [[0, 1, 0], [1, 0, 0], [0, -1, 0]]
    third = np.arange(1, 6) / 3
    centres = [[x, 1, z] for x, z in [(third[0], third[1]), (third[1], third[0])]]
    centres += [[x, 1, z + 1] for x, _, z in centres]  # of the triangles between 1 and 2
    distance = np.linalg.norm(centres, axis=1)
    assert table.depth_um[0] == pytest.approx(10 - distance.mean(), rel=1e-12)
    angles = np.degrees(np.arccos(1 / distance))
    assert table.radial_angle_deg[0] == pytest.approx(angles.mean(), rel=1e-12)


def test_concentric_layers_face_the_shell_at_their_depth(card):
    trimesh = pytest.importorskip("trimesh")
    inner, outer = (trimesh.creation.icosphere(5, radius) for radius in (0.6, 1.0))
    surfaces = GrainSurfaces(
        np.concatenate([inner.vertices, outer.vertices]),
        np.concatenate([inner.faces, len(inner.vertices) + outer.faces]),
        np.repeat([[1, 2], [0, 1]], [len(inner.faces), len(outer.faces)], axis=0),
        2,
    )
    table = interfaces(surfaces, ball(card, [[0, 0, 0], [0, 0, 0.1]]))
    assert len(table) == 1
    assert table.area_um2[0] == pytest.approx(4 * np.pi * 0.36, rel=2e-3)
    assert table.depth_um[0] == pytest.approx(0.4, rel=2e-3)
    assert table.radial_angle_deg[0] < 0.5
    assert table.perimeter_um[0] == 0
    assert np.isnan(table.normal).all()  # a closed interface has no mean normal


def test_areas_add_up_to_those_of_the_grains(table, mesh, particle):
    trimesh = pytest.importorskip("trimesh")
    surfaces = grain_surfaces(mesh)
    own = np.zeros(particle.n_grains + 1)
    np.add.at(own, table.grain_low, table.area_um2)
    np.add.at(own, table.grain_high, table.area_um2)
    outside = surfaces.pairs[surfaces.pairs[:, 0] == 0]
    triangles = surfaces.points[surfaces.triangles[surfaces.pairs[:, 0] == 0]]
    vectors = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    np.add.at(own, outside[:, 1], np.linalg.norm(vectors, axis=1) / 2)
    for grain in surfaces.grain_ids.tolist():
        triangles = surfaces.triangles[(surfaces.pairs == grain).any(axis=1)]
        expected = trimesh.Trimesh(surfaces.points, triangles, process=False).area
        assert own[grain] == pytest.approx(expected, rel=1e-9)
    assert table.n_facets.sum() == len(mesh.grain_boundary)


def test_edges_of_interfaces_are_triple_lines(card):
    """Three grains: the edge of each interface is the inner line and its lines on the shell."""
    surfaces = grain_surfaces(kuhn_lattice((2, 2, 2), COLUMN_LABELS))
    table = interfaces(surfaces, ball(card, [[0, 0, 0]] * 3, radius_um=10.0))
    lines = triple_lines(surfaces)
    length = dict(zip(lines.line_materials, lines.lengths, strict=True))
    assert table.perimeter_um[1] == length[0, 1, 3] + length[1, 2, 3]


def test_normals_are_those_of_the_recipe(table, particle, mesh):
    """At the middle of a large interface the analytic normal is close to the mean one."""
    surfaces = grain_surfaces(mesh)
    cosines = []
    for row in np.argsort(-table.area_um2)[:20]:
        pair = [table.grain_low[row], table.grain_high[row]]
        chosen = (surfaces.pairs == pair).all(axis=1)
        middle = surfaces.points[surfaces.triangles[chosen]].mean(axis=(0, 1))
        first, second = particle.tessellation.two_best(middle[None])[0][0] + 1
        if {int(first), int(second)} == set(map(int, pair)):
            normal = particle.boundary_normal(middle[None])[0]
            sign = 1 if first == pair[0] else -1
            cosines.append(sign * normal @ table.normal[row])
    assert len(cosines) > 5
    assert min(cosines) > 0.5
    assert np.median(cosines) > 0.95


def test_misorientations_are_between_the_crystals_of_the_pair(table, particle):
    from cathodegrain.generator.grains.misorientation import disorientation_deg

    q = particle.orientations
    for row in (0, len(table) // 2, len(table) - 1):
        low, high = table.grain_low[row] - 1, table.grain_high[row] - 1
        assert table.misorientation_deg[row] == disorientation_deg(q[[low]], q[[high]])[0]


@pytest.mark.parametrize("suffix", [".csv", ".nc"])
def test_reading_gives_back_the_table(table, suffix, tmp_path):
    for name, source in (("with", table), ("without", replace(table, misorientation_deg=None))):
        path = module.write(source, tmp_path / f"{name}{suffix}")
        assert_same(module.read(path), source)
        again = module.write(source, tmp_path / f"again{suffix}")
        assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".nc"])
def test_a_single_grain_has_an_empty_table(card, suffix, tmp_path):
    particle = ball(card, [[0, 0, 0]])
    path = module.write(particle, tmp_path / f"table{suffix}", size_um=0.4)
    assert_same(module.read(path), interfaces(grain_surfaces(kuhn_lattice((1, 1, 1))), particle))


def test_a_particle_is_meshed_and_tabulated(particle, table, tmp_path):
    path = module.write(particle, tmp_path / "table.csv", size_um=0.15)
    assert_same(module.read(path), table)


def test_csv_has_units_in_its_head(table, tmp_path):
    text = module.write(table, tmp_path / "table.csv").read_text()
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert len(text.splitlines()) == len(table) + 1


def test_xarray_opens_the_table(table, tmp_path):
    path = module.write(table, tmp_path / "table.nc")
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert set(data.data_vars) == set(COLUMNS)
        assert data.depth_um.dims == ("interface",)
        assert data.depth_um.units == "um"
        np.testing.assert_array_equal(data.area_um2, table.area_um2)
        assert data.grain_low.dtype == np.int32


def test_other_suffixes_and_files_are_refused(table, tmp_path):
    with pytest.raises(ExportError, match=r"ends in '\.txt', expected '\.csv' or '\.nc'"):
        module.write(table, tmp_path / "table.txt")
    for name, text in (("a.csv", "a,b\n1,2\n"), ("b.csv", ""), ("c.nc", "text")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ExportError, match="is no readable table of interfaces"):
            module.read(tmp_path / name)
    with pytest.raises(ExportError, match="is no readable table of interfaces"):
        module.read(tmp_path / "missing.csv")


def test_columns_of_different_lengths_are_refused(table):
    with pytest.raises(ValueError, match=r"depth_um has shape \(1,\), expected"):
        replace(table, depth_um=[0.1])
