"""The page of a report on fitted grains: HTML of the numbers of ``fit.json``, and nothing else.

No number is computed here; what distances say is put in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..html_page import figure, framed, paragraph, table, warning
from .crystals import crystal_parts
from .tables import (
    bin_table,
    config_table,
    distance_tables,
    planar_table,
    radius_table,
    ratio_table,
    run_table,
    score_table,
    section_table,
    step_table,
    tuning_table,
    verdict_table,
)
from .words import (
    bins_sentence,
    compared_sentence,
    count_sentence,
    course_sentence,
    far_by_radius_sentence,
    far_sentence,
    floor_sentence,
    limits,
)

SECTIONS, TRAINING, PAIRS = "sections.png", "training.png", "real-and-generated.png"
PLANAR_PICTURE, SPATIAL_PICTURE = "descriptors-2d.png", "descriptors-3d.png"
PLANAR_RADIUS, SPATIAL_RADIUS = "radius-2d.png", "radius-3d.png"

Numbers = Mapping[str, Any]


def page(numbers: Numbers) -> str:
    """HTML of a report.

    Parameters
    ----------
    numbers
        JSON values as `grain_fit_report.document` makes them.
    """
    sections: tuple[tuple[str, Callable[[Numbers], Iterator[str]]], ...] = (
        ("What was fitted", _what_was_fitted),
        ("Training", _training),
        ("Real next to generated", _pairs),
        ("Distances in sections", _planar),
        ("Distances in space", _spatial),
        ("By radius", _by_radius),
        *((("Crystals", crystal_parts),) if numbers["crystals"] else ()),
        ("Intensity", _intensity),
        ("Runs", _runs),
        ("Limits", limits),
    )
    return framed(
        "Fit of grains",
        "Grains fitted to sections",
        [(title, make(numbers)) for title, make in sections],
        numbers["fit"]["software"],
    )


def _what_was_fitted(numbers: Numbers) -> Iterator[str]:
    fit = numbers["fit"]
    kept = next(one for one in fit["sections"] if one["alignment"]["kept"])
    yield from map(warning, numbers["warnings"])
    yield table(
        "",
        [],
        [
            ("sections", f"{len(fit['sections'])}, of which {numbers['n_kept']} are kept"),
            ("grains in the kept ones", f"{numbers['n_grains']}"),
            ("pixels with a grain", f"{numbers['n_pixels']}"),
            ("pixels whose grain is missing", f"{numbers['n_missing']}"),
            ("edge of a pixel", f"{kept['pixel_um']:g} µm"),
        ],
    )
    yield figure(
        SECTIONS,
        "Where the grains of all sections point; below, of the kept and of the rejected sections, "
        "the one that shows it best. A section through the centre of a particle with radial grains "
        "shows them along the radius; the others say nothing about the law and are left out.",
    )
    yield section_table(fit["sections"])
    yield paragraph(
        "The agreement is the part of the pixels with a grain to which the tessellation that was "
        "fitted to the section gives the same grain. The marker net learns from these "
        "tessellations, not from the pixels."
    )
    yield verdict_table(numbers["verdicts"])
    yield step_table(fit["sections"])
    yield planar_table(fit["planar_fit"])
    yield config_table(fit["config"], numbers["paper_config"])


def _training(numbers: Numbers) -> Iterator[str]:
    fit = numbers["fit"]
    yield paragraph(
        "A discriminator learns to tell cutouts of the measured sections from generated ones, and "
        "the marker net learns to deceive it. The losses of this game say nothing about the "
        "result: what counts is the score, the distance of generated from measured sections, and "
        "the state with the least score is kept."
    )
    yield figure(
        TRAINING,
        "Course of the training, a line for each run; thick is the run that was chosen, with the "
        f"seed {fit['runs'][fit['chosen']]['entropy']}. The score adds the Wasserstein distances "
        "of area, aspect ratio and θ in standard deviations, and twice the relative difference of "
        "the number of grains; it is 0 for sections that are alike in all of these.",
    )
    yield paragraph(course_sentence(fit["runs"][fit["chosen"]], numbers["training"][fit["chosen"]]))


def _pairs(numbers: Numbers) -> Iterator[str]:
    shown = numbers["shown"]
    sections = numbers["fit"]["sections"]
    names = "; ".join(
        f"section {one['section']} is {sections[one['section'] - 1]['file']}, with "
        f"{one['n_measured']} grains, its twin has {one['n_generated']}"
        for one in shown
    )
    yield figure(
        PAIRS,
        f"Left measured, right generated: {names}. A twin is a section through the centre of new "
        "grains of the fitted model, on the same pixels. Before anything is compared missing "
        "pixels of the measured one (dark) are given to the nearest grain; as many went missing "
        "in the twin, at its own boundaries, and were given back in the same way. Colours only "
        "tell grains apart: no grain of one picture is one of the other.",
    )


def _planar(numbers: Numbers) -> Iterator[str]:
    distances, samples = numbers["fit"]["distances"], numbers["samples"]["planar"]
    yield paragraph(compared_sentence(distances["reference"], samples, "sections"))
    yield paragraph(floor_sentence(distances["reference"]))
    yield figure(
        PLANAR_PICTURE,
        "Whole grains in sections. Density of θ (level line: no preferred orientation), "
        "distribution functions of the others.",
    )
    yield from distance_tables(numbers, "planar")
    yield paragraph(far_sentence(numbers, "planar"))
    count = distances["grains_per_area"]
    yield ratio_table("Means over the reference's", distances["planar"], "mean", count)
    yield paragraph(count_sentence(count))
    yield ratio_table("Standard deviations over the reference's", distances["planar"], "spread")


def _spatial(numbers: Numbers) -> Iterator[str]:
    distances, samples = numbers["fit"]["distances"], numbers["samples"]["spatial"]
    if samples is None:
        yield paragraph(
            "Nothing in space can be checked: the sections were measured, and the grains that they "
            "cut are not known in the third dimension. What such a fit makes of it is seen on "
            "phantoms only, sections of grains of a known law (cathodegrain phantom)."
        )
        return
    yield paragraph(compared_sentence(distances["reference"], samples, "blocks"))
    yield paragraph(floor_sentence(distances["reference"]))
    yield figure(
        SPATIAL_PICTURE,
        "Grains in space, of voxels of one pixel. Axes are those of the ellipsoid with the same "
        "second moments.",
    )
    yield from distance_tables(numbers, "spatial")
    yield paragraph(far_sentence(numbers, "spatial"))
    yield ratio_table("Means over the reference's", distances["spatial"], "mean")
    yield ratio_table("Standard deviations over the reference's", distances["spatial"], "spread")


def _by_radius(numbers: Numbers) -> Iterator[str]:
    by_radius = numbers["fit"]["distances"]["by_radius"]
    yield paragraph(
        "A law that is right on average may be wrong everywhere: grains that are too long in the "
        "core make up for grains that are too short outside. So the same distances once more for "
        "the grains of each radial bin, by t, the distance from the centre of the particle over "
        "its radius: in sections that of the centres of grains over the radius of the disc with "
        "the section's area, in space that of the seed points."
    )
    yield from _radial("planar", PLANAR_RADIUS, "Grains in sections", numbers)
    yield score_table(numbers["fit"]["distances"])
    if by_radius["spatial"]:
        yield paragraph(
            "In space blocks in the core, in the middle and outside are looked at, as many of "
            "each: the core has a larger part in the numbers of all grains than in a particle."
        )
        yield from _radial("spatial", SPATIAL_RADIUS, "Grains in space", numbers)


def _radial(space: str, picture: str, title: str, numbers: Numbers) -> Iterator[str]:
    yield figure(
        picture,
        f"{title}. Above, medians of each bin, with lines over the middle half of its grains; "
        "below, the distributions in each bin, with the KS distance of generated grains and its "
        "floor.",
    )
    yield bin_table(numbers["fit"]["distances"]["by_radius"][space])
    if merged := bins_sentence(numbers, space):
        yield warning(merged.removesuffix("."))
    for measure, name in (("ks", "KS distance"), ("mean", "Mean over the reference's")):
        yield radius_table(f"{title}: {name}, all and by radius", numbers, space, measure)
    yield paragraph(far_by_radius_sentence(numbers, space))


def _intensity(numbers: Numbers) -> Iterator[str]:
    found = numbers["intensity"]
    low, high = found["bounds"]
    yield table(
        "",
        [],
        [
            ("λ, seeds per cubic pixel", f"{found['per_cubic_pixel']:.4g}"),
            ("λ, seeds per µm³", f"{found['per_cubic_um']:.4g}"),
            ("volume for each seed", f"{found['volume_um3']:.4g} µm³"),
            ("λ at the start, seeds per cubic pixel", f"{found['first']:g}"),
        ],
    )
    yield paragraph(
        "After every epoch λ follows the number of grains that cutouts show, Eq. (13), within "
        f"{low:g} and {high:g} seeds per cubic pixel. A seed whose cell is empty has no grain: "
        "there are a few less of them than of seeds."
    )


def _runs(numbers: Numbers) -> Iterator[str]:
    yield run_table(numbers)
    yield paragraph(
        "Runs differ by their random numbers only. Scores of a run are of the same few twins "
        "for all states; the final one is of new twins of all sections, which no choice of a "
        "state has seen, and the run with the least is chosen. How much final scores differ is "
        "the least that the model is uncertain by."
        if len(numbers["fit"]["runs"]) > 1
        else "There is one run only: how far runs with other random numbers end from it is not "
        "known. The score is that of a few twins; the final one is of new twins of all sections."
    )
    if changes := tuning_table(numbers):
        yield changes
        yield paragraph(
            "After training the last layer of the best net was tuned to the sections: the spread "
            "of the offsets r, spread and mean of the entry d₁ along the radius, both before "
            "their sigmoids, and λ. The score is the same as in training, of other twins."
        )
    if numbers["cost_s"]:
        rows = [(name, f"{seconds:.0f} s") for name, seconds in numbers["cost_s"].items()]
        yield table("Time taken", [], rows, numeric=(1,))
