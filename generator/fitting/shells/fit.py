"""From CT volumes to the shell part of a model card: all steps of Sections 2.1 and 2.3."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...model_card import ModelCard
from ...progress import Progress, Step
from ...shell.laws import law_fields
from ...shell.model import ShellModel
from ...streams import stream
from .. import card_provenance
from . import segmentation as nano_ct
from .coefficient_laws import (
    N_BOOTSTRAP,
    Dependence,
    OrderFit,
    best_laws,
    dependences,
    fit_orders,
    order_document,
)
from .segmentation import Segmentation, SegmentationSettings
from .star_shape import Expansions, StarShapes, directions, expansions, random_rotations, star_radii

PAPER_DEGREE = 9
RESOLVING_RADIUS = 6.0  # voxels of mean radius below which degree 9 is not resolved
COARSE_PART = 0.1  # of the particles below it, from which on a warning is due
MAX_RADIUS_MARGIN = 1.25  # largest radius accepted, as a multiple of the largest measured one

INPUTS: dict[str, Callable[..., Segmentation]] = {
    "grey": nano_ct.segmented_grey,
    "segmented": nano_ct.segmented_binary,
    "labelled": nano_ct.segmented_labels,
}


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What is fitted, and how.

    Parameters
    ----------
    voxel_um
        Edge of a voxel, um.
    input
        What the volumes hold: "grey" levels, "segmented" particles (two values) or
        "labelled" ones.
    segmentation
        How particles are found.
    max_degree
        Largest degree L of the spherical harmonics.
    seed
        Of the random rotations and of the bootstrap.
    n_bootstrap
        Number of bootstrap samples.
    """

    voxel_um: float
    input: str = "grey"
    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)
    max_degree: int = PAPER_DEGREE
    seed: int = 0
    n_bootstrap: int = N_BOOTSTRAP

    def __post_init__(self) -> None:
        if not (math.isfinite(self.voxel_um) and 1e-4 <= self.voxel_um <= 100):
            msg = f"the edge of a voxel is {self.voxel_um} um, expected 0.0001 to 100"
            raise FitError(msg)
        if self.max_degree not in range(1, 21):
            msg = f"the largest degree is {self.max_degree}, expected 1 to 20; the paper has 9"
            raise FitError(msg)
        if self.seed < 0:
            msg = f"the seed is {self.seed}, expected 0 or more"
            raise FitError(msg)
        if self.n_bootstrap < 100:
            msg = (
                f"{self.n_bootstrap} bootstrap samples give no 99 % interval, expected 100 or more"
            )
            raise FitError(msg)


@dataclass(frozen=True, eq=False)
class Measured:
    """What is kept of a volume: the radius functions of its whole particles.

    Parameters
    ----------
    name
        Of the file.
    sha256
        Of the voxels, in the order z, y, x, little-endian.
    shape
        Voxels along z, y, x.
    steps
        Of the segmentation.
    shapes
        Of the particles, randomly rotated, CT voxels.
    section
        (ny, nx) int32, the particles in the middle layer, nz // 2.
    values_section
        (ny, nx) float32, the voxels of that layer as they were read.
    """

    name: str
    sha256: str
    shape: tuple[int, int, int]
    steps: tuple[Step, ...]
    shapes: StarShapes
    section: NDArray[np.int32]
    values_section: NDArray[np.float32]


