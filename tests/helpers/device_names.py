"""Devices that a test runs on: the CPU, and a GPU where there is one (`pytest -k device`)."""

from importlib.util import find_spec

import pytest


def _names():
    if find_spec("torch") is None:
        return ["cpu"]
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


DEVICES = [pytest.param(name, id=f"device-{name}") for name in _names()]
