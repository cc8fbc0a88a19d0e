"""From the files of CT volumes to a model card with their shells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....generator.errors import FitError
from ....generator.fitting.shells.fit import (
    FitSettings,
    Measured,
    ShellFit,
    fit_shells,
    fitted_card,
    measured,
)
from ....generator.fitting.shells.segmentation import SegmentationSettings
from ....generator.measured.axis_order import axis_order_problem
from ....generator.measured.open import read_volume
from ....generator.measured.volumes import Volume
from ....generator.model_card import ModelCard
from ....generator.progress import Progress, Stages
from ....generator.requirements import require
from ...files.provenance import generator_name
from .. import saving
from ..options import ShellOptions, Spelling
from .report import write_report

PACKAGES = ("skimage", "edt", "cc3d", "matplotlib")
TOLERANCE = 1e-4  # lengths that differ by less than this part are equal: TIFF has 32 bits


@dataclass(frozen=True, eq=False, repr=False)
class ShellFitResult:
    """A model card with fitted shells, and the fit behind it.

    Parameters
    ----------
    card
        Takes grains and orientations from another card.
    fit
        What was measured, and the laws that were fitted to it.
    """

    card: ModelCard
    fit: ShellFit

    def __repr__(self) -> str:
        n, degree = len(self.fit.shapes.volumes), self.fit.settings.max_degree
        return f"ShellFitResult(card {self.card.name!r}: {n} particles, degrees 0 to {degree})"

    def save(
        self, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the card, weights of its grains if they are its own, and a report beside it.

        Returns the path of the card; the report is the folder ``<name of the card>-report``.

        Raises
        ------
        ExportError
            If something is in the way and ``overwrite`` is not set, too few particles can be
            compared for a report, or a file cannot be written.
        """

        def report(folder: Path) -> Path:
            return write_report(self.fit, folder, overwrite=overwrite, progress=progress)

        return saving.save(self.card, path, report, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class MeasuredVolumes:
    """Particles of several volumes of one scan, and how they are fitted."""

    settings: FitSettings
    volumes: tuple[Measured, ...]


def require_packages() -> None:
    """Raise `FitError` if a package that the fit or its report needs is missing."""
    require("fit,view", *PACKAGES, purpose="fits", error=FitError)


def base_card(grains: str | Path | ModelCard) -> ModelCard:
    """Card that grains are taken from, with its weights."""
    card = grains if isinstance(grains, ModelCard) else ModelCard.load(grains)
    _ = card.marker_law  # raises if the weights are not the card's
    return card


def measure(
    paths: Sequence[Path], options: ShellOptions, stages: Stages, option: Spelling = str
) -> MeasuredVolumes:
    """Radius functions of the particles of each file; one file is in memory at a time.

    Parameters
    ----------
    stages
        For each file its progress.
    option
        How messages call an option.

    Raises
    ------
    FitError
        If a file cannot be read, is not as the options say, or was given before.
    """
    first = _read(paths[0], options)
    edge = _voxel_um(paths[0], first, options.voxel_um, option)
    settings = _settings(options, edge, option)
    found: list[Measured] = []
    volume: Volume | None = first
    for index, path in enumerate(paths):
        volume = volume or _read(path, options)
        _require_like_the_first(paths, index, volume, settings, options, option)
        with stages(path.name) as show:
            found.append(measured(volume.values, path.name, settings, index, show))
        _require_other_voxels(paths, found)
        volume = None
    return MeasuredVolumes(settings, tuple(found))


def fit(found: MeasuredVolumes, name: str, grains: ModelCard, stages: Stages) -> ShellFitResult:
    """Card ``name`` with the laws of all shells together, and the grains of another card.

    Raises
    ------
    FitError
        If there are too few particles, or they are all alike.
    """
    with stages("fit") as show:
        fitted = fit_shells(found.volumes, found.settings, show)
    return ShellFitResult(fitted_card(fitted, name, grains, generator_name()), fitted)


def _read(path: Path, options: ShellOptions) -> Volume:
    return read_volume(path, dataset=options.dataset, shape=options.shape, dtype=options.type)


def _settings(options: ShellOptions, voxel_um: float, option: Spelling) -> FitSettings:
    if options.segmented and options.labelled:
        msg = f"{option('segmented')} and {option('labelled')} exclude each other; give one of them"
        raise FitError(msg)
    kinds = {"segmented": options.segmented, "labelled": options.labelled}
    return FitSettings(
        voxel_um=voxel_um,
        input=next((kind for kind, chosen in kinds.items() if chosen), "grey"),
        segmentation=SegmentationSettings(
            sigma=options.sigma,
            neck=options.neck,
            min_voxels=options.min_voxels,
            min_sphericity=options.min_sphericity,
        ),
        max_degree=options.max_degree,
        seed=options.seed,
        n_bootstrap=options.bootstrap,
    )


def _voxel_um(path: Path, volume: Volume, given: float | None, option: Spelling) -> float:
    """Edge of the voxels, cubes: of the file or given; they must not contradict each other."""
    own = volume.voxel_um
    if own is None and given is None:
        msg = (
            f"{path} does not say how large a voxel is; give its edge in um, as "
            f"{option('voxel_um')} 0.128"
        )
        raise FitError(msg)
    if own is None:
        return float(given)  # type: ignore[arg-type]
    if max(own) > (1 + TOLERANCE) * min(own):
        z, y, x = own
        msg = (
            f"{path} has voxels of {z:g} x {y:g} x {x:g} um along z, y, x, expected cubes: "
            "filters, distances and harmonics need one length; resample the volume, for example "
            "scipy.ndimage.zoom(values, factors, order=1)"
        )
        raise FitError(msg)
    if given is not None and abs(given - own[0]) > TOLERANCE * own[0]:
        voxel = option("voxel_um")
        msg = (
            f"{path} says that a voxel is {own[0]:g} um, {voxel} says {given:g} um; leave {voxel} "
            "out or correct the file"
        )
        raise FitError(msg)
    return float(own[0] if given is None else given)


def _require_like_the_first(
    paths: Sequence[Path],
    index: int,
    volume: Volume,
    settings: FitSettings,
    options: ShellOptions,
    option: Spelling,
) -> None:
    """Refuse voxels of another size, and raw numbers whose axes are not as they are said to be."""
    path = paths[index]
    edge = _voxel_um(path, volume, options.voxel_um, option)
    if abs(edge - settings.voxel_um) > TOLERANCE * edge:
        msg = f"{path} has voxels of {edge:g} um, {paths[0]} of {settings.voxel_um:g} um"
        raise FitError(msg)
    if options.shape and (problem := axis_order_problem(volume.values)):
        msg = f"{path}: {problem}"
        raise FitError(msg)


def _require_other_voxels(paths: Sequence[Path], found: Sequence[Measured]) -> None:
    """Refuse a volume that was measured before: its particles would count twice."""
    hashes = [volume.sha256 for volume in found]
    k, first = len(found) - 1, hashes.index(hashes[-1])
    if first < k:
        msg = f"{paths[k]} holds the same voxels as {paths[first]}; give each volume once"
        raise FitError(msg)
