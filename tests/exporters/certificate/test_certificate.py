"""The certificate names every defect that is planted, and measures what it says."""

import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from cathodegrain.exporters.certificate import certificate as mesh_certificate
from cathodegrain.exporters.certificate.certificate import certificate_lines, certify
from cathodegrain.exporters.certificate.conformity import conformity
from cathodegrain.exporters.certificate.element_shape import element_shape, scaled_jacobian
from cathodegrain.exporters.certificate.fidelity import Percentiles, fidelity
from cathodegrain.exporters.certificate.grain_topology import NoSphere
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
from cathodegrain.exporters.mesh.reading import TETRAHEDRON
from cathodegrain.exporters.mesh.tetrahedra import (
    cubed_mean_ratio,
    dihedral_angles,
    inverse_condition,
    signed_volumes,
)
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing.mesher import volume_mesh
from complexes import lattice
from meshes import ball, kuhn_lattice

PAIRS = list(combinations(range(4), 2))
HALVES = [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]


@pytest.fixture(scope="module")
def body(card):
    return ParticleBody(ball(card, HALVES))


@pytest.fixture(scope="module")
def good(body):
    """Ball of two halves, certified."""
    return volume_mesh(body.particle, 0.3)


def lines_of(found):
    return list(certificate_lines(found.document()))


def certificate(mesh, body, **volumes):
    """Certificate with the grains' volumes in the body, or others."""
    own = body.grain_volumes
    mesh = replace(mesh, facts={"boundary_size_um": 0.3})
    return certify(mesh, body, volumes.get("volumes", own), volumes.get("targets", own))


def planted(mesh, kind):
    """The mesh with one defect."""
    points, tets, ids = mesh.points.copy(), mesh.tets.copy(), mesh.grain_ids.copy()
    inner = ~np.isin(mesh.tets, mesh.outer).any(axis=1)
    t = int(np.flatnonzero(inner)[0])
    if kind == "crowded":
        points = np.concatenate([points, [[0.01, 0.02, 0.03]]])
        tets = np.concatenate([tets, [[*tets[t, :3], len(points) - 1]]])
        ids = np.append(ids, ids[t])
    elif kind == "inverted":
        tets[t] = tets[t, [1, 0, 2, 3]]
    elif kind == "duplicate":
        points = np.concatenate([points, points[tets[t, :1]]])
        tets[t, 0] = len(points) - 1
    elif kind == "unused":
        points = np.concatenate([points, [[9.0, 9.0, 9.0]]])
    elif kind == "hole":
        tets, ids = np.delete(tets, t, axis=0), np.delete(ids, t)
    elif kind == "fragment":
        far = np.flatnonzero(inner & (ids == 1) & (points[tets][:, :, 0].max(axis=1) < -0.4))[0]
        ids[far] = 2
    elif kind == "flat":
        middle = points[tets[t, :3]].mean(axis=0)
        points[tets[t, 3]] = middle + 1e-3 * (points[tets[t, 3]] - middle)
    elif kind == "missing":
        ids[:] = 1
    return VolumeMesh(points, tets, ids, mesh.n_grains)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("crowded", r"^[1-9]\d* faces of more than two tetrahedra, expected 0"),
        ("inverted", "^1 inverted tetrahedra, expected 0"),
        ("duplicate", "^1 duplicate nodes, expected 0"),
        ("unused", "^1 unused nodes, expected 0"),
        ("hole", "^1 surplus outer surfaces, expected 0"),
        ("fragment", "^1 fragments of grains, expected 0"),
        ("flat", r"^smallest SICN -?\d\.\d+, expected >= 0\.1"),
        ("flat", r"^smallest dihedral angle \d\.\d+, expected >= 10\.0"),
        (
            "missing",
            r"^1 grains have no element \(2: 2\.1 um\^3\); a size of about 1 um keeps",
        ),
    ],
)
def test_every_planted_defect_is_a_failure_that_names_it(kind, sentence, good, body):
    found = certificate(planted(good, kind), body)
    assert [text for text in found.failures if _matches(sentence, text)], found.failures
    document = found.document()
    assert document["certified"] is False
    assert document["failures"] == found.failures
    assert any(_matches("NOT certified", line) for line in lines_of(found))
    assert sum("failure" in line for line in lines_of(found)) == len(found.failures)


