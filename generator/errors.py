"""What can go wrong through a user's input: one tree of exceptions, and the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CathodegrainError(Exception):
    """Base of every error a user can cause and mend."""


class ModelCardError(CathodegrainError):
    """A model card, or a parameter set on it, that is not valid."""


class GenerationError(CathodegrainError):
    """A particle that cannot be drawn with the parameters asked for."""


class RecipeError(CathodegrainError):
    """A recipe or metadata file that is missing, damaged or of the wrong kind."""


class ExportError(CathodegrainError):
    """A product that cannot be written, or read back, as asked."""


class FitError(CathodegrainError):
    """Measured data that a model cannot be fitted to as asked."""


class DeviceError(CathodegrainError):
    """A device that is not there, or cannot compute what is asked for."""


class VolumeFileError(CathodegrainError):
    """A file of voxels that cannot be read, or does not hold one volume of numbers."""


class DatasetError(CathodegrainError):
    """A dataset, or its configuration, that is not valid or is not what was asked for."""


def suggestion(name: str, choices: Iterable[str]) -> str:
    """What to choose instead of an unknown name: the nearest one, if one is near, and all.

    Examples
    --------
    >>> suggestion("Voxel", ["mesh", "voxels"])
    "did you mean 'voxels'? Choose from ['mesh', 'voxels']"
    >>> suggestion("colour", ["mesh", "voxels"])
    "choose from ['mesh', 'voxels']"
    """
    listed = list(choices)
    by_lower_case = {choice.lower(): choice for choice in listed}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    if not near:
        return f"choose from {listed}"
    return f"did you mean {by_lower_case[near[0]]!r}? Choose from {listed}"
