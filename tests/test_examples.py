import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import block_diag, kron
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation
from skfem import Basis, ElementTetP2, MeshTet, asm

from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.generator.markers.orientations import c_axes
from meshes import ball
from places import ROOT

EXAMPLES = ROOT / "docs" / "examples"
sys.path.insert(0, str(EXAMPLES))

import cracking
import diffusion

YOUNG, POISSON = 180.0, 0.25
TOY = ["--diameter", "0.7", "--size", "0.15"]


@pytest.fixture(scope="module")
def diffused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    return diffusion.main([*TOY, "--out", str(folder)]), folder


@pytest.fixture(scope="module")
def cracked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cracking")
    arguments = [*TOY, "--openings", "3", "--out", str(folder)]
    # drawing, in a process of its own: OpenGL loads an LLVM, and torch crashes on its own after
    subprocess.run([sys.executable, EXAMPLES / "cracking.py", *arguments], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "vtkmodules.all", None)
        return cracking.main(arguments), folder


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    torch = pytest.importorskip("torch")
    import boundaries

    folder = tmp_path_factory.mktemp("boundaries")
    options = ["--steps", "40", "--edge", "16", "--processes", "0", "--out", str(folder)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more wait for each other where other tests run
    try:
        return boundaries.main(options), folder
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def four_grains(card):
    return four_grains_of(card, 0.4)


def four_grains_of(card, size_um):
    seeds = [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.3], [0.1, -0.5, -0.4], [0.1, 0.6, -0.5]]
    return volume_mesh(ball(card, seeds), size_um)


def isotropic_stiffness():
    shear = YOUNG / (2 * (1 + POISSON))
    d = np.eye(3)
    symmetric = np.einsum("ik,jl->ijkl", d, d) + np.einsum("il,jk->ijkl", d, d)
    volumetric = np.einsum("ij,kl->ijkl", d, d)
    return shear * symmetric + 2 * shear * POISSON / (1 - 2 * POISSON) * volumetric


def body_of_equal_grains(mesh, strain):
    n = mesh.n_grains
    stiffness = np.stack([isotropic_stiffness()] * n)
    return cracking.body_of(split(mesh), stiffness, np.stack([strain] * n))


def some_swelling(mesh, rng):
    """Body of grains with random crystals."""
    orientations = Rotation.random(mesh.n_grains, rng).as_quat(scalar_first=True)
    strain = np.diag([cracking.EPS_A, cracking.EPS_A, cracking.EPS_C])
    grains = cracking.turned(cracking.hexagonal_stiffness(), strain, orientations)
    return cracking.body_of(split(mesh), *grains)


# diffusion


def test_crank_series_has_its_limits():
    early = np.array([1e-6, 1e-5, 1e-4])
    series = diffusion.crank_uptake(early, 4000)
    assert series == pytest.approx(6 * np.sqrt(early / np.pi) - 3 * early, abs=2e-4)
    assert diffusion.crank_uptake(np.array([2.0])) == pytest.approx(1)


def test_lithium_is_slow_along_c(rng):
    orientations = Rotation.random(20, rng).as_quat(scalar_first=True)
    tensors, axes = diffusion.diffusivities(orientations), c_axes(orientations)
    along = np.einsum("nij,nj->ni", tensors, axes)
    assert along == pytest.approx(diffusion.D_OUT * axes)
    assert np.trace(tensors, axis1=1, axis2=2) == pytest.approx(3 * diffusion.D_MEAN)


def test_linear_concentration_has_no_sources_inside(four_grains):
    mesh = MeshTet(*(np.ascontiguousarray(a.T) for a in (four_grains.points, four_grains.tets)))
    basis = Basis(mesh, ElementTetP2())
    tensor = np.array([[3.0, 1.0, 0.5], [1.0, 2.0, 0.2], [0.5, 0.2, 1.0]])
    everywhere = tensor[..., None, None] * np.ones(basis.dx.shape)
    linear = np.array([0.3, -1.0, 2.0]) @ basis.doflocs
    sources = asm(diffusion.conduction, basis, diffusivity=everywhere) @ linear
    inside = basis.complement_dofs(basis.get_dofs())
    assert np.abs(sources[inside]).max() < 1e-13 * np.abs(sources).max() * len(sources)


def test_section_has_the_area_of_the_cut(four_grains):
    points, tets = four_grains.points, four_grains.tets
    area = 0.0
    for polygons in diffusion.section(points, tets, points[:, 0]):
        x, y, value = polygons.transpose(2, 0, 1)
        assert value == pytest.approx(x)
        crossed = x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)
        area += np.abs(crossed.sum(axis=1)).sum() / 2
    rim = np.concatenate(diffusion.section(points, four_grains.outer, points[:, 0]))
    (ax, ay), (bx, by) = rim[..., :2].transpose(1, 2, 0)
    assert area == pytest.approx(np.abs(ax * by - ay * bx).sum() / 2)


