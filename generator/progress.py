"""How long work reports what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str, float], None]  # (what is being done, part of the work that is done)


def quiet(message: str, part: float) -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class Step:
    """What one step did: its name, components after it, and what happened, in words."""

    name: str
    n_components: int
    remark: str
