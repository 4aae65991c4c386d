"""What was measured with, and whether it was quiet."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("t1c", "torch", "numpy", "numba", "triton", "talon-ir", "talon-bridge", "snntorch")
PACKAGES += ("spikingjelly", "norse", "sinabs")


def describe(device: torch.device) -> dict[str, str]:
    """The machine and the versions."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "cpu": _cpu(),
        **({"gpu": torch.cuda.get_device_name()} if device.type == "cuda" else {}),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version for name, version in versions.items() if version},
    }


class Neighbours:
    """The share of the CPUs that other processes took since this was made."""

    def __init__(self) -> None:
        self.start = self._now()

    def share(self) -> float | None:
        """Between 0 and 1; None where the system does not say."""
        if self.start is None:
            return None
        (all0, own0, clock0), (all1, own1, clock1) = self.start, self._now()
        total = (clock1 - clock0) * (os.cpu_count() or 1)
        return max(0.0, min(1.0, (all1 - all0 - own1 + own0) / total)) if total else 0.0

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        except OSError:
            return None
        user, nice, system, _, _, irq, soft, steal = (int(f) for f in fields[:8])
        busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
        return busy, sum(os.times()[:4]), time.monotonic()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    found = {line.split(":")[0].strip(): line.split(":")[-1].strip() for line in lines}
    kind = [found.get(k, "?") for k in ("cpu family", "model")]
    return f"{found.get('model name', platform.processor())} (family {kind[0]}, model {kind[1]})"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
