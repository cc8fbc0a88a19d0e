from collections import defaultdict
from itertools import combinations, pairwise

import numpy as np
import pytest

from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.surfaces import triple_lines
from cathodegrain.exporters.surfaces.grain_surfaces import grain_surfaces
from cathodegrain.generator.errors import ExportError
from meshes import ball, kuhn_lattice

COLUMNS = np.repeat([[[1], [2]], [[3], [2]]], 2, axis=2)  # three grains around the line (1, 1, z)


@pytest.fixture(scope="module")
def surfaces(tiny_particle):
    return grain_surfaces(volume_mesh(tiny_particle, 0.15))


@pytest.fixture(scope="module")
def lines(surfaces):
    return triple_lines.triple_lines(surfaces)


def lines_of(labels):
    return triple_lines.triple_lines(grain_surfaces(kuhn_lattice((2, 2, 2), labels)))


def lengths(lines):
    return sorted(zip(lines.line_materials, lines.lengths.tolist(), strict=True))


def test_three_columns_meet_in_one_line_and_two_corners():
    lines = lines_of(COLUMNS)
    assert lengths(lines) == [((0, 1, 2), 4), ((0, 1, 3), 4), ((0, 2, 3), 4), ((1, 2, 3), 2)]
    assert lines.points[lines.corners].tolist() == [[1, 1, 0], [1, 1, 2]]
    assert lines.corner_materials == ((0, 1, 2, 3),) * 2
    assert lines.points[lines.lines[-1]].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 2]]


def test_two_halves_meet_the_outside_in_a_closed_line():
    lines = lines_of(np.repeat([1, 2], 4).reshape(2, 2, 2))
    assert lengths(lines) == [((0, 1, 2), 8)]
    assert lines.corners.size == 0
    assert lines.lines[0][0] == lines.lines[0][-1]


def test_a_corner_may_have_any_number_of_materials():
    lines = lines_of(1 + np.arange(8).reshape(2, 2, 2))
    inner = [m for m in lines.line_materials if 0 not in m]
    assert [len(m) for m in inner] == [4] * 6
    assert len(lines.corners) == 7  # the centre, and the middles of the six faces
    assert sorted(map(len, lines.corner_materials)) == [5] * 6 + [8]


def test_a_grain_that_touches_a_line_in_a_point_makes_a_corner():
    labels = np.full((4, 4, 4), 2)
    labels[:2, :2], labels[2:, :2] = 1, 3
    mesh = kuhn_lattice((4, 4, 4), labels)
    middle = int(np.flatnonzero((mesh.points == 2).all(axis=1))[0])
    alone = {node for node in range(len(mesh.points)) if only_grain(mesh, node) == 2}
    rows = [k for k, tet in enumerate(mesh.tets.tolist()) if set(tet) - alone == {middle}]
    ids = mesh.grain_ids.copy()
    ids[rows[0]] = 4
    touched = VolumeMesh(mesh.points, mesh.tets, ids, 4)
    lines = triple_lines.triple_lines(grain_surfaces(touched))
    assert lines.line_materials.count((1, 2, 3)) == 2
    at = dict(zip(lines.corners.tolist(), lines.corner_materials, strict=True))
    corners = {tuple(lines.points[node]): materials for node, materials in at.items()}
    assert corners[2, 2, 2] == (1, 2, 3, 4)


def only_grain(mesh, node):
    """Grain of all tetrahedra at a node, 0 if there are several."""
    found = set(mesh.grain_ids[(mesh.tets == node).any(axis=1)].tolist())
    return found.pop() if len(found) == 1 else 0


def test_one_grain_has_no_lines():
    lines = lines_of(np.ones((2, 2, 2), int))
    assert lines.lines == ()
    assert lines.corners.size == 0
    assert lines.lengths.size == 0


def test_half_balls_have_a_circle(card):
    mesh = volume_mesh(ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]]), 0.15)
    lines = triple_lines.triple_lines(grain_surfaces(mesh))
    assert lines.line_materials == ((0, 1, 2),)
    assert lines.lengths[0] == pytest.approx(2 * np.pi, rel=5e-3)


