import csv
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.datasets import config, layout, manifest
from cathodegrain.exporters.datasets.folder import derived
from cathodegrain.exporters.datasets.making import build
from cathodegrain.exporters.datasets.making.engines import Processes, in_this_process
from cathodegrain.exporters.files.provenance import sha256
from cathodegrain.exporters.particles import metadata
from cathodegrain.exporters.products import particle_folder, voxels
from cathodegrain.generator import requirements
from cathodegrain.generator.errors import DatasetError, ExportError
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.voxels.morphology import grain_morphology
from places import HELPERS
from processes import started
from small_datasets import FAILING, FIELDS, TOML, contents, made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "whole"
    report = made(folder)
    assert (report.made, report.present, report.failed) == (5, 0, ())
    return folder


@pytest.fixture(scope="module")
def expected(whole):
    return contents(whole)


def run(capsys, *argv):
    code = main(["dataset", *map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def command(*argv):
    return [
        sys.executable,
        "-m",
        "cathodegrain.exporters.commands.main",
        "dataset",
        *map(str, argv),
    ]


def test_the_folder_is_laid_out_as_documented(whole):
    names = {name for name in contents(whole) if not name.startswith("particles/")}
    assert names == {
        "dataset.json", "manifest-sha256.txt", "index/particles.parquet", "index/particles.csv",
        "index/grains/part-00.parquet", "index/grains/part-00.csv.gz", "model/model.json",
        "model/nmc811.safetensors", "model/README.md", "schema/dataset-1.0.0.schema.json",
        "schema/failure-1.0.0.schema.json", "schema/model_card-1.0.0.schema.json",
        "schema/particle-1.0.0.schema.json",
        "README.md", "LICENSE", "CITATION.cff", "croissant.json",
    }  # fmt: skip
    inside = {p.name for p in (whole / "particles/00/p000003").iterdir()}
    assert inside == {"particle.json", "recipe.h5", "voxels.vtkhdf", "grain_table.h5"}


def test_particles_are_those_that_generate_makes(whole, tmp_path):
    card = config.from_fields(FIELDS).card
    folder = particle_folder.create(generate_particle(card, 7, 3), tmp_path)
    particle_folder.add(folder, "grain-table", pitch_um=0.1)
    particle_folder.add(folder, "voxels", pitch_um=0.1)
    assert contents(folder) == contents(whole / "particles/00/p000003")


def test_the_manifest_lists_every_file_with_its_hash(whole):
    assert manifest.read(whole) == manifest.hashes(whole)


def test_the_index_says_what_the_files_say(whole):
    table = pd.read_parquet(whole / layout.PARTICLE_INDEX).set_index("particle_id")
    assert list(table.index) == [f"p{k:06d}" for k in range(5)]
    for name, row in table.iterrows():
        folder = whole / row.path
        fields = metadata.read(folder)
        found = voxels.read(folder / "voxels.vtkhdf")
        grains = grain_morphology(found.labels, found.grid, fields["n_grains"])
        there = grains.voxel_count > 0
        diameters = grains.equivalent_diameter_um[there]
        assert fields["id"] == name
        assert row.diameter_um == fields["shell"]["diameter"]["value"]
        assert row.n_grains_without_voxel == (~there).sum()
        assert row.grain_diameter_q50_um == pytest.approx(np.median(diameters))
        assert row.grain_volume_mean_um3 == pytest.approx(grains.volume_um3[there].mean())
        assert row.bytes == sum(p.stat().st_size for p in folder.iterdir())
        assert row.voxels_sha256 == sha256(folder / "voxels.vtkhdf")
        assert row.shell_draws == 1 + sum(fields["provenance"]["shells_rejected"].values())


def test_the_grain_index_has_a_row_for_each_grain(whole):
    table = pd.read_parquet(whole / layout.grain_part_path(0))
    particles = pd.read_parquet(whole / layout.PARTICLE_INDEX).set_index("particle_id")
    assert (table.groupby("particle_id", observed=True).size() == particles.n_grains).all()
    volumes = table.groupby("particle_id", observed=True).volume_um3.sum()
    mean = particles.grain_volume_mean_um3 * (particles.n_grains - particles.n_grains_without_voxel)
    np.testing.assert_allclose(volumes, mean, rtol=1e-5)
    particle = particle_folder.load(whole / "particles/00/p000002")
    seeds = table[table.particle_id == "p000002"][["seed_x_um", "seed_y_um", "seed_z_um"]]
    np.testing.assert_array_equal(seeds, particle.tessellation.seeds.astype(np.float32))


@pytest.mark.parametrize("name", ["particles", "grains"])
def test_csv_and_parquet_hold_the_same(whole, name):
    if name == "particles":
        table = pd.read_parquet(whole / layout.PARTICLE_INDEX)
        text = (whole / layout.PARTICLE_INDEX_CSV).read_text()
    else:
        table = pd.read_parquet(whole / layout.grain_part_path(0))
        text = gzip.decompress((whole / layout.grain_part_path(0, "csv.gz")).read_bytes()).decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == len(table)
    for column in table.columns:
        values = table[column]
        texts = [row[column] for row in rows]
        if values.dtype.kind == "f":
            floats = np.array([float(t) if t else np.nan for t in texts], values.dtype)
            np.testing.assert_array_equal(floats, values)
        elif values.dtype.kind == "b":
            assert texts == [str(bool(v)).lower() for v in values]
        else:
            assert texts == ["" if pd.isna(v) else str(v) for v in values]


def test_a_second_build_does_nothing(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*")}
    report = made(whole)
    assert (report.made, report.present) == (0, 5)
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*")} == before


def test_processes_and_shards_give_the_same_bytes(expected, tmp_path):
    made(tmp_path / "jobs", engine=Processes(2))
    assert contents(tmp_path / "jobs") == expected
    for number in (2, 0, 1):
        made(tmp_path / "shards", shard=build.Shard(number, 3))
    assert main(["dataset", "index", str(tmp_path / "shards"), "--jobs", "1"]) == 0
    assert contents(tmp_path / "shards") == expected


def test_only_what_is_missing_or_damaged_is_made_again(expected, tmp_path):
    made(tmp_path / "d")
    os.remove(tmp_path / "d/particles/00/p000001/voxels.vtkhdf")
    (tmp_path / "d/particles/00/p000002/particle.json").write_text("{")
    os.remove(tmp_path / "d/index/particles.csv")
    (tmp_path / "d/particles/00/.p000003-0123abcd.tmp").mkdir()
    report = made(tmp_path / "d")
    assert (report.made, report.present) == (2, 3)
    assert contents(tmp_path / "d") == expected
    assert not (tmp_path / "d/particles/00/.p000003-0123abcd.tmp").exists()


def test_times_of_files_and_the_clock_do_not_matter(expected, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 4e9)
    made(tmp_path / "d")
    for k, path in enumerate(sorted((tmp_path / "d").rglob("*"))):
        os.utime(path, (1e9 * (k % 5), 1e9 * (k % 3)))
    assert made(tmp_path / "d").present == 5
    assert contents(tmp_path / "d") == expected


def test_paths_and_locale_do_not_matter(expected, tmp_path):
    folder = tmp_path / "größe 粒子 'x'"
    folder.mkdir()
    (folder / "my config.toml").write_text(TOML)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
                   "TZ": "Pacific/Kiritimati"}  # fmt: skip
    for argv in (
        command("build", folder / "my config.toml", "--out", folder / "my data", "--jobs", "2"),
        command("verify", folder / "my data", "--jobs", "1"),
    ):
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=200)
        assert done.returncode == 0, done.stderr
    assert contents(folder / "my data") == expected


def killed_build(tmp_path, name, jobs, after):
    """Folder of a build that was killed, with all of its processes or only the first."""
    (tmp_path / "c.toml").write_text(TOML)
    argv = command("build", tmp_path / "c.toml", "--out", tmp_path / name, "--jobs", jobs)
    with started(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / name).exists() and process.poll() is None:
            time.sleep(0.002)
        time.sleep(after)
    return tmp_path / name


def survive_kills(tmp_path, expected, n, seed):
    """Kill builds at random moments; numbers of particles that were there at each."""
    draw, found = random.Random(seed), []
    for k in range(n):
        jobs = 2 if k % 4 == 3 else 1
        folder = killed_build(tmp_path, f"d{k}", jobs, draw.uniform(0, 3.0 if jobs == 2 else 1.2))
        left = contents(folder)
        assert all(
            left[name] == expected[name]
            for name in left
            if name in expected and name != layout.DATASET
        )
        found.append(sum(name.endswith("/recipe.h5") and "/." not in name for name in left))
        made(folder)
        assert contents(folder) == expected
        assert not [p for p in folder.rglob(".*")]
    return found


def test_a_killed_build_resumes_to_the_same_bytes(expected, tmp_path):
    survive_kills(tmp_path, expected, 5, seed=1)


@pytest.mark.slow
def test_a_build_killed_at_fifty_moments_resumes_to_the_same_bytes(expected, tmp_path):
    found = survive_kills(tmp_path, expected, 50, seed=2)
    assert len(set(found)) >= 4  # moments of all kinds: before, between and after particles


DEADLY = """
import json, os, signal, sys
from pathlib import Path
from cathodegrain.exporters.datasets import config
from cathodegrain.exporters.datasets.making import build
from cathodegrain.exporters.datasets.making.engines import Processes
from small_datasets import FIELDS

class Deadly(build.ParticleTask):  # dies as the system kills what takes too much memory
    def __call__(self, index):
        if (index, sys.argv[2]) == (2, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        outcome = super().__call__(index)
        if (index, outcome.state, sys.argv[2]) == (2, "made", "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

if __name__ == "__main__":
    build.ParticleTask = Deadly
    report = build.build(config.from_fields(FIELDS), Path(sys.argv[1]), Processes(2))
    print(json.dumps([report.made, report.present, [o.index for o in report.failed]]))
"""


def deadly_build(folder, moment):
    """Numbers made and present, and failed particles, if a process dies at the third one."""
    folder.with_name("deadly.py").write_text(DEADLY)
    done = subprocess.run(
        [sys.executable, "deadly.py", str(folder), moment],
        cwd=folder.parent, env=os.environ | {"PYTHONPATH": str(HELPERS)},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_worker_that_dies_costs_one_particle_only(tmp_path):
    assert deadly_build(tmp_path / "d", "before") == [4, 0, [2]]
    assert made(tmp_path / "d").failed == ()
    assert not (tmp_path / "d/failures").exists()


def test_a_particle_whose_worker_dies_before_it_can_answer_was_not_there_before(tmp_path, expected):
    made(tmp_path / "d", {**FIELDS, "count": 2})
    assert deadly_build(tmp_path / "d", "after") == [3, 2, []]
    assert contents(tmp_path / "d") == expected


def test_a_particle_that_is_made_again_was_not_there_before(tmp_path, expected):
    made(tmp_path / "d")
    (tmp_path / "d/particles/00/p000002/voxels.vtkhdf").unlink()
    assert deadly_build(tmp_path / "d", "after") == [1, 4, []]
    assert contents(tmp_path / "d") == expected


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_nothing_half_written(tmp_path, expected, jobs):
    (tmp_path / "c.toml").write_text(TOML.replace("count = 5", "count = 100"))
    argv = command("build", tmp_path / "c.toml", "--out", tmp_path / "d", "--jobs", jobs)
    with started(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("d/particles/00/p000001")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[1].startswith("cathodegrain: interrupted")
    assert process.returncode == 1
    left = contents(tmp_path / "d")
    assert not [name for name in left if "/." in name]
    same = [name for name in expected if name.startswith("particles/") and name in left]
    assert same
    assert all(left[name] == expected[name] for name in same)


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("failing") / "d"
    return folder, made(folder, FAILING)


def test_failures_are_recorded_with_their_reason_and_stop_nothing(failing):
    folder, report = failing
    assert 0 < len(report.failed) < 8
    assert report.made == 8 - len(report.failed)
    for outcome in report.failed:
        fields = json.loads((folder / layout.failure_path(outcome.index)).read_text())
        assert fields["reason"] == outcome.reason
        assert "no voxel centre lies inside" in outcome.reason
    totals = json.loads((folder / "dataset.json").read_text())["contents"]
    assert (totals["particles"], totals["failed"]) == (report.made, len(report.failed))
    assert manifest.read(folder) == manifest.hashes(folder)


def test_failures_are_exit_code_1_and_strict_stops_at_the_first(failing, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(
        'name = "failing"\nmodel = "nmc811"\ncount = 8\n'
        "[parameters]\ngrains.intensity = 0.00005\n[products.voxels]\npitch_um = 6.0\n"
    )
    argv = ["build", tmp_path / "c.toml", "--out", tmp_path / "d", "--jobs", 1, "--json"]
    code, out, _ = run(capsys, *argv)
    assert code == 1
    failures = {str(o.index): o.reason for o in failing[1].failed}
    assert json.loads(out)["failures"] == failures
    assert contents(tmp_path / "d") == contents(failing[0])
    argv[3] = tmp_path / "strict"
    code, out, _ = run(capsys, *argv, "--strict")
    assert code == 1
    assert list(json.loads(out)["failures"]) == [min(failures)]
    assert not (tmp_path / "strict" / layout.MANIFEST).exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": 8}, "config.entropy: 7 there, 8 asked for"),
        ({"model": "nmc-electrode-ct"}, "config.model: nmc811 there, nmc-electrode-ct asked for"),
        ({"parameters": {"shell.diameter_um": 1.3}}, "parameters.shell.diameter_um: 1.2 there"),
        ({"products": {}}, "config.products.voxels"),
        ({"count": 4}, "config.count: 5 there, 4 asked for"),
        ({"count": 6, "seed": 8}, "config.entropy: 7 there, 8 asked for"),
    ],
)
def test_datasets_are_never_mixed(whole, expected, fields, message):
    with pytest.raises(DatasetError) as caught:
        made(whole, {**FIELDS, **fields})
    assert message in str(caught.value)
    assert contents(whole) == expected


def test_a_dataset_can_grow_and_change_its_description(expected, tmp_path):
    made(tmp_path / "d", {**FIELDS, "count": 3, "title": "Three of them"})
    report = made(tmp_path / "d")
    assert (report.made, report.present) == (2, 3)
    assert contents(tmp_path / "d") == expected


def with_document(folder, old, new):
    """Change the text of dataset.json."""
    path = folder / "dataset.json"
    text = path.read_text()
    assert len(re.findall(old, text)) == 1
    path.write_text(re.sub(old, new, text))


def test_a_dataset_of_another_version_with_the_same_draws_is_taken_up(tmp_path):
    made(tmp_path / "d", {**FIELDS, "count": 3})
    with_document(tmp_path / "d", '"cathodegrain [^"]*"', '"cathodegrain 99.0"')
    before = contents(tmp_path / "d")
    report = made(tmp_path / "d", {**FIELDS, "count": 3})
    assert (report.made, report.present) == (0, 3)
    assert contents(tmp_path / "d") == before
    report = made(tmp_path / "d")
    assert (report.made, report.present) == (2, 3)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ('"draws": 99,', "is of draws 99, this program has draws"),
        ("", r"without a number \(version"),
    ],
    ids=["numbered", "0.1.0"],
)
def test_a_dataset_of_other_draws_is_refused(tmp_path, new, message):
    made(tmp_path / "d")
    with_document(tmp_path / "d", r'"draws": \d+,', new)
    with pytest.raises(DatasetError, match=message):
        made(tmp_path / "d")


