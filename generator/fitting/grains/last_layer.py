r"""The last layer of a trained net, tuned to the sections.

The discriminator says little of the offsets: a net starts with r nearly the same for all grains,
training hardly spreads them, and the volumes of the grains stay too much alike. After training
four numbers are therefore fitted to the sections: with the outputs t of the last layer before
their sigmoids and their means m,

.. math:: t_r \to m_r + g_r (t_r - m_r), \quad t_{d_1} \to m_{d_1} + b + g_1 (t_{d_1} - m_{d_1}),
          \quad \lambda \to a \lambda.

They have the least score from sections alone (`section_score`), found by the simplex method of
Nelder and Mead. What comes out is a net of the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...markers.marker_net import MarkerNet
from ...streams import stream
from ..sections.descriptors import mean_radius
from ..sections.grain_model import GrainModel
from ..sections.section import Section
from .cutouts import neighbourhoods
from .score import closed, planar_sample, score, twin

TWINS = 6  # generated sections for each score
SAMPLE = 32  # cutouts whose grains give the means m
FIRST_SIMPLEX = (2.0, 0.25, 0.2, -0.05)  # ln g_r, ln g_1, b, ln a: a step in each
CLOSE = 0.01, 0.002  # numbers and scores of a simplex that has come to its end

Values = NDArray[np.float64]
Told = Callable[[int, float], None]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a last layer was changed.

    Parameters
    ----------
    offset_gain
        g_r.
    radial_gain, radial_shift
        g_1 and b, of the entry d_1 of D along the radius.
    intensity_factor
        a.
    score_before, score
        By the same twins.
    """

    offset_gain: float
    radial_gain: float
    radial_shift: float
    intensity_factor: float
    score_before: float
    score: float


def tuned(
    net: MarkerNet,
    intensity: float,
    sections: Sequence[Section],
    seed: int,
    evaluations: int,
    told: Told,
) -> tuple[MarkerNet, float, Tuning]:
    """Net and lambda tuned to sections, and what was changed; deterministic.

    Parameters
    ----------
    evaluations
        Of the score, at most.
    told
        Called with the number of each evaluation and its score; what it raises ends the search.
    """
    measured = planar_sample([closed(section) for section in sections])
    mean = _mean_outputs(net, intensity, mean_radius(sections))
    chosen = [sections[k * len(sections) // TWINS] for k in range(TWINS)]
    scores: list[float] = []

    def cost(numbers: Values) -> float:
        model = _model(net, intensity, mean, numbers)
        rng = stream(seed, 3, "fit")  # the same for all: they differ by the numbers only
        twins = [twin(model, section, rng) for section in chosen]
        scores.append(score(planar_sample(twins), measured))
        told(len(scores), scores[-1])
        return scores[-1]

    numbers, least = _search(cost, evaluations)
    offset_gain, radial_gain, factor = np.exp(numbers[[0, 1, 3]]).tolist()
    changes = Tuning(
        offset_gain=offset_gain,
        radial_gain=radial_gain,
        radial_shift=float(numbers[2]),
        intensity_factor=factor,
        score_before=scores[0],
        score=least,
    )
    return with_last_layer(net, mean, numbers), intensity * factor, changes


def _search(cost: Callable[[Values], float], evaluations: int) -> tuple[Values, float]:
    """Numbers of the least cost that the simplex has come to, and that cost."""
    from scipy.optimize import minimize

    simplex = np.vstack([np.zeros(4), np.diag(FIRST_SIMPLEX)])
    found = minimize(
        cost,
        simplex[0],
        method="Nelder-Mead",
        options={
            "maxfev": evaluations,
            "initial_simplex": simplex,
            "xatol": CLOSE[0],
            "fatol": CLOSE[1],
        },
    )
    return np.asarray(found.x), float(found.fun)


def _model(net: MarkerNet, intensity: float, mean: Values, numbers: Values) -> GrainModel:
    law = with_last_layer(net, mean, numbers)
    return GrainModel(law, intensity * float(np.exp(numbers[3])))


def with_last_layer(net: MarkerNet, mean: Values, numbers: Values) -> MarkerNet:
    """Net whose outputs before the sigmoids are changed about their means.

    Parameters
    ----------
    mean
        m, (4,), of r, d_1, d_2, d_3.
    numbers
        ln g_r, ln g_1, b, and more that is not looked at.
    """
    gain = np.array([np.exp(numbers[0]), np.exp(numbers[1]), 1.0, 1.0])
    shift = np.array([0.0, numbers[2], 0.0, 0.0])
    weights = (*net.weights[:-1], gain[:, None] * net.weights[-1])
    biases = (*net.biases[:-1], gain * net.biases[-1] + (1 - gain) * mean + shift)
    return replace(net, weights=weights, biases=biases)


def _mean_outputs(net: MarkerNet, intensity: float, radius: float) -> Values:
    rng = stream(0, 4, "fit")
    hood = neighbourhoods(
        rng,
        SAMPLE,
        intensity,
        net.displacement_scale,
        radius=radius if net.sees_radius else None,
        intensity_factor=net.intensity_factor,
    )
    mean: Values = net.outputs(hood.inputs.astype(np.float64)).mean(axis=0)
    return mean
