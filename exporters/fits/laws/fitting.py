"""From sections to a model card whose grains follow a radial law.

The folder of a fit keeps what it has reached, arrays to the bit, a file for each step: a fit that
was stopped resumes there. ``plan.json`` says what is fitted to what
(``schemas/law_fit_plan-1.0.0.schema.json``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....generator.errors import FitError
from ....generator.fitting.laws.law_card import fitted_card
from ....generator.fitting.laws.law_fit import LawFit, fit_law, planned_sections, require_usable
from ....generator.fitting.laws.law_parameters import GUESS
from ....generator.fitting.laws.moment_fit import NULL, Arrays, Kept, Target
from ....generator.fitting.sections.descriptors import Alignment
from ....generator.fitting.sections.section import Section
from ....generator.fitting.sections.usable import labels_sha256
from ....generator.model_card import ModelCard
from ....generator.progress import Progress, Stages
from ...files.atomic import replacing
from ...files.provenance import generator_name
from .. import saving
from ..options import Spelling
from ..plan_folder import open_folder
from .report import write_report

TIMED = 3  # sections that are simulated to tell how long a fit takes


@dataclass(frozen=True, eq=False, repr=False)
class LawFitResult:
    """A model card with a fitted law of grains, and the fit behind it.

    Parameters
    ----------
    card
        Takes shells and orientations from another card.
    fit
        The law, and how well it is known.
    """

    card: ModelCard
    fit: LawFit

    def __repr__(self) -> str:
        n = sum(section.n_grains for section in self.fit.kept)
        return (
            f"LawFitResult(card {self.card.name!r}: {n} grains in {len(self.fit.kept)} sections, "
            f"{self.card.intensity:.4g} seeds per cubic pixel)"
        )

    def save(
        self, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the card, and a report beside it.

        Returns the path of the card; the report is the folder ``<name of the card>-report``.

        Raises
        ------
        ExportError
            If something is in the way and ``overwrite`` is not set, or a file cannot be written.
        """

        def report(folder: Path) -> Path:
            return write_report(self.fit, folder, overwrite=overwrite, progress=progress)

        return saving.save(self.card, path, report, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class LawTask:
    """What a law is fitted to.

    Parameters
    ----------
    sections, alignments
        All sections, and whether they pass through the centre.
    seed
        Entropy of all random numbers.
    """

    sections: tuple[Section, ...]
    alignments: tuple[Alignment, ...]
    seed: int

    @property
    def plan(self) -> dict[str, Any]:
        """What must be the same for a folder to be resumed."""
        return {
            "schema": "cathodegrain/law_fit_plan",
            "schema_version": "1.0.0",
            "software": generator_name(),
            "sections": [labels_sha256(section) for section in self.sections],
            "central": [verdict.kept for verdict in self.alignments],
            "seed": self.seed,
        }

    @property
    def central(self) -> list[Section]:
        """Sections that are taken to pass through the centre."""
        pairs = zip(self.sections, self.alignments, strict=True)
        return [section for section, verdict in pairs if verdict.kept]

    @property
    def minutes(self) -> float:
        """CPU minutes that the fit takes at most, by the time that a few sections take now."""
        target = Target.of(self.central, [0.0] * len(self.central), self.seed)
        target.simulated(GUESS, NULL, 0)  # compiles
        started = time.process_time()
        for k in range(TIMED):
            target.simulated(GUESS, NULL, k)
        each = (time.process_time() - started) / (TIMED * len(target))
        n = planned_sections(target.effort, len(target), len(self.sections) - len(target))
        return n * each / 60


def task(
    sections: Sequence[Section],
    alignments: Sequence[Alignment],
    seed: int,
    option: Spelling = str,
) -> LawTask:
    """What to do with sections.

    Raises
    ------
    FitError
        If none is kept, or no law can be fitted to the kept ones.
    """
    if seed < 0:
        msg = f"{option('seed')} is {seed}, expected 0 or more"
        raise FitError(msg)
    saving.require_kept(sections, alignments, option)
    found = LawTask(tuple(sections), tuple(alignments), seed)
    require_usable(found.central)
    return found


def fit(task: LawTask, name: str, shell: ModelCard, folder: Path, stages: Stages) -> LawFitResult:
    """Card ``name`` with a fitted law, and the shells of another card.

    Parameters
    ----------
    folder
        Where the fit keeps what it has reached; an earlier one of the same task is resumed.

    Raises
    ------
    FitError
        If the folder holds another fit, or a file in it cannot be read.
    """
    open_folder(task.plan, "law_fit_plan", folder)
    found = fit_law(task.sections, task.alignments, task.seed, kept_in(folder), stages)
    with stages("size of grains") as show:
        show("measured in space", 0.0)
        card = fitted_card(found, shell, name, generator_name())
    return LawFitResult(card, found)


def kept_in(folder: Path) -> Kept:
    """Steps of a fit as files of a folder: those that are there are read, not computed."""

    def kept(name: str, make: Callable[[], Arrays]) -> Arrays:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            _write(path, make())
        return _read(path)

    return kept


def _write(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save

    with replacing(path) as temporary:
        temporary.write_bytes(save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


def _read(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found: dict[str, NDArray[np.float64]] = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        msg = f"{path} cannot be read ({error}); delete it, and it is computed again"
        raise FitError(msg) from error
    return found
