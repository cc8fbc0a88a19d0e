"""Model cards for readers: a README in Hugging Face's format from a card's own fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...generator.model_card import PARAMETERS, ModelCard
from .yaml_text import front_matter

LICENCE = "bsd-3-clause"  # cards come with the program
TAGS = ("battery", "NMC811", "microstructure", "tessellation", "spherical-harmonics")
USE = """\
Drawing virtual secondary particles of NMC cathodes, with grains, for finite-element and voxel
simulations, and as data with known truth for segmentation, meshing and learning:

```bash
cathodegrain generate --model {name} --seed 7 --count 3 --out particles --export voxels
```

It does not describe particles beyond the limits below, and it draws geometry: nothing in it
predicts capacity, ageing or fracture.
"""


def model_readme(card: ModelCard) -> str:
    """Markdown with front matter; equal cards give equal text."""
    fields = card.document
    parts = [
        front_matter(_head(card)),
        f"# {fields['title']}\n\n{fields['description']}\n",
        f"`{card.name}`, SHA-256 of its canonical JSON `{card.sha256}`.\n",
        "## Intended use\n\n" + USE.format(name=card.name),
        "## Limits\n\n" + bullets(fields["limits"]),
        f"## Training data\n\n{fields['fitted_on']}\n\n" + _volumes(fields["shell"]),
        "## Parameters\n\n" + _parameters(card),
        "## Shell\n\n" + _shell(fields["shell"]),
        "## Grains\n\n" + _grains(fields["grains"]),
        "## Metrics\n\n" + _metrics(fields),
        "## Choices that the paper leaves open\n\n" + _assumptions(fields["assumptions"]),
        "## References\n\n" + bullets(fields["references"]),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown table.

    Examples
    --------
    >>> print(table(["name", "value"], [["a", 0.5]]), end="")
    | name | value |
    | --- | --- |
    | a | 0.5 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _head(card: ModelCard) -> dict[str, Any]:
    return {
        "license": LICENCE,
        "library_name": "cathodegrain",
        "tags": list(TAGS),
    }


def bullets(lines: Sequence[str]) -> str:
    """Markdown list."""
    return "".join(f"- {line}\n" for line in lines)


def _parameters(card: ModelCard) -> str:
    values = {key: card.parameter(key) for key in PARAMETERS}
    shown = {key: "as drawn" if value is None else value for key, value in values.items()}
    rows = [[f"`{key}`", shown[key], text] for key, text in PARAMETERS.items()]
    return "`--set NAME=VALUE` changes them.\n\n" + table(["name", "value", "meaning"], rows)


def _law(fields: Mapping[str, Any]) -> str:
    if "t" in fields:
        return _profile(fields["t"], fields["value"])
    values = ", ".join(
        f"{k} {_cell(v)}" for k, v in fields.items() if k not in ("family", "degree")
    )
    return f"{fields['family']}: {values}"


def _profile(knots: Sequence[float], values: Sequence[float]) -> str:
    """Values at relative radii; one value holds everywhere."""
    if len(knots) == 1:
        return _cell(values[0])
    return ", ".join(
        f"{_cell(value)} at t = {_cell(t)}" for t, value in zip(knots, values, strict=True)
    )


def _shell(shell: Mapping[str, Any]) -> str:
    rows = [["a_00", _law(shell["size"])]]
    rows += [[f"a_{order['degree']}m", _law(order)] for order in shell["orders"]]
    return (
        "Laws of the coefficients of the radius in real orthonormal spherical harmonics, in "
        f"voxels of {shell['voxel_um']} um. Draws with a sphericity below "
        f"{shell['min_sphericity']}, a radius below {shell['min_radius_um']} um or above "
        f"{shell['max_radius_um']} um are rejected.\n\n" + table(["coefficient", "law"], rows)
    )


def _grains(grains: Mapping[str, Any]) -> str:
    markers = grains["markers"]
    rows = [
        [f"`{key}`", _law(value) if isinstance(value, Mapping) else value]
        for key, value in markers.items()
    ]
    return (
        f"Poisson seed points, {grains['intensity']} per cubic pixel of {grains['pixel_um']} um, "
        f"and markers of a GBPD with the metric `{grains['metric']}`.\n\n"
        + table(["marker", "law"], rows)
    )


def _volumes(shell: Mapping[str, Any]) -> str:
    volumes = shell.get("fit", {}).get("volumes", [])
    if not volumes:
        return ""
    rows = [
        [f"`{v['file']}`", " x ".join(map(str, v["shape"])), f"`{v['sha256']}`"] for v in volumes
    ]
    return table(["volume", "voxels (z, y, x)", "SHA-256 of its voxels"], rows)


def _metrics(document: Mapping[str, Any]) -> str:
    shell, grains = document["shell"].get("fit"), document["grains"].get("fit")
    calibration = document["grains"].get("calibration")
    parts = []
    if shell:
        parts.append(table(["of the fit of the shell", "value"], list(_fit_rows(shell))))
    if grains:
        parts.append(_grain_distances(grains["distances"]))
    if calibration:
        parts.append(_calibration(calibration))
    return "\n".join(parts) or "The card records no fit.\n"


def _calibration(found: Mapping[str, Any]) -> str:
    """Numbers of sections: published ones, and those of the law."""
    rows = [
        [f"`{name}`", "" if asked is None else asked, found["fresh_sections"][name]]
        for name, asked in found["asked"].items()
    ]
    return table(["of grains in sections", "published", "of the model"], rows)


def _grain_distances(found: Mapping[str, Any]) -> str:
    """Distances of generated grains, with what stands beside them."""
    rows = [
        [
            f"{one['descriptor'].replace('_', ' ')} ({place})",
            *(f"{one[kind]['ks']:.3f}" for kind in ("generated", "floor", "untrained")),
            *(f"{one['generated'][part]:.2f}" for part in ("mean", "spread")),
        ]
        for place in ("planar", "spatial")
        for one in found[place]
    ]
    head = ["of the fit of the grains", "KS", "floor", "untrained", "mean", "spread"]
    count = found["grains_per_area"]["generated"]
    return (
        table(head, rows) + f"\n{found['n_planar_grains']} generated grains in sections and "
        f"{found['n_spatial_grains']} in space against the {found['reference']}: "
        "Kolmogorov-Smirnov distances, of two samples of one law (floor), of a net with random "
        "weights; mean and standard deviation over those of the reference. "
        f"Grains per area: {count:.3f} of the reference's.\n"
    )


def _fit_rows(fit: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "particles fitted", fit["n_particles"]
    yield "left out, not star-shaped", fit["n_not_star_shaped"]
    yield "volume seen from the centre, mean", fit["captured_volume"]["mean"]
    yield "particles of which less than 90 % is seen", fit["captured_volume"]["below_90_percent"]
    residual = fit["residual"]
    yield "RMS of the radius left by the harmonics over the mean radius, median", residual["median"]
    yield "the same, 95 %", residual["p95"]
    for degree in fit["degrees"]:
        best = degree["families"][0]
        name = f"log-likelihood and AIC of degree {degree['degree']} ({best['family']})"
        yield name, f"{best['log_likelihood']:.6g}, {best['aic']:.6g}"


def _assumptions(assumptions: Sequence[Mapping[str, str]]) -> str:
    rows = [[f"`{a['field']}`", a["choice"], a["reason"]] for a in assumptions]
    return table(["field", "choice", "reason"], rows)
