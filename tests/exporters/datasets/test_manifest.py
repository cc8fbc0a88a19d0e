import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from cathodegrain.exporters.datasets import layout, manifest
from cathodegrain.generator.errors import DatasetError

UNSAFE = [
    "", "/etc/passwd", "../x", "a/../../x", "a/..", ".", "a/./b", "a//b", "a/", "//server/x",
    "a\\b", "..\\x", "C:/x", "c:x", "a/b:c", ":", "a\nb", "a\0b", "a\x7f", "a\u2028b", "a\u202eb",
]  # fmt: skip
SAFE = ["a", "a b/c.d", "particles/00/p000000/recipe.h5", "größe/粒子.txt", "..a", "a..", "-x"]


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_leave_the_folder_or_hide_something_are_refused(name, tmp_path):
    assert layout.name_problem(name)
    with pytest.raises(DatasetError, match="not followed"):
        layout.safe_path(tmp_path, name)


@pytest.mark.parametrize("name", SAFE)
def test_plain_names_are_followed(name, tmp_path):
    assert layout.safe_path(tmp_path, name) == tmp_path / name


@given(st.text(alphabet="./\\aC:\0\n", max_size=8))
def test_a_name_that_is_followed_stays_below_its_folder(name):
    if layout.name_problem(name) is None:
        root = Path("/root/of/data")
        path = Path(layout.safe_path(root, name))
        assert root in path.parents
        assert ".." not in path.parts


@given(st.integers(0, 10**7))
def test_a_particle_is_found_by_its_id(index):
    assert layout.particle_index(layout.particle_id(index)) == index


@pytest.mark.parametrize(
    "name", ["p00", "p-00001", "q000001", "p0000001", "p000001x", "p٠٠٠٠٠١", ""]
)
def test_other_names_are_no_ids(name):
    with pytest.raises(DatasetError, match="expected the form p000007"):
        layout.particle_index(name)


def test_folders_hold_at_most_a_hundred_particles():
    folders = [Path(layout.particle_path(index)).parent for index in range(12_345)]
    assert max(map(folders.count, set(folders[:2000]))) == layout.PARTICLES_PER_FOLDER
    assert len({layout.particle_path(index) for index in range(12_345)}) == 12_345


@pytest.fixture
def tree(tmp_path):
    for name in ("b.txt", "a/with space.txt", "a/größe.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, "utf-8")
    (tmp_path / ".b-0123abcd.tmp.txt").write_text("half")
    (tmp_path / "a/.p000000-0123abcd.tmp").mkdir()
    (tmp_path / "a/.p000000-0123abcd.tmp/recipe.h5").write_text("half")
    return tmp_path


def test_what_is_written_is_read_and_lists_all_but_itself_and_temporary_files(tree):
    entries = manifest.hashes(tree)
    assert list(entries) == ["a/größe.txt", "a/with space.txt", "b.txt"]
    assert entries["b.txt"] == hashlib.sha256(b"b.txt").hexdigest()
    manifest.write(entries, tree)
    assert manifest.read(tree) == entries
    assert manifest.hashes(tree) == entries


def test_sha256sum_reads_it(tree):
    manifest.write(manifest.hashes(tree), tree)
    argv = ["sha256sum", "--strict", "-c", layout.MANIFEST]
    assert subprocess.run(argv, cwd=tree, capture_output=True).returncode == 0
    (tree / "b.txt").write_text("c.txt")
    assert subprocess.run(argv, cwd=tree, capture_output=True).returncode == 1


def test_all_problems_of_a_manifest_are_told_at_once(tmp_path):
    digest = 64 * "0"
    lines = [
        f"{digest}  fine", f"{digest}  ../up", f"{digest[1:]}  short", f"{digest}  fine",
        f"{digest}  C:/x", f"{digest.replace('0', 'A')}  upper", f"{digest} *star", "",
        f"{digest}  carriage\r",
    ]  # fmt: skip
    (tmp_path / layout.MANIFEST).write_bytes("\n".join([*lines, f"{digest}  cut"]).encode())
    with pytest.raises(DatasetError) as caught:
        manifest.read(tmp_path)
    told = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in told[:-1]] == [
        f"line {number}" for number in (2, 3, 4, 5, 6, 7, 8, 9)
    ]
    assert "cut off" in told[-1]


def test_unsafe_names_are_not_written(tmp_path):
    with pytest.raises(DatasetError, match="has the part"):
        manifest.write({"../x": 64 * "0"}, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda path: None, lambda path: path.write_bytes(b"\xff\xfe")])
def test_a_manifest_that_is_missing_or_no_text_is_said(tmp_path, damage):
    damage(tmp_path / layout.MANIFEST)
    with pytest.raises(DatasetError, match="dataset index"):
        manifest.read(tmp_path)
