import csv
import math
import os
from threading import Event

import numpy as np
import pytest

from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.reading import read_msh
from cathodegrain.exporters.meshing import sizes as mesh_sizes
from cathodegrain.exporters.meshing.sizes import MeshSizes
from cathodegrain.exporters.products import convergence
from cathodegrain.exporters.products.convergence import TABLE, ladder, lines, order_of_errors
from cathodegrain.exporters.solvers.folder import write_for
from cathodegrain.generator.errors import ExportError
from meshes import ball
from places import ROOT
from solver_clients import run_script

SIZES = [0.1, 0.4, 0.2]


@pytest.fixture(scope="module")
def halves(card):
    """Ball of radius 1 um cut in two by the plane x = 0."""
    return ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]])


@pytest.fixture(scope="module")
def made(halves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder") / "meshes"
    return folder, ladder(halves, SIZES, folder)


def test_a_ball_converges_with_the_second_order(made):
    _, rungs = made
    assert [r.size_um for r in rungs] == [0.4, 0.2, 0.1]
    assert rungs[0].volume_order is None
    # in 18 balls 1.89 to 2.68, as the coarsest has edges of 0.4 radii, and 1.87 to 2.19
    assert 1.8 < rungs[1].volume_order < 3
    assert rungs[2].volume_order == pytest.approx(2, abs=0.3)
    assert [r.boundary_area_order is None for r in rungs[:2]] == [True, True]
    assert rungs[-1].boundary_area_um2 == pytest.approx(math.pi, rel=2.5e-3)  # 1.5e-3 at most
    assert rungs[-1].volume_error == pytest.approx(0, abs=5e-3)


def test_the_mean_time_of_the_diffusion_deck_converges_to_that_of_a_ball(made, tmp_path):
    """R^2 / (15 D), of D lap u = -1 and u = 0 at R: the second order that linear elements have."""
    diffusivity = (0.01 + 0.01 + 0.0001) / 3  # isotropic: the mean
    errors = []
    for size in (0.4, 0.2, 0.1):
        write_for(read_msh(made[0] / f"mesh_{size}um.msh"), tmp_path / str(size), "scikit-fem")
        found = run_script("scikit-fem", tmp_path / str(size), "diffusion")
        errors.append(1 - 15 * diffusivity * found["integral"] / found["volume"])
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx([2, 2], abs=0.3)
    assert 0 < errors[-1] < 5e-3


def test_a_particle_converges_with_the_second_order_once_the_size_rules(tiny_particle, tmp_path):
    long, short = ladder(tiny_particle, [0.1, 0.05], tmp_path / "meshes")
    halvings = math.log2(long.size_um / short.size_um)
    for error in ("volume_error", "mislabelled"):  # 1.6 to 1.8, 1.7 to 2.3 of 8 particles
        falls = math.log2(getattr(long, error) / getattr(short, error))
        assert falls / halvings == pytest.approx(2, abs=0.5), error
    assert short.volume_order > 1.5
    assert short.mislabelled_order > 1.5


@pytest.mark.slow
def test_a_particle_keeps_the_second_order_down_to_finer_sizes(card, tmp_path):
    from cathodegrain.generator.generate import generate_particle

    particle = generate_particle(card.with_parameters({"shell.diameter_um": 1.6}), seed=3)
    rungs = ladder(particle, [0.1, 0.07, 0.05, 0.035], tmp_path / "meshes")
    falls = [math.log(rungs[1].mislabelled / rungs[3].mislabelled) / math.log(2)]
    falls += [math.log(rungs[1].volume_error / rungs[3].volume_error) / math.log(2)]
    assert falls == pytest.approx([2, 2], abs=0.3)
    areas = [rung.boundary_area_um2 for rung in rungs]  # too near their limit to have an order
    assert max(areas) / min(areas) < 1.005


def test_grains_and_ids_are_the_same_at_every_size(made):
    folder, rungs = made
    files = ["mesh_0.1um.msh", "mesh_0.2um.msh", "mesh_0.4um.msh"]
    assert sorted(os.listdir(folder)) == [TABLE, *files]
    meshes = [read_msh(folder / name) for name in reversed(files)]
    for mesh, rung in zip(meshes, rungs, strict=True):
        assert np.unique(mesh.grain_ids).tolist() == [1, 2]
        assert mesh.facts["size_um"] == rung.size_um
        assert (len(mesh.tets), len(mesh.points)) == (rung.tets, rung.nodes)
        assert mesh.volumes.sum() == pytest.approx(rung.volume_um3, rel=1e-5)
        assert rung.certified
        x = mesh.points[mesh.tets].mean(axis=1)[:, 0]
        assert (x[mesh.grain_ids == 1] < 0.02).all()


def test_the_table_holds_the_rows_and_no_times(made):
    folder, rungs = made
    with (folder / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert "cpu_s" not in rows[0]
    assert [float(row["size_um"]) for row in rows] == [0.4, 0.2, 0.1]
    assert [int(row["tets"]) for row in rows] == [r.tets for r in rungs]
    assert rows[0]["volume_order"] == ""
    assert float(rows[1]["volume_order"]) == pytest.approx(rungs[1].volume_order, rel=1e-5)
    assert all(float(row["volume_error"]) < 0 for row in rows)
    printed = list(lines(rungs))
    assert len(printed) == 4
    assert len({len(line) for line in printed}) == 1
    assert all(r.cpu_s > 0 for r in rungs)


def test_every_column_is_documented(made):
    folder, _ = made
    text = (ROOT / "docs/meshing.md").read_text("utf-8")
    for column in (folder / TABLE).read_text("utf-8").splitlines()[0].split(","):
        assert f"`{column}`" in text


def test_the_files_do_not_depend_on_how_many_are_made_at_a_time(halves, tmp_path):
    ladder(halves, [0.4, 0.3, 0.25], tmp_path / "one", threads=1)
    ladder(halves, [0.3, 0.25, 0.4], tmp_path / "two", threads=2)
    names = sorted(os.listdir(tmp_path / "one"))
    assert names == sorted(os.listdir(tmp_path / "two"))
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_of_all_meshes_rises_from_zero_to_one(halves, tmp_path, threads):
    seen = []
    ladder(
        halves, [0.4, 0.3], tmp_path / "meshes", threads=threads,
        progress=lambda text, part: seen.append((text, part)),
    )  # fmt: skip
    parts = [part for _, part in seen]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)
    assert {text[:6] for text, _ in seen} == {"0.4 um", "0.3 um"}


def test_the_largest_mesh_is_begun_first(halves, tmp_path):
    seen = []
    ladder(
        halves, [0.4, 0.3], tmp_path / "meshes", threads=1,
        progress=lambda text, part: seen.append(text),
    )  # fmt: skip
    assert seen[0].startswith("0.3 um: ")
    assert seen[-1].startswith("0.4 um: ")


def test_as_many_are_made_at_a_time_as_fit_the_memory(halves, monkeypatch):
    meshes = [MeshSizes(ParticleBody(halves), size, size) for size in (0.2, 0.4, 0.1)]
    one, two, three = mesh_sizes.bytes_together(meshes)
    assert one == max(each.expected_bytes for each in meshes)
    assert two - one > three - two > 0  # the largest are the first
    assert three < sum(each.expected_bytes for each in meshes)  # they share a process
    for memory, expected in ((one, 1), (0.99 * two, 1), (two, 2), (three, 3)):
        available = memory / mesh_sizes.MEMORY_SHARE * (1 + 1e-12)
        monkeypatch.setattr(mesh_sizes, "available_memory", lambda value=available: value)
        assert mesh_sizes.at_a_time(meshes, threads=8) == expected
        assert mesh_sizes.at_a_time(meshes, threads=1) == 1


def test_orders_of_exact_powers_are_found():
    h = [0.8, 0.35, 0.2]
    for p in (0.5, 1.0, 2.0, 3.7):
        assert order_of_errors([5 * x**p for x in h[:2]], h) == pytest.approx(p)
        assert convergence.order_of_values([2 - x**p for x in h], h) == pytest.approx(p)


def test_orders_that_cannot_be_said_are_none():
    assert order_of_errors([0.0, 0.1], [0.2, 0.1]) is None
    assert order_of_errors([0.2, 0.1], [0.11, 0.1]) is None
    assert convergence.order_of_values([1.0, 2.0, 1.5], [0.4, 0.2, 0.1]) is None
    assert convergence.order_of_values([1.0, 2.0, 3.0], [0.4, 0.2, 0.19]) is None
    assert convergence.order_of_values([3.0, 2.0, 1.0], [0.4, 0.2, 0.1]) is None


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([], "sizes are none, expected two or more"),
        ([0.2], "sizes are 0.2, expected two or more"),
        ([0.2, 0.4, 0.2], "sizes are 0.4, 0.2, 0.2, expected two or more different ones"),
        ([0.2, 0.20000001], "expected two or more different ones"),
        ([0.2, -0.1], "one of the sizes is -0.1, expected positive lengths"),
        ([0.2, 0.0], "one of the sizes is 0.0"),
        ([0.2, float("nan")], "one of the sizes is nan"),
        ([0.2, float("inf")], "one of the sizes is inf"),
        ([0.2, 3.0], "size_um is 3.0, expected a length in um from .* to 0.5"),
    ],
)
def test_sizes_that_make_no_ladder_are_refused_before_anything_is_written(
    halves, tmp_path, sizes, message
):
    with pytest.raises(ExportError, match=message):
        ladder(halves, sizes, tmp_path / "meshes")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_a_ladder_that_fails_leaves_the_old_one(halves, tmp_path, monkeypatch, threads):
    folder = tmp_path / "meshes"
    folder.mkdir()
    (folder / "old").write_text("kept")
    made = convergence.volume_mesh

    def failing(particle, size, *rest, **options):
        if size < 0.4:
            msg = "the mesh fails its certificate"
            raise ExportError(msg)
        return made(particle, size, *rest, **options)

    monkeypatch.setattr(convergence, "volume_mesh", failing)
    with pytest.raises(ExportError, match="fails its certificate"):
        ladder(halves, [0.4, 0.3], folder, threads=threads)
    assert os.listdir(tmp_path) == ["meshes"]
    assert os.listdir(folder) == ["old"]


