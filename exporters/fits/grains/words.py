"""What the distances of fitted grains say, in words, and what a fit cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ....generator.fitting.grains.comparison import PLANAR
from ....generator.fitting.grains.statistics import SPATIAL
from ..html_page import paragraph

MEASURES = {"ks": "KS", "wasserstein": "Wasserstein"}
UNITS = {"um": "µm", "um^2": "µm²", "px^3": "px³", "rad": "degrees"}  # angles are drawn in degrees
SYMBOLS = {"theta": "θ"}


def _label(text: str) -> tuple[str, str]:
    """Name and unit of a descriptor.

    Examples
    --------
    >>> _label("theta (rad)"), _label("aspect ratio")
    (('θ', 'degrees'), ('aspect ratio', ''))
    """
    name, _, unit = text.partition(" (")
    return SYMBOLS.get(name, name), UNITS.get(unit.rstrip(")"), "")


DESCRIPTORS = {name: _label(text) for name, text in {**PLANAR, **SPATIAL}.items()}


PLANAR_SETTINGS = {
    "steps": "steps of Adam",
    "candidates": "grains in the softmax of a pixel",
    "refresh": "steps until these are looked up again",
    "rate": "learning rate of D and r",
    "seed_rate": "learning rate of the seeds (pixels)",
    "squared": "square of the norm",
}
SETTINGS = {
    "marker_widths": "widths of the marker net",
    "channels": "channels of the discriminator",
    "dense": "width of its dense layer",
    "batch_norm": "batch norm in the discriminator",
    "group_norm": "group norm in the discriminator",
    "sees_place": "the discriminator sees how far a cutout is from the centre",
    "straight_through": "the generator's images are rounded",
    "gradient_penalty": "γ of R1, on gradients of the discriminator; 0: none",
    "largest_gradient": "norm to which gradients are cut; 0: divided by their norm",
    "running_statistics": "running means while the generator learns",
    "toward_target": "loss of the generator is (D - 1)²",
    "skip_below": "the discriminator rests below a loss of",
    "batch": "cutouts of each kind in a step",
    "shared": "both nets see the same generated cutouts",
    "generator_rate": "learning rate of the generator",
    "discriminator_rate": "learning rate of the discriminator",
    "first_decay": "β₁ of Adam",
    "rate_halving": "steps until the generator's rate is halved; 0: never",
    "averaging": "decay of the running mean of the weights; 0: none",
    "boundary_width": "width of boundaries in soft images (pixels); 0: Eq. (11)",
    "least_pixels": "pixels of the smallest grain that is counted",
    "augmentation": "largest relative change of D and r of the sections",
    "farthest": "largest distance of a cutout from the centre (pixels)",
    "intensity": "λ at the start (1/px³)",
    "relative_radius": "the marker net sees the relative radius",
    "radius": "mean radius of the sections (pixels)",
    "intensity_factor": "factor on λ by the relative radius",
    "epochs": "epochs",
    "steps": "steps in each",
    "score_every": "steps between scores",
    "score_from": "first step that may have one",
    "patience": "scores without a better one that end a run; 0: no limit",
    "tuning": "scores by which the last layer is tuned to the sections; 0: it is not",
}


def floor_sentence(reference: str) -> str:
    """What the floor is: of two samples of the model, or of the truth."""
    if reference == "sections":
        return (
            "The floor is the distance of two samples of the fitted model, one as large as the "
            "measured one: what chance makes of grains of one law. The truth behind measured "
            "sections is not known, so this says how near a perfect model would be, not how near "
            "the fitted one is."
        )
    return (
        "The floor is the distance of two samples of the truth, the law of the phantom, one as "
        "large as the generated one: no model is nearer than that but by chance."
    )


def compared_sentence(reference: str, samples: Mapping[str, Any], units: str) -> str:
    """How many grains are compared with how many."""
    whose = "that were measured" if reference == "sections" else "of the phantom"
    size = {
        name: f"{found['described']} grains of {found['units']} {units}"
        for name, found in samples.items()
    }
    return (
        f"Compared are {size['generated']} of the fitted model with {size['reference']} {whose}. "
        f"Untrained is a net with random weights at the same intensity, {size['untrained']}: "
        f"what is had without a fit. For the floor {size['floor']} are compared with "
        f"{size['floor_reference']}."
    )


def far_sentence(numbers: Mapping[str, Any], space: str) -> str:
    """Which distances are far above their floor, and which no better than an untrained net's."""
    factor = numbers["far_factor"]
    far = [(one["descriptor"], _far_words(one)) for one in numbers["far"] if one["space"] == space]
    idle = [
        (one["descriptor"], name)
        for one in numbers["fit"]["distances"][space]
        for measure, name in MEASURES.items()
        if one["generated"][measure] >= one["untrained"][measure]
    ]
    return (
        f"Above {factor:g} times its floor, farther than chance explains: {_grouped(far)}. "
        if far
        else f"No distance is above {factor:g} times its floor. "
    ) + (
        f"No nearer to the reference than the untrained net: {_grouped(idle)}."
        if idle
        else "All distances are below those of the untrained net."
    )


