"""The most memory that a piece of work took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """``bytes`` is what the work held at most beyond what was there before; None: not known."""

    bytes: int | None = None


@contextmanager
def peak() -> Iterator[Peak]:
    """Measures what happens inside, where the system keeps a high-water mark that can be reset."""
    found = Peak()
    try:
        CLEAR.write_text("5", encoding="ascii")
        before = _field("VmRSS")
    except OSError:
        yield found
        return
    yield found
    found.bytes = max(0, _field("VmHWM") - before)


def _field(name: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
