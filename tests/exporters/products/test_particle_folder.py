"""Folders of particles under commands at the same time, kills, and other people's files."""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.files import lock
from cathodegrain.exporters.particles import metadata, recipe
from cathodegrain.exporters.products import particle_folder, validation
from cathodegrain.generator.errors import ExportError

COMMAND = [sys.executable, "-m", "cathodegrain"]


@pytest.fixture
def folder(tiny_particle, tmp_path):
    return particle_folder.create(tiny_particle, tmp_path)


def formats(folder):
    return {product["format"] for product in metadata.read(folder)["products"]}


def started(folder, *words):
    return subprocess.Popen(
        [*COMMAND, "export", folder, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def test_exports_at_once_into_one_folder_are_all_listed(folder):
    products = ("voxels", "voxels-vti", "report", "grain-table")
    running = [started(folder, "--to", product) for product in products]
    for process in running:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error.decode()
    assert formats(folder) == {"recipe", *products}
    assert validation.problems(folder) == []


def test_the_same_product_twice_at_once_is_one_product(folder):
    running = [started(folder, "--to", "voxels") for _ in range(3)]
    for process in running:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error.decode()
    assert validation.problems(folder) == []


def test_after_any_kill_the_command_can_be_given_again(folder):
    rng = random.Random(7)
    begun = time.monotonic()
    first = started(folder, "--to", "voxels", "--pitch", "0.05")
    first.communicate(timeout=300)
    assert first.returncode == 0
    took = time.monotonic() - begun
    for k in range(6):
        process = started(folder, "--to", "voxels,grain-table", "--pitch", f"{0.05 + 0.01 * k:.2f}",
                          "--overwrite")  # fmt: skip
        time.sleep(rng.uniform(0.3, 1.1) * took)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    again = ["export", str(folder), "--to", "voxels,grain-table", "--pitch", "0.07", "--overwrite"]
    assert main(again) == 0
    assert validation.problems(folder) == []


HOLD = """
import sys, time
from cathodegrain.exporters.files.lock import locked
with locked(sys.argv[1], beside=True):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_locked_folder_is_refused_with_the_name_of_the_process(folder, monkeypatch, capsys):
    monkeypatch.setattr(lock, "WAIT_S", 0.5)
    before = sorted(folder.rglob("*"))
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        code, error = main(["export", str(folder), "--to", "voxels"]), capsys.readouterr().err
        holder.kill()
        assert code == 2
        assert f"is being changed by process {holder.pid} on " in error
        assert "waited 0.5 s" in error
    assert sorted(folder.rglob("*")) == before
    assert main(["export", str(folder), "--to", "voxels"]) == 0  # the lock ended with its process


def test_a_product_that_another_command_wrote_otherwise_is_not_overwritten(folder):
    with particle_folder.opened(folder) as first:
        first.write("voxels", {"pitch_um": 0.1})
        particle_folder.add(folder, "voxels", pitch_um=0.2)
        with pytest.raises(Exception, match="by another command meanwhile"):
            first.close()
        first._staged.clear()
    (voxels,) = [p for p in metadata.read(folder)["products"] if p["format"] == "voxels"]
    assert voxels["options"] == {"pitch_um": 0.2}
    assert validation.problems(folder) == []


def test_a_product_that_is_not_listed_is_reported(folder, capsys):
    (folder / "mesh.msh").write_bytes(b"of somebody")
    (folder / "notes.txt").write_text("a user's own")
    (problem,) = validation.problems(folder)
    assert problem.startswith("mesh.msh: a product that particle.json does not list")
    (folder / "mesh.msh").unlink()
    capsys.readouterr()
    assert main(["validate", str(folder)]) == 0
    assert "notes.txt: not listed, left alone" in capsys.readouterr().out


def test_a_folder_of_version_0_1_0_opens_under_the_names_of_today(folder):
    particle_folder.add(folder, "voxels", pitch_um=0.1)
    path = folder / metadata.NAME
    path.write_text(path.read_text().replace('"pitch_um"', '"spacing_um"'))
    old = json.loads(path.read_text())
    assert old["products"][1]["options"] == {"spacing_um": 0.1}
    assert validation.problems(folder) == []
    before = (folder / "voxels.vtkhdf").stat().st_mtime_ns
    particle_folder.add(folder, "voxels", pitch_um=0.1)  # as asked: it stays
    assert (folder / "voxels.vtkhdf").stat().st_mtime_ns == before


def test_of_two_particles_for_one_new_folder_one_is_made_and_the_other_refused(
    tiny_particle, small_particle, tmp_path, monkeypatch
):
    fill = particle_folder.fill

    def slow(particle, folder):  # while another command makes the same folder
        monkeypatch.setattr(particle_folder, "fill", fill)
        particle_folder.create(tiny_particle, tmp_path)
        fill(particle, folder)

    monkeypatch.setattr(particle_folder, "fill", slow)
    folder = particle_folder.create(tiny_particle, tmp_path)
    assert particle_folder.holds(folder, tiny_particle)
    shutil.rmtree(folder)
    monkeypatch.setattr(particle_folder, "fill", slow)
    with pytest.raises(ExportError, match="different particle"):
        particle_folder.create(small_particle, tmp_path)
    assert particle_folder.holds(folder, tiny_particle)
    assert list(tmp_path.iterdir()) == [folder]


LOCK_AS_NOBODY = """
import os, sys
from cathodegrain.exporters.files.lock import locked
with locked(sys.argv[1], beside=True):  # imports what only root may read
    pass
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
with locked(sys.argv[2], beside=True):
    print(os.listdir(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no rights of this kind there")
def test_a_folder_of_which_only_itself_is_writable_can_be_locked(tmp_path):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "p000000")
        folder.mkdir()
        folder.chmod(0o777)
        Path(place).chmod(0o555)
        words = [sys.executable, "-c", LOCK_AS_NOBODY, tmp_path, folder]
        done = subprocess.run(words, capture_output=True, text=True)
        Path(place).chmod(0o755)
        assert (done.returncode, done.stdout) == (0, "['.lock']\n"), done.stderr
        assert not list(folder.iterdir())


def test_a_lock_that_was_released_leaves_no_file(folder):
    assert main(["export", str(folder), "--to", "voxels"]) == 0
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_one_command_opens_the_folder_once_and_takes_each_hash_once(folder, monkeypatch):
    assert main(["export", str(folder), "--to", "voxels"]) == 0
    read, hashed, drawn = [], [], []
    seen = {metadata: ("read", read), particle_folder: ("sha256", hashed), recipe: ("read", drawn)}
    for module, (name, calls) in seen.items():
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, f=original, calls=calls: calls.append(given) or f(*given)
        )
    assert main(["export", str(folder), "--to", "grain-table,report,voxels-vti"]) == 0
    assert len(read) == 2  # at the beginning, and under the lock
    assert len(drawn) == 1
    assert [path.name for (path,) in hashed] == ["recipe.h5"]