def bins_sentence(numbers: Mapping[str, Any], space: str) -> str:
    """What t is, and which bins had too few grains; empty if none had."""
    bins = numbers["fit"]["distances"]["by_radius"][space]
    merged = [one for one in bins if len(one["parts"]) > 1]
    if not merged:
        return ""
    return (
        f"A sample has fewer than {numbers['least_grains_of_a_bin']} grains in one of the bins "
        f"{', '.join(part for one in merged for part in one['parts'])}, which are looked at "
        "together: nothing is known of a gradient within them. More or larger sections show it."
    )


def far_by_radius_sentence(numbers: Mapping[str, Any], space: str) -> str:
    """Which distances are far above their floor in which bin, and whether pooled ones hide it."""
    factor = numbers["far_factor"]
    bins = numbers["fit"]["distances"]["by_radius"][space]
    found = [one for one in numbers["far_by_radius"] if one["space"] == space]
    words = [
        f"{one['bin']}: {_grouped(own)}"
        for one in bins
        if (own := [(f["descriptor"], _far_words(f)) for f in found if f["bin"] == one["bin"]])
    ]
    if not words:
        return f"In no bin a distance is above {factor:g} times its floor."
    pooled = {one["descriptor"] for one in numbers["far"] if one["space"] == space}
    hidden = dict.fromkeys(
        DESCRIPTORS[one["descriptor"]][0] for one in found if one["descriptor"] not in pooled
    )
    return f"Above {factor:g} times its floor, in the {'; in the '.join(words)}. " + (
        f"The numbers of all grains hide this for {', '.join(hidden)}."
        if hidden
        else "The numbers of all grains show it for these descriptors as well."
    )


def _grouped(found: Sequence[tuple[str, str]]) -> str:
    """Descriptors, and behind each what is said of it.

    Examples
    --------
    >>> _grouped([("area", "KS"), ("theta", "KS"), ("theta", "Wasserstein")])
    'area (KS); θ (KS, Wasserstein)'
    """
    groups: dict[str, list[str]] = {}
    for descriptor, words in found:
        groups.setdefault(DESCRIPTORS[descriptor][0], []).append(words)
    return "; ".join(f"{name} ({', '.join(words)})" for name, words in groups.items())


def _far_words(one: Mapping[str, Any]) -> str:
    measure, ratio = MEASURES[one["measure"]], one["ratio"]
    return f"{measure}, whose floor is 0" if ratio is None else f"{measure} {ratio:.1f} times"


def course_sentence(run: Mapping[str, Any], course: Mapping[str, Any]) -> str:
    """Which state of a run was kept, and where the run went from there."""
    last = course["scores"][-1]
    if run["best_step"] == last["step"]:
        return (
            f"The state that is kept is the last one, of step {last['step']}, with a score of "
            f"{run['best_score']:.3f}: longer training may find a better one."
        )
    end = "is infinite" if last["score"] is None else f"is {last['score']:.3f}"
    return (
        f"The state that is kept is that of step {run['best_step']}, with a score of "
        f"{run['best_score']:.3f}; the score at the end, of step {last['step']}, {end}."
    )


def count_sentence(count: Mapping[str, Any]) -> str:
    """Whether the number of grains per area agrees."""
    low, high = count["interval_95"]
    if low <= 1 <= high:
        return (
            "The interval of the grains per area holds 1: these samples do not show that their "
            "number is another than in the reference."
        )
    more = "more" if low > 1 else "fewer"
    return (
        f"Generated sections show {more} grains per area than the reference: the interval does "
        "not hold 1, and chance alone does not explain it."
    )


def _seen_sentence(config: Mapping[str, Any]) -> str:
    """What the markers of a grain follow."""
    if config["relative_radius"]:
        return (
            "Markers follow the direction to the centre, the distance from it over the particle's "
            "radius, and the nearest seeds."
        )
    return (
        "The law is one for all places: markers follow the direction to the centre and the "
        "nearest seeds, not the distance from the centre; the distances by radius say what that "
        "costs."
    )


def limits(numbers: Mapping[str, Any]) -> Iterator[str]:
    """What the fit does not say."""
    texts = [
        "Sections show two dimensions. Several laws of grains in space give nearly the same "
        "sections, and the fit ends at one of them; how flat grains are across the radius is the "
        "least certain.",
        f"{_seen_sentence(numbers['fit']['config'])} Cutouts reach "
        f"{numbers['reach_um']:.3g} µm from it; beyond, the law is continued unseen.",
        f"Grains of fewer than {numbers['fit']['config']['least_pixels']} pixels are not counted, "
        "and grains that the rim cuts are in no distribution.",
        "The net learns from tessellations fitted to the sections, which differ from them as the "
        "agreements in part 1 say.",
    ]
    if numbers["fit"]["distances"]["reference"] == "sections":
        texts.append(
            "The state was chosen by its distance to the sections with which it is compared here: "
            "the distances are a little too small for other sections of the same material."
        )
    else:
        texts.append(
            "The sections are those of a phantom: the fit shows how well a known law is found "
            "again, and is no model of a material."
        )
    others = (
        "The outer shell is"
        if numbers["crystals"]
        else ("The outer shell and the orientations of the crystals are")
    )
    texts.append(f"{others} not part of this fit.")
    yield from map(paragraph, texts)
