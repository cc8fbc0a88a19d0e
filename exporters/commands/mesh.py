"""Command ``cathodegrain mesh``: grains that are segmented already."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .arguments import Json, Overwrite, require_free
from .terminal import cost, progress_bar, tell


def mesh(
    labels: Annotated[Path, Parameter(help="Grain ids on voxels: .vtkhdf, .npy or .tif.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="File to write.")] = Path("mesh.msh"),
    pitch: Annotated[
        float | None, Parameter(help="Edge of a voxel, um, if the file does not say.")
    ] = None,
    size: Annotated[
        float | None, Parameter(help="Longest edge of the tetrahedra, um; 3 voxels if left out.")
    ] = None,
    boundary_size: Annotated[
        float | None, Parameter(help="Longest edge at grain boundaries, um; as --size if left out.")
    ] = None,
    force: Annotated[
        bool, Parameter(negative="", help="Write a mesh although it fails its certificate.")
    ] = False,
    overwrite: Overwrite = False,
    json_output: Json = False,
) -> None:
    """Mesh segmented grains of your own: any volume of labels, 0 outside."""
    from ..certificate.certificate import certificate_lines
    from ..labels.comparison import comparison_lines
    from ..labels.mesh_labels import mesh_labels
    from ..mesh.msh_sections import read_facts

    require_free([out], overwrite)
    started = time.process_time()
    with progress_bar("mesh") as show:
        mesh_labels(
            labels, out, size_um=size, boundary_size_um=boundary_size, pitch_um=pitch,
            force=force, progress=show,
        )  # fmt: skip
    facts = read_facts(out)
    certificate = list(certificate_lines(facts["certificate"]))
    given = [*comparison_lines(facts["label_volume"]), *facts["label_volume"]["remarks"]]
    rows = {"mesh": str(out), "certificate": certificate, "labels": given}
    tell(rows | {"cost": cost(started)}, json_output)
