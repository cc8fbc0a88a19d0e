"""The placeholder material of the decks: numbers of a sensible size, to be replaced.

Crystal axes are a, b, c = 1, 2, 3; lithium moves in the a-b planes. The contraction along c
has the size of the one that NCM811 shows below x(Li) = 0.5 (Kondrakov et al., J. Phys.
Chem. C, 2017, doi 10.1021/acs.jpcc.6b12885). Everything else is an order of magnitude without
a source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .units import UnitSystem

MARK = "PLACEHOLDER MATERIAL, replace"

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Orthotropic crystal with diffusion, elasticity and swelling, and its boundaries.

    Parameters
    ----------
    diffusivity
        Of lithium along a, b, c; m^2/s.
    young, poisson, shear
        E_1, E_2, E_3; nu_12, nu_13, nu_23; G_12, G_13, G_23; Pa and 1. nu_ij is the
        contraction along j, by E_i, under tension along i.
    swelling
        Stress-free strain along a, b, c for the whole change of composition; 1.
    stiffness, strength, toughness
        Of a grain boundary: Pa/m, Pa, J/m^2; the same in all modes.
    """

    diffusivity: Triple = (1e-14, 1e-14, 1e-16)
    young: Triple = (200e9, 200e9, 150e9)
    poisson: Triple = (0.25, 0.25, 0.25)
    shear: Triple = (80e9, 60e9, 60e9)
    swelling: Triple = (-0.01, -0.01, -0.03)
    stiffness: float = 1e19
    strength: float = 1e8
    toughness: float = 1.0

    def isotropic(self) -> Material:
        """Copy with the means over the axes, for grains of unknown orientation."""
        young, poisson = float(np.mean(self.young)), float(np.mean(self.poisson))
        return replace(
            self,
            diffusivity=_threefold(np.mean(self.diffusivity)),
            young=_threefold(young),
            poisson=_threefold(poisson),
            shear=_threefold(young / (2 * (1 + poisson))),
            swelling=_threefold(np.mean(self.swelling)),
        )

    def in_units(self, units: UnitSystem) -> Material:
        """Copy whose numbers are in another system of units."""
        area, stress = units.per_metre**2, units.per_pascal
        return replace(
            self,
            diffusivity=_scaled(self.diffusivity, area),
            young=_scaled(self.young, stress),
            shear=_scaled(self.shear, stress),
            stiffness=_rounded(self.stiffness * stress / units.per_metre),
            strength=_rounded(self.strength * stress),
            toughness=_rounded(self.toughness * stress * units.per_metre),
        )


def stiffness_matrix(material: Material) -> NDArray[np.float64]:
    """Stiffness (6, 6) in crystal axes; strains 11, 22, 33, 23, 13, 12, shear angles."""
    compliance = np.zeros((6, 6))
    compliance[range(3), range(3)] = 1 / np.array(material.young)
    for nu, (i, j) in zip(material.poisson, ((0, 1), (0, 2), (1, 2)), strict=True):
        compliance[i, j] = compliance[j, i] = -nu / material.young[i]
    compliance[range(3, 6), range(3, 6)] = 1 / np.array(material.shear[::-1])
    return np.asarray(np.linalg.inv(compliance), np.float64)


def _threefold(value: float | np.floating) -> Triple:
    return (float(value),) * 3


def _scaled(values: Triple, factor: float) -> Triple:
    first, second, third = (_rounded(factor * v) for v in values)
    return first, second, third


def _rounded(value: float) -> float:
    """Value without the last bits that a change of units leaves: 0.01, not 0.010000000000000002."""
    return float(f"{value:.12g}")
