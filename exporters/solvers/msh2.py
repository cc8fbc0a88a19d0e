"""MSH 2.2 (`msh2_file`) of the mesh of a solver, in its units."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..mesh.msh2_file import write_text
from ..mesh.msh_file import tets_of_gmsh
from .solver_input import SolverInput


def write_msh2(content: SolverInput, path: Path) -> None:
    """Write nodes, triangles of both surfaces, and tetrahedra."""
    n = content.n_grains
    surfaces = [(n + 1, "outer", content.outer), (n + 2, "grain_boundary", content.grain_boundary)]
    surfaces = [(tag, name, triangles) for tag, name, triangles in surfaces if len(triangles)]
    names = {(2, tag): name for tag, name, _ in surfaces}
    names |= {(3, g): f"grain_{g:05d}" for g in content.grains}
    blocks = [(2, triangles, np.full(len(triangles), tag)) for tag, _, triangles in surfaces]
    blocks.append((3, tets_of_gmsh(content.tets), content.grain_ids))
    write_text(path, content.points, blocks, names, content.heading())
