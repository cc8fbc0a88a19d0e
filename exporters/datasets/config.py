"""What a dataset is to hold, from a TOML file: everything is checked before anything is made.

::

    name = "nmc811-virtual"        # letters, digits, . and -
    title = "Virtual NMC811 particles"
    version = "1.0.0"              # of the dataset, for its descriptions
    year = 2026                    # of publication
    model = "nmc811"               # a shipped card, or a path relative to this file
    seed = 2026                    # of the series
    first = 0                      # index of the first particle
    count = 200

    [parameters]                   # as --set NAME=VALUE
    shell.diameter_um = 8.0

    [products.voxels]
    pitch_um = 0.1

    [products.mesh]
    count = 5                      # of the first five particles only
    size_um = 0.2

``name``, ``model`` and ``count`` are required. Products are those of `cathodegrain
formats`; recipes and the table of grains are always made.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...generator.errors import DatasetError, ModelCardError, suggestion
from ...generator.model_card import PARAMETERS, ModelCard
from ...generator.requirements import install_command
from ..particles import renamed
from ..products.options import OPTIONS, with_usual_size
from ..products.registry import PRODUCTS

TYPES: Mapping[str, type] = {
    "name": str,
    "title": str,
    "version": str,
    "year": int,
    "model": str,
    "seed": int,
    "first": int,
    "count": int,
    "parameters": dict,
    "products": dict,
}
REQUIRED = ("name", "model", "count")
NAME = re.compile(r"[a-z0-9][a-z0-9.=-]{0,99}")
VERSION = re.compile(r"[0-9]+(\.[0-9]+)*([-+.][0-9A-Za-z.-]+)?")
LEAST = {"count": 1, "year": 1900}
MOST = {"year": 9999, "seed": 2**128 - 1, "first": 10**9, "count": 10**9}
GRAINS = "grain-table"
SOURCES = ("mesh", "voxels")  # other products are made of them


@dataclass(frozen=True, kw_only=True)
class ProductPlan:
    """One product of a dataset: how it is made, and of how many particles (None: of all)."""

    name: str
    options: Mapping[str, Any]
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Dataset that another is derived from by changed parameters, random draws kept."""

    name: str
    model_sha256: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DatasetConfig:
    """What a dataset holds.

    Parameters
    ----------
    name, title
        What it is called, in files and for readers.
    version, year
        Of its publication, for its descriptions.
    card
        Resolved model card.
    seed
        Seed of the series of particles.
    first, count
        Indices ``first`` to ``first + count - 1``.
    products
        Beside the recipes.
    origin
        Set for a dataset derived from another.
    """

    name: str
    title: str
    card: ModelCard
    seed: int
    first: int
    count: int
    products: tuple[ProductPlan, ...] = field(default=())
    origin: Origin | None = None
    version: str | None = None
    year: int | None = None

    def __repr__(self) -> str:
        products = ", ".join(product.name for product in self.products) or "no products"
        return (
            f"DatasetConfig({self.name}: {self.count} particles of {self.card.name} from number "
            f"{self.first} on, seed {self.seed}; {products})"
        )

    @property
    def indices(self) -> range:
        """Indices of the particles."""
        return range(self.first, self.first + self.count)

    def products_of(self, index: int) -> list[ProductPlan]:
        """Products of the particle number ``index``, first those that others are made of."""
        wanted = [p for p in self.products if p.count is None or index - self.first < p.count]
        return sorted(wanted, key=lambda product: product.name not in SOURCES)

    @property
    def document(self) -> dict[str, Any]:
        """JSON object that identifies the dataset; `from_document` is its inverse."""
        origin = self.origin
        return {
            "name": self.name,
            "title": self.title,
            "version": self.version,
            "year": self.year,
            "model": self.card.name,
            "model_sha256": self.card.sha256,
            "entropy": str(self.seed),  # exceeds what JSON readers keep of a number
            "first": self.first,
            "count": self.count,
            "products": {
                p.name: {"count": p.count, "options": dict(p.options)} for p in self.products
            },
            "wasDerivedFrom": origin
            and {
                "name": origin.name,
                "model_sha256": origin.model_sha256,
                "changes": dict(origin.changes),
            },
        }

    @property
    def sha256(self) -> str:
        """Hash of the document: what identifies the dataset."""
        text = json.dumps(self.document, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_document(cls, fields: Mapping[str, Any], card: ModelCard) -> DatasetConfig:
        """Configuration of a `document`, which must be valid, and its model card."""
        parent = fields["wasDerivedFrom"]
        return cls(
            name=fields["name"],
            title=fields["title"],
            version=fields["version"],
            year=fields["year"],
            card=card,
            seed=int(fields["entropy"]),
            first=fields["first"],
            count=fields["count"],
            products=tuple(
                ProductPlan(
                    name=renamed.PRODUCTS.get(name, name),
                    count=product["count"],
                    options=_renamed(product["options"], renamed.OPTIONS),
                )
                for name, product in fields["products"].items()
            ),
            origin=parent and Origin(**parent),
        )

    def derived(self, changes: Mapping[str, Any]) -> DatasetConfig:
        """The dataset of the same draws with some parameters of the model changed.

        Raises
        ------
        ModelCardError
            For unknown parameters or values that are not allowed.
        DatasetError
            If nothing is changed.
        """
        card = self.card.with_parameters(changes)
        changed = {k: v for k, v in changes.items() if self.card.parameter(k) != v}
        if not changed:
            msg = f"--set {dict(changes)} changes nothing in {self.name}; give another value"
            raise DatasetError(msg)
        words = ", ".join(f"{k} = {v}" for k, v in changed.items())
        slug = re.sub(r"[^a-z0-9.=-]", "-", "-".join(f"{k}={v}" for k, v in changed.items()))
        return DatasetConfig(
            name=f"{self.name}-{slug}",
            title=f"{self.title}; {words}",
            version=self.version,
            year=self.year,
            card=card,
            seed=self.seed,
            first=self.first,
            count=self.count,
            products=self.products,
            origin=Origin(name=self.name, model_sha256=self.card.sha256, changes=changed),
        )


def load(path: str | Path) -> DatasetConfig:
    """Configuration of a TOML file.

    Raises
    ------
    DatasetError
        If it cannot be read, or lists every way in which it is not valid.
    """
    path = Path(path)
    try:
        fields = tomllib.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path} cannot be read ({error}), expected a TOML file that says what to make"
        raise DatasetError(msg) from error
    return from_fields(fields, path.parent, str(path))


