"""AEDAT4, EVT, DAT and ES files, by ``faery``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.ir.optional import imported

from .fields import EVENT

UNKNOWN = (0x7FFF, 0x7FFF)
"""Stands for a size that the file does not say, in the place of a size that faery would guess."""


def read_by_faery(path: Path, _: int | None) -> tuple[Array, tuple[int, int] | None, None]:
    """The events of a file that faery reads, and the sensor's size if the file says it.

    Raises:
        UnsupportedError: faery is not installed.
        InputError: the file is damaged, or does not say which form it has.
    """
    needing = f"reading a {path.suffix} file needs faery, which"
    faery = imported("faery", needing, "events", str(path))
    _check_version(path)
    try:
        stream = faery.events_stream_from_file(path, dimensions_fallback=UNKNOWN)
        packets = [_as_events(packet) for packet in stream]
        size = stream.dimensions()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as cause:  # faery raises plain Exceptions, and where it panics a base one
        raise InputError(
            Problem(f"what faery cannot read ({cause})", f"a {path.suffix} file", "", str(path))
        ) from cause
    events = np.concatenate(packets) if packets else np.empty(0, EVENT)
    return events, None if tuple(size) == UNKNOWN else (int(size[0]), int(size[1])), None


def _as_events(packet: Array) -> Array:
    events = np.empty(len(packet), EVENT)
    for name, source in (("x", "x"), ("y", "y"), ("t", "t"), ("p", "on")):
        events[name] = packet[source]
    return events


def _check_version(path: Path) -> None:
    """Refuse Prophesee's files that do not say their form: faery would take them for EVT 3."""
    if path.suffix.lower() not in (".raw", ".dat"):
        return
    lines = []
    with open(path, "rb") as file:
        while (line := file.readline(4096)).startswith(b"%"):
            lines.append(line.lower())
    words = (b"evt", b"format") if path.suffix.lower() == ".raw" else (b"version",)
    if not any(word in line for line in lines for word in words):
        raise InputError(
            Problem(
                "a header that does not say the form of the events",
                "a line such as '% evt 3.0' or '% Version 2'",
                "",
                str(path),
            )
        )
