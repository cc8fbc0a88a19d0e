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
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...generator.errors import CathodegrainError, DatasetError, RecipeError
from ...generator.labelling import label_slab
from ...generator.particle import Particle
from .. import FORMATS, grain_table, metadata, recipe, voxels
from ..json_documents import read_document
from . import layout, manifest
from .build import Show
from .config import GRAINS, DatasetConfig
from .engines import Engine
from .folder import Dataset, parameters, read
from .particle_task import is_finished
from .requirements import require

LEVELS = ("sizes", "hashes", "schema", "geometry")
VOXEL_PART = 0.1  # error of a voxel volume, as a part of surface times voxel edge, at most
MESH_PART = 0.02  # error of the volume of a mesh, at most
HDF5_FORMATS = ("recipe", "voxels", GRAINS)  # products that hold id and provenance


def verify(folder: str | Path, level: str, engine: Engine, show: Show | None = None) -> list[str]:
    """Everything that is wrong with a dataset, sorted; empty if it is sound.

    Raises
    ------
    DatasetError
        For an unknown level, or a folder that is no dataset.
    """
    folder = Path(folder)
    if level not in LEVELS:
        msg = f"level {level!r}, expected one of {', '.join(LEVELS)}"
        raise DatasetError(msg)
    if not (folder / layout.DATASET).is_file():
        msg = f"{folder} holds no {layout.DATASET}; expected the folder of a dataset"
        raise DatasetError(msg)
    try:
        config = read(folder).config
        listed = manifest.read(folder)
    except DatasetError as error:
        return [str(error)]
    found = list(_tree_problems(folder, listed))
    found += _other_files(folder, listed, level)
    found += _particles(folder, config, level, engine, show)
    if level in LEVELS[2:]:
        found += _document_problems(folder, config)
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
        if path.is_file() and metadata.sha256(path) != listed[name]:
            yield f"{name}: changed since it was written"


def _particles(
    folder: Path, config: DatasetConfig, level: str, engine: Engine, show: Show | None
) -> list[str]:
    """Problems of the particles' folders."""
    found: list[str] = []
    n = len(config.indices)
    task = VerifyTask(str(folder.resolve()), level, metadata.sha256(folder / layout.MANIFEST))
    for done, problems in enumerate(engine(task, config.indices), 1):
        found += problems
        if show is not None:
            show(f"particle {done} of {n}", done / n)
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
        try:
            fields = metadata.read(folder)
        except RecipeError as error:
            return [str(error)]
        own = {k: v for k, v in listed.items() if k.startswith(f"{name}/")}
        found = list(_file_problems(folder, name, fields, own, hashed=self.level != "sizes"))
        if self.level in LEVELS[2:]:
            found += _identity_problems(folder, name, fields, dataset, index)
        if self.level == LEVELS[3] and not found:
            found += _geometry(folder, name, fields)
        return found

    def failed(self, index: int, why: str) -> list[str]:
        """Problem of a particle whose check was killed."""
        return [f"{layout.particle_path(index)}: not checked, {why}"]

    def sweep(self, index: int) -> None:
        """Leave all as it is: nothing is written."""


@lru_cache(maxsize=4)
def _known(folder: str, manifest_sha256: str) -> tuple[Dataset, dict[str, str]]:
    """Configuration and manifest of a dataset, read once by each process for each manifest."""
    return read(folder), manifest.read(folder)


def _file_problems(
    folder: Path, name: str, fields: Mapping[str, Any], listed: Mapping[str, str], *, hashed: bool
) -> Iterator[str]:
    """Files against the particle's document and the manifest."""
    products = {f"{name}/{p['path']}": p for p in fields["products"]}
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
        elif hashed and metadata.sha256(path) != expected:
            yield f"{file}: changed since it was written"


def _identity_problems(
    folder: Path, name: str, fields: dict[str, Any], dataset: Dataset, index: int
) -> Iterator[str]:
    """Ids and provenance of the document and of every file that has them."""
    try:
        if not is_finished(folder, dataset.config, index, dataset.generator):
            yield f"{name}: products or their options are not those of {layout.DATASET}"
    except DatasetError as error:
        yield str(error)
    source = fields["provenance"]
    expected = {key: source[key] for key in ("entropy", "index", "shell_attempt", "wasDerivedFrom")}
    for product in fields["products"]:
        path = folder / product["path"]
        if product["format"] not in HDF5_FORMATS or not path.is_file():
            continue
        try:
            found_id, found = _provenance(path)
        except (OSError, KeyError, ValueError, AttributeError) as error:
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
    with h5py.File(path) as file:
        group = file["provenance"]
        text = group["json" if "json" in group else "metadata_json"][()]
        found: dict[str, Any] = json.loads(bytes(text).decode())
        return file.attrs["id"].decode(), found


def _geometry(folder: Path, name: str, fields: dict[str, Any]) -> Iterator[str]:
    """Volumes, grains and labels that contradict the recipe."""
    try:
        particle = recipe.read(folder / recipe.NAME)
        yield from (f"{name}: {problem}" for problem in _against_recipe(fields, particle))
        for product in fields["products"]:
            check = CHECKS.get(product["format"])
            if check is not None:
                path = folder / product["path"]
                found = check(path, particle)
                yield from (f"{name}/{product['path']}: {problem}" for problem in found)
        yield from (f"{name}: {problem}" for problem in _voxels_and_grains(folder))
    except (CathodegrainError, OSError, KeyError, ValueError) as error:
        yield f"{name}: {error}"


