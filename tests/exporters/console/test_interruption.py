"""A signal ends a command at the next place where Python may raise anything."""

import signal
import subprocess
import sys

import pytest

from cathodegrain.exporters.console.interruption import interruptible
from processes import started

SEND_WHILE_LLVM_WAITS = """
import signal, sys
from numba.core.codegen import JITCodeLibrary

signal.signal(signal.SIGINT, signal.default_int_handler)
object_for = JITCodeLibrary._object_getbuffer_hook.__func__
waiting = [signal.Signals[sys.argv.pop()]]

def send(cls, module):
    while waiting:
        signal.raise_signal(waiting.pop())
    return object_for(cls, module)

JITCodeLibrary._object_getbuffer_hook = classmethod(send)  # llvmlite calls it for each kernel
from cathodegrain.exporters.commands.main import main
code = main(sys.argv[1:])
sys.exit("no kernel was loaded" if waiting else code)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_waits_while_llvm_calls_back(name, tmp_path):
    argv = ["generate", "--set", "shell.diameter_um=1.4", "--out", tmp_path / "out"]
    command = [sys.executable, "-c", SEND_WHILE_LLVM_WAITS, *argv, name]
    with started(command, stderr=subprocess.PIPE, text=True) as process:
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (
        1, "cathodegrain: interrupted; nothing half-written is left\n",
    )  # fmt: skip
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_and_its_former_handler_comes_back(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_an_ignored_ctrl_c_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
