"""Meshes as objects of meshio and pyvista, and as files by the suffix of a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError, suggestion
from ...generator.requirements import require
from ..files.atomic import replacing
from . import msh2_file, msh_file, vtkhdf_file
from .any_mesh import AnyMesh, parents_of, wedges_of
from .tetrahedra import grouped

if TYPE_CHECKING:
    import meshio
    import pyvista

OURS: Mapping[str, Callable[[AnyMesh, Path], Path]] = {
    ".msh": msh_file.write,
    ".vtkhdf": vtkhdf_file.write,
}
MSH_VERSIONS: Mapping[str, Callable[[AnyMesh, Path], Path]] = {
    "4.1": msh_file.write,
    "2.2": msh2_file.write,
}
# Formats of meshio in which no grain id is lost, and what writes each into one file.
MESHIO: Mapping[str, Mapping[str, Any]] = {
    ".vtu": {},
    ".xdmf": {"data_format": "XML"},
    ".inp": {},
}
MESHIO_CELLS = {
    4: "tetra",
    10: "tetra10",
    8: "hexahedron",
}  # by the number of nodes, which are in our order
CELL_NAMES = {4: "tetrahedra", 10: "ten-node tetrahedra", 8: "hexahedra"}


class Convertible:
    """What every mesh of grains can become; its classes inherit from here."""

    def __repr__(self: AnyMesh) -> str:
        n_present = np.count_nonzero(np.bincount(self.grain_ids))
        facts = [
            f"{len(self.cells):,} {CELL_NAMES[self.cells.shape[1]]}",
            f"{len(self.points):,} nodes",
            f"{n_present} of {self.n_grains} grains",
        ]
        if len(wedges := wedges_of(self)[0]):
            facts.insert(1, f"{len(wedges):,} wedges")
        if "size_um" in self.facts:
            facts.append(f"edges up to {self.facts['size_um']:g} um")
        if "certificate" in self.facts:
            certified = self.facts["certificate"]["certified"]
            facts.append("certified" if certified else "NOT certified")
        return f"{type(self).__name__}({', '.join(facts)})"

    def to_meshio(self: AnyMesh) -> meshio.Mesh:
        """The tetrahedra or hexahedra for meshio, then the wedges of a cohesive mesh; points in um.

        Cell data ``grain_id``, 0 at wedges; with wedges ``grain_low`` and ``grain_high``, the
        grains that one joins. A split mesh has the point data ``parent``. Boundaries are no
        cells of their own: `facets` has their triangles, and ``save("x.msh")`` writes them.

        Raises
        ------
        ExportError
            If meshio is not installed.
        """
        return _meshio_mesh(self)

    def to_pyvista(self: AnyMesh) -> pyvista.UnstructuredGrid:
        """The same cells and data for pyvista; the field data say that lengths are um.

        Raises
        ------
        ExportError
            If pyvista is not installed.
        """
        require("pyvista", "pyvista", purpose="conversions to pyvista", error=ExportError)
        import pyvista

        blocks = [self.cells, wedges_of(self)[0]]
        kinds = [vtkhdf_file.CELL_TYPES[block.shape[1]] for block in blocks]
        cells = [np.insert(block, 0, block.shape[1], axis=1).ravel() for block in blocks]
        types = np.repeat(np.array(kinds, np.uint8), [len(block) for block in blocks])
        grid = pyvista.UnstructuredGrid(np.concatenate(cells), types, self.points.copy())
        for name, values in _cell_data(self).items():
            grid.cell_data[name] = values
        for name, nodes in _point_data(self).items():
            grid.point_data[name] = nodes
        grid.field_data["length_unit"] = ["um"]
        return grid

    def save(
        self: AnyMesh, path: str | Path, *, overwrite: bool = False, msh_version: str = "4.1"
    ) -> Path:
        """Write the mesh in the format of the suffix, in um, whole or not at all.

        ``.msh`` (gmsh, with a physical group for each grain and the boundaries) and ``.vtkhdf``
        are as the products have them; ``msh_version="2.2"`` is for programs that read no
        newer ``.msh``. ``.vtu``, ``.xdmf`` and ``.inp`` hold what
        `to_meshio` has; ``.inp`` (Abaqus) has an element set ``grain_00001`` for each grain.

        In ``.vtu`` files meshio turns wedges to the order of VTK up to 9.3: programs that do not
        turn them back see the triangles of a wedge from the other side, bottom and top as ever.

        Raises
        ------
        ExportError
            If the suffix or the version is another one, a file is in the way, a package is
            missing, or the file cannot be written.
        """
        path = Path(path)
        require_writable(path)
        _require_version(path, msh_version)
        if path.exists() and not overwrite:
            msg = f"{path} exists; choose another name, or overwrite=True to replace it"
            raise ExportError(msg)
        if path.suffix == ".msh":
            return MSH_VERSIONS[msh_version](self, path)
        write = OURS.get(path.suffix, _write_by_meshio)
        return write(self, path)


def _meshio_mesh(mesh: AnyMesh) -> meshio.Mesh:
    require("mesh", "meshio", purpose="conversions to meshio", error=ExportError)
    import meshio

    wedges, _ = wedges_of(mesh)
    cells = [(MESHIO_CELLS[mesh.cells.shape[1]], mesh.cells.copy())]
    if len(wedges):
        cells.append(("wedge", wedges.copy()))
    n = len(mesh.cells)
    data = {name: [v[:n], v[n:]][: len(cells)] for name, v in _cell_data(mesh).items()}
    return meshio.Mesh(mesh.points.copy(), cells, _point_data(mesh), data)


def _cell_data(mesh: AnyMesh) -> dict[str, NDArray[np.int32]]:
    """Values of all cells, wedges last, by name."""
    _, pairs = wedges_of(mesh)
    data = {"grain_id": np.pad(mesh.grain_ids, (0, len(pairs)))}
    if len(pairs):
        for name, column in zip(("grain_low", "grain_high"), pairs.T, strict=True):
            data[name] = np.pad(column, (len(mesh.cells), 0))
    return data


def _point_data(mesh: AnyMesh) -> dict[str, NDArray[np.int64]]:
    parents = parents_of(mesh)
    return {} if parents is None else {"parent": parents.copy()}


def require_writable(path: Path) -> None:
    """Raise an ExportError if no mesh can be saved by that name, or meshio is missing for it."""
    known = [*OURS, *MESHIO]
    if path.suffix not in known:
        msg = (
            f"{path} ends in {path.suffix!r}; {suggestion(path.suffix, known)}. Other formats of "
            "meshio lose the grains; meshio.write(path, mesh.to_meshio()) writes what they hold"
        )
        raise ExportError(msg)
    if path.suffix in MESHIO:
        require("mesh", "meshio", purpose=f"files like {path.name}", error=ExportError)


def _require_version(path: Path, msh_version: str) -> None:
    if msh_version not in MSH_VERSIONS:
        msg = f"msh_version is {msh_version!r}, expected one of {list(MSH_VERSIONS)}"
        raise ExportError(msg)
    if msh_version != "4.1" and path.suffix != ".msh":
        msg = f"{path} has no version {msh_version} of MSH; give it the suffix .msh"
        raise ExportError(msg)


def _write_by_meshio(mesh: AnyMesh, path: Path) -> Path:
    if path.suffix == ".inp" and len(wedges_of(mesh)[0]):
        msg = (
            f"{path.name} would have cohesive wedges as solid elements of no volume; save "
            "mesh.without_wedges(), or export the product 'abaqus' or 'calculix'"
        )
        raise ExportError(msg)
    converted = _meshio_mesh(mesh)
    if path.suffix == ".inp":
        converted.cell_sets = _grain_sets(mesh)
    with replacing(path) as temporary:
        converted.write(temporary, **MESHIO[path.suffix])
    return path


def _grain_sets(mesh: AnyMesh) -> dict[str, list[NDArray[np.int64]]]:
    """Rows of the cells of each grain, by the name of its set."""
    return {f"grain_{g:05d}": [rows] for g, rows in grouped(mesh.grain_ids)}
