"""Finite-element solvers: for each a folder with the mesh and decks that run as they are.

`PROFILES` lists them. A profile's module is imported when it is used; none needs gmsh or
the solver itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .profiles import PROFILES, SolverProfile, profile_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..mesh.cohesive import SplitMesh
    from ..mesh.second_order import SecondOrderMesh
    from ..mesh.volume_mesh import VolumeMesh
    from .solver_input import SolverInput
