"""Write dataset_cards/model-NAME.md for every shipped model, from its own JSON card.

Run it after a card has changed: ``.venv/bin/python scripts/model_cards.py``.
"""

from pathlib import Path

from cathodegrain.exporters.datasets.model_readme import model_readme
from cathodegrain.generator.model_card import ModelCard, shipped_cards

FOLDER = Path(__file__).parent.parent / "dataset_cards"


def main() -> None:
    """Write all of them."""
    for name in shipped_cards():
        path = FOLDER / f"model-{name}.md"
        path.write_text(model_readme(ModelCard.load(name)), "utf-8")
        print(path)


if __name__ == "__main__":
    main()
