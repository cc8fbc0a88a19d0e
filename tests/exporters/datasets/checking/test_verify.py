import json
import os
import re
import shutil

import h5py
import pandas as pd
import pytest

import cathodegrain as cg
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.datasets import layout, manifest
from cathodegrain.exporters.datasets.checking.verify import LEVELS, verify
from cathodegrain.exporters.datasets.files import LocalFiles
from cathodegrain.exporters.datasets.making.engines import Processes, in_this_process
from cathodegrain.exporters.datasets.sharing.fetch import choose, estimate, fetch
from cathodegrain.exporters.files.provenance import sha256
from cathodegrain.exporters.particles import metadata
from cathodegrain.generator.errors import DatasetError
from cathodegrain.generator.streams import DRAWS
from small_datasets import FIELDS, contents, made

MESHED = {**FIELDS, "count": 3, "products": {**FIELDS["products"], "mesh": {"count": 1, "size_um": 0.25}}}  # fmt: skip  # noqa: E501


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "d"
    made(folder, MESHED)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "d")


def found(folder, level="geometry"):
    return verify(folder, level, in_this_process)


def place(folder, index, name="voxels.vtkhdf"):
    return folder / layout.particle_path(index) / name


def relist(folder, index):
    """Let documents and manifest list a particle's files as they are now."""
    own = folder / layout.particle_path(index)
    fields = json.loads((own / "particle.json").read_text())
    for product in fields["products"]:
        product["bytes"] = (own / product["path"]).stat().st_size
        product["sha256"] = sha256(own / product["path"])
    metadata.write(fields, own)
    manifest.write(manifest.hashes(folder), folder)


def test_a_document_that_cannot_be_read_is_found_to_have_changed_as_well(folder):
    (folder / "particles/00/p000001/particle.json").write_text("{")
    texts = [text for text in found(folder, "hashes") if "p000001" in text]
    assert len(texts) == 2, texts
    assert any(text.endswith("particle.json: changed since it was written") for text in texts)


@pytest.mark.parametrize("level", LEVELS)
def test_a_sound_dataset_is_sound_and_left_as_it_is(whole, level):
    before = contents(whole)
    assert found(whole, level) == []
    assert contents(whole) == before


