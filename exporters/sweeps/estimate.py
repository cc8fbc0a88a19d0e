"""What a sweep will take, before anything is made: shells are drawn, grains are counted roughly."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...generator.errors import CathodegrainError
from ...generator.generate import require_room_for_grains
from ...generator.model_card import ModelCard
from ...generator.shell.shell import Shell
from .plan import SweepPlan, Variant

SECONDS, PER_GRAIN = 0.5, 1.7e-4  # one core: the picture and the shell; a grain
AT_SURFACE = 1.2  # mean seed distances that grains with seeds outside reach in, on average


@dataclass(frozen=True)
class Estimate:
    """Grains and time of a variant; an error if it will fail."""

    variant: Variant
    n_grains: int
    seconds: float
    error: str = ""


def estimates(plan: SweepPlan) -> list[Estimate]:
    """Estimates for all particles of a sweep, products left out."""
    shells: dict[str, Shell] = {}
    return [_estimate(plan, variant, shells) for variant in plan.variants]


def _estimate(plan: SweepPlan, variant: Variant, shells: dict[str, Shell]) -> Estimate:
    """Estimate of one of them; ``shells`` are those that have been drawn."""
    card = plan.cards[variant.model]
    changed = {k: v for k, v in variant.values.items() if k.startswith("shell.")}
    key = f"{variant.base} {changed}"
    try:
        card = card if variant.is_base else card.with_parameters(variant.values)
        if key not in shells:
            shells[key] = plan.shell(variant)
        require_room_for_grains(card, shells[key])
    except CathodegrainError as error:
        return Estimate(variant, 0, 0.0, str(error))
    n = _n_grains(card, shells[key])
    return Estimate(variant, n, round(SECONDS + PER_GRAIN * n, 1))


def _n_grains(card: ModelCard, shell: Shell) -> int:
    """Seed points inside, and those outside whose grains reach in."""
    density = card.intensity / card.pixel_um**3
    radius = shell.diameter_um / 2 + AT_SURFACE * density ** (-1 / 3)
    return max(1, round(density * 4 / 3 * math.pi * radius**3))
