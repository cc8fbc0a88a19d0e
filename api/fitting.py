"""Models of measured data: shells from CT volumes, grains from sections, phantoms to test them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, overload

from .exporters.fits.options import (
    BASE_MODEL,
    CALIBRATION,
    FAMILIES,
    SECTIONS,
    SHELL,
    TRAINING,
    CalibrationOptions,
    SectionOptions,
    ShellOptions,
    TrainingOptions,
    family_of,
)
from .exporters.sections.options import FOLDER, N_OFF_CENTRE, N_SECTIONS, SEED
from .generator.model_card import ModelCard
from .generator.progress import Progress, Stages, stages

if TYPE_CHECKING:
    from .exporters.fits.grains.fitting import GrainFitResult
    from .exporters.fits.laws.calibration_result import GrainCalibrationResult
    from .exporters.fits.laws.fitting import LawFitResult
    from .exporters.fits.shells.fitting import ShellFitResult

Files = str | Path | Sequence[str | Path]


def _paths(files: Files) -> list[Path]:
    return [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]


def fit_shell(
    volumes: Files,
    *,
    voxel_um: float | None = SHELL.voxel_um,
    name: str | None = None,
    grains: str | Path | ModelCard = BASE_MODEL,
    dataset: str | None = SHELL.dataset,
    shape: tuple[int, int, int] | None = SHELL.shape,
    type: str | None = SHELL.type,
    segmented: bool = SHELL.segmented,
    labelled: bool = SHELL.labelled,
    sigma: float = SHELL.sigma,
    neck: float = SHELL.neck,
    min_voxels: int = SHELL.min_voxels,
    min_sphericity: float = SHELL.min_sphericity,
    max_degree: int = SHELL.max_degree,
    seed: int = SHELL.seed,
    bootstrap: int = SHELL.bootstrap,
    progress: Progress | None = None,
) -> ShellFitResult:
    """Fit the outer shells of particles to CT volumes; as ``cathodegrain fit shell``.

    Nothing is written before ``save`` of the result is called.

    Parameters
    ----------
    volumes
        Files of one scan, one or more (docs/fitting.md).
    voxel_um
        Edge of a voxel, if the files do not say.
    name
        Name of the model; that of the first file if left out.
    grains
        Model that grains and orientations are taken from.
    dataset
        Array of an HDF5, netCDF or .npz file that has several.
    shape, type
        Voxels of a raw file along z, y, x, and their type, as "uint16".
    segmented, labelled
        The volumes have two values, or a number for each particle, instead of grey levels.
    sigma
        Standard deviation of the Gaussian filter on grey levels, voxels.
    neck
        Particles are cut at necks below this part of the smaller inscribed radius.
    min_voxels, min_sphericity
        Smaller or less spherical components go to a neighbour.
    max_degree
        Largest degree of the spherical harmonics.
    seed, bootstrap
        Of the rotations and the bootstrap, and its number of samples.
    progress
        Called with a message and the part of a stage that is done.

    Returns
    -------
    ShellFitResult
        ``card``, and the ``fit`` behind it; ``save("my-shells.json")`` writes card and report.

    Raises
    ------
    FitError
        If a volume cannot be read, or no model can be fitted to what is found in it.
    ModelCardError
        If there is no such model for the grains.
    """
    from .exporters.fits.saving import named
    from .exporters.fits.shells import fitting

    fitting.require_packages()
    paths = _paths(volumes)
    model, base = named(name, paths[0]), fitting.base_card(grains)
    options = ShellOptions(
        voxel_um=voxel_um,
        dataset=dataset,
        shape=shape,
        type=type,
        segmented=segmented,
        labelled=labelled,
        sigma=sigma,
        neck=neck,
        min_voxels=min_voxels,
        min_sphericity=min_sphericity,
        max_degree=max_degree,
        seed=seed,
        bootstrap=bootstrap,
    )
    found = fitting.measure(paths, options, stages(progress))
    return fitting.fit(found, model, base, stages(progress))


def fit_grains(
    maps: Files,
    *,
    pixel_um: float | None = SECTIONS.pixel_um,
    name: str | None = None,
    shell: str | Path | ModelCard = BASE_MODEL,
    family: str = FAMILIES[0],
    truth: str | Path | None = None,
    centre: Sequence[tuple[float, float]] | None = SECTIONS.centre,
    mask: Files | None = None,
    threshold: float = SECTIONS.threshold,
    min_pixels: int = SECTIONS.min_pixels,
    gap: float = SECTIONS.gap,
    phase: str | None = SECTIONS.phase,
    dataset: str | None = SECTIONS.dataset,
    frame: str = SECTIONS.frame,
    level: float = SECTIONS.level,
    least_alignment: float = SECTIONS.least_alignment,
    relative_alignment: float = SECTIONS.relative_alignment,
    all_sections: bool = SECTIONS.all_sections,
    config: str = TRAINING.config,
    steps: int | None = TRAINING.steps,
    planar_steps: int = TRAINING.planar_steps,
    seeds: int = TRAINING.seeds,
    seed: int = TRAINING.seed,
    jobs: int | None = TRAINING.jobs,
    device: str = TRAINING.device,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> GrainFitResult | LawFitResult:
    """Fit the grain architecture to sections; as ``cathodegrain fit grains``.

    A law takes minutes, a net hours. A net starts processes: a script calls it under
    ``if __name__ == "__main__":``.

    Parameters
    ----------
    maps
        EBSD maps or images of labels, one or more (docs/fitting.md).
    pixel_um
        Edge of a pixel; needed for images of labels.
    name
        Name of the model; that of the first map if left out.
    shell
        Model that shells are taken from, and orientations unless all kept maps have crystals.
    family
        "law": a law of the distance from the centre, by simulated moments; "net": the marker net of
        the paper; "auto": the law, or the net where one of its options is given.
    truth
        ``phantom.json`` of the sections, to compare a net with their law as well.
    centre, mask
        (y, x) of the particle's centre in pixels, and an image that is 0 outside the section,
        one for each map.
    threshold
        Disorientation between grains of an EBSD map, degrees.
    min_pixels
        Grains with fewer pixels are missing.
    gap
        Gaps of up to twice this are closed, pixels.
    phase, dataset
        Of a map, or an HDF5 file, that has several.
    frame
        Axes that Euler angles refer to: "map", or these turned by 180 degrees about "x", "y",
        "x+y" or "x-y".
    level, least_alignment, relative_alignment, all_sections
        Test that keeps sections with radial grains, the least mean of cos(2 theta), the least
        part of the best section's; or all are kept.
    config
        "default", or "paper": as published.
    steps, planar_steps
        Of training, if not those of ``config``, and of the fit of each section.
    seeds, seed
        Number of nets that are trained, of which the best is taken, and seed of the first.
    jobs
        Processes; as many as cores if left out.
    device
        "cpu", "cuda", "cuda:N" or "auto". A fit in ``folder`` resumes on any of them.
    folder
        Where the fit keeps what it has reached: with the same folder it resumes after an
        interruption. If left out, nothing is kept.
    progress
        Called with a message and the part of a stage that is done.

    Returns
    -------
    LawFitResult or GrainFitResult
        ``card`` with its law, or its net in memory, and the ``fit`` behind it;
        ``save("my-grains.json")`` writes card, net and report.

    Raises
    ------
    FitError
        If a map cannot be read, no section is kept, no model can be fitted, or ``folder`` holds
        another fit.
    ModelCardError
        If there is no such model for the shells.
    """
    from .exporters.fits.grains.sections import require_packages
    from .exporters.fits.saving import named

    paths = _paths(maps)
    training = TrainingOptions(
        config=config,
        steps=steps,
        planar_steps=planar_steps,
        seeds=seeds,
        seed=seed,
        jobs=jobs,
        device=device,
    )
    fitted = family_of(family, training, truth)
    require_packages(paths, fitted)
    options = SectionOptions(
        pixel_um=pixel_um,
        centre=centre,
        mask=None if mask is None else _paths(mask),
        threshold=threshold,
        min_pixels=min_pixels,
        gap=gap,
        phase=phase,
        dataset=dataset,
        frame=frame,
        level=level,
        least_alignment=least_alignment,
        relative_alignment=relative_alignment,
        all_sections=all_sections,
    )
    model = named(name, paths[0])
    base = shell if isinstance(shell, ModelCard) else ModelCard.load(shell)
    with nullcontext() if folder else TemporaryDirectory(prefix="cathodegrain-") as temporary:
        work = Path(folder or f"{temporary}/fit")
        fit = _fit_law if fitted == "law" else _fit_net
        return fit(paths, options, training, truth, model, base, work, stages(progress))


def _fit_law(
    paths: list[Path],
    options: SectionOptions,
    training: TrainingOptions,
    truth: str | Path | None,
    name: str,
    base: ModelCard,
    work: Path,
    show: Stages,
) -> LawFitResult:
    from .exporters.fits.grains.sections import alignments, read_sections
    from .exporters.fits.laws import fitting

    found = read_sections(paths, options)
    task = fitting.task(found, alignments(found, options), training.seed)
    return fitting.fit(task, name, base, work, show)


def _fit_net(
    paths: list[Path],
    options: SectionOptions,
    training: TrainingOptions,
    truth: str | Path | None,
    name: str,
    base: ModelCard,
    work: Path,
    show: Stages,
) -> GrainFitResult:
    from .exporters.fits.grains import fitting  # needs torch
    from .exporters.fits.grains.sections import alignments, read_sections

    device, phantom = fitting.require_usable(training), fitting.phantom_of(truth)
    found = read_sections(paths, options)
    task = fitting.task(found, alignments(found, options), training, phantom)
    return fitting.fit(task, name, base, work, show, jobs=training.jobs, device=device)


def calibrate_grains(
    diameter: str | float,
    *,
    name: str | None = None,
    shell: str | Path | ModelCard = BASE_MODEL,
    aspect: float | None = CALIBRATION.aspect,
    alignment: float | None = CALIBRATION.alignment,
    pixel_um: float = CALIBRATION.pixel_um,
    min_pixels: int = CALIBRATION.min_pixels,
    cuts: str = CALIBRATION.cuts,
    radius_um: float | None = CALIBRATION.radius_um,
    spread: str = CALIBRATION.spread,
    source: str | None = CALIBRATION.source,
    seed: int = CALIBRATION.seed,
    progress: Progress | None = None,
) -> GrainCalibrationResult:
    """Calibrate grains to published numbers of sections; as ``cathodegrain calibrate grains``.

    Nothing is written before ``save`` of the result is called.

    Parameters
    ----------
    diameter
        Mean diameter and standard deviation, um, as "0.598+-0.305"; a number is a mean only.
        Of the disc of a grain's area in the section, every grain counted once.
    name
        Name of the model; "calibrated" if left out.
    shell
        Model that shells and orientations are taken from.
    aspect
        Mean aspect ratio of grains in sections, longer over shorter axis of their ellipses.
    alignment
        Mean of cos 2 theta, theta between long axis and radius: 1 radial, 0 none, -1 across.
    pixel_um, min_pixels
        Edge of a pixel of the measurement, and least number of pixels of a grain.
    cuts
        "central": planes through centres of particles; "random": at uniform heights.
    radius_um
        Of the particles; that of the median of the shells if left out.
    spread
        What makes sizes vary: "r", the offsets, or "d", the scales of the metric.
    source
        Where the numbers are printed, for the card.
    seed
        Of the simulated sections.
    progress
        Called with a message and the part of a stage that is done.

    Returns
    -------
    GrainCalibrationResult
        ``card``; ``laws``, those that have the numbers as well; ``save("my-grains.json")`` writes
        card and report.

    Raises
    ------
    FitError
        If numbers or view are not possible, or out of reach of every law: names the nearest.
    ModelCardError
        If there is no such model for the shells.
    """
    from .exporters.fits.laws.calibration_request import CalibrationRequest
    from .exporters.fits.laws.calibration_result import calibrate, require_packages
    from .exporters.fits.saving import named

    require_packages()
    model = named(name, "calibrated")
    base = shell if isinstance(shell, ModelCard) else ModelCard.load(shell)
    options = CalibrationOptions(
        aspect=aspect,
        alignment=alignment,
        pixel_um=pixel_um,
        min_pixels=min_pixels,
        cuts=cuts,
        radius_um=radius_um,
        spread=spread,
        source=source,
        seed=seed,
    )
    request = CalibrationRequest.of(diameter, options, base, str)
    return calibrate(request, model, stages(progress))


@overload
def phantom(name: None = None) -> dict[str, str]: ...
@overload
def phantom(
    name: str,
    *,
    out: str | Path = ...,
    sections: int = ...,
    off_centre: int = ...,
    seed: int = ...,
    overwrite: bool = ...,
) -> Path: ...
def phantom(
    name: str | None = None,
    *,
    out: str | Path = FOLDER,
    sections: int = N_SECTIONS,
    off_centre: int = N_OFF_CENTRE,
    seed: int = SEED,
    overwrite: bool = False,
) -> Path | dict[str, str]:
    """Write sections with known ground truth, to test a fit on; as ``cathodegrain phantom``.

    Parameters
    ----------
    name
        Of the phantom; if left out, nothing is written.
    out
        Folder to write.
    sections, off_centre
        Number of sections, and how many of them miss the centre.
    seed
        Entropy of the series of sections.

    Returns
    -------
    Path or dict
        The folder; without a name a line on each phantom, by name.

    Raises
    ------
    FitError
        If there is no such phantom, or a number is not allowed.
    ExportError
        If something else is there, ``overwrite`` is not set, or the folder cannot be written.

    Examples
    --------
    >>> list(phantom())
    ['elongated', 'compact', 'crowded', 'rods', 'tilted']
    """
    from .exporters.sections import phantom_folder

    if name is None:
        return dict(phantom_folder.phantom_lines())
    plan = phantom_folder.PhantomPlan(
        name=name, n_sections=sections, n_off_centre=off_centre, seed=seed
    )
    return phantom_folder.write(plan, out, overwrite=overwrite)
