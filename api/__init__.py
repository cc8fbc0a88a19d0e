"""Virtual NMC811 cathode particles with grain architecture.

>>> import cathodegrain as cg
>>> particle = cg.generate("nmc811-radial", seed=32, parameters={"shell.diameter_um": 1.2})
>>> particle.n_grains > 10
True

Names are imported when they are first used: ``import cathodegrain`` loads nothing else. What is
in ``cathodegrain.__all__`` stays; other modules may move.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; `_HOME` says the same to Python
    from .datasets import (
        build_dataset,
        describe_dataset,
        fetch_dataset,
        index_dataset,
        open_dataset,
        pack_dataset,
        verify_dataset,
    )
    from .exporters.datasets.streaming.volume_stream import VolumeStream
    from .exporting import (
        export,
        formats,
        interfaces,
        labels_of,
        mesh,
        morphology,
        picture,
        report,
        section,
        surfaces,
        voxels,
        write_for,
    )
    from .fitting import calibrate_grains, fit_grains, fit_shell, phantom
    from .generator.errors import CathodegrainError
    from .generator.model_card import ModelCard
    from .generator.particle import Particle
    from .making import (
        generate,
        generate_particles,
        info,
        load,
        models,
        parameters,
        regenerate,
        save,
        sweep,
        validate,
    )
    from .measuring import draw_sections, read_section

    __version__: str

_HOME = {
    "VolumeStream": "exporters.datasets.streaming.volume_stream",
    "build_dataset": "datasets",
    "describe_dataset": "datasets",
    "fetch_dataset": "datasets",
    "index_dataset": "datasets",
    "open_dataset": "datasets",
    "pack_dataset": "datasets",
    "verify_dataset": "datasets",
    "export": "exporting",
    "formats": "exporting",
    "interfaces": "exporting",
    "labels_of": "exporting",
    "mesh": "exporting",
    "morphology": "exporting",
    "picture": "exporting",
    "report": "exporting",
    "section": "exporting",
    "surfaces": "exporting",
    "voxels": "exporting",
    "write_for": "exporting",
    "calibrate_grains": "fitting",
    "fit_grains": "fitting",
    "fit_shell": "fitting",
    "phantom": "fitting",
    "CathodegrainError": "generator.errors",
    "ModelCard": "generator.model_card",
    "Particle": "generator.particle",
    "draw_sections": "measuring",
    "read_section": "measuring",
    "generate": "making",
    "generate_particles": "making",
    "info": "making",
    "load": "making",
    "models": "making",
    "parameters": "making",
    "regenerate": "making",
    "save": "making",
    "sweep": "making",
    "validate": "making",
}

__all__ = [
    "CathodegrainError",
    "ModelCard",
    "Particle",
    "VolumeStream",
    "build_dataset",
    "calibrate_grains",
    "describe_dataset",
    "draw_sections",
    "export",
    "fetch_dataset",
    "fit_grains",
    "fit_shell",
    "formats",
    "generate",
    "generate_particles",
    "index_dataset",
    "info",
    "interfaces",
    "labels_of",
    "load",
    "mesh",
    "models",
    "morphology",
    "open_dataset",
    "pack_dataset",
    "parameters",
    "phantom",
    "picture",
    "read_section",
    "regenerate",
    "report",
    "save",
    "section",
    "surfaces",
    "sweep",
    "validate",
    "verify_dataset",
    "voxels",
    "write_for",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("cathodegrain")
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = found  # the next use does not come here
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
