"""Grains become one piece each by the rules that they are said to."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.exporters.meshing.grain_pieces import Moved, whole_grains
from complexes import cubes, lattice, n_pieces, random_labels, whole_cubes
from meshes import faces_of


def pieces_of(tets, labels):
    return {int(g): n_pieces(tets[labels == g]) for g in np.unique(labels) if g}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), stray=st.sampled_from([0.0, 0.1, 0.5]))
def test_every_grain_ends_as_one_piece_and_the_account_is_right(seed, stray):
    rng = np.random.default_rng(seed)
    points, tets = lattice((4, 4, 4), rng)
    labels = random_labels(points, tets, rng, 4, stray)
    labels[labels == 0] = 1  # no islands in the outside here
    before = labels.copy()
    whole, moved = whole_grains(points, tets, labels, 0.0)
    np.testing.assert_array_equal(labels, before)
    assert set(pieces_of(tets, whole).values()) == {1}
    assert set(whole.tolist()) == set(labels.tolist())
    volumes = signed_volumes(points, tets)
    had, has = (np.bincount(x, volumes, minlength=5) for x in (labels, whole))
    np.testing.assert_allclose(has - had, moved.net(4), atol=1e-12)
    changed = whole != labels
    assert sum(moved.volumes.values()) == pytest.approx(volumes[changed].sum())
    assert set(moved.volumes) == set(
        zip(labels[changed].tolist(), whole[changed].tolist(), strict=True)
    )
    again, nothing = whole_grains(points, tets, whole, 0.0)
    np.testing.assert_array_equal(again, whole)
    assert nothing.volumes == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_piece_of_a_grain_stays_and_is_never_made_smaller(seed):
    rng = np.random.default_rng(seed)
    points, tets = lattice((4, 4, 4), rng)
    labels = random_labels(points, tets, rng, 3, 0.3)
    labels[labels == 0] = 1
    whole, _ = whole_grains(points, tets, labels, 0.0)
    for grain in (1, 2, 3):
        rows = np.flatnonzero(labels == grain)
        largest = max(
            _pieces(tets[rows]), key=lambda p: signed_volumes(points, tets[rows[p]]).sum()
        )
        assert (whole[rows[largest]] == grain).all()


def _pieces(tets):
    """Rows of each face-connected piece."""
    piece = np.arange(len(tets))
    pairs = [rows for rows in faces_of(tets).values() if len(rows) == 2]
    for _ in range(len(tets)):
        before = piece.copy()
        for a, b in pairs:
            piece[[a, b]] = piece[[a, b]].min()
        if (piece == before).all():
            break
    return [np.flatnonzero(piece == p) for p in np.unique(piece)]


@pytest.mark.parametrize(("stretch", "receiver"), [(0.1, 1), (10.0, 3)])
def test_a_fragment_goes_where_its_largest_face_is(stretch, receiver):
    labels = np.array([[2, 3], [1, 1], [2, 2]])[:, :, None]  # 2 in the corner is the fragment
    points, tets, labels = cubes(labels)
    found, moved = whole_grains(points * [stretch, 1, 1], tets, labels, 0.0)
    assert set(found[:6].tolist()) == {receiver}
    np.testing.assert_array_equal(found[6:], labels[6:])
    assert moved.volumes == {(2, receiver): pytest.approx(stretch)}


def test_faces_towards_one_grain_are_added_up():
    labels = np.array([[3, 3, 3], [3, 2, 3], [1, 1, 1], [2, 2, 2]])[:, :, None]
    found, moved = whole_cubes(labels)
    assert found[1, 1, 0] == 3
    assert moved.volumes == {(2, 3): pytest.approx(1.0)}


def test_nothing_goes_outside_while_a_grain_is_beside_it():
    labels = np.zeros((5, 5, 3), int)
    labels[1:4, 1:4, 1] = 1
    labels[1, 1, 1] = 2  # four of its faces look outside, two at grain 1
    found, moved = whole_cubes(labels, smallest=2.0)
    assert found[1, 1, 1] == 1
    assert moved.volumes == {(2, 1): pytest.approx(1.0)}
    np.testing.assert_array_equal(found == 0, labels == 0)


def test_an_island_without_a_grain_beside_it_goes_outside():
    labels = np.zeros((7, 3, 3), int)
    labels[1:3, 1, 1], labels[5, 1, 1] = 1, 1
    found, moved = whole_cubes(labels)
    assert found[5, 1, 1] == 0
    assert moved.volumes == {(1, 0): pytest.approx(1.0)}
    assert moved.net(1).tolist() == pytest.approx([1.0, -1.0])


def test_grains_below_a_volume_go_to_a_grain_that_stays():
    labels = np.full((4, 4, 1), 1)
    labels[0, 0], labels[0, 1] = 2, 3  # both too small, next to each other
    found, moved = whole_cubes(labels, smallest=1.5)
    assert (found == 1).all()
    assert moved.volumes == {(2, 1): pytest.approx(1.0), (3, 1): pytest.approx(1.0)}
    kept, nothing = whole_cubes(labels, smallest=0.9)
    np.testing.assert_array_equal(kept, labels)
    assert nothing.rows() == []


def test_accounts_add_up():
    first, second = Moved({(1, 2): 0.5, (3, 1): 1.0}), Moved({(1, 2): 0.25, (2, 0): 1 / 3})
    both = Moved.joined(first, second)
    assert both.rows() == [[1, 2, 0.75], [2, 0, 0.333333], [3, 1, 1.0]]
    assert first.volumes == {(1, 2): 0.5, (3, 1): 1.0}
    np.testing.assert_allclose(both.net(3), [1 / 3, 0.25, 0.75 - 1 / 3, -1.0])
    assert both.net(3).sum() == pytest.approx(0)
