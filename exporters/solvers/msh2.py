"""gmsh's MSH 2.2 in ASCII: what NGSolve, getfem, MFEM, OpenFOAM and meshio read alike.

Physical groups are as in `msh_file`: volume g is grain g, ``grain_00001`` and so on; the
surfaces N + 1 and N + 2 are ``outer`` and ``grain_boundary``, N being the number of grains
of the particle. The second tag of an element, its geometrical entity, is the first again:
some readers take one, some the other. Every element is in exactly one group.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .solver_input import SolverInput
from .text_rows import write_rows

TYPES = {3: 2, 4: 4, 6: 9, 10: 11}  # gmsh's number of the element, by its nodes
LAST_TWO_SWAPPED = [*range(8), 9, 8]  # gmsh numbers the middles of 23 and 13 the other way round


def write_msh2(content: SolverInput, path: Path) -> None:
    """Write nodes, triangles of both surfaces, and tetrahedra."""
    n = content.n_grains
    surfaces = [(n + 1, "outer", content.outer), (n + 2, "grain_boundary", content.grain_boundary)]
    surfaces = [(tag, name, triangles) for tag, name, triangles in surfaces if len(triangles)]
    names = [f'2 {tag} "{name}"' for tag, name, _ in surfaces]
    names += [f'3 {g} "grain_{g:05d}"' for g in content.grains]
    tets = content.tets if content.order == 1 else content.tets[:, LAST_TWO_SWAPPED]
    blocks = [(triangles, np.full(len(triangles), tag)) for tag, _, triangles in surfaces]
    blocks.append((tets, content.grain_ids))
    with path.open("w", encoding="ascii") as file:
        file.write("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Comments\n")
        file.writelines(f"{line}\n" for line in content.heading())
        file.write(f"$EndComments\n$PhysicalNames\n{len(names)}\n")
        file.writelines(f"{name}\n" for name in names)
        file.write(f"$EndPhysicalNames\n$Nodes\n{len(content.points)}\n")
        write_rows(
            file, "%d %.17g %.17g %.17g\n", 1 + np.arange(len(content.points)), content.points
        )
        file.write(f"$EndNodes\n$Elements\n{sum(len(nodes) for nodes, _ in blocks)}\n")
        first = 1
        for nodes, tags in blocks:
            k = nodes.shape[1]
            template = f"%d {TYPES[k]} 2 %d %d{' %d' * k}\n"
            write_rows(file, template, first + np.arange(len(nodes)), tags, tags, 1 + nodes)
            first += len(nodes)
        file.write("$EndElements\n")
