"""gmsh's MSH 4.1 files, written by gmsh itself; `reading` reads them.

gmsh is imported in here only, when it is needed.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.requirements import require
from ..files.atomic import replacing
from .any_mesh import AnyMesh, wedges_of
from .tetrahedra import grouped

TRIANGLE, TETRAHEDRON, PRISM = 2, 4, 6  # gmsh's element types
ELEMENTS = {3: TRIANGLE, 4: TETRAHEDRON, 6: 9, 10: 11}  # by the number of nodes
LAST_TWO_SWAPPED = [*range(8), 9, 8]  # gmsh numbers the middles of 23 and 13 the other way round
COHESIVE = "cohesive"
COMMENTS = "Comments"  # a section that every reader of MSH files passes over
MAX_PAIR_ENTITIES = 1000  # gmsh's time to add entities grows like their number times the nodes
APT_PACKAGES = "libglu1-mesa libxcursor1 libxft2 libxinerama1 libxrender1"


def load_gmsh() -> ModuleType:
    """Return the module gmsh, or say what is missing.

    Raises
    ------
    ExportError
        If gmsh is not installed, or a shared library that its wheel needs is not.
    """
    require("mesh", "gmsh", purpose="MSH files", error=ExportError)
    try:
        import gmsh
    except OSError as error:  # "libGLU.so.1: cannot open shared object file: ..."
        library = str(error).partition(":")[0]
        msg = (
            f"gmsh needs the shared library {library}, not found here ({error}); "
            f"on Debian and Ubuntu: apt-get install {APT_PACKAGES}"
        )
        raise ExportError(msg) from error
    module: ModuleType = gmsh
    return module


@contextmanager
def gmsh_model() -> Iterator[ModuleType]:
    """Give gmsh with an empty model, silent, without its configuration files; finalized after.

    Raises
    ------
    ExportError
        If gmsh is in use in this process already: its state is global.
    """
    gmsh = load_gmsh()
    if gmsh.isInitialized():
        msg = "gmsh is in use in this process; call gmsh.finalize() first"
        raise ExportError(msg)
    gmsh.initialize([], readConfigFiles=False, run=False, interruptible=False)
    _ignore_closed_pipes()
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("particle")
        yield gmsh
    finally:
        gmsh.finalize()


def _ignore_closed_pipes() -> None:
    """Undo what gmsh does to the process: to write into a closed pipe would end it, silently.

    Python ignores SIGPIPE and raises BrokenPipeError. Only the main thread may set that.
    """
    if hasattr(signal, "SIGPIPE") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPIPE, signal.getsignal(signal.SIGPIPE) or signal.SIG_IGN)


def write(mesh: AnyMesh, path: str | Path) -> Path:
    """Write ``mesh`` as binary MSH 4.1; equal meshes give equal bytes.

    Every element is in exactly one physical group: the tetrahedra of grain g in the group
    ``grain_0000g`` of dimension 3 and tag g; the triangles in ``outer``, tag N + 1, or
    ``grain_boundary``, tag N + 2, of dimension 2, N the number of grains of the particle.
    Under these each pair of materials has a surface entity of its own, bounding its
    volumes, unless there are more than `MAX_PAIR_ENTITIES` pairs: then there are two.
    Triangles are facets of tetrahedra; their normals point out of the grain with the
    higher id. Coordinates are um. A section ``$Comments`` says so, and how the mesh was
    made, in JSON.

    A split mesh has no group ``grain_boundary`` but, unless its wedges were left out, the
    group ``cohesive`` of dimension 3 and tag N + 3: its wedges as prisms of no volume, the
    lower grain id first. The grains of a prism are those of the tetrahedra at its nodes.
    """
    with replacing(path) as temporary, gmsh_model() as gmsh:
        _add_mesh(gmsh.model, mesh)
        gmsh.option.setNumber("Mesh.MshFileVersion", 4.1)
        gmsh.option.setNumber("Mesh.Binary", 1)
        gmsh.write(str(temporary))
        _require_complete(temporary, path)
    return Path(path)


def _require_complete(temporary: Path, path: str | Path) -> None:
    """Refuse a file that gmsh, which does not tell, could not write to its end."""
    end = f"$End{COMMENTS}\n".encode()
    with temporary.open("rb") as file:
        file.seek(-len(end), 2)
        whole = file.read() == end
    if not whole:
        msg = f"{path} cannot be written to its end; is there space on the disk?"
        raise ExportError(msg)


def _add_mesh(model: Any, mesh: AnyMesh) -> None:
    triangles, pairs = mesh.facets
    surface, surface_pairs = _surfaces(pairs)
    grains = np.unique(mesh.grain_ids)
    for tag in range(1, len(surface_pairs) + 1):
        model.addDiscreteEntity(2, tag)
    for grain in grains.tolist():
        bounding = 1 + np.flatnonzero((surface_pairs == grain).any(axis=1))
        model.addDiscreteEntity(3, grain, bounding.tolist())
    _add_nodes(model.mesh, mesh, triangles, surface)
    n_triangles = len(triangles)
    for tag, rows in grouped(surface):
        kind = ELEMENTS[triangles.shape[1]]
        model.mesh.addElementsByType(tag, kind, 1 + rows, 1 + triangles[rows].ravel())
    tets = mesh.tets if mesh.tets.shape[1] == 4 else mesh.tets[:, LAST_TWO_SWAPPED]
    for grain, rows in grouped(mesh.grain_ids):
        kind, tags = ELEMENTS[tets.shape[1]], 1 + n_triangles + rows
        model.mesh.addElementsByType(grain, kind, tags, 1 + tets[rows].ravel())
    for grain in grains.tolist():
        model.addPhysicalGroup(3, [grain], grain, f"grain_{grain:05d}")
    outer = surface_pairs[:, 0] == 0
    groups = {"outer": outer, "grain_boundary": ~outer}
    for k, (name, chosen) in enumerate(groups.items(), start=1):
        if chosen.any():
            entities = (1 + np.flatnonzero(chosen)).tolist()
            model.addPhysicalGroup(2, entities, mesh.n_grains + k, name)
    wedges, _ = wedges_of(mesh)
    if len(wedges):
        _add_wedges(model, wedges, mesh.n_grains + 3, 1 + n_triangles + len(tets))
    model.setAttribute(COMMENTS, ["coordinates in um", json.dumps(mesh.facts, sort_keys=True)])


def _add_wedges(model: Any, wedges: NDArray[np.int64], tag: int, first: int) -> None:
    """Add prisms, numbered from ``first``, as an entity and a group of this tag."""
    model.addDiscreteEntity(3, tag)
    tags = first + np.arange(len(wedges))
    model.mesh.addElementsByType(tag, PRISM, tags, 1 + wedges.ravel())
    model.addPhysicalGroup(3, [tag], tag, COHESIVE)


def _surfaces(pairs: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Entity tag of each triangle (k,), from 1, and the pair of each entity (s, 2)."""
    found, index = np.unique(pairs, axis=0, return_inverse=True)
    if len(found) <= MAX_PAIR_ENTITIES:
        return 1 + index.ravel(), found
    boundary = pairs[:, 0] > 0
    kinds = np.array([[0, -1], [-1, -1]], np.int32)[: 1 + boundary.any()]
    return 1 + boundary.astype(np.int64), kinds


