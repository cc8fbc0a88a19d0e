"""Sweeps as a user makes them: folders, tables, figure; resumed, widened, failed, in the way."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import cathodegrain as cg
from cathodegrain import schemas
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.products.particle_folder import create, load
from cathodegrain.exporters.sweeps import variant_task
from cathodegrain.exporters.sweeps.measures import COLUMNS
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.generate import regenerate
from small_datasets import contents

GRID = {"grains.elongation": [0.8, 1.5]}
IDS = ["p000000", "p000000-elongation-0.8", "p000000-elongation-1.5"]


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variant_task, "PIXELS", 60)
        yield


@pytest.fixture(scope="module")
def parent(tiny_particle, tmp_path_factory):
    return create(tiny_particle, tmp_path_factory.mktemp("parents"))


@pytest.fixture(scope="module")
def finished(parent, tmp_path_factory):
    """A sweep that is not to be changed."""
    return cg.sweep(parent, GRID, out=tmp_path_factory.mktemp("sweeps") / "study", jobs=1)


@pytest.fixture
def study(finished, tmp_path):
    return shutil.copytree(finished.path, tmp_path / "study")


def rows(folder):
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_variants_are_the_regenerated_particle(finished, tiny_particle):
    assert sorted(p.name for p in finished.path.iterdir() if p.is_dir()) == sorted(IDS)
    for name, change in zip(IDS[1:], GRID["grains.elongation"], strict=True):
        expected = regenerate(tiny_particle, {"grains.elongation": change})
        found = load(finished.path / name)
        np.testing.assert_array_equal(found.tessellation.table, expected.tessellation.table)
        assert found.provenance.derivation == expected.provenance.derivation
        assert cg.validate(finished.path / name) == []


def test_tables_say_the_same_with_units_and_meanings(finished):
    document = json.loads((finished.path / "sweep.json").read_text())
    assert schemas.problems(document, "sweep") == []
    assert [row["id"] for row in rows(finished.path)] == IDS
    assert set(document["columns"]) == set(COLUMNS)
    for text, row in zip(rows(finished.path), document["variants"], strict=True):
        assert set(row["measures"]) == set(COLUMNS)
        for name, value in row["measures"].items():
            assert text[name] == ("" if value is None else str(value))
        assert text["grains.elongation"] == str(row["parameters"]["grains.elongation"])
    frame = finished.frame()
    assert list(frame["id"]) == IDS
    assert (frame["boundary_area_per_volume_per_um"] > 0).all()
    assert frame["difference_n_grains"].tolist() == list(frame["n_grains"] - frame["n_grains"][0])


def test_the_figure_shows_every_particle(finished):
    with Image.open(finished.path / "sweep.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape[1] == 1600
    coloured = np.ptp(pixels, axis=2) > 40  # of grains on cuts
    columns = coloured[70:370].any(axis=0)
    edges = np.flatnonzero(np.diff(columns.astype(int)) == 1)
    assert len(edges) >= len(IDS)


def test_the_same_command_does_nothing_twice(study, parent):
    before = contents(study)
    again = cg.sweep(parent, GRID, out=study, jobs=1)
    assert again.counts == {"made": 0, "present": 3, "failed": 0, "pending": 0}
    assert contents(study) == before


def test_a_sweep_is_resumed_and_ends_with_the_same_bytes(study, parent, monkeypatch):
    before = contents(study)
    shutil.rmtree(study / IDS[1])
    shutil.rmtree(study / IDS[2])
    for name in ("csv", "json", "png"):
        (study / f"sweep.{name}").unlink()
    calls = []

    def interrupted(particle):
        calls.append(particle)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(particle)

    whole = variant_task.measured
    monkeypatch.setattr(variant_task, "measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cg.sweep(parent, GRID, out=study, jobs=1)
    assert [row["n_grains"] != "" for row in rows(study)] == [True, True, False]
    monkeypatch.setattr(variant_task, "measured", whole)
    again = cg.sweep(parent, GRID, out=study, jobs=1)
    assert again.counts == {"made": 0, "present": 3, "failed": 0, "pending": 0}
    assert contents(study) == before


def test_a_sweep_is_widened_and_keeps_what_is_there(study, parent):
    before, before_rows = contents(study), {row["id"]: row for row in rows(study)}
    wider = cg.sweep(parent, {"grains.elongation": [0.8, 1.5, 1.1]}, out=study, jobs=1)
    assert wider.counts["made"] == 1
    after = contents(study)
    assert all(after[name] == before[name] for name in before if "/" in name)
    assert len(rows(study)) == 4
    old = [row for row in rows(study) if row["id"] in IDS]
    assert old == [{name: row[name] for name in old[0]} for row in map(before_rows.get, IDS)]


def test_another_sweep_does_not_replace_the_tables_unasked(study, parent):
    before = contents(study)
    with pytest.raises(ExportError, match=r"holds a sweep with p000000-elongation-0\.8, which"):
        cg.sweep(parent, {"grains.elongation": [1.5, 2.0]}, out=study)
    assert contents(study) == before
    cg.sweep(parent, {"grains.elongation": [1.5, 2.0]}, out=study, overwrite=True, jobs=1)
    assert [row["id"] for row in rows(study)] == [*IDS[::2], "p000000-elongation-2.0"]


def test_other_peoples_files_and_particles_stay(tmp_path, parent, card):
    (tmp_path / "sweep.csv").write_text("mine")
    with pytest.raises(ExportError, match=r"sweep\.csv exists and is of no sweep"):
        cg.sweep(parent, GRID, out=tmp_path)
    (tmp_path / "sweep.csv").unlink()
    changes = {"shell.diameter_um": 1.0}
    (other,) = cg.generate_particles(card, seed=8, indices=[0], parameters=changes, device="cpu")
    create(other, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ExportError, match="already holds a different particle"):
        cg.sweep(parent, GRID, out=tmp_path, jobs=1)
    assert contents(tmp_path) == before


def test_a_variant_that_fails_is_told_and_the_others_are_made(parent, tmp_path, capsys):
    """At this roughness the draw of the particle makes no shell."""
    out = tmp_path / "rough"
    line = ["sweep", str(parent), "--set", "shell.roughness=0.9,60", "--out", str(out)]
    assert main([*line, "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "p000000-roughness-60: p000000 cannot be regenerated" in captured.err
    good, bad = rows(out)[1:]
    assert good["error"] == ""
    assert "not star-shaped" in bad["error"]
    assert bad["n_grains"] == ""
    assert not (out / "p000000-roughness-60").exists()
    assert (out / "sweep.png").is_file()
    assert main([*line, "--jobs", "1"]) == 1  # it is tried again
    capsys.readouterr()
    assert main([*line, "--dry-run"]) == 0
    assert "will fail" in capsys.readouterr().out


def test_variants_of_a_base_that_fails_are_not_made(tmp_path, card):
    fields = {"shell.roughness": [60.0], "grains.elongation": [0.8, 1.5]}
    made = cg.sweep(parameters=fields, model=card, seeds=[7], out=tmp_path, jobs=1)
    assert set(made.failed) == set(IDS)
    assert "its base failed" in made.failed[IDS[1]]


def test_a_product_that_fails_is_told_and_its_particle_is_compared(parent, tmp_path):
    made = cg.sweep(
        parent, GRID, out=tmp_path / "study", products="mesh-vtkhdf", size_um=3.0, jobs=1
    )
    assert set(made.failed) == set(IDS)
    assert all("size_um is 3.0, expected" in why for why in made.failed.values())
    assert all(row["n_grains"] and row["error"] for row in rows(tmp_path / "study"))


def test_models_with_the_same_seeds_are_compared(tmp_path):
    made = cg.sweep(
        parameters={"shell.diameter_um": [1.0], "grains.size_um": [0.4, 0.8]},
        model=["nmc811-radial", "nmc811-rods"], seeds=[1], out=tmp_path, jobs=1,
    )  # fmt: skip
    assert len(made.rows) == 6
    assert [row.variant.base for row in made.rows].count("nmc811-rods-s1-p000000") == 3
    assert not made.failed
    assert (tmp_path / "sweep.png").is_file()


def test_processes_make_the_same_bytes(finished, parent, tmp_path):
    made = cg.sweep(parent, GRID, out=tmp_path / "study", jobs=2)
    assert made.counts["made"] == 3
    one, other = contents(tmp_path / "study"), contents(finished.path)
    del one["sweep.png"], other["sweep.png"]  # its pictures are larger
    assert one == other


def test_without_matplotlib_there_are_tables(parent, tmp_path, monkeypatch):
    from cathodegrain.exporters.sweeps import run

    monkeypatch.setattr(run, "missing", lambda *_: ["matplotlib"])
    cg.sweep(parent, {"grains.elongation": [1.5]}, out=tmp_path / "study", jobs=1)
    assert sorted(p.name for p in (tmp_path / "study").glob("sweep.*")) == [
        "sweep.csv", "sweep.json",
    ]  # fmt: skip
