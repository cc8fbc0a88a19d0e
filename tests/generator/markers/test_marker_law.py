from functools import partial

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy import stats

from cathodegrain.generator.errors import ModelCardError
from cathodegrain.generator.markers.marker_law import Markers, RadialMarkers, Uniform
from cathodegrain.generator.markers.marker_net import NEIGHBOURS, MarkerNet, neighbourhoods
from cathodegrain.generator.markers.point_process import sample_poisson
from cathodegrain.generator.markers.radial_frame import marker_matrices, radial_rotations
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import stream

WIDTHS = (60, 128, 128, 64, 4)


@pytest.fixture(scope="module")
def points():
    return sample_poisson(0.0012, 64, partial(stream, 5, 0))


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(1)
    shapes = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))
    return MarkerNet(
        weights=tuple(rng.normal(0, 1.5 / np.sqrt(n), (m, n)) for m, n in shapes),
        biases=tuple(rng.normal(0, 0.3, m) for m, _ in shapes),
    )


def test_radial_law_follows_its_stated_distributions(points):
    law = RadialMarkers(
        transverse=Uniform(12, 28), aspect_ratio=Uniform(1.6, 2.8), offset=Uniform(2, 9)
    )
    diagonals, offsets = law.markers(points)
    d1, d2, d3 = diagonals.T
    for sample, low, high in (
        (d2, 12, 28),
        (d3, 12, 28),
        (np.sqrt((d2 + d3) / 2 / d1), 1.6, 2.8),
        (offsets, 2, 9),
    ):
        assert stats.kstest(sample, stats.uniform(low, high - low).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(d2, d3)[0, 1]) < 4 / np.sqrt(len(d2))


def test_elongation_multiplies_the_radial_length_and_keeps_the_volume(points):
    drawn = Markers(np.array([[1.5, 20.0, 14.0]]), np.array([3.0]))
    longer = drawn.elongated(1.7)
    lengths, expected = longer.diagonals**-0.5, drawn.diagonals**-0.5
    np.testing.assert_allclose(lengths[:, 0], 1.7 * expected[:, 0])
    np.testing.assert_allclose(lengths.prod(), expected.prod())


def test_rotations_take_the_radial_direction_to_e1(points):
    q = radial_rotations(points.seeds, points.angles)
    radial = points.seeds / np.linalg.norm(points.seeds, axis=1, keepdims=True)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", q, radial)[:, 0], 1, atol=1e-12)
    np.testing.assert_allclose(
        q @ q.transpose(0, 2, 1), np.broadcast_to(np.eye(3), q.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(q), 1)


@pytest.mark.parametrize("seed", [[-3.0, 0, 0], [-3.0, 1e-12, 0], [5.0, 0, 0], [0.0, 0, 0]])
def test_rotations_are_proper_where_the_axis_vanishes(seed):
    (q,) = radial_rotations(np.array([seed]), np.array([0.7]))
    np.testing.assert_allclose(q @ q.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(q), 1)
    radial = np.array(seed) / max(np.linalg.norm(seed), 1e-300)
    if np.any(seed):
        np.testing.assert_allclose(q @ radial, [1, 0, 0], atol=1e-9)


def test_marker_matrices_have_the_diagonals_as_eigenvalues_and_the_radius_as_axis(points):
    diagonals = np.random.default_rng(0).uniform(1, 30, (len(points), 3))
    matrices = marker_matrices(points.seeds, points.angles, diagonals)
    np.testing.assert_array_equal(matrices, matrices.transpose(0, 2, 1))
    eigenvalues = np.linalg.eigvalsh(matrices)
    np.testing.assert_allclose(eigenvalues, np.sort(diagonals, axis=1), atol=1e-5)
    radial = points.seeds / np.linalg.norm(points.seeds, axis=1, keepdims=True)
    stretched = np.einsum("nij,nj->ni", matrices, radial)
    np.testing.assert_allclose(stretched, diagonals[:, :1] * radial, atol=1e-4)


def test_net_has_the_neighbourhood_of_algorithm_1_as_input(points):
    inputs = neighbourhoods(points, scale=10.0, centre=0.5).reshape(-1, NEIGHBOURS, 5)
    i = 17  # by hand, for one seed
    distance = np.linalg.norm(points.seeds - points.seeds[i], axis=1)
    nearest = np.argsort(distance)[1 : NEIGHBOURS + 1]
    q = radial_rotations(points.seeds[i : i + 1], points.angles[i : i + 1])[0]
    expected = (points.seeds[nearest] - points.seeds[i]) @ q.T / 10
    np.testing.assert_allclose(inputs[i, :, :3], expected, atol=1e-12)
    np.testing.assert_array_equal(inputs[i, :, 3:], points.noise[nearest] - 0.5)


def test_net_markers_do_not_depend_on_the_rotation_of_all_seeds_about_the_origin(points, net):
    # Q_i turns neighbourhoods into the radial frame; its remaining angle gamma_i is random,
    # so compare with the angles that make Q_i' R = Q_i
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix()
    turned = points.seeds @ rotation.T
    q = radial_rotations(points.seeds, points.angles)
    at_zero = radial_rotations(turned, np.zeros(len(points)))
    about_e1 = q @ rotation.T @ at_zero.transpose(0, 2, 1)
    angles = np.arctan2(about_e1[:, 2, 1], about_e1[:, 1, 1])
    import dataclasses

    moved = dataclasses.replace(points, seeds=turned, angles=angles)
    for a, b in zip(net.markers(points), net.markers(moved), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


def test_net_equals_torch(points, net):
    torch = pytest.importorskip("torch")
    layers = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        layers += [layer, torch.nn.ReLU()]
    inputs = neighbourhoods(points, 10.0, 0.5)
    with torch.no_grad():
        out = torch.sigmoid(torch.nn.Sequential(*layers[:-1])(torch.tensor(inputs))).numpy()
    expected = Markers(np.maximum(50 * out[:, 1:], 2.0**-10), 1 + 9 * out[:, 0])
    found = net.markers(points)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for a, b in zip(found.rounded(), expected.rounded(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.diagonals.std() > 1  # the random net does something


def test_weights_survive_safetensors(points, net, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(net.to_bytes())
    again = MarkerNet.load(tmp_path / "net.safetensors")
    for a, b in zip(net.markers(points), again.markers(points), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x00" * 100])
def test_damaged_weights_are_refused(content, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelCardError, match=r"net\.safetensors cannot be used"):
        MarkerNet.load(path)


def test_weights_that_are_not_finite_are_refused(net, tmp_path):
    first = np.where(np.arange(net.weights[0].shape[1]) == 3, np.nan, net.weights[0])
    tensors = {f"weight.{k}": w for k, w in enumerate((first, *net.weights[1:]))}
    tensors |= {f"bias.{k}": b for k, b in enumerate(net.biases)}
    save_file(tensors, str(tmp_path / "net.safetensors"))
    with pytest.raises(ModelCardError, match="value that is not finite"):
        MarkerNet.load(tmp_path / "net.safetensors")


def test_net_needs_neighbours(points, net):
    with pytest.raises(ValueError, match="expected more than 12"):
        net.markers(points.select(np.arange(12)))


@pytest.mark.parametrize("name", ["nmc811", "nmc811-radial"])
def test_markers_of_some_points_are_those_among_all(name, points):
    law = ModelCard.load(name).marker_law
    rows = np.arange(0, len(points), 3)
    for few, all_of_them in zip(
        law.markers(points, rows).rounded(), law.markers(points).rounded(), strict=True
    ):
        np.testing.assert_array_equal(few, all_of_them[rows])