@pytest.mark.parametrize(
    "name",
    [
        "particles/00/p000001/voxels.vtkhdf", "particles/00/p000000/mesh.msh",
        "particles/00/p000002/recipe.h5", "particles/00/p000001/particle.json",
        "index/grains/part-00.parquet", "index/particles.csv", "model/README.md",
        "schema/particle-1.0.0.schema.json",
    ],
)  # fmt: skip
def test_a_flipped_byte_is_found(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert any(name in line and "changed" in line for line in found(folder, "hashes"))


@pytest.mark.parametrize("level", LEVELS)
def test_missing_extra_and_left_files_are_found(folder, level):
    os.remove(place(folder, 1))
    os.remove(folder / "index/particles.csv")
    place(folder, 2, "notes.txt").write_text("x")
    (folder / "index/.x-0123abcd.tmp").write_text("half")
    told = found(folder, level)
    assert "particles/00/p000001/voxels.vtkhdf: missing" in told
    assert "index/particles.csv: missing" in told
    assert "particles/00/p000002/notes.txt: not in manifest-sha256.txt" in told
    assert any(line.startswith("index/.x-0123abcd.tmp: being written, or left") for line in told)


@pytest.mark.parametrize("level", LEVELS)
def test_a_missing_particle_is_found(folder, level):
    shutil.rmtree(folder / layout.particle_path(1))
    told = found(folder, level)
    assert "particles/00/p000001: missing, and no failure is recorded" in told


def test_a_cut_file_is_found_by_its_size(folder):
    path = place(folder, 1)
    path.write_bytes(path.read_bytes()[:-1])
    (line,) = found(folder, "sizes")
    assert line.startswith("particles/00/p000001/voxels.vtkhdf: ")
    assert "bytes, expected" in line


@pytest.mark.parametrize(("old", "new"), [('"n_grains": ', '"n_grains": 1'), ('"unit": "um"', '"unit": "nm"')])  # fmt: skip  # noqa: E501
def test_an_edited_document_is_found(folder, old, new):
    path = place(folder, 1, "particle.json")
    path.write_text(path.read_text().replace(old, new, 1))
    assert any("p000001" in line for line in found(folder, "hashes"))


def test_an_edited_document_is_found_though_the_manifest_lists_it(folder):
    path = place(folder, 1, "particle.json")
    fields = json.loads(path.read_text())
    fields["n_grains"] += 1
    metadata.write(fields, path.parent)
    manifest.write(manifest.hashes(folder), folder)
    assert found(folder, "hashes") == []
    told = found(folder)
    assert any("n_grains" in line and "the recipe has" in line for line in told)
    assert any("index/particles.parquet" in line and "n_grains" in line for line in told)


@pytest.mark.parametrize("name", ["voxels.vtkhdf", "grain_table.h5", "recipe.h5"])
@pytest.mark.parametrize("listed", [False, True])
def test_swapped_products_are_found(folder, name, listed):
    one, two = place(folder, 1, name), place(folder, 2, name)
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    if listed:
        relist(folder, 1)
        relist(folder, 2)
        assert found(folder, "hashes") == []
    told = found(folder)
    for index in (1, 2):
        assert any(line.startswith(f"particles/00/p00000{index}/{name}: ") for line in told)


def test_labels_that_are_not_the_recipes_are_found(folder):
    with h5py.File(place(folder, 1), "r+") as file:
        labels = file["grain_id"][:]
        middle = labels[len(labels) // 2]
        middle[middle > 0] = middle.max()
        file["grain_id"][:] = labels
    relist(folder, 1)
    told = "\n".join(found(folder))
    assert "voxels of the middle layer have another grain than in the recipe" in told
    assert "grain_voxels are not the numbers of voxels" in told


def test_a_volume_that_is_not_the_shells_is_found(folder):
    with h5py.File(place(folder, 1), "r+") as file:
        labels = file["grain_id"][:]
        labels[: len(labels) // 2 - 1] = 0
        file["grain_id"][:] = labels
    with h5py.File(place(folder, 2, "grain_table.h5"), "r+") as file:
        file["grain_volume"][:] *= 1.5
        file["grain_voxels"][0] += 1
    relist(folder, 1)
    relist(folder, 2)
    told = "\n".join(found(folder))
    assert "p000001/voxels.vtkhdf: its grains fill" in told
    assert "p000002/grain_table.h5: its grains fill" in told
    assert "p000002: voxels.vtkhdf and grain_table.h5 count other voxels" in told


def test_bounds_that_are_not_proven_are_found(folder):
    with h5py.File(place(folder, 1, "recipe.h5"), "r+") as file:
        bounds = file["shell_coefficient"].attrs["radius_bounds"]
        file["shell_coefficient"].attrs["radius_bounds"] = bounds * [1, 1 + 1e-6]
    relist(folder, 1)
    assert found(folder, "hashes") == []
    told = "\n".join(found(folder))
    assert "particles/00/p000001: the recipe has the bounds" in told


def test_a_mesh_of_another_particle_is_found(folder, tmp_path):
    made(tmp_path / "other", {**MESHED, "count": 1, "parameters": {"shell.diameter_um": 1.3}})
    shutil.copy(place(tmp_path / "other", 0, "mesh.msh"), place(folder, 0, "mesh.msh"))
    relist(folder, 0)
    assert any("mesh.msh: its tetrahedra fill" in line for line in found(folder))


def test_a_rewritten_index_is_found(folder, tmp_path):
    made(tmp_path / "other", {**MESHED, "seed": 8, "count": 3, "products": FIELDS["products"]})
    shutil.copy(tmp_path / "other/index/particles.parquet", folder / "index/particles.parquet")
    manifest.write(manifest.hashes(folder), folder)
    assert sum("index/particles.parquet: " in line for line in found(folder, "schema")) >= 3


def test_a_link_is_no_file_of_a_dataset(folder, tmp_path):
    path = place(folder, 1)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert found(folder, "sizes") == [
        "particles/00/p000001/voxels.vtkhdf: a symbolic link, expected a file"
    ]


def test_processes_find_the_same(folder):
    os.remove(place(folder, 1))
    path = place(folder, 2)
    path.write_bytes(path.read_bytes()[:-1])
    assert verify(folder, "geometry", Processes(2)) == found(folder)


def test_the_command_tells_all_and_returns_1(folder, capsys):
    assert main(["dataset", "verify", str(folder), "--jobs", "1"]) == 0
    assert "sound (geometry)" in capsys.readouterr().out
    os.remove(place(folder, 1))
    os.remove(place(folder, 2))
    assert main(["dataset", "verify", str(folder), "--jobs", "1", "--level", "sizes"]) == 1
    err = capsys.readouterr().err
    assert err.count(": missing\n") == 2
    assert main(["dataset", "verify", str(folder), "--jobs", "1", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) >= 2


def test_damaged_documents_of_the_dataset_are_said(folder, tmp_path):
    (folder / layout.MANIFEST).write_text("../x\n")
    assert "expected '<sha256>  <name>'" in found(folder)[0]
    (folder / "model/model.json").write_text("{}")
    assert "model.json" in found(folder)[0]
    with pytest.raises(DatasetError, match=r"holds no dataset\.json"):
        found(tmp_path)
    with pytest.raises(DatasetError, match=r"choose from .*sizes"):
        found(folder, "deep")


def test_an_index_is_the_same_when_it_is_written_again(folder):
    before = contents(folder)
    shutil.rmtree(folder / "index")
    os.remove(folder / layout.MANIFEST)
    assert main(["dataset", "index", str(folder), "--jobs", "1"]) == 0
    assert contents(folder) == before


def test_damaged_particles_are_not_indexed(folder, capsys):
    before = contents(folder)
    for index in (1, 2):
        os.remove(place(folder, index))
    assert main(["dataset", "index", str(folder), "--jobs", "1"]) == 2
    err = capsys.readouterr().err
    assert "p000001 is damaged" in err
    assert "p000002 is damaged" in err
    assert {k: v for k, v in before.items() if "voxels" not in k or "p000000" in k} == contents(
        folder
    )


def test_a_dataset_of_another_version_with_the_same_draws_is_sound(folder):
    names = ["dataset.json", *(f"{layout.particle_path(k)}/particle.json" for k in range(3))]
    for name in names:
        text = (folder / name).read_text()
        assert '"generator": "cathodegrain ' in text
        text = re.sub('"cathodegrain [^"]*"', '"cathodegrain 0.0.1"', text)
        (folder / name).write_text(text)
    manifest.write(manifest.hashes(folder), folder)
    assert found(folder) == []
    assert main(["dataset", "index", str(folder), "--jobs", "1"]) == 0


def test_a_particle_of_other_draws_than_its_dataset_is_found(folder):
    path = folder / layout.particle_path(1) / "particle.json"
    text = path.read_text()
    path.write_text(re.sub(r'"draws": \d+', '"draws": 1', text))
    manifest.write(manifest.hashes(folder), folder)
    (problem,) = found(folder)
    assert f"draws 1, expected {DRAWS}" in problem


def test_a_dataset_of_version_0_1_0_opens_verifies_and_is_fetched_but_has_no_new_index(
    tmp_path, capsys
):
    folder, out = tmp_path / "d", tmp_path / "part"
    table = {"pitch_um": 0.1}
    made(folder, {**FIELDS, "count": 2, "products": {"voxels": table, "grain-table": table}})
    for path in [folder / "dataset.json", *folder.rglob("particle.json")]:
        text = re.sub(r' *"draws": \d+,\n', "", path.read_text())
        path.write_text(text.replace("pitch_um", "spacing_um").replace("grain-table", "grains"))
    index = pd.read_parquet(folder / layout.PARTICLE_INDEX)
    index.columns = index.columns.str.replace("grain_table_", "grains_")
    index["bytes"] = [sum(p.stat().st_size for p in (folder / n).iterdir()) for n in index.path]
    index.to_parquet(folder / layout.PARTICLE_INDEX)
    manifest.write(manifest.hashes(folder), folder)
    before = contents(folder)
    assert found(folder) == []
    assert [one.particle().n_grains for one in cg.open_dataset(folder)] == list(index.n_grains)
    wanted = choose(LocalFiles(folder), select=None, limit=None, products=["grain-table"])
    announced = estimate(wanted)["bytes"]
    fetch(wanted, out)
    assert found(out) == []
    fetched = [path.stat().st_size for path in out.glob("particles/00/*/*")]
    assert (len(fetched), sum(fetched)) == (4, announced)
    assert main(["dataset", "index", str(folder), "--jobs", "1"]) == 2
    assert "draws without a number (version 0.1.0)" in capsys.readouterr().err
    assert contents(folder) == before


def test_parameters_that_are_not_the_models_are_found(folder):
    path = folder / "dataset.json"
    path.write_text(
        path.read_text().replace('"grains.elongation": 1.0', '"grains.elongation": 2.0')
    )
    manifest.write(manifest.hashes(folder), folder)
    assert found(folder) == ["dataset.json: parameters are not those of model/model.json"]
