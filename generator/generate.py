"""From a model card, a seed and an index to a particle, and from a particle to its variants."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import devices
from .errors import GenerationError
from .grains.tessellation import Tessellation
from .markers.marker_law import Markers
from .markers.orientations import sample_orientations
from .markers.point_process import CELL, MarkedPoints, sample_poisson
from .markers.radial_frame import frame_axes, marker_matrices
from .model_card import ModelCard
from .particle import Derivation, Particle, Provenance
from .rounding import rounded
from .shell.shell import Shell
from .streams import DRAWS, stream

SMALLEST_HALF_WIDTH = 128  # pixels: the paper's window
MOST_POINTS = 10_000_000
POINT_BYTES = 800  # measured peak for each seed point of the window
MOST_AT_ONCE = 500_000  # seed points near shells that a device fills together
MARGIN = 4.0  # mean seed distances lambda^(-1/3) between the shell and the window's edge


def generate_particle(
    card: ModelCard, seed: int | None = None, index: int = 0, *, entropy: int | None = None
) -> Particle:
    """Particle number ``index`` of the series that ``seed`` starts.

    ``entropy`` is what ``seed`` was called in version 0.1.0; it goes with version 0.3.

    The same card, seed and index give the same particle on every computer.

    Raises
    ------
    GenerationError
        If no acceptable shell is drawn, the seed points would not fit into memory, the
        markers are too anisotropic, or ``seed`` or ``index`` is negative.
    """
    if entropy is not None:
        warnings.warn("entropy is now seed", FutureWarning, stacklevel=2)
    given = entropy if seed is None else seed
    if given is None:
        msg = "no seed is given, expected an integer of 0 or more"
        raise GenerationError(msg)
    return _build(card, given, index)


def generate_particles(
    card: ModelCard, seed: int, indices: Iterable[int], *, device: str = "cpu"
) -> list[Particle]:
    """Particles ``indices`` of the series that ``seed`` starts, as `generate_particle` makes them.

    On a GPU many of them share every launch: markers, matrices and the search for grains that
    reach inside run there; shells and seed points are drawn on the processor, which also settles
    which grains own a point. The particles are the same to the bit.

    Parameters
    ----------
    device
        "cpu", "cuda", "cuda:N", or "auto".

    Raises
    ------
    GenerationError
        As `generate_particle`.
    DeviceError
        If the device is not there, not usable, or its memory does not suffice.
    """
    return list(particles_in_turn(card, seed, indices, device=device))


def particles_in_turn(
    card: ModelCard, seed: int, indices: Iterable[int], *, device: str = "cpu"
) -> Iterator[Particle]:
    """Particles of `generate_particles`, given as soon as they are there."""
    place = devices.device_named(device)
    if not place.is_gpu:
        yield from (_build(card, seed, index) for index in indices)
        return
    batch: list[_Drawn] = []
    for index in indices:
        drawn = _drawn(card, seed, index)
        if batch and sum(len(d.near) for d in [*batch, drawn]) > MOST_AT_ONCE:
            yield from _filled_on(place.name, batch)
            batch = []
        batch.append(drawn)
    if batch:
        yield from _filled_on(place.name, batch)


def regenerate(particle: Particle, changes: Mapping[str, Any]) -> Particle:
    """The same particle with some parameters of its model card changed.

    Every random draw is kept: the accepted draw of the shell, the seed points that both
    intensities share, noise, angles, marks. So what differs is the effect of the change.

    Parameters
    ----------
    changes
        Values for some of `model_card.PARAMETERS`.

    Raises
    ------
    GenerationError
        If the changed parameters make the shell invalid: another draw would be another
        particle. If it was drawn by a version of other draws.
    ModelCardError
        For unknown parameters or values that are not allowed.
    """
    source = particle.provenance
    card = source.card.with_parameters(changes)
    require_same_draws(particle)
    pairs = {key: (source.card.parameter(key), card.parameter(key)) for key in changes}
    derivation = Derivation(
        parent=source.id,
        model_sha256=source.card.sha256,
        changes={key: pair for key, pair in pairs.items() if pair[0] != pair[1]},
    )
    try:
        return _build(card, source.seed, source.index, source.shell_attempt, derivation)
    except GenerationError as error:
        msg = (
            f"{source.id} cannot be regenerated with {dict(changes)}: {error}. Every draw is "
            "kept; change less, or generate other particles with these parameters"
        )
        raise GenerationError(msg) from error


def require_same_draws(particle: Particle) -> None:
    """Raise a GenerationError unless this program draws a particle as it was drawn."""
    source = particle.provenance
    if source.draws == DRAWS or (source.draws is None and _is_drawn_alike(particle)):
        return
    found = "version 0.1.0 and other draws" if source.draws is None else f"draws {source.draws}"
    msg = (
        f"{source.id} is of {found}, this program has draws {DRAWS}: it cannot make what differs "
        "by a change only. Regenerate it with the version of cathodegrain that made it "
        "(particle.json says which), or generate it again with this one, from the same model, "
        "seed and index, and regenerate that"
    )
    raise GenerationError(msg)


def _is_drawn_alike(particle: Particle) -> bool:
    """Whether this program draws a particle to the bit as it is."""
    source = particle.provenance
    again = _build(source.card, source.seed, source.index, source.shell_attempt)
    old, new = particle.tessellation, again.tessellation
    return (
        np.array_equal(particle.shell.coefficients, again.shell.coefficients)
        and np.array_equal(particle.origin, again.origin)
        and np.array_equal(old.seeds, new.seeds)
        and np.array_equal(old.matrices, new.matrices)
        and np.array_equal(old.offsets, new.offsets)
    )


def _build(
    card: ModelCard,
    seed: int,
    index: int,
    attempt: int | None = None,
    derivation: Derivation | None = None,
) -> Particle:
    return _filled(_drawn(card, seed, index, attempt, derivation))


@dataclass(frozen=True)
class _Drawn:
    """What random numbers make of a particle: shell, seed points, those near the shell."""

    shell: Shell
    points: MarkedPoints
    near: NDArray[np.intp]  # rows of the points
    provenance: Provenance


def _drawn(
    card: ModelCard,
    seed: int,
    index: int,
    attempt: int | None = None,
    derivation: Derivation | None = None,
) -> _Drawn:
    _check_natural(seed=seed, index=index)
    draws = partial(stream, seed, index)
    drawn = card.shell.sample(
        partial(draws, "shell"),
        first_attempt=attempt or 0,
        max_attempts=1000 if attempt is None else 1,
    )
    require_room_for_grains(card, drawn.shell)
    half = _affordable_half_width(drawn.shell, card)
    most, reach = card.laws.intensities[1], _reach(drawn.shell, card)
    points = sample_poisson(most, half, draws, reach, _marks(card))
    depth = drawn.shell.depth(points.seeds * card.pixel_um)
    points, arrived = _arrived(points, depth, card)
    provenance = Provenance(
        card=card,
        seed=seed,
        index=index,
        shell_attempt=drawn.attempt,
        shells_rejected=drawn.rejected,
        derivation=derivation,
    )
    near = np.flatnonzero(depth[arrived] >= -MARGIN * _seed_distance_um(card))
    return _Drawn(drawn.shell, points, near, provenance)


def require_room_for_grains(card: ModelCard, shell: Shell) -> None:
    """Raise a GenerationError if a shell is smaller than the size that its grains were set to.

    What the model itself has is never refused: the smallest of its shells hold a grain or two.
    """
    size = card.parameter("grains.size_um")
    if "scale" in card.grains and size is not None and size > shell.diameter_um:
        msg = (
            f"grains.size_um {size:g} exceeds the diameter of the shell, {shell.diameter_um:.3g} "
            "um; choose smaller grains or a larger shell.diameter_um"
        )
        raise GenerationError(msg)


def _arrived(
    points: MarkedPoints, depth: NDArray[np.float64], card: ModelCard
) -> tuple[MarkedPoints, NDArray[np.bool_]]:
    """The points that have arrived at the intensity of where they are, and which these are.

    ``depth`` (n,) is what `Shell.depth` says of them, um. The relative radius is rounded:
    evaluations of a shell differ in their last bits.
    """
    away = np.linalg.norm(points.seeds, axis=1) * card.pixel_um
    points = replace(points, relative_radii=rounded(away / (away + depth)))
    intensity = card.intensity * card.marker_law.intensity_factor(points.relative_radii)
    arrived = points.arrivals < intensity
    return points.select(arrived), arrived


def _marks(card: ModelCard) -> set[str]:
    """Stages of the random marks that the card's models look at."""
    marks = {card.marker_law.stage}
    if card.orientations["model"] != "none":
        marks.add("orientations")
    if max(card.laws.tilt_deg.values) > 0:
        marks.add("tilts")
    return marks


