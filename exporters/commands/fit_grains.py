"""Command ``cathodegrain fit grains``: the grain architecture from sections.

Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..console.arguments import Json, Overwrite, flag, require_free
from ..console.terminal import cost, progress_bar, tell
from ..fits.options import (
    BASE_MODEL,
    FAMILIES,
    TRAINING,
    TrainingOptions as Options,
    family_of,
)
from .section_options import SectionOptions, section_rows

if TYPE_CHECKING:
    from ...generator.fitting.grains.comparison import BinComparison
    from ...generator.fitting.grains.evaluation import Evaluation
    from ...generator.fitting.grains.fit import GrainFit
    from ...generator.fitting.laws.law_fit import LawFit
    from ...generator.fitting.sections.descriptors import Alignment
    from ...generator.fitting.sections.section import Section
    from ...generator.model_card import ModelCard
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
    family: Annotated[
        str,
        Parameter(
            help="law: a law of the distance from the centre, in minutes; net: the marker net of "
            "the paper, in hours; auto: the law, or the net where one of its options is given."
        ),
    ] = FAMILIES[0],
    truth: Annotated[
        Path | None,
        Parameter(help="phantom.json of the sections, to compare a net with their law as well."),
    ] = None,
    sections: SectionOptions = SECTION_DEFAULTS,
    training: TrainingOptions = DEFAULTS,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Read the maps and tell; fit and write nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Fit the grain architecture to sections: a model card with its law or net, and a report.

    A fit that was stopped resumes when the command is given again.
    """
    from ...generator.model_card import ModelCard
    from ..fits.grains.sections import alignments, read_sections, require_packages
    from ..fits.saving import named

    options, chosen = Options(**asdict(training)), sections.parsed()
    found_family = family_of(family, options, truth, flag)
    require_packages(maps, found_family)
    fitter = _law if found_family == "law" else _net
    prepared = fitter(options, truth)
    places, model = Places(out), named(name, out, flag)
    base = ModelCard.load(shell)
    found = read_sections(maps, chosen, flag)
    verdicts = alignments(found, chosen, flag)
    rows = section_rows(found, verdicts)
    plan, run = prepared(found, verdicts, places)
    rows |= plan
    if dry_run:
        tell(rows, json_output)
        return
    places.prepare(overwrite)
    started = time.perf_counter()
    result = run(model, base)
    with progress_bar("report") as show:
        result.save(out, overwrite=overwrite, progress=show)
    rows |= _rows_of(result)
    rows["cost"] = f"{time.perf_counter() - started:.0f} s; this process: {cost(0.0)}"
    tell(rows | places.rows, json_output)


Run = Callable[[str, "ModelCard"], Any]  # (name of the model, card of its shells) -> result
Prepared = Callable[
    ["Sequence[Section]", "Sequence[Alignment]", "Places"], tuple[dict[str, Any], Run]
]


def _law(options: Options, truth: Path | None) -> Prepared:
    """What fits a law: what it plans, and the fit."""
    from ..fits.laws import fitting

    def prepared(
        found: Sequence[Section], verdicts: Sequence[Alignment], places: Places
    ) -> tuple[dict[str, Any], Run]:
        task = fitting.task(found, verdicts, options.seed, flag)
        plan = {"fit": f"a radial law, at most about {task.minutes:.0f} min of CPU{places.resumed}"}
        return plan, lambda name, base: fitting.fit(task, name, base, places.work, progress_bar)

    return prepared


def _net(options: Options, truth: Path | None) -> Prepared:
    """What fits a net: what it plans, and the fit."""
    from ..fits.grains import fitting  # needs torch

    device, phantom = fitting.require_usable(options, flag), fitting.phantom_of(truth)

    def prepared(
        found: Sequence[Section], verdicts: Sequence[Alignment], places: Places
    ) -> tuple[dict[str, Any], Run]:
        task = fitting.task(found, verdicts, options, phantom, flag)

        def run(name: str, base: ModelCard) -> Any:
            return fitting.fit(
                task, name, base, places.work, progress_bar,
                weights_name=places.weights.name, jobs=options.jobs, device=device,
            )  # fmt: skip

        return _plan_rows(task.plan, places) | {"device": str(device)}, run

    return prepared


def _rows_of(result: Any) -> dict[str, Any]:
    """What came out, in lines."""
    if result.card.grains["markers"]["law"] == "net":
        return _fit_rows(result.fit, result.evaluation, result.phantom)
    return _law_rows(result.fit)


