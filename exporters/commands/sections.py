"""Commands that make sections: of particles (``section``) and of phantoms (``phantom``).

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..console.arguments import REPLACED, DryRun, Json, Overwrite, require_free
from ..console.terminal import tell
from ..sections.options import FOLDER, N_OFF_CENTRE, N_SECTIONS, SEED

if TYPE_CHECKING:
    from ...generator.fitting.sections.plane_cut import PlaneCut


def section(
    folder: Annotated[Path, Parameter(help="Folder of a particle.")],
    /,
    *,
    normal: Annotated[
        str, Parameter(help="Normal of the plane, x,y,z.", allow_leading_hyphen=True)
    ] = "0,0,1",
    offset: Annotated[
        float, Parameter(help="Distance of the plane from the particle's centre, um.")
    ] = 0.0,
    pixel: Annotated[float, Parameter(help="Edge of a pixel, um.")] = 0.05,
    out: Annotated[Path | None, Parameter(help="File to write; section.tif if left out.")] = None,
    format: Annotated[
        str | None, Parameter(help="tif, npy, png, ctf or ang, if the file's name does not say.")
    ] = None,
    missing: Annotated[
        float, Parameter(help="Part of the pixels that are missing; in EBSD maps about 0.03.")
    ] = 0.0,
    overwrite: Overwrite = False,
    json_output: Json = False,
) -> None:
    """Cut a particle as a microscope would: an image of its grains, or an EBSD map."""
    from ...generator.fitting.sections.plane_cut import Plane, plane_cut
    from ..files.documents import read_document
    from ..products.particle_folder import load
    from ..sections import image as section_image

    out, chosen = _target(out, format)
    document = section_image.document_path(out)
    require_free([out, document], overwrite)
    plane = Plane(_vector(normal), offset)
    particle = load(folder)
    section_image.require(particle, chosen)
    cut = plane_cut(particle, plane, pixel, missing)
    section_image.write(particle, cut, out, format=chosen)
    rows = {"section": str(out), "document": str(document)}
    tell(rows | (read_document(document, "section") if json_output else _cut_rows(cut)),
         json_output)  # fmt: skip


def _cut_rows(cut: PlaneCut) -> dict[str, str]:
    """What to know to compare a cut with a microscope's."""
    (y, x), (ny, nx) = cut.centre, cut.grain_id.shape
    u, v, normal = (f"({', '.join(f'{value:.4g}' for value in axis)})" for axis in cut.plane.frame)
    return {
        "plane": f"normal {normal}, {cut.plane.offset_um:g} um from the centre",
        "columns along": u,
        "rows along": v,
        "pixels": f"{ny} x {nx} (y, x) of {cut.pixel_um:g} um, centre ({y:g}, {x:g})",
        "grains": f"{cut.n_grains}, {cut.missing_part:.1%} of the particle's pixels are missing",
    }


def phantom(
    name: Annotated[
        str | None, Parameter(help="Name of a phantom; if left out, they are listed.")
    ] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder to write.")] = Path(FOLDER),
    sections: Annotated[int, Parameter(help="Number of sections.")] = N_SECTIONS,
    off_centre: Annotated[int, Parameter(help="How many of them miss the centre.")] = N_OFF_CENTRE,
    seed: Annotated[int, Parameter(help="Seed of the series of sections.")] = SEED,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> None:
    """Write sections of grains whose law is known, to try a fit on."""
    from ...generator.fitting.sections.phantom import PHANTOMS
    from ..sections import phantom_folder

    if name is None:
        tell(dict(phantom_folder.phantom_lines()), json_output)
        return
    plan = phantom_folder.PhantomPlan(
        name=name, n_sections=sections, n_off_centre=off_centre, seed=seed
    )
    phantom_folder.require_place(out, overwrite, REPLACED)
    files = {
        file: f"plane {offset:.3g} um from the centre" if offset else "plane through the centre"
        for file, offset in plan.files.items()
    }
    rows = {"phantom": str(out), "law": phantom_folder.law_line(PHANTOMS[name]), **files}
    if not dry_run:
        phantom_folder.write(plan, out, overwrite=overwrite)
        rows["picture"] = str(out / phantom_folder.PICTURE)
    tell(rows, json_output)


def _target(out: Path | None, format: str | None) -> tuple[Path, str]:
    """File to write and its format; they must not contradict each other."""
    from ...generator.errors import ExportError
    from ..sections.image import FORMATS

    out = out or Path(f"section.{format or 'tif'}")
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in FORMATS or format not in (None, suffix):
        wanted = f".{format}" if format in FORMATS else f"one of {[f'.{name}' for name in FORMATS]}"
        msg = f"--out is {out}, with the suffix {out.suffix!r}, expected {wanted}; correct it"
        raise ExportError(msg)
    return out, suffix


def _vector(text: str) -> tuple[float, float, float]:
    from ...generator.errors import ExportError

    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--normal is {text!r}, expected three numbers x,y,z, as 0,0,1"
        raise ExportError(msg) from error
    return x, y, z
