"""Solvers that are programmed in Python: a mesh file, the material, two scripts to run.

The scripts are the files of the folder ``decks`` below a heading; only the placeholder
material is written into ``material.py``, in the units of the mesh.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .materials import MARK
from .msh2 import write_msh2
from .solver_input import SolverInput
from .xdmf import write_xdmf

DECKS = files(__package__) / "decks"
BLOCK = re.compile(rf"(# begin: {MARK}\n).*?(# end\n)", re.DOTALL)


def write(content: SolverInput, folder: Path, profile: str) -> None:
    """Write mesh, ``material.py``, ``diffusion.py`` and ``expansion.py``."""
    scripts = {name: _script(f"{profile}_{name}") for name in ("diffusion", "expansion")}
    scripts["material"] = _material_script(content)
    if profile == "fenicsx":
        write_xdmf(content, folder)
    elif profile == "scikit-fem":
        _write_arrays(content, folder / "mesh.npz")
        scripts["particle_mesh"] = _script("scikit-fem_mesh")
    else:
        write_msh2(content, folder / "mesh.msh")
    heading = "".join(f"# {line}\n" for line in content.heading())
    for name, script in scripts.items():
        (folder / f"{name}.py").write_text(heading + script, "utf-8")


def _script(name: str) -> str:
    return (DECKS / f"{name}.py").read_text("utf-8")


def _write_arrays(content: SolverInput, path: Path) -> None:
    """Write the mesh as NumPy arrays; nodes count from zero.

    scikit-fem reads MSH 2.2 too, but then drops the triangles between grains, and all
    groups of ten-node tetrahedra.
    """
    arrays: dict[str, Any] = {
        "points": content.points,
        "hexes" if content.is_hex else "tets": content.cells,
        "grain_ids": content.grain_ids,
        **{name: facets for _, name, facets in content.surfaces()},
    }
    np.savez(path, **arrays)


def _material_script(content: SolverInput) -> str:
    material, units = content.material, content.units
    numbers = (
        f"# along the crystal axes a, b, c; {units.length}^2/s\n"
        f"DIFFUSIVITY = {material.diffusivity}\n"
        f"# E_1, E_2, E_3; nu_12, nu_13, nu_23; G_12, G_13, G_23; {units.stress}\n"
        f"YOUNG = {material.young}\nPOISSON = {material.poisson}\nSHEAR = {material.shear}\n"
        "# strain along a, b, c for the whole change of composition\n"
        f"SWELLING = {material.swelling}\n"
    )
    return BLOCK.sub(lambda found: found[1] + numbers + found[2], _script("material"))
