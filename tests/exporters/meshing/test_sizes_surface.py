"""A size of the surface: short edges at the shell, longer ones with the depth below it."""

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.meshing.mesher import planned, volume_mesh
from cathodegrain.exporters.optimisation.optimiser import LONGEST
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.generate import generate_particle

SURFACE_UM = 0.08
GROWTH = 0.5  # what docs/meshing.md says


@pytest.fixture(scope="module")
def particle(card):
    return generate_particle(card.with_parameters({"shell.diameter_um": 1.4}), seed=60321)


@pytest.fixture(scope="module")
def graded(particle):
    return volume_mesh(particle, 0.25, surface_size_um=SURFACE_UM, detail="coarse")


def edges_of(mesh):
    """Ends (k, 2, 3) of all edges, and their lengths (k,)."""
    pairs = mesh.tets[:, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]].reshape(-1, 2)
    ends = mesh.points[np.unique(np.sort(pairs, axis=1), axis=0)]
    return ends, np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)


def sides(points, triangles):
    corners = points[triangles]
    return np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)


def assert_certified(mesh):
    certificate = mesh.facts["certificate"]
    assert certificate["certified"], certificate["failures"]
    assert certificate["shape"]["dihedral_deg"]["least"] >= 10


def test_edges_of_the_shell_are_as_short_as_asked(graded):
    lengths = sides(graded.points, graded.outer)
    assert lengths.mean() == pytest.approx(0.66 * SURFACE_UM, rel=0.08)
    assert np.percentile(lengths, 95) < 1.1 * SURFACE_UM
    assert lengths.max() < 1.2 * LONGEST * SURFACE_UM
    assert graded.facts["surface_size_um"] == SURFACE_UM
    assert_certified(graded)


def test_edges_grow_with_the_depth_and_not_faster_than_said(graded, particle):
    ends, lengths = edges_of(graded)
    depth = particle.shell.depth(ends).max(axis=1).clip(0)
    allowed = SURFACE_UM + GROWTH * depth
    assert (lengths < 1.2 * LONGEST * allowed).all()
    assert (lengths < allowed).mean() > 0.97
    means = [lengths[(depth >= a) & (depth < a + 0.1)].mean() for a in (0.0, 0.1, 0.2, 0.3)]
    assert (np.diff(means) > 0).all()
    assert means[-1] > 2 * means[0]


def test_far_below_the_shell_edges_are_nearer_to_those_without_the_size(graded, particle):
    plain = volume_mesh(particle, 0.25, detail="coarse")
    assert "surface_size_um" not in plain.facts
    deep = []
    for mesh in (graded, plain):
        ends, lengths = edges_of(mesh)
        deep.append(lengths[particle.shell.depth(ends).min(axis=1) > 0.4].mean())
    at_shell = sides(graded.points, graded.outer).mean()
    assert deep[1] - deep[0] < deep[0] - at_shell
    assert len(graded.tets) > 4 * len(plain.tets)


def test_the_expected_number_is_right_within_a_quarter(graded, particle):
    sizes = planned(ParticleBody(particle), 0.25, None, "coarse", surface_size_um=SURFACE_UM)
    assert sizes.expected_tets == pytest.approx(len(graded.tets), rel=0.25)


def test_a_graded_mesh_does_not_depend_on_the_threads(graded, particle):
    same = volume_mesh(particle, 0.25, surface_size_um=SURFACE_UM, detail="coarse", threads=1)
    assert same.points.tobytes() == graded.points.tobytes()
    assert same.tets.tobytes() == graded.tets.tobytes()


def test_symmetric_faces_are_no_surface(particle):
    half = volume_mesh(particle, 0.25, surface_size_um=SURFACE_UM, detail="coarse", cut="x")
    assert_certified(half)
    assert sides(half.points, half.outer).mean() == pytest.approx(0.66 * SURFACE_UM, rel=0.08)
    face = half.symmetry["symmetry_x"]
    deep = particle.shell.depth(half.points[face].mean(axis=1)) > 0.35
    assert sides(half.points, face[deep]).mean() > 1.7 * SURFACE_UM


def test_labels_have_short_edges_where_they_end():
    z, y, x = np.mgrid[-9.5:10, -9.5:10, -9.5:10]
    labels = np.where(x * x + y * y + z * z < 9.2**2, 1 + (x > 0), 0)
    mesh = cg.mesh(labels, pitch_um=0.1, size_um=0.4, surface_size_um=0.12)
    assert_certified(mesh)
    assert sides(mesh.points, mesh.outer).mean() == pytest.approx(0.66 * 0.12, rel=0.1)
    ends, lengths = edges_of(mesh)
    depth = 0.92 - np.linalg.norm(ends - mesh.points.mean(axis=0), axis=2).min(axis=1)
    assert lengths[depth > 0.5].mean() > 2 * 0.66 * 0.12
    assert (lengths < 1.2 * LONGEST * (0.12 + GROWTH * (depth.clip(0) + 0.05))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"surface_size_um": 0.0}, "surface_size_um is 0.0, expected a length in um from"),
        ({"surface_size_um": float("nan")}, "surface_size_um is nan, expected a length"),
        ({"surface_size_um": 0.25, "size_um": 0.2}, "surface_size_um is 0.25, expected .* to 0.2 "),
        (
            {"surface_size_um": 0.15, "size_um": 0.2, "boundary_size_um": 0.1},
            "surface_size_um is 0.15, expected a length in um from .* to 0.1 for",
        ),
        ({"surface_size_um": 0.1, "tets": 20000}, "give one of them: layers at the surface do not"),
        ({"surface_size_um": 0.1, "elements": "hex"}, "a size of its own at the surface do not go"),
        ({"surface_size_um": 1e-4}, "would take about .* GB of memory"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused_before_anything_is_made(
    options, message, particle
):
    with pytest.raises(ExportError, match=message):
        cg.mesh(particle, progress=lambda what, part: pytest.fail(what), **options)
