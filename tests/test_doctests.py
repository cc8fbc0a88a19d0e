import doctest
from importlib import import_module

import pytest

from places import ROOT

LAYERS = ("schemas", "generator", "exporters")
MODULES = sorted(
    ".".join(["cathodegrain", *path.relative_to(ROOT).with_suffix("").parts])
    for layer in LAYERS
    for path in (ROOT / layer).rglob("*.py")
    if path.parent.name != "decks"  # scripts that run in solvers
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    if name.endswith("_torch"):
        pytest.importorskip("torch")
    module = import_module(name.removesuffix(".__init__"))
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = [import_module(n.removesuffix(".__init__")) for n in MODULES if "torch" not in n]
    assert sum(bool(test.examples) for m in modules for test in finder.find(m)) > 20
