"""Where the two halves of a fitted card come from: one was fitted, the other is another card's.

The text ``fitted_on`` has a part for each half, "Shell: ..." and "Grains: ...", and limits begin
in the same way. What is taken from another card says so: "Shell, as in the model nmc811: ...".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ..model_card import ModelCard

Half = Literal["Shell", "Grains"]
LISTED = 6  # files that a text names
HEADING = re.compile(
    r"(?:^|(?<=\s))(Shell|Grains)"
    r"(?=(?:, as in the model [a-z0-9._-]+)*(?:, whose card says)?: )"
)


def fitted_on(card: ModelCard, half: Half) -> str:
    """What a half of ``card`` was fitted to; all that the card says if it does not tell them apart.

    Examples
    --------
    >>> fitted_on(ModelCard.load("nmc811-radial"), "Grains")[:60]
    'Grains, as in the model nmc811-radial: not fitted; an analyt'
    """
    text = card.document["fitted_on"]
    parts = HEADING.split(text)[1:]
    told = dict(zip(parts[::2], parts[1::2], strict=True))
    rest = told.get(half, f", whose card says: {text}").strip()
    return f"{half}, as in the model {card.name}{rest}"


def limits(card: ModelCard, half: Half) -> list[str]:
    """Limits of a half of ``card``: of those without a heading grains have the ones that name them.

    Examples
    --------
    >>> limits(ModelCard.load("nmc811-radial"), "Grains")
    ['Grains, as in the model nmc811-radial: The grain architecture is a phantom, not a fit to \
EBSD maps of NMC811.']
    """
    return [
        f"{half}, as in the model {card.name}{_without_heading(limit)}"
        for limit in card.document["limits"]
        if _half(limit) == half
    ]


def _half(limit: str) -> str:
    if found := HEADING.match(limit):
        return found[1]
    return "Grains" if "grain" in limit.lower() else "Shell"


def _without_heading(limit: str) -> str:
    found = HEADING.match(limit)
    return limit[found.end() :] if found else f": {limit}"


def listed(names: Sequence[str]) -> str:
    """Names of files, of many the first.

    Examples
    --------
    >>> listed(["a.ctf", "b.ctf"]), listed([f"{k}.ctf" for k in range(9)])
    ('a.ctf, b.ctf', '0.ctf, 1.ctf, 2.ctf, 3.ctf, 4.ctf, 5.ctf and 3 more')
    """
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
