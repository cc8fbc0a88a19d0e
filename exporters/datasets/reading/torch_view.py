"""Datasets as ``torch.utils.data.Dataset`` takes them: by number, as dictionaries of arrays.

torch is not imported: a map-style dataset is what has a length and items. ``DataLoader``
makes tensors of the arrays. Particles differ in size, so load one at a time
(``batch_size=None``) or give a ``collate_fn`` that crops or pads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ....generator.errors import DatasetError, suggestion

if TYPE_CHECKING:
    import xarray

    from ....generator.particle import Particle

Item = dict[str, Any]


class StoredParticle(Protocol):
    """A particle of a dataset, read when it is asked for."""

    @property
    def id(self) -> str:
        """For example p000007."""

    def particle(self) -> Particle:
        """The particle itself."""

    def voxels(self) -> xarray.Dataset:
        """Its voxels."""


class StoredParticles(Protocol):
    """Particles by number."""

    def __len__(self) -> int:
        """Number of particles."""

    def __getitem__(self, number: int, /) -> StoredParticle:
        """One of them."""


@dataclass(frozen=True, eq=False)
class TorchView:
    """Voxels or recipes of a dataset by number.

    Parameters
    ----------
    dataset
        What is read.
    what
        A key of ``ITEMS``.
    """

    dataset: StoredParticles
    what: str

    def __post_init__(self) -> None:
        if self.what not in ITEMS:
            msg = f"no view {self.what!r} of a dataset; {suggestion(self.what, sorted(ITEMS))}"
            raise DatasetError(msg)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Item:
        return ITEMS[self.what](self.dataset[number])


def voxel_item(particle: StoredParticle) -> Item:
    """``grain_id`` (nz, ny, nx) int32, 0 outside; ``pitch_um`` float; ``id``."""
    with particle.voxels() as voxels:
        x = voxels["x"].to_numpy()
        pitch = float(x[1] - x[0])
        return {
            "id": particle.id,
            "grain_id": voxels["grain_id"].to_numpy(),
            "pitch_um": round(pitch, 9),
        }


def recipe_item(particle: StoredParticle) -> Item:
    """Shell coefficients (k,) um and a row per grain.

    ``seeds`` (n, 3) um, ``matrices`` (n, 3, 3) um^-2, ``offsets`` (n,) 1, all float64; ``id``.
    """
    drawn = particle.particle()
    grains = drawn.tessellation
    return {
        "id": particle.id,
        "coefficients": np.array(drawn.shell.coefficients),
        "seeds": np.array(grains.seeds),
        "matrices": np.array(grains.matrices),
        "offsets": np.array(grains.offsets),
    }


ITEMS: dict[str, Callable[[StoredParticle], Item]] = {
    "voxels": voxel_item,
    "recipes": recipe_item,
}
