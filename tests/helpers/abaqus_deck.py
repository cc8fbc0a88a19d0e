"""A reader of Abaqus input decks that shares no code with the writer."""

import re
from dataclasses import dataclass

import numpy as np

FIELD = 20  # characters that both programs read of a field
LINE = 256


@dataclass
class Keyword:
    name: str
    parameters: dict[str, str]
    data: list[list[str]]


def keywords(path):
    """Keywords of a deck with their parameters and data; *INCLUDE is followed."""
    found = []
    for line in path.read_text("ascii").splitlines():
        assert len(line) <= LINE
        if line.startswith("**"):
            continue
        if line.startswith("*"):
            name, *rest = (part.strip() for part in line[1:].split(","))
            parameters = dict(
                ([*(p.strip() for p in part.split("=")), ""])[:2] for part in rest if part
            )
            if name == "INCLUDE":
                found += keywords(path.parent / parameters["INPUT"])
            else:
                found.append(Keyword(name, parameters, []))
        else:
            fields = [field.strip() for field in line.split(",")]
            if found[-1].name != "HEADING":
                assert max(map(len, fields)) <= FIELD, line
            found[-1].data.append(fields)
    return found


@dataclass
class Deck:
    """What the deck defines; ids as they stand in it."""

    words: list[Keyword]
    nodes: dict[int, np.ndarray]
    elements: dict[int, tuple[str, list[int]]]  # id -> type, nodes
    element_sets: dict[str, list[int]]
    node_sets: dict[str, list[int]]
    surfaces: dict[str, list[tuple[int, int]]]  # element, face from 1
    orientations: dict[str, np.ndarray]
    sections: dict[str, Keyword]  # by element set
    materials: dict[str, list[Keyword]]


def read_deck(path):
    deck = Deck(keywords(path), {}, {}, {}, {}, {}, {}, {}, {})
    for word in deck.words:
        _READERS.get(re.sub(r"\W", "_", word.name.lower()), lambda *_: None)(deck, word)
    return deck


def _node(deck, word):
    deck.nodes |= {int(n): np.array(x, float) for n, *x in word.data}
    deck.node_sets[word.parameters["NSET"]] = [int(n) for n, *_ in word.data]


def _element(deck, word):
    kind, name = word.parameters["TYPE"], word.parameters["ELSET"]
    assert name not in deck.element_sets
    for e, *nodes in word.data:
        assert int(e) not in deck.elements
        deck.elements[int(e)] = (kind, [int(n) for n in nodes])
    deck.element_sets[name] = [int(e) for e, *_ in word.data]


def _elset(deck, word):
    assert "GENERATE" in word.parameters
    ((first, last, step),) = word.data
    deck.element_sets[word.parameters["ELSET"]] = list(range(int(first), int(last) + 1, int(step)))


def _nset(deck, word):
    deck.node_sets[word.parameters["NSET"]] = [int(n) for row in word.data for n in row if n]


def _surface(deck, word):
    assert word.parameters["TYPE"] == "ELEMENT"
    deck.surfaces[word.parameters["NAME"]] = [(int(e), int(s.lstrip("S"))) for e, s in word.data]


def _orientation(deck, word):
    assert word.parameters["SYSTEM"] == "RECTANGULAR"
    (numbers,) = word.data
    deck.orientations[word.parameters["NAME"]] = np.array(numbers, float).reshape(2, 3)


def _section(deck, word):
    deck.sections[word.parameters["ELSET"]] = word


def _material(deck, word):
    start = deck.words.index(word)
    deck.materials[word.parameters["NAME"]] = deck.words[start + 1 : start + 4]


_READERS = {
    "node": _node,
    "element": _element,
    "elset": _elset,
    "nset": _nset,
    "surface": _surface,
    "orientation": _orientation,
    "solid_section": _section,
    "cohesive_section": _section,
    "material": _material,
}
