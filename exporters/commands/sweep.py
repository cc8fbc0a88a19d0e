"""Command ``cathodegrain sweep``: variants of a particle, compared with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..console.arguments import DryRun, Json, Overwrite, usable, value_lists
from ..console.terminal import progress_bar, tell
from .particles import Products
from .write_products import ProductOptions, meshed_as_asked, options_of, product_names

if TYPE_CHECKING:
    from ..sweeps.plan import SweepPlan
    from ..sweeps.table import Row, Sweep

DEFAULTS = ProductOptions()


def sweep(
    parent: Annotated[Path | None, Parameter(help="Folder of a particle to vary.")] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of the sweep, with one for each particle.")],
    settings: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative="",
            help="Parameter and its values, NAME=VALUE,VALUE,...; several make all combinations.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        Parameter(negative="", help="Models to draw from instead of varying a particle: A,B."),
    ] = None,
    seeds: Annotated[str | None, Parameter(help="Their seeds, as 1,2,3; 0 if left out.")] = None,
    products: Products = "",
    options: ProductOptions = DEFAULTS,
    jobs: Annotated[int | None, Parameter(help="Processes; as many as cores if left out.")] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> int:
    """Vary parameters of a particle, draws kept, and compare; exit code 1 if variants failed."""
    from ..datasets.making.engines import engine_for
    from ..products.registry import PRODUCTS
    from ..sweeps.plan import planned
    from ..sweeps.run import run

    usable(options.device)
    names = meshed_as_asked(product_names(products), options)
    plan = planned(parent, value_lists(settings), _models(model), _seeds(seeds))
    if dry_run:
        _tell_plan(plan, out, jobs, json_output)
        return 0
    with progress_bar("sweep") as show:
        made = run(
            plan,
            out,
            engine_for(jobs),
            products=[PRODUCTS[name] for name in names],
            options=options_of(names, options),
            overwrite=overwrite,
            show=show,
        )
    _tell_sweep(made, json_output)
    return 1 if made.failed else 0


def _models(given: list[str] | None) -> list[str] | None:
    if given is None:
        return None
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def _seeds(text: str | None) -> list[int] | None:
    from ...generator.errors import GenerationError

    if text is None:
        return None
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0 or len(set(found)) < len(found):
        msg = f"--seeds is {text!r}, expected different integers of 0 or more, as 1,2,3"
        raise GenerationError(msg)
    return found


def _tell_plan(plan: SweepPlan, out: Path, jobs: int | None, json_output: bool) -> None:
    from ...generator.machine import usable_cores
    from ..sweeps.estimate import Estimate, estimates

    found = estimates(plan)
    seconds = sum(each.seconds for each in found) / min(jobs or usable_cores(), len(found))
    rows: dict[str, Any] = {"sweep": str(out), "particles": len(found)}
    if json_output:
        variants = [
            {
                "id": each.variant.id,
                "base": each.variant.base,
                "parameters": dict(each.variant.values),
                "n_grains_estimate": each.n_grains,
                "seconds_estimate": each.seconds,
                "error": each.error,
            }
            for each in found
        ]
        tell(rows | {"seconds_estimate": round(seconds, 1), "variants": variants}, json_output)
        return

    def line(each: Estimate) -> str:
        if each.error:
            return f"will fail: {each.error}"
        values = ", ".join(f"{name} {value}" for name, value in each.variant.values.items())
        return f"{values or 'base'}; about {each.n_grains} grains, {each.seconds:.1f} s"

    rows |= {each.variant.id: line(each) for each in found}
    tell(rows | {"time": f"about {seconds:.0f} s, without products"}, json_output)


def _tell_sweep(made: Sweep, json_output: bool) -> None:
    from ..sweeps.table import CSV, PICTURE

    counts = {state: n for state, n in made.counts.items() if state != "pending"}
    rows: dict[str, Any] = {"sweep": str(made.path), **counts, "table": str(made.path / CSV)}
    if (made.path / PICTURE).is_file():
        rows["figure"] = str(made.path / PICTURE)
    if json_output:
        tell(rows | {"failures": made.failed}, json_output)
        return
    for name, why in made.failed.items():
        print(f"{name}: {why}", file=sys.stderr)
    tell(rows | {r.variant.id: _line(r) for r in made.rows if r.measures}, json_output)


def _line(row: Row) -> str:
    m = row.measures or {}
    inside = (
        f"{m['diameter_mean_um']:.3g} um, aspect ratio {m['aspect_ratio_mean']:.3g}, alignment "
        f"{m['radial_alignment']:.2f}"
        if None not in (m["diameter_mean_um"], m["aspect_ratio_mean"], m["radial_alignment"])
        else "none"
    )
    return f"{m['n_grains']} grains; inside {inside}"