def test_supply_is_the_change_of_content(diffused):
    found, _ = diffused
    for name in ("isotropic", "radial", "uniform", "ball"):
        assert found[f"{name}_imbalance"] < 1e-12


def test_isotropic_ball_follows_crank(diffused):
    found, _ = diffused
    assert found["crank_half_time_error"] < 0.01
    assert found["crank_uptake_error"] < 0.01


def test_planes_along_the_radius_are_faster_than_random_ones(diffused):
    found, _ = diffused
    radial, random = (found[f"{name}_half_time_s"] for name in ("radial", "uniform"))
    assert radial < found["isotropic_half_time_s"] < random


# cracking


def test_stiffness_is_that_of_a_hexagonal_crystal(rng):
    crystal = cracking.hexagonal_stiffness()
    for axes in ("jikl", "klij"):
        assert np.array_equal(crystal, np.einsum(f"ijkl->{axes}", crystal))
    about_c = Rotation.from_euler("z", rng.uniform(0, 360), degrees=True).as_quat(scalar_first=True)
    turned, _ = cracking.turned(crystal, np.eye(3), about_c[None])
    assert turned[0] == pytest.approx(crystal, abs=1e-10)


def test_uniform_swelling_gives_no_stress(four_grains):
    strain = np.array([[0.01, 0.002, 0.0], [0.002, -0.02, 0.001], [0.0, 0.001, 0.015]])
    solver = cracking.Solver(body_of_equal_grains(four_grains, strain))
    state = solver.equilibrium(np.zeros(len(solver.body.areas), bool))
    assert np.abs(state.tractions).max() < 1e-8 * YOUNG * np.abs(strain).max()
    points = solver.body.mesh.points
    held = points[solver.held // 3]
    motion = state.displacement - points @ strain  # a rigid one
    fitted = np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), motion)[0]
    assert np.abs(fitted[:3] + fitted[:3].T).max() < 1e-10
    assert len(held) == 6


def test_uniform_stress_passes_the_boundaries(four_grains, monkeypatch):
    off, _ = deviations_from_uniform_stress(four_grains)
    assert off < 0.05 * 0.3  # of the largest stress
    monkeypatch.setattr(cracking, "SPRING", 10 * cracking.SPRING)
    stiffer, _ = deviations_from_uniform_stress(four_grains)
    assert stiffer == pytest.approx(off / 10, rel=0.2)


def test_uniform_stress_is_the_mean_of_boundaries_as_meshes_get_finer(card):
    """Springs at triple lines are shared: the error of a mean goes with the edge."""
    coarse, fine = (
        deviations_from_uniform_stress(four_grains_of(card, size))[1] for size in (0.4, 0.2)
    )
    assert coarse < 0.05 * 0.3  # of the largest stress
    assert fine < 0.7 * coarse


def deviations_from_uniform_stress(four_grains):
    """Largest errors of the tractions off triple lines, and of the means of boundaries."""
    body = body_of_equal_grains(four_grains, np.zeros((3, 3)))
    stress = np.array([[0.3, 0.1, 0.0], [0.1, -0.2, 0.05], [0.0, 0.05, 0.1]])
    outer, load = body.mesh.outer, np.zeros((len(body.mesh.points), 3))
    a, b, c = body.mesh.points[outer].transpose(1, 0, 2)
    np.add.at(load, outer, (np.cross(b - a, c - a) / 6 @ stress)[:, None])
    state = cracking.Solver(body, load.ravel()).equilibrium(np.zeros(len(body.areas), bool))
    exact = body.normals @ stress
    forces, areas = (
        np.zeros((body.link.max() + 1, 3)),
        np.bincount(body.link.ravel(), np.repeat(body.areas, 3)),
    )
    np.add.at(forces, body.link, (body.areas[:, None] * exact)[:, None])
    found = cracking.SPRING * (body.jump @ state.displacement.ravel()).reshape(-1, 3)
    n_copies = np.bincount(body.mesh.parent)[body.mesh.parent]
    off_lines = np.zeros(len(areas), bool)  # node pairs that lie on no triple line
    off_lines[body.link[n_copies[body.mesh.wedges[:, :3]] == 2]] = True
    assert off_lines.sum() > 20
    off = np.abs(found - forces / areas[:, None])[off_lines]
    row = np.unique(body.mesh.wedge_pairs, axis=0, return_inverse=True)[1].ravel()
    normal = np.einsum("wi,wi->w", exact, body.normals)
    means = [cracking.boundary_mean(values, body.areas, row) for values in (state.normal, normal)]
    assert np.abs(state.unbalanced).max() < 1e-9 * np.abs(load).max()
    return off.max(), np.abs(means[0] - means[1]).max()


