import builtins
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cathodegrain.exporters.certificate.conformity import conformity
from cathodegrain.exporters.mesh import gmsh_session, msh_file
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
from cathodegrain.exporters.mesh.msh_sections import read_facts
from cathodegrain.exporters.mesh.reading import TETRAHEDRON, read_msh
from cathodegrain.exporters.mesh.tetrahedra import FACES, inverse_condition, signed_volumes
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing import mesher
from cathodegrain.exporters.meshing.sizes import MeshSizes
from cathodegrain.exporters.optimisation.optimiser import LONGEST, TOLERANCE
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from meshes import ball, edge_counts, faces_of, umbrellas

PIXEL_UM = 0.05
TRIANGLE = 2  # gmsh's number
SMALL_UM3 = 10 * PIXEL_UM**3  # every grain of this volume must be in a mesh of the default size


@pytest.fixture(scope="module")
def mesh(tiny_particle):
    return mesher.volume_mesh(tiny_particle, 0.15)


@pytest.fixture(scope="module")
def halves(card):
    """Ball of radius 1 um cut in two by the plane x = 0."""
    return mesher.volume_mesh(ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]]), 0.15)


def voxel_volumes(particle, spacing):
    labels = label_grid(particle, Grid.around(particle.shell.radius_bounds[1], spacing), threads=1)
    return np.bincount(labels.ravel(), minlength=particle.n_grains + 1)[1:] * spacing**3


def assert_sound(mesh, particle):
    """What every mesh must be, whatever its particle; slow references only."""
    assert signed_volumes(mesh.points, mesh.tets).min() > 0
    assert np.unique(mesh.tets).tolist() == list(range(len(mesh.points)))
    faces = faces_of(mesh.tets)
    assert max(len(rows) for rows in faces.values()) == 2
    expected = {}
    for face, rows in faces.items():
        sides = sorted(
            {0 if len(rows) == 1 else int(mesh.grain_ids[rows[1]]), int(mesh.grain_ids[rows[0]])}
        )
        if len(sides) == 2:
            expected[face] = tuple(sides)
    triangles, pairs = mesh.facets
    found = {
        tuple(sorted(t)): tuple(p) for t, p in zip(triangles.tolist(), pairs.tolist(), strict=True)
    }
    assert len(found) == len(triangles)
    assert found == expected
    assert set(edge_counts(mesh.outer).values()) == {2}
    assert set(umbrellas(mesh.outer).values()) == {1}
    present = np.unique(mesh.grain_ids)
    volumes = voxel_volumes(particle, PIXEL_UM / 2)
    assert set((1 + np.flatnonzero(volumes >= SMALL_UM3)).tolist()) <= set(present.tolist())
    lost = [grain["grain_id"] for grain in mesh.facts["certificate"]["lost"]]
    assert lost == sorted(set((1 + np.flatnonzero(volumes)).tolist()) - set(present.tolist()))


def test_tetrahedra_fit_together_and_their_facets_bound_every_grain(mesh, tiny_particle):
    assert_sound(mesh, tiny_particle)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_meshes_of_hundreds_of_grains_are_sound(card, seed):
    particle = generate_particle(card.with_parameters({"shell.diameter_um": 2.6}), seed=seed)
    mesh = mesher.volume_mesh(particle, 0.15)
    assert_sound(mesh, particle)
    assert mesh.facts["certificate"]["certified"]
    assert inverse_condition(mesh.points, mesh.tets).min() >= 0.1
    assert np.percentile(inverse_condition(mesh.points, mesh.tets), 5) >= 0.5
    assert mesh.volumes.sum() == pytest.approx(particle.shell.volume_um3, rel=5e-3)
    volumes = voxel_volumes(particle, PIXEL_UM / 2)
    large = volumes >= SMALL_UM3
    error = np.abs(mesh.grain_volumes - volumes)[large] / volumes[large]
    assert np.median(error) < 0.025
    assert np.percentile(error, 95) < 0.12


def test_normals_point_out_of_the_grain_with_the_higher_id(mesh):
    triangles, pairs = mesh.facets
    owner = {}
    for row, tet in enumerate(mesh.tets.tolist()):
        for face in np.array(tet)[FACES].tolist():
            owner[tuple(sorted(face)), int(mesh.grain_ids[row])] = row
    for triangle, pair in zip(triangles.tolist(), pairs.tolist(), strict=True):
        a, b, c = mesh.points[triangle]
        tet = mesh.tets[owner[tuple(sorted(triangle)), pair[1]]]
        assert np.cross(b - a, c - a) @ (mesh.points[tet].mean(axis=0) - a) < 0


