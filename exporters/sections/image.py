"""Virtual EBSD maps: a cut through a particle as an image of labels or a map of orientations.

======== ============================== ============ ============ ==================
format   pixel of a grain               outside      missing      needs
======== ============================== ============ ============ ==================
``tif``  grain_id, int32                0            -1           tifffile
``npy``  grain_id, int32                0            -1
``png``  grain_id, uint16               0            0            Pillow
``ctf``  orientation (`ebsd_map`)       not indexed  not indexed  orix
``ang``  orientation (`ebsd_map`)       not indexed  not indexed  orix
======== ============================== ============ ============ ==================

grain_id is that of the particle's recipe, with gaps where grains are not seen. Beside the
image lies a document, its name with ``.json`` appended, by ``schemas/section-1.0.0.schema.json``:
the plane and its axes, the edge of a pixel, the centre. Equal cuts are equal files.

An image is its own mask: 0 is outside, and nothing else is. Not so where a missing pixel looks
like the outside, in maps and in PNG files, which have no negative numbers: there `read` finds the
outline by closing gaps, as in measured maps, and small grains at the rim may count as outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator import requirements
from ...generator.errors import ExportError, suggestion
from ...generator.fitting.sections.files import read_section
from ...generator.fitting.sections.section import MISSING, OUTSIDE, Section
from ..files.atomic import replacing
from ..files.documents import document_text, read_document
from ..files.provenance import generator_name, sha256

if TYPE_CHECKING:
    from ...generator.fitting.sections.plane_cut import PlaneCut
    from ...generator.particle import Particle

LARGEST_PNG = 2**16 - 1  # grain id


@dataclass(frozen=True)
class ImageFormat:
    """How a cut is written, what that needs, and what stands for missing pixels."""

    write: Callable[[Path, PlaneCut], None]
    package: str = ""
    extra: str = ""
    missing: int | None = None
    labelled: bool = True  # else orientations


def write(particle: Particle, cut: PlaneCut, path: str | Path, *, format: str) -> Path:
    """Write a cut through ``particle`` and the document beside it; return the image's path.

    Raises
    ------
    ExportError
        If the format is unknown, cannot hold this cut or needs what is not installed, or the
        file cannot be written.
    """
    require(particle, format)
    chosen = FORMATS[format]
    with replacing(path) as image, replacing(document_path(path)) as document:
        chosen.write(image, cut)
        fields = _fields(particle, cut, Path(path).name, format, sha256(image))
        document.write_text(document_text(fields, "section"), "utf-8")
    return Path(path)


def document_path(path: str | Path) -> Path:
    """Path of the document that lies beside an image."""
    return Path(f"{path}.json")


def require(particle: Particle, format: str) -> None:
    """Refuse a format that is unknown, not installed, or not for this particle."""
    if format not in FORMATS:
        msg = f"unknown format {format!r}; {suggestion(format, FORMATS)}"
        raise ExportError(msg)
    chosen = FORMATS[format]
    if chosen.package:
        purpose = f"images of the format {format!r}"
        requirements.require(chosen.extra, chosen.package, purpose=purpose, error=ExportError)
    if not chosen.labelled and particle.orientations is None:
        msg = (
            f"{particle.id} has no crystal orientations, which .{format} needs; generate it with "
            "--set orientations.model=uniform or radial, or write tif, npy or png"
        )
        raise ExportError(msg)


def read(path: str | Path) -> Section:
    """The section in an image that `write` wrote, as `section_files.read_section` reads it."""
    fields = read_document(document_path(path), "section")
    values, (y, x) = fields["values"], fields["centre"]
    outlined = values["outside"] is not None and (
        values["missing"] != values["outside"] or fields["missing_part"] == 0
    )
    return read_section(path, fields["pixel_um"], (y, x), mask=path if outlined else None)


def write_tif(path: Path, labels: NDArray[np.int32], pixel_um: float) -> None:
    """Write labels (ny, nx) as a TIFF of 32 bits that says how large a pixel is."""
    import tifffile

    per_cm = 1e4 / pixel_um
    tifffile.imwrite(
        path, labels, compression="zlib", software=False, metadata=None,
        resolution=(per_cm, per_cm), resolutionunit="CENTIMETER",
    )  # fmt: skip


def _write_tif(path: Path, cut: PlaneCut) -> None:
    write_tif(path, cut.grain_id, cut.pixel_um)


def _write_npy(path: Path, cut: PlaneCut) -> None:
    np.save(path, cut.grain_id)


def _write_png(path: Path, cut: PlaneCut) -> None:
    from PIL import Image

    if (largest := int(cut.grain_id.max())) > LARGEST_PNG:
        msg = f"the grain id {largest} exceeds {LARGEST_PNG}, the largest of a PNG; write tif"
        raise ExportError(msg)
    labels = np.where(cut.grain_id == MISSING, OUTSIDE, cut.grain_id).astype(np.uint16)
    Image.fromarray(labels).save(path)


def _write_map(path: Path, cut: PlaneCut, format: str) -> None:
    from . import ebsd_map

    ebsd_map.write(cut, path, format)


FORMATS = {
    "tif": ImageFormat(_write_tif, "tifffile", "fit", MISSING),
    "npy": ImageFormat(_write_npy, missing=MISSING),
    "png": ImageFormat(_write_png, "PIL", "fit", OUTSIDE),
    "ctf": ImageFormat(partial(_write_map, format="ctf"), "orix", "ebsd", labelled=False),
    "ang": ImageFormat(partial(_write_map, format="ang"), "orix", "ebsd", labelled=False),
}


def _fields(
    particle: Particle, cut: PlaneCut, name: str, format: str, image_sha256: str
) -> dict[str, Any]:
    source, chosen = particle.provenance, FORMATS[format]
    u, v, normal = cut.plane.frame.tolist()
    return {
        "schema": "cathodegrain/section",
        "schema_version": "1.0.0",
        "generator": generator_name(),
        "particle": {
            "id": particle.id,
            "model": source.card.name,
            "model_sha256": source.card.sha256,
            "entropy": source.seed,
            "index": source.index,
        },
        "image": {"path": name, "format": format, "sha256": image_sha256},
        "values": {
            "grains": "grain_id" if chosen.labelled else "orientation",
            "outside": OUTSIDE if chosen.labelled else None,
            "missing": chosen.missing,
        },
        "plane": {
            "normal": normal,
            "offset_um": cut.plane.offset_um,
            "columns_along": u,
            "rows_along": v,
        },
        "pixel_um": cut.pixel_um,
        "shape": list(cut.grain_id.shape),
        "centre": list(cut.centre),
        "n_grains": cut.n_grains,
        "missing_part": cut.missing_part,
    }
