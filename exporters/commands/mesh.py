"""Command ``cathodegrain mesh``: grains that are segmented already."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..console.arguments import Json, Overwrite, require_free
from ..console.terminal import cost, progress_bar, tell


def mesh(
    labels: Annotated[Path, Parameter(help="Grain ids on voxels: .vtkhdf, .npy or .tif.")],
    /,
    *,
    out: Annotated[
        Path, Parameter(help="File to write: .msh, .vtkhdf, .vtu, .xdmf or .inp.")
    ] = Path("mesh.msh"),
    pitch: Annotated[
        float | None, Parameter(help="Edge of a voxel, um, if the file does not say.")
    ] = None,
    size: Annotated[
        float | None,
        Parameter(
            help="Length of edges inside grains, um, 3 voxels if left out; edge of the hexahedra, "
            "a multiple of a voxel's, that one if left out."
        ),
    ] = None,
    boundary_size: Annotated[
        float | None,
        Parameter(help="Length of edges at grain boundaries, um; as --size if left out."),
    ] = None,
    surface_size: Annotated[
        float | None,
        Parameter(
            help="Length of edges at the outer surface, um, below it longer by half the depth; as "
            "in grains if left out."
        ),
    ] = None,
    detail: Annotated[
        str, Parameter(help="fine, medium or coarse, or edges per radius of a grain, as 0.3.")
    ] = "fine",
    tets: Annotated[
        int | None, Parameter(help="Number of tetrahedra, within a tenth; sets the detail.")
    ] = None,
    elements: Annotated[
        str, Parameter(help="tets; hex: a cube for each voxel, or for several with --size.")
    ] = "tets",
    cut: Annotated[
        str,
        Parameter(help="Only beyond planes through the middle of the grains: x, or x,y."),
    ] = "",
    force: Annotated[
        bool, Parameter(negative="", help="Write a mesh although it fails its certificate.")
    ] = False,
    overwrite: Overwrite = False,
    json_output: Json = False,
) -> None:
    """Mesh segmented grains of your own: any volume of labels, 0 outside."""
    from ..certificate.hex_certificate import lines_of
    from ..labels.comparison import comparison_lines
    from ..labels.mesh_labels import mesh_labels
    from ..products.mesh import require_form

    require_form(1, "bonded", elements, boundary_size, cut, detail, tets, surface_size)
    require_free([out], overwrite)
    started = time.process_time()
    with progress_bar("mesh") as show:
        facts = mesh_labels(
            labels, out, size_um=size, boundary_size_um=boundary_size,
            surface_size_um=surface_size, detail=detail, tets=tets,
            elements=elements, cut=cut, pitch_um=pitch, force=force, progress=show,
        ).facts  # fmt: skip
    certificate = list(lines_of(facts["certificate"]))
    given = facts["label_volume"]
    told = [*(comparison_lines(given) if "given_um3" in given else ()), *given.get("remarks", [])]
    rows = {"mesh": str(out), "certificate": certificate, "labels": told}
    tell(rows | {"cost": cost(started)}, json_output)
