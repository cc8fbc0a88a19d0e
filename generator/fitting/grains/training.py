r"""The stereological fit: a generator of 3D grains against sections, Section 2.5 of the paper.

In every step the discriminator sees cutouts of the measured sections (Eqs. 14, 15) and of
generated grains (Eq. 16), their values rounded to 0 and 1, and learns to give 1 and 0; then
the marker net learns to make it give 1 (Eqs. 9, 10, least squares). After every epoch the
intensity follows the number of grains that are seen, Eq. (13),

.. math:: \lambda_{e+1} = \lambda_e \, (0.5 + 0.5 \, N_{gt} / N_{gen,e}).

The losses of such a game say nothing about its result: states are compared by a score from
sections alone (`section_score`), and the best is kept.

What a step sees is drawn by a thread of its own while the step before it runs, but for the
cutouts of generated grains, which depend on the net. The random numbers are drawn in the order
of the steps all the same: nothing depends on how fast which of the two is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...markers.marker_law import CONSTANT, Profile
from ...markers.marker_net import MarkerNet
from .cutouts import FARTHEST, SIZE, Cutouts, Neighbourhoods, cutouts, neighbourhoods
from .networks import Discriminator, TorchMarkerNet
from .planar_tessellation import SectionTessellation, section_grains
from .soft_images import soft_images

DISPLACEMENT_SCALE = 10.0  # pixels
INTENSITIES = (2e-4, 5e-3)  # seeds per cubic pixel between which the intensity stays


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the nets are trained; what each departure from the paper is for.

    Parameters
    ----------
    name
        "paper", "default" or a user's own.
    marker_widths, channels, dense
        Of the nets; lost with Fig. 5, chosen here.
    batch_norm, group_norm
        Whether the discriminator has batch norm, or group norm instead of any.
    sees_place
        Whether the discriminator sees how far a cutout is from the centre: without it, what is
        wrong in the core is mended everywhere.
    straight_through
        Whether the images that the generator learns from are rounded like those that the
        discriminator has seen, with the gradients of the soft ones.
    gradient_penalty
        gamma of R1: gamma / 2 times the mean squared gradient of the discriminator at measured
        cutouts is added to its loss; 0: none.
    largest_gradient
        Norm to which larger gradients are cut; 0: all are divided by their norm.
    running_statistics
        Whether batch norm uses its running means while the generator learns. With those of
        a batch of generated cutouts only, training fails.
    toward_target
        Generator's loss: (D - 1)^2, else -D^2, which is Eq. (10) to the letter and fails.
    skip_below
        The discriminator rests while the sum of both expectations of Eq. (10) is below.
    batch
        Cutouts of each kind in a step.
    shared
        Whether both nets see the same generated cutouts: a third of the time saved.
    generator_rate, discriminator_rate
        Learning rates of Adam.
    first_decay
        beta_1 of Adam. Steps have constant size, since gradients are normalised: less
        momentum damps swings.
    rate_halving
        Steps after which the generator's rate is halved, to a third after twice as many;
        0: constant.
    averaging
        Decay of the running mean of the generator's weights that is scored and kept; 0: none.
    boundary_width
        Of the soft images that the generator learns from, pixels; 0: Eq. (11), which makes D
        drift to its bound and the volumes of the grains too much alike (see `soft_images`).
    least_pixels
        Grains with fewer pixels are not counted in Eq. (13): measured sections lose them.
    augmentation
        Largest relative change of r_i and D_i of the fitted sections.
    farthest
        Largest distance of the near edge of a cutout from the centre, pixels.
    intensity
        lambda_1, seeds per cubic pixel.
    relative_radius
        Whether the marker net sees |s| / R: without it there is one law for all distances.
    radius
        R, of the sections' discs, pixels.
    intensity_factor
        Of lambda, by the relative radius: that of the law that a net was warmed up with.
    epochs, steps
        Number of epochs and of steps in each.
    score_every
        Steps between scores, from ``score_from`` on.
    patience
        Scores without a better one after which training stops; 0: never.
    tuning
        Scores by which the last layer of the best net is tuned to the sections, see
        `last_layer`; 0: it is not.
    """

    name: str
    marker_widths: tuple[int, ...] = (128, 128, 64)
    channels: tuple[int, ...] = (16, 32, 64)
    dense: int = 64
    batch_norm: bool = True
    group_norm: bool = False
    sees_place: bool = False
    straight_through: bool = False
    gradient_penalty: float = 0.0
    largest_gradient: float = 0.0
    running_statistics: bool = True
    toward_target: bool = True
    skip_below: float = 0.32
    batch: int = 64
    shared: bool = False
    generator_rate: float = 1e-4
    discriminator_rate: float = 1e-4
    first_decay: float = 0.9
    rate_halving: int = 0
    averaging: float = 0.0
    boundary_width: float = 0.0
    least_pixels: int = 1
    augmentation: float = 0.2
    farthest: float = FARTHEST
    intensity: float = 0.0018
    relative_radius: bool = False
    radius: float = FARTHEST + SIZE
    intensity_factor: Profile = CONSTANT
    epochs: int = 200
    steps: int = 100
    score_every: int = 50
    score_from: int = 200
    patience: int = 0
    tuning: int = 0


