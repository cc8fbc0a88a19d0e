"""Folders of sections of a phantom: images of labels, a document and a picture of all.

``section-000.tif``, ... hold labels of 32 bits (-1 missing, 0 outside, 1 ... n grains, numbered
in each section), ``phantom.json`` the law that a fit is to find and what `read_section` needs
to know, by ``schemas/phantom-1.0.0.schema.json``, ``sections.png`` is of `section_report`. A
folder is there whole or not at all; equal plans give equal bytes (the picture with one version
of matplotlib).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...generator.errors import ExportError, FitError, suggestion
from ...generator.fitting.sections.files import read_section
from ...generator.fitting.sections.grain_model import GrainModel
from ...generator.fitting.sections.phantom import (
    HALF_WIDTH,
    PHANTOMS,
    PIXEL_UM,
    particle_radius,
    phantom_offsets,
    phantom_series,
)
from ...generator.fitting.sections.section import MISSING, OUTSIDE, Section
from ...generator.requirements import require
from ..files.atomic import REPLACED, replacing_folder, require_free
from ..files.documents import document_text, read_document
from ..files.provenance import generator_name, sha256
from . import picture as section_report
from .image import write_tif
from .options import N_OFF_CENTRE, N_SECTIONS, SEED

NAME, PICTURE = "phantom.json", "sections.png"


@dataclass(frozen=True, kw_only=True)
class PhantomPlan:
    """Which sections of which phantom.

    Parameters
    ----------
    name
        One of `PHANTOMS`.
    n_sections
        Number of sections.
    n_off_centre
        How many of them, the last ones, miss the centre.
    seed
        Seed of the series.
    """

    name: str
    n_sections: int = N_SECTIONS
    n_off_centre: int = N_OFF_CENTRE
    seed: int = SEED

    def __post_init__(self) -> None:
        if self.name not in PHANTOMS:
            msg = f"unknown phantom {self.name!r}; {suggestion(self.name, sorted(PHANTOMS))}"
            raise FitError(msg)
        if not 1 <= self.n_sections <= 1000:
            msg = f"the number of sections is {self.n_sections}, expected 1 to 1000"
            raise FitError(msg)
        if not 0 <= self.n_off_centre <= self.n_sections:
            msg = (
                f"{self.n_off_centre} sections are to miss the centre, expected 0 to "
                f"{self.n_sections}, the number of sections"
            )
            raise FitError(msg)
        if self.seed < 0:
            msg = f"the seed is {self.seed}, expected 0 or larger"
            raise FitError(msg)

    @property
    def offsets(self) -> tuple[float, ...]:
        """Distance of each plane from the centre, pixels."""
        return phantom_offsets(self.n_sections, self.n_off_centre, self.seed)

    @property
    def files(self) -> dict[str, float]:
        """Distance of the plane from the centre, um, of each file."""
        return {f"section-{k:03d}.tif": PIXEL_UM * h for k, h in enumerate(self.offsets)}


def write(plan: PhantomPlan, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write the folder of a phantom; return it.

    Raises
    ------
    ExportError
        If something is at ``folder`` and ``overwrite`` is not set or it is no folder of a
        phantom, a package is missing, or the folder cannot be written.
    """
    require("fit,view", "tifffile", "matplotlib", purpose="sections of phantoms", error=ExportError)
    require_place(folder, overwrite)
    model = PHANTOMS[plan.name]
    sections = list(phantom_series(model, plan.offsets, plan.seed))
    with replacing_folder(folder) as temporary:
        entries = [
            _write_section(temporary / name, section, offset)
            for name, section, offset in zip(plan.files, sections, plan.offsets, strict=True)
        ]
        section_report.write(sections, temporary / PICTURE)
        text = document_text(_fields(plan, model, entries), "phantom")
        (temporary / NAME).write_text(text, "utf-8")
    return Path(folder)


def require_place(folder: str | Path, overwrite: bool, instead: str = REPLACED) -> None:
    """Refuse a folder that is there, unless it is that of a phantom and may be replaced."""
    folder = Path(folder)
    require_free([folder], overwrite, instead)
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / NAME).is_file()):
        msg = f"{folder} holds no {NAME}, expected the folder of a phantom; choose another name"
        raise ExportError(msg)


def read(folder: str | Path) -> tuple[dict[str, Any], tuple[Section, ...]]:
    """Validated ``phantom.json`` of a folder, and its sections as fits read them."""
    fields = read_document(Path(folder) / NAME, "phantom")
    sections = [
        read_section(Path(folder) / one["path"], fields["pixel_um"], tuple(one["centre"]))
        for one in fields["sections"]
    ]
    return fields, tuple(sections)


def phantom_lines() -> Iterator[tuple[str, str]]:
    """Name of each phantom and a line on its law."""
    for name, model in PHANTOMS.items():
        yield name, law_line(model)


def law_line(model: GrainModel) -> str:
    """The law of a phantom in a line."""
    fields: dict[str, Any] = dict(model.law.fields())
    if fields["law"] == "radial_profile":
        return _profile_line(model, fields)
    kinds = {
        "radial": "independent markers",
        "crowded": "markers follow the distance to the third nearest seed, from crowded to lone",
    }
    ratio, offset = (
        " to ".join(f"{value:g}" for value in fields[key].values() if value != "uniform")
        for key in ("aspect_ratio", "offset")
    )
    return (
        f"{kinds[fields['law']]}; radial over transverse length {ratio}, r {offset}, "
        f"{model.intensity:g} seeds per cubic pixel of {PIXEL_UM:g} um"
    )


def _profile_line(model: GrainModel, fields: dict[str, Any]) -> str:
    """The law of a phantom whose markers may change from the centre to the surface."""
    ratio, factors, tilt = (
        fields[key]["value"] for key in ("aspect_ratio", "intensity_factor", "tilt_deg")
    )
    tilted = f", axes tilted by {_span(tilt)} degrees" if max(tilt) > 0 else ""
    return (
        f"markers from the centre to the surface; radial over transverse length {_span(ratio)}, "
        f"{_span([model.intensity * factor for factor in factors])} seeds per cubic pixel of "
        f"{PIXEL_UM:g} um{tilted}"
    )


def _span(values: list[float]) -> str:
    """First and last value at the knots of a profile, once if they are equal."""
    return " to ".join(dict.fromkeys(f"{value:g}" for value in (values[0], values[-1])))


def _write_section(path: Path, section: Section, offset: float) -> dict[str, Any]:
    """Write one image; its entry in the document."""
    write_tif(path, section.labels, section.pixel_um)
    return {
        "path": path.name,
        "sha256": sha256(path),
        "offset_px": offset,
        "offset_um": round(offset * section.pixel_um, 9),
        "radius_px": round(particle_radius(HALF_WIDTH, offset), 6),
        "shape": list(section.labels.shape),
        "centre": list(section.centre),
        "n_grains": section.n_grains,
        "missing_part": section.missing_part,
    }


def _fields(plan: PhantomPlan, model: GrainModel, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": "cathodegrain/phantom",
        "schema_version": "1.0.0",
        "generator": generator_name(),
        "name": plan.name,
        "law": model.law.fields(),
        "intensity": model.intensity,
        "metric": model.metric,
        "entropy": plan.seed,
        "pixel_um": PIXEL_UM,
        "values": {"outside": OUTSIDE, "missing": MISSING},
        "picture": PICTURE,
        "sections": entries,
    }
