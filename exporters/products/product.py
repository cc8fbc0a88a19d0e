"""What a product of a particle is, and what several of them are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...generator.errors import ExportError
from ...generator.progress import Progress, quiet
from ...generator.requirements import missing, require
from .options import SIZES, defaults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...generator.particle import Particle
    from ...generator.voxels.grid import Grid
    from ...generator.voxels.labelling import LabelSlab
    from ...generator.voxels.morphology import GrainSums
    from ..mesh.hex_mesh import HexMesh
    from ..mesh.volume_mesh import VolumeMesh


@dataclass(frozen=True)
class Written:
    """A product that was written.

    Parameters
    ----------
    path
        Its file or folder.
    summary
        Facts about it that belong into the particle's metadata, JSON values.
    """

    path: Path
    summary: Mapping[str, Any] | None = None


def _on_processor(
    particle: Particle,
    grid: Grid,
    start: int,
    stop: int,
    *,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    from ...generator.voxels.labelling import label_slab

    return label_slab(particle, grid, start, stop, out=out)


def _nothing_kept(sizes: Mapping[str, Any]) -> VolumeMesh | None:
    return None


@dataclass(frozen=True, eq=False)
class Sources:
    """A particle, and what several products are made of: made once.

    Parameters
    ----------
    particle
        It is not changed.
    kept
        Finds the mesh that a folder holds already: called with its sizes; returns a
        `VolumeMesh` or None.
    progress
        Called with a message and the part of the work that is done.
    label
        What labels layers of voxels: the processor, or a GPU. The labels are the same.
    """

    particle: Particle
    kept: Callable[[Mapping[str, Any]], VolumeMesh | None] = _nothing_kept
    progress: Progress = quiet
    label: LabelSlab = _on_processor
    _meshes: dict[tuple[Any, ...], VolumeMesh] = field(default_factory=dict)
    _hexes: dict[tuple[Any, ...], HexMesh] = field(default_factory=dict)
    _sums: dict[float, GrainSums] = field(default_factory=dict)

    def mesh(self, options: Mapping[str, Any]) -> VolumeMesh:
        """Bonded mesh of first order, of the sizes and the cut in ``options``.

        Raises
        ------
        ExportError
            As `mesher.volume_mesh` does.
        """
        from ..meshing.mesher import volume_mesh

        sizes, cut = {name: options[name] for name in SIZES}, options.get("cut", "")
        key = (*sizes.values(), cut)
        if key not in self._meshes:
            kept = None if cut else self.kept(sizes)
            self._meshes[key] = kept or volume_mesh(
                self.particle,
                sizes["size_um"],
                sizes["boundary_size_um"],
                self.progress,
                surface_size_um=sizes["surface_size_um"],
                detail=sizes["detail"],
                tets=sizes["tets"],
                cut=cut,
                force=sizes["force"],
            )
        return self._meshes[key]

    def hexes(self, options: Mapping[str, Any]) -> HexMesh:
        """Hexahedra of the size and the cut in ``options``.

        Raises
        ------
        ExportError
            As `hex_mesher.hex_mesh` does.
        """
        from ..meshing.hex_mesher import hex_mesh
        from ..meshing.sizes import DEFAULT_SIZE_UM

        size = options["size_um"] or DEFAULT_SIZE_UM
        key = size, cut, force = size, options["cut"], options["force"]
        if key not in self._hexes:
            self._hexes[key] = hex_mesh(self.particle, size, self.progress, cut=cut, force=force)
        return self._hexes[key]

    def keep_sums(self, pitch_um: float, sums: GrainSums) -> None:
        """Keep the sums over the voxels of a pitch, which a product was made of."""
        self._sums[pitch_um] = sums

    def sums(self, pitch_um: float) -> GrainSums | None:
        """The sums over the voxels of a pitch, if a product was made of these."""
        return self._sums.get(pitch_um)


@dataclass(frozen=True)
class Product(ABC):
    """One kind of product: what it is for, what it needs, how it is written.

    Parameters
    ----------
    name
        As in ``--to`` and `cg.export`.
    file
        Name of its file or folder inside a particle's folder.
    purpose, opens_in
        In words.
    options
        Names of the `OPTIONS` that it takes.
    requires, extra
        Packages that it needs beyond the core's, and the extra that brings them.
    """

    made_of: ClassVar[str] = ""  # "mesh", if other products are made of the same

    name: str
    file: str
    purpose: str
    opens_in: str
    options: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    extra: str = ""

    @abstractmethod
    def write(self, sources: Sources, path: Path, options: Mapping[str, Any]) -> Written:
        """Write the product to ``path``, whole or not at all; every option has a value.

        Raises
        ------
        ExportError
            If it cannot be written as asked.
        """

    def require_replaceable(self, path: Path) -> None:  # noqa: B027
        """Raise an ExportError if replacing ``path`` would lose what is not the product's own."""

    def plan(self, particle: Particle, options: Mapping[str, Any]) -> dict[str, Any]:
        """What would be written: numbers of voxels or elements, memory. No time is spent."""
        return {}

    @property
    def defaults(self) -> dict[str, Any]:
        """All of its options with their default values."""
        return defaults(self.options)

    @property
    def missing(self) -> list[str]:
        """Required packages that are not installed."""
        return missing(*self.requires)

    def require(self) -> None:
        """Raise an ExportError unless all that it needs is installed."""
        require(self.extra, *self.requires, purpose=f"products {self.name!r}", error=ExportError)
