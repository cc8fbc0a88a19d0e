"""Input decks of Abaqus and CalculiX: the same keywords, split into files that include others.

``nodes.inp``, ``elements.inp`` (an element set for each grain, ``GRAIN_00001`` and so on,
and ``GRAINS``), ``sets.inp`` (node sets and surfaces ``OUTER`` and ``GRAIN_BOUNDARY``, node
sets ``SUPPORT_1`` to ``SUPPORT_3``), ``sections.inp`` (orientations and sections) and
``material.inp`` (the placeholder) are put together by ``diffusion.inp`` and
``expansion.inp``. Element e is row e - 1 of the mesh, node n its point n - 1.

Abaqus wants other elements for heat transfer, DC3D4: they are in ``elements_heat.inp``;
CalculiX takes C3D4 for both. Diffusion is written as heat conduction and swelling as
thermal expansion, which obey the same equations: temperature is the unknown u, and the whole
change of composition is a temperature rise of 1. Fields have at most 20 characters, which
is what both programs read: coordinates have 14 digits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..files.text_rows import write_list, write_rows
from ..mesh.tetrahedra import grouped
from .materials import MARK, Material
from .solver_input import SolverInput

# face of the tetrahedron, S1 to S4, that is opposite to each vertex
FACE_OPPOSITE = np.array([3, 4, 2, 1])
ELEMENTS = {4: ("C3D4", "DC3D4"), 10: ("C3D10", "DC3D10")}

DIFFUSION = """** u: mean time (s) in which a lithium atom reaches the outer surface,
** -div(D grad u) = 1, u = 0 on OUTER. Temperature stands for u, conductivity for D.
*INCLUDE, INPUT=nodes.inp
*INCLUDE, INPUT={elements}
*INCLUDE, INPUT=sets.inp
*INCLUDE, INPUT=material.inp
*INCLUDE, INPUT=sections.inp
*INITIAL CONDITIONS, TYPE=TEMPERATURE
NALL, 0.
*STEP
*HEAT TRANSFER, STEADY STATE
1., 1.
*BOUNDARY
OUTER, 11, 11, 0.
*DFLUX
GRAINS, BF, 1.
"""
EXPANSION = """** Free swelling by the whole change of composition, temperature 0 to 1.
*INCLUDE, INPUT=nodes.inp
*INCLUDE, INPUT=elements.inp
*INCLUDE, INPUT=sets.inp
*INCLUDE, INPUT=material.inp
*INCLUDE, INPUT=sections.inp
*INITIAL CONDITIONS, TYPE=TEMPERATURE
NALL, 0.
{step}
*BOUNDARY
SUPPORT_1, 1, 3, 0.
SUPPORT_2, 2, 3, 0.
SUPPORT_3, 3, 3, 0.
*TEMPERATURE
NALL, 1.
"""
RESULTS = {
    "calculix": {
        "diffusion": "*NODE FILE\nNT\n*NODE PRINT, NSET=NALL\nNT\n",
        "expansion": "*NODE FILE\nU\n*EL FILE\nS\n*NODE PRINT, NSET=NALL\nU\n",
    },
    "abaqus": {
        "diffusion": "*OUTPUT, FIELD\n*NODE OUTPUT\nNT\n*ELEMENT OUTPUT\nHFL\n",
        "expansion": "*OUTPUT, FIELD\n*NODE OUTPUT\nU\n*ELEMENT OUTPUT\nS, E, THE\n",
    },
}
STEP = "*STEP\n*STATIC"
COHESIVE_STEP = "*STEP, INC=1000\n*STATIC\n0.02, 1., 1e-08, 0.05"
COHESIVE_RESULTS = "*ELEMENT OUTPUT, ELSET=COHESIVE\nS, E, SDEG, QUADSCRT\n"


def write(content: SolverInput, folder: Path, profile: str) -> None:
    """Write the decks of ``profile``, "abaqus" or "calculix".

    With cohesive elements there is no ``diffusion.inp``: they do not conduct.
    """
    heat = "elements_heat.inp" if profile == "abaqus" else "elements.inp"
    structural, thermal = ELEMENTS[content.tets.shape[1]]
    _write_file(folder / "nodes.inp", content, _write_nodes)
    _write_file(folder / "elements.inp", content, lambda c, f: _write_elements(c, f, structural))
    _write_file(folder / "sets.inp", content, _write_sets)
    _write_file(folder / "material.inp", content, _write_material)
    _write_file(folder / "sections.inp", content, _write_sections)
    step = STEP if content.wedges is None else COHESIVE_STEP
    decks = {"expansion": EXPANSION.format(step=step)}
    if content.wedges is None:
        decks["diffusion"] = DIFFUSION.format(elements=heat)
        if profile == "abaqus":
            _write_file(folder / heat, content, lambda c, f: _write_elements(c, f, thermal))
    for name, deck in decks.items():
        results = RESULTS[profile][name]
        if content.wedges is not None:
            results += COHESIVE_RESULTS
        heading = "\n".join(["*HEADING", *content.heading()])
        text = f"{heading}\n{deck}{results}*END STEP\n"
        (folder / f"{name}.inp").write_text(text, encoding="ascii")


def _write_file(
    path: Path, content: SolverInput, write: Callable[[SolverInput, IO[str]], None]
) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"** {line}\n" for line in content.heading())
        write(content, file)


def _write_nodes(content: SolverInput, file: IO[str]) -> None:
    file.write("*NODE, NSET=NALL\n")
    ids = 1 + np.arange(len(content.points))
    write_rows(file, "%d, %.13e, %.13e, %.13e\n", ids, content.points)


def _write_elements(content: SolverInput, file: IO[str], kind: str) -> None:
    template = "%d" + ", %d" * content.tets.shape[1] + "\n"
    for grain, rows in content.rows_by_grain():
        file.write(f"*ELEMENT, TYPE={kind}, ELSET=GRAIN_{grain:05d}\n")
        write_rows(file, template, 1 + rows, 1 + content.tets[rows])
    file.write(f"*ELSET, ELSET=GRAINS, GENERATE\n1, {len(content.tets)}, 1\n")
    if content.wedges is not None:
        _write_wedges(content, file)


def _write_wedges(content: SolverInput, file: IO[str]) -> None:
    """Six-node cohesive elements, a set for each pair of grains."""
    assert content.wedges is not None
    nodes, pairs = content.wedges.nodes, content.wedges.pairs
    found, index = np.unique(pairs, axis=0, return_inverse=True)
    first = len(content.tets)
    for k, rows in grouped(index.ravel()):
        low, high = found[k].tolist()
        file.write(f"*ELEMENT, TYPE=COH3D6, ELSET=GB_{low:05d}_{high:05d}\n")
        write_rows(file, "%d, %d, %d, %d, %d, %d, %d\n", 1 + first + rows, 1 + nodes[rows])
    file.write(f"*ELSET, ELSET=COHESIVE, GENERATE\n{first + 1}, {first + len(nodes)}, 1\n")


def _write_sets(content: SolverInput, file: IO[str]) -> None:
    node_sets = {"OUTER": np.unique(content.outer), "GRAIN_BOUNDARY": content.boundary_nodes}
    surfaces = {"OUTER": content.outer_sides, "GRAIN_BOUNDARY": content.boundary_sides}
    for name, nodes in node_sets.items():
        _write_node_set(file, name, nodes)
    for number, (node, _) in enumerate(content.supports, start=1):
        _write_node_set(file, f"SUPPORT_{number}", np.array([node]))
    for name, sides in surfaces.items():
        if len(sides):
            file.write(f"*SURFACE, NAME={name}, TYPE=ELEMENT\n")
            write_rows(file, "%d, S%d\n", 1 + sides[:, 0], FACE_OPPOSITE[sides[:, 1]])


def _write_node_set(file: IO[str], name: str, nodes: NDArray[np.int64]) -> None:
    if len(nodes):
        file.write(f"*NSET, NSET={name}\n")
        write_list(file, 1 + nodes, 8, ", ")


def _write_sections(content: SolverInput, file: IO[str]) -> None:
    """Orientations, whose two vectors are the crystal axes a and b, and sections."""
    axes = content.crystal_axes
    for grain in content.grains:
        orientation = ""
        if axes is not None:
            orientation = f", ORIENTATION=ORI_{grain:05d}"
            a_and_b = ", ".join(f"{x:.12e}" for x in axes[grain - 1, :2].ravel())
            file.write(f"*ORIENTATION, NAME=ORI_{grain:05d}, SYSTEM=RECTANGULAR\n{a_and_b}\n")
        file.write(f"*SOLID SECTION, ELSET=GRAIN_{grain:05d}, MATERIAL=NMC811{orientation}\n")
    if content.wedges is not None:
        file.write(
            "*COHESIVE SECTION, ELSET=COHESIVE, MATERIAL=GRAIN_BOUNDARY, "
            "RESPONSE=TRACTION SEPARATION, THICKNESS=SPECIFIED\n1.,\n"
        )


def _write_material(content: SolverInput, file: IO[str]) -> None:
    units = content.units
    laws = (
        _isotropic(content.material)
        if content.orientations is None
        else _orthotropic(content.material)
    )
    conductivity, elastic, expansion = laws
    file.write(f"** {MARK}\n*MATERIAL, NAME=NMC811\n")
    file.write(f"** Diffusivity, {units.length}^2/s\n*CONDUCTIVITY{conductivity}\n")
    file.write(f"** Elastic constants, {units.stress}\n*ELASTIC{elastic}\n")
    file.write("** Strain for the whole change of composition\n")
    file.write(f"*EXPANSION{expansion}\n")
    if content.wedges is not None:
        file.write(_cohesive_law(content.material))


def _orthotropic(material: Material) -> tuple[str, str, str]:
    """Parameters and data of conductivity along a, b, c; elasticity; expansion along a, b, c."""
    constants = [*material.young, *material.poisson, *material.shear]
    return (
        f", TYPE=ORTHO\n{_csv(material.diffusivity)}",
        f", TYPE=ENGINEERING CONSTANTS\n{_csv(constants[:8])}\n{_csv(constants[8:])}",
        f", TYPE=ORTHO, ZERO=0.\n{_csv(material.swelling)}",
    )


def _isotropic(material: Material) -> tuple[str, str, str]:
    """The same of an isotropic material: Abaqus refuses the other form without axes."""
    return (
        f"\n{material.diffusivity[0]:.12g}",
        f"\n{material.young[0]:.12g}, {material.poisson[0]:.12g}",
        f", ZERO=0.\n{material.swelling[0]:.12g}",
    )


def _cohesive_law(material: Material) -> str:
    stiffness, strength = _csv([material.stiffness] * 3), _csv([material.strength] * 3)
    return (
        f"** {MARK}: traction and separation of a grain boundary\n"
        "** Stiffness, strength in the normal and both shear directions; energy per area\n"
        f"*MATERIAL, NAME=GRAIN_BOUNDARY\n*ELASTIC, TYPE=TRACTION\n{stiffness}\n"
        f"*DAMAGE INITIATION, CRITERION=QUADS\n{strength}\n"
        f"*DAMAGE EVOLUTION, TYPE=ENERGY\n{material.toughness:.12g}\n"
    )


def _csv(values: list[float] | tuple[float, ...]) -> str:
    return ", ".join(f"{value:.12g}" for value in values)
