"""Named streams of random numbers: the only place that turns a seed into generators."""

from __future__ import annotations

import numpy as np

# Number of the recipes that these streams and what draws from them make of a card: raised
# whenever tests/golden_hashes.json changes. Particles of different draws are not paired.
DRAWS = 6

# Append only: the position of a name is part of every published particle.
STAGES = (
    "shell", "points", "noise", "angles", "orientations", "markers", "fit", "section", "phantom",
    "changes", "crops", "tilts", "sizes",
)  # fmt: skip


def stream(seed: int, particle: int, stage: str, *key: int) -> np.random.Generator:
    """Philox generator of one stage of one particle.

    The streams of different particles, stages and keys are independent, so that
    particle 7 is the same whether or not particles 0 to 6 were made, and drawing more
    shell coefficients does not move a single seed point.

    Parameters
    ----------
    seed
        Non-negative seed of the whole series of particles.
    particle
        Index of the particle, 0 or larger.
    stage
        One of ``STAGES``.
    key
        Further integers of any sign, for example an attempt or a cell of the window.

    Examples
    --------
    >>> stream(7, 0, "points", -1).random() == stream(7, 0, "points", -1).random()
    True
    >>> stream(7, 0, "points", -1).random() == stream(7, 0, "points", 1).random()
    False
    """
    spawn_key = (particle, STAGES.index(stage), *(_natural(k) for k in key))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=spawn_key)))


def _natural(k: int) -> int:
    """Map ..., -2, -1, 0, 1, 2, ... one to one onto ..., 3, 1, 0, 2, 4, ..."""
    return 2 * k if k >= 0 else -2 * k - 1
