"""The outer surface is unfolded, small appendages go, necks are widened, and all else stays."""

import numpy as np
import pytest

from cathodegrain.exporters.certificate.grain_topology import bridges
from cathodegrain.exporters.mesh.material_field import NONE
from cathodegrain.exporters.mesh.tetrahedra import face_neighbours, signed_volumes
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.optimisation import optimiser
from cathodegrain.exporters.optimisation.folds import FLOOR, unfold
from cathodegrain.exporters.optimisation.necks import SMALL, mend_necks
from cathodegrain.exporters.optimisation.tet_complex import (
    VACANT,
    next_round,
    relabel,
)
from cathodegrain.exporters.optimisation.topology import keeps_topology
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from complexes import (
    Start,
    alive,
    assert_books_are_exact,
    cubes,
    euler,
    made,
    manifold_case,
    n_pieces,
    outer_faces,
    qualities,
)
from meshes import ball, edge_counts, faces_of, umbrellas

RADIUS = 1.0
CENTRES = [[-0.4, 0.1, 0.0], [0.5, 0.1, 0.2], [0.0, -0.6, -0.1]]


class NotUnfolded(Exception):
    """Ends a mesh where the complex is taken."""


def by_recipe(card):
    return ball(card, CENTRES, RADIUS), volume_mesh


@pytest.fixture
def before_unfolding(card, monkeypatch):
    """The complex, the field and the places to try of a ball that is about to be unfolded."""

    def taken(source):
        seen = []

        def stop(*arguments):
            seen.extend(arguments[:3])
            raise NotUnfolded

        monkeypatch.setattr(optimiser, "unfold", stop)
        body, mesh = source(card)
        with pytest.raises(NotUnfolded):
            mesh(body, 0.3)
        return seen

    return taken


def leans(c):
    """Angle of every facet with the direction from the centre, degrees."""
    tets, labels = alive(c)
    faces = faces_of(tets)
    out = []
    for face, rows in faces.items():
        if len(rows) == 2 and (labels[rows[0]] == 0) != (labels[rows[1]] == 0):
            inside = rows[int(labels[rows[0]] == 0)]
            a, b, d = c.points[list(face)]
            apex = c.points[next(v for v in tets[inside] if v not in face)]
            normal = np.cross(b - a, d - a)
            normal *= -np.sign(normal @ (apex - a))
            centre = (a + b + d) / 3
            cosine = normal @ centre / np.linalg.norm(normal) / np.linalg.norm(centre)
            out.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.array(out)


def plant_folds(c, wanted=5):
    """Drag vertices of the surface to where facets stand upright or face inwards."""
    rng = np.random.default_rng(5)
    surface, planted = np.unique(outer_faces(*alive(c))), 0
    for v in rng.permutation(surface).tolist():
        old, n_before = c.points[v].copy(), (leans(c) > 105).sum()
        around = c.tets[c.members[v, : c.n_members[v]]]
        for _ in range(200):
            c.points[v] = old + 0.3 * rng.uniform(-1, 1, 3)
            if signed_volumes(c.points, around).min() > 1e-6 and (leans(c) > 105).sum() > n_before:
                planted += 1
                break
            c.points[v] = old
        if planted == wanted:
            break
    tets, labels = alive(c)
    c.volumes[:] = np.bincount(labels, signed_volumes(c.points, tets), minlength=len(c.volumes))
    c.targets[:] = c.volumes
    assert planted == wanted


@pytest.mark.parametrize(
    ("source", "limit_deg"),
    [(by_recipe, 21.0)],
)
def test_folds_of_the_surface_are_unfolded_and_no_element_gets_worse(
    before_unfolding, source, limit_deg
):
    c, field, offsets = before_unfolding(source)
    unfold(c, field, offsets)
    plant_folds(c)
    next_round(c)
    start, worst = Start.of(c), qualities(c).min()
    assert unfold(c, field, offsets) == 0
    assert leans(c).max() < limit_deg
    assert qualities(c).min() >= min(worst, FLOOR)
    start.check(c)
    start.check_targets(c)


def test_a_surface_without_folds_stays_to_the_bit(before_unfolding):
    c, field, offsets = before_unfolding(by_recipe)
    assert unfold(c, field, offsets) == 0
    points, labels = c.points.copy(), c.labels.copy()
    assert unfold(c, field, offsets) == 0
    np.testing.assert_array_equal(c.points, points)
    np.testing.assert_array_equal(c.labels, labels)


def shapes(c, chosen):
    """Euler characteristics and numbers of pieces of some labels."""
    tets, labels = alive(c)
    parts = [tets[labels == g] for g in chosen]
    return [euler(part) for part in parts], [n_pieces(part) for part in parts]