def test_a_dataset_of_other_draws_has_no_variant(tmp_path):
    made(tmp_path / "d")
    with_document(tmp_path / "d", r'"draws": \d+,', '"draws": 99,')
    with pytest.raises(DatasetError, match="is of draws 99"):
        derived(tmp_path / "d", {"grains.elongation": 1.5})


def test_a_missing_package_of_a_product_is_said_before_anything_is_written(tmp_path, monkeypatch):
    fields = {**FIELDS, "products": {"report": {}}}
    plan = config.from_fields(fields)
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name[0] == "m" else name)
    with pytest.raises(ExportError, match=r"report.* need matplotlib, not installed here"):
        build.build(plan, tmp_path / "d", in_this_process)
    assert list(tmp_path.iterdir()) == []


def test_a_particle_of_another_dataset_is_not_taken(tmp_path):
    made(tmp_path / "a", shard=build.Shard(0, 5))
    other = {**FIELDS, "seed": 8}
    made(tmp_path / "b", other, shard=build.Shard(1, 5))
    (tmp_path / "a/particles").rename(tmp_path / "b/particles/x")
    (tmp_path / "b/particles/x/00/p000000").rename(tmp_path / "b/particles/00/p000000")
    with pytest.raises(DatasetError, match="entropy 7, expected 8"):
        made(tmp_path / "b", other)


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DatasetError, match=r"thesis\.tex but no dataset\.json"):
        made(tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"x"}


