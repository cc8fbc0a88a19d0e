"""The page of a report on a fitted law: HTML of the numbers of ``fit.json``, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ....generator.fitting.laws.uncertainty import NORMAL_95, UNKNOWN
from ..html_page import figure, framed, paragraph, table, warning

PROFILES, DISTANCE, STATISTICS, PAIRS = (
    "profiles.png", "distance.png", "statistics.png", "measured-and-simulated.png"
)  # fmt: skip

Numbers = Mapping[str, Any]


def page(numbers: Numbers) -> str:
    """HTML of a report.

    Parameters
    ----------
    numbers
        JSON values as `report.document` makes them.
    """
    parts: tuple[tuple[str, Callable[[Numbers], Iterator[str]]], ...] = (
        ("What was fitted", _what_was_fitted),
        ("From the centre to the surface", _profiles),
        ("Whether the law meets the sections", _distance),
        ("Measured next to simulated", _pairs),
        ("Sections that the law was not fitted to", _held_out),
        ("Parameters", _parameters),
        ("Limits", _limits),
    )
    return framed(
        "Fit of a law of grains",
        "A radial law of grains fitted to sections",
        [(title, make(numbers)) for title, make in parts],
        numbers["fit"]["software"],
    )


def _what_was_fitted(numbers: Numbers) -> Iterator[str]:
    fit = numbers["fit"]
    yield from map(warning, numbers["warnings"])
    yield table(
        "",
        [],
        [
            ("sections", f"{len(fit['sections'])}, of which {_n_used(fit)} are used"),
            ("grains in these", f"{numbers['n_grains']}"),
            ("edge of a pixel", f"{numbers['pixel_um']:g} µm"),
            ("distance of the sections from the law", _distance_words(fit)),
        ],
    )
    yield table(
        "Sections",
        ["no.", "file", "rows × columns", "grains", "missing pixels", "how it is used"],
        [
            (
                str(k),
                section["file"],
                " × ".join(map(str, section["shape"])),
                str(section["n_grains"]),
                f"{100 * section['missing_part']:.1f} %",
                verdict,
            )
            for k, (section, verdict) in enumerate(
                zip(fit["sections"], numbers["verdicts"], strict=True), start=1
            )
        ],
        numeric=(0, 2, 3, 4),
    )


def _n_used(fit: Numbers) -> int:
    return sum(section["used"] for section in fit["sections"])


def _distance_words(fit: Numbers) -> str:
    words = "within" if fit["distance"] <= fit["distance_95"] else "beyond"
    return (
        f"{fit['distance']:.0f}, {words} what chance makes of {fit['n_statistics']} numbers (95 % "
        f"below {fit['distance_95']:.0f}; p = {fit['p_value']:.2g})"
    )


def _profiles(numbers: Numbers) -> Iterator[str]:
    yield paragraph(
        "The law runs from the centre of a particle to its surface: t is the distance of a seed "
        "point from the centre over that of the surface in the same direction. The medians and "
        "the intensity are log-linear between knots."
    )
    yield figure(PROFILES, "Fitted profiles and their 95 % intervals, guesses included.")
    found = numbers["profiles"]
    rows = [
        (f"{t:g}", *(_in_band(found[name], k) for name in ("intensity_um3", "aspect_ratio")))
        for k, t in enumerate(found["t"])
        if k % 10 == 0
    ]
    head = ["t", "seeds per µm³ [95 %]", "aspect ratio [95 %]"]
    yield table("Profiles", head, rows, numeric=(0, 1, 2))


def _in_band(band: Numbers, k: int) -> str:
    return f"{band['value'][k]:.3g} [{band['low'][k]:.3g}, {band['high'][k]:.3g}]"


def _distance(numbers: Numbers) -> Iterator[str]:
    fit = numbers["fit"]
    yield paragraph(
        f"Compared are {fit['n_statistics']} numbers: grains per area, quantiles of area and "
        "aspect ratio, where the grains point, in bins of the distance from the centre. Their "
        "distance Q weighs them by the inverse of their covariance. What Q chance makes is known "
        f"from {fit['n_refits']} sets of sections of the law itself, each fitted again."
    )
    yield figure(DISTANCE, f"Distance of the measured sections: {_distance_words(fit)}.")
    yield figure(
        STATISTICS,
        "Every number, measured less simulated, in the standard deviations that refits leave. "
        "Grey: three of them.",
    )
    if fit["misses"]:
        yield table(
            "Numbers that the law does not meet",
            ["t", "number", "off by, standard deviations"],
            [
                (
                    f"{one['t'][0]:g} to {one['t'][1]:g}",
                    one["statistic"],
                    f"{one['deviations']:+.1f}",
                )
                for one in fit["misses"]
            ],
            numeric=(2,),
        )
    else:
        yield paragraph(
            "No number is farther off than the farthest is in 95 % of the refits to sections of "
            "the law."
        )
    yield table(
        "Where the fit ended from each start",
        ["start", "distance", "distance and guess"],
        [(s["name"], f"{s['distance']:.1f}", f"{s['objective']:.1f}") for s in fit["starts"]],
        numeric=(1, 2),
    )


def _range(edges: list[float]) -> str:
    return f"{edges[0]:g} to {edges[1]:g}"


def _pairs(numbers: Numbers) -> Iterator[str]:
    names = "; ".join(
        f"{one['file']} with {one['n_measured']} grains, simulated {one['n_simulated']}"
        for one in numbers["shown"]
    )
    yield figure(
        PAIRS,
        f"Left measured, right a section of the law on the same pixels: {names}. Missing pixels of "
        "the right ones are filled from the nearest grain, as they are of the left ones where they "
        "are compared. Colours only tell grains apart.",
    )


def _held_out(numbers: Numbers) -> Iterator[str]:
    found = numbers["fit"]["held_out"]
    if not found:
        yield paragraph("There is one section only: none can be left out.")
        return
    yield paragraph(
        "The law was fitted again without each of the sections, and the section compared with it. "
        "Beyond the 95 % a section is not like the others."
    )
    yield table(
        "",
        ["section", "distance", "95 % of sections of the law are below"],
        [(o["file"], f"{o['distance']:.0f}", f"{o['distance_95']:.0f}") for o in found],
        numeric=(1, 2),
    )


def _parameters(numbers: Numbers) -> Iterator[str]:
    fit = numbers["fit"]
    rows = [
        (
            one["meaning"],
            f"{one['value']:.2f} ± {NORMAL_95 * one['deviation']:.2f}",
            f"{one['guess']:.2f} ± {NORMAL_95 * one['spread']:.2f}",
            f"{one['deviation'] / one['spread']:.0%}",
        )
        for one in fit["parameters"]
    ]
    yield table(
        "Parameters with 95 % intervals (bold: the sections say little)",
        ["parameter", "fitted", "guess", "what is left of the guess's spread"],
        rows,
        numeric=(1, 2, 3),
        bold=[one["deviation"] > UNKNOWN * one["spread"] for one in fit["parameters"]],
    )
    yield paragraph(
        "Intervals are the larger of two: what sections and guesses leave, linearised, and the "
        "spread of refits. A parameter that keeps the spread of its guess is not known from "
        "sections."
    )
    yield table(
        "Spread of r that is held, and the best law with it",
        ["spread of r, mean seed distances", "distance", "distance and guess"],
        [
            (f"{one['value']:g}", f"{one['distance']:.1f}", f"{one['objective']:.1f}")
            for one in fit["offset_spreads"]
        ],
        numeric=(0, 1, 2),
    )
    best = min(one["objective"] for one in fit["offset_spreads"])
    if all(math.isclose(best, one["objective"], abs_tol=4) for one in fit["offset_spreads"]):
        yield paragraph("All of them fit alike: sections do not tell what makes sizes vary.")


def _limits(numbers: Numbers) -> Iterator[str]:
    yield paragraph(
        "Sections show two dimensions. Several laws in space give nearly the same sections; the "
        "table above says what these leave open."
    )
    yield paragraph(
        "Grains are independent of each other but for their seed points; what depends on "
        "neighbours is not in this law."
    )
    yield paragraph(
        "The radius of each particle is that of a sphere with the area of its section. The outer "
        "shell and the orientations of the crystals are not part of this fit."
    )
