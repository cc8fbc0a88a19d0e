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
from cathodegrain.generator.grains import reach_triton
from cathodegrain.generator.grains.score_triton import EXACT
from triton_compile import CAPABILITIES, compiled, inexact, resources

LONG, INT, REAL, BYTE = "*i64", "*i32", "*fp64", "*i8"
TYPES = {
    "integers": LONG, "numbers": REAL, "halves": REAL, "table": REAL, "shells": REAL,
    "particle": LONG, "place": LONG, "parent_state": INT, "start": LONG, "size": INT,
    "source": INT, "slot": LONG, "target": INT, "left": INT, "state": INT, "marked": BYTE,
    "unmarked": INT,
}
CASES = [("mark", {"CHUNK": 32}, {}), ("look", {"CHUNK": 128}, {})]
CASES += [
    ("divide", {"CHUNK": chunk, "SQUARED": squared}, EXACT)
    for chunk in (32, 128) for squared in (False, True)
]
found = []
for capability in CAPABILITIES:
    for name, constants, options in CASES:
        kernel = getattr(reach_triton, name)
        types = {a: TYPES[a] for a in kernel.arg_names if a not in constants}
        warps = constants["CHUNK"] // 32
        code = compiled(kernel, types, constants, capability, num_warps=warps, **{
            "enable_fp_fusion": False, **options})
        found.append([capability, name, inexact(code.asm["ptx"]), *resources(code)])
fused = compiled(
    reach_triton.divide, {a: TYPES[a] for a in TYPES if a != "unmarked"},
    {"CHUNK": 32, "SQUARED": False}, 90, enable_fp_fusion=True)
print(json.dumps([found, len(inexact(fused.asm["ptx"]))]))
"""


@pytest.fixture(scope="module")
def compiled():
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(HELPERS)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, check=True, stdout=subprocess.PIPE,
        text=True, timeout=300,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_no_operation_is_fused_or_approximate(compiled):
    found, fused = compiled
    assert len({(capability, name) for capability, name, *_ in found}) == 3 * 3
    assert [case for case in found if case[2]] == []
    assert fused > 0  # where it is allowed the compiler does so, and it is seen


def test_no_kernel_spills_or_takes_more_registers_than_leave_three_blocks(compiled):
    assert [case for case in compiled[0] if case[4] > 0 or case[3] > 168] == []
