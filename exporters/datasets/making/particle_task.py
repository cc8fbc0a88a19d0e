"""One particle of a dataset: made whole, found finished, or recorded as failed.

`ParticleTask` is a function of the particle's index that any engine can send anywhere: it
needs the dataset's folder and nothing else. Builds at the same time may make the same particle:
the first one is kept. What a killed task leaves is removed by the next that makes the same
particle on the same computer, or when the dataset is complete.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ....generator.errors import CathodegrainError, DatasetError, RecipeError
from ....generator.generate import generate_particle, regenerate
from ....generator.particle import Particle
from ....generator.streams import DRAWS
from ....generator.voxels.labelling import LabelSlab
from ...files.atomic import AlreadyThere, exchange, is_abandoned, put, replacing_folder
from ...files.documents import document_text
from ...particles import metadata
from ...products import particle_folder
from .. import layout
from ..config import DatasetConfig
from ..folder import changing, on_disk, read, write_text


@dataclass(frozen=True)
class Outcome:
    """What became of a particle.

    Parameters
    ----------
    index
        Its number.
    state
        "made" now, "present" before, or "failed".
    reason
        Why it failed.
    seconds
        Time that it took.
    """

    index: int
    state: Literal["made", "present", "failed"]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class ParticleTask:
    """Make a particle of a dataset, unless it is there.

    Parameters
    ----------
    folder
        The dataset's.
    config_sha256
        Of its configuration: another dataset that takes its place is noticed.
    parent
        Folder of the dataset that it is derived from, if it is.
    label
        What labels layers of voxels; the processor if None.
    """

    folder: str
    config_sha256: str
    parent: str | None = None
    label: LabelSlab | None = None

    def __call__(self, index: int) -> Outcome:
        """Make the particle number ``index``.

        Raises
        ------
        DatasetError
            If files cannot be read or written: that stops a build, it is no property of
            the particle.
        """
        config = _config(self.folder, self.config_sha256)
        target = self.place(index)
        if is_finished(target, config, index, DRAWS):
            return Outcome(index, "present")
        started = time.perf_counter()
        try:
            with on_disk(self.folder):
                self.sweep(index)
                self._write(self._particle(config, index), target, config)
                Path(self.folder, layout.failure_path(index)).unlink(missing_ok=True)
        except (CathodegrainError, MemoryError) as error:
            if is_finished(target, config, index, DRAWS):  # another process was as fast
                return Outcome(index, "made", "", time.perf_counter() - started)
            if isinstance(error, DatasetError):
                raise
            return self.failed(index, _account(error, self.folder))
        return Outcome(index, "made", "", time.perf_counter() - started)

    def failed(self, index: int, why: str) -> Outcome:
        """Record that a particle could not be made."""
        fields = {
            "schema": "cathodegrain/failure",
            "schema_version": "1.0.0",
            "id": layout.particle_id(index),
            "reason": why,
        }
        path = Path(self.folder, layout.failure_path(index))
        with changing(self.folder), on_disk(self.folder):
            write_text(path, document_text(fields, "failure"))
        return Outcome(index, "failed", why)

    def sweep(self, index: int) -> None:
        """Remove what a killed process left of a particle."""
        place = self.place(index)
        for path in place.parent.glob(f".{place.name}-*"):
            if is_abandoned(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def place(self, index: int) -> Path:
        """Folder of a particle."""
        return Path(self.folder, layout.particle_path(index))

    def _write(self, particle: Particle, target: Path, config: DatasetConfig) -> None:
        """Write a particle with its products, all of it or nothing."""
        index = particle.provenance.index

        def place(new: Path, target: Path) -> None:
            try:
                put(new, target)
            except AlreadyThere:
                with changing(self.folder):
                    if not is_finished(target, config, index, DRAWS):
                        exchange(new, target)

        with replacing_folder(target, place) as temporary:
            products = {p.name: p.options for p in config.products_of(index)}
            particle_folder.fill(particle, temporary, products, self.label)

    def _particle(self, config: DatasetConfig, index: int) -> Particle:
        if config.origin is None:
            return generate_particle(config.card, config.seed, index)
        folder = Path(self.parent or "", layout.particle_path(index))
        if not folder.is_dir():
            msg = f"{config.origin.name} holds no {layout.particle_id(index)} to derive it from"
            raise RecipeError(msg)
        return regenerate(particle_folder.load(folder), config.origin.changes)


@lru_cache(maxsize=8)
def _config(folder: str, config_sha256: str) -> DatasetConfig:
    """Configuration of a dataset, read once by each process."""
    config = read(folder).config
    if config.sha256 != config_sha256:
        msg = f"{folder} holds another dataset than the one being built; start again"
        raise DatasetError(msg)
    return config


def is_finished(folder: Path, config: DatasetConfig, index: int, draws: int | None) -> bool:
    """Whether ``folder`` holds the particle with all its products, each of the size listed.

    ``draws`` is the number of the draws that it is to have.

    Raises
    ------
    DatasetError
        If it holds a particle of another model or series, or of other draws.
    """
    if not (folder / metadata.NAME).is_file():
        return False
    try:
        fields = metadata.read(folder)
    except RecipeError:
        return False
    require_own(folder, fields, config, index, draws)
    return is_as_configured(fields, config, index) and all(
        _size(folder / product["path"]) == product["bytes"] for product in fields["products"]
    )


def is_as_configured(fields: dict[str, Any], config: DatasetConfig, index: int) -> bool:
    """Whether a particle's document lists the products asked for, with their options."""
    made = {p["format"]: p["options"] for p in fields["products"]}
    return made == {"recipe": {}} | {p.name: dict(p.options) for p in config.products_of(index)}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def require_own(
    folder: Path, fields: dict[str, Any], config: DatasetConfig, index: int, draws: int | None
) -> None:
    """Raise a DatasetError if a document is of another model or series, or of other draws."""
    source = fields["provenance"]
    wanted = {
        "model_sha256": config.card.sha256,
        "entropy": config.seed,
        "index": index,
        "draws": draws,
    }
    if wrong := [
        f"{key} {source.get(key)}, expected {value}"
        for key, value in wanted.items()
        if source.get(key) != value
    ]:
        msg = f"{folder} holds a particle of another dataset: {'; '.join(wrong)}; remove it"
        raise DatasetError(msg)


def _account(error: BaseException, folder: str) -> str:
    """What went wrong, the same wherever the dataset lies."""
    if isinstance(error, MemoryError):
        return f"memory does not suffice ({error})"
    text = str(error).replace(f"{folder}/", "")
    return re.sub(r"\.(p\d+)-[0-9a-f]{8}-\d+-[0-9a-f]{8}\.tmp", r"\1", text)
