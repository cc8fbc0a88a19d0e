"""What a dataset will take: measured on a few of its particles, scaled by volume.

Time and size of a particle grow with its volume. So the sample's cost for each um^3 is
multiplied by the mean volume of many shells, which are cheap to draw: the few particles that
are made need not be typical in size.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....generator.errors import CathodegrainError, DatasetError
from ....generator.streams import stream
from ..config import DatasetConfig
from ..folder import prepare
from .particle_task import Outcome, ParticleTask

SAMPLE = 5  # particles that are made, if they take no longer than
BUDGET = 60.0  # seconds, but at least
LEAST = 2
SHELLS = 200  # shells that are drawn for the mean volume
Show = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Cost of a dataset, from a sample.

    Parameters
    ----------
    count
        Particles.
    seconds, size
        (n,) float, time on one core and bytes of each particle of the sample.
    volumes
        (n,) float, their volumes, um^3.
    mean_volume
        Of the whole dataset, um^3, with its standard error.
    n_failed
        Particles of the sample that could not be made.
    """

    count: int
    seconds: NDArray[np.float64]
    size: NDArray[np.float64]
    volumes: NDArray[np.float64]
    mean_volume: tuple[float, float]
    n_failed: int

    def total(self, costs: NDArray[np.float64]) -> tuple[float, float]:
        """Cost of all particles and its standard error.

        Examples
        --------
        >>> two = np.array([1.0, 3.0])
        >>> Estimate(10, two, two, two / 2, (5.0, 0.0), 0).total(two)
        (100.0, 0.0)
        """
        mean, error = self.mean_volume
        rate = costs.sum() / self.volumes.sum()
        n = len(costs)
        scatter = costs - rate * self.volumes  # of the ratio estimator (Cochran, 1977, 6.4)
        relative = math.sqrt(float((scatter**2).sum()) / max(n - 1, 1) / n) / costs.mean()
        value = self.count * rate * mean
        return float(value), float(value * math.hypot(relative, error / mean))


def estimate_rows(
    config: DatasetConfig, parent: Path | None, jobs: int, show: Show | None = None
) -> dict[str, Any]:
    """What there is to tell of a build with ``jobs`` processes: counts, hours, bytes.

    Products of the first particles only are estimated apart, each with recipes of its own:
    a little too much.

    Raises
    ------
    DatasetError
        If no particle of a sample can be made.
    """
    found = [estimate(part, parent, show) for part in _parts(config)]
    hours, hours_error = _sum(each.total(each.seconds / 3600) for each in found)
    size, size_error = _sum(each.total(each.size) for each in found)
    return {
        "particles": config.count,
        "products": {p.name: p.count or config.count for p in config.products},
        "sample": sum(len(each.seconds) for each in found),
        "sample_failed": sum(each.n_failed for each in found),
        "core_hours": _rounded(hours),
        "core_hours_error": _rounded(hours_error),
        "jobs": jobs,
        "hours": _rounded(hours / jobs),
        "bytes": round(size),
        "bytes_error": round(size_error),
    }


def _parts(config: DatasetConfig) -> list[DatasetConfig]:
    """What is made of all particles, and each product that is made of some."""
    parts = [replace(config, products=tuple(p for p in config.products if p.count is None))]
    for product in config.products:
        if product.count is not None:
            alone = (replace(product, count=None),)
            parts.append(replace(config, count=product.count, products=alone))
    return parts


def _sum(totals: Iterable[tuple[float, float]]) -> tuple[float, float]:
    values, errors = zip(*totals, strict=True)
    return sum(values), math.hypot(*errors)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def estimate(
    config: DatasetConfig, parent: Path | None = None, show: Show | None = None
) -> Estimate:
    """Estimate of a dataset; its sample is made in a temporary folder and forgotten.

    The smallest particles of the sample come first, one of them once more before so that
    compiling is not counted; no further is begun when `BUDGET` seconds have passed.

    Raises
    ------
    DatasetError
        If no particle of the sample can be made.
    """
    volumes = {k: _volume(config, k) for k in _spread(config.indices, SAMPLE)}
    sample = _sample(config, parent, sorted(volumes, key=lambda k: volumes[k]), show)
    made = [outcome for outcome, _ in sample if outcome.state == "made"]
    if not made:
        msg = f"no particle of the sample {sorted(volumes)} can be made: {sample[0][0].reason}"
        raise DatasetError(msg)
    shells = [_volume(config, index) for index in _spread(config.indices, SHELLS)]
    known = [volume for volume in shells if volume > 0]
    error = float(np.std(known) / math.sqrt(len(known)) if len(known) < config.count else 0)
    return Estimate(
        count=config.count,
        seconds=np.array([outcome.seconds for outcome in made]),
        size=np.array([float(size) for outcome, size in sample if outcome in made]),
        volumes=np.array([volumes[outcome.index] for outcome in made]),
        mean_volume=(float(np.mean(known)), error),
        n_failed=len(sample) - len(made),
    )


def _spread(indices: range, n: int) -> list[int]:
    """At most ``n`` of the indices, evenly spread."""
    return [
        indices[k] for k in sorted(set(np.linspace(0, len(indices) - 1, n).round().astype(int)))
    ]


def _volume(config: DatasetConfig, index: int) -> float:
    """Volume of the shell of a particle, um^3; 0 if none is accepted."""
    try:
        drawn = config.card.shell.sample(
            lambda attempt: stream(config.seed, index, "shell", attempt)
        )
    except CathodegrainError:
        return 0.0
    return drawn.shell.volume_um3


def _sample(
    config: DatasetConfig, parent: Path | None, indices: list[int], show: Show | None
) -> list[tuple[Outcome, int]]:
    """What became of some particles, and the bytes of each."""
    found = []
    _measured(config, parent, indices[0])  # compiles
    end = time.monotonic() + BUDGET
    for k, index in enumerate(indices):
        if k >= LEAST and time.monotonic() > end:
            break
        found.append(_measured(config, parent, index))
        if show is not None:
            show(f"particle {index}", (k + 1) / len(indices))
    return found


def _measured(config: DatasetConfig, parent: Path | None, index: int) -> tuple[Outcome, int]:
    """What became of one particle in a temporary folder, and its bytes."""
    single = replace(config, first=index, count=1)
    origin = None if parent is None else str(parent.resolve())
    with tempfile.TemporaryDirectory() as folder:
        prepare(single, folder)
        task = ParticleTask(folder, single.sha256, origin)
        outcome = task(index)
        files = (path for path in task.place(index).rglob("*") if path.is_file())
        return outcome, sum(path.stat().st_size for path in files)
