"""Command ``cathodegrain fit shell``: outer shells from CT volumes.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..console.arguments import Json, Overwrite, flag, require_free
from ..console.terminal import progress_bar, tell
from ..fits.options import BASE_MODEL, SHELL, ShellOptions
from .write_products import row_names

if TYPE_CHECKING:
    from ...generator.fitting.shells.fit import Measured, ShellFit


@Parameter(name="*")
@dataclass(frozen=True)
class VolumeOptions:
    """How voxel volumes are read, and particles found in them."""

    voxel: Annotated[
        float | None, Parameter(help="Edge of a voxel, um, if the file does not say.")
    ] = SHELL.voxel_um
    dataset: Annotated[
        str | None, Parameter(help="Dataset of an HDF5, netCDF or .npz file, if it has several.")
    ] = SHELL.dataset
    shape: Annotated[
        str | None, Parameter(help="Voxels of a raw file along z, y, x, as 180,300,250.")
    ] = None
    type: Annotated[
        str | None, Parameter(help="Type of a raw file's voxels, as uint8, uint16, >u2, float32.")
    ] = SHELL.type
    segmented: Annotated[
        bool, Parameter(negative="", help="The volume has two values, 0 and that of particles.")
    ] = SHELL.segmented
    labelled: Annotated[
        bool, Parameter(negative="", help="The volume has a number for each particle, and 0.")
    ] = SHELL.labelled
    sigma: Annotated[float, Parameter(help="Of the Gaussian filter on grey levels, voxels.")] = (
        SHELL.sigma
    )
    neck: Annotated[
        float, Parameter(help="Cut necks below this part of the smaller inscribed radius.")
    ] = SHELL.neck
    min_voxels: Annotated[int, Parameter(help="Smaller components go to a neighbour.")] = (
        SHELL.min_voxels
    )
    min_sphericity: Annotated[float, Parameter(help="So do less spherical ones.")] = (
        SHELL.min_sphericity
    )

    def parsed(self, **others: Any) -> ShellOptions:
        """The options, with ``others``, as fits take them."""
        given = asdict(self) | {"shape": _raw_shape(self.shape), "voxel_um": self.voxel} | others
        del given["voxel"]
        return ShellOptions(**given)


def _raw_shape(text: str | None) -> tuple[int, int, int] | None:
    """Voxels along z, y, x."""
    from ...generator.errors import FitError

    if text is None:
        return None
    try:
        z, y, x = (int(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--shape is {text!r}, expected voxels along z, y, x, as 180,300,250"
        raise FitError(msg) from error
    return z, y, x


DEFAULTS = VolumeOptions()


def shell(
    volumes: Annotated[list[Path], Parameter(help="CT volumes, one or more of the same scan.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Model card to write.")] = Path("shell-card.json"),
    name: Annotated[
        str | None, Parameter(help="Name of the model; that of the card's file if left out.")
    ] = None,
    grains: Annotated[str, Parameter(help="Model card that grains are taken from.")] = BASE_MODEL,
    max_degree: Annotated[
        int, Parameter(help="Largest degree of the spherical harmonics.")
    ] = SHELL.max_degree,
    seed: Annotated[int, Parameter(help="Seed of rotations and bootstrap.")] = SHELL.seed,
    bootstrap: Annotated[int, Parameter(help="Number of bootstrap samples.")] = SHELL.bootstrap,
    options: VolumeOptions = DEFAULTS,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Find the particles and tell; fit and write nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Fit the outer shells of particles to CT volumes: a model card, and a report beside it."""
    from ..fits import saving
    from ..fits.shells import fitting

    fitting.require_packages()
    model, report = saving.named(name, out, flag), saving.report_folder(out)
    if not dry_run:
        require_free([out, report], overwrite)
    base = fitting.base_card(grains)
    given = options.parsed(max_degree=max_degree, seed=seed, bootstrap=bootstrap)
    found = fitting.measure(volumes, given, progress_bar, flag)
    rows = _volume_rows(volumes, found.volumes)
    if dry_run:
        tell(rows, json_output)
        return
    result = fitting.fit(found, model, base, progress_bar)
    require_free(saving.in_the_way(result.card, out), overwrite)
    with progress_bar("report") as show:
        result.save(out, overwrite=overwrite, progress=show)
    tell(rows | _fit_rows(result.fit) | {"card": str(out), "report": str(report / "index.html")},
         json_output)  # fmt: skip


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
