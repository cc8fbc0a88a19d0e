"""gmsh's MSH 2.2 in ASCII: what NGSolve, getfem, MFEM, OpenFOAM and meshio read alike.

Physical groups are those of `msh_file`. The second tag of an element, its geometrical
entity, is the first again: some readers take one, some the other. Every element is in
exactly one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files.atomic import replacing
from ..files.text_rows import write_rows
from .any_mesh import AnyMesh, wedges_of
from .msh_file import ELEMENTS, comments_of, group_names, tets_of_gmsh

TaggedElements = tuple[int, NDArray[np.int64], NDArray[np.integer]]  # dimension, nodes, groups


def write(mesh: AnyMesh, path: str | Path) -> Path:
    """Write ``mesh`` in um, with the comments of `msh_file`; equal meshes give equal bytes.

    Raises
    ------
    ExportError
        If the file cannot be written.
    """
    n, (triangles, pairs), (wedges, _) = mesh.n_grains, mesh.facets, wedges_of(mesh)
    blocks = [
        (2, triangles, n + np.where(pairs[:, 0] > 0, 2, 1)),
        (3, tets_of_gmsh(mesh.tets), mesh.grain_ids),
        (3, wedges, np.full(len(wedges), n + 3)),
    ]
    with replacing(path) as temporary:
        write_text(temporary, mesh.points, blocks, group_names(mesh), comments_of(mesh))
    return Path(path)


def write_text(
    path: Path,
    points: NDArray[np.float64],
    blocks: Sequence[TaggedElements],
    names: Mapping[tuple[int, int], str],
    comments: Iterable[str],
) -> None:
    """Write nodes and elements.

    Parameters
    ----------
    points : (n, 3) float
    blocks
        Dimension, nodes (k, m) in the order of gmsh, and physical group (k,) of elements.
    names
        Of the physical groups, by dimension and tag.
    """
    with path.open("w", encoding="ascii") as file:
        file.write("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Comments\n")
        file.writelines(f"{line}\n" for line in comments)
        file.write(f"$EndComments\n$PhysicalNames\n{len(names)}\n")
        file.writelines(f'{d} {tag} "{name}"\n' for (d, tag), name in names.items())
        file.write(f"$EndPhysicalNames\n$Nodes\n{len(points)}\n")
        write_rows(file, "%d %.17g %.17g %.17g\n", 1 + np.arange(len(points)), points)
        file.write(f"$EndNodes\n$Elements\n{sum(len(nodes) for _, nodes, _ in blocks)}\n")
        first = 1
        for dimension, nodes, tags in blocks:
            k = nodes.shape[1]
            template = f"%d {ELEMENTS[dimension, k]} 2 %d %d{' %d' * k}\n"
            write_rows(file, template, first + np.arange(len(nodes)), tags, tags, 1 + nodes)
            first += len(nodes)
        file.write("$EndElements\n")
