"""Where the tests run Triton's kernels: on a GPU, or else in its interpreter (conftest.py)."""

import os

from cathodegrain.generator.devices import Device

KERNEL_DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda:0"


class KernelDevice(Device):
    """What runs kernels here, taken for a GPU."""

    is_gpu = True


def take_for_a_gpu(monkeypatch):
    """Let the device "cuda" be what runs kernels here; "cpu" stays what it is."""

    def named(name, *, kernels=True):
        return Device("cpu") if name == "cpu" else KernelDevice(KERNEL_DEVICE)

    monkeypatch.setattr("cathodegrain.generator.devices.device_named", named)