def test_grain_volumes_are_those_of_fine_voxels(mesh, tiny_particle):
    volumes = voxel_volumes(tiny_particle, 0.01)
    large = volumes >= SMALL_UM3
    error = np.abs(mesh.grain_volumes - volumes)[large] / volumes[large]
    assert np.median(error) < 0.04
    assert error.max() < 0.5
    assert mesh.grain_volumes.sum() == pytest.approx(mesh.volumes.sum(), rel=1e-12)


def test_points_of_a_tetrahedron_lie_in_its_grain(mesh, tiny_particle, rng):
    chosen = rng.choice(len(mesh.tets), 20_000, p=mesh.volumes / mesh.volumes.sum())
    weights = rng.dirichlet(np.ones(4), len(chosen))
    points = np.einsum("ij,ijk->ik", weights, mesh.points[mesh.tets[chosen]])
    assert (tiny_particle.grain_at(points) == mesh.grain_ids[chosen]).mean() > 0.97


def test_two_equal_seeds_halve_a_ball(halves):
    assert halves.grain_volumes[0] == pytest.approx(halves.grain_volumes[1], rel=2e-3)
    a, b, c = (halves.points[halves.grain_boundary[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a) / 2
    assert np.linalg.norm(normals, axis=1).sum() == pytest.approx(np.pi, rel=0.01)
    # out of grain 2, which lies at x > 0, into grain 1
    np.testing.assert_allclose(normals.sum(axis=0), [-np.pi, 0, 0], atol=0.03)
    off = np.abs(halves.points[np.unique(halves.grain_boundary), 0])
    assert off.max() < 0.015
    assert np.quantile(off, 0.95) < 1e-6


def test_vertices_of_the_outer_surface_lie_on_the_shell(halves):
    height = np.abs(np.linalg.norm(halves.points[np.unique(halves.outer)], axis=1) - 1)
    # where halvings of an edge put them: 8.6e-6 at most in 18 balls
    assert np.quantile(height, 0.95) < 1.3e-5
    # those of the worst elements may go 6 times the tolerance: 1.7 at most in 18 balls
    assert height.max() < 2.6 * TOLERANCE * 0.15


def test_volume_error_falls_with_the_square_of_the_size(card):
    particle = ball(card, [[0.0, 0, 0]])
    sizes = np.array([0.4, 0.2, 0.1])
    errors = [
        1 - mesher.volume_mesh(particle, h).volumes.sum() / particle.shell.volume_um3 for h in sizes
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(orders - 2) < 0.5).all()
    assert 0 < errors[-1] < 5e-3


def test_boundary_size_refines_at_boundaries_only(card, halves):
    particle = ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]])
    graded = mesher.volume_mesh(particle, 0.4, 0.15)
    uniform = mesher.volume_mesh(particle, 0.15)
    assert len(graded.tets) < 3 * len(uniform.tets)
    assert len(graded.tets) > 4 * len(mesher.volume_mesh(particle, 0.4).tets)

    corners = graded.points[graded.facets[0]]
    length = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    assert np.percentile(length, 95) < 0.15
    assert length.max() < 1.05 * LONGEST * 0.15
    tet_edges = (
        graded.points[graded.tets[:, [0, 0, 0, 1, 1, 2]]]
        - graded.points[graded.tets[:, [1, 2, 3, 2, 3, 3]]]
    )
    assert np.linalg.norm(tet_edges, axis=2).max() > 0.35


def test_every_defect_of_a_mesh_is_counted():
    corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    points = np.concatenate([corner, [[0, -1, 0], [-1, -1, -1]], 9 + corner, corner[:1]])
    tets = np.array([[0, 1, 2, 3], [0, 1, 4, 5], [6, 7, 9, 8]])
    found = conformity(VolumeMesh(points, tets, np.array([1, 1, 3]), n_grains=4))
    assert found.n_inverted == 1
    assert (found.n_duplicate_nodes, found.n_unused_nodes) == (1, 1)
    assert found.n_fragments == 1
    assert found.n_touching_edges == 1  # edge 0-1 has four triangles of grain 1
    assert found.n_open_edges == 1
    assert found.n_pinched_nodes == 0  # along the edge 0-1 the triangles hang together
    assert found.n_outer_surfaces == 2
    assert len(found.defects()) == 6


def test_a_vertex_where_two_tetrahedra_touch_is_pinched():
    points = np.array(
        [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]]
    )
    tets = np.array([[0, 1, 2, 3], [0, 4, 6, 5]])
    mesh = VolumeMesh(points, tets, np.array([1, 2]), n_grains=2)
    assert mesh.volumes.min() > 0
    assert conformity(mesh).n_pinched_nodes == 1
    assert conformity(mesh).n_outer_surfaces == 2


