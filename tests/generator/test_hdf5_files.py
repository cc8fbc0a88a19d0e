import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from cathodegrain import open_dataset
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.mesh.reading import read_vtkhdf
from cathodegrain.exporters.particles import recipe
from cathodegrain.exporters.products import grain_table, interfaces, voxels
from cathodegrain.generator.errors import DatasetError, ExportError, RecipeError, VolumeFileError
from cathodegrain.generator.measured.open import read_volume
from small_datasets import make_dataset

SECRET = b"what only the owner of this computer may read"
ELSEWHERE = "expected the data in the HDF5 file itself"
SMALL = ["--set", "shell.diameter_um=1.4", "--set", "grains.intensity=0.002"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a particle with voxels and table of grains, beside a file of secrets."""
    out = tmp_path_factory.mktemp("particles")
    products = ["--export", "voxels,grain-table", "--pitch", "0.2"]
    assert main(["generate", "--seed", "7", "--out", str(out), *SMALL, *products]) == 0
    (out / "secret.txt").write_bytes(SECRET)
    with h5py.File(out / "secret.h5", "w") as file:
        file["numbers"] = np.frombuffer(SECRET, np.uint8)
    return out / "p000000"


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / made.name


def by_external_storage(file, name):
    file.create_dataset(name, (len(SECRET),), "u1", external=[("../secret.txt", 0, len(SECRET))])


def by_external_link(file, name):
    file[name] = h5py.ExternalLink("../secret.h5", "/numbers")


def by_soft_link_through_an_external_one(file, name):
    file["elsewhere"] = h5py.ExternalLink("../secret.h5", "/")
    file[name] = h5py.SoftLink("/elsewhere/numbers")


def by_virtual_dataset(file, name):
    layout = h5py.VirtualLayout((len(SECRET),), "u1")
    layout[:] = h5py.VirtualSource("../secret.h5", "numbers", (len(SECRET),))
    file.create_virtual_dataset(name, layout)


WAYS = [
    by_external_storage,
    by_external_link,
    by_soft_link_through_an_external_one,
    by_virtual_dataset,
]


@pytest.mark.parametrize("put", WAYS)
def test_a_recipe_that_takes_data_from_another_file_is_refused(put, folder, capsys):
    with h5py.File(folder / "recipe.h5", "a") as file:
        put(file, "provenance/weights")
    with pytest.raises(RecipeError, match=ELSEWHERE):
        recipe.read(folder / "recipe.h5")
    argv = ["regenerate", str(folder / "recipe.h5"), "--out", str(folder.parent / "again")]
    assert main([*argv, "--set", "grains.elongation=1.5"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (folder.parent / "again").exists()


@pytest.mark.parametrize("put", WAYS)
def test_a_product_that_takes_data_from_another_file_is_refused(put, folder):
    readers = {voxels.read: "voxels.vtkhdf", grain_table.read: "grain_table.h5"}
    for read, name in readers.items():
        with h5py.File(folder / name, "a") as file:
            put(file, "more")
        with pytest.raises(ExportError, match=ELSEWHERE):
            read(folder / name)
    for read, name in {read_vtkhdf: "mesh.vtkhdf", interfaces.read: "interfaces.nc"}.items():
        with h5py.File(folder / name, "w") as file:
            put(file, "VTKHDF/Points")
        with pytest.raises(ExportError, match=ELSEWHERE):
            read(folder / name)


def test_a_dataset_does_not_read_other_files_for_its_particles(tmp_path):
    dataset = open_dataset(make_dataset(tmp_path / "tiny", 1))
    for path in (tmp_path / "tiny").rglob("p000000/*"):
        if path.name in ("recipe.h5", "voxels.vtkhdf"):
            with h5py.File(path, "a") as file:
                by_external_storage(file, "provenance/weights")
    with pytest.raises(RecipeError, match=ELSEWHERE):
        dataset[0].particle()
    with pytest.raises(DatasetError, match=ELSEWHERE):
        dataset[0].voxels()


def test_a_measured_volume_may_be_linked_but_not_be_a_raw_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frames = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    with h5py.File("frames.h5", "w") as file:
        file["frames"] = frames
        file.create_dataset("raw", (1, 5, 9), "u1", external=[("../secret.txt", 0, 45)])
    layout = h5py.VirtualLayout((3, 4, 5), "u2")
    layout[:] = h5py.VirtualSource("frames.h5", "frames", (3, 4, 5))
    with h5py.File("master.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("frames.h5", "/frames")
        file["raw"] = h5py.ExternalLink("frames.h5", "/raw")
        file.create_virtual_dataset("together", layout)
    for name in ("linked", "together"):
        assert np.array_equal(read_volume("master.h5", dataset=name).values, frames)
    for path in ("master.h5", "frames.h5"):
        with pytest.raises(VolumeFileError, match=r"has its bytes in \.\./secret\.txt"):
            read_volume(path, dataset="raw")


DAMAGE = """
import random, sys
from pathlib import Path
from cathodegrain.exporters.particles import recipe
from cathodegrain.exporters.products import voxels
from cathodegrain.generator.errors import ExportError, RecipeError

source, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
read = recipe.read if source.name == "recipe.h5" else voxels.read
damaged = source.with_name("damaged.h5")
whole = source.read_bytes()
for k in range(rounds):
    draw = random.Random(seed + k)
    data = bytearray(whole)
    for _ in range(draw.choice([1, 3, 30])):
        data[draw.randrange(len(data))] = draw.randrange(256)
    if draw.random() < 0.2:
        del data[draw.randrange(len(data)) :]
    damaged.write_bytes(data)
    try:
        read(damaged)
    except (RecipeError, ExportError):
        pass
    except BaseException as error:
        raise SystemExit(f"{seed + k}: {error!r}") from error
"""


@pytest.mark.parametrize("name", ["recipe.h5", "voxels.vtkhdf"])
def test_damaged_bytes_are_read_or_refused_in_a_sentence(name, folder):
    command = [sys.executable, "-c", DAMAGE, folder / name, "0", "150"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
