"""What a dataset's descriptions say of it: read from its own documents, index and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....generator.errors import DatasetError
from ....generator.model_card import ModelCard
from ...files.documents import read_document
from .. import folder as dataset_folder, layout, manifest
from ..files import LocalFiles, read_bytes
from ..reading.access import parsed_index

if TYPE_CHECKING:
    import pandas as pd

LICENCE = "CC-BY-4.0"  # of the data, as SPDX names it; the program has its own
LICENCE_URL = "https://creativecommons.org/licenses/by/4.0/"
LEGAL_CODE_URL = "https://creativecommons.org/licenses/by/4.0/legalcode"
PAPER_DOI = "10.1038/s43246-024-00728-5"
KEYWORDS = (
    "lithium-ion battery",
    "cathode",
    "NMC811",
    "polycrystal",
    "microstructure",
    "tessellation",
    "synthetic data",
)
CITATION, CROISSANT, DATACITE = "CITATION.cff", "croissant.json", "datacite.json"
LICENCE_FILE, CRATE = "LICENSE", "ro-crate-metadata.json"
DESCRIPTIONS = (layout.README, LICENCE_FILE, CITATION, DATACITE, CROISSANT, CRATE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """A finished dataset as its descriptions see it; made by `read_facts`.

    Parameters
    ----------
    folder
        Where it lies.
    document
        Its dataset.json.
    card
        Its model card.
    index
        A row for each particle.
    sizes
        Bytes of every file but the descriptions and the manifest, by name.
    """

    folder: Path
    document: Mapping[str, Any]
    card: ModelCard
    index: pd.DataFrame
    sizes: Mapping[str, int]

    @property
    def config(self) -> Mapping[str, Any]:
        """What it was made from."""
        fields: Mapping[str, Any] = self.document["config"]
        return fields

    @property
    def title(self) -> str:
        """For readers."""
        return str(self.config["title"])

    @property
    def version(self) -> str | None:
        """Of the dataset, if its configuration gives one."""
        return self.config.get("version")

    @property
    def year(self) -> int | None:
        """Of publication, if the configuration gives one."""
        return self.config.get("year")

    @property
    def abstract(self) -> str:
        """One paragraph for catalogues."""
        contents = self.document["contents"]
        return (
            f"{contents['particles']:,} virtual secondary particles of a lithium-ion battery "
            f"cathode with {contents['grains']:,} grains, drawn by {self.document['generator']} "
            f"from the model {self.config['model']} with seed {self.config['entropy']}. "
            f"{self.card.document['description']} Lengths are micrometres."
        )

    @cached_property
    def products(self) -> dict[str, tuple[int, int]]:
        """Number of particles with a file or folder of their own, and its bytes, by name."""
        folders: dict[str, set[str]] = {}
        totals: dict[str, int] = {}
        for name, size in self.sizes.items():
            kind, *parts = name.split("/")
            if kind == layout.PARTICLE_FOLDER:
                _, particle, product, *inner = parts
                product += "/" if inner else ""
                folders.setdefault(product, set()).add(particle)
                totals[product] = totals.get(product, 0) + size
        return {product: (len(folders[product]), totals[product]) for product in sorted(totals)}

    @property
    def grain_parts(self) -> list[str]:
        """Files of the index of grains."""
        start = f"{layout.GRAIN_INDEX_FOLDER}/"
        return sorted(n for n in self.sizes if n.startswith(start) and n.endswith(".parquet"))

    @property
    def bytes(self) -> int:
        """Of all files but the descriptions."""
        return sum(self.sizes.values())


def read_facts(folder: str | Path) -> Facts:
    """Facts of the finished dataset in ``folder``.

    Raises
    ------
    DatasetError
        If there is none, it is not finished, or a part of it cannot be read.
    """
    root = Path(folder)
    found = dataset_folder.read(root)
    if found.contents is None:
        msg = f"{root} is not finished; build it to the end with `cathodegrain dataset build`"
        raise DatasetError(msg)
    names = [name for name in manifest.file_names(root) if name not in DESCRIPTIONS]
    return Facts(
        folder=root,
        document=read_document(root / layout.DATASET, "dataset"),
        card=found.config.card,
        index=parsed_index(read_bytes(LocalFiles(root), layout.PARTICLE_INDEX), str(root)),
        sizes={name: (root / name).stat().st_size for name in names},
    )


def creator() -> str:
    """Who made the program and with it the data."""
    return str(metadata("cathodegrain")["Author"])


def column_range(column: pd.Series[Any]) -> tuple[str, str, str]:
    """Smallest, median and largest value of a column of numbers; else blank."""
    values = column.to_numpy()
    if not np.issubdtype(values.dtype, np.number) or not len(values):
        return ("", "", "")
    known = values[np.isfinite(values)]
    if not len(known):
        return ("", "", "")
    low, middle, high = np.quantile(known, (0, 0.5, 1), method="lower")
    form = ",.0f" if np.issubdtype(values.dtype, np.integer) else ".4g"
    return (f"{low:{form}}", f"{middle:{form}}", f"{high:{form}}")
