"""Arrays of frozen dataclasses: of one type and shape, their own, not to be written to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def take_arrays(record: object, **expected: tuple[type, tuple[int, ...]]) -> None:
    """Replace fields of a frozen dataclass by read-only copies of the type and shape given.

    Raises
    ------
    ValueError
        If one has another shape.
    """
    for name, (dtype, shape) in expected.items():
        array: NDArray[Any] = np.array(getattr(record, name), dtype)
        if array.shape != shape:
            msg = f"{name} has shape {array.shape}, expected {shape}"
            raise ValueError(msg)
        array.flags.writeable = False
        object.__setattr__(record, name, array)