def _matches(pattern, text):
    return re.search(pattern, text) is not None


def test_an_open_edge_and_a_pinched_node_are_failures(body):
    cubes = np.zeros((2, 2, 1), int)
    cubes[[0, 1], [0, 1]] = 1  # two cubes that share an edge
    mesh = kuhn_lattice((2, 2, 1), cubes + 1)
    chosen = mesh.grain_ids == 2
    edge = VolumeMesh(mesh.points, mesh.tets[chosen], np.ones(chosen.sum()), 2)
    assert conformity(edge).defects()["open edges of the outer surface"] == 1
    cubes = np.ones((2, 2, 2), int)
    cubes[0, 0, 0] = cubes[1, 1, 1] = 2  # two that share a corner
    mesh = kuhn_lattice((2, 2, 2), cubes)
    chosen = mesh.grain_ids == 2
    corner = VolumeMesh(mesh.points, mesh.tets[chosen], np.ones(chosen.sum()), 2)
    assert conformity(corner).defects()["nodes where the outer surface touches itself"] == 1
    for found in (certificate(m, body).failures for m in (edge, corner)):
        assert any("of the outer surface" in text or "touches itself" in text for text in found)
        assert any("unused nodes" in text for text in found)


def test_a_good_mesh_is_certified(good, body):
    found = certificate(good, body)
    assert found.failures == []
    lines = lines_of(found)
    assert lines[0] == (
        f"certified: {len(good.tets):,} tetrahedra, {len(good.points):,} nodes, 2 of 2 grains"
    )
    assert not any(line.startswith("failure") for line in lines)
    assert "grains             2 with a volume, 2 in the mesh, 0 lost" in lines
    assert any(line.startswith("shell facets       up to ") for line in lines)


def test_the_further_numbers_stand_in_the_lines(good, body):
    """And a certificate of version 0.2, which has none of them, is shown all the same."""
    found = certificate(good, body)
    shape, topology = found.shape, found.topology
    text = "\n".join(lines_of(found))
    assert f"edges              {1e3 * shape.shortest_edge_um:.1f} to " in text
    assert f"smallest altitude {1e3 * shape.flattest.altitude_um:.1f} nm, in grain" in text
    assert f"necks              {topology.n_necks} triangles" in text
    assert f"contacts           {topology.n_touching_nodes} nodes" in text
    assert "no spheres" not in text
    rings = tuple(NoSphere(g, 1, 1) for g in range(1, 12))
    ringed = replace(found, topology=replace(topology, n_no_spheres=11, no_spheres=rings))
    expected = "no spheres         surfaces of grains 1, 2, 3, 4, 5, 6, 7, 8 and 3 more"
    assert expected in lines_of(ringed)
    old = found.document()
    del old["topology"], old["n_with_volume"], old["fidelity"]["shell_facets"]
    for key in ("shortest_edge_um", "longest_edge_um", "flattest"):
        del old["shape"][key]
    lines = list(certificate_lines(old))
    assert lines == [line for line in lines_of(found) if line in lines]
    assert len(lines) == len(lines_of(found)) - 5


def test_the_document_is_json_and_comes_back(good, body):
    for mesh in (good, planted(good, "missing"), planted(good, "inverted")):
        document = certificate(mesh, body).document()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert document["n_tets"] == len(mesh.tets)
        rows = {int(row[0]): row[1:] for row in document["grain_volumes_um3"]}
        assert rows[1][2] == pytest.approx(mesh.grain_volumes[0], rel=1e-5)


def test_small_grains_may_be_lost_and_are_named(good, body):
    volumes = np.append(body.grain_volumes, 9 * body.pixel_um**3)
    mesh = VolumeMesh(good.points, good.tets, good.grain_ids, 3)
    found = certificate(mesh, body, volumes=volumes, targets=volumes)
    assert (found.failures, found.n_present, found.n_grains) == ([], 2, 3)
    assert found.n_with_volume == 3
    assert "grains             3 with a volume, 2 in the mesh, 1 lost" in lines_of(found)
    assert [(g.grain_id, g.volume_um3) for g in found.lost] == [(3, volumes[3])]
    assert any(line.startswith("lost grains        3: 0.0011 um^3") for line in lines_of(found))
    volumes[3] = 11 * body.pixel_um**3
    (text,) = certificate(mesh, body, volumes=volumes, targets=volumes).failures
    assert text.startswith("1 grains have no element (3: ")