def test_file_opens_in_gmsh_with_a_physical_group_for_each_grain(mesh, tmp_path):
    path = msh_file.write(mesh, tmp_path / "mesh.msh")
    n = mesh.n_grains
    with gmsh_model() as gmsh:
        gmsh.merge(str(path))
        model = gmsh.model
        groups = {(d, t): model.getPhysicalName(d, t) for d, t in model.getPhysicalGroups()}
        grains = np.unique(mesh.grain_ids).tolist()
        expected = {(3, g): f"grain_{g:05d}" for g in grains}
        assert groups == expected | {(2, n + 1): "outer", (2, n + 2): "grain_boundary"}
        tags, total = [], 0
        for dimension, tag in groups:
            for entity in model.getEntitiesForPhysicalGroup(dimension, tag):
                _, elements, _ = model.mesh.getElements(dimension, entity)
                tags += np.concatenate(elements).tolist()
                total += len(elements[0]) if dimension == 3 else 0
        assert len(tags) == len(set(tags)) == len(mesh.tets) + len(mesh.facets[0])
        assert total == len(mesh.tets)
        assert len(tags) == sum(len(e) for e in model.mesh.getElements()[1])
        elements = model.mesh.getElementsByType(TETRAHEDRON)[0]
        quality = np.array(model.mesh.getElementQualities(elements, "minSICN"))
        for _, surface in model.getEntities(2):
            above, _ = model.getAdjacencies(2, surface)
            assert len(above) in (1, 2)
    assert quality.min() > 0
    ours = inverse_condition(mesh.points, mesh.tets)
    np.testing.assert_allclose(np.sort(quality), np.sort(ours), atol=1e-9)


def test_surface_entities_of_the_file_are_the_pairs_of_grains(mesh, tmp_path):
    path = msh_file.write(mesh, tmp_path / "mesh.msh")
    found = {}
    with gmsh_model() as gmsh:
        gmsh.merge(str(path))
        for _, surface in gmsh.model.getEntities(2):
            above, _ = gmsh.model.getAdjacencies(2, surface)
            _, nodes = gmsh.model.mesh.getElementsByType(TRIANGLE, surface)
            pair = (0, *sorted(above.tolist()))[-2:]
            found[pair] = {tuple(t) for t in (nodes.astype(int).reshape(-1, 3) - 1).tolist()}
    triangles, pairs = mesh.facets
    expected = {}
    for triangle, pair in zip(triangles.tolist(), pairs.tolist(), strict=True):
        expected.setdefault(tuple(pair), set()).add(tuple(triangle))
    assert found == expected


def test_many_pairs_of_grains_share_one_surface_entity(mesh, tmp_path, monkeypatch):
    monkeypatch.setattr(msh_file, "MAX_PAIR_ENTITIES", 10)
    path = msh_file.write(mesh, tmp_path / "mesh.msh")
    with gmsh_model() as gmsh:
        gmsh.merge(str(path))
        assert len(gmsh.model.getEntities(2)) == 2
        sizes = [len(gmsh.model.mesh.getElementsByType(2, tag)[0]) for tag in (1, 2)]
    assert sizes == [len(mesh.outer), len(mesh.grain_boundary)]
    np.testing.assert_array_equal(read_msh(path).tets, mesh.tets)


def test_meshio_reads_the_grain_of_every_tetrahedron(mesh, tmp_path):
    meshio = pytest.importorskip("meshio")
    read = meshio.read(msh_file.write(mesh, tmp_path / "mesh.msh"))
    where = {tuple(x): row for row, x in enumerate(mesh.points.tolist())}
    node = np.array([where[tuple(x)] for x in read.points.tolist()])
    grain = {tuple(t): g for t, g in zip(mesh.tets.tolist(), mesh.grain_ids.tolist(), strict=True)}
    found = {}
    for block, tags in zip(read.cells, read.cell_data["gmsh:physical"], strict=True):
        if block.type == "tetra":
            found |= {
                tuple(t): g for t, g in zip(node[block.data].tolist(), tags.tolist(), strict=True)
            }
    assert found == grain


def test_reading_gives_back_the_mesh(mesh, tmp_path):
    read = read_msh(msh_file.write(mesh, tmp_path / "mesh.msh"))
    for name in ("points", "tets", "grain_ids"):
        np.testing.assert_array_equal(getattr(read, name), getattr(mesh, name))
    assert read.n_grains == mesh.n_grains
    assert dict(read.facts) == dict(mesh.facts)
    assert read.facts["length_unit"] == "um"


def test_summary_of_a_file_is_the_facts_of_its_mesh(mesh, tmp_path):
    summary = read_facts(msh_file.write(mesh, tmp_path / "mesh.msh"))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary == dict(mesh.facts)
    assert summary["certificate"]["n_tets"] == len(mesh.tets)


