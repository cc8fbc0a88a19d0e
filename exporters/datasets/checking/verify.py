"""Whether a dataset is what it says: everything that is wrong with it, at once.

Each level includes those before it:

========== ====================================================================
level      what is compared
========== ====================================================================
sizes      files with manifest and documents: none missing, none extra, each as
           long as listed
hashes     sha256 of every file with manifest and documents
schema     documents with their schemas, ids and provenance in every file of a
           particle, failures, the index with the particles
geometry   volume of the shell with voxels, grains and mesh; labels of the middle
           layer with the recipe; table of grains with voxels
========== ====================================================================

Of a fetched part all that its manifest lists is compared; what was not fetched is not missed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....generator import hdf5_files
from ....generator.errors import CathodegrainError, DatasetError, RecipeError, suggestion
from ...files.documents import read_document
from ...files.provenance import sha256
from ...particles import metadata
from .. import layout, manifest
from ..config import GRAINS
from ..folder import Dataset, parameters, read
from ..making.build import Show
from ..making.engines import Engine
from ..making.particle_task import is_as_configured, require_own
from ..requirements import require
from .geometry_checks import geometry_problems

LEVELS = ("sizes", "hashes", "schema", "geometry")
HDF5_PRODUCTS = ("recipe", "voxels", GRAINS)  # products that hold id and provenance


def verify(folder: str | Path, level: str, engine: Engine, show: Show | None = None) -> list[str]:
    """Everything that is wrong with a dataset, sorted; empty if it is sound.

    Raises
    ------
    DatasetError
        For an unknown level, or a folder that is no dataset.
    """
    folder = Path(folder)
    if level not in LEVELS:
        msg = f"unknown level {level!r}; {suggestion(level, LEVELS)}"
        raise DatasetError(msg)
    if not (folder / layout.DATASET).is_file():
        msg = f"{folder} holds no {layout.DATASET}; expected the folder of a dataset"
        raise DatasetError(msg)
    try:
        dataset = read(folder)
        listed = manifest.read(folder)
    except DatasetError as error:
        return [str(error)]
    found = list(_tree_problems(folder, listed))
    found += _other_files(folder, listed, level)
    found += _particles(dataset, listed, level, engine, show)
    if level in LEVELS[2:]:
        found += _document_problems(dataset)
    return sorted(set(found))


def _tree_problems(folder: Path, listed: Mapping[str, str]) -> Iterator[str]:
    """Files that are missing, extra, links, or left by a killed process."""
    there = set(manifest.file_names(folder))
    for name in sorted(set(listed) - there):
        yield f"{name}: missing"
    for name in sorted(there - set(listed)):
        yield f"{name}: not in {layout.MANIFEST}"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if layout.is_temporary(path.name):
            yield f"{name}: being written, or left by a killed process and then safe to delete"
        elif path.is_symlink():
            yield f"{name}: a symbolic link, expected a file"


def _inside(name: str) -> bool:
    """Whether a file belongs to a particle."""
    return name.startswith(f"{layout.PARTICLE_FOLDER}/")


def _other_files(folder: Path, listed: Mapping[str, str], level: str) -> Iterator[str]:
    """Hashes of the files that belong to no particle."""
    if level == "sizes":
        return
    for name in (name for name in listed if not _inside(name)):
        path = folder / name
        if path.is_file() and sha256(path) != listed[name]:
            yield f"{name}: changed since it was written"


def _particles(
    dataset: Dataset, listed: Mapping[str, str], level: str, engine: Engine, show: Show | None
) -> list[str]:
    """Problems of the particles' folders."""
    found: list[str] = []
    folder = dataset.folder
    task = VerifyTask(str(folder.resolve()), level, sha256(folder / layout.MANIFEST))
    indices: Sequence[int] = dataset.config.indices
    if dataset.is_part:
        names = {Path(name).name for name in _by_particle(listed)}
        indices = [index for index in indices if layout.particle_id(index) in names]
    for done, problems in enumerate(engine(task, indices), 1):
        found += problems
        if show is not None:
            show(f"particle {done} of {len(indices)}", done / len(indices))
    return found


@dataclass(frozen=True)
class VerifyTask:
    """Check a particle of a dataset."""

    folder: str
    level: str
    manifest_sha256: str

    def __call__(self, index: int) -> list[str]:
        """Everything that is wrong with the particle number ``index``."""
        dataset, listed = _known(self.folder, self.manifest_sha256)
        name = layout.particle_path(index)
        folder = Path(self.folder, name)
        if not folder.is_dir():
            failure = Path(self.folder, layout.failure_path(index))
            return [] if failure.is_file() else [f"{name}: missing, and no failure is recorded"]
        own, hashed = listed.get(name, {}), self.level != "sizes"
        try:
            fields = metadata.read(folder)
        except RecipeError as error:
            return [str(error), *_file_problems(folder, name, {}, own, hashed=hashed)]
        products = {f"{name}/{p['path']}": p for p in fields["products"]}
        if dataset.is_part:
            products = {file: product for file, product in products.items() if file in own}
        found = list(_file_problems(folder, name, products, own, hashed=hashed))
        if self.level in LEVELS[2:]:
            found += _identity_problems(folder, name, fields, dataset, index)
        if self.level == LEVELS[3] and not found:
            found += geometry_problems(folder, name, fields)
        return found

    def failed(self, index: int, why: str) -> list[str]:
        """Problem of a particle whose check was killed."""
        return [f"{layout.particle_path(index)}: not checked, {why}"]

    def sweep(self, index: int) -> None:
        """Leave all as it is: nothing is written."""