def _against_recipe(fields: dict[str, Any], particle: Particle) -> Iterator[str]:
    if fields["n_grains"] != particle.n_grains:
        yield f"n_grains {fields['n_grains']}, the recipe has {particle.n_grains}"
    found = {key: fields["shell"][key]["value"] for key in ("volume", "area", "diameter")}
    shell = particle.shell
    expected = {"volume": shell.volume_um3, "area": shell.area_um2, "diameter": shell.diameter_um}
    for key, value in expected.items():
        if not np.isclose(found[key], value, rtol=1e-6):
            yield f"shell.{key} {found[key]}, the recipe has {value:.9g}"


def _volume_problem(volume: float, particle: Particle, spacing: float) -> Iterator[str]:
    """Whether a volume of voxels is not that of the shell."""
    shell = particle.shell
    allowed = VOXEL_PART * shell.area_um2 * spacing
    if abs(volume - shell.volume_um3) > allowed:
        yield (
            f"its grains fill {volume:.6g} um^3, the shell {shell.volume_um3:.6g} um^3; expected "
            f"a difference of at most {allowed:.2g}"
        )


def _voxel_problems(path: Path, particle: Particle) -> Iterator[str]:
    found = voxels.read(path)
    labels, grid = found.labels, found.grid
    counts = voxels.count_voxels(labels, max(int(labels.max()), particle.n_grains))[1:]
    if len(counts) > particle.n_grains:
        yield f"grain ids up to {len(counts)}, the recipe has {particle.n_grains} grains"
        return
    yield from _volume_problem(float(counts.sum()) * grid.voxel_um3, particle, grid.spacing)
    with h5py.File(path) as file:
        if not np.array_equal(file["grain_voxels"][:], counts):
            yield "grain_voxels are not the numbers of voxels of the grains"
    middle = grid.shape[0] // 2
    expected = label_slab(particle, grid, middle, middle + 1)[0]
    if wrong := int((labels[middle] != expected).sum()):
        yield f"{wrong} voxels of the middle layer have another grain than in the recipe"


def _grain_problems(path: Path, particle: Particle) -> Iterator[str]:
    table = grain_table.read(path)
    if len(table.morphology) != particle.n_grains:
        yield f"{len(table.morphology)} grains, the recipe has {particle.n_grains}"
    volume = float(table.morphology.volume_um3.sum())
    yield from _volume_problem(volume, particle, table.spacing_um)


def _mesh_problems(path: Path, particle: Particle) -> Iterator[str]:
    from ..msh_file import read_msh
    from ..tetrahedra import signed_volumes

    points, cells, grain_ids, _ = read_msh(path)
    if len(grain_ids) and int(grain_ids.max()) > particle.n_grains:
        yield f"grain ids up to {grain_ids.max()}, the recipe has {particle.n_grains} grains"
    volume = float(signed_volumes(points, cells[:, :4]).sum())
    expected = particle.shell.volume_um3
    if abs(volume / expected - 1) > MESH_PART:
        yield f"its tetrahedra fill {volume:.6g} um^3, the shell {expected:.6g} um^3"


CHECKS = {"voxels": _voxel_problems, GRAINS: _grain_problems, "mesh": _mesh_problems}


def _voxels_and_grains(folder: Path) -> Iterator[str]:
    """Whether table of grains and voxels of one spacing count alike."""
    grid, table = folder / FORMATS["voxels"].file, folder / FORMATS[GRAINS].file
    if not (grid.is_file() and table.is_file()):
        return
    with h5py.File(grid) as file:
        spacing = float(file["VTKHDF"].attrs["Spacing"][0])
        counts = file["grain_voxels"][:]
    grains = grain_table.read(table)
    if spacing == grains.spacing_um and not np.array_equal(counts, grains.morphology.voxel_count):
        yield f"{grid.name} and {table.name} count other voxels of the grains"


def _document_problems(folder: Path, config: DatasetConfig) -> Iterator[str]:
    """Failures, totals and index against what is there."""
    for path in sorted((folder / layout.FAILURE_FOLDER).glob("*")):
        try:
            fields = read_document(path, "failure")
            if fields["id"] != path.stem:
                yield f"{layout.FAILURE_FOLDER}/{path.name}: of {fields['id']}"
        except CathodegrainError as error:
            yield str(error)
    yield from _index_problems(folder, config)


def _index_problems(folder: Path, config: DatasetConfig) -> Iterator[str]:
    require("dataset")
    from . import index

    try:
        rows = index.read_particles(folder)
        contents = read(folder).contents or {}
    except DatasetError as error:
        yield str(error)
        return
    if read_document(folder / layout.DATASET, "dataset")["parameters"] != parameters(config):
        yield f"{layout.DATASET}: parameters are not those of {layout.MODEL_CARD}"
    totals = {"particles": len(rows), "grains": sum(row["n_grains"] for row in rows)}
    for key, value in totals.items():
        if contents.get(key) != value:
            yield f"{layout.DATASET}: contents.{key} {contents.get(key)}, the index has {value}"
    there = {p.name for p in folder.glob(f"{layout.PARTICLE_FOLDER}/*/p*") if p.is_dir()}
    listed = {row["particle_id"] for row in rows}
    for name in sorted(there ^ listed):
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