def test_what_is_beyond_the_usual_is_a_remark(good, body, monkeypatch):
    assert not any("mislabelled" in text for text in certificate(good, body).remarks)
    monkeypatch.setattr(mesh_certificate, "USUAL_MISLABELLED", -1.0)
    found = certificate(good, body)
    assert any(text.startswith("mislabelled part of the volume: ") for text in found.remarks)
    assert found.failures == []
    targets = body.grain_volumes * 0.5
    remarks = certificate(good, body, targets=targets).remarks
    assert any(text.startswith("error of a grain's volume at worst: ") for text in remarks)


def random_tets(n=300):
    rng = np.random.default_rng(5)
    points = rng.uniform(-1, 1, (4 * n, 3)) * np.repeat(rng.uniform(0.01, 1, (n, 3)), 4, axis=0)
    return points, np.arange(4 * n).reshape(n, 4)


def test_the_scaled_jacobian_is_the_smallest_over_the_corners():
    points, tets = random_tets()
    found = scaled_jacobian(points, tets)
    for tet, value in zip(tets, found, strict=True):
        at_corners = []
        for k in range(4):
            edges = np.delete(points[tet], k, axis=0) - points[tet[k]]
            sign = (-1) ** k
            unit = edges / np.linalg.norm(edges, axis=1)[:, None]
            at_corners.append(np.sqrt(2) * sign * np.linalg.det(unit))
        volume = np.linalg.det(points[tet[1:]] - points[tet[0]])
        worst = min(at_corners, key=abs)
        assert value == pytest.approx(np.copysign(abs(worst), volume), rel=1e-9)
    regular = np.array([[1.0, 1, 1], [1, -1, -1], [-1, -1, 1], [-1, 1, -1]])
    assert scaled_jacobian(regular, np.array([[0, 1, 2, 3]])) == pytest.approx(1)
    assert inverse_condition(regular, np.array([[0, 1, 2, 3]])) == pytest.approx(1)
    assert cubed_mean_ratio(regular, 0, 1, 2, 3) == pytest.approx(1)


def test_the_inverse_condition_is_that_of_the_matrix():
    points, tets = random_tets()
    regular = np.array([[1, 0, 0], [0.5, np.sqrt(0.75), 0], [0.5, np.sqrt(1 / 12), np.sqrt(2 / 3)]])
    found = inverse_condition(points, tets)
    for tet, value in zip(tets, found, strict=True):
        edges = points[tet[1:]] - points[tet[0]]
        matrix = edges.T @ np.linalg.inv(regular.T)
        condition = np.linalg.norm(matrix) * np.linalg.norm(np.linalg.inv(matrix))
        assert value == pytest.approx(np.sign(np.linalg.det(matrix)) * 3 / condition, rel=1e-6)


def test_gmsh_finds_the_same_quality():
    points, tets = lattice((3, 3, 3), np.random.default_rng(2), 0.6)
    with gmsh_model() as gmsh:
        gmsh.model.addDiscreteEntity(3, 1)
        gmsh.model.mesh.addNodes(3, 1, np.arange(1, len(points) + 1), points.ravel())
        tags = np.arange(1, len(tets) + 1)
        gmsh.model.mesh.addElementsByType(1, TETRAHEDRON, tags, 1 + tets.ravel())
        quality = np.array(gmsh.model.mesh.getElementQualities(tags, "minSICN"))
    np.testing.assert_allclose(inverse_condition(points, tets), quality, atol=1e-9)


