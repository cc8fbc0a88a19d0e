import hashlib
import json
import os
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from cathodegrain.exporters.datasets.reading.access import files_of
from cathodegrain.exporters.datasets.sharing.pack import pack, parsed_bytes, plan, remark
from cathodegrain.generator.errors import CathodegrainError, DatasetError
from small_datasets import contents, make_dataset

LIMIT = 300_000  # bytes: two particles with voxels


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset") / "tiny")


@pytest.fixture(scope="module")
def packed(dataset, tmp_path_factory):
    return pack(dataset, tmp_path_factory.mktemp("packed"), plan(dataset, LIMIT))


@pytest.fixture
def copy(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "copy")


def test_unpacked_into_one_folder_the_shards_are_the_dataset(dataset, packed, tmp_path):
    for path in packed.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
    assert contents(tmp_path) == contents(dataset)


def test_equal_datasets_give_equal_bytes_whatever_their_time_stamps(dataset, packed, tmp_path):
    other = shutil.copytree(dataset, tmp_path / "other")
    for path in other.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o755)
    assert contents(pack(other, tmp_path / "out", plan(other, LIMIT))) == contents(packed)


def test_shards_stay_below_the_limit_and_hold_whole_particles(dataset, packed):
    shards = plan(dataset, LIMIT)
    homes = {}
    for shard in shards:
        assert (packed / shard.name).stat().st_size <= shard.bytes <= LIMIT
        for name in shard.sizes:
            if name.startswith("particles/"):
                homes.setdefault(name.split("/")[2], set()).add(shard.name)
    assert [len(home) for home in homes.values()] == [1, 1, 1, 1]
    assert len(shards) == 3


def test_a_particle_larger_than_the_limit_has_a_shard_of_its_own(dataset):
    shards = [shard for shard in plan(dataset, 1) if shard.name.startswith("particles")]
    assert [len(shard.sizes) for shard in shards] == [4, 4, 4, 3]


def test_the_list_of_shards_has_their_hashes(packed):
    rows = json.loads((packed / "shards.json").read_text("utf-8"))["shards"]
    found = {row["name"]: (row["bytes"], row["sha256"]) for row in rows}
    assert found == {
        path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in packed.glob("*.zip")
    }


def test_members_are_stored_sorted_and_without_time(packed):
    for path in packed.glob("*.zip"):
        members = zipfile.ZipFile(path).infolist()
        assert [m.filename for m in members] == sorted(m.filename for m in members)
        assert {(m.compress_type, m.date_time) for m in members} == {(0, (1980, 1, 1, 0, 0, 0))}


def test_h5py_reads_voxels_inside_a_shard(dataset, packed):
    name = "particles/00/p000001/voxels.vtkhdf"
    with files_of(packed).open(name) as inside, h5py.File(inside) as file:
        with h5py.File(dataset / name) as own:
            np.testing.assert_array_equal(file["grain_id"][:], own["grain_id"][:])
        assert file["grain_id"].chunks


def test_every_file_is_found_and_read_in_part(dataset, packed):
    files = files_of(packed)
    for name, content in contents(dataset).items():
        assert b"".join(files.stream(name)) == content
        assert b"".join(files.stream(name, 3, 20)) == content[3:20]
        assert b"".join(files.stream(name, len(content) - 1)) == content[-1:]
    for name in ("particles/00/p000001/x", "a", "zzz", "particles/00/p000000"):
        with pytest.raises(DatasetError, match="no shard"):
            files.open(name)