def test_a_mesh_that_fails_stops_the_others(halves, tmp_path, monkeypatch):
    begun, stopped = Event(), []

    def endless(particle, size, boundary_size, progress, *, force, threads):
        if size < 0.4:
            begun.wait()
            msg = "the mesh fails its certificate"
            raise ExportError(msg)
        try:
            while True:
                progress("going round", 0.5)
                begun.set()
        except BaseException as error:
            stopped.append((size, type(error).__name__))
            raise

    monkeypatch.setattr(convergence, "volume_mesh", endless)
    with pytest.raises(ExportError, match="fails its certificate"):
        ladder(halves, [0.5, 0.4, 0.3], tmp_path / "meshes", threads=2)
    assert os.listdir(tmp_path) == []
    assert (0.4, "_Stopped") in stopped


def test_an_interrupt_stops_the_meshes_that_are_being_made(halves, tmp_path, monkeypatch):
    def endless(particle, size, boundary_size, progress, *, force, threads):
        while True:
            progress("going round", 0.5)

    def interrupted(futures):
        raise KeyboardInterrupt

    monkeypatch.setattr(convergence, "volume_mesh", endless)
    monkeypatch.setattr(convergence, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ladder(halves, [0.4, 0.3], tmp_path / "meshes", threads=2)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_every_grain_stays_at_every_size(card, tmp_path):
    from cathodegrain.generator.generate import generate_particle

    sparse = {"shell.diameter_um": 3.6, "grains.intensity": 8.4e-5}
    particle = generate_particle(card.with_parameters(sparse), seed=1)
    rungs = ladder(particle, [0.8, 0.4, 0.2], tmp_path / "meshes")
    assert len({r.grains_present for r in rungs}) == 1
    assert all(r.certified for r in rungs)
    assert rungs[-1].mislabelled < rungs[0].mislabelled
