"""What a particle becomes: files, pictures, metadata, and the command line.

`FORMATS` lists every product. A format's module is imported when it is used, so that one
missing package never keeps the others from working.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..generator.kernel_cache import find_place
from ..generator.progress import Progress
from ..generator.requirements import missing, require
from .solvers.profiles import PROFILES, SolverProfile

if TYPE_CHECKING:
    from ..generator.particle import Particle
    from .datasets.reading.access import Dataset
    from .mesh.volume_mesh import VolumeMesh
    from .products.voxels import Voxels

find_place(Path(__file__).parent)  # before any module imports numba


def open_dataset(source: str | Path) -> Dataset:
    """Dataset of a folder, of a folder of ZIP shards, or of the web address of either.

    It iterates over particles that are read when they are used; ``index`` is a DataFrame.

    Raises
    ------
    DatasetError
        If there is none, it cannot be read, or the extra ``dataset`` is not installed.
    """
    from .datasets.reading.access import open_dataset as opened

    return opened(source)
