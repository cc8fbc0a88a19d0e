"""The benchmarks run at toy size and compare things that are equal. Nothing is timed here."""

import json
import math
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

timing, labelling, shells, command_line = map(
    import_module, ("timing", "labelling", "shells", "command_line")
)
BENCHMARKS = Path(timing.__file__).parent
FAMILIES = list(labelling.FAMILIES)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from /proc"
)


def assert_times(seconds, names):
    assert set(seconds) == names
    assert all(math.isfinite(s) and s > 0 for s in seconds.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_pyapd_assigns_voxels_to_the_same_grains(family):
    pytest.importorskip("PyAPD")
    seconds, differing = labelling.compare_pyapd(40, family, 24, 2000, 3)
    assert_times(seconds, {"ours", "PyAPD"})
    assert differing == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_brute_force_assigns_voxels_to_the_same_grains(family):
    seconds, differing = labelling.compare_brute_force(300, family, 40, 3, 3)
    assert_times(seconds, {"ours", "brute force"})
    assert differing == 0


def test_differences_to_brute_force_are_counted(monkeypatch):
    wrong = labelling.label_brute_force

    def shifted(*arguments):
        labels = wrong(*arguments)
        labels[0, 0, :5] += 1
        return labels

    monkeypatch.setattr(labelling, "label_brute_force", shifted)
    assert labelling.compare_brute_force(30, "mild", 16, 2, 1)[1] == 5


def test_growth_is_measured_between_a_grid_and_its_double():
    assert_times(labelling.growth(50, "long", "norm", 32, 3), {"32^3", "64^3"})


@needs_proc
def test_the_peak_of_memory_sees_an_array_that_is_forgotten_at_once():
    code = (
        "import labelling, numpy; print(labelling.peak_bytes(lambda: numpy.ones(8_000_000).sum()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert 60e6 < int(done.stdout) < 80e6


@needs_proc
def test_labelling_takes_little_memory_beyond_the_labels():
    assert labelling.extra_memory(100, "mild", 128) < 2**20 * labelling.MEMORY_BAR_MIB


def test_the_mask_of_a_shell_equals_full_evaluation():
    pytest.importorskip("sphericart")
    (shell, *_), seconds = shells.draw_shells(5)
    assert math.isfinite(seconds)
    assert seconds > 0
    times, differing = shells.compare_mask(shell, 40, 7, 3)
    assert_times(times, {"mask", "sphericart", "our evaluation"})
    assert differing == 0


def test_the_full_mask_of_a_ball_is_a_ball():
    axis = np.linspace(-1.5, 1.5, 70)
    ball = shells.full_mask(axis, axis[:35], lambda points: np.ones(len(points)))
    z, y, x = np.meshgrid(axis[:35], axis, axis, indexing="ij")
    np.testing.assert_array_equal(ball, x**2 + y**2 + z**2 <= 1)


def test_commands_are_timed():
    assert_times(command_line.start_times(1), {"--help", "--version"})
    words = ("--seed", "7", "--set", "shell.diameter_um=1.2", "--export", "voxels")
    seconds, n_grains = command_line.generate_times(2, *words)
    assert_times(seconds, {"first", "later"})
    assert n_grains > 10


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell the peak")
def test_the_peak_of_an_export_is_that_of_the_exporting_process():
    code = (
        "import json, command_line; words = ('--seed', '7', '--set', 'shell.diameter_um=1.2'); "
        "print(json.dumps(command_line.export_peak(0.1, *words)))"
    )
    # a process starts with the peak of the one that starts it: this one may be large
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(command_line.__file__).parent, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    seconds, peak, shape = json.loads(told)
    assert seconds > 0
    assert 2**25 < peak < 2**30
    assert len(shape) == 3


def test_candidates_take_turns_and_the_median_counts():
    calls, times = [], iter([9.0, 1.0, 2.0, 5.0, 3.0, 4.0])

    def measure(task):
        task()
        return next(times)

    tasks = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert timing.alternating(tasks, 3, measure) == {"a": 3.0, "b": 4.0}
    assert "".join(calls) == "ababab"


@pytest.mark.parametrize(
    ("value", "low", "high", "figure", "bar", "verdict"),
    [
        (623.9, 300, None, "623", "at least 300", "met"),
        (299.9, 300, None, "299", "at least 300", "missed"),
        (6.721, None, 7.5, "6.73", "at most 7.5", "met"),
        (7.501, None, 7.5, "7.51", "at most 7.5", "missed"),
        (0.0, None, 64, "0", "at most 64", "met"),
        (95.55, 94, 97, "95.5", "94 to 97", "met"),
        (97.1, 94, 97, "97.1", "94 to 97", "missed"),
        (1234.5, None, None, "1230", "", ""),
    ],
)
def test_figures_are_rounded_towards_missing_their_bar(value, low, high, figure, bar, verdict):
    result = timing.Result(name="", value=value, low=low, high=high)
    assert (result.figure, result.bar, result.verdict) == (figure, bar, verdict)


def test_the_table_is_markdown_and_a_ratio_names_both_times():
    result = timing.ratio("speed", {"a": 0.5, "b": 6.0}, "a", "b", 10, "0 differ")
    header, rule, row = timing.table([result]).splitlines()
    assert row == "| speed | 12 | at least 10 | met | b 6 s, a 0.5 s; 0 differ |"
    assert header.count("|") == rule.count("|") == row.count("|")


def test_the_machine_is_described():
    assert "cores" in timing.machine()
    assert f"numpy {np.__version__}" in timing.machine()
