"""Material of the decks in this folder: tensors of each grain in global coordinates.

Units are those of solver.json. A grain's crystal axes are the rows of its matrix Q in
orientations.csv; without that file every grain has the same, isotropic material.
"""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
FACTS = json.loads((FOLDER / "solver.json").read_text())
LENGTH, ENERGY, STRESS = (FACTS["units"][k] for k in ("length", "energy", "stress"))
ORDER = FACTS["order"]  # of the elements: 1 or 2
N_GRAINS = FACTS["n_grains"]  # physical tags: 1..N_GRAINS, outer, grain_boundary
# vertices that stop rigid motion, and which of their displacements are zero
SUPPORTS = [(np.array(s["point"]), ["xyz".index(c) for c in s["fixed"]]) for s in FACTS["supports"]]
# direction across each symmetric face, and where it lies: the displacement along it is zero there
SYMMETRY = {"xyz".index(axis): place for axis, place in FACTS.get("symmetry", {}).items()}
TOLERANCE = 1e-6 if LENGTH == "um" else 1e-12

# begin: PLACEHOLDER MATERIAL, replace
DIFFUSIVITY = (0.01, 0.01, 0.0001)
YOUNG = (200000.0, 200000.0, 150000.0)
POISSON = (0.25, 0.25, 0.25)
SHEAR = (80000.0, 60000.0, 60000.0)
SWELLING = (-0.01, -0.01, -0.03)
# end


def on_symmetric_face(points, direction):
    """Whether points (n, 3) lie on the symmetric face across a direction, (n,)."""
    return np.abs(points[:, direction] - SYMMETRY[direction]) < TOLERANCE


def crystal_axes(grain_ids):
    """Q of each grain, (k, 3, 3): rows are its crystal axes in global coordinates."""
    path = FOLDER / "orientations.csv"
    if not path.exists():
        return np.broadcast_to(np.eye(3), (len(grain_ids), 3, 3))
    lines = [line for line in path.read_text().splitlines() if line[0].isdigit()]
    table = np.loadtxt(lines, delimiter=",", ndmin=2)
    return table[np.asarray(grain_ids) - 1, 5:].reshape(-1, 3, 3)


def diffusivities(grain_ids):
    """Diffusivity tensors, (k, 3, 3)."""
    q = crystal_axes(grain_ids)
    return np.einsum("gki,k,gkj->gij", q, np.array(DIFFUSIVITY), q)


def swellings(grain_ids):
    """Stress-free strains for the whole change of composition, (k, 3, 3)."""
    q = crystal_axes(grain_ids)
    return np.einsum("gki,k,gkj->gij", q, np.array(SWELLING), q)


def stiffnesses(grain_ids):
    """Stiffness tensors, (k, 3, 3, 3, 3)."""
    compliance = np.zeros((6, 6))
    compliance[range(3), range(3)] = 1 / np.array(YOUNG)
    for nu, i, j in zip(POISSON, (0, 0, 1), (1, 2, 2), strict=True):
        compliance[i, j] = compliance[j, i] = -nu / YOUNG[i]
    compliance[range(3, 6), range(3, 6)] = 1 / np.array(SHEAR)[::-1]
    index = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # 11, 22, 33, 23, 13, 12
    crystal = np.linalg.inv(compliance)[index[:, :, None, None], index]
    q = crystal_axes(grain_ids)
    return np.einsum("gai,gbj,gck,gdl,abcd->gijkl", q, q, q, q, crystal, optimize=True)


def voigt(tensors):
    """Stiffnesses (k, 3, 3, 3, 3) as (k, 6, 6) for strains 11, 22, 33, 2*23, 2*13, 2*12."""
    i, j = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
    return tensors[:, i[:, None], j[:, None], i, j]


def print_diffusion(volume, integral):
    """Print the results that all solvers have to agree on."""
    print(f"volume: {volume:.16e} {LENGTH}^3")
    print(f"integral of u: {integral:.16e} {LENGTH}^3 s")
    print(f"mean time to the outer surface: {integral / volume:.6g} s")


def print_expansion(volume, energy, change):
    """Print the results that all solvers have to agree on."""
    print(f"volume: {volume:.16e} {LENGTH}^3")
    print(f"elastic energy: {energy:.16e} {ENERGY}")
    print(f"change of volume: {100 * change / volume:.6g} %")
