import os
import subprocess
import sys

import pytest

from cathodegrain.exporters.files import atomic
from cathodegrain.exporters.files.atomic import replacing, replacing_folder
from cathodegrain.generator.errors import ExportError


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "product.txt"
    path.write_text("old")
    return path


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_finished_block_replaces_the_file(old):
    with replacing(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old"  # until the block ends
    assert old.read_text() == "new"
    assert names(old.parent) == ["product.txt"]


def test_a_file_that_was_not_there_appears_whole(tmp_path):
    target = tmp_path / "first.txt"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_failed_block_leaves_the_old_file_and_nothing_else(old, error):
    def fail():
        with replacing(old) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert old.read_text() == "old"
    assert names(old.parent) == ["product.txt"]


def test_the_temporary_file_has_the_same_folder_and_suffix(tmp_path):
    target = tmp_path / "p0.5.vtkhdf"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".vtkhdf"
        assert temporary.name.startswith(".")
        temporary.touch()


def test_two_writers_of_one_file_do_not_meet(old):
    with replacing(old) as one, replacing(old) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert old.read_text() == "one"  # the outer block ends last
    assert names(old.parent) == ["product.txt"]


def test_the_data_reach_the_disk_before_the_name(old, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    with replacing(old) as temporary:
        temporary.write_text("new")
    assert calls[:2] == ["fsync", "replace"]


def test_new_files_have_the_permissions_of_the_user(tmp_path):
    plain, replaced = tmp_path / "plain", tmp_path / "replaced"
    plain.touch()
    with replacing(replaced) as temporary:
        temporary.touch()
    assert replaced.stat().st_mode == plain.stat().st_mode


def test_a_symbolic_link_is_followed(old):
    link = old.with_name("link.txt")
    link.symlink_to(old)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert old.read_text() == "new"


def test_a_full_disk_is_an_export_error_that_names_the_file(old):
    def fill():
        with replacing(old) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match=r"product\.txt cannot be written .*No space left"):
        fill()
    assert old.read_text() == "old"
    assert names(old.parent) == ["product.txt"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(ExportError, match="cannot be written"), replacing(tmp_path / "a"):
        pass


def test_a_missing_folder_is_an_export_error(tmp_path):
    with pytest.raises(ExportError, match="nowhere is not a folder"):
        replacing(tmp_path / "nowhere" / "a").__enter__()


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(ExportError, match="is a folder"):
        replacing(tmp_path).__enter__()


@pytest.fixture
def old_folder(tmp_path):
    folder = tmp_path / "p000000"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return folder


def test_a_finished_folder_replaces_the_older_one(old_folder):
    with replacing_folder(old_folder) as temporary:
        (temporary / "new.txt").write_text("new")
        assert names(old_folder) == ["old.txt"]  # until the block ends
    assert names(old_folder) == ["new.txt"]
    assert names(old_folder.parent) == ["p000000"]


def test_a_folder_that_was_not_there_appears_with_its_parents(tmp_path):
    target = tmp_path / "a" / "b"
    with replacing_folder(target) as temporary:
        (temporary / "new.txt").write_text("new")
        assert not target.exists()
    assert names(target) == ["new.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_folder_and_nothing_else(old_folder, error):
    def fail():
        with replacing_folder(old_folder) as temporary:
            (temporary / "half.txt").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(old_folder) == ["old.txt"]
    assert names(old_folder.parent) == ["p000000"]


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupt_between_the_renames_leaves_the_old_folder(old_folder, monkeypatch, step):
    moves = []

    def rename(source, target):
        moves.append(source)
        if len(moves) == step:
            raise KeyboardInterrupt
        os.rename(source, target)

    def replace():
        with replacing_folder(old_folder) as temporary:
            (temporary / "new.txt").write_text("new")
            monkeypatch.setattr(atomic.Path, "rename", rename)

    with pytest.raises(KeyboardInterrupt):
        replace()
    assert names(old_folder) == ["old.txt"]
    assert names(old_folder.parent) == ["p000000"]


def test_a_folder_left_by_a_killed_process_is_in_nobodys_way(tmp_path):
    killed = replacing_folder(tmp_path / "p000000")
    killed.__enter__()
    with replacing_folder(tmp_path / "p000000") as temporary:
        (temporary / "new.txt").write_text("new")
    assert names(tmp_path / "p000000") == ["new.txt"]


def test_a_file_is_not_replaced_by_a_folder(old):
    with pytest.raises(ExportError, match=r"product\.txt is a file, expected a folder"):
        replacing_folder(old).__enter__()


def test_names_of_ended_processes_of_this_computer_are_abandoned_and_no_others(tmp_path):
    own = atomic.beside(tmp_path / "p000000", "tmp").name
    assert not atomic.is_abandoned(own)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    dead = own.replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    assert atomic.is_abandoned(dead)
    assert atomic.is_abandoned(dead.removesuffix(".tmp") + ".old")
    computer = dead.split("-")[1]
    assert not atomic.is_abandoned(dead.replace(computer, "0123abcd"))
    assert not atomic.is_abandoned(".p000000-0123abcd.tmp")
