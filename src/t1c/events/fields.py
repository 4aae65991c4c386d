"""What the fields of a structured array of events are, and which values they may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

EVENT = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
"""One event of a camera as Tonic writes it, and as ``read_events`` gives it; t in microseconds."""

CHANNEL_EVENT = np.dtype([("x", "<i2"), ("t", "<i8")])
"""One event of an ear: ``x`` is the channel."""

TIMES = ("t", "ts", "time", "timestamp")
COLUMNS = ("x", "channel", "unit", "addr", "address")
ROWS = ("y",)
POLARITIES = ("p", "pol", "polarity", "on")


@dataclass(frozen=True)
class EventFields:
    """The fields of events, each an array of one number per event.

    Attributes:
        t: when; whole numbers in the unit of the recording, which is mostly a microsecond.
        x: the column, or the channel of an ear.
        y: the row; None of an ear.
        p: the polarity: 0 where it got darker (OFF), 1 where brighter (ON); None where there is
            none.
    """

    t: Array
    x: Array
    y: Array | None
    p: Array | None

    def __len__(self) -> int:
        return len(self.t)

    @property
    def size(self) -> tuple[int, int, int]:
        """The smallest (W, H, P) that holds the events, as Tonic orders a sensor's size."""
        width, height = (
            0 if a is None or not len(a) else int(a.max()) + 1 for a in (self.x, self.y)
        )
        return width, 1 if self.y is None else height, 1 if self.p is None else 2


def event_fields(events: Any) -> EventFields:
    """Find out what the fields of ``events`` are.

    Args:
        events: a structured array (N,). The time is named t, ts, time or timestamp; the column x,
            channel, unit, addr or address; the row y; the polarity p, pol, polarity or on, which
            holds booleans, 0 and 1, or -1 and 1.

    Raises:
        InputError: it is no such array, a field is missing, there are two of a kind, or holds what
            it cannot.

    Example:
        >>> import numpy as np
        >>> two = np.array([(0, 3, 10, 1), (1, 3, 15, 0)],
        ...                dtype=[("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
        >>> event_fields(two).size
        (2, 4, 2)
    """
    if not isinstance(events, np.ndarray) or events.dtype.names is None or events.ndim != 1:
        raise InputError(
            Problem(
                f"events that are {_described(events)}",
                "a structured array (N,) with the fields t, x, y and p",
                "np.rec.fromarrays([x, y, t, p], names='x,y,t,p') makes one.",
            )
        )
    t, x = _one_of(events, TIMES), _one_of(events, COLUMNS)
    if t is None or x is None:
        missing, names = ("time", TIMES) if t is None else ("address", COLUMNS)
        raise InputError(
            Problem(
                f"events with the fields {', '.join(events.dtype.names)}",
                f"a field for the {missing}, named {' or '.join(names)}",
            )
        )
    found = EventFields(t, x, _one_of(events, ROWS), _one_of(events, POLARITIES))
    for name, values in (("time", t), ("x", x), ("y", found.y)):
        if values is not None and values.dtype.kind not in "iu":
            raise InputError(
                Problem(
                    f"{name} of type {values.dtype}",
                    "whole numbers",
                    "Seconds become microseconds with (t * 1e6).astype(np.int64)."
                    if name == "time"
                    else "",
                    field=name,
                )
            )
    for name, values in (("x", x), ("y", found.y)):
        if values is not None and values.dtype.kind == "i" and len(values) and values.min() < 0:
            raise InputError(Problem(f"{name}={values.min()}", "at least 0", field=name))
    return found


def binary_polarity(p: Array) -> Array:
    """Polarities as 0 and 1, from booleans, 0 and 1, or -1 and 1.

    Raises:
        InputError: there are other values.
    """
    if p.dtype.kind == "b":
        return p.view(np.uint8) if p.flags.c_contiguous else p.astype(np.uint8)
    on: Array = p == 1
    if not (on | (p == 0)).all() and not (on | (p == -1)).all():
        raise InputError(
            Problem(f"polarities from {p.min()} to {p.max()}", "0 and 1, or -1 and 1", field="p")
        )
    return on.view(np.uint8)


def size_of(fields: EventFields, sensor_size: tuple[int, ...] | None) -> tuple[int, int]:
    """(W, H): what ``sensor_size`` says, or the smallest that holds the events."""
    if sensor_size is None:
        return fields.size[0], fields.size[1]
    if len(sensor_size) not in (2, 3) or any(n < 1 for n in sensor_size[:2]):
        raise InputError(Problem(f"sensor_size={sensor_size}", "(W, H) or (W, H, P)"))
    return int(sensor_size[0]), int(sensor_size[1])


def _one_of(events: Array, names: tuple[str, ...]) -> Array | None:
    found = [name for name in events.dtype.names or () if name in names]
    if len(found) > 1:
        raise InputError(Problem(f"fields {found}", f"one of {', '.join(names)}"))
    return events[found[0]] if found else None


def _described(events: Any) -> str:
    if isinstance(events, np.ndarray):
        return f"an array {events.shape} of {events.dtype}"
    return f"a {type(events).__name__}"
