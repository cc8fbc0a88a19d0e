"""The benchmark of streams runs at toy size. Nothing is timed here."""

import math
from importlib import import_module

import pytest

pytest.importorskip("torch")
streams = import_module("streams")


@pytest.mark.parametrize("name", streams.EXTRAS)
def test_items_of_a_stream_are_counted_in_cpu_seconds(name, monkeypatch):
    def half_a_second(task):
        task()
        return 0.5

    monkeypatch.setattr(streams, "cpu_seconds", half_a_second)
    assert streams.cubes_per_second(2, 3, edge=8, **streams.EXTRAS[name]) == 12


def test_every_line_of_the_table_is_a_rate(monkeypatch):
    monkeypatch.setattr(streams, "EDGE", 8)
    small = lambda particles, crops, **settings: 3.5 + len(settings)  # noqa: E731
    monkeypatch.setattr(streams, "cubes_per_second", small)
    found = list(streams.results(quick=True))
    assert len(found) == 8
    assert all(math.isfinite(result.value) and result.unit == " /CPU s" for result in found)