def test_open_boundaries_agree_with_a_system_assembled_anew(four_grains, rng):
    body = some_swelling(four_grains, rng)
    solver = cracking.Solver(body)
    is_open = (body.mesh.wedge_pairs == [1, 2]).all(axis=1)
    state = solver.equilibrium(is_open)
    springs = cracking.springs_of(body.normals, is_open, state.touching)
    weights = springs * body.areas[:, None, None, None] / 3
    low, high = body.mesh.wedges[:, :3].ravel(), body.mesh.wedges[:, 3:].ravel()
    unit = np.eye(len(body.mesh.points))
    jump = kron(unit[high] - unit[low], np.eye(3), format="csr")
    matrix = body.stiffness + jump.T @ block_diag(weights.reshape(-1, 3, 3)) @ jump
    free = solver.free
    expected = spsolve(matrix.tocsc()[free][:, free], body.load[free])
    assert state.displacement.ravel()[free] == pytest.approx(expected, abs=1e-9 * expected.max())


def test_open_boundaries_carry_pressure_only(four_grains, rng):
    body = some_swelling(four_grains, rng)
    solver = cracking.Solver(body)
    is_open = (body.mesh.wedge_pairs == 1).any(axis=1)
    state = solver.equilibrium(is_open)
    stump = cracking.STUMP * cracking.SPRING * np.abs(state.displacement).max() * 2
    assert state.normal[is_open].max() < stump
    assert 0 < state.touching.sum() < state.touching.size


def test_forces_balance(cracked):
    found, _ = cracked
    assert found["reaction"] < 1e-10
    assert found["residual"] < 1e-10
    assert found["grain_imbalance"] < 1e-10


def test_boundary_of_highest_traction_opens_first(cracked):
    found, _ = cracked
    first = found["ranked"][0]
    assert found["opens_at"][first] == found["first_charge"] == np.nanmin(found["opens_at"])
    assert found["first_charge"] * found["traction"][first] == pytest.approx(cracking.STRENGTH)


def test_tractions_do_not_depend_on_the_springs(four_grains, rng, monkeypatch):
    body = some_swelling(four_grains, rng)
    intact = np.zeros(len(body.areas), bool)
    soft = cracking.Solver(body).equilibrium(intact).normal
    monkeypatch.setattr(cracking, "SPRING", 10 * cracking.SPRING)
    stiff = cracking.Solver(body).equilibrium(intact).normal
    assert np.abs(stiff - soft).max() < 0.02 * np.abs(stiff).max()


def test_missing_vtk_leaves_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "vtkmodules.all", None)
    cracking.main(
        ["--diameter", "0.6", "--size", "0.15", "--openings", "1", "--out", str(tmp_path)]
    )
    assert "pip install vtk" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


# boundaries


def test_the_loss_falls_on_volumes_that_are_not_trained_on(learned):
    found, _ = learned
    steps, losses, scores = zip(*found["curve"], strict=True)
    assert steps[0] == 0
    assert steps[-1] == 40
    assert losses[-1] < 0.95 * losses[0]
    assert scores[-1] > scores[0] + 0.05


def test_training_and_validation_share_no_particle():
    pytest.importorskip("torch")
    import boundaries

    of = boundaries.stream(8, start=boundaries.VALIDATION)
    judged = boundaries.Judge(8).batch["particle"]
    assert next(iter(of))["particle"] > judged.max()
    assert len(judged) == boundaries.VALIDATION


def test_f1_is_that_of_the_best_threshold():
    torch = pytest.importorskip("torch")
    import boundaries

    truth = torch.tensor([1, 0, 1, 1, 0, 0], dtype=torch.bool)
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])
    assert boundaries.f1(scores, truth) == pytest.approx(2 * 3 / (4 + 3))  # four found, three right
    assert boundaries.f1(truth.float(), truth) == 1


# pictures and numbers


@pytest.mark.parametrize("name", ["diffused", "cracked", "learned"])
def test_pictures_are_drawn(name, request):
    _, folder = request.getfixturevalue(name)
    (picture,) = folder.glob("*.png")
    assert 20e3 < picture.stat().st_size < 300e3


def test_numbers_stay(diffused, cracked):
    assert diffused[0]["radial_effective_diffusivity_um2_s"] == pytest.approx(7.36e-4, rel=0.01)
    assert cracked[0]["first_charge"] == pytest.approx(0.548, rel=0.02)
