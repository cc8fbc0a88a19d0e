"""The page of a report on fitted shells: HTML of the numbers of ``fit.json``, and nothing else.

The only numbers computed here are means and ratios of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ....generator.fitting.shells.comparison import DESCRIPTORS
from ..html_page import Row, figure, framed, paragraph, table, warning

INPUTS = {
    "grey": "grey levels",
    "segmented": "two values, particles and what is between them",
    "labelled": "a number for each particle",
}
FAMILIES = {"norm": "normal", "t": "Student t", "lognorm": "log-normal"}
PARAMETERS = {"sigma": "σ", "loc": "location", "nu": "ν", "shape": "shape", "scale": "scale"}
NO_UNIT = ("nu", "shape")
ROOT_UNITS = {"volume_um3": "µm^(3/2)", "area_um2": "µm", "sphericity": "–", "elongation": "–"}


def page(numbers: Mapping[str, Any]) -> str:
    """HTML of a report.

    Parameters
    ----------
    numbers
        JSON values as `shell_fit_report.document` makes them.
    """
    sections = (
        ("What was fitted", _what_was_fitted),
        ("Particles that were found", _segmentation),
        ("Star shapes", _star_shapes),
        ("Laws of the coefficients", _laws),
        ("Dependence on the size", _dependence),
        ("Real next to generated", _shells),
        ("Distributions", _distributions),
    )
    return framed(
        "Fit of shells",
        "Shells of particles fitted to CT volumes",
        [(title, make(numbers)) for title, make in sections],
        numbers["fit"]["software"],
    )


def _what_was_fitted(numbers: Mapping[str, Any]) -> Iterator[str]:
    fit, shell = numbers["fit"], numbers["shell"]
    for text in numbers["warnings"]:
        yield warning(text)
    yield table(
        "",
        [],
        [
            ("edge of a voxel", f"{shell['voxel_um']:g} µm"),
            ("whole particles", f"{numbers['n_whole']}"),
            ("fitted", f"{fit['n_particles']}"),
            ("left out, not star-shaped", f"{fit['n_not_star_shaped']}"),
            ("largest degree", f"{shell['max_degree']}"),
            *_settings(fit["settings"]),
            ("seed", f"{fit['entropy']}"),
            ("bootstrap samples", f"{fit['n_bootstrap']}"),
        ],
    )
    for volume in fit["volumes"]:
        nz, ny, nx = volume["shape"]
        yield table(
            f"{volume['file']}: {nz} × {ny} × {nx} voxels (z, y, x)",
            ["step", "components", "what happened"],
            [
                (step["name"], str(step["n_components"] or "–"), step["remark"])
                for step in volume["steps"]
            ],
            numeric=(1,),
        )


def _settings(settings: Mapping[str, Any]) -> Iterator[Row]:
    """What was set for the segmentation, as far as the kind of volume uses it."""
    yield "volumes hold", INPUTS[settings["input"]]
    if settings["input"] == "grey":
        yield "Gaussian filter", f"{settings['sigma']:g} voxels"
    if settings["input"] != "labelled":
        yield "necks cut below", f"{settings['neck']:g} of the inscribed radius"
    yield "components merged below", f"{settings['min_voxels']} voxels"
    yield "or below a sphericity of", f"{settings['min_sphericity']:g}"


def _segmentation(numbers: Mapping[str, Any]) -> Iterator[str]:
    for k, volume in enumerate(numbers["fit"]["volumes"], start=1):
        yield figure(
            f"section-{k}.png",
            f"Middle layer (z) of {volume['file']}. Left as it was read; right the whole "
            "particles, each in a colour of its own, dark lines where two of them touch. "
            "Particles that the border of the volume cuts are left out.",
        )


def _star_shapes(numbers: Mapping[str, Any]) -> Iterator[str]:
    captured, residual = numbers["fit"]["captured_volume"], numbers["fit"]["residual"]
    yield paragraph(
        f"From the centre of mass {_percent(captured['mean'])} of a particle's volume is seen in "
        f"the mean (in the paper: 96 %); for {_percent(captured['below_90_percent'])} of the "
        "particles it is less than 90 %. What is not seen, a radius in each direction cannot "
        "describe. (A little more than 100 % is an error of the 642 rays.) The expansion leaves "
        f"{_percent(residual['median'])} of the mean radius (root mean square) in the median, and "
        f"less than {_percent(residual['p95'])} for 95 % of the particles."
    )
    yield figure("star-shapes.png", "Volume captured, and residual of the expansion.")


def _laws(numbers: Mapping[str, Any]) -> Iterator[str]:
    degrees = numbers["fit"]["degrees"]
    yield figure(
        "laws.png",
        "Coefficients of all particles (grey) and the law of each family with the largest "
        "likelihood; the thick one is chosen. The 2l + 1 coefficients of a degree l share a law. "
        f"Lengths are voxels of {numbers['shell']['voxel_um']:g} µm. The first and the last "
        "hundredth of the coefficients are beyond the edges.",
    )
    yield paragraph(
        "The family with the largest likelihood is chosen, as in the paper. Intervals hold the "
        "middle 99 % of fits to bootstrap samples of the particles. A Student t law that cannot "
        "be told from a normal one is called normal; a log-normal law is missing where the "
        "coefficients are not skewed to the right."
    )
    yield table(
        "Chosen laws",
        ["degree", "family", "parameter", "value", "99 % interval", "standard error"],
        [row for degree in degrees for row in _parameter_rows(degree)],
        numeric=(0, 3, 4, 5),
    )
    best = numbers["family_of_least_aic"]
    yield table(
        "Families (bold: chosen)",
        ["degree", "family", "log-likelihood", "AIC", ""],
        [row for degree, aic in zip(degrees, best, strict=True) for row in _families(degree, aic)],
        numeric=(0, 2, 3),
        bold=[k == 0 for degree in degrees for k in range(len(degree["families"]))],
    )
    other = [
        f"{FAMILIES[aic]} for degree {degree['degree']}"
        for degree, aic in zip(degrees, best, strict=True)
        if aic != degree["families"][0]["family"]
    ]
    if other:
        yield paragraph(
            "Akaike's criterion (AIC), which counts parameters, would choose another family than "
            f"the likelihood: {', '.join(other)}."
        )
    else:
        yield paragraph("Akaike's criterion (AIC) chooses the same families as the likelihood.")


def _parameter_rows(degree: Mapping[str, Any]) -> Iterator[Row]:
    chosen = degree["families"][0]
    for k, (name, (low, high)) in enumerate(degree["interval_99"].items()):
        unit = "" if name in NO_UNIT else " (voxels)"
        yield (
            "" if k else str(degree["degree"]),
            "" if k else FAMILIES[chosen["family"]],
            f"{PARAMETERS[name]}{unit}",
            f"{chosen[name]:#.4g}",
            f"{low:#.4g} to {high:#.4g}",
            f"{degree['standard_error'][name]:#.2g}",
        )


def _families(degree: Mapping[str, Any], least_aic: str) -> Iterator[Row]:
    for k, law in enumerate(degree["families"]):
        yield (
            "" if k else str(degree["degree"]),
            FAMILIES[law["family"]],
            f"{law['log_likelihood']:.2f}",
            f"{law['aic']:.2f}",
            "least AIC" if law["family"] == least_aic else "",
        )


def _dependence(numbers: Mapping[str, Any]) -> Iterator[str]:
    found = numbers["fit"]["dependence"]
    times = [d["edcc"] / d["edcc_shuffled"] for d in found]
    yield paragraph(
        "The model draws size and shape independently. That is right where the distance "
        "correlation (EDCC) of the size a_00 and the coefficients of a degree is no larger than "
        "with the particles of a_00 shuffled, which is what independent data of this number give; "
        "where it is larger, the shapes of large and small particles differ more than those that "
        f"the model makes. Here it is {min(times):.2f} to {max(times):.2f} times as large. "
        "Pearson's coefficient sees linear dependence only."
    )
    yield figure("dependence.png", "Dependence on a_00 of the coefficients of each degree.")
    yield table(
        "",
        ["degree", "EDCC", "EDCC, shuffled", "|Pearson|"],
        [
            (
                str(d["degree"]),
                f"{d['edcc']:.3f}",
                f"{d['edcc_shuffled']:.3f}",
                f"{d['pearson']:.3f}",
            )
            for d in found
        ],
        numeric=(0, 1, 2, 3),
    )


def _shells(numbers: Mapping[str, Any]) -> Iterator[str]:
    n = len(numbers["shells_shown"]["generated_index"])
    yield figure(
        "shells.png",
        f"{n} measured particles, as their spherical harmonics show them, at evenly spaced ranks "
        f"of volume, and {n} of {numbers['comparison']['n_generated']} generated shells drawn at "
        f"random; the number is the particle's index with the seed {numbers['fit']['entropy']}. "
        "All have the same scale, light and camera; each measured particle is turned at random.",
    )


def _distributions(numbers: Mapping[str, Any]) -> Iterator[str]:
    found = numbers["comparison"]
    yield paragraph(
        f"{found['n_measured']} measured particles, as bodies of their spherical harmonics, are "
        f"compared with {found['n_generated']} generated ones. Left out: {found['n_left_out']} "
        "measured, which a model would reject (not star-shaped, or of too low a sphericity); "
        f"rejected: {found['n_rejected']} draws."
    )
    yield figure(
        "distributions.png",
        "Fraction of the shells that is not above a value; the curves of the last panel go on.",
    )
    rows = found["descriptors"]
    yield table(
        "Kolmogorov-Smirnov distance",
        ["", "distance", "95 % interval", "between halves"],
        [
            (_name(d), f"{d['ks']:.3f}", _interval(d["ks_interval"]), f"{d['ks_floor']:.3f}")
            for d in rows
        ],
        numeric=(1, 2, 3),
    )
    yield paragraph(
        "The largest vertical distance between the two curves, from 0 (equal) to 1. The interval "
        "holds the middle 95 % over bootstrap samples, which lie farther apart than the samples "
        "themselves; the last column is the median distance between two random halves of the "
        "measured particles, and a model that is right is about that far away, or closer."
    )
    yield table(
        "Energy distance",
        ["", "unit", "distance", "95 % interval", "between halves"],
        [
            (
                _name(d),
                ROOT_UNITS[d["descriptor"]],
                f"{d['energy']:#.3g}",
                _interval(d["energy_interval"]),
                f"{d['energy_floor']:#.3g}",
            )
            for d in rows
        ],
        numeric=(2, 3, 4),
    )
    yield paragraph(
        "The energy distance sees the whole distribution, its tails included, and is 0 only if "
        "both are equal; interval and last column as above."
    )
    yield from _held_out(numbers["held_out"])


def _held_out(tests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield table(
        "Particles held out (energy distances)",
        ["", "unit", "model to held-out half", "half to held-out half", "ratio"],
        [
            (
                _name(test),
                ROOT_UNITS[test["descriptor"]],
                f"{_mean(test['generated']):#.3g}",
                f"{_mean(test['halves']):#.3g}",
                f"{test['ratio']:.2f}",
            )
            for test in tests
        ],
        numeric=(2, 3, 4),
    )
    yield paragraph(
        "The laws are fitted to one half of the particles, and the shells that they give are "
        f"compared with the other half, {len(tests[0]['generated'])} times; numbers are means. The "
        "ratio is about 1 if generated shells are as close to unseen particles as measured ones "
        "are, and above it by what the model misses."
    )


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _name(found: Mapping[str, Any]) -> str:
    return DESCRIPTORS[found["descriptor"]].partition(" (")[0]


def _interval(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{low:#.3g} to {high:#.3g}"
