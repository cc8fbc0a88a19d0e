"""From sections to a model card with their grains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ....generator.devices import CPU, Device, device_named
from ....generator.errors import DeviceError, FitError, suggestion
from ....generator.fitting.grains.evaluation import (
    Evaluation,
    against_sections,
    against_truth,
)
from ....generator.fitting.grains.fit import GrainFit, farthest, fitted_card, require_fittable
from ....generator.fitting.grains.planar_fit import PlanarFitSettings
from ....generator.fitting.grains.run import final_score
from ....generator.fitting.grains.training import CONFIGS, TrainingConfig
from ....generator.fitting.sections.descriptors import Alignment, mean_radius
from ....generator.fitting.sections.phantom import PHANTOMS
from ....generator.fitting.sections.section import Section
from ....generator.machine import usable_cores
from ....generator.model_card import ModelCard
from ....generator.progress import Progress, Stages
from ...files.documents import read_document
from ...files.provenance import generator_name
from .. import saving
from ..options import Spelling, TrainingOptions
from .folder import GrainFitPlan, open_folder, planar_fits, trained
from .report import write_report


@dataclass(frozen=True, eq=False, repr=False)
class GrainFitResult:
    """A model card with fitted grains, and the fit behind it.

    Parameters
    ----------
    card
        With its weights in memory; takes shells from another card, and orientations unless the
        sections have crystals.
    fit
        Sections, runs, and the best of them.
    evaluation
        How far generated grains are from the measured ones.
    phantom
        Name of the phantom that the sections are of, if they are not measured.
    """

    card: ModelCard
    fit: GrainFit
    evaluation: Evaluation
    phantom: str | None = None

    def __repr__(self) -> str:
        n = sum(section.n_grains for section in self.fit.kept)
        return (
            f"GrainFitResult(card {self.card.name!r}: {n} grains in {len(self.fit.kept)} sections, "
            f"{self.card.intensity:.4g} seeds per cubic pixel)"
        )

    def save(
        self, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the card, its weights and a report beside it.

        Returns the path of the card; the report is the folder ``<name of the card>-report``.

        Raises
        ------
        ExportError
            If something is in the way and ``overwrite`` is not set, or a file cannot be written.
        """

        def report(folder: Path) -> Path:
            return write_report(
                self.fit, self.evaluation, folder, overwrite=overwrite, progress=progress
            )

        return saving.save(self.card, path, report, overwrite=overwrite)


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What is fitted to what.

    Parameters
    ----------
    sections, alignments
        All sections, and whether they are kept.
    plan
        How the kept ones are fitted.
    phantom
        Name of the phantom that they are of, if they are not measured.
    """

    sections: tuple[Section, ...]
    alignments: tuple[Alignment, ...]
    plan: GrainFitPlan
    phantom: str | None


def require_usable(options: TrainingOptions, option: Spelling = str) -> Device:
    """Device to train on.

    Raises
    ------
    FitError
        Before anything is read, if something would end a fit that has begun; with all reasons.
    """
    problems, device = [], CPU
    if not 1 <= options.seeds <= 100:
        problems.append(f"{option('seeds')} is {options.seeds}, expected 1 to 100 nets")
    for name, least in {"steps": 1, "planar_steps": 1, "jobs": 1, "seed": 0}.items():
        value = getattr(options, name)
        if value is not None and value < least:
            problems.append(f"{option(name)} is {value}, expected {least} or more")
    try:
        device = device_named(options.device, kernels=False)
    except DeviceError as error:
        problems.append(str(error).replace("device", option("device"), 1))
    if problems:
        msg = "; ".join(problems)
        raise FitError(msg)
    return device


def phantom_of(path: str | Path | None) -> str | None:
    """Name of the phantom that the document ``path`` describes."""
    if path is None:
        return None
    name: str = read_document(path, "phantom")["name"]
    if name not in PHANTOMS:
        msg = f"{path} is of the phantom {name!r}, expected one of {sorted(PHANTOMS)}"
        raise FitError(msg)
    return name


def task(
    sections: Sequence[Section],
    alignments: Sequence[Alignment],
    options: TrainingOptions,
    phantom: str | None,
    option: Spelling = str,
) -> Task:
    """What to do with sections.

    Raises
    ------
    FitError
        If none is kept, no model can be fitted to the kept ones, or there is no such
        configuration.
    """
    saving.require_kept(sections, alignments, option)
    kept = [section for section, v in zip(sections, alignments, strict=True) if v.kept]
    require_fittable(kept)
    plan = GrainFitPlan(
        sections=tuple(kept),
        planar=PlanarFitSettings(steps=options.planar_steps),
        config=_config(options, farthest(kept), mean_radius(kept)),
        entropies=tuple(range(options.seed, options.seed + options.seeds)),
    )
    return Task(sections=tuple(sections), alignments=tuple(alignments), plan=plan, phantom=phantom)


def _config(options: TrainingOptions, farthest: float, radius: float) -> TrainingConfig:
    if options.config not in CONFIGS:
        meant = suggestion(options.config, sorted(CONFIGS))
        msg = f"unknown configuration {options.config!r}; {meant}"
        raise FitError(msg)
    config = replace(CONFIGS[options.config], farthest=farthest, radius=radius)
    if options.steps is None:
        return config
    epochs = max(1, round(options.steps / config.steps))
    return replace(config, epochs=epochs, steps=-(-options.steps // epochs))


def fit(
    task: Task,
    name: str,
    shell: ModelCard,
    folder: Path,
    stages: Stages,
    *,
    weights_name: str | None = None,
    jobs: int | None = None,
    device: Device = CPU,
) -> GrainFitResult:
    """Card ``name`` with fitted grains, and the shells of another card.

    Parameters
    ----------
    folder
        Where the fit keeps what it has reached; an earlier one of the same task is resumed.
    weights_name
        Of the file that weights are saved in, if not after the card.
    jobs
        Processes; as many as cores if left out.
    device
        That nets are trained on: a fit that was begun on another one is resumed.

    Raises
    ------
    FitError
        If the folder holds another fit, or no run comes to a score.
    """
    found = _fitted(task, folder, jobs or usable_cores(), device, stages)
    evaluation = _evaluated(found, task, stages)
    card = fitted_card(
        found, evaluation, shell, name, task.phantom, generator_name(),
        weights_name or f"{name}.safetensors",
    )  # fmt: skip
    return GrainFitResult(card, found, evaluation, task.phantom)


def _fitted(task: Task, folder: Path, jobs: int, device: Device, stages: Stages) -> GrainFit:
    plan = task.plan
    open_folder(plan, folder)
    with stages("sections") as show:
        planar = planar_fits(plan, folder, jobs, show)
    with stages("training") as show:
        show(f"on {device}", 0.0)
        runs = trained(plan, folder, planar, jobs, device.name, show)
    scores = [
        final_score(run.best, plan.sections, plan.entropies[0]) if run.best else float("inf")
        for run in runs
    ]
    return GrainFit(
        sections=task.sections,
        alignments=task.alignments,
        planar_settings=plan.planar,
        planar=planar,
        runs=runs,
        final_scores=tuple(scores),
    )


def _evaluated(fit: GrainFit, task: Task, stages: Stages) -> Evaluation:
    seed = task.plan.entropies[0]
    with stages("comparison") as show:
        if task.phantom is None:
            return against_sections(fit.model, fit.untrained, fit.kept, seed, show)
        return against_truth(fit.model, fit.untrained, PHANTOMS[task.phantom], seed, show)