def _law_rows(fit: LawFit) -> dict[str, Any]:
    """What came out of the fit of a law, what a user should know before trusting it first."""
    from ...generator.fitting.laws.law_fit import warnings

    best, law = fit.moments.best, fit.moments.law
    found = list(warnings(fit))
    return {
        **({"warning of the fit": found} if found else {}),
        "law": "meets the sections" if fit.is_met else "does not meet the sections",
        "distance": f"{best.distance:.0f} of {len(fit.moments.target.observed)} numbers, 95 % of "
        f"sections of the law below {fit.refits.distance_95:.0f}, p = {fit.p_value:.2g}",
        "intensity": f"{law.intensity:.4g} seeds per cubic pixel on average",
        "from centre to surface": list(_profile_lines(fit)),
        "held-out sections": [
            f"{Path(fit.kept[one.number].source).name}: distance {one.distance:.0f}, 95 % below "
            f"{one.distance_95:.0f}"
            for one in fit.held_out
        ],
        "little known": fit.known.unknown or "nothing",
    }


def _profile_lines(fit: LawFit) -> Iterator[str]:
    import numpy as np

    from ...generator.fitting.laws.uncertainty import intensity_band, ratio_band

    t = np.linspace(0, 1, 5)
    seeds, ratio = (band(fit.moments, fit.known, t) for band in (intensity_band, ratio_band))
    for k in range(len(t)):
        yield (
            f"t = {t[k]:.2f}: {seeds.value[k]:.3g} [{seeds.low[k]:.3g}, {seeds.high[k]:.3g}] seeds "
            f"per cubic pixel, aspect ratio {ratio.value[k]:.2f} [{ratio.low[k]:.2f}, "
            f"{ratio.high[k]:.2f}]"
        )


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
        """Folder of the fit, from which it resumes."""
        return self.out.with_name(f"{self.out.stem}-fit")

    @property
    def resumed(self) -> str:
        """That the fit resumes, if it does."""
        return ", resumes with what is there" if self.work.exists() else ""

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
        from ..fits.plan_folder import NAME

        require_free([self.out, self.weights, self.report], overwrite)
        if not self.out.parent.is_dir():
            msg = f"{self.out.parent} is not a folder; create it to write {self.out.name} there"
            raise FitError(msg)
        if overwrite and (self.work / NAME).is_file():
            shutil.rmtree(self.work)


def _plan_rows(plan: GrainFitPlan, places: Places) -> dict[str, Any]:
    config = plan.config
    return {
        "training": f"configuration {config.name}, {config.epochs * config.steps} steps of "
        f"{config.batch} cutouts, seeds {', '.join(map(str, plan.entropies))}{places.resumed}",
        "tuning of each seed": f"at most {config.tuning} scores" if config.tuning else "none",
    }


def _fit_rows(fit: GrainFit, evaluation: Evaluation, phantom: str | None) -> dict[str, Any]:
    """What came out, in lines."""
    from ...generator.fitting.grains.fit import course_warnings
    from ...generator.fitting.sections.phantom import PHANTOMS

    found = course_warnings(fit)
    agreement = ", ".join(f"{one.agreement:.1%}" for one in fit.planar)
    truth = f", {PHANTOMS[phantom].intensity:g} in truth" if phantom else ""
    rows: dict[str, Any] = {
        **({"warning of the training": found} if found else {}),
        "2D fits": f"{agreement} of the labelled pixels as in the map",
        "runs": [_run_line(fit, k) for k in range(len(fit.runs))],
        "intensity": f"{fit.best.intensity:.4g} seeds per cubic pixel{truth}",
        "grains per area": f"{evaluation.count.generated:.3f} of the reference's",
    }
    planar = [("section", one) for one in evaluation.planar]
    for where, one in (*planar, *(("space", one) for one in evaluation.spatial)):
        low, high = one.intervals["ks"]
        rows[f"KS in {where}, {one.descriptor.replace('_', ' ')}"] = (
            f"{one.generated.ks:.3f} [{low:.3f}, {high:.3f}], floor {one.floor.ks:.3f}, "
            f"untrained {one.untrained.ks:.3f}; mean {one.generated.mean:.3f}, "
            f"spread {one.generated.spread:.3f} of the reference's"
        )
    return rows | {
        "by radius, in section": [_bin_line(one) for one in evaluation.planar_bins],
        **({"by radius, in space": [_bin_line(one) for one in evaluation.spatial_bins]}
           if evaluation.spatial_bins else {}),
    }  # fmt: skip


def _bin_line(one: BinComparison) -> str:
    distances = [
        f"{c.descriptor.replace('_', ' ')} {c.generated.ks:.3f} (floor {c.floor.ks:.3f})"
        for c in one.comparisons
    ]
    return f"{one.bin.name}: KS {', '.join(distances)}"


def _run_line(fit: GrainFit, k: int) -> str:
    run, taken = fit.runs[k], ", taken" if k == fit.chosen else ""
    if run.best is None:
        return f"seed {run.seed}: no score ({run.stopped})"
    return (
        f"seed {run.seed}: {run.state.step} steps, best after {run.best.step}, final score "
        f"{fit.final_scores[k]:.3f}{f' ({run.stopped})' if run.stopped else ''}{taken}"
    )
