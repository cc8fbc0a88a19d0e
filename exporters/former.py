"""Functions of version 0.1.0 where programs of that time look for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..generator.particle import Particle


def function(name: str) -> Callable[..., Any]:
    """`export` or `open_dataset`, with a warning that names what to use now.

    Raises
    ------
    AttributeError
        For any other name.
    """
    from .datasets.reading.access import open_dataset

    known: dict[str, Callable[..., Any]] = {"export": export, "open_dataset": open_dataset}
    if name not in known:
        msg = f"module 'cathodegrain.exporters' has no attribute {name!r}"
        raise AttributeError(msg)
    now = {"export": "cg.save and cg.export", "open_dataset": "cg.open_dataset"}[name]
    msg = f"cathodegrain.exporters.{name} goes with version 0.3; `import cathodegrain as cg`: {now}"
    warnings.warn(msg, DeprecationWarning, stacklevel=3)
    return known[name]


def export(particle: Particle, folder: str | Path, name: str, **options: Any) -> Path:
    """Write one product of ``particle`` into any folder and return its path."""
    from .particles import renamed
    from .products.product import Sources
    from .products.registry import completed, product_named

    product = product_named(renamed.PRODUCTS.get(name, name))
    given = {renamed.OPTIONS.get(key, key): value for key, value in options.items()}
    product.require()
    path = Path(folder) / product.file
    return product.write(Sources(particle), path, completed(product, given)).path