def assert_lines(surfaces, lines):
    """Lines are all edges of three materials, once, from corner to corner or closed."""
    around, at = defaultdict(set), defaultdict(set)
    for triangle, pair in zip(surfaces.triangles.tolist(), surfaces.pairs.tolist(), strict=True):
        for edge in combinations(sorted(triangle), 2):
            around[edge].update(pair)
        for node in triangle:
            at[node].update(pair)
    expected = {edge: tuple(sorted(m)) for edge, m in around.items() if len(m) > 2}
    corners = dict(zip(lines.corners.tolist(), lines.corner_materials, strict=True))
    found, ends = {}, set()
    for line, materials in zip(lines.lines, lines.line_materials, strict=True):
        first, *within, last = line.tolist()
        assert (first in corners and last in corners) or first == last
        assert not set(within) & set(corners)
        assert all(tuple(sorted(at[node])) == materials for node in within)
        ends |= {first, last}
        for edge in pairwise(line.tolist()):
            assert tuple(sorted(edge)) not in found
            found[tuple(sorted(edge))] = materials
    assert found == expected
    assert set(corners) <= ends
    assert all(tuple(sorted(at[node])) == found for node, found in corners.items())


def test_lines_of_a_particle_are_complete(surfaces, lines):
    assert_lines(surfaces, lines)
    quadruple = sum(len(m) == 4 for m in lines.corner_materials)
    assert quadruple > len(lines.corners) / 2  # the generic corner has four materials


@pytest.mark.parametrize("n_grains", [2, 3, 5, 20])
@pytest.mark.parametrize("per_tet", [False, True])
def test_lines_of_random_labels_are_complete(rng, n_grains, per_tet):
    for _ in range(5):
        labels = rng.integers(1, n_grains + 1, 162 if per_tet else (3, 3, 3))
        surfaces = grain_surfaces(kuhn_lattice((3, 3, 3), labels))
        assert_lines(surfaces, triple_lines.triple_lines(surfaces))


def test_reading_gives_back_the_lines(surfaces, lines, tmp_path):
    path = triple_lines.write(lines, tmp_path / "lines.vtkhdf")
    read = triple_lines.read(path, surfaces)
    assert read.line_materials == lines.line_materials
    assert read.corner_materials == lines.corner_materials
    np.testing.assert_array_equal(read.corners, lines.corners)
    for one, other in zip(read.lines, lines.lines, strict=True):
        np.testing.assert_array_equal(one, other)
    again = triple_lines.write(lines, tmp_path / "again.vtkhdf")
    assert again.read_bytes() == path.read_bytes()


def test_vtk_opens_the_lines(lines, tmp_path):
    pytest.importorskip("vtkmodules")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersVerdict import vtkCellSizeFilter
    from vtkmodules.vtkIOHDF import vtkHDFReader

    reader = vtkHDFReader()
    reader.SetFileName(str(triple_lines.write(lines, tmp_path / "lines.vtkhdf")))
    sizes = vtkCellSizeFilter()
    sizes.SetInputConnection(reader.GetOutputPort())
    sizes.Update()
    data = sizes.GetOutput()
    assert data.GetNumberOfVerts() == len(lines.corners)
    assert data.GetNumberOfLines() == len(lines.lines)
    cells = data.GetCellData()
    found = vtk_to_numpy(cells.GetArray("length_um"))
    np.testing.assert_allclose(found, vtk_to_numpy(cells.GetArray("Length")), atol=1e-12)
    table = vtk_to_numpy(cells.GetArray("materials"))
    materials = [*lines.corner_materials, *lines.line_materials]
    assert [tuple(row[row >= 0]) for row in table] == materials
    assert vtk_to_numpy(cells.GetArray("n_materials")).tolist() == [len(m) for m in materials]


def test_a_particle_without_lines_has_a_file(tmp_path):
    surfaces = grain_surfaces(kuhn_lattice((1, 1, 1)))
    path = triple_lines.write(triple_lines.triple_lines(surfaces), tmp_path / "lines.vtkhdf")
    assert triple_lines.read(path, surfaces).lines == ()


def test_files_of_others_are_not_read(surfaces, tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        triple_lines.read(tmp_path / "lines.vtkhdf", surfaces)
