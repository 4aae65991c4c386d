"""ATIS files (``.bin``): N-MNIST, N-Caltech101.

Five bytes an event, as http://www.garrickorchard.com/datasets/n-mnist says: x, y, and 24 bits with
the polarity first and then microseconds. A row of 240 is no event: it says that the clock went on
by 2**13, as Orchard's own reader has it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .fields import EVENT

OVERFLOW_ROW = 240
OVERFLOW = 1 << 13


def read_atis(path: Path, _: int | None) -> tuple[Array, None, None]:
    """The events of an ATIS file.

    Raises:
        InputError: its size is not that of whole events.
    """
    raw = np.fromfile(path, np.uint8)
    if len(raw) % 5:
        raise InputError(
            Problem(f"{len(raw)} bytes", "five for each event of an ATIS file", where=str(path))
        )
    rows = raw.reshape(-1, 5).astype(np.int64)
    overflow = rows[:, 1] == OVERFLOW_ROW
    t = (rows[:, 2] & 127) << 16 | rows[:, 3] << 8 | rows[:, 4]
    t += np.cumsum(overflow) * OVERFLOW
    events = np.empty(int((~overflow).sum()), EVENT)
    events["x"], events["y"] = rows[~overflow, 0], rows[~overflow, 1]
    events["t"], events["p"] = t[~overflow], rows[~overflow, 2] >> 7
    return events, None, None
