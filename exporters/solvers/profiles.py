"""Solvers: what each reads, and where its writer is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SolverProfile:
    """What is written for one solver.

    Parameters
    ----------
    name
        As in ``--for``.
    purpose
        The program, and what the decks do.
    files
        What is written beside ``README.txt``, ``solver.json`` and, if there are
        orientations, ``orientations.csv``.
    module
        Where its writer lives, relative to this package: ``write(content, folder, name)``.
    second_order
        Whether ten-node tetrahedra can be written.
    cohesive
        Whether zero-thickness elements between grains can be written.
    units
        Of length that it can take; the first one, if none is asked for.
    """

    name: str
    purpose: str
    files: tuple[str, ...]
    module: str
    second_order: bool = True
    cohesive: bool = False
    units: tuple[str, ...] = ("um", "m")


_INP = ("nodes.inp", "elements.inp", "sets.inp", "sections.inp", "material.inp")
_DECKS = ("material.py", "diffusion.py", "expansion.py")
PROFILES = {
    p.name: p
    for p in (
        SolverProfile(
            "abaqus",
            "Abaqus/Standard: diffusion, chemo-mechanical expansion, cohesive grain boundaries",
            (*_INP, "elements_heat.inp", "diffusion.inp", "expansion.inp"),
            ".abaqus",
            cohesive=True,
        ),
        SolverProfile(
            "calculix",
            "CalculiX: diffusion, chemo-mechanical expansion",
            (*_INP, "diffusion.inp", "expansion.inp"),
            ".abaqus",
            units=("um",),  # it takes Jacobians below 1e-20 for inverted elements
        ),
        SolverProfile(
            "fenicsx",
            "FEniCSx (dolfinx): diffusion, chemo-mechanical expansion",
            ("mesh.xdmf", "mesh.h5", "facets.xdmf", "facets.h5", *_DECKS),
            ".python_decks",
        ),
        SolverProfile(
            "ngsolve",
            "NGSolve: diffusion, chemo-mechanical expansion",
            ("mesh.msh", *_DECKS),
            ".python_decks",
        ),
        SolverProfile(
            "getfem",
            "GetFEM: diffusion, chemo-mechanical expansion",
            ("mesh.msh", *_DECKS),
            ".python_decks",
        ),
        SolverProfile(
            "mfem",
            "MFEM through PyMFEM: diffusion, chemo-mechanical expansion",
            ("mesh.msh", *_DECKS),
            ".python_decks",
        ),
        SolverProfile(
            "moose",
            "MOOSE: Exodus mesh; diffusion, chemo-mechanical expansion",
            ("mesh.e", "diffusion.i", "expansion.i"),
            ".moose",
        ),
        SolverProfile(
            "openfoam",
            "OpenFOAM: case for gmshToFoam, checkMesh and laplacianFoam; isotropic diffusion",
            (
                "mesh.msh",
                "0/T",
                "constant/transportProperties",
                "system/controlDict",
                "system/fvOptions",
                "system/fvSchemes",
                "system/fvSolution",
            ),
            ".openfoam",
            second_order=False,
            units=("m", "um"),
        ),
        SolverProfile(
            "comsol",
            "COMSOL Multiphysics: Nastran mesh with a property for each grain",
            ("mesh.bdf",),
            ".comsol",
        ),
        SolverProfile(
            "scikit-fem",
            "scikit-fem: diffusion, chemo-mechanical expansion",
            ("mesh.npz", "particle_mesh.py", *_DECKS),
            ".python_decks",
        ),
    )
}


def profile_named(name: str) -> SolverProfile:
    """Profile with a name.

    Raises
    ------
    ExportError
        If there is none.
    """
    from ...generator.errors import ExportError, suggestion

    if name not in PROFILES:
        msg = f"unknown solver {name!r}; {suggestion(name, PROFILES)}"
        raise ExportError(msg)
    return PROFILES[name]
