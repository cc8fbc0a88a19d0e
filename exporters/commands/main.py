"""Command line of cathodegrain: commands, their arguments, exit codes.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO

import cyclopts
from cyclopts import Parameter

from .arguments import Set, assignments
from .dataset import dataset_app
from .dataset_delivery import describe, fetch, pack
from .fit_shell import fit_app
from .sections import phantom, section
from .write_products import (
    ProductOptions,
    cost,
    file_rows,
    plan_rows,
    progress_bar,
    tell,
    write_products,
)

app = cyclopts.App(
    name="cathodegrain",
    help="Virtual NMC811 cathode particles: voxels, grain surfaces, FE meshes.",
    version=lambda: _version(),
    suppress_keyboard_interrupt=False,
)

app.command(fit_app)
app.command(dataset_app)
for delivery in (describe, fetch, pack):
    dataset_app.command(delivery)
app.command(section)
app.command(phantom)

Out = Annotated[Path, Parameter(help="Folder that receives one folder for each particle.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for machines.")]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace what is there.")]
DryRun = Annotated[bool, Parameter(negative="", help="Say what would be written; write nothing.")]
Products = Annotated[
    str, Parameter(name="--export", help="Products to write, separated by commas.")
]
DEFAULTS = ProductOptions()


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; whatever ends it is said in one sentence.

    0 on success; 1 for a failed check, an interruption or a bug of cathodegrain; 2 for input,
    or a place to write to, that cannot be used. With ``CATHODEGRAIN_TRACEBACK=1`` in the
    environment the traceback comes before the sentence.
    """
    try:
        _open_closed_streams()
        with _terminable():
            result = app(argv, exit_on_error=False, print_error=True, result_action="return_value")
            sys.stdout.flush()  # here a reader that is gone is noticed, not at the very end
    except cyclopts.CycloptsError:
        return 2
    except KeyboardInterrupt:
        return _failed("interrupted; nothing half-written is left", 1)
    except BrokenPipeError:  # the reader of our output is gone: `cathodegrain formats | head -1`
        return 1
    except Exception as error:  # the last line of defence
        return _failed(*_sentence(error))
    finally:
        _empty(sys.stdout)
        _empty(sys.stderr)
    return result if isinstance(result, int) else 0


def _sentence(error: Exception) -> tuple[str, int]:
    """What is said about an error, and the exit code."""
    from ...generator.errors import CathodegrainError
    from ..files.atomic import reason

    if isinstance(error, CathodegrainError):
        return str(error), 2
    if isinstance(error, MemoryError):
        remedy = "choose a larger --pitch or --size, a smaller particle or fewer grains"
        return f"memory does not suffice ({error}); {remedy}", 2
    if isinstance(error, OSError):
        place = error.filename or "a file or the standard output"
        remedy = "correct the path, its permissions or the free space"
        return f"{place} cannot be read or written ({reason(error)}); {remedy}", 2
    first_line = str(error).partition("\n")[0]
    remedy = "please report it with the traceback, which CATHODEGRAIN_TRACEBACK=1 shows"
    return f"{type(error).__name__} ({first_line}) is a bug of cathodegrain; {remedy}", 1


def _failed(message: str, code: int) -> int:
    with suppress(OSError):  # nobody can be told
        if os.environ.get("CATHODEGRAIN_TRACEBACK"):
            traceback.print_exc()
        print(f"cathodegrain: {message}", file=sys.stderr)
    return code


def _open_closed_streams() -> None:
    """Let standard streams that are closed lead nowhere.

    Python has None in their place, and the next file that is opened would take their number:
    what a library prints would go into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _empty(stream: TextIO) -> None:
    """Write what a stream still holds, to nowhere if it takes nothing: Python would complain."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, which batch systems and containers send, end a command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command
