"""Machine code of the kernels, compiled for GPUs that need not be there."""

import json
import os
import subprocess
import sys

import pytest

from places import HELPERS

pytest.importorskip("triton")

# in a process of its own: here the kernels may be those of the interpreter
COMPILE = """
import json
from cathodegrain.generator.grains.score_triton import EXACT
from cathodegrain.generator.voxels import gbpd_triton
from triton_compile import CAPABILITIES, compiled, inexact, resources

LONG, INT, REAL, BYTE = "*i64", "*i32", "*fp64", "*i8"
BATCH = {"integers": LONG, "numbers": REAL, "axes": REAL, "table": REAL, "shells": REAL}
LISTS = {"members": INT, "start": LONG, "count": INT, "state": INT}
TYPES = {
    "cull": BATCH | LISTS | {
        "parent_first": LONG, "parent_start": LONG, "parent_count": INT, "parent_state": INT,
        "first_slot": "i64", "cap": "i32", "own_first": LONG},
    "label": BATCH | LISTS | {"own_first": LONG, "labels": INT, "gaps": "*fp32", "margin": REAL},
    "moments": BATCH | LISTS | {"own_first": LONG, "labels": INT, "sums": LONG},
    "boundary": BATCH | {"labels": INT, "flags": BYTE, "exposed": BYTE},
}
CASES = [
    ("moments", {"EDGE": 8}, 4), ("moments", {"EDGE": 4}, 1), ("boundary", {"LANES": 1024}, 4),
]
for squared in (False, True):
    CASES += [
        ("cull", {"EDGE": 64, "ROOT": True, "CHUNK": 256, "SQUARED": squared}, 4),
        ("cull", {"EDGE": 8, "ROOT": False, "CHUNK": 64, "SQUARED": squared}, 2),
        ("label", {"EDGE": 4, "SQUARED": squared, "GAP": False}, 1),
        ("label", {"EDGE": 8, "SQUARED": squared, "GAP": False}, 4),
        ("label", {"EDGE": 8, "SQUARED": squared, "GAP": True}, 4),
    ]
found = []
for capability in CAPABILITIES:
    for name, constants, warps in CASES:
        kernel = getattr(gbpd_triton, name)
        types = {a: TYPES[name][a] for a in kernel.arg_names if a not in constants}
        code = compiled(kernel, types, constants, capability, num_warps=warps, **EXACT)
        found.append([capability, name, inexact(code.asm["ptx"]), *resources(code)])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def kernels():
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(HELPERS)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, check=True, stdout=subprocess.PIPE,
        text=True, timeout=300,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_all_kernels_compile_for_three_generations_of_gpus(kernels):
    names = {(capability, name) for capability, name, *_ in kernels}
    assert len(names) == 3 * 4


def test_no_operation_is_fused_or_approximate(kernels):
    assert [found for found in kernels if found[2]] == []


def test_no_kernel_spills_or_takes_more_registers_than_leave_three_blocks(kernels):
    assert [found for found in kernels if found[4] > 0 or found[3] > 168] == []
