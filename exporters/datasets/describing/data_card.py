"""README.md of a dataset: a card in Hugging Face's format from the dataset's own numbers."""

from __future__ import annotations

from typing import Any

from ....generator.machine import readable_bytes
from .. import layout
from ..columns import Column, read_columns
from ..model_readme import bullets, table
from ..yaml_text import front_matter
from .facts import CITATION, KEYWORDS, LEGAL_CODE_URL, LICENCE, PAPER_DOI, Facts, column_range

SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)
LARGEST = "10M<n<100M"
GRAIN_FILES = f"{layout.GRAIN_INDEX_FOLDER}/*.parquet"

USE = """\
```python
import cathodegrain as cg

dataset = cg.open_dataset("{name}")  # also its ZIP shards or a web address
large = dataset.select("diameter_um > 8")  # `dataset.index` is a pandas DataFrame
for one in dataset:
    particle = one.particle()  # exact: any point, any resolution
{voxels}```

The tables need nothing of ours: `pandas.read_parquet("index/particles.parquet")`. The voxels
open in ParaView, xarray and h5py. `sha256sum -c manifest-sha256.txt` checks every file. A part
of a dataset on the web: `cathodegrain dataset fetch ADDRESS --select 'diameter_um > 8' --out DIR`.
"""
VOXELS = """\
    with one.voxels() as voxels:  # xarray.Dataset
        print(one.id, particle.n_grains, voxels.grain_id.shape)
"""
LINE = "    print(one.id, particle.n_grains)\n"
GRAIN_IDS = """\
The grain id is the same number in every product and table: 1 to N, the row of the recipe; 0 is
outside. Gridded data are (z, y, x). Lengths are micrometres, and every file says so.
"""


def card_head(facts: Facts) -> dict[str, Any]:
    """Front matter (``schemas/dataset_card-1.0.0.schema.json``)."""
    configs: list[dict[str, Any]] = [
        {"config_name": "particles", "data_files": layout.PARTICLE_INDEX, "default": True}
    ]
    if facts.grain_parts:
        configs.append({"config_name": "grains", "data_files": GRAIN_FILES})
    return {
        "license": LICENCE.lower(),
        "pretty_name": facts.title,
        "language": ["en"],
        "size_categories": [size_category(len(facts.index))],
        "tags": [keyword.replace(" ", "-") for keyword in KEYWORDS],
        "configs": configs,
    }


def size_category(rows: int) -> str:
    """Hugging Face's class of a number of rows.

    Examples
    --------
    >>> size_category(999), size_category(1000), size_category(2 * 10**7)
    ('n<1K', '1K<n<10K', '10M<n<100M')
    """
    return next((name for limit, name in SIZES if rows < limit), LARGEST)


def data_card(facts: Facts) -> str:
    """Markdown with front matter; equal datasets give equal text."""
    version = "" if facts.version is None else f" {facts.version}"
    parts = [
        front_matter(card_head(facts)),
        f"# {facts.title}{version}\n\n{facts.abstract}\n",
        "## Use\n\n" + _use(facts),
        "## What is in it\n\n" + _contents(facts) + "\n" + GRAIN_IDS,
        f"## Columns of `{layout.PARTICLE_INDEX}`\n\n" + _particle_columns(facts),
        *_grain_columns(facts),
        "## Limits\n\n" + bullets(facts.card.document["limits"]),
        "## How it was made\n\n" + _making(facts),
        "## Licence and citation\n\n" + _licence(),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _use(facts: Facts) -> str:
    voxels = VOXELS if "voxels.vtkhdf" in facts.products else LINE
    return USE.format(name=facts.config["name"], voxels=voxels)


def _contents(facts: Facts) -> str:
    contents = facts.document["contents"]
    rows = [
        [f"`{name}`", particles, f"{size:,}"] for name, (particles, size) in facts.products.items()
    ]
    failed = contents["failed"]
    lacking = f" {failed} could not be made: see `{layout.FAILURE_FOLDER}/`." if failed else ""
    return (
        f"{contents['particles']} of {facts.config['count']} particles, {contents['grains']:,} "
        f"grains, {facts.bytes:,} bytes ({readable_bytes(facts.bytes)}).{lacking}\n\n"
        + table(["in `particles/*/*/`", "particles", "bytes"], rows)
    )


def _particle_columns(facts: Facts) -> str:
    rows = [
        [f"`{c.name}`", c.kind, *column_range(facts.index[c.name]), c.meaning]
        for c in read_columns(facts.folder / layout.PARTICLE_INDEX)
    ]
    return table(["column", "type", "smallest", "median", "largest", "meaning"], rows)


def _grain_columns(facts: Facts) -> list[str]:
    if not facts.grain_parts:
        return []
    columns: list[Column] = read_columns(facts.folder / facts.grain_parts[0])
    rows = [[f"`{column.name}`", column.kind, column.meaning] for column in columns]
    head = f"## Columns of `{GRAIN_FILES}`\n\n"
    return [head + table(["column", "type", "meaning"], rows)]


def _making(facts: Facts) -> str:
    config = facts.config
    rows = [
        ["program", facts.document["generator"]],
        ["model", f"`{config['model']}`, {facts.card.document['title']}: `model/README.md`"],
        ["SHA-256 of the model card", f"`{config['model_sha256']}`"],
        ["seed", config["entropy"]],
        ["indices", f"{config['first']} to {config['first'] + config['count'] - 1}"],
        *_product_rows(config),
        *_origin_rows(config),
    ]
    return (
        "The same program, model, seed and index give the same particle on every computer; "
        "`cathodegrain regenerate` changes one and keeps its random draws.\n\n"
        + table(["", ""], rows)
    )


def _product_rows(config: Any) -> list[list[str]]:
    rows = []
    for name, product in config["products"].items():
        options = ", ".join(f"{k} {v}" for k, v in product["options"].items())
        part = "" if product["count"] is None else f"; the first {product['count']} particles"
        rows.append([f"product `{name}`", f"{options}{part}"])
    return rows


def _origin_rows(config: Any) -> list[list[str]]:
    origin = config["wasDerivedFrom"]
    if origin is None:
        return []
    changes = ", ".join(f"{k} = {v}" for k, v in origin["changes"].items())
    return [["derived from", f"{origin['name']}, same random draws, {changes}"]]


def _licence() -> str:
    return (
        f"[{LICENCE}]({LEGAL_CODE_URL}). Please cite the dataset (`{CITATION}`) and the paper "
        f"whose model it follows, [doi {PAPER_DOI}](https://doi.org/{PAPER_DOI}).\n"
    )
