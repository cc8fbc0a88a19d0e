"""Commands that make particles and their products, and look at them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..console.arguments import DryRun, Json, Overwrite, Set, assignments, usable
from ..console.terminal import file_rows, tell
from .write_products import ProductOptions, plan_rows, product_names, write_products

Out = Annotated[Path, Parameter(help="Folder that receives one folder for each particle.")]
Products = Annotated[
    str, Parameter(name="--export", help="Products to write, separated by commas.")
]
DEFAULTS = ProductOptions()
ONLY_OWNERS = 6  # the first draws of recipes whose grains all own a point


def generate(
    *,
    model: Annotated[str, Parameter(help="Shipped model card or path of one.")] = "nmc811",
    seed: Annotated[int, Parameter(help="Seed of the series of particles.")] = 0,
    first: Annotated[int, Parameter(help="Index of the first particle.")] = 0,
    count: Annotated[int, Parameter(help="Number of particles.")] = 1,
    out: Out = Path("particles"),
    settings: Set = None,
    products: Products = "",
    options: ProductOptions = DEFAULTS,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> None:
    """Draw particles and write their recipes, and further products if asked."""
    from ...generator.errors import GenerationError
    from ...generator.generate import particles_in_turn
    from ...generator.model_card import ModelCard
    from ..datasets.config import MOST

    usable(options.device)  # refused before anything is read
    card = ModelCard.load(model).with_parameters(assignments(settings))
    names = product_names(products)
    if not 1 <= count <= MOST["count"]:
        msg = f"--count is {count}, expected 1 to {MOST['count']:.4g}"
        raise GenerationError(msg)
    indices = range(first, first + count)
    drawn = particles_in_turn(card, seed, indices, device=options.device)
    for particle in _tracked(drawn, count, "particles"):
        if dry_run:
            tell(plan_rows(particle, out, names, options), json_output)
        else:
            _write(particle, out, names, options, overwrite, json_output)


def regenerate(
    parent: Annotated[Path, Parameter(help="Folder of a particle.")],
    /,
    *,
    out: Out,
    settings: Set = None,
    products: Products = "",
    options: ProductOptions = DEFAULTS,
    overwrite: Overwrite = False,
    json_output: Json = False,
) -> None:
    """Make a particle again with changed parameters and the same random draws."""
    from ...generator.generate import regenerate as again
    from ..products.particle_folder import load

    usable(options.device)
    names = product_names(products)
    particle = again(load(parent), assignments(settings))
    _write(particle, out, names, options, overwrite, json_output)


def export(
    folder: Annotated[Path, Parameter(help="Folder of a particle.")],
    /,
    *,
    to: Annotated[str, Parameter(help="Products; `cathodegrain formats` lists them.")] = "",
    solvers: Annotated[
        str, Parameter(name="--for", help="Solvers: for each a folder with mesh and decks.")
    ] = "",
    options: ProductOptions = DEFAULTS,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> None:
    """Write products of a particle beside its recipe."""
    from ...generator.errors import ExportError
    from ..products.particle_folder import load

    usable(options.device)
    names = product_names(to) + _solver_names(solvers)
    if not names:
        msg = "nothing to write: give --to PRODUCT or --for SOLVER"
        raise ExportError(msg)
    if dry_run:
        particle = load(folder)
        tell(plan_rows(particle, folder.parent, names, options), json_output)
        return
    tell(write_products(folder, names, options, overwrite), json_output)


def report(
    folder: Annotated[Path, Parameter(help="Folder of a particle.")],
    /,
    *,
    overwrite: Overwrite = False,
) -> None:
    """Draw a particle: outside, cut open, sections, statistics of its grains."""
    from ..products.particle_folder import add
    from ..products.registry import PRODUCTS

    PRODUCTS["report"].require()
    print(add(folder, "report", overwrite=overwrite))


def info(
    folder: Annotated[Path, Parameter(help="Folder of a particle.")],
    /,
    *,
    json_output: Json = False,
) -> None:
    """Say what a particle is and which files belong to it."""
    from ..particles import metadata

    fields = metadata.read(folder)
    if json_output:
        tell(fields, json_output=True)
        return
    shell, source = fields["shell"], fields["provenance"]
    rows = {
        "particle": fields["id"],
        "model": f"{source['model']} ({source['model_sha256'][:12]})",
        "seed, index": f"{source['entropy']}, {source['index']}",
        "grains": _grains(fields),
        **{k: f"{q['value']:.4g} {q['unit']}".removesuffix(" 1") for k, q in shell.items()},
        **file_rows(fields["products"]),
    }
    if source["wasDerivedFrom"]:
        changes = source["wasDerivedFrom"]["changes"].items()
        rows["changed"] = ", ".join(f"{k}: {c['from']} -> {c['to']}" for k, c in changes)
    tell(rows, json_output=False)


def _grains(fields: Mapping[str, Any]) -> str:
    """Number of grains; of older recipes, that some own nothing."""
    draws = fields["provenance"].get("draws") or 0
    rest = "" if draws >= ONLY_OWNERS else ", some of them without volume (made before version 0.3)"
    return f"{fields['n_grains']}{rest}"


def validate(
    path: Annotated[Path, Parameter(help="Folder of a particle; with --gmsh also a mesh.msh.")],
    /,
    *,
    gmsh: Annotated[
        bool, Parameter(negative="", help="Let gmsh open and measure the mesh, and compare.")
    ] = False,
) -> int:
    """Check metadata, hashes and recipe of a particle; exit code 1 if something is wrong."""
    from ..products.validation import problems, unlisted

    found = [] if gmsh and path.is_file() else problems(path)
    for problem in found:
        print(problem, file=sys.stderr)
    for other in () if found or path.is_file() else unlisted(path):
        print(f"{other}: not listed, left alone")
    if gmsh:
        found += _gmsh_problems(path)
    print(f"{path}: {'sound' if not found else f'problems: {len(found)}'}")
    return 1 if found else 0


def _gmsh_problems(path: Path) -> list[str]:
    from ..products.validation import checked_with_gmsh

    check = checked_with_gmsh(path)
    for line in check.lines():
        print(line)
    for problem in check.problems:
        print(f"mesh: {problem}", file=sys.stderr)
    return check.problems


def _solver_names(text: str) -> list[str]:
    from ..solvers.profiles import profile_named

    return [profile_named(name.strip()).name for name in text.split(",") if name.strip()]


def _write(
    particle: Any,
    out: Path,
    names: list[str],
    options: ProductOptions,
    overwrite: bool,
    json_output: bool,
) -> None:
    from ..products.particle_folder import RECIPE, create

    folder = create(particle, out, overwrite=overwrite)
    rows = {"particle": str(folder), "grains": particle.n_grains, "recipe": str(folder / RECIPE)}
    tell(rows | write_products(folder, names, options, overwrite), json_output)


def _tracked(items: Any, count: int, what: str) -> Any:
    """Iterate with a progress bar if standard error is a terminal and there is more than one."""
    if count < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, description=what, total=count, console=Console(stderr=True))