def _add_nodes(
    model_mesh: Any,
    mesh: AnyMesh,
    triangles: NDArray[np.int64],
    surface: NDArray[np.int64],
) -> None:
    """Give each node to the first surface it lies on, or else to its volume."""
    volume = np.zeros(len(mesh.points), np.int64)
    volume[mesh.tets] = mesh.grain_ids[:, None]
    first = np.full(len(mesh.points), np.iinfo(np.int64).max)
    np.minimum.at(first, triangles, surface[:, None])
    within = first == np.iinfo(np.int64).max
    for dimension, owner, chosen in ((2, first, ~within), (3, volume, within)):
        nodes = np.flatnonzero(chosen)
        for tag, rows in grouped(owner[nodes]):
            numbers = nodes[rows]
            model_mesh.addNodes(dimension, tag, 1 + numbers, mesh.points[numbers].ravel())


def _check_head(path: Path) -> None:
    expected = b"$MeshFormat\n4.1 1 "
    try:
        with path.open("rb") as file:
            head = file.read(len(expected))
    except OSError as error:
        msg = f"{path} cannot be read ({error}); expected a mesh.msh"
        raise ExportError(msg) from error
    if head != expected:
        msg = f"{path} begins with {head!r}, expected {expected!r}: a binary MSH 4.1 file"
        raise ExportError(msg)


def read_facts(path: str | Path) -> dict[str, Any]:
    """How the mesh of a file that `write` made was made; gmsh is not needed.

    Raises
    ------
    ExportError
        If it is no MSH 4.1 file, or does not say.
    """
    path = Path(path)
    _check_head(path)
    content = path.read_bytes()
    _, _, section = content.rpartition(f"${COMMENTS}\n".encode())
    text, _, _ = section.partition(f"\n$End{COMMENTS}".encode())
    try:
        facts: dict[str, Any] = json.loads(text.splitlines()[-1])
        facts["n_grains"]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} does not say how many grains there are; expected a file of this package"
        raise ExportError(msg) from error
    return facts
