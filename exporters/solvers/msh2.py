"""MSH 2.2 (`msh2_file`) of the mesh of a solver, in its units."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..mesh.msh2_file import write_text
from ..mesh.msh_file import cells_of_gmsh
from .solver_input import SolverInput


def write_msh2(content: SolverInput, path: Path) -> None:
    """Write nodes, facets of all surfaces, and tetrahedra or hexahedra."""
    surfaces = [(tag, name, facets) for tag, name, facets in content.surfaces() if len(facets)]
    names = {(2, tag): name for tag, name, _ in surfaces}
    names |= {(3, g): f"grain_{g:05d}" for g in content.grains}
    blocks = [(2, facets, np.full(len(facets), tag)) for tag, _, facets in surfaces]
    blocks.append((3, cells_of_gmsh(content.cells), content.grain_ids))
    write_text(path, content.points, blocks, names, content.heading())
