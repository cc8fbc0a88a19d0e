"""Particles: drawn, drawn again with a change, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .generator.model_card import ModelCard
from .generator.particle import Particle
from .generator.progress import Progress

if TYPE_CHECKING:
    from .exporters.sweeps.table import Sweep


def generate(
    model: str | Path | ModelCard = "nmc811",
    *,
    seed: int = 0,
    index: int = 0,
    parameters: Mapping[str, Any] | None = None,
) -> Particle:
    """Particle number ``index`` of the series of ``seed``; as ``cathodegrain generate``.

    The same model, seed and index give the same particle on every computer.

    Parameters
    ----------
    model
        Name of a shipped model (`models`), path of a model card, or a card.
    parameters
        Changed parameters of the model, as ``--set``; `parameters` lists them.

    Raises
    ------
    ModelCardError
        If there is no such model, or a parameter or value is not allowed.
    GenerationError
        If no particle can be drawn with these parameters.

    Examples
    --------
    >>> generate("nmc811-radial", seed=7, parameters={"shell.diameter_um": 1.2}).id
    'p000000'
    """
    from .generator.generate import generate_particle

    card = model if isinstance(model, ModelCard) else ModelCard.load(model)
    return generate_particle(card.with_parameters(parameters or {}), seed, index)


def generate_particles(
    model: str | Path | ModelCard = "nmc811",
    *,
    seed: int = 0,
    indices: Iterable[int],
    parameters: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> list[Particle]:
    """Several particles of the series of ``seed``; on a GPU they share all launches.

    They are those that `generate` makes one by one, to the bit and on any device.

    Parameters
    ----------
    indices
        Which particles, for example ``range(64)``.
    device
        "cpu", "cuda", "cuda:N", or "auto": the first GPU if it is usable, else the processor.

    Raises
    ------
    ModelCardError, GenerationError
        As `generate`.
    DeviceError
        If the device is not there, not usable, or its memory does not suffice.

    Examples
    --------
    >>> changes = {"shell.diameter_um": 1.2}
    >>> both = generate_particles("nmc811-radial", seed=7, indices=range(2), parameters=changes)
    >>> [particle.id for particle in both]
    ['p000000', 'p000001']
    """
    from .generator.devices import device_named
    from .generator.generate import generate_particles as drawn

    device_named(device)  # refused before anything is read
    card = model if isinstance(model, ModelCard) else ModelCard.load(model)
    return drawn(card.with_parameters(parameters or {}), seed, indices, device=device)


def regenerate(particle: Particle | str | Path, parameters: Mapping[str, Any]) -> Particle:
    """The same particle with changed parameters and the same random draws.

    Parameters
    ----------
    particle
        A particle, or its folder or recipe.

    Raises
    ------
    GenerationError
        If the changed parameters make the shell invalid.
    ModelCardError
        If a parameter or value is not allowed.
    """
    from .generator.generate import regenerate as again

    return again(particle if isinstance(particle, Particle) else load(particle), parameters)


def sweep(
    source: str | Path | None = None,
    parameters: Mapping[str, Sequence[Any]] | None = None,
    *,
    out: str | Path,
    model: str | Path | ModelCard | Sequence[str | Path | ModelCard] | None = None,
    seeds: Sequence[int] | None = None,
    products: str | Iterable[str] = (),
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Sweep:
    """Vary parameters of a particle, draws kept, and compare; as ``cathodegrain sweep``.

    Parameters
    ----------
    source
        Folder of the particle to vary. Without it, particles of each ``model`` and seed are drawn
        and varied.
    parameters
        Values of each parameter; several parameters make all combinations. One with a single
        value is set in all particles.
    out
        Folder of the sweep: a folder for each particle, ``sweep.csv``, ``sweep.json``,
        ``sweep.png``. The same call resumes what was interrupted.
    model, seeds
        Models to draw from, "nmc811" if left out, and the seeds, 0 if left out.
    products
        Names of products of every particle; recipes are always written.
    jobs
        Processes; as many as cores if left out.
    overwrite
        Whether what is there is replaced.
    progress
        Called with a message and the part of the particles that is done.
    **options
        Options of the products, as of `export`.

    Returns
    -------
    Sweep
        ``path``, ``frame()`` for pandas, and ``failed``: why variants could not be made.

    Raises
    ------
    ModelCardError
        For an unknown parameter, a value that is not allowed, or more than 1000 variants.
    GenerationError
        If nothing is varied, or both a particle and models are given.
    RecipeError
        If there is no such particle.
    ExportError
        If something else is in the way and ``overwrite`` is not set, or it cannot be written.
    """
    from .exporters.datasets.making.engines import engine_for
    from .exporters.products.registry import product_named
    from .exporters.sweeps.plan import planned
    from .exporters.sweeps.run import run

    models = [model] if isinstance(model, str | Path | ModelCard) else model
    names = [products] if isinstance(products, str) else products
    plan = planned(source, parameters or {}, models, seeds)
    return run(
        plan,
        Path(out),
        engine_for(jobs),
        products=[product_named(name) for name in names],
        options=options,
        overwrite=overwrite,
        show=progress,
    )


def load(path: str | Path) -> Particle:
    """Particle of its folder, or of a recipe file.

    Raises
    ------
    RecipeError
        If there is none, or it was changed or damaged.
    """
    from .exporters.products import particle_folder

    return particle_folder.load(path)


def save(particle: Particle, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a particle: into the folder ``path/<id>``, or as one recipe file ``path`` (.h5).

    Returns
    -------
    Path
        The folder, which `export` adds products to, or the file.

    Raises
    ------
    ExportError
        If something else is there and ``overwrite`` is not set, or it cannot be written.
    """
    from .exporters.particles import recipe
    from .exporters.products import particle_folder
    from .generator.atomic import require_free

    if Path(path).suffix != ".h5":
        return particle_folder.create(particle, path, overwrite=overwrite)
    require_free([path], overwrite)
    return recipe.write(particle, path)


def info(folder: str | Path) -> dict[str, Any]:
    """Metadata of a particle's folder, its particle.json: what it is and which files it has.

    Raises
    ------
    RecipeError
        If there are none, or lists every way in which they are not valid.
    """
    from .exporters.particles import metadata

    return metadata.read(folder)


def validate(folder: str | Path, *, gmsh: bool = False) -> list[str]:
    """Everything that is wrong with a particle's folder, a sentence each; empty if sound.

    With ``gmsh`` it may be a mesh.msh too: gmsh opens and measures the mesh, and what it
    complains of or finds otherwise is wrong.

    Raises
    ------
    ExportError
        If gmsh is to check, and is missing or in use, or there is no mesh that can be read.
    """
    from .exporters.products import validation

    found = [] if gmsh and Path(folder).is_file() else validation.problems(folder)
    return found + validation.checked_with_gmsh(folder).problems if gmsh else found


def models() -> list[str]:
    """Names of the shipped models.

    Examples
    --------
    >>> models()
    ['nmc-electrode-ct', 'nmc811', 'nmc811-radial', 'nmc811-rods']
    """
    from .generator.model_card import shipped_cards

    return shipped_cards()


def parameters(model: str | Path | ModelCard = "nmc811") -> dict[str, Any]:
    """Parameters of a model that can be changed, with their values.

    Examples
    --------
    >>> parameters("nmc811-radial")["grains.elongation"]
    1.0
    """
    from .generator.model_card import PARAMETERS

    card = model if isinstance(model, ModelCard) else ModelCard.load(model)
    return {name: card.parameter(name) for name in PARAMETERS}
