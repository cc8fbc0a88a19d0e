"""The folder of a fit: its plan says what is fitted to what, so that the same fit resumes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...generator.errors import FitError
from ..files.atomic import replacing
from ..files.documents import document_text

NAME = "plan.json"


def open_folder(plan: dict[str, Any], schema: str, folder: Path) -> bool:
    """Make the folder of a fit, or find that it is one of this plan; whether it was there.

    Parameters
    ----------
    plan
        Document of ``schema``: what must be the same.

    Raises
    ------
    FitError
        If it is of another plan, with what differs.
    """
    if not folder.exists():
        folder.mkdir(parents=True)
        with replacing(folder / NAME) as temporary:
            temporary.write_text(document_text(plan, schema), "utf-8")
        return False
    try:
        found = json.loads((folder / NAME).read_text("utf-8"))
        differing = [key for key, value in plan.items() if found.get(key) != value]
    except (OSError, ValueError, AttributeError) as error:
        msg = f"{folder} holds no {NAME} that can be read ({error}); choose another place"
        raise FitError(msg) from error
    if differing:
        msg = (
            f"{folder} holds a fit with other {', '.join(differing)}; choose another place, or "
            "delete that folder to start again"
        )
        raise FitError(msg)
    return True