def test_dihedral_angles_are_those_between_the_faces():
    points, tets = random_tets(50)
    found = dihedral_angles(points, tets)
    for tet, angles in zip(points[tets], found, strict=True):
        expected = []
        for i, j in combinations(range(4), 2):
            p, q = (tet[k] - tet[i] for k in sorted({0, 1, 2, 3} - {i, j}))
            axis = (tet[j] - tet[i]) / np.linalg.norm(tet[j] - tet[i])
            p, q = p - axis * (p @ axis), q - axis * (q @ axis)
            expected.append(np.degrees(np.arccos(p @ q / np.linalg.norm(p) / np.linalg.norm(q))))
        np.testing.assert_allclose(np.sort(angles), np.sort(expected), atol=1e-5)


def test_the_worst_elements_are_where_they_are_said_to_be(good):
    shape = element_shape(good.points, good.tets, good.grain_ids)
    sicn = inverse_condition(good.points, good.tets)
    assert [w.sicn for w in shape.worst] == np.sort(sicn)[:5].tolist()
    first = good.points[good.tets[sicn.argmin()]].mean(axis=0)
    np.testing.assert_allclose(shape.worst[0].centroid_um, first, atol=1e-6)
    assert (shape.sicn.least, shape.sicn.low) == (sicn.min(), np.percentile(sicn, 5))


def test_edges_and_altitudes_are_those_of_the_tetrahedra():
    points, tets = random_tets()
    shape = element_shape(points, tets, np.arange(1, 301))
    corners = points[tets]
    edges = [np.linalg.norm(corners[:, i] - corners[:, j], axis=1) for i, j in PAIRS]
    assert shape.shortest_edge_um == pytest.approx(np.min(edges), rel=1e-12)
    assert shape.longest_edge_um == pytest.approx(np.max(edges), rel=1e-12)
    areas = []
    for k in range(4):
        a, b, c = np.delete(corners, k, axis=1).transpose(1, 0, 2)
        areas.append(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)
    altitudes = 3 * np.abs(signed_volumes(points, tets)) / np.max(areas, axis=0)
    flattest = int(altitudes.argmin())
    assert shape.flattest.altitude_um == pytest.approx(altitudes[flattest], rel=1e-9)
    assert shape.flattest.grain_id == flattest + 1
    centroid = corners[flattest].mean(axis=0)
    np.testing.assert_allclose(shape.flattest.centroid_um, centroid, atol=1e-6)


def test_an_element_without_volume_has_no_altitude():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 1]])
    tets = np.array([[0, 1, 4, 5], [0, 1, 2, 3]])
    shape = element_shape(points, tets, np.array([1, 2]))
    assert (shape.flattest.altitude_um, shape.flattest.grain_id) == (0.0, 2)
    assert shape.dihedral_deg.least == 0.0


def moved_boundary(mesh, shift):
    """The mesh with the vertices of its grain boundary moved along x, those on the shell not."""
    points = mesh.points.copy()
    chosen = np.setdiff1d(mesh.grain_boundary, mesh.outer)
    points[chosen, 0] = shift(len(chosen))
    return VolumeMesh(points, mesh.tets, mesh.grain_ids, mesh.n_grains), points[chosen]


def test_distances_from_a_boundary_have_a_closed_form(good, body):
    """|f_1 - f_2| / |grad(f_1 - f_2)| with f_i = |x - s_i| - 1, for a plane by symmetry."""
    rng = np.random.default_rng(0)
    mesh, inner = moved_boundary(good, lambda n: rng.uniform(-0.02, 0.02, n))
    found = fidelity(mesh, body, body.grain_volumes).grain_boundary_um
    everywhere = mesh.points[np.unique(mesh.grain_boundary)]
    away = [everywhere - seed for seed in np.array(HALVES)]
    length = [np.linalg.norm(x, axis=1) for x in away]
    gradient = away[0] / length[0][:, None] - away[1] / length[1][:, None]
    expected = np.abs(length[0] - length[1]) / np.linalg.norm(gradient, axis=1)
    assert len(inner) > 20
    np.testing.assert_allclose(
        [found.p50, found.p95, found.p99, found.largest],
        np.percentile(expected, [50, 95, 99, 100]),
        atol=1e-7,
    )


