"""How coarse a mesh is: edges per radius of a grain, and how many tetrahedra that gives.

Where grains set the length of edges, the number of tetrahedra of a grain depends on the edges
per radius of its largest inscribed ball, its *detail*, and on little else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ..certificate.certificate import SMALL_PIXELS

FINE = "fine"
DETAILS = {FINE: 0.77, "medium": 0.445, "coarse": 0.16}  # edges per inscribed radius of a grain
COARSEST, FINEST = 0.11, 1.0  # details that are meshed
NEAR = 0.7  # how sure numbers of tetrahedra are before a mesh is made
# log of the detail, and of the tetrahedra of a grain of at least 10 px^3: 0.16, 0.445 and 0.77 were
# measured, the others are estimates that a budget corrects by the meshes it makes
LOG_DETAIL = np.log([0.11, 0.16, 0.25, 0.33, 0.445, 0.77, 1.0])
LOG_TETS = np.log([45, 58, 85, 115, 165, 440, 600])


def detail_of(detail: str | float) -> float:
    """Edges per radius of a named detail, or of a number.

    Raises
    ------
    ExportError
        If it is neither a name in `DETAILS` nor a number from `COARSEST` to `FINEST`.

    Examples
    --------
    >>> detail_of("coarse"), detail_of("0.3")
    (0.16, 0.3)
    """
    if detail in DETAILS:
        return DETAILS[str(detail)]
    try:
        number = float(detail)
    except ValueError:
        number = math.nan
    if not COARSEST <= number <= FINEST:
        msg = (
            f"detail is {detail}, expected {', '.join(DETAILS)}, or edges per radius of a grain: "
            f"a number from {COARSEST} to {FINEST}"
        )
        raise ExportError(msg)
    return number


def require_detail(
    detail: str | float, tets: int | None, surface_size_um: float | None = None
) -> None:
    """Raise an ExportError for a detail or a number that is none, or if both are given.

    Also if the number is given with a size of the surface.
    """
    detail_of(detail)
    if tets is None:
        return
    if detail != FINE:
        msg = f"detail is {detail} and tets is {tets}; give one of them: tets sets the detail"
        raise ExportError(msg)
    if surface_size_um is not None:
        msg = (
            f"tets is {tets} and surface_size_um is {surface_size_um}; give one of them: layers at "
            "the surface do not follow the detail that tets sets"
        )
        raise ExportError(msg)
    if tets < 1:
        msg = f"tets is {tets}, expected a number of tetrahedra"
        raise ExportError(msg)


def n_sizeable(volumes_um3: NDArray[np.float64], pixel_um: float) -> int:
    """Number of grains of at least `SMALL_PIXELS` pixels, 1 at least."""
    return max(1, int((volumes_um3 >= SMALL_PIXELS * pixel_um**3).sum()))


def require_budget(tets: int, n_grains: int, most: float) -> None:
    """Raise an ExportError for a number of tetrahedra far from what a mesh can have.

    That is from what ``n_grains`` grains have at least, to ``most`` at the given size.
    """
    least = math.exp(LOG_TETS[0]) * n_grains
    most = max(most, math.exp(LOG_TETS[-1]) * n_grains)
    if not NEAR * least <= tets <= most / NEAR:
        msg = (
            f"tets is {tets}, expected about {least:.0f} to {most:.0f} for {n_grains} grains of at "
            f"least {SMALL_PIXELS} pixels: fewer do not keep every grain, for more give a smaller "
            "size"
        )
        raise ExportError(msg)


def detail_for(tets: float, n_grains: int) -> float:
    """Detail at which ``n_grains`` grains have about so many tetrahedra, if no size forbids it."""
    return float(np.exp(np.interp(math.log(tets / n_grains), LOG_TETS, LOG_DETAIL)))