def test_packing_again_writes_nothing(dataset, copy):
    before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
    pack(dataset, copy, plan(dataset, LIMIT))
    assert {path: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_an_interrupted_packing_goes_on(dataset, packed, copy):
    kept = copy / "particles-00000.zip"
    before = kept.stat().st_mtime_ns
    for name in ("shards.json", "particles-00001.zip", "README.md"):
        (copy / name).unlink()
    pack(dataset, copy, plan(dataset, LIMIT))
    assert contents(copy) == contents(packed)
    assert kept.stat().st_mtime_ns == before


def test_what_is_there_is_replaced_only_if_asked(dataset, packed, copy):
    path = copy / "particles-00000.zip"
    damaged = path.read_bytes().replace(b"grain_seed", b"grain_feed")
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"particles-00000.zip exists .* --overwrite"):
        pack(dataset, copy, plan(dataset, LIMIT))
    assert path.read_bytes() == damaged
    pack(dataset, copy, plan(dataset, LIMIT), overwrite=True)
    assert contents(copy) == contents(packed)


def test_shards_of_another_packing_go_only_if_asked(dataset, copy):
    few = plan(dataset, 10**9)
    with pytest.raises(DatasetError, match="does not belong to this packing"):
        pack(dataset, copy, few)
    pack(dataset, copy, few, overwrite=True)
    assert sorted(path.name for path in copy.glob("*.zip")) == [shard.name for shard in few]
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds notes.txt"):
        pack(dataset, copy, few, overwrite=True)


def test_a_damaged_dataset_is_not_packed(dataset, tmp_path):
    own = shutil.copytree(dataset, tmp_path / "own")
    recipe = own / "particles/00/p000000/recipe.h5"
    recipe.write_bytes(recipe.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match=r"p000000/recipe.h5 was changed"):
        pack(own, tmp_path / "out", plan(own, LIMIT))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata-00000.zip"]
    recipe.unlink()
    with pytest.raises(DatasetError, match=r"lacks 1 files of its manifest"):
        plan(own, LIMIT)


@pytest.mark.parametrize("text", ["0", "-1GB", "2 GiB", "21GB", "many", "", "1e9", "inf"])
def test_sizes_that_no_shard_can_have_are_refused(text):
    with pytest.raises(DatasetError, match="expected up to 20GB"):
        parsed_bytes(text)


def test_many_shards_are_remarked_on(dataset):
    assert remark(plan(dataset, LIMIT)) is None
    assert "100 files" in remark(plan(dataset, LIMIT) * 40)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def rewritten(copy, change):
    """The first shard of particles written anew, its row in shards.json as well."""
    path = copy / "particles-00000.zip"
    content = members(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            change(info)
            archive.writestr(info, data)
    fields = json.loads((copy / "shards.json").read_text("utf-8"))
    for row in fields["shards"]:
        row["bytes"] = (copy / row["name"]).stat().st_size
    (copy / "shards.json").write_text(json.dumps(fields), "utf-8")


def slip(info):
    info.filename = "../" + info.filename


def absolute(info):
    info.filename = "/" + info.filename


def link(info):
    info.external_attr = 0o120777 << 16


def compressed(info):
    info.compress_type = zipfile.ZIP_DEFLATED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (slip, "'..'"),
        (absolute, "is absolute"),
        (link, "a symbolic link"),
        (compressed, "compressed, expected stored"),
    ],
)
def test_a_malicious_shard_is_refused(copy, change, message):
    rewritten(copy, change)
    with pytest.raises(DatasetError, match=message):
        files_of(copy).open("particles/00/p000000/recipe.h5")


def test_a_shard_whose_directory_lies_about_sizes_is_refused(copy):
    path = copy / "particles-00000.zip"
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = (2**31 - 1).to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="do not fit"):
        files_of(copy).open("particles/00/p000000/recipe.h5")


def test_a_cut_shard_and_a_foreign_list_are_refused(copy):
    path = copy / "particles-00000.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match="no sound ZIP file"):
        files_of(copy).open("particles/00/p000000/recipe.h5")
    fields = json.loads((copy / "shards.json").read_text("utf-8"))
    fields["shards"][0]["name"] = "../../secret.zip"
    (copy / "shards.json").write_text(json.dumps(fields), "utf-8")
    with pytest.raises(CathodegrainError, match=r"shards.0.name: '../../secret.zip'"):
        files_of(copy)
