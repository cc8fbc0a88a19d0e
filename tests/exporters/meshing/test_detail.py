"""Meshes are as coarse as asked, or have the number of tetrahedra asked for; grains stay."""

import numpy as np
import pytest

from cathodegrain.exporters.certificate.certificate import SMALL_PIXELS
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.meshing.detail import DETAILS, FINEST, detail_for, detail_of
from cathodegrain.exporters.meshing.lattice import body_centred_lattice, refined
from cathodegrain.exporters.meshing.mesher import WITHIN, planned, volume_mesh
from cathodegrain.exporters.meshing.sizes import FEW
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.generate import generate_particle


@pytest.fixture(scope="module")
def particle(card):
    return generate_particle(card.with_parameters({"shell.diameter_um": 1.5}), seed=60321)


@pytest.fixture(scope="module")
def meshes(particle):
    return {detail: volume_mesh(particle, detail=detail) for detail in DETAILS}


def test_a_coarser_mesh_has_fewer_tetrahedra_and_is_less_true(meshes):
    n_tets = [len(meshes[detail].tets) for detail in ("fine", "medium", "coarse")]
    wrong = [
        meshes[detail].facts["certificate"]["fidelity"]["mislabelled"]
        for detail in ("fine", "medium", "coarse")
    ]
    assert n_tets[0] > 2 * n_tets[1] > 4 * n_tets[2]
    assert wrong == sorted(wrong)


@pytest.mark.parametrize("detail", DETAILS)
def test_every_mesh_is_certified_and_says_its_detail(detail, meshes):
    certificate = meshes[detail].facts["certificate"]
    assert certificate["certified"], certificate["failures"]
    assert certificate["shape"]["dihedral_deg"]["least"] >= 10.0
    assert meshes[detail].facts["detail"] == DETAILS[detail]


def test_a_coarse_mesh_keeps_every_grain_of_ten_pixels_and_its_volume(meshes, particle):
    body = ParticleBody(particle)
    given = body.grain_volumes[1:]
    sizeable = given >= SMALL_PIXELS * body.pixel_um**3
    mesh = meshes["coarse"]
    assert (mesh.grain_volumes[sizeable] > 0).all()
    rows = np.array(mesh.facts["certificate"]["grain_volumes_um3"])
    after, own = rows[sizeable[rows[:, 0].astype(int) - 1]][:, 2:].T
    assert np.abs(own / after - 1).max() < 0.081  # the margin of an operation, and rounding


def test_every_grain_that_a_coarse_mesh_must_have_gets_points_of_the_lattice(particle):
    body = ParticleBody(particle)
    needed = body.grain_volumes >= SMALL_PIXELS * body.pixel_um**3
    sizes = planned(body, None, None, "coarse")
    step = sizes.size_um

    def least(points):
        owned = np.bincount(body.grain_at(step * points), minlength=body.n_grains + 1)
        return owned[needed].min()

    points, tets = body_centred_lattice(
        lambda x: body.reaches(step * x, step), body.radius_um / step + 2
    )
    assert least(points) == 0
    points, _ = refined(points, tets, lambda x, t: sizes.hides_a_grain(step * x, t))
    assert least(points) >= FEW


def test_a_number_of_tetrahedra_is_met_within_a_tenth(particle):
    mesh = volume_mesh(particle, tets=9000)
    assert len(mesh.tets) == pytest.approx(9000, rel=WITHIN)
    assert DETAILS["coarse"] < mesh.facts["detail"] < DETAILS["fine"]


@pytest.mark.parametrize("detail", DETAILS)
def test_the_expected_number_is_right_within_a_quarter(detail, meshes, particle):
    expected = planned(ParticleBody(particle), None, None, detail).expected_tets
    assert expected == pytest.approx(len(meshes[detail].tets), rel=0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"detail": "rough"},
            "detail is rough, expected fine, medium, coarse, or edges per radius",
        ),
        ({"detail": 7}, f"detail is 7, expected .* a number from 0.11 to {FINEST}"),
        ({"detail": "coarse", "tets": 5000}, "give one of them: tets sets the detail"),
        ({"tets": -3}, "tets is -3, expected a number of tetrahedra"),
        ({"tets": 100}, r"tets is 100, expected about \d+ to \d+ for \d+ grains of at least"),
        ({"tets": 10**8}, "for more give a smaller size"),
        ({"detail": "coarse", "size_um": 5.0}, "size_um is 5.0, expected a length in um"),
    ],
)
def test_what_cannot_be_meshed_is_refused_before_it_is_begun(options, message, particle):
    def nothing_may_begin(what, part):
        pytest.fail(what)

    with pytest.raises(ExportError, match=message):
        volume_mesh(particle, progress=nothing_may_begin, **options)


def test_details_are_numbers_names_and_texts():
    assert detail_of("medium") == DETAILS["medium"]
    assert detail_of("0.3") == detail_of(0.3) == 0.3
    assert detail_for(58 * 50, 50) == pytest.approx(0.16)


def test_a_body_smaller_than_the_usual_edge_has_shorter_ones():
    import cathodegrain as cg

    cube = np.zeros((6, 6, 6), int)
    cube[2:4, 2:4, 2:4] = 1
    with pytest.raises(ExportError, match="tets is 3, expected about 45 to"):
        cg.mesh(cube, pitch_um=0.1, tets=3)
