"""Phantoms whose grains vanish in other meshers: what was given is in the mesh, or refused."""

import itertools

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.labels.label_volume import LabelVolume
from cathodegrain.exporters.labels.mesh_labels import mesh_volume
from cathodegrain.generator.errors import ExportError

PITCH = 0.1
MARGIN = 0.08  # by which the mesher may miss the volume of a grain
ROUNDED = 0.04  # part that a box of 14 voxels loses at its edges and corners


def block(*boxes, n=14):
    """A cube of grain 1 with boxes (grain, first, stop) in it."""
    labels = np.ones((n, n, n), np.int32)
    for grain, first, stop in boxes:
        labels[tuple(map(slice, first, stop))] = grain
    return labels


def volumes(mesh):
    """Volume of each grain, in voxels; by determinants of the nodes' coordinates."""
    a, b, c, d = (mesh.points[mesh.tets[:, k]] for k in range(4))
    each = np.linalg.det(np.stack([b - a, c - a, d - a], axis=1)) / 6
    return np.bincount(mesh.grain_ids, each, minlength=mesh.n_grains + 1) / PITCH**3


def meshed(labels, size=2.0, **options):
    return mesh_volume(LabelVolume(labels, PITCH), size * PITCH, **options)


def assert_true(mesh, labels, tolerance=MARGIN + 0.02):
    """Certified; every grain has its voxels' volume; the facts say the same."""
    assert mesh.facts["certificate"]["certified"], mesh.facts["certificate"]["failures"]
    given, own = np.bincount(labels.ravel()), volumes(mesh)
    present = np.flatnonzero(given[1:]) + 1
    np.testing.assert_allclose(own[present], given[present], rtol=tolerance)
    facts = mesh.facts["label_volume"]
    assert facts["given_um3"] == pytest.approx(given[1:].sum() * PITCH**3)
    assert facts["mesh_um3"] == pytest.approx(own.sum() * PITCH**3, rel=1e-5)
    assert facts["lost_grain_um3"] == []
    assert facts["lost_share"] < 0.005


def periodic(n, seeds, rng):
    """Voronoi cells of a periodic cube."""
    places, x = rng.uniform(0, n, (seeds, 3)), np.stack(np.mgrid[:n, :n, :n], -1) + 0.5
    squared = [
        ((x[..., None, :] - places - n * np.array(shift)) ** 2).sum(-1)
        for shift in itertools.product((-1, 0, 1), repeat=3)
    ]
    return (np.min(squared, axis=0).argmin(-1) + 1).astype(np.int32)


@pytest.mark.parametrize(
    "second", [((7, 7, 3), (11, 11, 7)), ((7, 7, 7), (11, 11, 11))], ids=["edge", "corner"]
)
def test_cubes_that_touch_in_an_edge_or_corner_are_one_grain(second):
    labels = block((2, (3, 3, 3), (7, 7, 7)), (2, *second))
    mesh = meshed(labels)
    assert_true(mesh, labels)
    assert mesh.facts["label_volume"]["n_further_pieces"] == 0


def test_pieces_of_a_grain_stay_where_they_are():
    places = [(2, 2, 2), (2, 9, 9), (9, 2, 9), (9, 9, 2)]
    labels = block(*((2, p, np.add(p, (3, 2, 3))) for p in places))
    mesh = meshed(labels)
    assert_true(mesh, labels)
    centres = mesh.points[mesh.tets].mean(axis=1)[mesh.grain_ids == 2] / PITCH
    for x, y, z in places:  # arrays have the axes z, y, x
        low = np.array([z, y, x])
        assert ((centres > low - 0.5) & (centres < low + 3.5)).all(axis=1).any()
    facts = mesh.facts["label_volume"]
    assert facts["n_further_pieces"] == 3
    assert [row[1:] for row in facts["further_piece_grain_um3"]] == [[2, 0.018]] * 3
    assert mesh.facts["certificate"]["conformity"]["n_fragments"] == 3
    assert any("besides the largest of each" in text for text in facts["remarks"])


@pytest.mark.parametrize("place", [(6, 6, 6), (5, 7, 8), (0, 6, 6), (0, 0, 13)])
def test_a_grain_of_a_voxel_is_in_the_mesh(place):
    labels = block((2, place, np.add(place, 1)))
    mesh = meshed(labels, 3.0)
    assert mesh.facts["certificate"]["certified"]
    assert 0.5 < volumes(mesh)[2] < 1.2
    own = mesh.points[np.unique(mesh.tets[mesh.grain_ids == 2])] / PITCH
    assert np.abs(own - np.add(place[::-1], 0.5)).max() < 1.5
    assert mesh.facts["label_volume"]["n_thin_pieces"] == 1


@pytest.mark.parametrize(
    ("first", "stop"),
    [((6, 2, 2), (7, 12, 12)), ((6, 6, 0), (7, 7, 14)), ((13, 0, 0), (14, 14, 14))],
    ids=["plate", "thread", "coating"],
)
def test_what_is_one_voxel_thin_stays(first, stop):
    labels = block((2, first, stop))
    assert_true(meshed(labels, 3.0), labels, MARGIN + ROUNDED)


