"""Where the tests run Triton's kernels: on a GPU, or else in its interpreter (conftest.py)."""

import os

KERNEL_DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda:0"
