"""Arguments that several commands share, ``--set NAME=VALUE`` among them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from ...generator import devices

Set = Annotated[
    list[str] | None,
    Parameter(name="--set", negative="", help="Parameter of the model, NAME=VALUE; repeatable."),
]


def assignments(settings: list[str] | None) -> dict[str, Any]:
    """Values of --set NAME=VALUE; a value is JSON if it can be, else text.

    Examples
    --------
    >>> assignments(["grains.elongation=1.5", "grains.metric=squared"])
    {'grains.elongation': 1.5, 'grains.metric': 'squared'}
    """
    from ...generator.errors import ModelCardError

    changes = {}
    for setting in settings or []:
        name, sign, text = setting.partition("=")
        if not sign:
            msg = f"--set {setting!r}: expected NAME=VALUE, for example grains.intensity=0.001"
            raise ModelCardError(msg)
        try:
            changes[name.strip()] = json.loads(text)
        except (ValueError, RecursionError):
            changes[name.strip()] = text.strip()
    return changes


def value_lists(settings: list[str] | None) -> dict[str, list[Any]]:
    """Values of --set NAME=VALUE,VALUE,...; each is JSON if it can be, else text.

    Examples
    --------
    >>> value_lists(["grains.size_um=0.2,0.5", "grains.metric=norm,squared"])
    {'grains.size_um': [0.2, 0.5], 'grains.metric': ['norm', 'squared']}
    """
    from ...generator.errors import ModelCardError

    found: dict[str, list[Any]] = {}
    for setting in settings or []:
        name, sign, text = setting.partition("=")
        parts = [part.strip() for part in text.split(",")]
        if not sign or not all(parts):
            msg = f"--set {setting!r}: expected NAME=VALUE,VALUE,..., as grains.size_um=0.2,0.5"
            raise ModelCardError(msg)
        if name.strip() in found:
            msg = f"--set {name.strip()} is given twice; give all of its values at once"
            raise ModelCardError(msg)
        found[name.strip()] = [assignments([f"{name}={part}"])[name.strip()] for part in parts]
    return found


Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for machines.")]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace what is there.")]
DryRun = Annotated[bool, Parameter(negative="", help="Say what would be written; write nothing.")]
Device = Annotated[
    str, Parameter(help="Where grains and voxels are computed, alike: cpu, cuda, cuda:N or auto.")
]
REPLACED = "choose another --out, or --overwrite to replace"


def require_free(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse to replace what is there without ``--overwrite``."""
    from ..files.atomic import require_free as required

    required(paths, overwrite, REPLACED)


def usable(name: str) -> devices.Device:
    """The device that --device names.

    Raises
    ------
    DeviceError
        If it is not there or not usable.
    """
    from ...generator.devices import device_named
    from ...generator.errors import DeviceError

    try:
        return device_named(name)
    except DeviceError as error:
        msg = f"--{error}"
        raise DeviceError(msg) from error


def flag(parameter: str) -> str:
    """Option of a command for a parameter of the Python function.

    Examples
    --------
    >>> flag("voxel_um"), flag("planar_steps")
    ('--voxel', '--planar-steps')
    """
    return f"--{parameter.removesuffix('_um').replace('_', '-')}"
