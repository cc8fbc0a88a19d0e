"""Command ``cathodegrain fit grains``: the grain architecture from sections.

Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..fits.options import BASE_MODEL, TRAINING, TrainingOptions as Options
from .arguments import Json, Overwrite, flag, require_free
from .section_options import SectionOptions, section_rows
from .terminal import cost, progress_bar, tell

if TYPE_CHECKING:
    from ...generator.fitting.grains.evaluation import Evaluation
    from ...generator.fitting.grains.fit import GrainFit
    from ..fits.grains.folder import GrainFitPlan


@Parameter(name="*")
@dataclass(frozen=True)
class TrainingOptions:
    """How nets are trained."""

    config: Annotated[str, Parameter(help="default, or paper: as published; docs/fidelity.md.")] = (
        TRAINING.config
    )
    steps: Annotated[int | None, Parameter(help="Steps of training, if not the usual ones.")] = (
        TRAINING.steps
    )
    planar_steps: Annotated[int, Parameter(help="Steps of the fit of each section.")] = (
        TRAINING.planar_steps
    )
    seeds: Annotated[int, Parameter(help="Nets that are trained; the best is taken.")] = (
        TRAINING.seeds
    )
    seed: Annotated[int, Parameter(help="Seed of the first; the others follow it.")] = TRAINING.seed
    jobs: Annotated[int | None, Parameter(help="Processes; as many as cores if left out.")] = (
        TRAINING.jobs
    )
    device: Annotated[str, Parameter(help="cpu, cuda, cuda:N or auto.")] = TRAINING.device


SECTION_DEFAULTS, DEFAULTS = SectionOptions(), TrainingOptions()


def grains(
    maps: Annotated[list[Path], Parameter(help="EBSD maps or images of labels, one or more.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Model card to write.")] = Path("grains-card.json"),
    name: Annotated[
        str | None, Parameter(help="Name of the model; that of the card's file if left out.")
    ] = None,
    shell: Annotated[str, Parameter(help="Model card that shells are taken from.")] = BASE_MODEL,
    truth: Annotated[
        Path | None,
        Parameter(help="phantom.json of the sections, to compare with their law as well."),
    ] = None,
    sections: SectionOptions = SECTION_DEFAULTS,
    training: TrainingOptions = DEFAULTS,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Read the maps and tell; fit and write nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Fit the grain architecture to sections: a model card with its net, and a report.

    A fit that was stopped goes on where it was when the command is given again.
    """
    from ...generator.model_card import ModelCard
    from ..fits.grains.sections import alignments, read_sections, require_packages
    from ..fits.saving import named

    require_packages(maps)
    from ..fits.grains import fitting  # needs torch

    options, chosen = Options(**asdict(training)), sections.parsed()
    device = fitting.require_usable(options, flag)
    places, model = Places(out), named(name, out, flag)
    base, phantom = ModelCard.load(shell), fitting.phantom_of(truth)
    found = read_sections(maps, chosen, flag)
    verdicts = alignments(found, chosen, flag)
    rows = section_rows(found, verdicts)
    task = fitting.task(found, verdicts, options, phantom, flag)
    rows |= _plan_rows(task.plan, places) | {"device": str(device)}
    if dry_run:
        tell(rows, json_output)
        return
    places.prepare(overwrite)
    started = time.perf_counter()
    result = fitting.fit(
        task, model, base, places.work, progress_bar,
        weights_name=places.weights.name, jobs=options.jobs, device=device,
    )  # fmt: skip
    with progress_bar("report") as show:
        result.save(out, overwrite=overwrite, progress=show)
    rows |= _fit_rows(result.fit, result.evaluation, phantom)
    rows["cost"] = f"{time.perf_counter() - started:.0f} s; this process: {cost(0.0)}"
    tell(rows | places.rows, json_output)


@dataclass(frozen=True)
class Places:
    """What is written beside the card ``out``."""

    out: Path

    @property
    def weights(self) -> Path:
        """The net, of a name that cards may hold."""
        from ..fits.saving import model_name

        return self.out.with_name(f"{model_name(self.out.stem)}.safetensors")

    @property
    def report(self) -> Path:
        """Folder of the report."""
        from ..fits.saving import report_folder

        return report_folder(self.out)

    @property
    def work(self) -> Path:
        """Folder of the fit, from which it goes on."""
        return self.out.with_name(f"{self.out.stem}-fit")

    @property
    def rows(self) -> dict[str, str]:
        """What to look at."""
        return {
            "card": str(self.out),
            "report": str(self.report / "index.html"),
            "folder of the fit": f"{self.work}, can be deleted",
        }

    def prepare(self, overwrite: bool) -> None:
        """Refuse what would be replaced; an old folder of a fit goes only if it may."""
        import shutil

        from ...generator.errors import FitError
        from ..fits.grains.folder import NAME

        require_free([self.out, self.weights, self.report], overwrite)
        if not self.out.parent.is_dir():
            msg = f"{self.out.parent} is not a folder; create it to write {self.out.name} there"
            raise FitError(msg)
        if overwrite and (self.work / NAME).is_file():
            shutil.rmtree(self.work)


def _plan_rows(plan: GrainFitPlan, places: Places) -> dict[str, Any]:
    config = plan.config
    there = ", goes on with what is there" if places.work.exists() else ""
    return {
        "training": f"configuration {config.name}, {config.epochs * config.steps} steps of "
        f"{config.batch} cutouts, seeds {', '.join(map(str, plan.entropies))}{there}",
        "tuning of each seed": f"at most {config.tuning} scores" if config.tuning else "none",
    }


def _fit_rows(fit: GrainFit, evaluation: Evaluation, phantom: str | None) -> dict[str, Any]:
    """What came out, in lines."""
    from ...generator.fitting.sections.phantom import PHANTOMS

    agreement = ", ".join(f"{one.agreement:.1%}" for one in fit.planar)
    truth = f", {PHANTOMS[phantom].intensity:g} in truth" if phantom else ""
    rows: dict[str, Any] = {
        "2D fits": f"{agreement} of the labelled pixels as in the map",
        "runs": [_run_line(fit, k) for k in range(len(fit.runs))],
        "intensity": f"{fit.best.intensity:.4g} seeds per cubic pixel{truth}",
        "grains per area": f"{evaluation.count.generated:.3f} of the reference's",
    }
    found = [("section", one) for one in evaluation.planar]
    for where, one in (*found, *(("space", one) for one in evaluation.spatial)):
        low, high = one.intervals["ks"]
        rows[f"KS in {where}, {one.descriptor.replace('_', ' ')}"] = (
            f"{one.generated.ks:.3f} [{low:.3f}, {high:.3f}], floor {one.floor.ks:.3f}, "
            f"untrained {one.untrained.ks:.3f}; mean {one.generated.mean:.3f}, "
            f"spread {one.generated.spread:.3f} of the reference's"
        )
    return rows


def _run_line(fit: GrainFit, k: int) -> str:
    run, taken = fit.runs[k], ", taken" if k == fit.chosen else ""
    if run.best is None:
        return f"seed {run.seed}: no score ({run.stopped})"
    return (
        f"seed {run.seed}: {run.state.step} steps, best after {run.best.step}, final score "
        f"{fit.final_scores[k]:.3f}{f' ({run.stopped})' if run.stopped else ''}{taken}"
    )
