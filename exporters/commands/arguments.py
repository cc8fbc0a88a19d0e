"""Parameters of a model on the command line: ``--set NAME=VALUE``."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import Parameter

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


Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for machines.")]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace what is there.")]
DryRun = Annotated[bool, Parameter(negative="", help="Say what would be written; write nothing.")]


def model_name(stem: str) -> str:
    """Name of a model after its file, of the letters that names have."""
    letters = (c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem.lower())
    return "".join(letters).strip("._-")[:64] or "fitted"