PAPER = TrainingConfig(name="paper")
DEFAULT = TrainingConfig(
    name="default",
    batch=32,
    shared=True,
    discriminator_rate=1e-3,
    first_decay=0.5,
    rate_halving=800,
    averaging=0.98,
    boundary_width=0.5,
    least_pixels=4,
    epochs=8,
    score_from=300,
    patience=6,
    tuning=60,
)
WARM = replace(  # from a net that imitates a law, `imitation`
    DEFAULT,
    name="warm",
    relative_radius=True,
    group_norm=True,
    sees_place=True,
    straight_through=True,
    gradient_penalty=5.0,
    largest_gradient=1.0,
    skip_below=0.0,
    discriminator_rate=3e-4,
    score_from=0,
    tuning=0,
)
CONFIGS = {config.name: config for config in (PAPER, DEFAULT)}


@dataclass
class TrainingState:
    """Everything that the next step depends on; changed by every step.

    Parameters
    ----------
    step
        Steps done.
    intensity
        lambda, seeds per cubic pixel.
    seen
        Sums of this epoch: grains in measured and in generated cutouts, and of losses.
    curve
        A row for every epoch.
    """

    generator: TorchMarkerNet
    discriminator: Discriminator
    averaged: TorchMarkerNet | None
    generator_optimiser: torch.optim.Adam
    discriminator_optimiser: torch.optim.Adam
    rng: np.random.Generator
    step: int
    intensity: float
    seen: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)

    @property
    def scored(self) -> TorchMarkerNet:
        """The net that is kept: the averaged one if there is any."""
        return self.averaged or self.generator

    def scored_net(self, config: TrainingConfig) -> MarkerNet:
        """The net that is kept, as it generates particles."""
        return self.scored.marker_net(DISPLACEMENT_SCALE, config.intensity_factor)


def first_state(
    config: TrainingConfig, rng: np.random.Generator, device: str = "cpu"
) -> TrainingState:
    """Nets with random weights, before the first step."""
    generator = TorchMarkerNet(config.marker_widths, rng, config.relative_radius).to(device)
    norm = "group" if config.group_norm else "batch" if config.batch_norm else "none"
    discriminator = Discriminator(config.channels, config.dense, norm, rng, config.sees_place).to(
        device
    )
    averaged = None
    if config.averaging:
        averaged = copy.deepcopy(generator)
    betas = (config.first_decay, 0.999)
    return TrainingState(
        generator=generator,
        discriminator=discriminator,
        averaged=averaged,
        generator_optimiser=torch.optim.Adam(
            generator.parameters(), config.generator_rate, betas=betas
        ),
        discriminator_optimiser=torch.optim.Adam(
            discriminator.parameters(), config.discriminator_rate, betas=betas
        ),
        rng=rng,
        step=0,
        intensity=config.intensity,
    )


