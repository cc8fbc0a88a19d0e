"""Consistent systems of units for solvers, which know numbers only."""

from __future__ import annotations

from dataclasses import dataclass

from ...generator.errors import ExportError


@dataclass(frozen=True)
class UnitSystem:
    """Units in which every number of a deck is given; no factor appears in any equation.

    Parameters
    ----------
    length
        Name of the unit of length.
    per_um
        How many of it one micrometre is.
    stress, per_pascal
        Its unit of stress, and how many of it one pascal is.
    force, mass, energy
        Names of the units that follow. Time is always s.
    """

    length: str
    per_um: float
    stress: str
    per_pascal: float
    force: str
    mass: str
    energy: str

    @property
    def per_metre(self) -> float:
        """How many units of length one metre is."""
        return 1e6 * self.per_um

    @property
    def text(self) -> str:
        """One line for headings."""
        return (
            f"coordinates in {self.length}; consistent units: {self.length}, {self.mass}, s, "
            f"{self.force}, {self.stress}, {self.energy}"
        )


UNIT_SYSTEMS = {
    # uN = kg um / s^2, MPa = uN / um^2, pJ = uN um
    "um": UnitSystem("um", 1.0, "MPa", 1e-6, "uN", "kg", "pJ"),
    "m": UnitSystem("m", 1e-6, "Pa", 1.0, "N", "kg", "J"),
}


def unit_system(name: str) -> UnitSystem:
    """System of units whose length is called ``name``.

    Raises
    ------
    ExportError
        If there is none.
    """
    if name not in UNIT_SYSTEMS:
        msg = f"unknown unit {name!r}; choose one of {list(UNIT_SYSTEMS)}"
        raise ExportError(msg)
    return UNIT_SYSTEMS[name]
