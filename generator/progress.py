"""How long work reports what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

Progress = Callable[[str, float], None]  # (what is being done, part of the work that is done)


def quiet(message: str, part: float) -> None:
    """No progress is shown."""


Stages = Callable[[str], AbstractContextManager[Progress]]  # name of a stage -> its own progress


def stages(progress: Progress | None) -> Stages:
    """Stages that all report to one function, with their names before what they report.

    Examples
    --------
    >>> with stages(print)("fit") as show:
    ...     show("law of degree 0", 0.5)
    fit: law of degree 0 0.5
    """

    @contextmanager
    def stage(name: str) -> Iterator[Progress]:
        yield quiet if progress is None else lambda text, part: progress(f"{name}: {text}", part)

    return stage


@dataclass(frozen=True)
class Step:
    """What one step did: its name, components after it, and what happened, in words."""

    name: str
    n_components: int
    remark: str
