"""What a fit leaves: a model card, its weights, and a report beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...generator.errors import FitError
from ...generator.fitting.sections.descriptors import Alignment
from ...generator.fitting.sections.section import Section
from ...generator.model_card import ModelCard
from ..files.atomic import require_free
from .options import Spelling


def model_name(stem: str) -> str:
    """Name of a model after its file, of the letters that names have.

    Examples
    --------
    >>> model_name("My scan")
    'my-scan'
    """
    letters = (c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem.lower())
    return "".join(letters).strip("._-")[:64] or "fitted"


def named(name: str | None, path: str | Path, option: Spelling = str) -> str:
    """The name of a model if one is given, else one after the file ``path``.

    Raises
    ------
    FitError
        If it is one that cards cannot hold.
    """
    if name is not None and name != model_name(name):
        msg = (
            f"{option('name')} is {name!r}, expected up to 64 small letters, digits, '.', '_' and "
            f"'-', as {model_name(name)}"
        )
        raise FitError(msg)
    return name or model_name(Path(path).stem)


def require_kept(
    sections: Sequence[Section], alignments: Sequence[Alignment], option: Spelling = str
) -> None:
    """Refuse sections of which none is kept, with the reasons."""
    if any(verdict.kept for verdict in alignments):
        return
    pairs = zip(sections, alignments, strict=True)
    reasons = "\n  ".join(f"{section.source} {verdict.sentence}" for section, verdict in pairs)
    tests = [option(name) for name in ("level", "least_alignment", "all_sections")]
    msg = (
        f"no section is kept:\n  {reasons}\nexpected sections through the centre of particles "
        f"with radial grains; {', '.join(tests[:-1])} and {tests[-1]} set the test"
    )
    raise FitError(msg)


def report_folder(path: str | Path) -> Path:
    """Folder of the report that lies beside a card."""
    return Path(path).with_name(f"{Path(path).stem}-report")


def in_the_way(card: ModelCard, path: str | Path) -> list[Path]:
    """What is there and would be replaced if a fit were saved."""
    found = [*card.changed_files(path), report_folder(path)]
    return [one for one in found if one.exists()]


def save(
    card: ModelCard,
    path: str | Path,
    write_report: Callable[[Path], object],
    *,
    overwrite: bool,
) -> Path:
    """Write report, weights and card, which names the others and is the last; its path."""
    require_free(in_the_way(card, path), overwrite)
    write_report(report_folder(path))
    return card.save(path, overwrite=overwrite)