@pytest.mark.parametrize("text", ["3", "3/3", "a/b", "-1/2", "1/0", "1/"])
def test_shards_that_cannot_be_are_refused(text):
    with pytest.raises(DatasetError, match="expected i/n"):
        build.Shard.parse(text)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give a CONFIG.toml, or --from"),
        (["c.toml", "--from", "d"], "one of the two"),
        (
            ["c.toml", "--set", "grains.elongation=2"],
            "go with --from; write",
        ),
        (["none.toml"], "cannot be read"),
        (["c.toml", "--jobs", "0"], "jobs is 0, expected 1 or more"),
        (["c.toml", "--executor", "mpi"], "expected slurm or dask://host:port"),
        (["c.toml", "--shard", "5/5"], "expected i/n with i from 0"),
        (["--from", "nowhere", "--set", "grains.elongation=2"], "holds no dataset.json"),
    ],
)
def test_bad_commands_are_one_message_and_exit_code_2(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(TOML)
    code, _, err = run(capsys, "build", *argv, "--out", tmp_path / "out")
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert message in err


def test_a_dry_run_estimates_what_a_build_takes_and_writes_nothing(expected, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(TOML)
    argv = ["build", tmp_path / "c.toml", "--out", tmp_path / "d", "--dry-run", "--json"]
    code, out, _ = run(capsys, *argv)
    rows = json.loads(out)
    assert code == 0
    assert (rows["particles"], rows["sample"]) == (5, 5)
    size = sum(len(data) for name, data in expected.items() if name.startswith("particles/"))
    assert rows["bytes"] == pytest.approx(size, rel=0.01)
    assert rows["core_hours"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ["c.toml"]


@pytest.fixture(scope="module")
def longer(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("derived") / "longer"
    argv = ["--from", whole, "--set", "grains.elongation=1.5", "--out", folder, "--jobs", 1]
    assert main(["dataset", "build", *map(str, argv)]) == 0
    return folder


def test_a_what_if_dataset_is_linked_pair_by_pair(whole, longer):
    parents, children = (
        pd.read_parquet(folder / layout.PARTICLE_INDEX) for folder in (whole, longer)
    )
    pairs = children.merge(parents, left_on="wasDerivedFrom", right_on="particle_id")
    assert len(pairs) == 5
    assert (pairs.diameter_um_x == pairs.diameter_um_y).all()
    assert parents.wasDerivedFrom.isna().all()
    origin = json.loads((longer / "dataset.json").read_text())["config"]["wasDerivedFrom"]
    assert (origin["name"], origin["changes"]) == ("small", {"grains.elongation": 1.5})


def test_a_what_if_dataset_keeps_every_draw(whole, longer):
    for index in range(5):
        name = layout.particle_path(index)
        parent, child = (particle_folder.load(folder / name) for folder in (whole, longer))
        np.testing.assert_array_equal(parent.shell.coefficients, child.shell.coefficients)
        rows = dict(zip(map(tuple, parent.origin), parent.tessellation.seeds, strict=True))
        seeds = zip(map(tuple, child.origin), child.tessellation.seeds, strict=True)
        shared = [(rows[key], seed) for key, seed in seeds if key in rows]
        assert len(shared) > 0.5 * parent.n_grains  # others reach the shell in one of them only
        assert all((mine == own).all() for mine, own in shared)
        assert child.provenance.derivation.parent == parent.id


def test_a_what_if_dataset_resumes_and_lacks_what_its_parent_lacks(failing, tmp_path, capsys):
    argv = ["build", "--from", failing[0], "--set", "grains.offset_scale=0.5", "--out",
            tmp_path / "d", "--jobs", 1, "--json"]  # fmt: skip
    code, out, _ = run(capsys, *argv)
    assert code == 1
    told = json.loads(out)["failures"]
    assert set(told) == {str(outcome.index) for outcome in failing[1].failed}
    assert all("holds no p" in why for why in told.values())
    code, out, _ = run(capsys, *argv)
    assert (code, json.loads(out)["made"]) == (1, 0)
