"""Fetching: chosen particles of a dataset, checked, from a folder or the web.

A fetched folder is a dataset with fewer particles: the publisher's dataset.json, index, model
and schemas, a manifest with the files that are there, the products asked for, and fetched.json,
which says that it is a part, and of what. Every file
is compared with the publisher's manifest and, for products, with its particle.json, before it
is put in its place. What is there already is not fetched again; a broken transfer goes on
where it broke, in a later call too. Several may fetch into one folder at the same time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ....generator.errors import DatasetError, suggestion
from ....generator.progress import Progress
from ...files.documents import document_text, read_document
from ...files.provenance import sha256
from ...particles import metadata, recipe, renamed
from ...products.registry import PRODUCTS
from .. import layout, manifest
from ..files import Files, LocalFiles
from ..folder import changing, on_disk, write_text
from ..reading.access import Dataset, DatasetParticle, present_index, read_manifest
from ..reading.selection import selected
from .transfer import Transfer

RECIPE = "recipe"
NOT_FETCHED = (  # what describes all particles of the publisher's dataset, and is large
    f"{layout.INDEX_FOLDER}/grains/",
    f"{layout.FAILURE_FOLDER}/",
    "croissant.json",
    "ro-crate-metadata.json",
    layout.FETCHED,  # of a part that is published: the new one has its own
)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be fetched; made by `choose`.

    Parameters
    ----------
    particles
        The chosen ones.
    hashes
        SHA-256 of all files of the dataset, by name.
    products
        Names of products, `RECIPE` among them or not.
    """

    particles: Dataset
    hashes: Mapping[str, str]
    products: Sequence[str]

    @cached_property
    def documents(self) -> list[str]:
        """Files that belong to no particle."""
        particles = f"{layout.PARTICLE_FOLDER}/"
        return [name for name in self.hashes if not name.startswith((particles, *NOT_FETCHED))]

    @cached_property
    def _folders(self) -> Mapping[str, list[str]]:
        """Files of every particle of the dataset, by its folder."""
        folders: dict[str, list[str]] = {}
        for name in self.hashes:
            folders.setdefault("/".join(name.split("/")[:3]), []).append(name)
        return folders

    def files(self, particle: DatasetParticle, product: str) -> list[str]:
        """Files of one product of one particle."""
        file = recipe.NAME if product == RECIPE else PRODUCTS[product].file
        start = f"{particle.folder}/{file}"
        names = self._folders.get(particle.folder, [])
        return [name for name in names if name == start or name.startswith(f"{start}/")]

    def product_files(self, particle: DatasetParticle) -> list[str]:
        """Files of the wanted products of one particle."""
        return [name for product in self.products for name in self.files(particle, product)]

    def lacking(self) -> dict[str, int]:
        """Number of chosen particles without a wanted product, for each that some lack."""
        counts = {
            product: sum(not self.files(particle, product) for particle in self.particles)
            for product in self.products
        }
        return {product: n for product, n in counts.items() if n}


def choose(
    files: Files, *, select: str | None, limit: int | None, products: Sequence[str]
) -> Wanted:
    """Particles for which ``select`` holds, the first ``limit`` of them, and their products.

    Raises
    ------
    DatasetError
        If the selection cannot be read or holds for none, a product is unknown, or no
        chosen particle has it.
    """
    if unknown := [name for name in products if name != RECIPE and name not in PRODUCTS]:
        meant = suggestion(unknown[0], sorted([RECIPE, *PRODUCTS]))
        msg = f"unknown product {unknown[0]!r}; {meant}"
        raise DatasetError(msg)
    if limit is not None and limit < 1:
        msg = f"--limit is {limit}, expected 1 or more"
        raise DatasetError(msg)
    hashes = read_manifest(files)
    index = present_index(files, hashes)
    chosen = index if select is None else selected(index, select)
    if chosen.empty:
        msg = f"{select!r} holds for none of the {len(index)} particles of {files.place}"
        raise DatasetError(msg)
    wanted = Wanted(Dataset(files, chosen.head(limit or len(chosen))), hashes, products)
    _require_some(wanted)
    return wanted


def _require_some(wanted: Wanted) -> None:
    for product, n in wanted.lacking().items():
        if n == len(wanted.particles):
            known = [RECIPE, *PRODUCTS]
            there = [p for p in known if any(wanted.files(one, p) for one in wanted.particles)]
            msg = (
                f"no chosen particle has the product {product!r}; they have {', '.join(there)}. "
                "`cathodegrain export` makes others from the recipe"
            )
            raise DatasetError(msg)


def estimate(wanted: Wanted) -> dict[str, Any]:
    """What `fetch` would fetch: particles, files, and bytes of the particles by the index."""
    n_files = sum(1 + len(wanted.product_files(particle)) for particle in wanted.particles)
    return {
        "particles": len(wanted.particles),
        "files": n_files + len(wanted.documents),
        "bytes": _indexed_bytes(wanted),
    }