@lru_cache(maxsize=4)
def _known(folder: str, manifest_sha256: str) -> tuple[Dataset, dict[str, dict[str, str]]]:
    """Dataset, and the manifest by folders of particles; read once by each process for each."""
    return read(folder), _by_particle(manifest.read(folder))


def _by_particle(listed: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Files that the manifest lists, for every particle's folder."""
    folders: dict[str, dict[str, str]] = {}
    for name in filter(_inside, listed):
        folders.setdefault("/".join(name.split("/")[:3]), {})[name] = listed[name]
    return folders


def _file_problems(
    folder: Path,
    name: str,
    products: Mapping[str, Any],
    listed: Mapping[str, str],
    *,
    hashed: bool,
) -> Iterator[str]:
    """Files against the particle's document and the manifest."""
    for file, product in products.items():
        if listed.get(file) != product["sha256"]:
            yield f"{file}: {metadata.NAME} and {layout.MANIFEST} list different hashes"
    for file, expected in listed.items():
        path = folder / file.removeprefix(f"{name}/")
        if not path.is_file():
            continue  # told as missing
        product = products.get(file, {"bytes": path.stat().st_size})
        if (size := path.stat().st_size) != product["bytes"]:
            yield f"{file}: {size} bytes, expected {product['bytes']}"
        elif hashed and sha256(path) != expected:
            yield f"{file}: changed since it was written"


def _identity_problems(
    folder: Path, name: str, fields: dict[str, Any], dataset: Dataset, index: int
) -> Iterator[str]:
    """Ids and provenance of the document and of every file that has them."""
    try:
        require_own(folder, fields, dataset.config, index, dataset.draws)
        if not is_as_configured(fields, dataset.config, index):
            yield f"{name}: products or their options are not those of {layout.DATASET}"
    except DatasetError as error:
        yield str(error)
    source = fields["provenance"]
    expected = {key: source[key] for key in ("entropy", "index", "shell_attempt", "wasDerivedFrom")}
    for product in fields["products"]:
        path = folder / product["path"]
        if product["format"] not in HDF5_PRODUCTS or not path.is_file():
            continue
        try:
            found_id, found = _provenance(path)
        except hdf5_files.FAILURES as error:
            yield f"{name}/{product['path']}: cannot be read ({error})"
            continue
        if found_id != fields["id"] or any(found[k] != v for k, v in expected.items()):
            yield (
                f"{name}/{product['path']}: of the particle {found_id}, entropy "
                f"{found['entropy']}, index {found['index']}; expected {fields['id']}, "
                f"{expected['entropy']}, {expected['index']}"
            )


def _provenance(path: Path) -> tuple[str, dict[str, Any]]:
    """Id and provenance that an HDF5 file of ours holds."""
    with hdf5_files.self_contained(path) as file:
        group = file["provenance"]
        text = group["json" if "json" in group else "metadata_json"][()]
        found: dict[str, Any] = json.loads(bytes(text).decode())
        return file.attrs["id"].decode(), found


def _document_problems(dataset: Dataset) -> Iterator[str]:
    """Failures, totals and index against what is there."""
    for path in sorted((dataset.folder / layout.FAILURE_FOLDER).glob("*")):
        try:
            fields = read_document(path, "failure")
            if fields["id"] != path.stem:
                yield f"{layout.FAILURE_FOLDER}/{path.name}: of {fields['id']}"
        except CathodegrainError as error:
            yield str(error)
    yield from _index_problems(dataset)


def _index_problems(dataset: Dataset) -> Iterator[str]:
    require("dataset")
    from ..making import index

    folder, contents = dataset.folder, dataset.contents or {}
    try:
        rows = index.read_particles(folder)
    except DatasetError as error:
        yield str(error)
        return
    if read_document(folder / layout.DATASET, "dataset")["parameters"] != parameters(
        dataset.config
    ):
        yield f"{layout.DATASET}: parameters are not those of {layout.MODEL_CARD}"
    totals = {"particles": len(rows), "grains": sum(row["n_grains"] for row in rows)}
    for key, value in totals.items():
        if contents.get(key) != value:
            yield f"{layout.DATASET}: contents.{key} {contents.get(key)}, the index has {value}"
    there = {p.name for p in folder.glob(f"{layout.PARTICLE_FOLDER}/*/p*") if p.is_dir()}
    listed = {row["particle_id"] for row in rows}
    for name in sorted(there - listed if dataset.is_part else there ^ listed):
        yield f"{layout.PARTICLE_INDEX}: {'lacks' if name in there else 'has no folder of'} {name}"
    for row in rows:
        yield from _row_problems(row, folder)


def _row_problems(row: dict[str, Any], folder: Path) -> Iterator[str]:
    """Whether a row of the index is not that of the particle."""
    try:
        fields = metadata.read(folder / row["path"])
    except CathodegrainError:
        return  # told with the particle
    hashes = {p["format"]: p["sha256"] for p in fields["products"]}
    expected = {
        "particle_id": fields["id"],
        "n_grains": fields["n_grains"],
        "diameter_um": fields["shell"]["diameter"]["value"],
        "recipe_sha256": hashes.get("recipe"),
    }
    for key, value in expected.items():
        if row.get(key) != value:
            yield f"{layout.PARTICLE_INDEX}: {row['path']} {key} {row.get(key)}, expected {value}"
