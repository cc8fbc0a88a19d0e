"""Folders of particles: made whole or not at all, never overwritten unasked, checkable.

A command opens a folder once (`opened`): its metadata are validated, a file's hash is taken
once, and what several products are made of is made once. Products are written aside; at the
end of the command they are moved in and listed in particle.json, which is read again for
that: commands at the same time do not lose each other's products.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...generator.errors import ExportError, RecipeError, suggestion
from ...generator.particle import Particle
from ...generator.progress import Progress, quiet
from ..files.atomic import (
    AlreadyThere,
    beside,
    exchange,
    is_abandoned,
    put,
    reason,
    replacing_folder,
)
from ..files.lock import locked
from ..files.provenance import sha256
from ..particles import metadata, recipe
from .options import SIZES
from .product import Product, Sources, Written
from .registry import completed, product_named, require_elements

if TYPE_CHECKING:
    from ...generator.voxels.labelling import LabelSlab
    from ..mesh.volume_mesh import VolumeMesh

RECIPE = recipe.NAME
KEPT = "mesh-vtkhdf"  # the product that keeps a mesh: it needs no further package


def create(particle: Particle, out: str | Path, *, overwrite: bool = False) -> Path:
    """Folder ``out/<id>`` with recipe and metadata of ``particle``.

    A folder that already holds this very particle is left as it is.

    Raises
    ------
    ExportError
        If the folder holds something else and ``overwrite`` is not set, or cannot be
        written.
    """
    return create_at(particle, Path(out) / particle.id, overwrite=overwrite)


def create_at(particle: Particle, folder: Path, *, overwrite: bool = False) -> Path:
    """As `create`, a folder of any name."""
    if holds(folder, particle):
        return folder
    if overwrite and folder.exists():
        with locked(folder, beside=True), replacing_folder(folder) as temporary:
            fill(particle, temporary)
        return folder
    try:
        _make(particle, folder)
    except AlreadyThere:
        if not holds(folder, particle):
            msg = (
                f"{folder} already holds a different particle or other files; choose another "
                "--out, or --overwrite to replace it"
            )
            raise ExportError(msg) from None
    return folder


def _make(particle: Particle, folder: Path) -> None:
    """Folder of ``particle`` where nothing is; another command may be faster."""
    if folder.exists():
        raise AlreadyThere(str(folder))
    with replacing_folder(folder, put) as temporary:
        fill(particle, temporary)


def fill(
    particle: Particle,
    folder: Path,
    products: Mapping[str, Mapping[str, Any]] | None = None,
    label: LabelSlab | None = None,
) -> None:
    """Write recipe, metadata and products into an empty folder that no other command knows.

    Parameters
    ----------
    products
        Options of each product, by its name.
    label
        What labels layers of voxels; the processor if left out.
    """
    path = recipe.write(particle, folder / RECIPE)
    fields = metadata.document(particle)
    fields["products"] = [metadata.product(folder, path, "recipe", {})]
    with closing(ParticleFolder(folder, fields, particle, label, private=True)) as found:
        for name, options in (products or {}).items():
            found.write(name, options)


def holds(folder: Path, particle: Particle) -> bool:
    """Whether ``folder`` is complete and holds exactly this particle, its recipe undamaged."""
    if not (folder / metadata.NAME).is_file():
        return False
    try:
        found = ParticleFolder.read(folder)
    except RecipeError:
        return False
    expected = metadata.document(particle)
    keys = ("model_sha256", "entropy", "index", "shell_attempt", "wasDerivedFrom")
    same = all(found.fields["provenance"][k] == expected["provenance"][k] for k in keys)
    return same and found.fields["n_grains"] == expected["n_grains"] and found.has_own_recipe


def load(folder: str | Path) -> Particle:
    """Particle of a folder, or of a recipe file named directly.

    Raises
    ------
    RecipeError
        If there is no recipe, it cannot be read, or it is not the one that the folder's
        metadata lists.
    """
    path = Path(folder)
    if not path.is_dir():
        return recipe.read(path)
    if (path / metadata.NAME).is_file():
        return ParticleFolder.read(path).particle
    return recipe.read(path / RECIPE)


@contextmanager
def opened(
    folder: str | Path, *, particle: Particle | None = None, label: LabelSlab | None = None
) -> Iterator[ParticleFolder]:
    """Give the folder of a particle to write products into; they are there after the block.

    If the block raises, what was complete by then is kept.

    Parameters
    ----------
    particle
        That of the folder, if the caller has it.
    label
        What labels layers of voxels; the processor if left out.

    Raises
    ------
    RecipeError
        If it is no folder of a particle.
    ExportError
        If it cannot be written, or another command changes it for too long.
    """
    found = ParticleFolder.read(folder, particle, label)
    try:
        yield found
    finally:
        found.close()


def add(
    folder: str | Path,
    name: str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    particle: Particle | None = None,
    **options: Any,
) -> Path:
    """Write one product into a particle's folder and list it in particle.json.

    Raises
    ------
    ExportError
        As `ParticleFolder.write` does.
    """
    with opened(folder, particle=particle) as found:
        return found.write(name, options, overwrite=overwrite, progress=progress).path


def write_all(
    folder: str | Path,
    names: Sequence[str],
    given: Mapping[str, Any],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    label: LabelSlab | None = None,
) -> dict[str, Path]:
    """Write several products; each takes those of the options that concern it.

    Raises
    ------
    ExportError
        If an option concerns none of them, and as `ParticleFolder.write` does.
    """
    products = [product_named(name) for name in names]
    if unknown := sorted(set(given) - {option for p in products for option in p.options}):
        meant = suggestion(unknown[0], sorted({option for p in products for option in p.options}))
        msg = f"no option {unknown[0]!r} of {list(names)}; {meant}"
        raise ExportError(msg)
    require_elements(products, given.get("elements", "tets"), given.get("cut", ""))
    paths = {}
    with opened(folder, label=label) as found:
        for name, product in zip(names, products, strict=True):
            own = {option: given[option] for option in product.options if option in given}
            written = found.write(product.name, own, overwrite=overwrite, progress=progress)
            paths[name] = written.path
        found.keep_mesh()
    return paths


@dataclass(frozen=True)
class _Staged:
    """A product that lies aside."""

    product: Product
    options: Mapping[str, Any]
    written: Written
    overwrite: bool


@dataclass(eq=False)
class ParticleFolder:
    """A folder that holds a particle, while a command works on it.

    Parameters
    ----------
    path
        The folder.
    fields
        Content of its particle.json.
    given
        The particle, if the caller has it.
    label
        What labels layers of voxels; the processor if None.
    private
        Whether no other command knows the folder; its metadata are not written before the end.
    """

    path: Path
    fields: dict[str, Any]
    given: Particle | None = None
    label: LabelSlab | None = None
    private: bool = False
    _staged: list[_Staged] = field(default_factory=list)
    _sha256: dict[tuple[Path, int, int], str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        folder: str | Path,
        particle: Particle | None = None,
        label: LabelSlab | None = None,
    ) -> ParticleFolder:
        """Folder with validated metadata."""
        return cls(Path(folder), metadata.read(folder), particle, label)

    @cached_property
    def particle(self) -> Particle:
        """The particle of its recipe.

        Raises
        ------
        RecipeError
            If the recipe cannot be read, or is not the one that the metadata list.
        """
        if self.given is not None:
            return self.given
        found = recipe.read(self.path / RECIPE)
        if not self.has_own_recipe:
            msg = (
                f"{self.path / RECIPE} was changed since it was written, expected the sha256 that "
                f"{metadata.NAME} lists; generate the particle again"
            )
            raise RecipeError(msg)
        return found

    @property
    def has_own_recipe(self) -> bool:
        """Whether the recipe is there as the metadata list it."""
        recipes = [entry for entry in self.fields["products"] if entry["path"] == RECIPE]
        return bool(recipes) and all(map(self.is_intact, recipes))

    def is_intact(self, entry: Mapping[str, Any]) -> bool:
        """Whether a listed file is there with the bytes that it was written with."""
        path = self.path / entry["path"]
        if not path.is_file():
            return False
        state = path.stat()
        key = (path, state.st_mtime_ns, state.st_size)
        if key not in self._sha256:
            self._sha256[key] = sha256(path)
        return self._sha256[key] == entry["sha256"]

    @cached_property
    def _sources(self) -> Sources:
        sources = Sources(self.particle, self._kept_mesh)
        return sources if self.label is None else replace(sources, label=self.label)

    @cached_property
    def _aside(self) -> Path:
        """Folder for what is being written."""
        aside = beside(self.path / "products", "tmp")
        try:
            aside.mkdir()
        except OSError as error:
            raise self._refusal(error) from error
        return aside

    def write(
        self,
        name: str,
        given: Mapping[str, Any],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        """Write one product; it lies in the folder when this is closed.

        A product that is there already, made with the same options and unchanged since, is
        left as it is.

        Parameters
        ----------
        progress
            Called with a message and the part of the product that is done.

        Raises
        ------
        ExportError
            If there is no such product or option, a package is missing, another file is in
            the way and ``overwrite`` is not set, or the product cannot be written.
        """
        product = product_named(name)
        options = completed(product, given)
        if (present := self._present(product, options, overwrite)) is not None:
            return present
        product.require()
        product.require_replaceable(self.path / product.file)
        try:
            sources = replace(self._sources, progress=progress or quiet)
            made = product.write(sources, self._aside / product.file, options)
        except OSError as error:
            raise self._refusal(error, name) from error
        except ExportError as error:
            msg = str(error).replace(str(self._aside), str(self.path))
            raise ExportError(msg) from error
        self._staged.append(_Staged(product, options, made, overwrite))
        return Written(self.path / product.file, made.summary)

    def keep_mesh(self) -> Written | None:
        """Write the tetrahedra that products were made of, so that later commands find them.

        None if none were made, or the folder has a product that holds a mesh.
        """
        holding = {p["format"] for p in self.fields["products"]}
        holding |= {one.product.name for one in self._staged}
        made = [one for one in self._staged if one.product.made_of == "mesh"]
        made = [one for one in made if one.options.get("elements") != "hex"]
        made = [one for one in made if not one.options.get("cut")]
        if not made or holding & set(_MESH_READERS):
            return None
        return self.write(KEPT, {name: made[0].options[name] for name in SIZES})

    def _present(
        self, product: Product, options: Mapping[str, Any], overwrite: bool
    ) -> Written | None:
        """The product as it is, if it is the one asked for; None if it is to be written."""
        target = self.path / product.file
        if overwrite or not target.exists():
            return None
        listed = [p for p in self.fields["products"] if p["format"] == product.name]
        intact = bool(listed) and all(map(self.is_intact, listed))
        if intact and all({**product.defaults, **p["options"]} == options for p in listed):
            return Written(target, listed[0].get("summary"))
        made = f"made with {listed[0]['options']}" if intact else f"not as {metadata.NAME} lists it"
        msg = f"{target} exists, {made}; --overwrite to replace it"
        raise ExportError(msg)

    def _kept_mesh(self, sizes: Mapping[str, Any]) -> VolumeMesh | None:
        """Own mesh of these sizes, if there is one, bonded and of first order."""
        wanted = {**sizes, "elements": "tets", "cut": "", "order": 1, "boundaries": "bonded"}
        for name, read in _MESH_READERS.items():
            for path, made in self._found(name):
                if all(made[key] == value for key, value in wanted.items()):
                    found: VolumeMesh | None = read(path)
                    return found
        return None

    def _found(self, name: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Places of a product of one file, aside or in the folder, and its options."""
        for one in self._staged:
            if one.product.name == name:
                yield one.written.path, one.options
        for entry in self.fields["products"]:
            if entry["format"] == name and self.is_intact(entry):
                yield self.path / entry["path"], product_named(name).defaults | entry["options"]

    def close(self) -> None:
        """Move what was written into the folder and list it, under the folder's lock.

        Raises
        ------
        ExportError
            If that cannot be done, or another command has meanwhile replaced the particle, or
            written a product otherwise that is not to be overwritten.
        """
        try:
            if self._staged or self.private:
                with nullcontext() if self.private else locked(self.path, beside=True):
                    self._commit()
        except OSError as error:
            raise self._refusal(error) from error
        finally:
            if "_aside" in self.__dict__:
                shutil.rmtree(self._aside, ignore_errors=True)

    def _commit(self) -> None:
        """List first, then move: what a killed process leaves out is missing, not unknown."""
        _sweep(self.path)
        before = self._fields_now()
        staged = [one for one in self._staged if not self._is_there(one, before)]
        for one in staged:
            one.product.require_replaceable(self.path / one.product.file)
        names = {one.product.name for one in staged}
        entries = [entry for one in staged for entry in self._entries(one)]
        others = [entry for entry in before["products"] if entry["format"] not in names]
        self.fields = before | {"products": _in_order([*others, *entries])}
        metadata.write(self.fields, self.path)
        try:
            for one in staged:
                exchange(one.written.path, self.path / one.product.file)
        except OSError:
            metadata.write(before, self.path)
            raise

    def _fields_now(self) -> dict[str, Any]:
        """Metadata as they are, of the same particle."""
        if self.private:
            return self.fields
        found = metadata.read(self.path)
        own, now = ([p for p in f["products"] if p["path"] == RECIPE] for f in (self.fields, found))
        if own != now:
            msg = f"{self.path} was replaced by another particle meanwhile; export it again"
            raise ExportError(msg)
        return found

    def _is_there(self, one: _Staged, now: Mapping[str, Any]) -> bool:
        """Whether another command has written just this product meanwhile."""
        listed = [p for p in now["products"] if p["format"] == one.product.name]
        known = [p for p in self.fields["products"] if p["format"] == one.product.name]
        if one.overwrite or listed == known:
            return False
        if all(p["options"] == one.options for p in listed):
            return True
        msg = (
            f"{self.path / one.product.file} was written by another command meanwhile, with "
            f"{listed[0]['options']}; --overwrite to replace it"
        )
        raise ExportError(msg)

    def _entries(self, one: _Staged) -> list[dict[str, Any]]:
        """Entries of the files of a product that lies aside."""
        made, options = one.written.path, dict(one.options)
        files = sorted(p for p in made.rglob("*") if p.is_file()) if made.is_dir() else [made]
        entries = [metadata.product(self._aside, path, one.product.name, options) for path in files]
        if one.written.summary is not None:
            entries[0]["summary"] = dict(one.written.summary)
        return entries

    def _refusal(self, error: OSError, what: str = "products") -> ExportError:
        msg = f"{what} cannot be written into {self.path} ({reason(error)}); is there space?"
        return ExportError(msg)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: documents, and products if of this computer.

    The folder's lock must be held: documents are written under it only.
    """
    for document in folder.glob(".particle-*.tmp.json"):
        document.unlink(missing_ok=True)
    for aside in folder.glob(".products-*.tmp"):
        if is_abandoned(aside.name):
            shutil.rmtree(aside, ignore_errors=True)


def _mesh_of_msh(path: Path) -> Any:
    from ..mesh.reading import read_msh

    return read_msh(path)


def _mesh_of_vtkhdf(path: Path) -> Any:
    from ..mesh.reading import read_vtkhdf

    return read_vtkhdf(path)


_MESH_READERS: Mapping[str, Callable[[Path], Any]] = {
    "mesh-vtkhdf": _mesh_of_vtkhdf,
    "mesh": _mesh_of_msh,
}


def _in_order(products: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The recipe, then the others by name: the same whichever was made first."""
    return sorted(products, key=lambda p: (p["path"] != RECIPE, p["format"], p["path"]))