def train(
    sections: Sequence[SectionTessellation],
    config: TrainingConfig,
    state: TrainingState,
) -> Iterator[TrainingState]:
    """Train on; gives the state, one and the same object, after every step.

    Raises
    ------
    TrainingStopped
        If a loss is not finite: the state must not be used any more.
    """
    with ThreadPoolExecutor(1, "cutouts") as thread:
        for batch in _batches(thread, tuple(sections), config, state):
            hood = batch.hoods[0]
            fake = _generated(state.generator, hood, config)
            loss = _discriminator_step(state, config, batch.real, fake)
            if not config.shared:
                hood = batch.hoods[1]
                fake = _generated(state.generator, hood, config)
            generator_loss = _generator_step(state, config, hood, fake)
            _note(state, batch.real, fake, loss, generator_loss)
            state.rng = batch.rng
            state.step += 1
            if state.step % config.steps == 0:
                _end_epoch(state, config)
            yield state


class TrainingStopped(Exception):
    """A loss is not finite."""


class Batch(NamedTuple):
    """What a step sees and does not depend on the nets."""

    real: Cutouts
    hoods: tuple[Neighbourhoods, ...]  # one for both nets, or one for each
    rng: np.random.Generator  # after all this was drawn


def _batches(
    thread: ThreadPoolExecutor,
    sections: tuple[SectionTessellation, ...],
    config: TrainingConfig,
    state: TrainingState,
) -> Iterator[Batch]:
    """What the steps to come see, drawn one step ahead but for the first step of an epoch.

    The intensity of an epoch depends on the last step of the one before it.
    """
    ahead = None
    for step in range(state.step + 1, config.epochs * config.steps + 1):
        ahead = ahead or thread.submit(_batch, sections, config, state.intensity, state.rng)
        batch = ahead.result()
        is_last = step % config.steps == 0
        ahead = (
            None if is_last else thread.submit(_batch, sections, config, state.intensity, batch.rng)
        )
        yield batch


def _batch(
    sections: tuple[SectionTessellation, ...],
    config: TrainingConfig,
    intensity: float,
    rng: np.random.Generator,
) -> Batch:
    rng = copy.deepcopy(rng)  # the state keeps its own until the step is done
    grains = section_grains(sections, rng, config.batch, config.augmentation, config.farthest)
    real = cutouts(grains, config.least_pixels)
    hoods = tuple(
        generated_neighbourhoods(rng, config.batch, config, intensity)
        for _ in range(1 if config.shared else 2)
    )
    return Batch(real, hoods, rng)


def generated_neighbourhoods(
    rng: np.random.Generator, n: int, config: TrainingConfig, intensity: float
) -> Neighbourhoods:
    """Seeds round ``n`` cutouts, and what the net of a configuration wants to know of them."""
    return neighbourhoods(
        rng,
        n,
        intensity,
        DISPLACEMENT_SCALE,
        config.farthest,
        config.radius if config.relative_radius else None,
        config.intensity_factor,
    )


def _generated(net: TorchMarkerNet, hood: Neighbourhoods, config: TrainingConfig) -> Cutouts:
    """Rounded cutouts of generated grains, without gradients."""
    with torch.no_grad():
        diagonals, offsets = net(_tensor(hood.inputs, net))
    grains = hood.with_markers(diagonals.cpu().numpy(), offsets.cpu().numpy())
    return cutouts(grains, config.least_pixels)


def _tensor(values: np.ndarray[Any, Any], module: nn.Module) -> Tensor:
    return torch.from_numpy(values).to(next(module.parameters()).device)


def _discriminator_step(
    state: TrainingState, config: TrainingConfig, real: Cutouts, fake: Cutouts
) -> float:
    """Eq. (10) for both kinds of cutouts in one batch; returns the sum of its expectations."""
    net = state.discriminator.train()
    n = len(real.images)
    images = _tensor(np.concatenate([real.images, fake.images]), net)
    middles = np.concatenate([real.middles, fake.middles])
    images = _with_place(images, middles, config).requires_grad_(config.gradient_penalty > 0)
    answers = net(images)
    loss = ((answers[:n] - 1) ** 2).mean() + (answers[n:] ** 2).mean()
    value = float(loss.detach())
    if value >= config.skip_below:
        if config.gradient_penalty:
            loss = loss + config.gradient_penalty / 2 * _squared_slope(answers[:n], images)
        state.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        _limit(net, config)
        state.discriminator_optimiser.step()
    return value


