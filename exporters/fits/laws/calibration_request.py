"""What is asked of a calibration: printed numbers, read from text, and how they were measured."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ....generator.errors import FitError
from ....generator.fitting.laws.calibration import CARRIERS, Carrier
from ....generator.fitting.laws.published_numbers import (
    CUTS,
    Cuts,
    Numbers,
    SectionView,
    contradictions,
    problems,
)
from ....generator.model_card import ModelCard
from ..options import CalibrationOptions, Spelling

PLUS_MINUS = re.compile(r"\s*(?:\+/?-|±)\s*")


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest:
    """Numbers, view, and what a law may look like.

    Parameters
    ----------
    asked
        Printed numbers.
    view
        How they were measured.
    carrier
        What spreads the sizes.
    source
        Where they are printed.
    seed
        Entropy of the simulated sections.
    base
        Card that shells and orientations are taken from.
    """

    asked: Numbers
    view: SectionView
    carrier: Carrier
    source: str | None
    seed: int
    base: ModelCard

    @classmethod
    def of(
        cls, diameter: str | float, options: CalibrationOptions, base: ModelCard, option: Spelling
    ) -> CalibrationRequest:
        """Request that can be simulated.

        Raises
        ------
        FitError
            With all reasons why it cannot.
        """
        mean, std = diameter_um(diameter, option)
        asked = Numbers(mean, std, options.aspect, options.alignment)
        view = SectionView(
            pixel_um=options.pixel_um,
            min_pixels=options.min_pixels,
            cuts=_cuts(options.cuts, option),
            radius_um=base.shell.median_radius_um
            if options.radius_um is None
            else options.radius_um,
        )
        carrier = _carrier(options.spread, option)
        found = list(problems(asked, view)) or list(contradictions(asked, view))
        if options.seed < 0:
            found.append(f"{option('seed')} is {options.seed}, expected 0 or more")
        if found:
            raise FitError("; ".join(found))
        return cls(
            asked=asked,
            view=view,
            carrier=carrier,
            source=options.source,
            seed=options.seed,
            base=base,
        )


def diameter_um(text: str | float, option: Spelling = str) -> tuple[float, float | None]:
    """Mean and standard deviation of a diameter; None if only a mean is given.

    Examples
    --------
    >>> diameter_um("0.598+-0.305"), diameter_um("0.6 ± 0.3"), diameter_um(0.6)
    ((0.598, 0.305), (0.6, 0.3), (0.6, None))
    """
    try:
        mean, *spread = (float(part) for part in PLUS_MINUS.split(str(text).strip()))
        if len(spread) > 1:
            raise ValueError
    except ValueError as error:
        msg = (
            f"{option('diameter')} is {str(text)!r}, expected a mean and its standard deviation in "
            "um, as 0.598+-0.305, or a mean"
        )
        raise FitError(msg) from error
    return mean, spread[0] if spread else None


def _cuts(text: str, option: Spelling) -> Cuts:
    for one in CUTS:
        if text == one:
            return one
    msg = f"{option('cuts')} is {text!r}, expected {' or '.join(CUTS)}"
    raise FitError(msg)


def _carrier(text: str, option: Spelling) -> Carrier:
    for one in CARRIERS:
        if text == one:
            return one
    msg = f"{option('spread')} is {text!r}, expected {' or '.join(CARRIERS)}"
    raise FitError(msg)


NAMES = {
    "mean_um": ("mean diameter", " um"),
    "std_um": ("standard deviation", " um"),
    "aspect_ratio": ("mean aspect ratio", ""),
    "alignment": ("alignment", ""),
}


def words(numbers: Numbers, only: Numbers | None = None) -> str:
    """Numbers in words; only those that ``only`` has, if given.

    Examples
    --------
    >>> words(Numbers(0.598, 0.305))
    'mean diameter 0.598 um, standard deviation 0.305 um'
    """
    shown = (only or numbers)._asdict()
    return ", ".join(
        f"{NAMES[name][0]} {value:.3g}{NAMES[name][1]}"
        for name, value in numbers._asdict().items()
        if shown[name] is not None and value is not None and math.isfinite(value)
    )


def view_words(view: SectionView) -> str:
    """How numbers were measured, in words."""
    planes = {"central": "planes through the centres", "random": "planes at uniform heights"}
    return (
        f"{planes[view.cuts]} of spheres with a radius of {view.radius_um:.3g} um, grains of at "
        f"least {view.min_pixels} pixels of {view.pixel_um:g} um that the rim does not cut"
    )