@pytest.mark.parametrize("seed", range(3))
def test_what_keeps_the_topology_does(seed):
    rng = np.random.default_rng(seed)
    c = manifold_case(rng, (5, 5, 5), 3, stray=0.04)
    next_round(c)
    allowed = refused = 0
    for t in rng.permutation(np.flatnonzero(c.labels != VACANT))[:1200].tolist():
        to = int(rng.integers(0, 4))
        if c.fixed[c.tets[t]].any() or to == c.labels[t] or (c.labels == to).sum() < 2:
            continue
        if not keeps_topology(c, t, np.int32(to), 3):
            refused += 1
            continue
        both = (int(c.labels[t]), to)
        characteristics, (own, others) = shapes(c, both)
        relabel(c, t, to)
        after, (own_after, others_after) = shapes(c, both)
        assert after == characteristics
        assert own_after == own
        assert others_after <= others  # two that touched may be joined
        allowed += 1
    assert allowed > 10
    assert refused > 10
    surface = outer_faces(*alive(c))
    assert set(edge_counts(surface).values()) == {2}
    assert set(umbrellas(surface).values()) == {1}
    assert_books_are_exact(c)


def shares(c):
    """Share of its grain behind every triangle that alone holds it."""
    tets, labels = alive(c)
    inside = labels > 0
    tets, labels = tets[inside], labels[inside]
    volumes = signed_volumes(c.points, tets)
    found, _, behind = bridges(face_neighbours(tets, len(c.points)), labels, volumes)
    return behind / np.bincount(labels, volumes)[labels[found]]


def two_halves(shape=(8, 6, 6), wall=()):
    """Complex of grain 1 on the left and 2 on the right; layers of 2 in 1 (``wall``)."""
    labels = np.zeros(shape, int)
    labels[1:-1, 1:-1, 1:-1] = 1
    labels[shape[0] - 2, 1:-1, 1:-1] = 2
    for layer in wall:
        labels[layer, 1:-1, 1:-1] = 2
    return made(*cubes(labels))


def neighbours_by_label(c, t, label):
    tets, labels = alive(c)
    face = [set(tets[t]) - {v} for v in tets[t]]
    around = np.flatnonzero([len(set(tets[t]) & set(other)) == 3 for other in tets])
    return [int(s) for s in around if labels[s] == label and len(face) == 4]


def test_a_tetrahedron_that_hangs_on_one_triangle_goes_to_the_grain_around_it():
    c = two_halves()
    hanging = next(
        t
        for t in np.flatnonzero(c.labels == 2)
        if len(neighbours_by_label(c, t, 1)) == 1 and len(neighbours_by_label(c, t, 2)) == 3
    )
    relabel(c, hanging, 1)
    next_round(c)
    assert (shares(c) < SMALL).any()
    start = Start.of(c)
    mend_necks(c)
    assert c.labels[hanging] == 2
    assert len(shares(c)) == 0
    start.check(c)


def path_between(c, layer):
    """Tetrahedra of grain 2 in a layer that lead from grain 1 on its left to that on its right."""
    tets, labels = alive(c)
    x = c.points[tets].mean(axis=1)[:, 0]
    inner = np.abs(c.points[tets][:, :, 1:] - 3).max(axis=(1, 2)) < 2
    allowed = (labels == 2) & (x > layer) & (x < layer + 1) & inner
    neighbours = face_neighbours(tets, len(c.points))
    begin = (labels == 1) & (x < layer)
    came = {int(t): NONE for t in np.flatnonzero(begin)}
    queue = list(came)
    for t in queue:
        for s in neighbours[t].tolist():
            if s >= 0 and labels[s] == 1 and x[s] > layer + 1:
                path = []
                while not begin[t]:
                    path.append(t)
                    t = came[t]
                return path
            if s >= 0 and s not in came and allowed[s]:
                came[s] = t
                queue.append(s)
    raise AssertionError("no path")


def test_a_neck_of_one_triangle_is_widened():
    c = two_halves(wall=(3,))
    for t in path_between(c, 3):
        relabel(c, t, 1)
    c.targets[:] = c.volumes
    next_round(c)
    assert shares(c).max() > 0.2
    start = Start.of(c)
    mend_necks(c)
    assert shares(c).max(initial=0.0) < SMALL
    start.check(c)
    start.check_targets(c)


def test_necks_stay_where_the_volumes_do_not_allow_more():
    c = two_halves(wall=(3,))
    for t in path_between(c, 3):
        relabel(c, t, 1)
    c.targets[:] = c.volumes
    c.targets[1] *= 0.9
    next_round(c)
    start, largest = Start.of(c), shares(c).max()
    mend_necks(c)
    assert shares(c).max() == pytest.approx(largest, rel=0.05)
    start.check_targets(c)


@pytest.mark.parametrize(("card_name", "seed"), [("nmc811", 90017), ("nmc811-radial", 90018)])
def test_no_facet_of_a_particle_faces_inwards_and_no_small_part_hangs_on_a_triangle(
    card_name, seed
):
    card = ModelCard.load(card_name).with_parameters({"shell.diameter_um": 1.2})
    mesh = volume_mesh(generate_particle(card, seed=seed), 0.15)
    certificate = mesh.facts["certificate"]
    facets = certificate["fidelity"]["shell_facets"]
    assert facets["n_inward"] == 0
    assert facets["n_beyond_45_deg"] <= 0.002 * facets["n_facets"]
    assert certificate["topology"]["n_no_spheres"] == 0
