"""Write dataset_cards/nmc811-virtual.md: the README.md of the sample dataset.

Run it after the model, the index or the card has changed: ``.venv/bin/python
scripts/dataset_card.py``. It builds the dataset in a temporary folder, half a minute.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from cathodegrain.exporters.datasets.config import load
from cathodegrain.exporters.datasets.making.build import build
from cathodegrain.exporters.datasets.making.engines import in_this_process

CARDS = Path(__file__).parent.parent / "dataset_cards"


def write_card(config: Path, card: Path) -> None:
    """Build the dataset of ``config`` and write its README.md as ``card``."""
    with TemporaryDirectory() as folder:
        build(load(config), Path(folder) / "dataset", in_this_process)
        shutil.copyfile(Path(folder) / "dataset/README.md", card)


if __name__ == "__main__":
    write_card(CARDS / "nmc811-virtual-sample.toml", CARDS / "nmc811-virtual.md")
