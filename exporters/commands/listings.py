"""Commands that list what there is: products, parameters."""

from __future__ import annotations

from .arguments import Json
from .terminal import tell


def formats(*, json_output: Json = False) -> None:
    """List the products, what opens them and what is missing to write them."""
    from ...generator.requirements import install_command
    from ..products.registry import FORMATS

    rows = {
        f.name: f"{f.file}: {f.purpose}; opens in {f.opens_in}"
        + (f" [needs {', '.join(f.missing)}: {install_command(f.extra)}]" if f.missing else "")
        for f in FORMATS.values()
    }
    tell(rows, json_output)


def parameters(*, model: str = "nmc811", json_output: Json = False) -> None:
    """List what --set can change, with its value in a model card."""
    from ...generator.model_card import PARAMETERS, ModelCard

    card = ModelCard.load(model)
    tell({k: f"{card.parameter(k)}  ({text})" for k, text in PARAMETERS.items()}, json_output)
