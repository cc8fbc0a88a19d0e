"""Optional packages: which are missing, and the command that brings them to this installation."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from urllib.parse import urlsplit

from .errors import CathodegrainError

CUDA = "On Linux that brings gigabytes of CUDA; README, Installing parts, has torch without it"


def missing(*packages: str) -> list[str]:
    """Those of ``packages`` that cannot be imported."""
    return [package for package in packages if find_spec(package) is None]


def require(
    extra: str,
    *packages: str,
    purpose: str,
    error: type[CathodegrainError] = CathodegrainError,
) -> None:
    """Raise ``error`` unless all ``packages``, which ``extra`` brings, can be imported.

    ``purpose`` says in the plural what needs them.
    """
    if absent := missing(*packages):
        msg = f"{purpose} need {' and '.join(absent)}, not installed here: {install_command(extra)}"
        if "torch" in absent:
            msg += f". {CUDA}"
        raise error(msg)


def install_command(extra: str) -> str:
    """Command that installs an extra into this environment, from where cathodegrain came."""
    pip = [sys.executable, "-m", "pip", "install"]
    return shlex.join([*pip, *_requirement(extra)])


def _requirement(extra: str) -> list[str]:
    """Arguments of pip: the folder or address of this installation (PEP 610), else our name."""
    from urllib.request import url2pathname

    name = f"cathodegrain[{extra}]"
    found = distributions(name="cathodegrain")  # egg-info in a source folder has no origin
    text = next(filter(None, (one.read_text("direct_url.json") for one in found)), None)
    if text is None:
        return [name]
    origin = json.loads(text)
    url = origin["url"]
    if "dir_info" in origin:
        folder = f"{url2pathname(urlsplit(url).path)}[{extra}]"
        return ["-e", folder] if origin["dir_info"].get("editable") else [folder]
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return [f"{name} @ {url}"]
