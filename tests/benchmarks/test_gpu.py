"""The check of a GPU runs without one, on tiny cases, and sees a label that differs."""

import math
import time
from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from kernel_device import KERNEL_DEVICE

gpu = import_module("gpu")


@pytest.fixture
def bench():
    with np.errstate(all="ignore"):  # the interpreter computes with NumPy
        yield gpu.Bench(KERNEL_DEVICE, True, time.monotonic() + 600)


def test_kernels_pass_the_check(bench):
    results, failed = gpu.measured(bench, ["times", "batch"])
    assert failed == []
    assert [r.name for r in results] == [
        "8^3 x 40: differ", "2 particles of 1.2 um: differ", "their moments: differ",
    ]  # fmt: skip
    assert all(r.verdict == "met" for r in results)


@pytest.mark.slow
def test_families_and_stress_pass_the_check(bench):
    results, failed = gpu.measured(bench, ["labels"])
    assert failed == []
    assert len(results) == 5
    assert all(r.verdict == "met" for r in results)


def test_a_label_that_differs_is_counted_and_a_part_that_fails_is_named(bench, monkeypatch):
    def wrong(slab, threads):
        labels = compiled(slab, threads)
        labels[0, 0, :3] += 1
        return labels

    compiled = gpu._compiled
    monkeypatch.setattr(gpu, "_compiled", wrong)
    monkeypatch.setitem(gpu.PARTS, "batch", lambda bench: 1 / 0)
    results, failed = gpu.measured(bench, ["times", "batch"])
    assert [(r.value, r.verdict) for r in results] == [(3, "missed")]
    assert failed == ["batch"]


def test_the_median_leaves_out_the_first_call():
    pauses = iter([0.2, *[0.0] * 30])
    bench = gpu.Bench("cpu", True, math.inf)
    assert 0 < bench.seconds(lambda: time.sleep(next(pauses))) < 0.1
