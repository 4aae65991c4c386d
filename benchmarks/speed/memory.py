"""Peak memory, measured in a process that does nothing else.

What counts is the highest resident set during the work less the one just before it, with
imports, model and input in place and everything used once on a tiny input. Freed blocks go
back to the system at once (`ENVIRONMENT`), or the C library's caches would be measured.
On CUDA it is torch's own count of the device's memory.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def peak(work: Callable[[], object], device: torch.device, repeats: int = 3) -> float:
    """Bytes above what was there before."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        there = torch.cuda.memory_allocated()
        for _ in range(repeats):
            work()
        return float(torch.cuda.max_memory_allocated() - there)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM := VmRSS
    for _ in range(repeats):
        work()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if not found:
        raise OSError(f"/proc/self/status has no {name}")
    return float(found.group(1)) * 1024
