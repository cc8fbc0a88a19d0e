"""Devices to compute on: chosen by name, and checked before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from .errors import DeviceError
from .requirements import missing, require

CHOICES = "cpu, cuda, cuda:N or auto"
LEAST_CAPABILITY = (7, 0)  # of Triton, and of the builds of torch that are kept up


@dataclass(frozen=True)
class Device:
    """A device that is there and usable.

    Parameters
    ----------
    name
        As torch calls it: "cpu", or "cuda:0" and so on.
    why
        Why the choice "auto" fell on it, for a person; else empty.

    Examples
    --------
    >>> print(Device("cpu", "torch is not installed"))
    cpu (torch is not installed)
    """

    name: str
    why: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.name != "cpu"

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


CPU = Device("cpu")


def device_named(name: str, *, kernels: bool = True) -> Device:
    """Device of a name: ``cpu``, ``cuda`` (the first GPU), ``cuda:N``, or ``auto``.

    ``auto`` takes the first GPU if it is usable, else the processor, and says why. The
    others are taken or refused, never replaced.

    Parameters
    ----------
    kernels
        Whether kernels of our own are to run on it, which Triton compiles.

    Raises
    ------
    DeviceError
        If it is not there or not usable, with what to do.

    Examples
    --------
    >>> device_named("cpu")
    Device(name='cpu', why='')
    """
    if name == "cpu":
        return CPU
    if name == "auto":
        return _automatic(kernels)
    if name.split(":")[0] == "mps":
        msg = f"device {name}: it has no float64, in which labels are decided; take cpu"
        raise DeviceError(msg)
    if (match := re.fullmatch(r"cuda(?::(\d{1,3}))?", name)) is None:
        msg = f"device is {name!r}, expected {CHOICES}"
        raise DeviceError(msg)
    if problem := _problem(int(match[1] or 0), kernels):
        msg = f"device {name}: {problem}"
        raise DeviceError(msg)
    return Device(f"cuda:{int(match[1] or 0)}")


@contextmanager
def current(device: str, advice: str) -> Iterator[None]:
    """Make a device of torch the one that kernels are launched on.

    Raises
    ------
    DeviceError
        If its memory is full; ``advice`` says what to do besides taking the processor.
    """
    import torch

    try:
        with nullcontext() if device == "cpu" else torch.cuda.device(device):
            yield
    except torch.cuda.OutOfMemoryError as error:
        msg = f"device {device}: its memory is full ({error}); {advice}, or take cpu"
        raise DeviceError(msg) from error


def _automatic(kernels: bool) -> Device:
    if problem := _problem(0, kernels):
        return Device("cpu", problem.split(";")[0])
    import torch

    return Device("cuda:0", str(torch.cuda.get_device_name(0)))


def _problem(number: int, kernels: bool) -> str:
    """Why the GPU of a number cannot be used, and after a semicolon what to do; or nothing."""
    if missing("torch"):
        try:
            require("torch", "torch", purpose="GPUs", error=DeviceError)
        except DeviceError as error:
            return f"torch is not installed; {error}"
    import torch

    if torch.version.cuda is None:
        return (
            f"this torch ({torch.__version__}) is built without CUDA; choose CUDA in the selector "
            "on pytorch.org, or take cpu"
        )
    if not torch.cuda.is_available():
        return "no NVIDIA driver or GPU is found (nvidia-smi says more); take cpu"
    if number >= (n := torch.cuda.device_count()):
        there = "cuda:0" if n == 1 else f"cuda:0 to cuda:{n - 1}"
        return f"this computer has {n} GPU{'s' * (n > 1)}; take {there}"
    return _unfit(torch, number, kernels)


def _unfit(torch: Any, number: int, kernels: bool) -> str:
    found = torch.cuda.get_device_capability(number)
    if tuple(found) < LEAST_CAPABILITY:
        return (
            f"{torch.cuda.get_device_name(number)} has compute capability {found[0]}.{found[1]}, "
            "expected 7.0 or newer; take cpu"
        )
    if kernels and missing("triton"):
        return (
            "Triton is not installed, which compiles the kernels; pip install triton (it comes "
            "with torch's CUDA builds on Linux), or take cpu"
        )
    return ""
