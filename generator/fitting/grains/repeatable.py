"""What makes training on a GPU give the same bits again, as far as torch can.

Of the operations of a step, convolutions and products of matrices choose among algorithms that
add in different orders, and the gradients of ``gather`` and ``index_copy`` add by atomic
operations. Since torch 2.2 all have a deterministic form on CUDA. Nothing is needed on the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Deterministic algorithms, and float32 instead of TF32, while something runs on a GPU.

    They are settings of the process, which has its own again afterwards. An operation without a
    deterministic form would warn.
    """
    if device == "cpu":
        yield
        return
    with _environment(), _deterministic(), _float32():
        yield


@contextmanager
def _environment() -> Iterator[None]:
    """Buffers of cuBLAS of one size; read when it starts."""
    before = os.environ.get(WORKSPACE)
    os.environ.setdefault(WORKSPACE, ":4096:8")
    try:
        yield
    finally:
        if before is None:
            del os.environ[WORKSPACE]


@contextmanager
def _deterministic() -> Iterator[None]:
    memory: Any = torch.utils.deterministic
    before, fills = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")
    memory.fill_uninitialized_memory = False  # a step reads nothing that it has not written
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = fills


@contextmanager
def _float32() -> Iterator[None]:
    before, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn.flags(
            enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
