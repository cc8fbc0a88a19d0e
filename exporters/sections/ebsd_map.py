"""Cuts through particles as EBSD maps: Channel Text Files (``.ctf``) and EDAX's ``.ang``.

Both hold Bunge's Euler angles (z, x, z) of the rotation from sample to crystal, in degrees
(``.ctf``) and radians (``.ang``). The sample's axes are here those of the map: x along columns,
y along rows, z into the map, so that angles and places refer to one frame. Programs that know
a microscope's own frame (MTEX: ``convertEuler2SpatialReferenceFrame``) are to be told that
nothing need be converted. Misorientations do not depend on it.

The crystal's frame differs. In recipes and ``.ang`` files x lies along a, in Oxford's ``.ctf``
files along a*, 30 degrees from it about c (`generator.fitting.sections.ebsd`).

A pixel has the orientation of its grain, without noise. What is missing or outside is not
indexed. The crystal is that of layered NMC, R-3m; its lattice parameters are rounded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator.fitting.sections.ebsd import A_STAR
from ...generator.markers.orientations import multiply

if TYPE_CHECKING:
    from ...generator.fitting.sections.plane_cut import PlaneCut

PHASE, POINT_GROUP, LAUE_NUMBER, SPACE_GROUP = "NMC811", "-3m", 7, 166
LATTICE = (2.87, 2.87, 14.2, 90.0, 90.0, 120.0)  # angstrom, degrees
COLUMNS = ["Phase", "X", "Y", "Bands", "Error", "Euler1", "Euler2", "Euler3", "MAD", "BC", "BS"]

Floats = NDArray[np.float64]


def write(cut: PlaneCut, path: Path, format: str) -> None:
    """Write a cut of a particle with orientations as ``format``, "ctf" or "ang"."""
    if cut.orientations is None:
        msg = f"{cut.source} has no crystal orientations, expected those of its grains"
        raise ValueError(msg)
    if format == "ctf":
        _write_ctf(cut, cut.orientations, path)
    else:
        _write_ang(cut, cut.orientations, path)


def _write_ctf(cut: PlaneCut, orientations: Floats, path: Path) -> None:
    turned = multiply(orientations, np.tile(A_STAR, (len(orientations), 1)))
    angles = np.degrees(_rotations(turned).to_euler())
    ids = cut.grain_id.ravel()
    indexed = ids > 0
    y, x = (cut.pixel_um * k.ravel() for k in np.indices(cut.grain_id.shape))
    table = np.zeros((len(ids), len(COLUMNS)))
    table[:, 0], table[:, 1], table[:, 2] = indexed, x, y
    table[:, 4] = np.where(indexed, 0, 3)  # no error, no solution
    table[indexed, 5:8] = angles[ids[indexed] - 1]
    form = ["%d", "%.6f", "%.6f", "%d", "%d", "%.5f", "%.5f", "%.5f", "%.4f", "%d", "%d"]
    np.savetxt(path, table, form, "\t", header="\n".join(_ctf_header(cut)), comments="")


def _ctf_header(cut: PlaneCut) -> list[str]:
    ny, nx = cut.grain_id.shape
    a, b, c, alpha, beta, gamma = (f"{value:g}" for value in LATTICE)
    return [
        "Channel Text File", f"Prj\t{cut.source}", "Author\tcathodegrain", "JobMode\tGrid",
        f"XCells\t{nx}", f"YCells\t{ny}", f"XStep\t{cut.pixel_um:.6g}",
        f"YStep\t{cut.pixel_um:.6g}", "AcqE1\t0", "AcqE2\t0", "AcqE3\t0",
        "Euler angles refer to Sample Coordinate system (CS0)!", "Phases\t1",
        f"{a};{b};{c}\t{alpha};{beta};{gamma}\t{PHASE}\t{LAUE_NUMBER}\t{SPACE_GROUP}\t\t\t",
        "\t".join(COLUMNS),
    ]  # fmt: skip


def _write_ang(cut: PlaneCut, orientations: Floats, path: Path) -> None:
    from diffpy.structure import Lattice, Structure
    from orix.crystal_map import CrystalMap, Phase, PhaseList
    from orix.io import save

    ids = cut.grain_id.ravel()
    indexed = ids > 0
    y, x = (cut.pixel_um * k.ravel() for k in np.indices(cut.grain_id.shape))
    structure = Structure(title=PHASE, lattice=Lattice(*LATTICE))
    phase = Phase(name=PHASE, point_group=POINT_GROUP, structure=structure)
    crystal_map = CrystalMap(
        rotations=_rotations(orientations[np.maximum(ids, 1) - 1]),
        phase_id=np.where(indexed, 1, -1),
        x=x,
        y=y,
        phase_list=PhaseList([phase], ids=[1]),
        scan_unit="um",
    )
    save(str(path), crystal_map, overwrite=True)


def _rotations(crystal_to_map: Floats) -> Any:
    """Rotations of orix, which go from sample to crystal."""
    from orix.quaternion import Rotation

    return Rotation(crystal_to_map * [1.0, -1.0, -1.0, -1.0])