def _seed_distance_um(card: ModelCard) -> float:
    """Mean distance lambda^(-1/3) of seed points, where they are fewest."""
    return card.pixel_um * float(card.laws.intensities[0] ** (-1 / 3))


def half_width(shell: Shell, card: ModelCard) -> int:
    """Half the edge of a window that holds the shell with a margin, pixels.

    The margin keeps the edge of the window out of reach: seeds and neighbourhoods near
    the surface look as if the points went on for ever.
    """
    return int(CELL * np.ceil(max(SMALLEST_HALF_WIDTH, _reach(shell, card)) / CELL))


def _reach(shell: Shell, card: ModelCard) -> float:
    """Distance from the centre beyond which no seed is looked at, pixels."""
    return (shell.radius_bounds[1] + MARGIN * _seed_distance_um(card)) / card.pixel_um


def _affordable_half_width(shell: Shell, card: ModelCard) -> int:
    half = half_width(shell, card)
    expected = card.laws.intensities[1] * (2 * half) ** 3
    if expected > MOST_POINTS:
        msg = (
            f"grains.intensity {card.intensity} with pixels of {card.pixel_um:.3g} um and a shell "
            f"of {shell.diameter_um:.3g} um takes {expected:.2g} seed points, about "
            f"{expected * POINT_BYTES / 1e9:.0f} GB; expected at most {MOST_POINTS:.2g}: choose a "
            "larger grains.size_um, a smaller intensity or a smaller shell.diameter_um"
        )
        raise GenerationError(msg)
    return half