def test_a_staircase_of_voxels_is_one_plate():
    z, y, x = np.indices((14, 14, 14))
    labels = block()
    labels[(z + y == 14) & (x > 2) & (x < 11)] = 2  # rows of voxels that touch in edges
    mesh = meshed(labels, 3.0)
    assert_true(mesh, labels)
    assert mesh.facts["label_volume"]["n_further_pieces"] == 0
    assert mesh.facts["certificate"]["conformity"]["n_fragments"] == 0


def test_a_periodic_volume_keeps_its_grains(rng):
    labels = periodic(16, 6, rng)
    mesh = meshed(labels, 3.0)
    assert_true(mesh, labels)
    facts = mesh.facts["label_volume"]
    assert facts["n_further_pieces"] > 6
    assert facts["moved_um3"] < 1e-3 * facts["given_um3"]
    rows = np.array(mesh.facts["certificate"]["grain_volumes_um3"])
    np.testing.assert_allclose(rows[:, 1], np.bincount(labels.ravel())[1:] * PITCH**3, rtol=1e-5)
    np.testing.assert_allclose(rows[:, 3], volumes(mesh)[1:] * PITCH**3, rtol=1e-4)
    worst = np.abs(rows[:, 3] / rows[:, 1] - 1)
    assert facts["worst_grain"] == rows[worst.argmax(), 0]
    assert abs(facts["worst_grain_error"]) == pytest.approx(worst.max(), abs=1e-4)


def test_a_chequered_block_keeps_both_grains():
    labels = 1 + (np.indices((12, 12, 12)) // 3).sum(axis=0).astype(np.int32) % 2
    assert_true(meshed(labels), labels)


def test_a_thin_part_of_the_body_is_not_overlooked_by_a_coarse_lattice():
    labels = np.zeros((14, 14, 30), np.int32)
    labels[:, :, :14] = 1
    labels[5, :, 14:28] = 2  # a wing of one voxel
    assert_true(meshed(labels, 3.0), labels, MARGIN + ROUNDED)


def test_part_in_voxels_of_another_label_is_measured_on_the_labels_as_given():
    labels = block((2, (0, 0, 7), (14, 14, 14)))
    mesh = meshed(labels)
    weights = np.random.default_rng(3).dirichlet(np.ones(4), (len(mesh.tets), 20))
    points = np.einsum("tsk,tkd->tsd", weights, mesh.points[mesh.tets])
    zyx = np.floor(points / PITCH).astype(int)[..., ::-1]
    inside = ((zyx >= 0) & (zyx < 14)).all(axis=-1)
    found = np.where(inside, labels[tuple(zyx.clip(0, 13).T)].T, 0)
    wrong = (found != mesh.grain_ids[:, None]).mean(axis=1) @ mesh.volumes / mesh.volumes.sum()
    assert mesh.facts["label_volume"]["mislabelled_voxels"] == pytest.approx(wrong, abs=2e-3)


@pytest.mark.parametrize("touch", [(7, 7, 3), (7, 7, 7)], ids=["edge", "corner"])
def test_bodies_that_touch_in_an_edge_or_corner_only_are_refused(touch):
    labels = np.zeros((12, 12, 12), np.int32)
    labels[3:7, 3:7, 3:7] = 1
    labels[tuple(slice(t, t + 4) for t in touch)] = 2
    with pytest.raises(ExportError, match=r"50 % of the given volume is lost, .* at most 0\.5"):
        meshed(labels, 1.0)
    mesh = meshed(labels, 1.0, force=True)
    assert mesh.facts["label_volume"]["lost_grain_um3"] == [[2, 0.064]]
    assert not mesh.facts["certificate"]["certified"]


def test_a_speck_apart_is_named_and_not_refused():
    labels = np.zeros((16, 16, 16), np.int32)
    labels[:10, :10, :10] = 1
    labels[14, 14, 14] = 7
    mesh = cg.mesh(labels, pitch_um=PITCH, size_um=0.2)
    facts = mesh.facts["label_volume"]
    assert mesh.facts["certificate"]["certified"]
    assert facts["lost_grain_um3"] == [[7, 0.001]]
    assert facts["lost_share"] == pytest.approx(1 / 1001, rel=1e-4)


def test_a_body_without_a_size_gets_one_that_suits_it():
    for shape in ((1, 1, 1), (6, 6, 6)):
        mesh = mesh_volume(LabelVolume(np.ones(shape, np.int32), PITCH))
        assert mesh.facts["certificate"]["certified"]
        assert mesh.volumes.sum() / PITCH**3 == pytest.approx(np.prod(shape), rel=0.15)


def test_thin_grains_beyond_the_memory_are_refused(monkeypatch):
    from cathodegrain.exporters.labels import mesh_labels

    noise = np.random.default_rng(0).integers(1, 100, (20, 20, 20))
    monkeypatch.setattr(mesh_labels, "available_memory", lambda: 1e9)
    with pytest.raises(ExportError, match=r"thinner than two voxels.*if they are noise, filter"):
        mesh_volume(LabelVolume(noise, PITCH))
