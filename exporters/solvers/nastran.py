"""Nastran bulk data, for COMSOL: the grain of an element is its property id.

``CTETRA`` elements with ``PSOLID`` g for grain g; triangles ``CTRIA3`` (``CTRIA6``) with
``PSHELL`` N + 1 on the outer surface and N + 2 between grains. Nodes are large-field
``GRID*`` cards with 10 significant digits, all that 16 columns hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..files.text_rows import write_rows
from .materials import MARK
from .solver_input import SolverInput


def write_nastran(content: SolverInput, path: Path) -> None:
    """Write the mesh; the isotropic material is a placeholder that COMSOL does not need."""
    outer, between = content.n_grains + 1, content.n_grains + 2
    surfaces = {outer: content.outer, between: content.grain_boundary}
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"$ {line}\n" for line in content.heading())
        file.write(f"$ property id = grain id; {outer} outer, {between} grain_boundary\n")
        file.write("BEGIN BULK\n")
        _write_properties(file, content, [tag for tag, t in surfaces.items() if len(t)])
        ids = 1 + np.arange(len(content.points))
        template = "GRID*   %16d                %16.9e%16.9e\n*       %16.9e\n"
        write_rows(file, template, ids, content.points)
        _write_elements(file, "CTETRA", 1, content.grain_ids, content.tets)
        first = 1 + len(content.tets)
        for tag, triangles in surfaces.items():
            kind = f"CTRIA{triangles.shape[1]}"
            _write_elements(file, kind, first, np.full(len(triangles), tag), triangles)
            first += len(triangles)
        file.write("ENDDATA\n")


def _write_properties(file: IO[str], content: SolverInput, surfaces: list[int]) -> None:
    material = content.material.isotropic()
    young, poisson = f"{material.young[0]:.3e}", f"{material.poisson[0]:.4f}"
    file.write(f"$ {MARK}\n")
    file.write(f"{'MAT1':8}{1:8d}{young.replace('e', ''):>8}{'':8}{poisson:>8}\n")
    file.writelines(f"PSOLID  {grain:8d}{1:8d}\n" for grain in content.grains)
    file.writelines(f"PSHELL  {tag:8d}{1:8d}{'1.0':>8}\n" for tag in surfaces)


def _write_elements(
    file: IO[str],
    kind: str,
    first: int,
    properties: NDArray[np.int32] | NDArray[np.int64],
    nodes: NDArray[np.int64],
) -> None:
    """Write small-field cards: eight fields on a line, then a continuation."""
    fields = ["%8d"] * (2 + nodes.shape[1])
    lines = ["".join(fields[k : k + 8]) for k in range(0, len(fields), 8)]
    template = f"{kind:8}" + "+\n+       ".join(lines) + "\n"
    write_rows(file, template, first + np.arange(len(nodes)), properties, 1 + nodes)