def _indexed_bytes(wanted: Wanted) -> int:
    """Bytes of the chosen particles' documents and wanted products."""
    index = wanted.particles.index
    products = [name for name in index.columns if str(name).endswith("_bytes")]
    documents = index["bytes"].sum() - index[products].sum().sum()
    old = {today: name for name, today in renamed.PRODUCTS.items()}
    names = {*wanted.products, *(old[name] for name in wanted.products if name in old)}
    chosen = [f"{name.replace('-', '_')}_bytes" for name in sorted(names)]
    return int(documents + index[[name for name in chosen if name in index]].sum().sum())


def fetch(
    wanted: Wanted,
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fetch into the folder ``out``; particles, files, bytes, hash of the publisher's manifest.

    Raises
    ------
    DatasetError
        If a file is missing, arrives with other bytes than the manifest says, is larger
        than its metadata say, or ``out`` holds another file of its name and ``overwrite``
        is not set, or another command changes its documents for too long.
    """
    publisher = hashlib.sha256(manifest.manifest_text(wanted.hashes).encode()).hexdigest()
    _begin(out, wanted, publisher, overwrite)
    transfer = Transfer(wanted.particles.files, out, wanted.hashes, overwrite)
    for name in wanted.documents:
        transfer.get(name)
    for k, particle in enumerate(wanted.particles):
        transfer.get(f"{particle.folder}/{metadata.NAME}")
        sizes = _sizes(DatasetParticle(particle.id, particle.row, LocalFiles(out)), wanted)
        _require_room(out, sum(sizes.values()))
        for name, size in sizes.items():
            transfer.get(name, size)
        if progress is not None:
            progress(particle.id, (k + 1) / len(wanted.particles))
    _list(out, wanted, transfer.done, overwrite)
    transfer.sweep()
    return {
        "particles": len(wanted.particles),
        **transfer.counts(),
        "manifest_sha256": publisher,  # to compare with a known one
    }


def _begin(out: Path, wanted: Wanted, manifest_sha256: str, overwrite: bool) -> None:
    """Make a folder that says of which dataset it is a part, or find it."""
    with on_disk(out):
        out.mkdir(parents=True, exist_ok=True)
    with changing(out):
        if _known(out, wanted, overwrite) != wanted.hashes:
            _write_origin(out, manifest_sha256, overwrite)


def _write_origin(out: Path, manifest_sha256: str, overwrite: bool) -> None:
    """Say that a folder is a part of the dataset with this manifest."""
    fields = {
        "schema": "cathodegrain/fetched",
        "schema_version": "1.0.0",
        "manifest_sha256": manifest_sha256,
    }
    with on_disk(out):
        if (path := out / layout.FETCHED).is_file():
            found = read_document(path, "fetched")  # a file of somebody else is not replaced
            begun = not (out / layout.MANIFEST).is_file()  # by a fetch that runs, or was killed
            if begun and found != fields and not overwrite:
                raise _of_another(out)
        write_text(path, document_text(fields, "fetched"))


def _list(out: Path, wanted: Wanted, names: Sequence[str], overwrite: bool) -> None:
    """Write fetched files into the manifest, beside those of other calls."""
    with changing(out):
        listed = _known(out, wanted, overwrite) | {name: wanted.hashes[name] for name in names}
        if (origin := out / layout.FETCHED).is_file():
            listed[layout.FETCHED] = sha256(origin)
        manifest.write(listed, out)


def _known(out: Path, wanted: Wanted, overwrite: bool) -> dict[str, str]:
    """Files of earlier calls, which must be of the same dataset."""
    if not (out / layout.MANIFEST).is_file():
        return {}
    known = manifest.read(out)
    known.pop(layout.FETCHED, None)
    if all(wanted.hashes.get(name) == sha256 for name, sha256 in known.items()):
        return known
    if overwrite:
        return {n: sha256 for n, sha256 in known.items() if wanted.hashes.get(n) == sha256}
    raise _of_another(out)


def _of_another(out: Path) -> DatasetError:
    return DatasetError(f"{out} holds files of another dataset or version; choose another --out")


def _sizes(particle: DatasetParticle, wanted: Wanted) -> dict[str, int]:
    """Bytes of the wanted files of a particle as its metadata list them, by name."""
    listed = {f"{particle.folder}/{p['path']}": p for p in particle.metadata["products"]}
    names = wanted.product_files(particle)
    if wrong := [n for n in names if listed.get(n, {}).get("sha256") != wanted.hashes[n]]:
        msg = f"{wrong[0]}: {metadata.NAME} and the manifest disagree; the dataset is not sound"
        raise DatasetError(msg)
    return {name: int(listed[name]["bytes"]) for name in names}


def _require_room(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if needed > free:
        msg = f"{out} has {free} bytes free, the next particle needs {needed}; make room there"
        raise DatasetError(msg)
