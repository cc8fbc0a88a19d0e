"""A folder of mesh and decks for one solver, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .profiles import PROFILES, SolverProfile, profile_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..mesh.any_mesh import AnyMesh
    from .solver_input import SolverInput


MARKER = "solver.json"  # its presence says that the folder is complete
ORIENTATIONS = "orientations.csv"


def write_for(
    mesh: AnyMesh,
    folder: str | Path,
    profile: str,
    *,
    orientations: NDArray[np.float64] | None = None,
    unit: str | None = None,
) -> list[Path]:
    """Write a mesh with decks for one solver into a folder, whole or not at all.

    A folder that was written like this and still is as it was is replaced; one that holds
    results or a changed file is not.

    Parameters
    ----------
    mesh
        The wedges of one that is split along its grain boundaries become zero-thickness
        elements.
    profile
        A key of `PROFILES`.
    orientations : (n_grains, 4) float
        Unit quaternions (w, x, y, z), crystal to sample, as `Particle.orientations`.
        Without them the material is isotropic, the means over the crystal axes, and every
        file says so.
    unit
        "um" or "m"; that of the profile by default.

    Returns
    -------
    list of Path
        The files written, sorted.

    Raises
    ------
    ExportError
        If the profile or the unit is unknown, the profile cannot take the mesh, what
        belongs to the mesh does not fit it, or the folder cannot be written.
    """
    from ..files.atomic import replacing_folder
    from ..mesh.cohesive import SplitMesh
    from .solver_input import solver_input
    from .units import unit_system
    from .wedges import Wedges

    chosen = profile_named(profile)
    _check_supported(chosen, mesh)
    units = unit_system(unit or chosen.units[0])
    _check_unit(chosen, units.length)
    wedges = Wedges(mesh.wedges, mesh.wedge_pairs) if isinstance(mesh, SplitMesh) else None
    content = solver_input(mesh, units, orientations, wedges)
    require_unchanged(Path(folder))
    with replacing_folder(folder) as temporary:
        import_module(chosen.module, __package__).write(content, temporary, chosen.name)
        if orientations is not None:
            _write_orientations(content, temporary / ORIENTATIONS)
        _write_readme(chosen, content, temporary)
        _write_facts(chosen, content, temporary / MARKER)
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def _check_supported(profile: SolverProfile, mesh: AnyMesh) -> None:
    from ...generator.errors import ExportError

    if mesh.tets.shape[1] == 10 and not profile.second_order:
        able = [p.name for p in PROFILES.values() if p.second_order]
        msg = f"{profile.name} reads four-node tetrahedra only; write order 1, or for one of {able}"
        raise ExportError(msg)
    if hasattr(mesh, "wedges") and not profile.cohesive:
        able = [p.name for p in PROFILES.values() if p.cohesive]
        msg = (
            f"{profile.name} has no zero-thickness cohesive elements that can be written; they "
            f"can for {able}. MOOSE (BreakMeshByBlockGenerator) and Akantu split a bonded "
            "mesh themselves: write it without cohesive elements"
        )
        raise ExportError(msg)


def _check_unit(profile: SolverProfile, unit: str) -> None:
    from ...generator.errors import ExportError

    if unit not in profile.units:
        msg = (
            f"{profile.name} cannot take lengths in {unit}: it refuses elements whose Jacobian "
            f"is below 1e-20; choose one of {list(profile.units)}"
        )
        raise ExportError(msg)


def require_unchanged(folder: Path) -> None:
    """Raise an ExportError if replacing ``folder`` would lose results or somebody's changes.

    Nothing is raised where there is no folder.
    """
    from ...generator.errors import ExportError

    if not folder.exists():
        return
    if not (folder / MARKER).is_file():
        msg = f"{folder} exists and is not a folder with a {MARKER}; choose another name"
        raise ExportError(msg)
    try:
        recorded = json.loads((folder / MARKER).read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        msg = f"{folder / MARKER} is not one of this package; choose another name"
        raise ExportError(msg) from None
    lost = sorted(name for name, digest in _hashes(folder).items() if recorded.get(name) != digest)
    if lost:
        names = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        msg = (
            f"{folder} holds files that were added or changed since it was written ({names}) "
            "and would be lost; move them or choose another name"
        )
        raise ExportError(msg)


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder but the marker and compiled scripts, by its name."""
    names = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(names.items())
        if name != MARKER and "__pycache__" not in name
    }


def _write_orientations(content: SolverInput, path: Path) -> None:
    """Quaternion and matrix Q of each grain, those without a tetrahedron too."""
    import numpy as np

    from ..files.text_rows import write_rows

    assert content.orientations is not None
    assert content.crystal_axes is not None
    axes = content.crystal_axes.reshape(-1, 9)
    columns = ["grain_id", *"wxyz", *(f"{axis}_{c}" for axis in "abc" for c in "xyz")]
    with path.open("w", encoding="ascii") as file:
        file.write("# unit quaternion (w, x, y, z): v_sample = q v_crystal q*\n")
        file.write("# a, b, c: crystal axes in global coordinates, the rows of Q; ")
        file.write("v_crystal = Q v_sample\n")
        file.write(",".join(columns) + "\n")
        template = "%d" + ",%.17g" * 13 + "\n"
        write_rows(file, template, 1 + np.arange(len(axes)), content.orientations, axes)


def _write_readme(profile: SolverProfile, content: SolverInput, folder: Path) -> None:
    from importlib.resources import files

    text = (files(__package__) / "decks" / f"{profile.name}.txt").read_text("utf-8")
    heading = "\n".join(content.heading())
    (folder / "README.txt").write_text(f"{profile.purpose}\n\n{heading}\n\n{text}", "utf-8")


def _write_facts(profile: SolverProfile, content: SolverInput, path: Path) -> None:
    """Write solver.json, which follows ``schemas/solver-1.0.0.schema.json``."""
    from ... import schemas
    from ...generator.errors import ExportError

    units = content.units
    fields = {
        "schema": "cathodegrain/solver",
        "schema_version": "1.0.0",
        "profile": profile.name,
        "units": {
            "length": units.length, "mass": units.mass, "time": "s", "force": units.force,
            "stress": units.stress, "energy": units.energy,
        },
        "order": content.order,
        "n_nodes": len(content.points),
        "n_tets": len(content.tets),
        "n_wedges": 0 if content.wedges is None else len(content.wedges.nodes),
        "n_grains": content.n_grains,
        "grains_without_tets": sorted(set(range(1, content.n_grains + 1)) - set(content.grains)),
        "orientations": content.orientations is not None,
        "supports": [
            {"node": node, "point": content.points[node].tolist(), "fixed": fixed}
            for node, fixed in content.supports
        ],
        "mesh": dict(content.facts),
        "files": _hashes(path.parent),
    }  # fmt: skip
    if problems := schemas.problems(fields, "solver"):
        msg = f"{MARKER} of this mesh would not be valid:\n  " + "\n  ".join(problems)
        raise ExportError(msg)
    path.write_text(json.dumps(fields, indent=2, allow_nan=False) + "\n", encoding="ascii")
