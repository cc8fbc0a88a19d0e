import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cathodegrain.generator.kernel_cache import find_place
from permissions import bound
from places import ROOT

PACKAGES = ("schemas", "generator", "exporters")  # folders; api/ is the package itself
KERNEL = """
import numpy as np
import cathodegrain.exporters.meshing.lattice
from cathodegrain.generator.voxels import moment_kernels as kernels
kernels.add_moments(np.zeros((1, 1, 2), np.int32), 0, np.zeros((2, 10)))
print(kernels.__file__)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="caches are the user's own there")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Package folder of another account, no home, and a folder for temporary files."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # which numba takes for unset
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Path("/dev/null/package")


def chosen(package):
    find_place(package)
    return os.environ["NUMBA_CACHE_DIR"]


def test_nothing_is_set_where_numba_has_a_place(nowhere, tmp_path, monkeypatch):
    assert chosen(tmp_path / "package") == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not-made-yet"))
    assert chosen(nowhere) == ""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    assert chosen(nowhere) == "mine"
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_it_is_the_same_folder_of_the_user_each_time(nowhere, monkeypatch):
    first = chosen(nowhere)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    assert chosen(nowhere) == first
    assert stat.S_IMODE(os.stat(first).st_mode) == 0o700


@pytest.mark.parametrize("trap", ["open to others", "a link", "a file"])
def test_a_folder_that_others_may_write_is_not_used(trap, nowhere, tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir(mode=0o700)
    place = Path(chosen(nowhere))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    if trap == "open to others":
        place.chmod(0o770)
    else:
        place.rmdir()
        place.symlink_to(tmp_path / "theirs") if trap == "a link" else place.touch(0o600)
    other = Path(chosen(nowhere))
    assert other not in (place, tmp_path / "theirs")
    assert other.parent == tmp_path
    assert stat.S_IMODE(other.stat().st_mode) == 0o700


def test_an_account_without_home_compiles_kernels_of_a_package_of_another(tmp_path):
    package = tmp_path / "site/cathodegrain"
    shutil.copytree(ROOT / "api", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKAGES:
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [path for path in package.rglob("*") if path.is_dir()]:
        folder.chmod(0o555)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    places = {"HOME": "/dev/null", "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": "", "TMPDIR": temporary}
    environment = places | {"PYTHONPATH": package.parent}
    command = [*bound(), sys.executable, "-c", KERNEL]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert Path(done.stdout.strip()).is_relative_to(package)
    assert list(temporary.glob("cathodegrain-kernels-*/*/moment_kernels.add_moments-*.nbi"))
