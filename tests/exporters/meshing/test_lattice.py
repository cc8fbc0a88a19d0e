import numpy as np
import pytest

from cathodegrain.exporters.mesh.tetrahedra import (
    EDGES,
    FACES,
    cubed_mean_ratio,
    dihedral_angles,
    edge_table,
    face_neighbours,
    inverse_condition,
    signed_volumes,
)
from cathodegrain.exporters.meshing.cut import cut
from cathodegrain.exporters.meshing.lattice import body_centred_lattice, refined, split_edges
from cathodegrain.exporters.meshing.outer_manifold import manifold_outside
from meshes import edge_counts, faces_of, umbrellas

REGULAR = np.array([[1.0, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])


def in_ball(radius):
    return lambda points: np.linalg.norm(points, axis=1) <= radius


@pytest.fixture(scope="module")
def lattice():
    return body_centred_lattice(in_ball(1.7), 1.7)


def assert_conforming(points, tets, volume):
    """Positive tetrahedra that share whole faces and fill the volume."""
    assert signed_volumes(points, tets).min() > 0
    assert signed_volumes(points, tets).sum() == pytest.approx(volume, rel=1e-12)
    faces = faces_of(tets)
    assert max(len(rows) for rows in faces.values()) == 2
    # a hanging vertex would leave unmatched faces inside: their area would not cancel
    free = np.array([face for face, rows in faces.items() if len(rows) == 1])
    hull = np.abs(points[free].mean(axis=1)).max(axis=1)
    assert hull.min() > 1.7


def test_lattice_is_congruent_tetrahedra_that_cover_the_body(lattice, rng):
    points, tets = lattice
    np.testing.assert_allclose(signed_volumes(points, tets), 1 / 12)
    angles = np.sort(dihedral_angles(points, tets), axis=1)
    np.testing.assert_allclose(angles, np.tile([60.0] * 4 + [90.0] * 2, (len(tets), 1)))
    assert_conforming(points, tets, len(tets) / 12)
    directions = rng.normal(size=(200, 3))
    inside = 1.7 * directions / np.linalg.norm(directions, axis=1)[:, None]
    corners = points[tets]
    for x in inside:
        weights = np.linalg.solve(
            (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1), (x - corners[:, 0])[..., None]
        )[..., 0]
        assert ((weights > -1e-9).all(axis=1) & (weights.sum(axis=1) < 1 + 1e-9)).any()


def test_edge_table_and_neighbours_are_those_of_slow_references(lattice):
    points, tets = lattice
    edges, tet_edges = edge_table(tets, len(points))
    expected = {
        tuple(sorted(pair)) for tet in tets.tolist() for pair in np.array(tet)[EDGES].tolist()
    }
    assert {tuple(edge) for edge in edges.tolist()} == expected
    assert len(edges) == len(expected)
    np.testing.assert_array_equal(edges[tet_edges], np.sort(tets[:, EDGES], axis=2))
    faces = faces_of(tets)
    for row, across in enumerate(face_neighbours(tets, len(points)).tolist()):
        for k in range(4):
            rows = faces[tuple(sorted(tets[row, FACES[k]].tolist()))]
            assert across[k] == (sum(rows) - row if len(rows) == 2 else -1)


def test_a_face_of_three_tetrahedra_is_found_out():
    tets = np.array([[0, 1, 2, 3], [1, 0, 2, 4], [1, 0, 2, 5]])
    assert (face_neighbours(tets, 6) == -2).sum() >= 2


@pytest.mark.parametrize("part", [0.02, 0.3, 1.0])
def test_splitting_any_set_of_edges_keeps_a_mesh_conforming(lattice, rng, part):
    points, tets = lattice
    edges, tet_edges = edge_table(tets, len(points))
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    split = rng.uniform(size=len(edges)) < part
    where = rng.uniform(0.2, 0.8, (split.sum(), 1))
    new = (1 - where) * points[edges[split, 0]] + where * points[edges[split, 1]]
    finer, children, parents = split_edges(points, tets, tet_edges, length, split, new)
    assert_conforming(finer, children, len(tets) / 12)
    volumes = np.bincount(parents, signed_volumes(finer, children), len(tets))
    np.testing.assert_allclose(volumes, 1 / 12)
    np.testing.assert_array_equal(finer[: len(points)], points)


def test_refinement_stops_when_nothing_is_needed_and_keeps_angles_above_30_degrees(lattice):
    points, tets = lattice

    def needs(x, t):
        corners = x[t]
        size = np.linalg.norm(corners[:, EDGES[:, 0]] - corners[:, EDGES[:, 1]], axis=2).max(axis=1)
        return (np.linalg.norm(corners.mean(axis=1) - [0.3, 0.2, 0.1], axis=1) < 0.6) & (size > 0.2)

    finer, children = refined(points, tets, needs)
    assert len(children) > 3 * len(tets)
    assert not needs(finer, children).any()
    assert dihedral_angles(finer, children).min() > 30 - 1e-9
    assert_conforming(finer, children, len(tets) / 12)


def test_quality_of_a_regular_tetrahedron_is_one_and_scale_does_not_matter(rng):
    tets = np.array([[0, 1, 2, 3]])
    assert signed_volumes(REGULAR, tets)[0] == pytest.approx(8 / 3)
    for scale in (1e-3, 1.0):
        points = scale * REGULAR
        assert inverse_condition(points, tets)[0] == pytest.approx(1)
        assert cubed_mean_ratio(points, 0, 1, 2, 3) == pytest.approx(1)
        np.testing.assert_allclose(dihedral_angles(points, tets), np.degrees(np.arccos(1 / 3)))
    mirrored = REGULAR * [1, 1, -1]
    assert signed_volumes(mirrored, tets)[0] == pytest.approx(-8 / 3)
    assert inverse_condition(mirrored, tets)[0] == pytest.approx(-1)
    assert cubed_mean_ratio(mirrored, 0, 1, 2, 3) < 0
    flat = REGULAR * [1, 1, 0]
    assert cubed_mean_ratio(flat, 0, 1, 2, 3) == 0
    jagged = rng.normal(size=(4, 3))
    assert abs(inverse_condition(jagged, tets)[0]) < 1


def test_cut_along_a_plane_leaves_every_tetrahedron_on_one_side(lattice):
    points, tets = lattice
    normal = np.array([0.48, 0.6, 0.64])

    def side(x):
        return np.where(x @ normal > 0.11, 1, 2).astype(np.int32)

    cut_points, cut_tets, labels = cut(points, tets, side, shortest=1e-3)
    assert_conforming(cut_points, cut_tets, len(tets) / 12)
    heights = (cut_points @ normal - 0.11)[cut_tets]
    heights[labels == 2] *= -1
    # only ends that took a label from a crossing within a quarter of an edge may stick out
    assert heights.min() > -0.25
    assert (heights.mean(axis=1) > 0).all()


def test_cut_where_four_grains_meet_in_one_point_ends():
    points, tets = body_centred_lattice(in_ball(1.7), 1.7)
    corners = np.array([0.137, 0.071, 0.213]) + REGULAR

    def nearest(x):
        return (1 + np.linalg.norm(x[:, None] - corners, axis=2).argmin(axis=1)).astype(np.int32)

    cut_points, cut_tets, labels = cut(points, tets, nearest, shortest=0.05)
    assert_conforming(cut_points, cut_tets, len(tets) / 12)
    assert set(labels.tolist()) == {1, 2, 3, 4}
    assert len(cut_tets) < 5 * len(tets)
    assert (nearest(cut_points[cut_tets].mean(axis=1)) == labels).mean() > 0.9


def shell_of(tets, inside):
    """Triangles between tetrahedra inside and outside."""
    faces = faces_of(tets)
    return np.array(
        [
            face
            for face, rows in faces.items()
            if len(rows) == 2 and inside[rows[0]] != inside[rows[1]]
        ]
    )


def test_any_labels_become_a_manifold_outside(rng):
    points, tets = body_centred_lattice(in_ball(2.2), 2.2)
    centres = points[tets].mean(axis=1)
    for _ in range(5):  # ragged bodies: noise decides near the surface of a ball
        level = np.linalg.norm(centres, axis=1) + rng.uniform(-0.8, 0.8, len(tets))
        labels = np.where(level < 1.9, rng.integers(1, 4, len(tets)), 0).astype(np.int32)
        before = edge_counts(shell_of(tets, labels > 0))
        assert max(before.values()) > 2
        repaired, n_changed = manifold_outside(points, tets, labels)
        assert n_changed == (repaired != labels).sum() > 0
        assert set(repaired.tolist()) <= {0, 1, 2, 3}
        surface = shell_of(tets, repaired > 0)
        assert set(edge_counts(surface).values()) == {2}
        assert set(umbrellas(surface).values()) == {1}


def test_a_manifold_is_left_alone():
    points, tets = body_centred_lattice(in_ball(2.2), 2.2)
    labels = (np.linalg.norm(points[tets].mean(axis=1), axis=1) < 1.5).astype(np.int32)
    if set(umbrellas(shell_of(tets, labels > 0)).values()) != {1}:
        pytest.fail("the example is no manifold: choose another radius")
    repaired, n_changed = manifold_outside(points, tets, labels)
    assert n_changed == 0
    np.testing.assert_array_equal(repaired, labels)
