"""Command group ``cathodegrain fit``: models of a laboratory's own particles.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .arguments import model_name
from .terminal import progress_bar, tell
from .write_products import row_names

if TYPE_CHECKING:
    from ...generator.fitting.shells.fit import FitSettings, Measured, ShellFit
    from ...generator.measured.volumes import Volume
    from ...generator.model_card import ModelCard


@Parameter(name="*")
@dataclass(frozen=True)
class VolumeOptions:
    """How voxel volumes are read, and particles found in them."""

    voxel: Annotated[
        float | None, Parameter(help="Edge of a voxel, um, if the file does not say.")
    ] = None
    dataset: Annotated[
        str | None, Parameter(help="Dataset of an HDF5, netCDF or .npz file, if it has several.")
    ] = None
    shape: Annotated[
        str | None, Parameter(help="Voxels of a raw file along z, y, x, as 180,300,250.")
    ] = None
    type: Annotated[
        str | None, Parameter(help="Type of a raw file's voxels, as uint8, uint16, >u2, float32.")
    ] = None
    segmented: Annotated[
        bool, Parameter(negative="", help="The volume has two values, 0 and that of particles.")
    ] = False
    labelled: Annotated[
        bool, Parameter(negative="", help="The volume has a number for each particle, and 0.")
    ] = False
    sigma: Annotated[float, Parameter(help="Of the Gaussian filter on grey levels, voxels.")] = 1.8
    neck: Annotated[
        float, Parameter(help="Cut necks below this part of the smaller inscribed radius.")
    ] = 0.8
    min_voxels: Annotated[int, Parameter(help="Smaller components go to a neighbour.")] = 10
    min_sphericity: Annotated[float, Parameter(help="So do less spherical ones.")] = 0.5

    @property
    def input(self) -> str:
        """What the volumes hold."""
        from ...generator.errors import FitError

        if self.segmented and self.labelled:
            msg = "--segmented and --labelled exclude each other; give one of them"
            raise FitError(msg)
        if self.segmented:
            return "segmented"
        return "labelled" if self.labelled else "grey"

    @property
    def raw_shape(self) -> tuple[int, int, int] | None:
        """Voxels along z, y, x."""
        from ...generator.errors import FitError

        if self.shape is None:
            return None
        try:
            z, y, x = (int(text) for text in self.shape.split(","))
        except ValueError as error:
            msg = f"--shape is {self.shape!r}, expected voxels along z, y, x, as 180,300,250"
            raise FitError(msg) from error
        return z, y, x


DEFAULTS = VolumeOptions()
PACKAGES = ("skimage", "edt", "cc3d", "matplotlib")
TOLERANCE = 1e-4  # lengths that differ by less than this part are equal: TIFF has 32 bits


def shell(
    volumes: Annotated[list[Path], Parameter(help="CT volumes, one or more of the same scan.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Model card to write.")] = Path("shell-card.json"),
    name: Annotated[
        str | None, Parameter(help="Name of the model; that of the card's file if left out.")
    ] = None,
    grains: Annotated[str, Parameter(help="Model card that grains are taken from.")] = "nmc811",
    max_degree: Annotated[int, Parameter(help="Largest degree of the spherical harmonics.")] = 9,
    seed: Annotated[int, Parameter(help="Entropy of rotations and bootstrap.")] = 0,
    bootstrap: Annotated[int, Parameter(help="Number of bootstrap samples.")] = 400,
    options: VolumeOptions = DEFAULTS,
    overwrite: Annotated[bool, Parameter(negative="", help="Replace what is there.")] = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Find the particles and tell; fit and write nothing.")
    ] = False,
    json_output: Annotated[
        bool, Parameter(name="--json", negative="", help="Print JSON for machines.")
    ] = False,
) -> None:
    """Fit the outer shells of particles to CT volumes: a model card, and a report beside it."""
    from ...generator.errors import FitError
    from ...generator.fitting.shells.fit import FitSettings, fit_shells, fitted_card
    from ...generator.fitting.shells.segmentation import SegmentationSettings
    from ...generator.model_card import ModelCard
    from ...generator.requirements import require
    from ..files.provenance import generator_name

    require("fit,view", *PACKAGES, purpose="fits", error=FitError)
    model = named(name, out)
    report = out.with_name(f"{out.stem}-report")
    if not dry_run:
        _require_free([out, report], overwrite)
    base = ModelCard.load(grains)
    first = _read(volumes[0], options)
    settings = FitSettings(
        voxel_um=_voxel_um(volumes[0], first, options.voxel),
        input=options.input,
        segmentation=SegmentationSettings(
            sigma=options.sigma,
            neck=options.neck,
            min_voxels=options.min_voxels,
            min_sphericity=options.min_sphericity,
        ),
        max_degree=max_degree,
        entropy=seed,
        n_bootstrap=bootstrap,
    )
    found = _measure_all(volumes, first, settings, options)
    rows = _volume_rows(volumes, found)
    if dry_run:
        tell(rows, json_output)
        return
    with progress_bar("fit") as show:
        fit = fit_shells(found, settings, show)
    card = fitted_card(fit, model, base, generator_name())
    if card.own_weights and base.folder.resolve() != out.parent.resolve():
        _require_free([out.with_name(card.grains["markers"]["weights"])], overwrite)
    _write(card, fit, out, report, overwrite)
    tell(rows | _fit_rows(fit) | {"card": str(out), "report": str(report / "index.html")},
          json_output)  # fmt: skip


def _read(path: Path, options: VolumeOptions) -> Volume:
    from ...generator.measured.open import read_volume

    return read_volume(path, dataset=options.dataset, shape=options.raw_shape, dtype=options.type)


def _voxel_um(path: Path, volume: Volume, given: float | None) -> float:
    """Edge of the voxels, cubes: of the file or given; they must not contradict each other."""
    from ...generator.errors import FitError

    own = volume.voxel_um
    if own is not None and max(own) > (1 + TOLERANCE) * min(own):
        z, y, x = own
        msg = (
            f"{path} has voxels of {z:g} x {y:g} x {x:g} um along z, y, x, expected cubes: "
            "filters, distances and harmonics need one length; resample the volume, for example "
            "scipy.ndimage.zoom(values, factors, order=1)"
        )
        raise FitError(msg)
    if own is None and given is None:
        msg = f"{path} does not say how large a voxel is; give its edge in um, as --voxel 0.128"
        raise FitError(msg)
    if own is not None and given is not None and abs(given - own[0]) > TOLERANCE * own[0]:
        msg = (
            f"{path} says that a voxel is {own[0]:g} um, --voxel says {given:g} um; leave --voxel "
            "out or correct the file"
        )
        raise FitError(msg)
    return float(own[0] if given is None else given)  # type: ignore[index]


def _measure_all(
    paths: Sequence[Path], first: Volume, settings: FitSettings, options: VolumeOptions
) -> list[Measured]:
    """Radius functions of the particles of each file; one file is in memory at a time."""
    from ...generator.errors import FitError
    from ...generator.fitting.shells.fit import measured
    from ...generator.measured.axis_order import axis_order_problem

    found = []
    volume: Volume | None = first
    for index, path in enumerate(paths):
        volume = volume or _read(path, options)
        edge = _voxel_um(path, volume, options.voxel)
        if abs(edge - settings.voxel_um) > TOLERANCE * edge:
            msg = f"{path} has voxels of {edge:g} um, {paths[0]} of {settings.voxel_um:g} um"
            raise FitError(msg)
        if options.shape and (problem := axis_order_problem(volume.values)):
            msg = f"{path}: {problem}"
            raise FitError(msg)
        with progress_bar(path.name) as show:
            found.append(measured(volume.values, path.name, settings, index, show))
        _require_other_voxels(paths, found)
        volume = None
    return found


def _require_other_voxels(paths: Sequence[Path], found: Sequence[Measured]) -> None:
    """Refuse a volume that was measured before: its particles would count twice."""
    from ...generator.errors import FitError

    hashes = [volume.sha256 for volume in found]
    k, first = len(found) - 1, hashes.index(hashes[-1])
    if first < k:
        msg = f"{paths[k]} holds the same voxels as {paths[first]}; give each volume once"
        raise FitError(msg)


def _require_free(paths: Sequence[Path], overwrite: bool) -> None:
    from ...generator.errors import FitError

    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        msg = f"{' and '.join(there)} exist; choose another --out, or --overwrite to replace them"
        raise FitError(msg)


def named(name: str | None, out: Path) -> str:
    """Name of the model in the card ``out``; `FitError` if it is one that cards cannot hold."""
    from ...generator.errors import FitError

    if name is not None and name != model_name(name):
        msg = (
            f"--name is {name!r}, expected up to 64 small letters, digits, '.', '_' and '-', "
            f"as {model_name(name)}"
        )
        raise FitError(msg)
    return name or model_name(out.stem)


def _write(card: ModelCard, fit: ShellFit, out: Path, report: Path, overwrite: bool) -> None:
    """Report, the file of the grains' net if it has one of its own, and the card."""
    from ..files.atomic import replacing
    from ..fits.shells.report import write_report

    with progress_bar("report") as show:
        write_report(fit, report, overwrite=overwrite, progress=show)
    if weights := card.own_weights:
        with replacing(out.with_name(card.grains["markers"]["weights"])) as temporary:
            temporary.write_bytes(weights)
    with replacing(out) as temporary:
        text = json.dumps(card.document, indent=1, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")


def _volume_rows(paths: Sequence[Path], found: Sequence[Measured]) -> dict[str, Any]:
    """A row for each step of each volume."""
    return {
        name: [
            f"{step.name}: {f'{step.n_components} components; ' if step.n_components else ''}"
            f"{step.remark}"
            for step in volume.steps
        ]
        for name, volume in zip(row_names(paths), found, strict=True)
    }


def _fit_rows(fit: ShellFit) -> dict[str, Any]:
    captured = fit.shapes.captured
    rows: dict[str, Any] = {
        "particles": f"{len(captured)} fitted, {fit.n_not_star_shaped} not star-shaped",
        "captured": f"{captured.mean():.1%} of the volume, less than 90 % of "
        f"{(captured < 0.9).mean():.1%} of the particles",
    }
    for order in fit.orders:
        values = ", ".join(
            f"{name} {getattr(order.law, name):.4g} [{low:.4g}, {high:.4g}]"
            for name, (low, high) in order.intervals.items()
        )
        rows[f"degree {order.degree}"] = f"{order.law.family}: {values}"
    if fit.warnings:
        rows["warning"] = fit.warnings
    return rows
