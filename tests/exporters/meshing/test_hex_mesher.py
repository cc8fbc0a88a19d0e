"""Hexahedra of particles, and what their certificate says."""

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.certificate.hex_certificate import certify_hexes, lines_of
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.hex_mesh import HexMesh
from cathodegrain.exporters.meshing import hex_mesher
from cathodegrain.exporters.meshing.hex_mesher import certified_hexes, hex_mesh
from cathodegrain.generator.errors import ExportError
from meshes import ball

SIZE = 0.1


@pytest.fixture(scope="module")
def mesh(tiny_particle):
    return hex_mesh(tiny_particle, SIZE)


def test_cubes_are_the_voxels_of_that_pitch(mesh, tiny_particle):
    voxels = cg.voxels(tiny_particle, pitch_um=SIZE)
    centres = mesh.points[mesh.hexes].mean(axis=1)
    x, y, z = (np.rint((centres / SIZE - 0.5) + len(voxels.x) / 2).astype(int)).T
    np.testing.assert_allclose(voxels.x.values[x], centres[:, 0], rtol=0, atol=1e-12)
    found = voxels.grain_id.values[z, y, x]
    assert found.tolist() == mesh.grain_ids.tolist()
    assert len(mesh.hexes) == int((voxels.grain_id != 0).sum())
    assert tiny_particle.grain_at(centres).tolist() == mesh.grain_ids.tolist()


def test_the_same_mesh_comes_from_python(mesh, tiny_particle):
    found = cg.mesh(tiny_particle, elements="hex", size_um=SIZE)
    np.testing.assert_array_equal(found.hexes, mesh.hexes)
    assert found.facts == mesh.facts


def test_the_certificate_agrees_with_independent_counts(mesh, tiny_particle, rng):
    c = mesh.facts["certificate"]
    assert c["certified"]
    assert c["failures"] == []
    assert (c["n_hexes"], c["n_nodes"]) == (len(mesh.hexes), len(mesh.points))
    assert c["scaled_jacobian"] == pytest.approx(1)
    present = np.unique(mesh.grain_ids)
    assert c["n_present"] == len(present)
    assert not {g["grain_id"] for g in c["lost"]} & set(present.tolist())
    volumes = dict((g, own) for g, _, own in c["grain_volumes_um3"])
    for grain in present.tolist():
        count = int((mesh.grain_ids == grain).sum())
        assert volumes[grain] == pytest.approx(count * SIZE**3, rel=1e-5)
    assert c["outer_um2"] == pytest.approx(len(mesh.outer) * SIZE**2, rel=1e-5)
    rows = rng.integers(len(mesh.hexes), size=40_000)
    points = mesh.points[mesh.hexes[rows, 0]] + SIZE * rng.random((len(rows), 3))
    wrong = (tiny_particle.grain_at(points) != mesh.grain_ids[rows]).mean()
    error = np.hypot(np.sqrt(wrong * (1 - wrong) / len(rows)), c["mislabelled_error"])
    assert c["mislabelled"] == pytest.approx(wrong, abs=5 * error)
    assert c["mislabelled"] > 0.1  # cubes of two pixels


def test_halving_the_edges_halves_what_is_mislabelled(mesh, tiny_particle):
    finer = hex_mesh(tiny_particle, SIZE / 2)
    shares = [m.facts["certificate"]["mislabelled"] for m in (mesh, finer)]
    assert 0.4 < shares[1] / shares[0] < 0.6


def test_the_certificate_is_told_in_lines(mesh):
    told = "\n".join(lines_of(mesh.facts["certificate"]))
    assert told.startswith(f"certified: {len(mesh.hexes)} hexahedra with edges of 0.1 um")
    assert "surfaces are staircases" in told
    assert "lost grains" in told


def test_lost_grains_are_refused_and_named_and_can_be_forced(tiny_particle):
    with pytest.raises(ExportError, match=r"\d+ grains have no element \(\d+: .* um keep them"):
        hex_mesh(tiny_particle, 0.28)
    forced = hex_mesh(tiny_particle, 0.28, force=True)
    assert not forced.facts["certificate"]["certified"]
    assert "failure" in "\n".join(lines_of(forced.facts["certificate"]))


def labels_of(particle, size):
    return ParticleBody(particle).voxel_labels(size)


def test_voxels_that_no_face_joins_to_the_body_are_left_out_and_told(card):
    body = ParticleBody(ball(card, [[0, 0, 0]]))
    labels = labels_of(body.particle, SIZE).copy()
    corner = (-0.05 * len(labels),) * 3
    whole = certified_hexes(labels, corner, SIZE, body)
    labels[0, 0, 0] = 1
    mesh = certified_hexes(labels, corner, SIZE, body)
    assert len(mesh.hexes) == len(whole.hexes)
    certificate = mesh.facts["certificate"]
    assert certificate["left_out_um3"] == pytest.approx(SIZE**3)
    assert any("left out, not joined" in remark for remark in certificate["remarks"])
    labels[0, :5, :5] = 1  # 0.6 % of the ball
    with pytest.raises(ExportError, match="lie in pieces that no face joins to the body"):
        certified_hexes(labels, corner, SIZE, body)


def test_defects_are_counted(mesh, tiny_particle):
    upside_down = mesh.hexes.copy()
    upside_down[0] = upside_down[0, [4, 5, 6, 7, 0, 1, 2, 3]]
    points = np.concatenate([mesh.points, mesh.points[:2]])
    broken = HexMesh(points, upside_down, mesh.grain_ids, mesh.n_grains, mesh.facts)
    failures = certify_hexes(broken, ParticleBody(tiny_particle), 0.0).failures
    assert failures[:3] == [
        "1 inverted hexahedra, expected 0",
        "2 duplicate nodes, expected 0",
        "2 unused nodes, expected 0",
    ]


def test_grains_in_several_pieces_are_counted():
    labels = np.zeros((5, 5, 5), np.int32)
    labels[1:4, 1:4, 1:4] = 1
    labels[1, 1, 1], labels[3, 3, 3] = 2, 2
    mesh = cg.mesh(labels, elements="hex", pitch_um=0.1)
    certificate = mesh.facts["certificate"]
    assert (certificate["n_fragments"], certificate["certified"]) == (1, True)


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, 1.3])
def test_sizes_that_are_no_edge_are_refused(size, tiny_particle):
    with pytest.raises(ExportError, match=r"at most the mean diameter 1\.2 um"):
        hex_mesh(tiny_particle, size)


def test_a_mesh_beyond_the_memory_is_refused_before_it_is_made(tiny_particle, monkeypatch):
    monkeypatch.setattr(hex_mesher, "available_memory", lambda: 1e6)
    with pytest.raises(ExportError, match=r"GB of memory; expected at most 50% of the 0\.001 GB"):
        hex_mesh(tiny_particle, 0.01)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"order": 2}, "order 2"),
        ({"boundaries": "cohesive"}, "cohesive boundaries"),
        ({"boundary_size_um": 0.1}, "a size of its own at boundaries"),
    ],
)
def test_forms_that_cubes_cannot_have_are_refused(options, what, tiny_particle):
    with pytest.raises(ExportError, match=f"elements 'hex' and {what} do not go together"):
        cg.mesh(tiny_particle, elements="hex", size_um=SIZE, **options)


def test_other_elements_are_refused(tiny_particle):
    with pytest.raises(
        ExportError, match=r"elements is 'prisms', expected one of \['tets', 'hex'\]"
    ):
        cg.mesh(tiny_particle, elements="prisms")