def test_equal_particles_give_equal_bytes_and_are_not_changed(card, tmp_path):
    drawn = [
        generate_particle(card.with_parameters({"shell.diameter_um": 1.0}), seed=3)
        for _ in range(2)
    ]
    before = drawn[0].tessellation.table.copy()
    paths = [
        msh_file.write(mesher.volume_mesh(particle, 0.2), tmp_path / f"{k}.msh")
        for k, particle in enumerate(drawn)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    np.testing.assert_array_equal(drawn[0].tessellation.table, before)
    assert sorted(os.listdir(tmp_path)) == ["0.msh", "1.msh"]


def test_progress_rises_to_one(card):
    seen = []
    mesher.volume_mesh(
        ball(card, [[0.0, 0, 0]]), 0.4, progress=lambda message, part: seen.append((part, message))
    )
    parts = [part for part, _ in seen]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)
    assert all(message for _, message in seen)


@pytest.mark.parametrize("size", [0.0, -0.1, 1e-300, float("nan"), float("inf"), 5.0])
def test_sizes_that_are_no_edge_lengths_are_refused(tiny_particle, size):
    with pytest.raises(
        ExportError, match=f"size_um is {size}, expected a length in um from 6e-06 to 0.3"
    ):
        mesher.volume_mesh(tiny_particle, size)


@pytest.mark.parametrize("size", [0.0, float("nan"), 0.3])
def test_boundary_sizes_beyond_the_size_are_refused(tiny_particle, size):
    with pytest.raises(ExportError, match=f"boundary_size_um is {size}, expected .* to 0.2 for"):
        mesher.volume_mesh(tiny_particle, 0.2, size)


def test_a_mesh_beyond_the_memory_is_refused_before_it_is_begun(tiny_particle):
    def nothing_may_begin(message, part):
        pytest.fail(message)

    with pytest.raises(ExportError, match=r"about .* GB of memory; expected at most 80% of the"):
        mesher.volume_mesh(tiny_particle, 1e-4, progress=nothing_may_begin)


def test_expected_number_of_tetrahedra_is_right_within_a_quarter(mesh, tiny_particle):
    expected = MeshSizes(ParticleBody(tiny_particle), 0.15, 0.15).expected_tets
    assert 0.75 < expected / len(mesh.tets) < 1.25


def test_meshes_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"grain_ids has shape \(2,\), expected \(1,\)"):
        VolumeMesh(np.eye(4, 3), [[0, 1, 2, 3]], [1, 1], 1)
    with pytest.raises(ValueError, match="reach from 2 to 2, expected 1 to n_grains = 1"):
        VolumeMesh(np.eye(4, 3), [[0, 1, 2, 3]], [2], 1)


def test_a_gmsh_that_does_not_load_says_what_to_install(monkeypatch):
    original = builtins.__import__
    error = OSError("libGLU.so.1: cannot open shared object file: No such file or directory")
    message = (
        r"needs the shared library libGLU.so.1, .* apt-get install libglu1-mesa libxcursor1 "
        r"libxft2 libxinerama1 libxrender1"
    )

    def failing(name, *args, **kwargs):
        if name == "gmsh":
            raise error
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.raises(ExportError, match=message):
        gmsh_session.load_gmsh()


CLOSED_PIPE = """
import os
import subprocess
import sys
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
with gmsh_model():
    pass
reader, writer = os.pipe()
os.close(reader)
try:
    os.write(writer, b"x")
except BrokenPipeError:
    print("an error")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_closed_pipe_is_an_error_after_gmsh_too():
    done = subprocess.run([sys.executable, "-c", CLOSED_PIPE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "an error\n"), done.stderr


def test_a_gmsh_in_use_is_left_alone(mesh, tmp_path):
    with gmsh_model() as gmsh:
        gmsh.model.add("mine")
        with pytest.raises(ExportError, match="in use"), gmsh_model():
            pass
        read_msh(msh_file.write(mesh, tmp_path / "mesh.msh"))  # without gmsh
        assert gmsh.model.getCurrent() == "mine"
    assert not gmsh.isInitialized()


def test_files_of_others_are_not_read(tmp_path, mesh):
    path = tmp_path / "mesh.msh"
    with pytest.raises(ExportError, match="cannot be read"):
        read_msh(path)
    path.write_text("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n")
    with pytest.raises(ExportError, match=r"expected .* a binary MSH 4.1 file"):
        read_msh(path)
    content = msh_file.write(mesh, path).read_bytes()
    path.write_bytes(content.partition(b"$Comments")[0])
    with pytest.raises(ExportError, match="does not say how many grains"):
        read_msh(path)
    comments = content.partition(b"$Comments")[2].decode().splitlines()
    assert comments[1] == "coordinates in um"
    assert json.loads(comments[2]) == dict(mesh.facts)
