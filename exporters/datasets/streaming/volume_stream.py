"""Labelled volumes for training without files, as many as are asked for: `VolumeStream`.

torch is imported with this module; without it there is a class that says so when it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....generator.devices import Device, device_named
from ....generator.errors import DatasetError
from ....generator.machine import available_memory, readable_bytes
from ....generator.model_card import ModelCard
from ....generator.requirements import missing, require
from .changes import Changes, DrawnCards
from .cubes import Cube, crop_cube, whole_cube
from .items import RIM, Contents, Item, collated, item_of, labelled
from .order import Share, in_groups
from .recipes import Drawn, particles

if TYPE_CHECKING:
    from torch.utils.data import IterableDataset

    from ....generator.particle import Particle

    Base = IterableDataset[Item]
elif missing("torch"):
    Base = object
else:
    from torch.utils.data import IterableDataset as Base

VOXELS_AT_ONCE = 2**24  # labelled in one call on a GPU


@dataclass(frozen=True, eq=False)
class VolumeStream(Base):
    """Endless labelled cubes of a model's particles, a torch ``IterableDataset``.

    Item k is crop k % crops of particle k // crops of the series of ``seed``. It follows from
    card, seed, the settings of items and k: it is the same on every computer and device and for
    any number of workers, ranks and processes. Crops have their centres uniform in the volume of
    the particle; what sticks out is 0.

    An item is a dictionary of tensors and numbers:

    ============== ======================== =================================================
    ``labels``     (z, y, x) int32          grains 1..K of this item, 0 outside
    ``boundary``   (z, y, x) bool           a face neighbour, in the item or beyond, has
                                            another grain or is outside
    ``gap``        (z, y, x) float32        with ``gap``: score of the second best grain less
                                            that of the best, at most ``gap``; 0 outside
    ``c_axis``     (3, z, y, x) float32     with ``c_axis``: unit vector x, y, z; 0 outside
    ``n_grains``   int                      K
    ``pitch_um``   float                    edge of a voxel
    ``centre_um``  (3,) float64             centre x, y, z of the cube in the particle
    ``particle``   int                      number of the particle
    ``crop``       int                      number of the crop
    ``index``      int                      k
    ``parameters`` dict                     what ``changes`` drew
    ``grain``      (K,) int64               with ``grains``: id in the particle of 1..K
    ``seeds`` ...  (K, ...) float64         with ``grains``: rows of the recipe, um
    ============== ======================== =================================================

    Parameters
    ----------
    card
        Name of a shipped model, path of a model card, or a card.
    seed
        Of the series of particles.
    edge, pitch_um
        Voxels along an edge of a crop, and their size, um.
    crops
        Crops of each particle: a recipe takes ten times as long as a crop.
    shape
        Edge of a cube about a whole particle: item k is then particle k, ``edge`` and ``crops``
        do not count. With ``pitch_um=None`` each particle fills its cube, else it must fit.
    changes
        Parameters of the model that each particle draws: a dictionary of values and of pairs
        (low, high), uniform between them, or a function of a ``numpy.random.Generator`` that
        returns a dictionary of values.
    gap, c_axis, grains
        What items have on request, as above. Items with ``grains`` differ in size:
        give DataLoader ``collate_fn=cg.VolumeStream.collate``.
    start, stop
        Range of items; ``stop`` is left out, None is without end.
    mix
        Particles whose crops take turns, so that a batch holds several.
    rank, world
        Which process of how many of a distributed training this is; as torch.distributed says
        when the stream is made, else 0 of 1.
    device
        Where labels are computed and items lie: cpu, cuda, cuda:N or auto.
    processes
        Processes that draw particles ahead, instead of DataLoader's workers; labels are then made
        in the process that iterates.

    Raises
    ------
    DatasetError
        For a setting that is not possible. While it iterates: for a whole particle that does not
        fit, or a process that is killed.
    ModelCardError
        If there is no such model, or a parameter or value is not allowed.
    DeviceError
        If the device is not there or not usable.
    """

    card: str | Path | ModelCard = "nmc811"
    seed: int = 0
    edge: int = 64
    pitch_um: float | None = 0.05
    crops: int = 64
    shape: int | None = None
    changes: Changes = field(default_factory=dict)
    gap: float | None = None
    c_axis: bool = False
    grains: bool = False
    start: int = 0
    stop: int | None = None
    mix: int = 8
    rank: int | None = None
    world: int | None = None
    device: str = "cpu"
    processes: int = 0
    _cards: DrawnCards = field(init=False, repr=False)
    _place: tuple[int, int] = field(init=False, repr=False)  # rank and world
    _device: Device = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require("torch", "torch", purpose="streams of volumes", error=DatasetError)
        _require_whole(self)
        _require_range(self.start, self.stop)
        _require_lengths(self)
        card = self.card if isinstance(self.card, ModelCard) else ModelCard.load(self.card)
        found = {
            "_place": _place(self.rank, self.world),
            "_cards": DrawnCards(card, self.seed, self.changes or {}),
            "_device": device_named(self.device),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)
        first = self._cards.values(self.start // self._per_particle)
        self._require_crystals(self._cards.changed(first))
        self._require_memory()

    @staticmethod
    def collate(items: Sequence[Item]) -> Item:
        """Batch of items with ``grains``: rows padded with 0, ``n_grains`` (B,) of them count."""
        return collated(items)

    def particle(self, number: int) -> Particle:
        """Particle of a number, drawn again at each call."""
        return self._drawn(number).particle

    def item(self, k: int) -> Item:
        """Item ``k``, wherever it lies; its particle is drawn again at each call."""
        drawn = self._drawn(k // self._per_particle)
        (found,) = self._items([(drawn, k)], threads=None)
        return found

    def __iter__(self) -> Iterator[Item]:
        """Items of this process, in the order that docs/training.md has."""
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        if worker is not None:
            self._require_no_workers(worker.num_workers)
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, world = self._place
        part, parts = number * world + rank, workers * world
        share = Share(self.start, self.stop, self._per_particle, part, parts)
        yield from self._of_share(share, threads=None if worker is None else 1)

    def _of_share(self, share: Share, threads: int | None) -> Iterator[Item]:
        ahead = max(self.mix, 2 * self.processes)
        numbers = share.particles()
        with closing(particles(self._cards, numbers, self.processes, ahead, self.device)) as drawn:
            for group in in_groups(drawn, self.mix):
                of_number = {one.particle.provenance.index: one for one in group}
                places = ((of_number[n], k) for n, k in share.items(list(of_number)))
                for some in in_groups(places, self._at_once):
                    yield from self._items(some, threads)

    def _drawn(self, number: int) -> Drawn:
        (found,) = particles(self._cards, iter([number]), 0, 1)
        return found

    def _items(self, places: list[tuple[Drawn, int]], threads: int | None) -> Iterator[Item]:
        """Items k of particles, labelled together."""
        cubes = [self._cube(drawn.particle, k % self._per_particle) for drawn, k in places]
        requests = [(drawn.particle, cube) for (drawn, _), cube in zip(places, cubes, strict=True)]
        found = labelled(requests, self._contents, self._device, threads)
        for (drawn, k), cube, voxels in zip(places, cubes, found, strict=True):
            item = item_of(drawn.particle, voxels, self._contents)
            yield item | self._facts(cube, k) | {"parameters": drawn.parameters}

    def _cube(self, particle: Particle, crop: int) -> Cube:
        self._require_crystals(particle.provenance.card)
        if self.shape is None and self.pitch_um is not None:
            return crop_cube(particle, crop, self._edge, self.pitch_um)
        return whole_cube(particle, self._edge, self.pitch_um)

    def _facts(self, cube: Cube, k: int) -> Item:
        import torch

        particle, crop = divmod(k, self._per_particle)
        return {
            "pitch_um": cube.pitch_um,
            "centre_um": torch.from_numpy(cube.centre_um).to(self._device.name),
            "particle": particle,
            "crop": crop,
            "index": k,
        }

    @property
    def _per_particle(self) -> int:
        """Items of a particle."""
        return self.crops if self.shape is None else 1

    @property
    def _edge(self) -> int:
        """Voxels along an edge of an item."""
        return self.edge if self.shape is None else self.shape

    @property
    def _contents(self) -> Contents:
        return Contents(gap=self.gap, c_axis=self.c_axis, grains=self.grains)

    @property
    def _at_once(self) -> int:
        """Items that are labelled in one call: one on the processor, which gains nothing."""
        voxels = (self._edge + 2 * RIM) ** 3
        return max(1, VOXELS_AT_ONCE // voxels) if self._device.is_gpu else 1

    def _require_crystals(self, card: ModelCard) -> None:
        if self.c_axis and card.orientations["model"] == "none":
            msg = (
                f"c_axis is asked for, but the model {card.name} has orientations.model none; give "
                "changes={'orientations.model': 'radial'} or 'uniform'"
            )
            raise DatasetError(msg)

    def _require_memory(self) -> None:
        needed, free = self._contents.bytes(self._edge), available_memory()
        if needed > free:
            msg = (
                f"items of {self._edge}^3 voxels need {readable_bytes(needed)} of memory, "
                f"{readable_bytes(free)} are free; choose fewer"
            )
            raise DatasetError(msg)

    def _require_no_workers(self, workers: int) -> None:
        """Raise a DatasetError in a worker of DataLoader that may not be one."""
        if self._device.is_gpu:
            msg = f"device is {self._device.name}, which workers of DataLoader cannot share"
        elif self.processes:
            msg = f"processes is {self.processes}, and workers of DataLoader cannot start any"
        else:
            return
        msg += f": num_workers is {workers}, expected 0; processes={workers} draws particles ahead"
        raise DatasetError(msg)


LEAST = {"seed": 0, "edge": 1, "crops": 1, "start": 0, "mix": 1, "processes": 0}


def _require_whole(stream: VolumeStream) -> None:
    least = LEAST if stream.shape is None else {**LEAST, "shape": 3}
    for name, lowest in least.items():
        value = getattr(stream, name)
        if not (_is_whole(value) and value >= lowest):
            msg = f"{name} is {value!r}, expected an integer of {lowest} or more"
            raise DatasetError(msg)


def _require_range(start: int, stop: int | None) -> None:
    if stop is not None and not (_is_whole(stop) and stop > start):
        msg = f"stop is {stop!r}, expected an integer above start, {start}, or None: no end"
        raise DatasetError(msg)


def _require_lengths(stream: VolumeStream) -> None:
    whole = stream.shape is not None
    if not (_is_positive(stream.pitch_um) or (whole and stream.pitch_um is None)):
        msg = f"pitch_um is {stream.pitch_um!r}, expected a positive length in um"
        msg += ", or None: particles fill their cubes" if whole else ""
        raise DatasetError(msg)
    if stream.gap is not None and not _is_positive(stream.gap):
        msg = f"gap is {stream.gap!r}, expected the largest value of the gap, or None: no gap"
        raise DatasetError(msg)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral)


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, Real)
    return is_number and math.isfinite(value) and value > 0


def _place(rank: int | None, world: int | None) -> tuple[int, int]:
    """Rank of this process and their number: given, or as torch.distributed has them."""
    from torch import distributed

    if rank is None and world is None:
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1
    if rank is None or world is None or not 0 <= rank < world:
        msg = f"rank is {rank!r} of world {world!r}, expected both, 0 <= rank < world"
        raise DatasetError(msg)
    return rank, world