def measured(
    values: NDArray[np.generic],
    name: str,
    settings: FitSettings,
    index: int,
    progress: Progress,
) -> Measured:
    """Radius functions of the particles of a volume (nz, ny, nx), ``index`` its number."""
    digest = _voxel_hash(values)
    try:
        segmentation = INPUTS[settings.input](
            values, settings.segmentation, lambda text, part: progress(text, 0.9 * part)
        )
    except FitError as error:
        msg = f"{name}: {error}"
        raise FitError(msg) from None
    shapes = _star_shapes(segmentation, settings.seed, index, progress)
    nz, ny, nx = values.shape
    return Measured(
        name,
        digest,
        (nz, ny, nx),
        segmentation.steps,
        shapes,
        section=segmentation.labels[nz // 2].copy(),  # not a view, which would keep the volume
        values_section=values[nz // 2].astype(np.float32),
    )


def _voxel_hash(values: NDArray[np.generic]) -> str:
    digest = hashlib.sha256(f"{values.dtype.newbyteorder('<').str} {values.shape} ".encode())
    for layer in values:
        digest.update(np.ascontiguousarray(layer.astype(values.dtype.newbyteorder("<"))).data)
    return digest.hexdigest()


def _star_shapes(
    segmentation: Segmentation, seed: int, index: int, progress: Progress
) -> StarShapes:
    """Radii of the particles in 642 directions, each particle turned at random."""
    n = segmentation.n_particles
    rotations = random_rotations(n, stream(seed, index, "fit"))
    last, first = np.empty((2, n, len(directions())))
    volumes = np.empty(n)
    for k in range(n):
        mask = segmentation.mask(k + 1)
        last[k], first[k] = star_radii(mask, directions() @ rotations[k])
        volumes[k] = np.count_nonzero(mask)
        if k % 100 == 0:
            progress("star shapes", 0.9 + 0.1 * k / n)
    return StarShapes(last, first, volumes)


@dataclass(frozen=True, eq=False)
class ShellFit:
    """Laws of shells, and what they were fitted to.

    Parameters
    ----------
    settings
        How the fit was made.
    volumes
        What was measured.
    shapes
        Of the particles that the laws were fitted to.
    expansions
        Their spherical harmonics.
    orders
        Laws of the degrees 0, 1, ..., CT voxels.
    dependences
        Of the degrees 1, 2, ... on the size.
    """

    settings: FitSettings
    volumes: tuple[Measured, ...]
    shapes: StarShapes
    expansions: Expansions
    orders: tuple[OrderFit, ...]
    dependences: tuple[Dependence, ...]

    @property
    def n_not_star_shaped(self) -> int:
        """Whole particles that no law was fitted to."""
        return sum(len(volume.shapes.volumes) for volume in self.volumes) - len(self.shapes.volumes)

    @cached_property
    def model(self) -> ShellModel:
        """Random field of the fitted laws."""
        return ShellModel.from_fields(self.shell_fields())

    def shell_fields(self) -> dict[str, Any]:
        """Shell part of a model card, without how it was fitted."""
        laws = [law_fields(order.law) for order in self.orders]
        return _shell_fields(laws, self.settings, float(self.shapes.radii.max()))

    def model_of(self, coefficients: NDArray[np.float64]) -> ShellModel:
        """Model fitted to some of the particles, without intervals; for held-out tests."""
        degrees = range(self.settings.max_degree + 1)
        blocks = [coefficients[:, d * d : (d + 1) * (d + 1)].ravel() for d in degrees]
        laws = [
            law_fields(best_laws(block, centred=d > 0)[0].law)
            for d, block in zip(degrees, blocks, strict=True)
        ]
        largest = float(self.shapes.radii.max())
        return ShellModel.from_fields(_shell_fields(laws, self.settings, largest))

    @property
    def warnings(self) -> list[str]:
        """What a user should know before trusting the fit."""
        found = []
        radii = np.cbrt(3 * self.shapes.volumes / (4 * math.pi))
        coarse = float((radii < RESOLVING_RADIUS).mean())
        if coarse > COARSE_PART and self.settings.max_degree >= PAPER_DEGREE:
            found.append(
                f"{coarse:.0%} of the particles have a radius below {RESOLVING_RADIUS:g} voxels: "
                f"degrees up to {self.settings.max_degree} measure the voxels, not the particles; "
                "lower --max-degree, or scan with smaller voxels"
            )
        unseen = float((self.shapes.captured < 0.9).mean())
        if unseen > COARSE_PART:
            found.append(
                f"of {unseen:.0%} of the particles less than 90 % is seen from the centre of "
                "mass: they are not star-shaped; look at the segmentation (--sigma, --neck)"
            )
        return found


def _shell_fields(
    laws: Sequence[Mapping[str, Any]], settings: FitSettings, largest: float
) -> dict[str, Any]:
    return {
        "voxel_um": settings.voxel_um,
        "size": dict(laws[0]),
        "orders": [{"degree": degree, **law} for degree, law in enumerate(laws) if degree > 0],
        "min_sphericity": settings.segmentation.min_sphericity,
        "min_radius_um": settings.voxel_um / 2,
        "max_radius_um": round(MAX_RADIUS_MARGIN * largest * settings.voxel_um, 3),
        "max_degree": settings.max_degree,
        "size_scale": 1.0,
        "roughness": 1.0,
        "diameter_um": None,
    }


def fit_shells(volumes: Sequence[Measured], settings: FitSettings, progress: Progress) -> ShellFit:
    """Laws of the shells of all volumes together.

    Raises
    ------
    FitError
        If there are too few particles, or they are all alike.
    """
    shapes = StarShapes(
        np.concatenate([volume.shapes.radii for volume in volumes]),
        np.concatenate([volume.shapes.first_radii for volume in volumes]),
        np.concatenate([volume.shapes.volumes for volume in volumes]),
    )
    kept = (shapes.radii > 0).all(axis=1)
    shapes = StarShapes(shapes.radii[kept], shapes.first_radii[kept], shapes.volumes[kept])
    expanded = expansions(shapes.radii, settings.max_degree)
    rng = stream(settings.seed, len(volumes), "fit")
    orders = fit_orders(expanded.coefficients, rng, settings.n_bootstrap, progress)
    dependence = tuple(dependences(expanded.coefficients, rng))
    return ShellFit(settings, tuple(volumes), shapes, expanded, orders, dependence)


def fitted_card(fit: ShellFit, name: str, base: ModelCard, software: str) -> ModelCard:
    """Model card with the fitted shell, and grains and orientations of another card."""
    files = card_provenance.listed([volume.name for volume in fit.volumes])
    document = copy.deepcopy(dict(base.document))
    document |= {
        "name": name,
        "title": f"Shells fitted to {files}",
        "description": (
            f"Outer shells with the laws of {len(fit.shapes.volumes)} particles of {files}; grains "
            f"and orientations as in the model {base.name}."
        ),
        "fitted_on": (
            f"Shell: {len(fit.shapes.volumes)} whole particles of {files}, voxels of "
            f"{fit.settings.voxel_um:g} um. {card_provenance.fitted_on(base, 'Grains')}"
        ),
        "limits": [
            *(f"Shell: {text}" for text in _limits(fit)),
            *card_provenance.limits(base, "Grains"),
        ],
        "assumptions": [
            *_assumptions(fit),
            *(a for a in base.document["assumptions"] if not a["field"].startswith("shell")),
        ],
        "shell": {**fit.shell_fields(), "fit": fit_document(fit, software)},
    }
    return ModelCard(document, base.folder, base.weights)


def _limits(fit: ShellFit) -> Iterator[str]:
    """What the fitted shells do not describe."""
    n, n_left_out = len(fit.shapes.volumes), fit.n_not_star_shaped
    diameters = 2 * fit.settings.voxel_um * np.cbrt(3 * fit.shapes.volumes / (4 * math.pi))
    yield (
        f"the {n} particles have diameters of {diameters.min():.3g} to {diameters.max():.3g} um "
        "(of the ball of their volume); what is drawn outside continues the law."
    )
    yield "particles that the border of a volume cuts, more often large ones, are left out."
    yield (
        f"spherical harmonics up to degree {fit.settings.max_degree}, voxels of "
        f"{fit.settings.voxel_um:g} um: what is finer is lost."
    )
    yield "star-shaped: no re-entrant surface, no internal pores, no cracks."
    if n_left_out:
        yield f"{n_left_out} of {n + n_left_out} whole particles are not star-shaped, left out."
    yield (
        "size and roughness are drawn independently; how far measured ones are not is in "
        "shell.fit.dependence."
    )
    yield from fit.warnings


def _assumptions(fit: ShellFit) -> list[dict[str, str]]:
    return [
        {
            "field": "shell.fit.settings.neck",
            "choice": f"particles are cut at necks below {fit.settings.segmentation.neck:g}",
            "reason": "The paper does not say how the watershed's markers were chosen.",
        },
        {
            "field": "shell.min_radius_um, shell.min_sphericity, shell.max_radius_um",
            "choice": "draws outside are rejected",
            "reason": "Measured particles are star-shaped, of the sphericity that the segmentation "
            f"asks for, and none is larger than 1 / {MAX_RADIUS_MARGIN} of the largest radius.",
        },
        {
            "field": "shell",
            "choice": "accepted shells are moved to their centroid",
            "reason": "The star point of the representation is the centre of mass.",
        },
    ]


def fit_document(fit: ShellFit, software: str) -> dict[str, Any]:
    """JSON values: how the laws were fitted, as model cards hold it."""
    settings, captured = fit.settings, fit.shapes.captured
    median, p95 = np.percentile(fit.expansions.residuals, [50, 95])
    return {
        "software": software,
        "volumes": [
            {
                "file": volume.name,
                "sha256": volume.sha256,
                "shape": list(volume.shape),
                "steps": [asdict(step) for step in volume.steps],
            }
            for volume in fit.volumes
        ],
        "settings": {"input": settings.input, **asdict(settings.segmentation)},
        "entropy": settings.seed,
        "n_bootstrap": settings.n_bootstrap,
        "n_particles": len(captured),
        "n_not_star_shaped": fit.n_not_star_shaped,
        "captured_volume": {
            "mean": float(captured.mean()),
            "below_90_percent": float((captured < 0.9).mean()),
        },
        "residual": {"median": float(median), "p95": float(p95)},
        "degrees": [order_document(order) for order in fit.orders],
        "dependence": [asdict(dependence) for dependence in fit.dependences],
    }
