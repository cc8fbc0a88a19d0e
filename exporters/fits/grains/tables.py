"""Tables of a report on fitted grains: the numbers of ``fit.json``, none computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..html_page import Row, paragraph, table
from .words import DESCRIPTORS, MEASURES, PLANAR_SETTINGS, SETTINGS

HEAD = ("", "generated", "95 % interval", "floor", "untrained")

Numbers = Mapping[str, Any]


def section_table(sections: Sequence[Numbers]) -> str:
    """All sections."""
    return table(
        "Sections",
        ["no.", "file", "rows × columns", "grains", "missing pixels", "agreement"],
        [
            (
                str(k),
                section["file"],
                " × ".join(map(str, section["shape"])),
                str(section["n_grains"]),
                f"{100 * section['missing_part']:.1f} %",
                "–" if section["agreement"] is None else f"{100 * section['agreement']:.1f} %",
            )
            for k, section in enumerate(sections, start=1)
        ],
        numeric=(0, 2, 3, 4, 5),
    )


def verdict_table(verdicts: Sequence[str]) -> str:
    """Which sections are kept, and why."""
    rows = [(str(k), verdict) for k, verdict in enumerate(verdicts, start=1)]
    return table("Which sections are kept", ["no.", "verdict"], rows, numeric=(0,))


def step_table(sections: Sequence[Numbers]) -> str:
    """How the sections were read or cut."""
    rows = [
        ("" if k else str(number), step["name"], str(step["n_components"] or "–"), step["remark"])
        for number, section in enumerate(sections, start=1)
        for k, step in enumerate(section["steps"])
    ]
    return table(
        "How the sections came about",
        ["section", "step", "grains", "what happened"],
        rows,
        numeric=(0, 2),
    )


def planar_table(settings: Numbers) -> str:
    """Settings of the fit of a tessellation to a section."""
    rows = [(PLANAR_SETTINGS[name], _value(value)) for name, value in settings.items()]
    return table("Fit of each tessellation", ["setting", "value"], rows)


def config_table(config: Numbers, paper: Numbers) -> str:
    """Settings of the training beside those of the paper; departures are bold."""
    names = [name for name in config if name != "name"]
    return table(
        f"Training, configuration “{config['name']}” (bold: departs from “paper”)",
        ["setting", "value", "“paper”"],
        [(SETTINGS[name], _value(config[name]), _value(paper[name])) for name in names],
        bold=[config[name] != paper[name] for name in names],
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):  # a profile
        return ", ".join(
            f"{v:.3g} at {t:g}" for t, v in zip(value["t"], value["value"], strict=True)
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def distance_tables(numbers: Numbers, space: str) -> Iterator[str]:
    """Tables of both distances; those that are far above their floor are bold."""
    comparisons = numbers["fit"]["distances"][space]
    far = {(one["descriptor"], one["measure"]) for one in numbers["far"] if one["space"] == space}
    for measure, name in MEASURES.items():
        yield table(
            f"{name} distance (bold: above {numbers['far_factor']:g} floors)",
            HEAD,
            [_distance_row(one, measure) for one in comparisons],
            numeric=(1, 2, 3, 4),
            bold=[(one["descriptor"], measure) in far for one in comparisons],
        )
    yield paragraph(
        "The distance of Kolmogorov and Smirnov (KS) is the largest vertical one of two "
        "distribution functions, from 0 (equal) to 1; that of Wasserstein the area between them, "
        "in standard deviations of the reference. Intervals hold the middle 95 % over bootstrap "
        "samples of whole sections or blocks, which lie farther apart than the samples themselves."
    )


def _distance_row(one: Numbers, measure: str) -> Row:
    return (
        DESCRIPTORS[one["descriptor"]][0],
        f"{one['generated'][measure]:.3f}",
        _interval(one["interval_95"][measure]),
        f"{one['floor'][measure]:.3f}",
        f"{one['untrained'][measure]:.3f}",
    )


def ratio_table(
    caption: str, comparisons: Sequence[Numbers], measure: str, count: Numbers | None = None
) -> str:
    """Means or spreads over those of the reference; with the grains per area if given."""
    rows = [_distance_row(one, measure) for one in comparisons]
    if count:
        values = f"{count['generated']:.3f}", _interval(count["interval_95"])
        rows.append(
            ("grains per area", *values, f"{count['floor']:.3f}", f"{count['untrained']:.3f}")
        )
    return table(caption, HEAD, rows, numeric=(1, 2, 3, 4))


def radius_table(caption: str, numbers: Numbers, space: str, measure: str) -> str:
    """A measure of all grains and of those in each radial bin, with floors; far ones are bold."""
    distances = numbers["fit"]["distances"]
    bins = distances["by_radius"][space]
    columns = [distances[space], *(one["comparisons"] for one in bins)]
    found = [one for one in numbers["far_by_radius"] if one["space"] == space]
    far = {one["descriptor"] for one in found if one["measure"] == measure}
    rows = [
        (DESCRIPTORS[same[0]["descriptor"]][0], *_with_floors([_kinds(o, measure) for o in same]))
        for same in zip(*columns, strict=True)
    ]
    head = _radius_head(bins)
    bold = [one["descriptor"] in far for one in columns[0]]
    return table(caption, head, rows, numeric=range(1, len(head)), bold=bold)


def _kinds(one: Numbers, measure: str) -> Numbers:
    return {kind: one[kind][measure] for kind in ("generated", "floor")}


def score_table(distances: Numbers) -> str:
    """Scores and grains per area of all sections and in each radial bin."""
    bins = distances["by_radius"]["planar"]
    names = {"scores": "score", "grains_per_area": "grains per area"}
    rows = [
        (name, *_with_floors([distances[key], *(one[key] for one in bins)]))
        for key, name in names.items()
    ]
    head = _radius_head(bins)
    caption = "Scores, and grains per area over the reference's, all and by radius"
    return table(caption, head, rows, numeric=range(1, len(head)))


def _radius_head(bins: Sequence[Numbers]) -> list[str]:
    names = ("all", *(one["bin"] for one in bins))
    return ["", *(text for name in names for text in (name, "floor"))]


def _with_floors(columns: Sequence[Numbers]) -> list[str]:
    return [f"{one[kind]:.3f}" for one in columns for kind in ("generated", "floor")]


def bin_table(bins: Sequence[Numbers]) -> str:
    """Where the radial bins lie, and how many grains they have."""
    sizes = ("n_generated", "n_reference")
    return table(
        "Radial bins",
        ["", "t from", "to", "grains, generated", "reference"],
        [
            (one["bin"], *(f"{t:g}" for t in one["t"]), *(str(one[n]) for n in sizes))
            for one in bins
        ],
        numeric=(1, 2, 3, 4),
    )


def _interval(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{low:.3f} to {high:.3f}"


def run_table(numbers: Numbers) -> str:
    """Runs of the nets, and what became of them."""
    runs, chosen = numbers["fit"]["runs"], numbers["fit"]["chosen"]
    return table(
        "Runs (bold: chosen)",
        ["seed", "steps", "best step", "its score", "final score", "λ (1/px³)", "ended"],
        [_run_row(run, course) for run, course in zip(runs, numbers["training"], strict=True)],
        numeric=(0, 1, 2, 3, 4, 5),
        bold=[k == chosen for k in range(len(runs))],
    )


def _run_row(run: Numbers, course: Numbers) -> Row:
    done = run["steps"] >= course["planned_steps"]
    return (
        str(run["entropy"]),
        f"{run['steps']} of {course['planned_steps']}",
        _or_dash(run["best_step"], "d"),
        _or_dash(run["best_score"], ".3f"),
        _or_dash(run["final_score"], ".3f"),
        _or_dash(run["intensity"], ".4g"),
        run["stopped"] or ("all steps done" if done else "not trained to its end"),
    )


def tuning_table(numbers: Numbers) -> str:
    """What tuning has changed in the last layer of each run; empty if it has in none."""
    runs, chosen = numbers["fit"]["runs"], numbers["fit"]["chosen"]
    rows = [(str(run["entropy"]), *_changes(run["tuning"])) for run in runs if run["tuning"]]
    if not rows:
        return ""
    return table(
        "Changes of the last layer (bold: chosen)",
        ["seed", "gain of r", "gain of d₁", "shift of d₁", "factor of λ", "score before", "after"],
        rows,
        numeric=tuple(range(7)),
        bold=[k == chosen for k, run in enumerate(runs) if run["tuning"]],
    )


def _changes(tuning: Numbers) -> Row:
    names = ("offset_gain", "radial_gain", "radial_shift", "intensity_factor")
    scores = [f"{tuning[name]:.3f}" for name in ("score_before", "score")]
    return (*(f"{tuning[name]:.3g}" for name in names), *scores)


def _or_dash(value: float | None, kind: str) -> str:
    return "–" if value is None else format(value, kind)