def generate(
    *,
    model: Annotated[str, Parameter(help="Shipped model card or path of one.")] = "nmc811",
    seed: Annotated[int, Parameter(help="Entropy of the series of particles.")] = 0,
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
    from ...generator.generate import generate_particle
    from ...generator.model_card import ModelCard
    from ..datasets.config import MOST

    card = ModelCard.load(model).with_parameters(assignments(settings))
    names = _product_names(products)
    if not 1 <= count <= MOST["count"]:
        msg = f"--count is {count}, expected 1 to {MOST['count']:.4g}"
        raise GenerationError(msg)
    for index in _tracked(range(first, first + count), "particles"):
        particle = generate_particle(card, seed, index)
        if dry_run:
            tell(plan_rows(particle, out, names, options), json_output)
        else:
            _write(particle, out, names, options, overwrite, json_output)


@app.command
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

    names = _product_names(products)
    particle = again(load(parent), assignments(settings))
    _write(particle, out, names, options, overwrite, json_output)


@app.command
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

    names = _product_names(to) + _solver_names(solvers)
    if not names:
        msg = "nothing to write: give --to PRODUCT or --for SOLVER"
        raise ExportError(msg)
    if dry_run:
        particle = load(folder)
        tell(plan_rows(particle, folder.parent, names, options), json_output)
        return
    tell(write_products(folder, names, options, overwrite), json_output)


@app.command
def mesh(
    labels: Annotated[Path, Parameter(help="Grain ids on voxels: .vtkhdf, .npy or .tif.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="File to write.")] = Path("mesh.msh"),
    pitch: Annotated[
        float | None, Parameter(help="Edge of a voxel, um, if the file does not say.")
    ] = None,
    size: Annotated[
        float | None, Parameter(help="Longest edge of the tetrahedra, um; 3 voxels if left out.")
    ] = None,
    boundary_size: Annotated[
        float | None, Parameter(help="Longest edge at grain boundaries, um; as --size if left out.")
    ] = None,
    force: Annotated[
        bool, Parameter(negative="", help="Write a mesh although it fails its certificate.")
    ] = False,
    overwrite: Overwrite = False,
    json_output: Json = False,
) -> None:
    """Mesh segmented grains of your own: any volume of labels, 0 outside."""
    from ...generator.errors import ExportError
    from ...generator.requirements import require
    from ..certificate.certificate import certificate_lines
    from ..labels.label_volume import mesh_labels
    from ..mesh.msh_file import read_facts

    require("mesh", "gmsh", purpose="MSH files", error=ExportError)
    if out.exists() and not overwrite:
        msg = f"{out} exists; choose another --out, or --overwrite to replace it"
        raise ExportError(msg)
    started = time.process_time()
    with progress_bar("mesh") as show:
        mesh_labels(
            labels, out, size_um=size, boundary_size_um=boundary_size, pitch_um=pitch,
            force=force, progress=show,
        )  # fmt: skip
    facts = read_facts(out)
    certificate = list(certificate_lines(facts["certificate"]))
    remarks = facts["label_volume"].get("remarks", [])
    rows = {"mesh": str(out), "certificate": certificate, "labels": remarks}
    tell(rows | {"cost": cost(started)}, json_output)


@app.command
def report(
    folder: Annotated[Path, Parameter(help="Folder of a particle.")],
    /,
    *,
    overwrite: Overwrite = False,
) -> None:
    """Draw a particle: outside, cut open, sections, statistics of its grains."""
    from .. import FORMATS
    from ..products.particle_folder import add

    FORMATS["report"].require()
    print(add(folder, "report", overwrite=overwrite))


@app.command
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
        "entropy, index": f"{source['entropy']}, {source['index']}",
        "grains": fields["n_grains"],
        **{k: f"{q['value']:.4g} {q['unit']}".removesuffix(" 1") for k, q in shell.items()},
        **file_rows(fields["products"]),
    }
    if source["wasDerivedFrom"]:
        changes = source["wasDerivedFrom"]["changes"].items()
        rows["changed"] = ", ".join(f"{k}: {c['from']} -> {c['to']}" for k, c in changes)
    tell(rows, json_output=False)


@app.command
def validate(folder: Annotated[Path, Parameter(help="Folder of a particle.")], /) -> int:
    """Check metadata, hashes and recipe of a particle; exit code 1 if something is wrong."""
    from ..products.particle_folder import problems

    found = problems(folder)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{folder}: {'sound' if not found else f'problems: {len(found)}'}")
    return 1 if found else 0


@app.command
def formats(*, json_output: Json = False) -> None:
    """List the products, what opens them and what is missing to write them."""
    from ...generator.requirements import install_command
    from .. import FORMATS

    rows = {
        f.name: f"{f.file}: {f.purpose}; opens in {f.opens_in}"
        + (f" [needs {', '.join(f.missing)}: {install_command(f.extra)}]" if f.missing else "")
        for f in FORMATS.values()
    }
    tell(rows, json_output)


@app.command
def parameters(*, model: str = "nmc811", json_output: Json = False) -> None:
    """List what --set can change, with its value in a model card."""
    from ...generator.model_card import PARAMETERS, ModelCard

    card = ModelCard.load(model)
    tell({k: f"{card.parameter(k)}  ({text})" for k, text in PARAMETERS.items()}, json_output)


def _product_names(text: str) -> list[str]:
    from ...generator.errors import ExportError, suggestion
    from .. import FORMATS

    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in FORMATS]:
        msg = f"unknown product {unknown[0]!r}; {suggestion(unknown[0], sorted(FORMATS))}"
        raise ExportError(msg)
    for name in names:
        FORMATS[name].require()
    return names


def _solver_names(text: str) -> list[str]:
    from ..solvers import profile_named

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


def _tracked(items: Any, what: str) -> Any:
    """Iterate with a progress bar if standard error is a terminal and there is more than one."""
    items = list(items)
    if len(items) < 2 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, description=what, console=Console(stderr=True))


def _version() -> str:
    from ..files.provenance import version

    return version("cathodegrain")


if __name__ == "__main__":
    sys.exit(main())
