import json
import shlex
import subprocess
import sys
import tomllib

import pytest

from cathodegrain.exporters.datasets.requirements import EXTRAS
from cathodegrain.exporters.products.registry import PRODUCTS
from cathodegrain.generator import requirements
from cathodegrain.generator.errors import CathodegrainError, FitError
from places import ROOT

HASH = "0123456789abcdef0123456789abcdef01234567"


def command(monkeypatch, origin):
    """Arguments of pip for the extra ``mesh`` of an installation with this direct_url.json."""

    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(requirements, "distributions", lambda name: [Installed()])
    python, *words = shlex.split(requirements.install_command("mesh"))
    assert python == sys.executable
    assert words[:3] == ["-m", "pip", "install"]
    return words[3:]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, ["cathodegrain[mesh]"]),
        (
            {"url": "file:///a%20b/c", "dir_info": {"editable": True}},
            ["-e", "/a b/c[mesh]"],
        ),
        ({"url": "file:///home/c", "dir_info": {}}, ["/home/c[mesh]"]),
        (
            {"url": "file:///c-0.2.0-py3-none-any.whl", "archive_info": {}},
            ["cathodegrain[mesh] @ file:///c-0.2.0-py3-none-any.whl"],
        ),
        (
            {"url": "https://example.org/c", "vcs_info": {"vcs": "git", "commit_id": HASH}},
            [f"cathodegrain[mesh] @ git+https://example.org/c@{HASH}"],
        ),
    ],
    ids=["index", "editable", "folder", "wheel", "git"],
)
def test_the_command_installs_from_where_this_installation_came(monkeypatch, origin, expected):
    assert command(monkeypatch, origin) == expected


@pytest.mark.slow
def test_pip_takes_the_command_of_this_installation():
    argv = shlex.split(requirements.install_command("view"))
    assert argv[4:] == ["-e", f"{ROOT}[view]"]
    dry = [*argv[:4], "--dry-run", "--quiet", "--no-deps", *argv[4:]]
    subprocess.run(dry, check=True, timeout=300, stdout=subprocess.DEVNULL)


def test_the_source_folder_s_own_metadata_do_not_hide_where_it_came_from():
    script = (
        "from cathodegrain.generator.requirements import install_command as c; print(c('view'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shlex.split(done.stdout)[4:] == ["-e", f"{ROOT}[view]"]


def test_who_needs_torch_is_warned_of_cuda(monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(CathodegrainError, match="gigabytes of CUDA"):
        requirements.require("torch", "torch", purpose="things")


def test_what_is_missing_is_named_and_nothing_else():
    requirements.require("fit", "json", purpose="things")
    with pytest.raises(FitError, match=r"^things need no_such_one, not installed here: "):
        requirements.require("fit", "json", "no_such_one", purpose="things", error=FitError)
    with pytest.raises(CathodegrainError, match="no_such_one and no_such_two"):
        requirements.require("fit", "no_such_one", "no_such_two", purpose="things")


def test_the_extras_that_messages_name_bring_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [(f.extra, package) for f in PRODUCTS.values() for package in f.requires]
    wanted += [(extra, package) for extra, packages in EXTRAS.items() for package in packages]
    for extra, package in wanted:
        assert any(text.startswith(package) for text in extras[extra]), (extra, package)