def _filled(drawn: _Drawn) -> Particle:
    """Particle with the grains of the seeds that own a point inside the shell."""
    card = drawn.provenance.card
    markers = card.marker_law.rounded_markers(drawn.points, drawn.near, card.laws.factors)
    points = drawn.points.select(drawn.near)
    tessellation = _tessellation(points, markers, card).scaled(card.pixel_um)
    rows = tessellation.reachable(drawn.shell, resolution=_resolution_um(card))
    return _particle(drawn, rows, markers.diagonals[rows], tessellation.select(rows))


def _resolution_um(card: ModelCard) -> float:
    """Of the search for grains that reach inside: an eighth of the least seed distance."""
    return card.pixel_um * float(card.laws.intensities[1] ** (-1 / 3)) / 8


def _filled_on(device: str, drawn: Sequence[_Drawn]) -> list[Particle]:
    """The particles of `_filled`, all of one card, their grains computed on a torch device."""
    from .grains.device_grains import GrainModel, reached_grains
    from .markers.device_markers import Window

    card = drawn[0].provenance.card
    model = GrainModel(
        law=card.marker_law,
        factors=card.laws.factors,
        metric=card.grains["metric"],
        intensity=card.intensity,
        pixel_um=card.pixel_um,
        resolution=_resolution_um(card),
    )
    windows = [
        Window(d.points, d.near, frame_axes(d.points.select(d.near), card.laws.tilt_deg))
        for d in drawn
    ]
    found = reached_grains(model, windows, [d.shell for d in drawn], device)
    if found is None:  # a matrix is not positive definite: the processor says which
        return [_filled(d) for d in drawn]
    particles = []
    for d, grains in zip(drawn, found, strict=True):
        seeds = d.points.seeds[d.near[grains.rows]]
        kept = Tessellation(seeds, grains.matrices, grains.markers.offsets, model.metric)
        diagonals = grains.markers.diagonals
        particles.append(_particle(d, grains.rows, diagonals, kept.scaled(card.pixel_um)))
    return particles


def _particle(
    drawn: _Drawn,
    rows: NDArray[np.intp],
    diagonals: NDArray[np.float64],
    tessellation: Tessellation,
) -> Particle:
    """Particle of those grains that own a point inside the shell, of the seeds ``rows`` near it.

    ``diagonals`` are those of the rows, 1 / pixel^2.
    """
    card = drawn.provenance.card
    owning = tessellation.owning(drawn.shell, resolution=_resolution_um(card))
    rows, diagonals, tessellation = rows[owning], diagonals[owning], tessellation.select(owning)
    kept = drawn.points.select(drawn.near[rows])
    directions = kept.seeds / np.linalg.norm(kept.seeds, axis=1, keepdims=True)
    model, tilt = card.orientations, card.laws.tilt_deg
    return Particle(
        shell=drawn.shell,
        tessellation=tessellation,
        diagonals=diagonals / card.pixel_um**2,
        angles=kept.angles,
        axes=frame_axes(kept, tilt) if max(tilt.values) > 0 else None,
        origin=kept.origin,
        orientations=sample_orientations(
            model["model"], model["spread_deg"], directions, kept.orientation_marks
        ),
        provenance=drawn.provenance,
    )


def _tessellation(points: MarkedPoints, markers: Markers, card: ModelCard) -> Tessellation:
    """Grains of all seed points, lengths in pixels."""
    matrices = marker_matrices(
        frame_axes(points, card.laws.tilt_deg), points.angles, markers.diagonals
    )
    try:
        return Tessellation(points.seeds, matrices, markers.offsets, card.grains["metric"])
    except ValueError as error:
        msg = (
            f"the marker law and grains.elongation {card.grains['elongation']} make grains too "
            f"long or too thin: {error}, in steps of 2^-20 px^-2; choose an elongation nearer to 1 "
            "or a law of less anisotropic grains"
        )
        raise GenerationError(msg) from error


def _check_natural(**values: int) -> None:
    for name, value in values.items():
        if value < 0:
            msg = f"{name} is {value}, expected an integer of 0 or more"
            raise GenerationError(msg)