def test_distances_from_the_shell_are_heights(good, body):
    mesh = VolumeMesh(1.01 * good.points, good.tets, good.grain_ids, 2)
    found = fidelity(mesh, body, body.grain_volumes).shell_um
    height = np.abs(np.linalg.norm(mesh.points[np.unique(mesh.outer)], axis=1) - 1)
    assert found.p50 == pytest.approx(np.median(height), rel=1e-6)
    assert found.largest == pytest.approx(height.max(), rel=1e-6)


def onto(mesh, shell, n_grains):
    """Mesh of the unit ball stretched along its rays so that the shell is its surface."""
    length = np.linalg.norm(mesh.points, axis=1, keepdims=True)
    units = mesh.points / np.where(length > 0, length, 1.0)
    units[length[:, 0] == 0] = [1.0, 0, 0]
    points = units * length * shell.radius(units)[:, None]
    return VolumeMesh(points, mesh.tets, mesh.grain_ids, n_grains)


def test_facets_lean_off_the_shell_by_the_angle_to_its_normal(good, tiny_particle):
    """The normal by central differences of the depth under the shell."""
    mesh = onto(good, tiny_particle.shell, tiny_particle.n_grains)
    points = mesh.points + 0.02 * np.random.default_rng(3).standard_normal(mesh.points.shape)
    mesh = replace(mesh, points=points)
    body = ParticleBody(tiny_particle)
    found = fidelity(mesh, body, body.grain_volumes).shell_facets
    a, b, c = (mesh.points[mesh.outer[:, k]] for k in range(3))
    centroids = (a + b + c) / 3
    units = centroids / np.linalg.norm(centroids, axis=1)[:, None]
    places = units * tiny_particle.shell.radius(units)[:, None]
    depth = tiny_particle.shell.depth
    steps = 1e-5 * np.eye(3)
    outward = -np.stack([depth(places + step) - depth(places - step) for step in steps], axis=1)
    normals = np.cross(b - a, c - a)
    along = np.einsum("ij,ij->i", normals, outward)
    cosine = along / np.linalg.norm(normals, axis=1) / np.linalg.norm(outward, axis=1)
    angles = np.degrees(np.arccos(cosine))
    assert found.n_facets == len(mesh.outer)
    assert found.worst_deg == pytest.approx(angles.max(), abs=1e-3)
    assert found.n_beyond_45_deg == (angles > 45).sum() > 0


def test_a_fold_of_the_shell_has_facets_that_face_inwards(good, body):
    assert fidelity(good, body, body.grain_volumes).shell_facets.n_inward == 0
    node = good.outer[0, 0]
    around = good.outer[(good.outer == node).any(axis=1)]
    far = good.points[np.setdiff1d(around, node)[0]]
    points = good.points.copy()
    points[node] += 2 * (far - points[node])  # across the edge of a triangle beside it
    points[node] /= np.linalg.norm(points[node])
    mesh = VolumeMesh(points, good.tets, good.grain_ids, 2)
    found = fidelity(mesh, body, body.grain_volumes).shell_facets
    assert found.n_inward >= 1
    assert found.worst_deg > 90
    assert found.n_beyond_45_deg >= found.n_inward


def test_the_mislabelled_part_of_a_shifted_boundary_is_a_slice(good, body, card):
    """A body whose plane lies 0.1 um beside that of the mesh: a slice pi r^2 of the ball."""
    shifted = ParticleBody(ball(card, np.add(HALVES, [0.1, 0, 0])))
    found = fidelity(good, shifted, shifted.grain_volumes)
    slice_um3 = np.pi * (0.1 - 0.1**3 / 3)
    assert found.mislabelled == pytest.approx(slice_um3 / (4 * np.pi / 3), rel=0.02)
    assert found.mislabelled_error == pytest.approx(5.8e-4, rel=0.05)
    half = 2 * np.pi / 3
    errors = np.abs(good.grain_volumes / [half + slice_um3, half - slice_um3] - 1)
    assert found.grain_volume_error.largest == pytest.approx(errors.max(), rel=0.02)
    assert fidelity(good, body, body.grain_volumes).mislabelled < 0.01


def test_percentiles_of_nothing_are_zero():
    assert Percentiles.of(np.empty(0)) == Percentiles(0.0, 0.0, 0.0, 0.0)
