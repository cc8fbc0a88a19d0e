"""What a particle becomes: products, meshes, pictures, reports, datasets, and the command line."""

from pathlib import Path
from typing import Any

from ..generator.kernel_cache import find_place

find_place(Path(__file__).parent)  # before any module imports numba


def __getattr__(name: str) -> Any:
    """Functions that were here in version 0.1.0; they go with version 0.3."""
    from .former import function

    return function(name)
