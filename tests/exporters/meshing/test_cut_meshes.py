"""Half, quarter and eighth particles: flat symmetric faces, whole volumes, closed surfaces."""

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.certificate.hex_certificate import lines_of
from cathodegrain.exporters.mesh.any_mesh import outer_of, symmetry_of
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.reading import read_msh, read_vtkhdf
from cathodegrain.exporters.meshing.cut_body import CutBody, planes_named
from cathodegrain.generator.errors import ExportError
from meshes import ball, edge_counts, umbrellas

CUTS = ["x", "x,y", "x,y,z"]
SIZES = {"tets": 0.15, "hex": 0.05}


@pytest.fixture(scope="module")
def meshes(tiny_particle):
    found = {}

    def mesh(elements, cut):
        key = elements, cut
        if key not in found:
            found[key] = cg.mesh(tiny_particle, elements=elements, size_um=SIZES[elements], cut=cut)
        return found[key]

    return mesh


def area_vectors(mesh, facets):
    corners = mesh.points[facets]
    a, b, c, d = (corners[:, k % corners.shape[1]] for k in (0, 1, 2, 3))
    return np.cross(c - a, (d if corners.shape[1] == 4 else a) - b) / 2


def kept_volumes(particle, axes, pitch):
    """Volumes of grains where coordinates are positive, by voxels of their own grid."""
    radius = particle.shell.radius_bounds[1]
    axis = np.arange(-radius, radius, pitch) + pitch / 2
    volumes = np.zeros(particle.n_grains + 1)
    for z in axis:
        x, y = np.meshgrid(axis, axis)
        points = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)
        kept = (points[:, axes] > 0).all(axis=1)
        labels = particle.grain_at(points[kept])
        volumes += np.bincount(labels, minlength=len(volumes)) * pitch**3
    return volumes[1:]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("elements", ["tets", "hex"])
def test_symmetric_faces_are_exactly_flat_and_as_large_as_the_section(
    elements, cut, meshes, tiny_particle
):
    mesh = meshes(elements, cut)
    certificate = mesh.facts["certificate"]
    assert certificate["certified"]
    told = certificate["symmetric_faces"]
    axes = planes_named(cut)
    assert list(mesh.symmetry) == [f"symmetry_{'xyz'[axis]}" for axis in axes]
    body = CutBody(ParticleBody(tiny_particle), axes)
    for axis, facets in zip(axes, mesh.symmetry.values(), strict=True):
        assert (mesh.points[facets, axis] == 0).all()
        normals = area_vectors(mesh, facets)
        assert (normals[:, axis] < 0).all()
        np.testing.assert_allclose(np.delete(normals, axis, 1), 0, atol=1e-15)
        section = body.section_um2(axis)
        assert -normals[:, axis].sum() == pytest.approx(
            section, rel=0.02 if elements == "tets" else 0.03
        )
        face = next(f for f in told if f["name"] == f"symmetry_{'xyz'[axis]}")
        assert face["n_facets"] == len(facets)
        assert face["area_um2"] == pytest.approx(-normals[:, axis].sum(), rel=1e-5)
        assert face["section_um2"] == pytest.approx(section, rel=1e-5)
    assert len(list(line for line in lines_of(certificate) if "the section" in line)) == len(axes)
    assert mesh.points[:, axes].min() == 0
    n_facets = len(mesh.outer) + sum(map(len, mesh.symmetry.values()))
    assert n_facets == (mesh.facets[1][:, 0] == 0).sum()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("elements", ["tets", "hex"])
def test_grains_keep_the_volumes_that_lie_there(elements, cut, meshes, tiny_particle):
    mesh = meshes(elements, cut)
    expected = kept_volumes(tiny_particle, planes_named(cut), 0.02)
    assert mesh.volumes.sum() == pytest.approx(expected.sum(), rel=0.03)  # chords of the shell
    large = expected > 0.01
    assert large.sum() >= 3
    bar = 0.09 if elements == "tets" else 0.15
    assert np.abs(mesh.grain_volumes[large] / expected[large] - 1).max() < bar


@pytest.mark.parametrize("cut", CUTS)
def test_the_surface_with_the_symmetric_faces_is_closed(cut, meshes):
    mesh = meshes("tets", cut)
    free = np.concatenate([mesh.outer, *mesh.symmetry.values()])
    assert set(edge_counts(free).values()) == {2}
    assert set(umbrellas(free).values()) == {1}
    np.testing.assert_allclose(area_vectors(mesh, free).sum(axis=0), 0, atol=1e-12)
    assert mesh.volumes.min() > 0


def test_a_ball_is_halved_along_its_middle(card):
    mesh = cg.mesh(ball(card, [[0.0, 0, 0]]), size_um=0.2, cut="y")
    assert mesh.volumes.sum() == pytest.approx(2 / 3 * np.pi, rel=0.02)
    area = np.linalg.norm(area_vectors(mesh, mesh.symmetry["symmetry_y"]), axis=1).sum()
    assert area == pytest.approx(np.pi, rel=0.01)
    radii = np.linalg.norm(mesh.points[np.unique(mesh.outer)], axis=1)
    np.testing.assert_allclose(radii, 1, atol=0.01)


