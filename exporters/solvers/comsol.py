"""COMSOL Multiphysics: a Nastran mesh to import, and what to click in README.txt."""

from __future__ import annotations

from pathlib import Path

from .nastran import write_nastran
from .solver_input import SolverInput


def write(content: SolverInput, folder: Path, profile: str) -> None:
    """Write ``mesh.bdf``."""
    write_nastran(content, folder / "mesh.bdf")