def from_fields(
    fields: Mapping[str, Any], folder: Path = Path(), source: str = "configuration"
) -> DatasetConfig:
    """Configuration of the fields of a TOML file in ``folder``.

    Raises
    ------
    DatasetError
        Lists every way in which they are not valid.
    """
    fields = _of_today(fields)
    problems = list(_wrong_fields(fields))
    wrong = {problem.partition(":")[0] for problem in problems}
    sound = {k: v for k, v in fields.items() if k in TYPES and k not in wrong}
    card, wrong_card = _card(sound, folder)
    products, wrong_products = _products(sound, card)
    problems += wrong_card + wrong_products
    if problems or card is None:
        msg = f"{source} is not valid:\n  " + "\n  ".join(problems)
        raise DatasetError(msg)
    return DatasetConfig(
        name=fields["name"],
        title=fields.get("title", fields["name"]),
        version=fields.get("version"),
        year=fields.get("year"),
        card=card,
        seed=fields.get("seed", 0),
        first=fields.get("first", 0),
        count=fields["count"],
        products=products,
    )


def _of_today(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields under the names of today; those of version 0.1.0 are taken with a warning."""
    found = _renamed(fields, {"entropy": "seed"}, warn=True)
    if isinstance(products := found.get("products"), dict):
        found["products"] = {
            name: _renamed(table, renamed.OPTIONS, warn=True) if isinstance(table, dict) else table
            for name, table in _renamed(products, renamed.PRODUCTS, warn=True).items()
        }
    return found


def _renamed(
    fields: Mapping[str, Any], names: Mapping[str, str], *, warn: bool = False
) -> dict[str, Any]:
    for old in sorted(set(fields) & set(names)) if warn else ():
        warnings.warn(f"{old} is now {names[old]}", FutureWarning, stacklevel=2)
    return {names.get(name, name): value for name, value in fields.items()}


def _wrong_fields(fields: Mapping[str, Any]) -> Iterable[str]:
    for name, value in fields.items():
        if name not in TYPES:
            yield _unknown(name, TYPES)
        elif not _is_a(value, TYPES[name]):
            yield f"{name}: {value!r}, expected {_a(TYPES[name])}"
        elif name == "name" and not NAME.fullmatch(value):
            yield f"name: {value!r}, expected small letters, digits, '.' and '-', at most 100"
        elif name == "version" and not VERSION.fullmatch(value):
            yield f"version: {value!r}, expected the form '1.0.0'"
        elif name in MOST and not LEAST.get(name, 0) <= value <= MOST[name]:
            yield f"{name}: {value}, expected {LEAST.get(name, 0)} to {MOST[name]:.4g}"
    for name in REQUIRED:
        if name not in fields:
            yield f"{name}: missing, expected {_a(TYPES[name])}"


def _unknown(name: str, known: Iterable[str], prefix: str = "") -> str:
    return f"{prefix}{name}: unknown; {suggestion(name, sorted(known))}"


def _is_a(value: Any, kind: type) -> bool:
    """Whether ``value`` is of exactly this type: True is no integer."""
    return type(value) is kind


def _a(kind: type) -> str:
    named = {str: "a text", int: "an integer", dict: "a table", bool: "true or false"}
    return named[kind]


def _card(fields: Mapping[str, Any], folder: Path) -> tuple[ModelCard | None, list[str]]:
    """Resolved model card, and what is wrong with it."""
    if "model" not in fields:
        return None, []
    beside = folder / fields["model"]
    try:
        card = ModelCard.load(beside if beside.is_file() else fields["model"])
    except ModelCardError as error:
        return None, [f"model: {error}"]
    changes = dict(flattened(fields.get("parameters", {})))
    problems = [_unknown(k, PARAMETERS, "parameters.") for k in changes if k not in PARAMETERS]
    try:
        card = card.with_parameters({k: v for k, v in changes.items() if k in PARAMETERS})
    except ModelCardError as error:
        return card, [
            *problems,
            *(f"parameters: {line.strip()}" for line in str(error).split("\n")[1:]),
        ]
    diameter, largest = (
        card.document["shell"]["diameter_um"],
        card.document["shell"]["max_radius_um"],
    )
    if diameter is not None and diameter >= 2 * largest:
        problems.append(
            f"parameters.shell.diameter_um: {diameter} um contradicts the largest radius of "
            f"the model, {largest} um; choose less than {2 * largest} um"
        )
    return card, problems


def flattened(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Pairs of dotted names and values of a nested table.

    Examples
    --------
    >>> dict(flattened({"shell": {"diameter_um": 2}, "grains.metric": "norm"}))
    {'shell.diameter_um': 2, 'grains.metric': 'norm'}
    """
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _products(
    fields: Mapping[str, Any], card: ModelCard | None
) -> tuple[tuple[ProductPlan, ...], list[str]]:
    """Products, the table of grains among them, and what is wrong with them."""
    plans, problems = [], []
    given = dict(fields.get("products", {}))
    voxels = given.get("voxels")
    pitch = voxels.get("pitch_um") if isinstance(voxels, dict) else None
    given.setdefault(GRAINS, {"pitch_um": pitch} if _is_length(pitch) else {})
    for name in sorted(given):
        found = list(_wrong_product(name, given[name], fields))
        problems += found
        if not found:
            plan = _plan(name, given[name])
            problems += _contradictions(plan, card)
            plans.append(plan)
    return tuple(plans), problems


def _plan(name: str, table: Mapping[str, Any]) -> ProductPlan:
    """Product with all of its options, as `cathodegrain export` would make it."""
    given = {k: v for k, v in table.items() if k != "count"}
    floats = {k: float(v) if OPTIONS[k].kind is float else v for k, v in given.items()}
    return ProductPlan(
        name=name,
        options=with_usual_size(PRODUCTS[name].defaults | floats),
        count=table.get("count"),
    )


def _wrong_product(name: str, table: Any, fields: Mapping[str, Any]) -> Iterable[str]:
    field_name = f"products.{name}"
    if name not in PRODUCTS:
        yield _unknown(name, PRODUCTS, "products.")
        return
    if not isinstance(table, dict):
        yield f"{field_name}: {table!r}, expected a table; [{field_name}] alone takes all defaults"
        return
    if PRODUCTS[name].missing:
        needs, command = ", ".join(PRODUCTS[name].missing), install_command(PRODUCTS[name].extra)
        yield f"{field_name}: needs {needs}, not installed here: {command}"
    for option, value in table.items():
        if option == "count" and name != GRAINS:
            if type(value) is not int or not 1 <= value <= fields.get("count", math.inf):
                yield (
                    f"{field_name}.count: {value!r}, expected an integer from 1 to the count of "
                    f"particles, {fields.get('count', 'which is missing')}"
                )
        elif option not in PRODUCTS[name].options:
            yield _unknown(option, PRODUCTS[name].options, f"{field_name}.")
        elif problem := _wrong_value(option, value, OPTIONS[option].kind):
            yield f"{field_name}.{option}: {value!r}, expected {problem}"


def _wrong_value(option: str, value: Any, kind: type) -> str | None:
    """What an option should be, if it is something else."""
    if kind is float:
        return None if _is_length(value) else "a positive length in um"
    if kind is list:
        lengths = type(value) is list and len(value) > 1 and all(map(_is_length, value))
        return None if lengths else "a list of two or more positive lengths in um"
    return None if _is_a(value, kind) else _a(kind)


def _is_length(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _contradictions(plan: ProductPlan, card: ModelCard | None) -> Iterable[str]:
    """Sizes that cannot go together."""
    options, where = plan.options, f"products.{plan.name}"
    size, boundary = options.get("size_um"), options.get("boundary_size_um")
    if size is not None and boundary is not None and boundary > size:
        yield f"{where}: boundary_size_um {boundary} exceeds size_um {size}; expected at most that"
    shell, widest = options.get("surface_size_um"), boundary or size
    if shell is not None and widest is not None and shell > widest:
        yield f"{where}: surface_size_um {shell} exceeds {widest}, the size of edges in grains"
    if card is None:
        return
    diameter = card.document["shell"]["diameter_um"] or 2 * card.document["shell"]["max_radius_um"]
    limits = {"pitch_um": diameter / 2, "size_um": diameter / 4}
    for option, limit in limits.items():
        if options.get(option) is not None and options[option] > limit:
            yield (
                f"{where}.{option}: {options[option]} um contradicts particles of at most "
                f"{diameter} um; expected at most {limit} um"
            )