def _squared_slope(answers: Tensor, images: Tensor) -> Tensor:
    """Mean over some answers of the squared gradient with respect to their images."""
    (slopes,) = torch.autograd.grad(answers.sum(), images, create_graph=True)
    return (slopes**2).sum() / len(answers)


def _with_place(images: Tensor, middles: np.ndarray[Any, Any], config: TrainingConfig) -> Tensor:
    """Images with one more channel of the relative radius of their middles, if D sees it."""
    if not config.sees_place:
        return images
    places = (middles / config.radius).astype(np.float32)
    channel = torch.from_numpy(places).to(images.device)[:, None, None, None]
    return torch.cat([images, channel.expand(-1, 1, *images.shape[2:])], dim=1)


def _generator_step(
    state: TrainingState, config: TrainingConfig, hood: Neighbourhoods, fake: Cutouts
) -> float:
    """The marker net's loss on the active grains of some cutouts, and its step."""
    net, judge = state.generator, state.discriminator
    judge.train(not config.running_statistics)
    rows = np.flatnonzero(fake.active)
    diagonals, offsets = net(_tensor(hood.inputs[rows], net))
    quadratics = (diagonals[:, :, None] * _tensor(hood.terms[rows], net)).sum(dim=1)
    starts = np.searchsorted(rows, hood.starts)
    images = soft_images(quadratics, offsets, starts, config.boundary_width)
    if config.straight_through:
        images = images + ((images > 0.5).to(images.dtype) - images).detach()
    judge.requires_grad_(False)
    answers = judge(_with_place(images, hood.middles, config))
    loss = ((answers - 1) ** 2).mean() if config.toward_target else -(answers**2).mean()
    value = float(loss.detach())
    state.generator_optimiser.zero_grad(set_to_none=True)
    loss.backward()
    judge.requires_grad_(True)
    _limit(net, config)
    rate = config.generator_rate
    if config.rate_halving:
        rate /= 1 + state.step / config.rate_halving
    state.generator_optimiser.param_groups[0]["lr"] = rate
    state.generator_optimiser.step()
    _average(state, config)
    return value


def _limit(module: nn.Module, config: TrainingConfig) -> None:
    """Divide all gradients by their common norm, or only if it is above a limit."""
    if config.largest_gradient:
        nn.utils.clip_grad_norm_(module.parameters(), config.largest_gradient)
    else:
        _normalise(module)


def _normalise(module: nn.Module) -> None:
    """Divide all gradients by their common norm."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norm = torch.sqrt(torch.stack([(g * g).sum() for g in gradients]).sum())
    if norm > 0:
        for gradient in gradients:
            gradient /= norm


def _average(state: TrainingState, config: TrainingConfig) -> None:
    if state.averaged is None:
        return
    with torch.no_grad():
        pairs = zip(state.averaged.parameters(), state.generator.parameters(), strict=True)
        for mean, new in pairs:
            mean.lerp_(new, 1 - config.averaging)


def _note(
    state: TrainingState, real: Cutouts, fake: Cutouts, loss: float, generator_loss: float
) -> None:
    if not (math.isfinite(loss) and math.isfinite(generator_loss)):
        msg = f"the losses of step {state.step} are {loss} and {generator_loss}"
        raise TrainingStopped(msg)
    row = {
        "discriminator_loss": loss,
        "generator_loss": generator_loss,
        "grains_measured": float(real.n_grains.mean()),
        "grains_generated": float(fake.n_grains.mean()),
    }
    for name, value in row.items():
        state.seen[name] = state.seen.get(name, 0.0) + value


def _end_epoch(state: TrainingState, config: TrainingConfig) -> None:
    """Eq. (13), and a row of the curve."""
    row = {name: value / config.steps for name, value in state.seen.items()}
    ratio = row["grains_measured"] / max(row["grains_generated"], 1e-9)
    state.intensity = float(np.clip(state.intensity * (0.5 + 0.5 * ratio), *INTENSITIES))
    state.curve.append({"step": state.step, **row, "intensity": state.intensity})
    state.seen = {}
