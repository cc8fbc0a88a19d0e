"""Commands that list what there is: products, parameters."""

from __future__ import annotations

from ..console.arguments import Json
from ..console.terminal import tell


def formats(*, json_output: Json = False) -> None:
    """List the products, what opens them and what is missing to write them."""
    from ...generator.requirements import install_command
    from ..products.registry import PRODUCTS

    rows = {
        p.name: f"{p.file}: {p.purpose}; opens in {p.opens_in}"
        + (f" [needs {', '.join(p.missing)}: {install_command(p.extra)}]" if p.missing else "")
        for p in PRODUCTS.values()
    }
    tell(rows, json_output)


def parameters(*, model: str = "nmc811", json_output: Json = False) -> None:
    """List what --set can change, with its value in a model card."""
    from ...generator.model_card import PARAMETERS, ModelCard

    card = ModelCard.load(model)
    tell({k: f"{card.parameter(k)}  ({text})" for k, text in PARAMETERS.items()}, json_output)
