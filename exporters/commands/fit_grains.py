"""Command ``cathodegrain fit grains``: the grain architecture from sections.

Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .section_options import SectionOptions, read_all, section_rows, verdicts_of
from .terminal import cost, progress_bar, tell

if TYPE_CHECKING:
    from ...generator.fitting.grains.evaluation import Evaluation
    from ...generator.fitting.grains.fit import GrainFit
    from ...generator.fitting.grains.training import TrainingConfig
    from ...generator.fitting.sections.descriptors import Alignment
    from ...generator.fitting.sections.section import Section
    from ..fits.grains.folder import GrainFitPlan

PACKAGES = {"torch": "torch", "skimage": "fit", "tifffile": "fit", "matplotlib": "view"}


@Parameter(name="*")
@dataclass(frozen=True)
class TrainingOptions:
    """How nets are trained."""

    config: Annotated[str, Parameter(help="default, or paper: as published; docs/fidelity.md.")] = (
        "default"
    )
    steps: Annotated[int | None, Parameter(help="Steps of training, if not the usual ones.")] = None
    planar_steps: Annotated[int, Parameter(help="Steps of the fit of each section.")] = 200
    seeds: Annotated[int, Parameter(help="Nets that are trained; the best is taken.")] = 3
    seed: Annotated[int, Parameter(help="Entropy of the first; the others follow it.")] = 0
    jobs: Annotated[int | None, Parameter(help="Processes; as many as cores if left out.")] = None
    device: Annotated[str, Parameter(help="cpu, or cuda.")] = "cpu"


SECTIONS, TRAINING = SectionOptions(), TrainingOptions()


def grains(
    maps: Annotated[list[Path], Parameter(help="EBSD maps or images of labels, one or more.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Model card to write.")] = Path("grains-card.json"),
    name: Annotated[
        str | None, Parameter(help="Name of the model; that of the card's file if left out.")
    ] = None,
    shell: Annotated[str, Parameter(help="Model card that shells are taken from.")] = "nmc811",
    truth: Annotated[
        Path | None,
        Parameter(help="phantom.json of the sections, to compare with their law as well."),
    ] = None,
    sections: SectionOptions = SECTIONS,
    training: TrainingOptions = TRAINING,
    overwrite: Annotated[bool, Parameter(negative="", help="Replace what is there.")] = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Read the maps and tell; fit and write nothing.")
    ] = False,
    json_output: Annotated[
        bool, Parameter(name="--json", negative="", help="Print JSON for machines.")
    ] = False,
) -> None:
    """Fit the grain architecture to sections: a model card with its net, and a report.

    A fit that was stopped goes on where it was when the command is given again.
    """
    from ...generator.model_card import ModelCard
    from .fit_shell import named

    _require_packages(maps)
    _require_usable(training)
    places, model = Places(out), named(name, out)
    base, phantom = ModelCard.load(shell), _phantom(truth)
    found = read_all(maps, sections)
    verdicts = verdicts_of(found, sections)
    rows = section_rows(found, verdicts)
    plan = _plan(found, verdicts, training)
    rows |= _plan_rows(plan, places)
    if dry_run:
        tell(rows, json_output)
        return
    places.prepare(overwrite)
    started = time.perf_counter()
    fit = _fitted(found, verdicts, plan, places, training)
    evaluation = _evaluated(fit, phantom, training.seed)
    _write(fit, evaluation, base, places, model, phantom, overwrite)
    rows |= _fit_rows(fit, evaluation, phantom)
    rows["cost"] = f"{time.perf_counter() - started:.0f} s; this process: {cost(0.0)}"
    tell(rows | places.rows, json_output)


@dataclass(frozen=True)
class Places:
    """What is written beside the card ``out``."""

    out: Path

    @property
    def weights(self) -> Path:
        """The net, of a name that cards may hold."""
        from .arguments import model_name

        return self.out.with_name(f"{model_name(self.out.stem)}.safetensors")

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.out.with_name(f"{self.out.stem}-report")

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

        there = [str(p) for p in (self.out, self.weights, self.report) if p.exists()]
        if there and not overwrite:
            msg = (
                f"{' and '.join(there)} exist; choose another --out, or --overwrite to replace them"
            )
            raise FitError(msg)
        if not self.out.parent.is_dir():
            msg = f"{self.out.parent} is not a folder; create it to write {self.out.name} there"
            raise FitError(msg)
        if overwrite and (self.work / NAME).is_file():
            shutil.rmtree(self.work)


def _require_packages(maps: Sequence[Path]) -> None:
    """Refuse before anything is read if a package is missing."""
    from ...generator.errors import FitError
    from ...generator.fitting.sections.ebsd import MAPS
    from ...generator.requirements import missing, require

    needed = dict(PACKAGES)
    if any(path.suffix.lower() in MAPS for path in maps):
        needed["orix"] = "ebsd"
    extras = ",".join(sorted({needed[name] for name in missing(*needed)}))
    require(extras, *needed, purpose="fits of grains", error=FitError)


def _require_usable(options: TrainingOptions) -> None:
    """Refuse, before anything is read, what would end a fit that has begun; with all reasons."""
    from ...generator.errors import FitError
    from ...generator.fitting.grains.networks import devices

    problems = []
    if not 1 <= options.seeds <= 100:
        problems.append(f"--seeds is {options.seeds}, expected 1 to 100 nets")
    for name, least in {"steps": 1, "planar_steps": 1, "jobs": 1, "seed": 0}.items():
        value = getattr(options, name)
        if value is not None and value < least:
            problems.append(f"--{name.replace('_', '-')} is {value}, expected {least} or more")
    if options.device not in (usable := devices()):
        problems.append(f"--device is {options.device!r}, expected {' or '.join(usable)}")
    if problems:
        msg = "; ".join(problems)
        raise FitError(msg)


def _plan(
    sections: Sequence[Section], verdicts: Sequence[Alignment], options: TrainingOptions
) -> GrainFitPlan:
    from ...generator.errors import FitError
    from ...generator.fitting.grains.fit import farthest, require_fittable
    from ...generator.fitting.grains.planar_fit import PlanarFitSettings
    from ..fits.grains.folder import GrainFitPlan

    kept = [s for s, verdict in zip(sections, verdicts, strict=True) if verdict.kept]
    if not kept:
        reasons = "\n  ".join(
            f"{s.source} {v.sentence}" for s, v in zip(sections, verdicts, strict=True)
        )
        msg = (
            f"no section is kept:\n  {reasons}\nexpected sections through the centre of particles "
            "with radial grains; --level, --least-alignment and --all-sections set the test"
        )
        raise FitError(msg)
    require_fittable(kept)
    return GrainFitPlan(
        sections=tuple(kept),
        planar=PlanarFitSettings(steps=options.planar_steps),
        config=_config(options, farthest(kept)),
        entropies=tuple(range(options.seed, options.seed + options.seeds)),
        device=options.device,
    )


def _config(options: TrainingOptions, farthest: float) -> TrainingConfig:
    from dataclasses import replace

    from ...generator.errors import FitError, suggestion
    from ...generator.fitting.grains.training import CONFIGS

    if options.config not in CONFIGS:
        meant = suggestion(options.config, sorted(CONFIGS))
        msg = f"unknown configuration {options.config!r}; {meant}"
        raise FitError(msg)
    config = replace(CONFIGS[options.config], farthest=farthest)
    if options.steps is None:
        return config
    epochs = max(1, round(options.steps / config.steps))
    return replace(config, epochs=epochs, steps=-(-options.steps // epochs))


def _phantom(path: Path | None) -> str | None:
    """Name of the phantom that ``path`` describes."""
    if path is None:
        return None
    from ...generator.errors import FitError
    from ...generator.fitting.sections.phantom import PHANTOMS
    from ..files.documents import read_document

    name: str = read_document(path, "phantom")["name"]
    if name not in PHANTOMS:
        msg = f"{path} is of the phantom {name!r}, expected one of {sorted(PHANTOMS)}"
        raise FitError(msg)
    return name


def _fitted(
    sections: Sequence[Section],
    verdicts: Sequence[Alignment],
    plan: GrainFitPlan,
    places: Places,
    options: TrainingOptions,
) -> GrainFit:
    from ...generator.fitting.grains.fit import GrainFit
    from ...generator.fitting.grains.run import final_score
    from ...generator.machine import usable_cores
    from ..fits.grains import folder as grain_fit_folder

    jobs = options.jobs or usable_cores()
    grain_fit_folder.open_folder(plan, places.work)
    with progress_bar("sections") as show:
        planar = grain_fit_folder.planar_fits(plan, places.work, jobs, show)
    with progress_bar("training") as show:
        runs = grain_fit_folder.trained(plan, places.work, planar, jobs, show)
    scores = [
        final_score(run.best, plan.sections, options.seed) if run.best else float("inf")
        for run in runs
    ]
    return GrainFit(
        sections=tuple(sections),
        alignments=tuple(verdicts),
        planar_settings=plan.planar,
        planar=planar,
        runs=runs,
        final_scores=tuple(scores),
    )


def _evaluated(fit: GrainFit, phantom: str | None, entropy: int) -> Evaluation:
    from ...generator.fitting.grains.evaluation import against_sections, against_truth
    from ...generator.fitting.sections.phantom import PHANTOMS

    with progress_bar("comparison") as show:
        tell_part = show
        if phantom is None:
            return against_sections(fit.model, fit.untrained, fit.kept, entropy, tell_part)
        law = PHANTOMS[phantom]
        return against_truth(fit.model, fit.untrained, law, entropy, tell_part)


def _write(
    fit: GrainFit,
    evaluation: Evaluation,
    base: Any,
    places: Places,
    name: str,
    phantom: str | None,
    overwrite: bool,
) -> None:
    """Report, weights and card; the card last, since it names the others."""
    from ...generator.fitting.grains.fit import fitted_card
    from ..files.atomic import replacing
    from ..files.provenance import generator_name, sha256
    from ..fits.grains.report import write_report

    with progress_bar("report") as show:
        write_report(fit, evaluation, places.report, overwrite=overwrite, progress=show)
    with replacing(places.weights) as temporary:
        fit.best.net.save(temporary)
    weights = places.weights.name, sha256(places.weights)
    card = fitted_card(fit, evaluation, base, name, phantom, generator_name(), weights)
    with replacing(places.out) as temporary:
        text = json.dumps(card.document, indent=1, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")


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
        return f"seed {run.entropy}: no score ({run.stopped})"
    return (
        f"seed {run.entropy}: {run.state.step} steps, best after {run.best.step}, final score "
        f"{fit.final_scores[k]:.3f}{f' ({run.stopped})' if run.stopped else ''}{taken}"
    )
