"""How much memory there is."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory() -> float:
    """Bytes of memory that can be had without swapping; all there is where that is not told."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * float(line.split()[1])
    if hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return 8e9
