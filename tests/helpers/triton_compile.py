"""Triton's kernels as the code of GPUs that need not be there."""

import re
import subprocess
from tempfile import NamedTemporaryFile

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CAPABILITIES = (80, 89, 90)  # of the cards A100, L4 or RTX 4090, H100
INEXACT = re.compile(r"\bfma\.rn\.f64|\.approx\b|\.ftz\b|\.full\b")


def compiled(kernel, signature, constants, capability, **options):
    """Code of a kernel for a GPU of a compute capability, as Triton returns it.

    ``signature`` gives the types of the arguments that are not constants by their names:
    "*fp64" for a pointer, "i32", "fp64".
    """
    types = signature | dict.fromkeys(constants, "constexpr")
    ordered = {name: types[name] for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=ordered, constexprs=places)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def ptx(kernel, signature, constants, capability, **options):
    """PTX of a kernel; the arguments are those of `compiled`."""
    return compiled(kernel, signature, constants, capability, **options).asm["ptx"]


def inexact(text):
    """Lines of PTX that round otherwise than a processor does."""
    return sorted({line.strip() for line in text.splitlines() if INEXACT.search(line)})


def resources(code):
    """Registers of a thread and bytes that it keeps in memory for want of them."""
    with NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code.asm["cubin"])
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", text)}
    return found["REG"], found["STACK"] + found["LOCAL"]
