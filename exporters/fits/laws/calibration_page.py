"""Page of a report on grains calibrated to printed numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..html_page import Row, figure, framed, paragraph, table
from .calibration_request import NAMES

PICTURE = "laws.png"


def page(numbers: Mapping[str, Any]) -> str:
    """The whole page, from the document of the report."""
    sections = [
        ("Asked and reached", _reached(numbers)),
        ("Laws that have these numbers", _laws(numbers)),
        ("What the numbers leave open", [_list(numbers["open"])]),
    ]
    heading = "Grains calibrated to published numbers"
    return framed(heading, heading, sections, numbers["calibration"]["software"])


def _reached(numbers: Mapping[str, Any]) -> Iterator[str]:
    found = numbers["calibration"]
    view, fresh = found["view"], found["fresh_sections"]
    if found["source"]:
        yield paragraph(f"Printed in: {found['source']}.")
    planes = {"central": "through the centres", "random": "at uniform heights"}
    yield paragraph(
        f"Simulated are planes {planes[view['cuts']]} of spheres with a radius of "
        f"{view['radius_um']:.3g} um, pixels of {view['pixel_um']:g} um, grains of at least "
        f"{view['min_pixels']} pixels. Every grain counts once; those that the rim cuts do not "
        "count. The diameter is that of the disc of the grain's area, the aspect ratio that of the "
        "ellipse of its second moments, the alignment the mean of cos 2 theta, theta the angle "
        "between long axis and radius; both of grains of 8 pixels or more."
    )
    rows: list[Row] = [
        (
            f"{label}{f' ({unit.strip()})' if unit else ''}",
            "" if found["asked"][name] is None else f"{found['asked'][name]:g}",
            f"{found['reached'][name]:.4g}",
            f"{fresh[name]:.4g}",
            f"{fresh['standard_errors'][name]:.2g}",
        )
        for name, (label, unit) in NAMES.items()
    ]
    head = ["", "asked", "reached", "in other sections", "sampling error"]
    yield table("", head, rows, numeric=(1, 2, 3, 4))
    yield paragraph(
        f"The law was solved on {found['reached']['n_sections']} sections with "
        f"{found['reached']['n_grains']} whole grains, and tested on {fresh['n_sections']} others "
        f"with {fresh['n_grains']}. The sampling error is the standard error of the numbers of the "
        "latter; those of the former have about the same."
    )


def _laws(numbers: Mapping[str, Any]) -> Iterator[str]:
    yield paragraph(
        "Each law meets the numbers that were asked for, unless its row says that it does not; "
        "where it differs is what the numbers leave open. A number that one row has and another "
        "has not, such as aspect ratio or alignment, is worth measuring."
    )
    head = [
        "law", "met", "mean (um)", "std (um)", "aspect ratio", "alignment", "seed distance (um)",
        "spread", "rho", "tilt (degrees)", "card",
    ]  # fmt: skip
    yield table("", head, [_law_row(law) for law in numbers["laws"]], numeric=range(2, 10))
    yield figure(
        PICTURE,
        "Central sections of the laws that have the numbers, from the same random numbers.",
    )


def _law_row(law: Mapping[str, Any]) -> Row:
    fresh = law["fresh_sections"]
    return (
        law["name"],
        "yes" if law["met"] else "no: nearest",
        *(f"{fresh[name]:.3g}" for name in NAMES),
        f"{law['distance_um']:.3g}",
        f"{law['spread']:.3g} of {law['spread_of']}",
        f"{law['aspect_ratio']:.3g}",
        f"{law['tilt_deg']:.3g}",
        law["card"] or "",
    )


def _list(texts: list[str]) -> str:
    return "\n".join(paragraph(f"{text[0].upper()}{text[1:]}.") for text in texts)