def test_pieces_that_the_plane_parts_from_their_grain_stay():
    labels = np.zeros((16, 16, 16), np.int32)
    labels[2:14, 2:14, 2:14] = 1
    labels[2:14, 2:14, 6:10] = 2  # a slab, on both sides of which grain 1 lies ...
    labels[2:14, 2:6, 2:14] = 1  # ... in one piece behind the plane
    mesh = cg.mesh(labels, pitch_um=0.1, size_um=0.2, cut="y")
    certificate = mesh.facts["certificate"]
    assert certificate["certified"]
    assert certificate["conformity"]["n_fragments"] == 0
    beyond = labels[:, 8:, :]
    for grain in (1, 2):
        expected = (beyond == grain).sum() * 0.001
        assert mesh.grain_volumes[grain - 1] == pytest.approx(expected, rel=0.12)
    left = (mesh.points[mesh.tets].mean(axis=1)[:, 0] < 0.8) & (mesh.grain_ids == 1)
    assert 0.3 < mesh.volumes[left].sum() / mesh.grain_volumes[0] < 0.7


@pytest.mark.parametrize("elements", ["tets", "hex"])
def test_labels_are_cut_in_the_middle_of_their_box(elements):
    labels = np.zeros((12, 12, 12), np.int32)
    labels[1:9, 2:12, 3:11] = 1
    labels[1:9, 2:12, 6:11] = 2
    size = {"tets": 0.15, "hex": 0.1}[elements]
    mesh = cg.mesh(labels, elements=elements, pitch_um=0.1, size_um=size, cut="x,z")
    assert mesh.facts["cut"] == {"x": pytest.approx(0.7), "z": pytest.approx(0.5)}
    assert mesh.points[:, 0].min() == mesh.facts["cut"]["x"]
    assert mesh.points[:, 2].min() == mesh.facts["cut"]["z"]
    assert set(mesh.symmetry) == {"symmetry_x", "symmetry_z"}
    assert min(map(len, mesh.symmetry.values())) > 0
    expected = 0.4 * 1.0 * 0.4
    assert mesh.volumes.sum() == pytest.approx(expected, rel=1e-9 if elements == "hex" else 0.1)


def test_cubes_through_which_a_plane_would_go_are_refused():
    labels = np.ones((4, 4, 5), np.int32)
    with pytest.raises(
        ExportError, match=r"the plane across x .* goes through the middle of voxels"
    ):
        cg.mesh(labels, elements="hex", pitch_um=0.1, cut="x")
    assert len(cg.mesh(labels, elements="hex", pitch_um=0.1, cut="y").hexes) == 40


@pytest.mark.parametrize("cut", ["w", "x,x", "xy", "x,", "-x"])
def test_planes_that_there_are_not_are_refused(cut, tiny_particle):
    with pytest.raises(ExportError, match=f"cut is '{cut}', expected x, y, z or several of them"):
        cg.mesh(tiny_particle, cut=cut)


def test_order_2_is_refused(tiny_particle):
    with pytest.raises(ExportError, match="order 2 and cut do not go together"):
        cg.mesh(tiny_particle, cut="x", order=2)


def test_products_of_whole_particles_are_refused(tiny_particle, tmp_path):
    folder = cg.save(tiny_particle, tmp_path)
    with pytest.raises(ExportError, match="surfaces is made of whole particles"):
        cg.export(folder, ["mesh-vtkhdf", "surfaces"], cut="x")


@pytest.mark.parametrize("elements", ["tets", "hex"])
@pytest.mark.parametrize(("suffix", "read"), [(".vtkhdf", read_vtkhdf), (".msh", read_msh)])
def test_files_keep_the_symmetric_faces(suffix, read, elements, meshes, tmp_path):
    mesh = meshes(elements, "x,y")
    found = read(mesh.save(tmp_path / f"mesh{suffix}"))
    for name, facets in mesh.symmetry.items():
        np.testing.assert_array_equal(found.symmetry[name], facets)


@pytest.mark.parametrize("elements", ["tets", "hex"])
def test_gmsh_knows_the_symmetric_faces(elements, meshes, tmp_path):
    gmsh = pytest.importorskip("gmsh")
    mesh = meshes(elements, "x,y")
    mesh.save(tmp_path / "mesh.msh")
    gmsh.initialize()
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.merge(str(tmp_path / "mesh.msh"))
        model, n = gmsh.model, mesh.n_grains
        expected = {n + 1: mesh.outer, n + 2: mesh.grain_boundary}
        expected |= dict(zip((n + 4, n + 5), mesh.symmetry.values(), strict=True))
        names = ["outer", "grain_boundary", *mesh.symmetry]
        for (tag, facets), name in zip(expected.items(), names, strict=True):
            assert model.getPhysicalName(2, tag) == name
            entities = model.getEntitiesForPhysicalGroup(2, tag)
            kinds = [model.mesh.getElements(2, entity) for entity in entities]
            rows = np.concatenate([nodes[0] for _, _, nodes in kinds])
            rows = rows.reshape(-1, facets.shape[1]).astype(int) - 1
            assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, facets.tolist()))
    finally:
        gmsh.finalize()


def test_split_meshes_keep_their_symmetric_faces(meshes):
    mesh = meshes("tets", "x,y")
    parted = split(mesh)
    assert len(outer_of(parted)) == len(mesh.outer)
    for name, facets in symmetry_of(parted).items():
        assert len(facets) == len(mesh.symmetry[name])


def test_a_cut_mesh_is_not_taken_for_a_whole_one(tiny_particle, tmp_path):
    folder = cg.save(tiny_particle, tmp_path)
    cg.export(folder, "scikit-fem", cut="x,y,z", size_um=0.15)
    assert not (folder / "mesh.vtkhdf").exists()
    cg.export(folder, "mesh-vtkhdf", cut="x,y,z", size_um=0.15)
    with pytest.raises(ExportError, match="exists, made with"):
        cg.export(folder, "mesh-vtkhdf", size_um=0.2)
